"""The steps of a drawing: sent once, looked for when its answer was lost, read, and stored in its draft."""

import contextvars
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from core import database, log, queries
from core.errors import NotFound, ProviderError, StorageError
from core.providers import catalogue
from core.providers.contract import GenerationProvider, TaskRecord
from core.trainings import drawing_moves, drawings, drawn, policy
from core.trainings.drawing_moves import POLL
from core.trainings.drawings import SQL, Drawing, to_drawing
from core.trainings.models import CallState
from core.trainings.repository import SQL as RUNS
from core.trainings.tools import LINKS_LAST, Tools
from core.work import limiter
from core.work.limiter import Priority

AT_ONCE = 8
REFUSED_PAUSE = timedelta(seconds=10)

_IMAGES = queries.load("training_images")
_log = log.get(__name__)


def advance_due(tools: Tools, limit: int = AT_ONCE) -> int:
    """Bring every due drawing one step further, some at once; how many.

    Rows are leased and committed first.
    """
    if tools.kie is None:
        return 0
    now = tools.clock()
    with database.transaction() as connection:
        rows = SQL["lease_due"].all(connection, now=now, lease_until=now + policy.LEASE, limit=limit)
    if not rows:
        return 0
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="drawing") as pool:
        steps = [
            pool.submit(contextvars.copy_context().run, _advance, to_drawing(row), tools.kie, tools)
            for row in rows
        ]
    faults = [fault for step in steps if (fault := step.exception()) is not None]
    for fault in faults:
        _log.error("training.drawing_crashed", exc_info=fault)
    if faults:
        raise faults[0]
    return len(rows)


def _advance(drawing: Drawing, kie: GenerationProvider, tools: Tools) -> None:
    match drawing.state:
        case CallState.INTENT:
            _send(drawing, kie, tools)
        case CallState.SENDING:
            _look(drawing, kie, tools)
        case CallState.ACCEPTED:
            drawn.read(drawing, kie, tools)
        case CallState.SUCCEEDED if drawing.image_n is None:
            drawn.keep(drawing, kie, tools)
        case _:
            drawing_moves.release(drawing, None, tools)


# Sending, once.


def _send(drawing: Drawing, kie: GenerationProvider, tools: Tools) -> None:
    """Send it, once.

    Steps: 1. what it is drawn from; 2. a place under KIE's limit; 3. the guarded move intent → sending, which
    one process wins; 4. the one POST; 5. what came of it.
    """
    now = tools.clock()
    if drawing.after_id is not None:
        first = _drawing(drawing.after_id)
        if first is not None and first.failed:
            drawing_moves.cancel(drawing, "The first image, which it is drawn from, was not made.", tools)
            return
        if first is None or first.image_n is None:
            drawing_moves.release(drawing, now + POLL, tools)
            return
    try:
        wanted = _input(drawing, tools)
    except StorageError as error:
        drawing_moves.later(drawing, error.message, tools)
        return
    if wanted is None:
        drawing_moves.cancel(drawing, "The images that it was to be drawn from were taken away.", tools)
        return
    places = limiter.reserve(limiter.KIE_CREATE, 1, Priority.SYNC)
    if not places:
        drawing_moves.release(drawing, now + drawn.BUSY_PAUSE, tools)
        return
    tools.sleep(places.delays_s[0])
    begun = drawing_moves.begin(drawing, tools)
    if begun is None:
        return
    if begun.submitted_at is None or tools.clock() - begun.submitted_at >= policy.SEND_WITHIN:
        drawing_moves.unsend(begun, tools.clock(), None)
        return
    try:
        task_id = kie.create(drawing.model, wanted, tools.drawing_callback_url(drawing.id)).id
    except ProviderError as error:
        _not_accepted(begun, error, tools)
        return
    drawing_moves.bind(begun, task_id, tools)


