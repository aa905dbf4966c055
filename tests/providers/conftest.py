"""A KIE client over recorded answers: what it sends is kept, what it gets is chosen by the test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from core.providers.kie import KieClient

PAYLOADS = Path(__file__).parent / "payloads"
API_KEY = "kie-test-key-0123456789"
CALLBACK_SECRET = "callback-secret-1"

Handler = Callable[[httpx.Request], httpx.Response]


def payload(name: str) -> httpx.Response:
    """The answer recorded in `payloads/{name}.json`."""
    recorded = json.loads((PAYLOADS / f"{name}.json").read_text())
    text = recorded["text"] if "text" in recorded else json.dumps(recorded["json"])
    return httpx.Response(recorded["status"], headers=recorded["headers"], text=text)


class FakeKie:
    """Plays KIE's side: answers with `answer`, keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Handler = lambda request: payload("kie_create_accepted")
        self.client = KieClient(
            API_KEY, secrets=(CALLBACK_SECRET,), transport=httpx.MockTransport(self._handle), deadline=5.0
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    def answers(self, answer: str | httpx.Response | Exception) -> "FakeKie":
        """Answer every request from now on with a payload's name, a response, or a network fault."""

        def handler(request: httpx.Request) -> httpx.Response:
            if isinstance(answer, Exception):
                raise answer
            return payload(answer) if isinstance(answer, str) else answer

        self.answer = handler
        return self


@pytest.fixture
def kie() -> Iterator[FakeKie]:
    fake = FakeKie()
    yield fake
    fake.client.close()
