"""The sandbox's control API, by which a rehearsal plants tasks, turns faults and looks into the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from core.errors import Conflict, InvalidInput, StudioOpsError
from core.settings import Settings

TIMEOUT_S = 20.0


class SandboxAway(StudioOpsError):
    """The sandbox does not answer."""

    code = "sandbox_away"
    http_status = 503


@dataclass(frozen=True)
class Planted:
    """A task that now stands at the sandbox, and where its results lie once it has succeeded."""

    task_id: str
    result_urls: tuple[str, ...]
    finished_ms: int | None


@dataclass(frozen=True)
class Control:
    """The control API of the sandbox at `url`; one call a method."""

    url: str

    def get(self, what: str, **query: Any) -> Any:
        """What the sandbox says of itself."""
        return self._call("GET", what, params=query).json()

    def put(self, what: str, values: Mapping[str, Any]) -> Any:
        """Replace `what`; InvalidInput with the sandbox's words when it cannot hold."""
        return self._call("PUT", what, json=dict(values)).json()

    def change(self, what: str, values: Mapping[str, Any]) -> Any:
        """Change parts of `what`, as `put` does with all of it."""
        return self._call("PATCH", what, json=dict(values)).json()

    def post(self, what: str, values: Mapping[str, Any]) -> Any:
        """Have something done."""
        return self._call("POST", what, json=dict(values)).json()

    def sample(self, kind: str, prompt: str, side: int) -> bytes:
        """A small picture, or a film, as a model of that kind would have made it of `prompt`."""
        return self._call("GET", "sample", params={"kind": kind, "prompt": prompt, "side": side}).content

    def plant(self, tasks: Sequence[Mapping[str, Any]]) -> list[Planted]:
        """Tasks that are already paid for and as old as they say; in order."""
        rows = self.post("tasks", {"tasks": list(tasks)})["tasks"]
        return [Planted(row["taskId"], tuple(row["resultUrls"]), row["completeTime"]) for row in rows]

    def forget(self, mark: str) -> int:
        """Everything of the generations whose id begins with `mark`; how many tasks."""
        return int(self.post("forget", {"generations": mark})["tasks"])

    def _call(self, method: str, what: str, **more: Any) -> httpx.Response:
        try:
            answer = httpx.request(
                method, f"{self.url}/_sandbox/{what}", headers={"X-Sandbox": "1"}, timeout=TIMEOUT_S, **more
            )
        except httpx.TransportError:
            raise SandboxAway(
                "The sandbox does not answer. It is started again by itself; try again."
            ) from None
        if answer.is_success:
            return answer
        said = str(answer.json().get("error", "")) if "json" in answer.headers.get("content-type", "") else ""
        if answer.status_code == 400:
            raise InvalidInput("sandbox", said)
        raise SandboxAway(f"The sandbox answered {answer.status_code}. {said}".strip())


def of(settings: Settings) -> Control:
    """The local stack's sandbox. Raises Conflict anywhere else: a rehearsal never meets real services."""
    if settings.profile != "local" or not settings.local_stack:
        raise Conflict(
            "A rehearsal exists only in the local profile, where the sandbox plays KIE. This Studio Ops is"
            " configured: unset DATABASE_URL and start `streamlit run app.py`."
        )
    return Control(settings.local_stack.rstrip("/"))
