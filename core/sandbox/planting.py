"""What a rehearsal asks of the sandbox: tasks as old as it likes, small pictures, and to forget it all."""

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from core.sandbox.faults import markers
from core.sandbox.models import MODELS
from core.sandbox.pictures import CONTENT_TYPES, film, small_picture
from core.sandbox.service import Sandbox
from core.sandbox.tasks import Task

MOST_TASKS = 500
SMALLEST_SIDE, LARGEST_SIDE = 64, 1024


class Plant(BaseModel):
    """A task that was created `age_seconds` ago and ends in so many seconds, before now when negative.

    Without `ends_in_seconds` nothing but the control API ends it.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    input: dict[str, Any]
    callBackUrl: str | None = None  # noqa: N815 - the wire's spelling
    age_seconds: float = Field(ge=0)
    ends_in_seconds: float | None = None

    def request(self) -> dict[str, Any]:
        """What createTask would have been sent."""
        sent: dict[str, Any] = {"model": self.model, "input": self.input}
        return sent if self.callBackUrl is None else {**sent, "callBackUrl": self.callBackUrl}


class Planting(BaseModel):
    """Tasks to plant, in order."""

    model_config = ConfigDict(extra="forbid")

    tasks: list[Plant] = Field(max_length=MOST_TASKS)


def plant(sandbox: Sandbox, given: dict[str, Any]) -> list[Task]:
    """Plant them all; ValueError that says why when one cannot be."""
    wanted = Planting.model_validate(given).tasks
    for one in wanted:
        model = MODELS.get(one.model)
        said = "is not sold here" if model is None else model.complaint(one.input)
        if said:
            raise ValueError(f"{one.model}: {said}")
    return [
        sandbox.plant(
            one.request(),
            markers(str(one.input.get("prompt", ""))),
            age_ms=round(one.age_seconds * 1000),
            ends_in_ms=None if one.ends_in_seconds is None else round(one.ends_in_seconds * 1000),
        )
        for one in wanted
    ]


async def sample(request: Request) -> Response:
    """A small picture of `prompt`, `side` pixels on its long side, or a film; the same again for the same."""
    asked = request.query_params
    if asked.get("kind") == "video":
        return Response(film(), media_type=CONTENT_TYPES["mp4"])
    side = int(asked["side"]) if asked.get("side", "").isdecimal() else LARGEST_SIDE // 2
    side = max(SMALLEST_SIDE, min(side, LARGEST_SIDE))
    content = await asyncio.to_thread(small_picture, asked.get("prompt", ""), side)
    return Response(content, media_type=CONTENT_TYPES["jpg"])