def _drawing(drawing_id: UUID) -> Drawing | None:
    with database.reading() as connection:
        row = SQL["get"].first(connection, id=drawing_id)
    return to_drawing(row) if row else None


def _input(drawing: Drawing, tools: Tools) -> dict[str, Any] | None:
    """What is asked of the model; None when the images that it is drawn from are gone."""
    given: dict[str, Any] = {"prompt": drawing.prompt, **drawings.SIZE}
    if drawing.model == drawings.FROM_IMAGES:
        numbers = set(drawing.from_images)
        if drawing.after_id is not None and (first := _drawing(drawing.after_id)) is not None:
            numbers.add(first.image_n or 0)
        with database.reading() as connection:
            rows = _IMAGES["sheet"].all(connection, id=drawing.lora_model_id, with_thumbnails=False)
        places = [(row["bucket"], row["path"]) for row in rows if row["n"] in numbers and row["path"]]
        if not places:
            return None
        links = [tools.dataset.storage.signed_url(bucket, path, LINKS_LAST) for bucket, path in places]
        given["input_urls"] = [tools.absolute(link) for link in links[: drawings.MOST_REFERENCES]]
    return catalogue.validate(drawing.model, given)


def _not_accepted(begun: Drawing, error: ProviderError, tools: Tools) -> None:
    """No task id came back: refused for good, refused for now, never sent, or nobody knows."""
    now = tools.clock()
    _log.warning("training.drawing_not_accepted", drawing_id=str(begun.id), error=error.message)
    if not error.refused and error.sent:
        drawing_moves.release(begun, now + policy.LOOK_AGAIN, tools, error.message)
        return
    if error.retryable and begun.tries < policy.MAX_TRIES:
        drawing_moves.unsend(begun, now + REFUSED_PAUSE * begun.tries, error.message)
        return
    drawing_moves.refuse(begun, error, tools)


# Looking.


def _look(drawing: Drawing, kie: GenerationProvider, tools: Tools) -> None:
    """The answer of a paid request was lost: only its callback can tell, and it is never sent again.

    A callback's word is proved by KIE's own record, which names the address that was asked for.
    """
    with database.reading() as connection:
        named = [row["remote_id"] for row in RUNS["named_by_webhooks"].all(connection, call_id=drawing.id)]
    for task_id in named:
        record = drawn.read_record(kie, task_id, tools)
        if record is not None and names(record, drawing.id):
            drawing_moves.bind(drawing, task_id, tools)
            return
    now = tools.clock()
    deadline = drawing.begun_at + policy.LOST_ANSWER_WAIT
    if now < deadline:
        drawing_moves.release(drawing, min(now + policy.LOOK_AGAIN, deadline), tools, drawing.failure_words)
        return
    with database.statement() as connection:
        SQL["lose"].first(connection, id=drawing.id)


def names(record: TaskRecord, drawing_id: UUID) -> bool:
    """Whether KIE's record was asked for with this drawing's address."""
    try:
        query = parse_qs(urlsplit(record.callback_url or "").query)
    except ValueError:
        return False
    return query.get("image") == [str(drawing_id)]


# A callback.


def receive_callback(drawing_id: UUID, task_id: str, body_sha256: str, tools: Tools) -> bool:
    """Record a verified callback once and make its drawing due now; whether it was a duplicate.

    Its contents are never believed. Raises NotFound when there is no such drawing.
    """
    now = tools.clock()
    with database.transaction() as connection:
        if SQL["get"].first(connection, id=drawing_id) is None:
            raise NotFound("No image of ours belongs to this callback.")
        kept = RUNS["receive_webhook"].one(
            connection,
            provider=drawings.PROVIDER,
            delivery_id=body_sha256,
            call_id=drawing_id,
            run_id=None,
            remote_id=task_id[:200],
            says="callback",
            now=now,
        )
        SQL["hurry"].first(connection, id=drawing_id, now=now)
    return bool(kept["duplicates"] > 0)
