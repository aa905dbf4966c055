"""The first two stages: what must be there before anything is paid, and the ZIP that a trainer fetches."""

from sqlalchemy import Connection

from core import access, database
from core.errors import Conflict, ErrorCategory, InvalidInput, NotFound, ProviderError, StorageError
from core.trainings import adopting, calls, dataset, moving, zips
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
        moving.try_again(run, _wanting("FAL_KEY is not set, and test images are made at fal."), tools)
        return
    if run.images is None and not _bring(run, tools):
        return
    moving.finish_stage(run, tools)


def _bring(run: Run, tools: Tools) -> bool:
    """Fetch anew the images of a run that was refused for want of them; whether they suffice now."""
    with database.reading() as connection:
        row = SQL["references"].one(connection, lora_id=run.lora_id)
    notes: tuple[str, ...] = ()
    try:
        with moving.kept(run, tools):
            notes = adopting.bring(access.job("train"), row, tools)
        with database.transaction() as connection:
            ready = dataset.check_ready(connection, run.lora_id, tools.trainers[run.trainer].bounds)
            SQL["set_images"].run(
                connection, id=run.id, token=run.lease_token, images=len(ready.used), now=tools.clock()
            )
    except (InvalidInput, Conflict) as error:
        moving.try_again(run, _unusable(error, notes), tools)
        return False
    return True


def advance(run: Run, tools: Tools) -> None:
    """The second step: the ZIP of the images, built or found again, whose bytes the images decide."""
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


def _unusable(error: InvalidInput | Conflict, notes: tuple[str, ...] = ()) -> Trouble:
    return Trouble(
        " ".join((error.message, *notes)),
        ErrorCategory.VALIDATION,
        retryable=False,
        next_action="Change the images, then start it again; nothing was paid.",
    )


def _not_stored(error: StorageError | NotFound) -> Trouble:
    return Trouble(
        f"The ZIP could not be stored: {error.message}",
        ErrorCategory.FILE_ERROR,
        retryable=isinstance(error, StorageError) and error.retryable,
        next_action="Mend the storage, then start it again; nothing was paid.",
    )
