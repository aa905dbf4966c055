"""A draft's images as one ZIP in storage, found again by a retry, and removed when nobody needs it."""

import contextvars
import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from core import database, log, queries
from core.errors import Conflict, StorageError
from core.storage.contract import Storage
from core.trainings import archive
from core.trainings.candidates import scratch
from core.trainings.dataset_tools import DatasetTools
from core.trainings.images import Verdict

BUCKET = "character-references"
KEPT_FOR = timedelta(hours=24)
_READS_AT_ONCE = 8
_CHUNK = 1024 * 1024
# By the way that an image was fetched, else by where it comes from.
_CAME = {
    "direct": "fetched directly",
    "proxy": "fetched through the proxy",
    "file": "given as a file",
    "generated": "generated",
}
_SQL = queries.load("training_images")
_log = log.get(__name__)


@dataclass(frozen=True)
class StoredZip:
    """A ZIP in storage; `images` is how many are in it. `DatasetTools.zip_link` gives its address."""

    bucket: str
    path: str
    bytes: int
    sha256: str
    images: int


def build_zip(lora_id: UUID, tools: DatasetTools, progress: Callable[[], None] | None = None) -> StoredZip:
    """Make and store the ZIP of a draft's or a LoRA's images.

    Steps: 1. a ZIP of the very same images that lies in storage already is taken; 2. the images come
    from storage, several at once, each against its hash; 3. the ZIP; 4. its key by its content, and the
    upload unless it lies there; 5. the row. Idempotent. `progress` is called now and then, and what it
    raises ends the work. Raises Conflict without images, InvalidInput when too large, StorageError.
    """
    rows = _images(lora_id)
    owner = rows[0]["owner"]
    fingerprint = hashlib.sha256("\n".join(str(row["sha256"]) for row in rows).encode()).hexdigest()
    known = _known(lora_id, fingerprint, tools)
    if known is not None:
        return known
    with scratch(tools.folder) as folder:
        paths = _collect(rows, folder, tools.storage, progress or _nothing)
        made = archive.write(paths, folder / "training.zip")
        stored = store(made, len(paths), owner, tools.zips, progress)
    with database.transaction() as connection:
        _SQL["keep_zip"].run(
            connection,
            id=lora_id,
            bucket=stored.bucket,
            path=stored.path,
            sha256=stored.sha256,
            bytes=stored.bytes,
            images=stored.images,
            images_sha256=fingerprint,
            now=tools.clock(),
        )
    return stored


def store(
    made: archive.Archive,
    images: int,
    owner: str,
    storage: Storage,
    progress: Callable[[], None] | None = None,
) -> StoredZip:
    """Upload a ZIP to the key that its content gives it, unless it lies there already."""
    path = f"{owner}/lora-training/training_{made.sha256}.zip"
    found = storage.stat(BUCKET, path)
    if found is None or found.bytes != made.bytes:
        with made.path.open("rb") as file, storage.upload(BUCKET) as upload:
            while chunk := file.read(_CHUNK):
                upload.write(chunk)
            upload.commit(path, "application/zip", progress)
    _log.info("training.zip_stored", path=path, mb=round(made.bytes / 1e6, 1), reused=found is not None)
    return StoredZip(BUCKET, path, made.bytes, made.sha256, images)


def delete_old_zips(tools: DatasetTools, now: datetime, zips: Iterable[tuple[str, str]]) -> int:
    """Remove the ZIPs at these (bucket, path) places, of runs that ended KEPT_FOR ago; the bytes freed.

    One that any LoRA has used since then stays: the same images have the same key. Idempotent.
    """
    freed = 0
    for bucket, path in dict.fromkeys(zips):
        with database.statement() as connection:
            found = _SQL["zip_in_use"].one(connection, bucket=bucket, path=path, since=now - KEPT_FOR)
        if found["in_use"]:
            continue
        stored = tools.zips.stat(bucket, path)
        if stored is not None and tools.zips.delete(bucket, path):
            freed += stored.bytes
    return freed


def zipped(connection: Connection, lora_id: UUID) -> list[str]:
    """A line for each image of a LoRA's ZIP: which of how many, its size, and how it had come."""
    rows = _SQL["zipped"].all(connection, id=lora_id)
    return [
        f"image {n} of {len(rows)}: {row['bytes'] / 1000:,.1f} KB,"
        f" {_CAME.get(row['way'] or row['source'], 'fetched')}"
        for n, row in enumerate(rows, start=1)
    ]


def _images(lora_id: UUID) -> Sequence[RowMapping]:
    with database.reading() as connection:
        rows = _SQL["sheet"].all(connection, id=lora_id, with_thumbnails=False)
    found = [row for row in rows if row["approved"] and row["verdict"] != Verdict.REFUSED]
    if not found:
        raise Conflict("This training has no images. Add some first.")
    return found


def _known(lora_id: UUID, fingerprint: str, tools: DatasetTools) -> StoredZip | None:
    """The ZIP that was made of these images before, when it still lies in storage."""
    with database.statement() as connection:
        row = _SQL["zip_of"].first(connection, id=lora_id, images_sha256=fingerprint, now=tools.clock())
    if row is None:
        return None
    there = tools.zips.stat(row["bucket"], row["path"])
    return StoredZip(**row) if there is not None and there.bytes == row["bytes"] else None


def _collect(
    rows: Sequence[RowMapping], folder: Path, storage: Storage, progress: Callable[[], None]
) -> list[Path]:
    """The images on disk, in their order."""

    def one(row: RowMapping) -> Path:
        path, digest = folder / f"{row['n']:03}.image", hashlib.sha256()
        reader = storage.open(row["bucket"], row["path"])
        try:
            with path.open("wb") as file:
                for chunk in reader.chunks():
                    digest.update(chunk)
                    file.write(chunk)
        finally:
            reader.close()
        if digest.hexdigest() != row["sha256"]:
            raise StorageError(
                f"Image {row['n']} is no longer what was stored at {row['path']}. Begin the training anew.",
                retryable=False,
            )
        return path

    with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="collect") as pool:
        begun = [pool.submit(contextvars.copy_context().run, one, row) for row in rows]
        found = []
        for read in begun:
            found.append(read.result())
            progress()
    return found


def _nothing() -> None:
    pass
