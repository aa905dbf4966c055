"""A first frame, made with a LoRA, and the generation that waits for it: each paid once, the one handed to
the other as soon as it is there. A frame that fails for certain, and not for what was asked, is made once
more."""

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from core import database, log
from core.deliveries import moving, policy, with_lora
from core.deliveries.models import ENDED, DeliveryState, Event, EventKind, Generation
from core.deliveries.repository import SQL, add_event, find, insert, to_generation
from core.deliveries.tools import Tools
from core.errors import ErrorCategory
from core.loras.models import Way
from core.providers import catalogue
from core.work import queue

# The frame wakes its generation when it is over; this is for a frame whose worker died before it could.
LOOK_AGAIN = timedelta(seconds=10)
FRAME_FAILED = "first_frame"

_log = log.get(__name__)


def begin(
    connection: Connection,
    generation: Generation,
    frame_id: UUID,
    values: Mapping[str, Any],
    *,
    by: str,
    now: datetime,
    second: bool = False,
) -> None:
    """Write the first frame of a generation, to be sent next, in the caller's transaction."""
    row = insert(
        connection,
        catalogue.require(with_lora.FRAME_MODEL),
        values,
        id=frame_id,
        user_id=generation.user_id,
        request_key=_key(generation, second=second),
        next_attempt_at=now,
        now=now,
        lora_id=generation.lora_id,
        lora_way=Way.DIRECT,
        frame_for=generation.id,
    )
    assert row is not None
    detail = {"by": by, "frame_for": str(generation.id)}
    add_event(connection, frame_id, now, Event(EventKind.CREATED, detail=detail))


def _key(generation: Generation, *, second: bool) -> str:
    return f"frame:{generation.id}{':again' if second else ''}"


def is_ready(generation: Generation, tools: Tools) -> bool:
    """Whether a leased generation has its first frame; when not, it is given back, or ended with the frame's
    own reason."""
    with database.reading() as connection:
        frame = find(connection, generation.frame_id) if generation.frame_id else None
    if frame is not None and frame.delivery_state is DeliveryState.DELIVERED and frame.asset_url:
        return _hand_over(generation, frame, tools) is not None
    now = tools.clock()
    if frame is None or frame.delivery_state in ENDED:
        if not _make_again(generation, frame, now):
            _give_up(generation, frame, tools)
        return False
    with database.statement() as connection:
        moving.release(connection, generation, now + LOOK_AGAIN, now)
    return False


def _make_again(generation: Generation, failed: Generation | None, now: datetime) -> bool:
    """Begin another frame in the place of one that failed; False where that would not help, or cost twice."""
    with database.transaction() as connection:
        known = SQL["by_request_key"].first(connection, request_key=_key(generation, second=True))
        if failed is None or not policy.makes_frame_again(failed, is_second=known is not None):
            return False
        frame_id = uuid.uuid4()
        if SQL["frame_again"].first(
            connection, id=generation.id, frame_id=frame_id, failed_id=failed.id, now=now
        ):
            begin(connection, generation, frame_id, failed.input, by="Studio Ops", now=now, second=True)
            event = Event(
                EventKind.FRAME_AGAIN,
                error_category=failed.failure_category,
                words=failed.failure_message,
                detail={"failed": str(failed.id), "frame": str(frame_id)},
            )
            add_event(connection, generation.id, now, event)
            queue.enqueue(
                connection,
                "deliver",
                priority=queue.URGENT,
                once=f"deliver:{frame_id}",
                generation_id=str(frame_id),
            )
        moving.release(connection, generation, now + LOOK_AGAIN, now)
    return True


def _hand_over(generation: Generation, frame: Generation, tools: Tools) -> Generation | None:
    """Put the frame into the input of the generation that waits for it, once."""
    model = catalogue.require(generation.model or "")
    pictures = with_lora.with_pictures(model, generation.input, [tools.absolute(frame.asset_url or "")])
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["frame_ready"].first(connection, id=generation.id, pictures=json.dumps(pictures), now=now)
        if row is None:
            return None
        waited_ms = int((now - generation.created_at).total_seconds() * 1000)
        event = Event(EventKind.FRAME_READY, duration_ms=waited_ms, detail={"frame": str(frame.id)})
        add_event(connection, generation.id, now, event)
        return to_generation(row)


def _give_up(generation: Generation, frame: Generation | None, tools: Tools) -> None:
    """Nothing was sent for it, so that nothing of it is paid but a frame that is there."""
    reason = (frame.failure_message if frame else None) or "it is not there any more"
    refused = frame is not None and frame.failure_category == ErrorCategory.VALIDATION
    message = (
        f"Its first frame could not be made: {reason.rstrip('. ')}."
        f" {'Change the prompt' if refused else 'Make it again later'}, or choose no LoRA."
    )
    event = Event(
        EventKind.FRAME_FAILED,
        error_category=frame.failure_category if frame else None,
        words=frame.failure_message if frame else None,
        detail={"frame": str(generation.frame_id)},
    )
    category = (frame.failure_category if frame else None) or "service_error"
    moving.end(
        generation,
        DeliveryState.FAILED,
        event,
        tools,
        category=category,
        code=FRAME_FAILED,
        message=message,
    )


def wake(frame: Generation, tools: Tools) -> None:
    """Have the generation that waits for this frame looked at now, when the frame is over."""
    if frame.frame_for is None:
        return
    with database.transaction() as connection:
        woken = SQL["wake_framed"].first(connection, frame_id=frame.id, now=tools.clock())
        if woken is not None:
            queue.enqueue(
                connection,
                "deliver",
                priority=queue.URGENT,
                once=f"deliver:{woken['id']}",
                generation_id=str(woken["id"]),
            )
