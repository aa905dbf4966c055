"""A sandbox in a thread, its callers, and a receiver for its callbacks, all over real HTTP."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx

from core.sandbox.server import Site, running

IMAGE = "flux-2/pro-text-to-image"
VIDEO = "kling-2.6/text-to-video"

T = TypeVar("T")


def until(ask: Callable[[], T], seconds: float = 10.0) -> T:
    """The first true answer of `ask`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := ask():
            return found
        time.sleep(0.01)
    raise AssertionError(f"it did not happen within {seconds} s")


@dataclass
class Rig:
    """Calls one sandbox. `quick` tasks end at once."""

    url: str
    kie: httpx.Client
    control: httpx.Client

    def reset(self) -> None:
        self.control.post("/reset").raise_for_status()
        self.set(image_seconds=0, video_seconds=0, creates_per_window=0)
        self.set(training_seconds=0, lora_image_seconds=0)

    def set(self, **dials: Any) -> None:
        self.control.put("/settings", json=dials).raise_for_status()

    def faults(self, **rules: Any) -> None:
        self.control.put("/faults", json=rules).raise_for_status()

    def ask(self, prompt: str = "a lake at dawn", model: str = IMAGE, **changes: Any) -> httpx.Response:
        """createTask with a fitting input; `callback` sets callBackUrl, the rest changes the input."""
        body: dict[str, Any] = {"model": model}
        if callback := changes.pop("callback", None):
            body["callBackUrl"] = callback
        own = {"resolution": "1K"} if model == IMAGE else {"sound": False, "duration": "5"}
        body["input"] = {"prompt": prompt, "aspect_ratio": "1:1", **own, **changes}
        return self.kie.post("/api/v1/jobs/createTask", json=body)

    def create(self, prompt: str = "a lake at dawn", model: str = IMAGE, **changes: Any) -> str:
        """The id of an accepted task."""
        answer = self.ask(prompt, model, **changes).json()
        assert answer["code"] == 200, answer
        return str(answer["data"]["taskId"])

    def read(self, task_id: str) -> dict[str, Any]:
        """recordInfo's whole body."""
        return dict(self.kie.get("/api/v1/jobs/recordInfo", params={"taskId": task_id}).json())

    def finished(self, task_id: str) -> dict[str, Any]:
        """recordInfo's data once the task has ended."""

        def ended() -> dict[str, Any] | None:
            data = self.read(task_id)["data"]
            return dict(data) if data and data["state"] in {"success", "fail"} else None

        found = until(ended)
        assert found is not None
        return found

    def stats(self) -> dict[str, Any]:
        return dict(self.control.get("/stats").json())

    def log(self, **query: str) -> list[dict[str, Any]]:
        return list(self.control.get("/log", params=query).json()["rows"])


Check = Callable[[Rig], None]


def registrar(into: dict[str, Check]) -> Callable[[str], Callable[[Check], Check]]:
    """The decorator that registers a fault's check under its name."""

    def checks(name: str) -> Callable[[Check], Check]:
        def keep(check: Check) -> Check:
            into[name] = check
            return check

        return keep

    return checks


@contextmanager
def rig(data_dir: Path, hmac_key: str | None = None) -> Iterator[Rig]:
    """A sandbox for a block, with quick tasks and no limit."""
    with (
        running(Site(data_dir=data_dir, hmac_key=hmac_key)) as server,
        httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {server.key}"}, trust_env=False
        ) as kie,
        httpx.Client(
            base_url=f"{server.url}/_sandbox", headers={"X-Sandbox": "1"}, trust_env=False
        ) as control,
    ):
        found = Rig(server.url, kie, control)
        found.reset()
        yield found


@dataclass
class Receiver:
    """What came to a callback URL: path, headers, body, and the moment."""

    url: str
    answer: int = 200
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A web server on loopback that takes callbacks."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.paths.append(self.path)
            found.headers.append(dict(self.headers.items()))
            found.bodies.append(body)
            found.moments.append(time.time())
            self.send_response(found.answer)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Receiver(f"http://127.0.0.1:{server.server_port}/api/kie/callback")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join(5)
