"""The one step that every run takes, whoever asks: lease it, do what its stage says, give it back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

from core import database, log
from core.errors import ErrorCategory, InvalidInput, NotFound, ProviderError, StorageError
from core.trainings import (
    completing,
    ending,
    moving,
    policy,
    publishing,
    sending,
    storing,
    validating,
    zipping,
)
from core.trainings.models import Run, RunState, Stage, Trouble
from core.trainings.repository import SQL, find, to_run
from core.trainings.tools import Tools

# As many as are asked about at once: a row that waited for its turn would lose its lease meanwhile.
POLL_CHUNK = 8
# A poll goes on while there is more to read, but stays a short job.
POLL_FOR = timedelta(seconds=10)

_log = log.get(__name__)
_STEPS: dict[Stage, Callable[[Run, Tools], None]] = {
    Stage.INITIALIZING: zipping.begin,
    Stage.ZIP_CREATION: zipping.advance,
    Stage.TRAINING: sending.advance,
    Stage.STORING: storing.advance,
    Stage.HUGGINGFACE_UPLOAD: publishing.advance,
    Stage.VALIDATION: validating.advance,
    Stage.COMPLETION: completing.advance,
}


def advance(run_id: UUID, tools: Tools) -> Run | None:
    """Bring a run one step further; the row as it stands afterwards, None when unknown.

    Takes the row's lease first: while another worker holds it, nothing happens.
    """
    step(run_id, tools)
    with database.reading() as connection:
        return find(connection, run_id)


def step(run_id: UUID, tools: Tools) -> None:
    """`advance` for those who do not ask what became of it."""
    run = moving.lease(run_id, tools)
    if run is not None:
        _advance_leased(run, tools)


def _advance_leased(run: Run, tools: Tools) -> None:
    if run.state is RunState.ENDING:
        ending.advance(run, tools)
        return
    try:
        _STEPS[run.stage](run, tools)
    except (ProviderError, StorageError, InvalidInput, NotFound) as error:
        _log.warning("training.step_failed", run_id=str(run.id), stage=run.stage, error=error.message)
        moving.try_again(run, _of(error), tools)


def _of(error: ProviderError | StorageError | InvalidInput | NotFound) -> Trouble:
    """An error that no step of its own names as trouble of the run."""
    if isinstance(error, ProviderError):
        category, retryable = error.category, error.retryable
    else:
        category = ErrorCategory.FILE_ERROR
        retryable = isinstance(error, StorageError) and error.retryable
    return Trouble(
        error.message,
        category,
        retryable,
        next_action="Mend what it names, then start it again.",
        words=getattr(error, "words", ""),
    )


def poll_due(tools: Tools, limit: int = POLL_CHUNK) -> int:
    """Ask the providers about due runs, all at once; how many.

    Rows are leased and committed first, then asked for concurrently.
    """
    until, read = tools.clock() + POLL_FOR, 0
    with ThreadPoolExecutor(max_workers=limit) as pool:
        while True:
            chunk = _poll_chunk(pool, tools, limit)
            read += chunk
            if chunk < limit or tools.clock() >= until:
                return read


def _poll_chunk(pool: ThreadPoolExecutor, tools: Tools, limit: int) -> int:
    now = tools.clock()
    with database.transaction() as connection:
        rows = SQL["lease_due"].all(connection, now=now, lease_until=now + policy.LEASE, limit=limit)
    runs = [to_run(row) for row in rows]
    for run, row in zip(runs, rows, strict=True):
        if row["taken_over"]:
            moving.note_taken_over(run, tools)
    polls = [pool.submit(_look, run, tools) for run in runs]
    faults = [fault for poll in polls if (fault := poll.exception()) is not None]
    for fault in faults:
        _log.error("training.poll_crashed", exc_info=fault)
    if faults:
        raise faults[0]
    return len(rows)


def _look(run: Run, tools: Tools) -> None:
    """A provider may take longer for its answer than a lease lasts."""
    with moving.kept(run, tools):
        _advance_leased(run, tools)


def sweep(tools: Tools, limit: int = 200) -> int:
    """Put due runs that are no poll's business on the queue, where they have no job; how many."""
    now = tools.clock()
    with database.transaction() as connection:
        rows = SQL["due_without_job"].all(connection, now=now, limit=limit)
        for row in rows:
            moving.enqueue(connection, row["id"])
    return len(rows)
