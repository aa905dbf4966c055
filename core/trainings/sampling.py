"""The judged test images of a published LoRA on its card at Hugging Face; what fails there ends no run."""

from datetime import timedelta
from pathlib import Path, PurePosixPath

from core import database, log
from core.errors import NotFound, ProviderError, StorageError
from core.providers.hugging_face import Publisher
from core.providers.hugging_face_card import Sample
from core.trainings import policy, publishing, storing
from core.trainings.candidates import scratch
from core.trainings.models import Call, Event, EventKind, Run
from core.trainings.repository import SQL, add_event, calls_of, pictures_of, say, to_run
from core.trainings.tools import Tools

# Longer than an upload of three images takes; whoever crashes meanwhile is followed by another.
AGAIN = timedelta(minutes=5)
AT_ONCE = 20
FOLDER = "samples"

_log = log.get(__name__)


def publish_due(tools: Tools) -> int:
    """Add the test images of every run that is due to its card; how many runs."""
    now = tools.clock()
    with database.transaction() as connection:
        rows = SQL["claim_cards"].all(connection, now=now, again_at=now + AGAIN, limit=AT_ONCE)
    for row in rows:
        _publish(to_run(row), tools)
    return len(rows)


def _publish(run: Run, tools: Tools) -> None:
    """The card once more, with those images that show the character. Idempotent at the Hub."""
    if tools.publisher is None:
        _failed(run, "HUGGINGFACE_API_TOKEN or HUGGINGFACE_USERNAME is not set. Set them.", tools)
        return
    with database.reading() as connection:
        shown = [call for call in pictures_of(calls_of(connection, run.id)) if call.shows and call.path]
    if not shown:
        _failed(run, "Its test images are no longer kept.", tools)
        return
    try:
        with scratch(tools.folder) as folder:
            commit = _commit(run, shown, folder, tools.publisher, tools)
    except (ProviderError, StorageError) as error:
        _failed(run, error.message, tools, retryable=error.retryable)
        return
    except NotFound as error:
        _failed(run, error.message, tools)
        return
    now = tools.clock()
    with database.transaction() as connection:
        SQL["card_done"].run(connection, id=run.id, samples=len(shown), now=now)
        SQL["set_published"].run(
            connection, lora_id=run.lora_id, url=run.huggingface_url, commit=commit, now=now
        )
        detail = {"samples": len(shown), "commit": commit}
        add_event(connection, run, now, Event(EventKind.SAMPLES_PUBLISHED, detail=detail))
        say(connection, run, now, f"{len(shown)} test images added to the card at Hugging Face")


def _commit(run: Run, shown: list[Call], folder: Path, publisher: Publisher, tools: Tools) -> str:
    """The revision that has the card and its images."""
    name = publishing.repo_name(run)
    files, samples = {}, []
    for call in shown:
        assert call.bucket is not None
        assert call.path is not None
        path = f"{FOLDER}/{call.n + 1}{PurePosixPath(call.path).suffix}"
        files[path] = folder / f"{call.n}"
        storing.copy_out(call.path, files[path], tools, call.bucket)
        samples.append(Sample(path, call.prompt or ""))
    card = publishing.card_of(run, publisher.repo_id(name), samples)
    return publisher.publish(name, card, files, private=False).commit


def _failed(run: Run, reason: str, tools: Tools, *, retryable: bool = False) -> None:
    """Tried again by itself some times, then when a person says so."""
    now = tools.clock()
    again = retryable and run.card_attempt + 1 < policy.MAX_TRIES
    due = now + policy.pause(run.card_attempt + 1) if again else None
    _log.warning("training.card_failed", run_id=str(run.id), reason=reason, again=again)
    with database.transaction() as connection:
        SQL["card_failed"].run(
            connection, id=run.id, error=str(log.redact(reason))[:2000], due_at=due, now=now
        )
        say(connection, run, now, f"The test images are not on the card yet: {reason}", level="warning")
