"""Generations that the sandbox has finished and of which the product knows nothing yet."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from tests.bench.load import Post
from tests.bench.rig import CALLBACK_SECRET, KIE_KEY, Rig, callback_body

MODEL = "flux-2/pro-text-to-image"

# As a paid request leaves a row; the polls stay away for a day, so that only a callback moves it.
_ROWS = """
INSERT INTO generations (id, provider, kind, model, prompt, input, status, delivery_state, request_key,
                         task_id, submitted_at, created_at, updated_at, next_attempt_at)
SELECT id, 'kie', 'image', %s, 'a lighthouse', %s, 'queued', 'awaiting_provider', 'bench:' || id,
       task_id, now(), now(), now(), now() + interval '1 day'
FROM unnest(%s::uuid[], %s::text[]) AS made(id, task_id)
"""


@dataclass(frozen=True)
class Finished:
    """One generation, its task at the sandbox, and where its result lies."""

    generation_id: str
    task_id: str
    result_url: str

    def callback(self) -> Post:
        """The callback that KIE would send."""
        path = f"/api/kie/callback?secret={CALLBACK_SECRET}&generation={self.generation_id}"
        return Post(path, callback_body(self.task_id, self.result_url).decode())


def prepare(rig: Rig, file_bytes: int) -> None:
    """Tasks that end at once and call nobody back, files of one size, and no provider limit."""
    rig.sandbox("PUT", "settings", {"image_seconds": 0, "creates_per_window": 0, "file_bytes": file_bytes})
    rig.sandbox("PUT", "faults", {"callback_lost": True})
    rig.sql(
        "INSERT INTO provider_limits (key, per_second) VALUES ('kie:read', 100000)"
        " ON CONFLICT (key) DO UPDATE SET per_second = EXCLUDED.per_second"
    )


def finished(rig: Rig, count: int) -> list[Finished]:
    """So many generations, each with a finished task of its own."""
    given = {"prompt": "a lighthouse", "aspect_ratio": "1:1", "resolution": "1K"}
    headers = {"Authorization": f"Bearer {KIE_KEY}"}
    with httpx.Client(base_url=rig.sandbox_url, headers=headers, timeout=30) as client:

        def create(_: int) -> Finished:
            generation_id = str(uuid.uuid4())
            url = f"{rig.web_url}/api/kie/callback?secret={CALLBACK_SECRET}&generation={generation_id}"
            body = {"model": MODEL, "input": given, "callBackUrl": url}
            answer = client.post("/api/v1/jobs/createTask", json=body).json()
            task_id = str(answer["data"]["taskId"])
            name = f"{task_id.removeprefix('task_')}_0.jpg"
            return Finished(generation_id, task_id, f"{rig.sandbox_url}/results/{name}")

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(create, range(count)))
    ids, tasks = [one.generation_id for one in made], [one.task_id for one in made]
    rig.sql(_ROWS, MODEL, json.dumps(given), ids, tasks)
    rig.sql("ANALYZE generations")
    return made
