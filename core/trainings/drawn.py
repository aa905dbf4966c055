"""What KIE has made of a drawing: its record read, its image fetched, judged, and put into the draft."""

from datetime import timedelta
from pathlib import Path

from core import access, database, log, queries
from core.errors import Conflict, ErrorCategory, InvalidInput, ProviderError, StudioOpsError
from core.providers.contract import GenerationProvider, ProviderState, TaskRecord
from core.providers.fetch import FetchFailed
from core.trainings import drawing_moves, policy
from core.trainings.adding import add
from core.trainings.candidates import Candidate, judge, scratch
from core.trainings.drawing_moves import POLL
from core.trainings.drawings import SQL, Drawing
from core.trainings.images import MAX_BYTES
from core.trainings.models import CallState
from core.trainings.sheet import GENERATED
from core.trainings.tools import Tools
from core.work import limiter
from core.work.limiter import Priority

BUSY_PAUSE = timedelta(seconds=2)
# KIE draws an image in half a minute; what it has not ended by then it may still charge.
OVERDUE = timedelta(hours=1)

_IMAGES = queries.load("training_images")
_log = log.get(__name__)


def read_record(kie: GenerationProvider, task_id: str, tools: Tools) -> TaskRecord | None:
    """KIE's record, within its limit; None when it cannot be had now."""
    places = limiter.reserve(limiter.KIE_READ, 1, Priority.POLL)
    if not places:
        return None
    tools.sleep(places.delays_s[0])
    try:
        return kie.record(task_id)
    except (ProviderError, InvalidInput) as error:
        _log.warning("training.drawing_unread", remote_id=task_id, error=error.message)
        return None


def read(drawing: Drawing, kie: GenerationProvider, tools: Tools) -> None:
    """Read KIE's record of a leased drawing and do what it says."""
    assert drawing.remote_id is not None
    now = tools.clock()
    record = read_record(kie, drawing.remote_id, tools)
    age = now - drawing.begun_at
    if record is None:
        drawing_moves.release(drawing, now + BUSY_PAUSE, tools)
        return
    match record.state:
        case ProviderState.SUCCESS if record.result_urls:
            _succeeded(drawing, record, kie, tools)
        case ProviderState.SUCCESS if age > policy.EMPTY_RESULT_GRACE:
            problem = record.result_problem or "KIE names no image."
            _fail(drawing, record, ErrorCategory.FILE_ERROR, problem, tools, paid=True)
        case ProviderState.FAIL:
            words = record.fail_message or "KIE gave no reason."
            category = record.fail_category or ErrorCategory.SERVICE_ERROR
            _fail(drawing, record, category, words, tools)
        case ProviderState.NOT_FOUND if age > policy.UNKNOWN_GRACE:
            _fail(drawing, None, ErrorCategory.SERVICE_ERROR, "KIE no longer knows the task.", tools)
        case _ if age > OVERDUE:
            words = "KIE had not ended it within an hour; it counts as paid."
            _fail(drawing, None, ErrorCategory.TIMEOUT, words, tools, paid=True)
        case _:
            drawing_moves.release(drawing, now + POLL, tools)


def _succeeded(drawing: Drawing, record: TaskRecord, kie: GenerationProvider, tools: Tools) -> None:
    ended = drawing_moves.end(
        drawing, CallState.SUCCEEDED, record, tools, paid=True, result_url=record.result_urls[0]
    )
    if ended is not None:
        keep(ended, kie, tools)


def _fail(
    drawing: Drawing,
    record: TaskRecord | None,
    category: ErrorCategory,
    words: str,
    tools: Tools,
    *,
    paid: bool = False,
) -> None:
    drawing_moves.end(drawing, CallState.FAILED, record, tools, paid=paid, category=category, words=words)


def keep(drawing: Drawing, kie: GenerationProvider, tools: Tools) -> None:
    """Fetch a finished image, judge it as every other, and put it into its draft, where it waits for a
    person's word. The same again changes nothing."""
    try:
        with scratch(tools.dataset.folder) as folder:
            path = _fetch(drawing, kie, folder / "drawn", tools)
            [one] = judge([Candidate(drawing.view, GENERATED, path, approved=False)])
            actor = access.job("draw_training_images")
            added = add(actor, drawing.lora_model_id, [one], tools.dataset, drawing.owner)
    except (Conflict, InvalidInput) as error:
        drawing_moves.release(drawing, None, tools, error.message)
        return
    except StudioOpsError as error:
        drawing_moves.later(drawing, error.message, tools)
        return
    with database.transaction() as connection:
        known = _IMAGES["same_image"].first(
            connection, id=drawing.lora_model_id, original_sha256=one.found.sha256
        )
        number = added.images[0] if added.images else (known["n"] if known else 0)
        SQL["stored"].first(connection, id=drawing.id, image_n=number)


def _fetch(drawing: Drawing, kie: GenerationProvider, target: Path, tools: Tools) -> Path:
    """The image on disk, by a fresh link when the first is gone."""
    assert drawing.result_url is not None
    try:
        return _download(drawing.result_url, target, tools)
    except FetchFailed as failure:
        if not failure.gone:
            raise
        return _download(kie.fresh_url(drawing.result_url), target, tools)


def _download(url: str, target: Path, tools: Tools) -> Path:
    with tools.fetch.open_stream(url) as source, target.open("wb") as file:
        for chunk in source.chunks:
            file.write(chunk)
            if file.tell() > MAX_BYTES:
                raise InvalidInput("images", f"KIE's image has more than {MAX_BYTES / 1e6:,.0f} MB.")
    return target
