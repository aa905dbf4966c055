"""A vendor's other side: what it is sent is kept, what it answers is chosen by the test."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from core.providers.training import PushTargets, TrainingRequest

PAYLOADS = Path(__file__).parent / "payloads"
RUN = UUID("5b0c8f0e-6f1b-4f9e-9d5a-0c6f8b7a1d23")
DATASET = "https://files.example.com/lora-training-images/set.zip?token=dataset-secret-1"
WEBHOOK = f"https://ops.example.com/api/fal/webhook?run={RUN}"
PUSH = PushTargets(
    "https://files.example.com/weights.safetensors?sig=weights-secret-1",
    "https://files.example.com/progress.json?sig=progress-secret-1",
)

Said = str | httpx.Response | Exception


def payload(name: str) -> httpx.Response:
    """The answer recorded in `payloads/{name}.json`."""
    recorded = json.loads((PAYLOADS / f"{name}.json").read_text())
    text = recorded["text"] if "text" in recorded else json.dumps(recorded["json"])
    return httpx.Response(recorded["status"], headers=recorded.get("headers", {}), text=text)


def answer(status: int, body: Any, **headers: str) -> httpx.Response:
    """A JSON answer."""
    return httpx.Response(status, json=body, headers=headers)


class FakeVendor:
    """Answers each request by the first rule whose words are in "METHOD URL"; keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._rules: dict[str, Callable[[], Said]] = {}
        self.transport = httpx.MockTransport(self._handle)

    def on(self, words: str, *said: Said) -> "FakeVendor":
        """Answer requests with `words` in them by `said`, one after the other, the last one from then on."""
        queue = list(said)
        self._rules[words] = lambda: queue.pop(0) if len(queue) > 1 else queue[0]
        return self

    def sent(self, words: str = "") -> list[httpx.Request]:
        """The requests with `words` in "METHOD URL"."""
        return [request for request in self.requests if words in f"{request.method} {request.url}"]

    def body(self, words: str = "POST") -> dict[str, Any]:
        """The JSON of the only request with `words` in it."""
        [request] = self.sent(words)
        return dict(json.loads(request.content))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        for words, say in self._rules.items():
            if words in f"{request.method} {request.url}":
                said = say()
                if isinstance(said, Exception):
                    raise said
                if isinstance(said, str):
                    return payload(said)
                return httpx.Response(said.status_code, headers=said.headers, content=said.content)
        raise AssertionError(f"nobody answers {request.method} {request.url}")


def wanted(**changes: Any) -> TrainingRequest:
    """A request that every trainer takes."""
    usual: Mapping[str, Any] = {
        "run_id": RUN,
        "dataset_url": DATASET,
        "images": 8,
        "trigger_word": "ohwx woman",
        "steps": 1000,
        "webhook_url": WEBHOOK,
        "push": PUSH,
    }
    return TrainingRequest(**{**usual, **changes})


# Every way in which a paid POST can end without anybody knowing what came of it.
UNKNOWN_OUTCOMES: dict[str, Said] = {
    "an internal error": answer(500, {"detail": "Internal Server Error"}),
    "a gateway's page": httpx.Response(502, text="<html><h1>502 Bad Gateway</h1></html>"),
    "a timeout of its own": answer(408, {"detail": "Request timeout"}),
    "a status in no list": answer(409, {"detail": "conflict"}),
    "a redirect": httpx.Response(307, headers={"Location": "https://elsewhere.example"}),
    "accepted without an id": answer(200, {"status": "fine"}),
    "not JSON": httpx.Response(200, text="<html>hello</html>"),
    "no answer in time": httpx.ReadTimeout("timed out"),
    "connection lost": httpx.RemoteProtocolError("Server disconnected without sending a response."),
    "write failed half-way": httpx.WriteError("broken pipe"),
}
NEVER_SENT: dict[str, Said] = {
    "refused": httpx.ConnectError("[Errno 111] Connection refused"),
    "connect-timeout": httpx.ConnectTimeout("timed out"),
    "pool": httpx.PoolTimeout("no free connection"),
}
