"""Real pictures and films for the history, so that what is shown opens."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core import database, usage
from core.deliveries.tools import BUCKET, Tools
from core.rehearsal.control import Control
from core.rehearsal.course import PROMPTS
from core.rehearsal.models import FIRST, HISTORY, MARK, numbered_id
from core.rehearsal.repository import SQL

SIDE = 448
# So many of the newest deliveries have files of their own; older ones share those of a small pool.
MOST_OWN_FILES = 120
_EXTENSION = {"image": ("jpg", "image/jpeg"), "video": ("mp4", "video/mp4")}


@dataclass(frozen=True)
class Sample:
    """A picture or film of the pool: its bytes, and the permanent URL under which it lies."""

    kind: str
    content: bytes
    url: str


@dataclass(frozen=True)
class _File:
    generation_id: UUID
    bucket: str
    path: str
    bytes: int
    sha256: str
    content_type: str
    url: str
    stored_at: datetime


def pool(control: Control, tools: Tools) -> list[Sample]:
    """Have the sandbox make a picture of each prompt and a film, and store them in a customer's folder."""
    wanted = [("image", prompt) for prompt in PROMPTS] + [("video", PROMPTS[0])]
    return [
        _keep(tools, kind, n, control.sample(kind, prompt, SIDE)) for n, (kind, prompt) in enumerate(wanted)
    ]


def _keep(tools: Tools, kind: str, n: int, content: bytes) -> Sample:
    extension, content_type = _EXTENSION[kind]
    owner = numbered_id("e", 0)
    path = f"{owner}/{kind}/sample_{n}.{extension}"
    _store(tools, path, content, content_type)
    return Sample(kind, content, tools.storage.url(BUCKET, path))


def _store(tools: Tools, path: str, content: bytes, content_type: str) -> None:
    with tools.storage.upload(BUCKET) as upload:
        upload.write(content)
        upload.commit(path, content_type)


def urls(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The pool's URLs by kind."""
    return {kind: [one.url for one in samples if one.kind == kind] for kind in _EXTENSION}


def give_own(samples: Sequence[Sample], tools: Tools, generations: int) -> int:
    """Store files of their own for the newest deliveries of the history; how many."""
    with database.reading() as connection:
        rows = SQL["newest_delivered"].all(
            connection,
            first=FIRST,
            last=f"{MARK}{HISTORY}ff-ffff-ffffffffffff",
            limit=min(MOST_OWN_FILES, generations // 40),
        )
    files = [_give(row, n, samples, tools) for n, row in enumerate(rows)]
    with database.transaction() as connection:
        SQL["give_files"].run(connection, files=json.dumps([asdict(one) for one in files], default=str))
    return len(files)


def _give(row: Any, n: int, samples: Sequence[Sample], tools: Tools) -> _File:
    of_kind = [one for one in samples if one.kind == row["kind"]]
    sample = of_kind[n % len(of_kind)]
    extension, content_type = _EXTENSION[sample.kind]
    created = int(row["created_at"].timestamp() * 1000)
    path = f"{row['user_id']}/{row['kind']}/{row['id']}_{created}.{extension}"
    _store(tools, path, sample.content, content_type)
    return _File(
        generation_id=row["id"],
        bucket=BUCKET,
        path=path,
        bytes=len(sample.content),
        sha256=hashlib.sha256(sample.content).hexdigest(),
        content_type=content_type,
        url=tools.storage.url(BUCKET, path),
        stored_at=row["delivered_at"],
    )


def draw_usage(days: int, now: datetime, tools: Tools) -> None:
    """Counts of storage for each day of the history, growing to what is stored now."""
    # As of this moment, not of the beginning: its files have just been written.
    counted = usage.snapshot(tools.storage, tools.clock())
    counts = json.dumps([vars(line) for line in counted.lines])
    with database.transaction() as connection:
        rows = SQL["usage_curve"].all(connection, now=now, days=days, counts=counts)
        taken = sorted({row["taken_at"] for row in rows})
        SQL["note_usage"].run(connection, taken=taken)


def remove_all(tools: Tools) -> int:
    """Delete every file of the rehearsal's customers; how many."""
    removed = 0
    while found := tools.storage.find(BUCKET, MARK):
        removed += sum(tools.storage.delete(one.bucket, one.path) for one in found)
    return removed
