"""The first two stages: what must be there before anything is paid, and the ZIP that a trainer fetches."""

from sqlalchemy import Connection

from core.errors import Conflict, ErrorCategory, InvalidInput, NotFound, ProviderError, StorageError
from core.trainings import calls, dataset, moving, zips
from core.trainings.models import Event, EventKind, Run, Trouble
from core.trainings.repository import SQL, say
from core.trainings.tools import Tools


def begin(run: Run, tools: Tools) -> None:
    """The first step of a leased run: nothing that costs money may begin without these."""
    if run.trainer not in tools.trainers:
        reason = tools.missing.get(run.trainer, f"There is no trainer {run.trainer}.")
        moving.try_again(run, _wanting(reason), tools)
        return
    if tools.images is None:
        moving.try_again(run, _wanting("FAL_KEY is not set, and test pictures are made at fal."), tools)
        return
    moving.finish_stage(run, tools)


def advance(run: Run, tools: Tools) -> None:
    """The second step: the ZIP of the pictures, built or found again, whose bytes the pictures decide."""
    try:
        with moving.kept(run, tools):
            stored = dataset.build_zip(run.lora_id, tools.dataset)
    except (InvalidInput, Conflict) as error:
        moving.try_again(run, _unusable(error), tools)
        return
    except ProviderError as error:
        moving.try_again(run, calls.trouble_of(error), tools)
        return
    except (StorageError, NotFound) as error:
        moving.try_again(run, _not_stored(error), tools)
        return

    def also(connection: Connection) -> None:
        now = tools.clock()
        SQL["set_zip"].run(
            connection,
            id=run.id,
            bucket=stored.bucket,
            path=stored.path,
            bytes=stored.bytes,
            sha256=stored.sha256,
            images=stored.images,
            now=now,
        )
        for line in zips.zipped(connection, run.lora_id):
            say(connection, run, now, line)
        say(connection, run, now, f"ZIP stored: {stored.images} images, {stored.bytes / 1e6:,.1f} MB")

    detail = {"path": stored.path, "sha256": stored.sha256, "images": stored.images}
    moving.finish_stage(run, tools, Event(EventKind.ZIP_STORED, bytes=stored.bytes, detail=detail), also)


def _wanting(reason: str) -> Trouble:
    return Trouble(
        reason,
        ErrorCategory.AUTHENTICATION,
        retryable=True,
        next_action="Set what it names; nothing was paid.",
    )


def _unusable(error: InvalidInput | Conflict) -> Trouble:
    return Trouble(
        error.message,
        ErrorCategory.VALIDATION,
        retryable=False,
        next_action="Change the pictures, then start it again; nothing was paid.",
    )


def _not_stored(error: StorageError | NotFound) -> Trouble:
    return Trouble(
        f"The ZIP could not be stored: {error.message}",
        ErrorCategory.FILE_ERROR,
        retryable=isinstance(error, StorageError) and error.retryable,
        next_action="Mend the storage, then start it again; nothing was paid.",
    )
