"""A first frame, made with a LoRA, and the generation that waits for it: each paid once, the one handed to
the other as soon as it is there."""

import json
from datetime import timedelta

from core import database, log
from core.deliveries import moving, with_lora
from core.deliveries.models import ENDED, DeliveryState, Event, EventKind, Generation
from core.deliveries.repository import SQL, add_event, find, to_generation
from core.deliveries.tools import Tools
from core.providers import catalogue
from core.work import queue

# The frame wakes its generation when it is over; this is for a frame whose worker died before it could.
LOOK_AGAIN = timedelta(seconds=10)
FRAME_FAILED = "first_frame"

_log = log.get(__name__)


def is_ready(generation: Generation, tools: Tools) -> bool:
    """Whether a leased generation has its first frame; when not, it is given back, or ended with the frame's
    own reason."""
    with database.reading() as connection:
        frame = find(connection, generation.frame_id) if generation.frame_id else None
    if frame is not None and frame.delivery_state is DeliveryState.DELIVERED and frame.asset_url:
        return _hand_over(generation, frame, tools) is not None
    if frame is None or frame.delivery_state in ENDED:
        _give_up(generation, frame, tools)
        return False
    now = tools.clock()
    with database.statement() as connection:
        moving.release(connection, generation, now + LOOK_AGAIN, now)
    return False


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
    reason = (frame.failure_message if frame else None) or "it is not there any more."
    message = f"Its first frame could not be made: {reason}"
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
