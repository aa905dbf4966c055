"""Files on their way into a draft: brought to disk, judged, and made to fit."""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from core.errors import InvalidInput
from core.storage.file_types import JPEG
from core.trainings.fetching import Way
from core.trainings.images import (
    MAX_BYTES,
    Inspected,
    Thumbnail,
    Verdict,
    inspect,
    measure,
    prepare,
    thumbnail,
)
from core.trainings.picture_facts import read_facts

MAX_NAME = 200
# Decoding is the work; more at once would only take more memory.
AT_ONCE = 2
_CHUNK = 1024 * 1024
_ABANDONED_AFTER_S = 24 * 3600.0


@dataclass(frozen=True)
class NewFile:
    """A file that somebody gives, under the name that they know it by; `source` is where it came from."""

    name: str
    content: BinaryIO = field(repr=False)
    source: str = "file"


@dataclass(frozen=True)
class Candidate:
    """A file on disk that may become an image of a draft; `source` is file, url, reference or generated,
    `way` and `url` how and from where one was fetched. One that is not `approved` waits for a person's
    word."""

    name: str
    source: str
    path: Path
    way: Way | None = None
    approved: bool = True
    url: str | None = field(default=None, repr=False)

    @property
    def url_sha256(self) -> str | None:
        """What its address is known again by; an address may hold a key."""
        return address_hash(self.url) if self.url else None


def address_hash(url: str) -> str:
    """The hash of an image's address."""
    return hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class Judged:
    """A candidate with its verdict, and the file that is to be stored: its own, or one made to fit.

    `format`, `width`, `height`, `bytes` and `sha256` are that file's; `found` is of the candidate as it came.
    """

    candidate: Candidate
    found: Inspected
    path: Path
    format: str
    width: int
    height: int
    bytes: int
    sha256: str
    thumbnail: Thumbnail | None = field(repr=False)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty folder on the disk, gone afterwards; what a killed process left is gone a day later."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    for old in folder.glob("work-*"):
        with suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=folder) as made:
        yield Path(made)


def bring(files: Sequence[NewFile], folder: Path) -> list[Candidate]:
    """Write the files into `folder`; of one that is too large only so much that it is seen to be."""
    found = []
    for n, file in enumerate(files, start=1):
        path = folder / f"{n:03}.given"
        with path.open("wb") as target:
            while target.tell() <= MAX_BYTES and (chunk := file.content.read(_CHUNK)):
                target.write(chunk)
        found.append(Candidate(clean_name(file.name), file.source, path))
    return found


def judge(candidates: Sequence[Candidate]) -> list[Judged]:
    """The verdict on each, in their order."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="judge") as pool:
        return list(pool.map(_judge, candidates))


def clean_name(name: str) -> str:
    """A file's name as it can be kept and shown: its last part, printable, not too long."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    printable = "".join(letter for letter in last if letter.isprintable()).strip()
    return printable.encode("utf-8", "replace").decode()[:MAX_NAME] or "image"


def _judge(candidate: Candidate) -> Judged:
    found, path = inspect(candidate.path), candidate.path
    if found.verdict is Verdict.REFUSED:
        return Judged(candidate, found, path, found.format, found.width, found.height, found.bytes, "", None)
    if not found.converts:
        small = thumbnail(path)
        return Judged(
            candidate, found, path, found.format, found.width, found.height, found.bytes, found.sha256, small
        )
    path = candidate.path.with_suffix(".jpg")
    prepare(candidate.path, path)
    size, digest = measure(path)
    with path.open("rb") as file:
        facts = read_facts(file, JPEG)
    if facts is None:
        raise InvalidInput("images", f"{candidate.name} could not be made to fit. Add it as a plain JPEG.")
    return Judged(candidate, found, path, "jpg", facts.width, facts.height, size, digest, thumbnail(path))
