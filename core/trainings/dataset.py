"""The draft of a training's images: added, judged, shown, taken away, and at last made into a ZIP.

A draft is its rows; its id is the later LoRA's. Whoever may launch a training may work on any draft, until
it is launched: from then on its images stand.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from core import access, audit, database, log, queries
from core.access import Action, Actor
from core.errors import InvalidInput, NotFound
from core.providers.training import Bounds
from core.trainings import downloads
from core.trainings.adding import Added, add, delete_file, hold_open, owner_of
from core.trainings.candidates import Candidate, NewFile, address_hash, bring, clean_name, judge, scratch
from core.trainings.dataset_tools import DatasetTools
from core.trainings.fetching import FetchedImage, fetch_all
from core.trainings.images import Verdict
from core.trainings.references import Character, References, group
from core.trainings.sheet import Sheet, SheetImage, assess, wants_filling_up
from core.trainings.zips import StoredZip, build_zip, delete_old_zips

# The service as its callers know it, the ZIP's part included.
__all__ = [
    "Added", "NewFile", "StoredZip", "add_files", "add_references", "add_urls", "approve", "build_zip",
    "check_ready", "delete_old_zips", "references_of", "sheet", "sheet_of", "take_away", "used_addresses",
]  # fmt: skip

MAX_AT_ONCE = 24

SQL = queries.load("training_images")
_log = log.get(__name__)


def add_files(
    actor: Actor | None,
    draft_id: UUID,
    files: Sequence[NewFile],
    tools: DatasetTools,
    *,
    user_id: UUID | None = None,
) -> Added:
    """Judge and store files of somebody's own; `user_id` when the LoRA is to be a customer's.

    Steps: 1. the files to disk; 2. each judged, and made to fit; 3. a row each, unless the draft has it
    already; 4. the files stored; 5. the rows noted as stored. Adding them again after a crash goes on
    where it was. Raises NotAllowed, InvalidInput, Conflict once the draft is launched, StorageError.
    """
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    _check_count(len(files), "files")
    with scratch(tools.folder) as folder:
        judged = judge(bring(files, folder))
        return add(actor, draft_id, judged, tools, _owner_of(actor, user_id))


def add_urls(
    actor: Actor | None,
    draft_id: UUID,
    urls: Sequence[str],
    tools: DatasetTools,
    *,
    user_id: UUID | None = None,
    source: str = "url",
) -> Added:
    """Fetch images by their addresses, then as `add_files`; what cannot be had is a note."""
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    wanted = list(dict.fromkeys(url for given in urls if (url := given.strip())))
    _check_count(len(wanted), "addresses")
    _check_open(draft_id)
    with scratch(tools.folder) as folder:
        fetched = fetch_all(wanted, folder, tools.fetch, tools.sleep, tools.proxy)
        with database.transaction() as connection:
            downloads.count(connection, fetched, tools.clock())
        candidates = [
            Candidate(_name_of(image.url), source, image.path, image.way, url=image.url)
            for image in fetched
            if image.path is not None
        ]
        added = add(actor, draft_id, judge(candidates), tools, _owner_of(actor, user_id))
    missed = tuple(_missed(image) for image in fetched if image.path is None)
    return Added(added.images, (*missed, *added.notes))


def _owner_of(actor: Actor, user_id: UUID | None) -> str:
    with database.statement() as connection:
        return owner_of(connection, actor, user_id)


def references_of(actor: Actor | None, job_id: UUID) -> References:
    """The characters of an earlier job that a LoRA can be trained for. Raises NotFound."""
    access.check(actor, Action.LAUNCH_TRAINING)
    with database.reading() as connection:
        row = SQL["job_record"].first(connection, id=job_id)
    if row is None:
        raise NotFound(f"There is no job {job_id}. Check its id.")
    found = group(row["record"])
    if not found.characters and not found.skipped:
        raise NotFound(f"The job {job_id} has no character references. Add images by hand.")
    return found


def add_references(
    actor: Actor | None,
    draft_id: UUID,
    character: Character,
    tools: DatasetTools,
    *,
    user_id: UUID | None = None,
) -> Added:
    """The images of one character into the draft of its LoRA (`Character.draft_id`)."""
    urls, over = character.urls[:MAX_AT_ONCE], len(character.urls) - MAX_AT_ONCE
    added = add_urls(actor, draft_id, urls, tools, user_id=user_id, source="reference")
    if over <= 0:
        return added
    note = f"{character.id} has {over} images more than the {MAX_AT_ONCE} that were added."
    return Added(added.images, (*added.notes, note))


def take_away(actor: Actor | None, draft_id: UUID, n: int, tools: DatasetTools) -> None:
    """Take image `n` out of the draft; its file goes too. Idempotent; Conflict once it is launched."""
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    with database.transaction() as connection:
        hold_open(connection, draft_id)
        row = SQL["take_image_away"].first(connection, id=draft_id, n=n, now=tools.clock())
        if row is None:
            return
        after = {"n": n, "name": row["original_name"]}
        audit.record(connection, actor, "training.image_removed", "lora_model", str(draft_id), before=after)
    if row["path"]:
        delete_file(tools.storage, row["bucket"], row["path"])


def approve(actor: Actor | None, draft_id: UUID, n: int, tools: DatasetTools) -> None:
    """A person's word that generated image `n` goes into the training. Idempotent; Conflict once launched."""
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    with database.transaction() as connection:
        hold_open(connection, draft_id)
        row = SQL["approve_image"].first(connection, id=draft_id, n=n)
        if row is not None:
            after = {"n": n, "name": row["original_name"]}
            audit.record(
                connection, actor, "training.image_approved", "lora_model", str(draft_id), after=after
            )


