"""Judged files into a draft: a row each, then the file to its place; two tabs take turns and lose nothing."""

import contextvars
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from core import audit, database, log, queries
from core.access import Actor
from core.errors import Conflict, InvalidInput, StorageError
from core.loras.accounts import account_of
from core.storage.contract import Storage
from core.storage.rules import content_type_of
from core.trainings.candidates import Judged
from core.trainings.dataset_tools import DatasetTools
from core.trainings.images import Verdict

BUCKET = "lora-training-images"
MAX_IN_DRAFT = 60
_UPLOADS_AT_ONCE = 4
_CHUNK = 1024 * 1024

SQL = queries.load("training_images")
_log = log.get(__name__)


@dataclass(frozen=True)
class Added:
    """The numbers that were given to new images; `notes` say in sentences what else there is to know."""

    images: tuple[int, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """Where a judged file is to lie, its row being there already."""

    n: int
    bucket: str
    path: str
    judged: Judged


def owner_of(connection: Connection, actor: Actor, user_id: UUID | None) -> str:
    """The first part of the path of an actor's images: the customer's when the LoRA is to be theirs, else of
    their own account, or of their own id where they have none."""
    owner = user_id or account_of(connection, actor)
    return str(owner) if owner else re.sub(r"[^A-Za-z0-9_-]", "_", actor.id)[:100]


def add(actor: Actor, draft_id: UUID, judged: Sequence[Judged], tools: DatasetTools, owner: str) -> Added:
    """A row for each, then its file stored. Raises InvalidInput, Conflict once launched, StorageError."""
    numbers: list[int] = []
    notes: list[str] = []
    places: list[_Place] = []
    with database.transaction() as connection:
        there = hold_open(connection, draft_id)
        if there + len(judged) > MAX_IN_DRAFT:
            raise InvalidInput("images", f"A draft keeps at most {MAX_IN_DRAFT} files. Take some away first.")
        for one in judged:
            row = SQL["add_image"].first(connection, **_row(actor, draft_id, owner, one), now=tools.clock())
            known = row or SQL["same_image"].one(connection, id=draft_id, original_sha256=one.found.sha256)
            if row is None and (known["stored_at"] is not None or known["n"] in numbers):
                notes.append(
                    f"{one.candidate.name} is the same image as image {known['n']}"
                    f" ({known['original_name']}); it counts once."
                )
                continue
            numbers.append(known["n"])
            if one.candidate.way is not None:
                SQL["image_came"].run(connection, id=draft_id, n=known["n"], way=one.candidate.way)
            if known["bucket"]:
                places.append(_Place(known["n"], known["bucket"], known["path"], one))
        if numbers:
            after = {"images": numbers, "sources": sorted({one.candidate.source for one in judged})}
            audit.record(connection, actor, "training.images_added", "lora_model", str(draft_id), after=after)
    gone = _store(draft_id, places, tools)
    notes += [f"Image {n} was taken away, or the training launched, before it was stored." for n in gone]
    return Added(tuple(n for n in numbers if n not in gone), tuple(notes))


def _row(actor: Actor, draft_id: UUID, owner: str, one: Judged) -> dict[str, Any]:
    kept = one.found.verdict is not Verdict.REFUSED
    return {
        "id": draft_id,
        "owner": owner,
        "source": one.candidate.source,
        "original_name": one.candidate.name,
        "original_sha256": one.found.sha256,
        "bucket": BUCKET if kept else None,
        "folder": f"{owner}/{draft_id}/uploaded/" if kept else None,
        "sha256": one.sha256 or None,
        "bytes": one.bytes,
        "width": one.width,
        "height": one.height,
        "format": one.format,
        "phash": one.found.phash,
        "verdict": one.found.verdict,
        "approved": one.candidate.approved,
        "reasons": list(one.found.reasons),
        "thumbnail": one.thumbnail,
        "added_by": actor.name,
        "source_sha256": one.candidate.url_sha256,
    }


def _store(draft_id: UUID, places: Sequence[_Place], tools: DatasetTools) -> set[int]:
    """Upload each file to its place and note that it is there; the numbers that nobody wants any more.

    The first fault is raised when all are done.
    """

    def one(place: _Place) -> bool:
        _upload(tools.storage, place)
        with database.statement() as connection:
            kept = SQL["image_stored"].first(connection, id=draft_id, n=place.n, now=tools.clock())
        if kept is None:
            delete_file(tools.storage, place.bucket, place.path)
        return kept is not None

    with ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="store") as pool:
        begun = [pool.submit(contextvars.copy_context().run, one, place) for place in places]
    return {place.n for place, upload in zip(places, begun, strict=True) if not upload.result()}


def _upload(storage: Storage, place: _Place) -> None:
    with place.judged.path.open("rb") as file, storage.upload(place.bucket) as upload:
        while chunk := file.read(_CHUNK):
            upload.write(chunk)
        upload.commit(place.path, content_type_of(place.path))


def delete_file(storage: Storage, bucket: str, path: str) -> None:
    """Remove a file that no row needs any more; a storage that refuses costs its bytes, nothing else."""
    try:
        storage.delete(bucket, path)
    except StorageError as error:
        _log.warning("training.file_left", bucket=bucket, path=path, error=error.message)


def hold_open(connection: Connection, draft_id: UUID) -> int:
    """Hold the draft and count its files. Raises Conflict when it has been launched."""
    SQL["hold_draft"].all(connection, id=str(draft_id))
    found = SQL["draft"].one(connection, id=draft_id)
    if found["launched"]:
        raise Conflict("This training is launched, so its images stand. Begin a new one to change them.")
    return int(found["images"])
