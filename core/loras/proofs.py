"""The weekly proof that every LoRA's weights are there and are what they were."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from core import access, database, log
from core.access import Action, Actor
from core.errors import InvalidInput, NotFound, StorageError
from core.loras.models import WEIGHTS_BUCKET
from core.loras.repository import SQL
from core.storage.contract import Storage

EVERY = timedelta(days=7)
# A run goes on for so long, reads so much a second, and looks for so many at a time.
RUN_FOR_S = 60.0
BYTES_PER_S = 20_000_000
AT_ONCE = 50
GOOD, MISSING, DIFFERS = "good", "missing", "differs"
_log = log.get(__name__)


@dataclass(frozen=True)
class Due:
    """A file to be looked at; `sha256` None: nobody has said what it should be."""

    id: UUID
    path: str
    bytes: int | None
    sha256: str | None


@dataclass
class Pacer:
    """Lets so many bytes a second through."""

    bytes_per_s: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    _owed_until: float = 0.0

    def through(self, size: int) -> None:
        """Wait until `size` more bytes may have been read."""
        now = self.clock()
        self._owed_until = max(self._owed_until, now) + size / self.bytes_per_s
        if self._owed_until > now:
            self.sleep(self._owed_until - now)


def prove(
    storage: Storage,
    now: datetime,
    *,
    run_for_s: float = RUN_FOR_S,
    bytes_per_s: float = BYTES_PER_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Look at the files that are due, those never looked at first; how many were.

    Each look is recorded at once, so that whoever goes on begins behind it. A file that is begun is read to
    its end. A storage that fails leaves the file due; the first such fault is raised when the run is over.
    """
    ends, pacer = clock() + run_for_s, Pacer(bytes_per_s, clock, sleep)
    looked, fault = 0, None
    for due in _due(now, set()):
        if clock() >= ends:
            break
        try:
            _look(storage, due, now, pacer)
            looked += 1
        except StorageError as error:
            _log.warning("lora.proof_failed", lora_id=str(due.id), error=error.message)
            fault = fault or error
    if fault is not None:
        raise fault
    return looked


def _due(now: datetime, seen: set[UUID]) -> Iterator[Due]:
    """What is due, each once."""
    while True:
        with database.reading() as connection:
            rows = [
                *SQL["unproven"].all(connection, limit=AT_ONCE),
                *SQL["proofs_due"].all(connection, before=now - EVERY, limit=AT_ONCE),
            ]
        fresh = [Due(**row) for row in rows if row["id"] not in seen]
        if not fresh:
            return
        seen |= {due.id for due in fresh}
        yield from fresh


def _look(storage: Storage, due: Due, now: datetime, pacer: Pacer) -> None:
    """Look at one file and record what was found."""
    try:
        found = _hash(storage, due, pacer)
    except (NotFound, InvalidInput):
        found = None
    if found is None:
        state, sha256, size = MISSING, None, None
    else:
        sha256, size = found
        fits = sha256 is not None and due.sha256 in {None, sha256}
        state = GOOD if fits else DIFFERS
    with database.statement() as connection:
        SQL["record_proof"].run(
            connection,
            id=due.id,
            state=state,
            expected=due.sha256 or (sha256 if state == GOOD else None),
            found=sha256,
            bytes=size,
            now=now,
        )
    if state != GOOD:
        _log.error("lora.weights_wrong", lora_id=str(due.id), state=state, path=due.path)


def _hash(storage: Storage, due: Due, pacer: Pacer) -> tuple[str | None, int] | None:
    """A file's hash and size; None when there is none, no hash when its size is another already."""
    there = storage.stat(WEIGHTS_BUCKET, due.path)
    if there is None:
        return None
    if due.bytes and there.bytes != due.bytes:
        return None, there.bytes
    digest, size = hashlib.sha256(), 0
    reader = storage.open(WEIGHTS_BUCKET, due.path)
    try:
        for chunk in reader.chunks():
            digest.update(chunk)
            size += len(chunk)
            pacer.through(len(chunk))
    finally:
        reader.close()
    return digest.hexdigest(), size


def ask_again(actor: Actor | None, lora_id: UUID) -> None:
    """Have a LoRA's file looked at by the next run, as after it was put back."""
    access.check(actor, Action.MODERATE_LORA)
    with database.statement() as connection:
        SQL["prove_again"].run(connection, id=lora_id)