def sheet(actor: Actor | None, draft_id: UUID, bounds: Bounds | None = None) -> Sheet:
    """The draft's contact sheet, judged for a trainer with these bounds; empty for one that is not begun."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return sheet_of(connection, draft_id, bounds, with_thumbnails=True)


def check_ready(connection: Connection, draft_id: UUID, bounds: Bounds, *, filled_up: bool = False) -> Sheet:
    """The sheet of a draft that is launched in the caller's transaction, which holds it until the end.

    With `filled_up` three or four own images do not stand alone. Raises InvalidInput with every problem; to
    be called before the LoRA's row is written.
    """
    SQL["hold_draft"].all(connection, id=str(draft_id))
    found = sheet_of(connection, draft_id, bounds)
    problems = list(found.problems)
    if filled_up and not problems and (wanting := wants_filling_up(found)):
        problems.append(wanting)
    if problems:
        raise InvalidInput("images", " ".join(problems))
    return found


def used_addresses(connection: Connection, draft_id: UUID, urls: Sequence[str]) -> list[str]:
    """Those of the addresses whose images go into the training: neither taken away nor refused.

    All of them for a draft of which nobody noted where its images came from.
    """
    row = SQL["used_addresses"].one(connection, id=draft_id)
    if not row["known"]:
        return list(urls)
    used = set(row["used"] or ())
    return [url for url in urls if address_hash(url) in used]


def problems_of(connection: Connection, draft_id: UUID, bounds: Bounds | None) -> tuple[str, ...]:
    """What stands in the way of a launch with the draft's images, a sentence each."""
    return sheet_of(connection, draft_id, bounds).problems


def sheet_of(
    connection: Connection, draft_id: UUID, bounds: Bounds | None = None, *, with_thumbnails: bool = False
) -> Sheet:
    """The sheet as it stands in the caller's transaction."""
    rows = SQL["sheet"].all(connection, id=draft_id, with_thumbnails=with_thumbnails)
    drawn = SQL["being_drawn"].one(connection, id=draft_id)["n"]
    return assess(draft_id, [_image(row) for row in rows], bounds, drawn=drawn)


def _image(row: RowMapping) -> SheetImage:
    return SheetImage(
        n=row["n"],
        source=row["source"],
        name=row["original_name"],
        format=row["format"],
        width=row["width"],
        height=row["height"],
        bytes=row["bytes"],
        sha256=row["sha256"] or "",
        phash=row["phash"],
        verdict=Verdict(row["verdict"]),
        reasons=tuple(row["reasons"]),
        approved=row["approved"],
        bucket=row["bucket"],
        path=row["path"],
        thumbnail=bytes(row["thumbnail"]) if row["thumbnail"] is not None else None,
    )


def _check_open(draft_id: UUID) -> None:
    with database.transaction() as connection:
        hold_open(connection, draft_id)


def _check_count(count: int, what: str) -> None:
    if not count:
        raise InvalidInput("images", f"There are no {what}. Give at least one.")
    if count > MAX_AT_ONCE:
        raise InvalidInput(
            "images", f"{count} {what} are too many at once; a training takes 12. Give at most {MAX_AT_ONCE}."
        )


def _name_of(url: str) -> str:
    """The file's name in an address; never its query, which may hold a key."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "image"
    return clean_name(Path(parts.path).name or parts.hostname or "image")


def _missed(image: FetchedImage) -> str:
    return f"Address {image.n} ({_name_of(image.url)}): {image.failure}"
