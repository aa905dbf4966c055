"""The trainings in the sandbox's file; each is on disk before it is answered."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from core.sandbox.fault import Place
from core.sandbox.faults import Choice
from core.sandbox.trainings import Failure, Service, Stage, Training, dumps

SCHEMA = """
CREATE TABLE IF NOT EXISTS trainings (
    id TEXT PRIMARY KEY, service TEXT NOT NULL, kind TEXT NOT NULL, run TEXT, created INTEGER NOT NULL,
    live INTEGER NOT NULL, stage TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS trainings_live ON trainings (created) WHERE live = 1;
CREATE INDEX IF NOT EXISTS trainings_service ON trainings (service, created);
CREATE TABLE IF NOT EXISTS things (
    kind TEXT NOT NULL, name TEXT NOT NULL, data TEXT NOT NULL, content BLOB, PRIMARY KEY (kind, name));
"""


@dataclass(frozen=True)
class Letter:
    """A webhook to send at `due`; `says` is its event and, after a space, what is wrong with it."""

    due: int
    says: str


class TrainingStore:
    """The table of trainings, and the webhooks that they owe."""

    def __init__(
        self, db: sqlite3.Connection, transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._db = db
        self._transaction = transaction
        db.executescript(SCHEMA)

    def save(self, training: Training, letters: Iterable[Letter] = ()) -> None:
        """Add or replace it, and owe these letters."""
        one = training
        live = not one.stage.ended
        row = (one.id, one.service, one.kind, one.run, one.created, live, one.stage, dumps(one))
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO trainings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._db.executemany(
                "INSERT INTO callbacks (task, delay, due, says) VALUES (?, 0, ?, ?)",
                [(one.id, letter.due, letter.says) for letter in letters],
            )

    def get(self, training_id: str, service: Service | None = None) -> Training | None:
        row = self._db.execute(
            "SELECT data FROM trainings WHERE id = ?1 AND (?2 IS NULL OR service = ?2)",
            (training_id, service),
        ).fetchone()
        return _training(row[0]) if row else None

    def live(self) -> list[Training]:
        """Those that have not ended, oldest first."""
        rows = self._db.execute("SELECT data FROM trainings WHERE live = 1 ORDER BY created")
        return [_training(row[0]) for row in rows]

    def of(self, service: Service, limit: int, offset: int = 0) -> list[Training]:
        """A service's, newest first."""
        rows = self._db.execute(
            "SELECT data FROM trainings WHERE service = ? ORDER BY created DESC, rowid DESC LIMIT ? OFFSET ?",
            (service, limit, offset),
        )
        return [_training(row[0]) for row in rows]

    def pods_alive(self) -> int:
        """Pods that cost: those that have not ended, and those that linger until they are terminated."""
        found = self._db.execute(
            "SELECT count(*) FROM trainings"
            " WHERE service = 'runpod' AND json_extract(data, '$.facts.terminated') IS NULL"
            " AND (live = 1 OR stage <> 'cancelled' AND json_extract(data, '$.facts.lingers') = 1)"
        )
        return int(found.fetchone()[0])

    def count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM trainings").fetchone()[0])

    def count_live(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM trainings WHERE live = 1").fetchone()[0])

    # Whatever else the services keep: models, repositories, their files

    def put_thing(self, kind: str, name: str, data: Mapping[str, Any]) -> bool:
        """Add it; False when there is one of that name."""
        sql = "INSERT OR IGNORE INTO things VALUES (?, ?, ?, NULL)"
        return self._db.execute(sql, (kind, name, json.dumps(data))).rowcount > 0

    def set_things(self, rows: Iterable[tuple[str, str, Mapping[str, Any], bytes | None]]) -> None:
        """Add or replace them all at once: kind, name, data, content."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO things VALUES (?, ?, ?, ?)",
                [(kind, name, json.dumps(data), content) for kind, name, data, content in rows],
            )

    def thing(self, kind: str, name: str) -> dict[str, Any] | None:
        row = self._db.execute("SELECT data FROM things WHERE kind = ? AND name = ?", (kind, name)).fetchone()
        return dict(json.loads(row[0])) if row else None

    def content(self, kind: str, name: str) -> bytes:
        row = self._db.execute(
            "SELECT content FROM things WHERE kind = ? AND name = ?", (kind, name)
        ).fetchone()
        return bytes(row[0]) if row and row[0] is not None else b""

    def things(self, kind: str, prefix: str) -> dict[str, dict[str, Any]]:
        """Those whose name begins so, by name."""
        rows = self._db.execute(
            "SELECT name, data FROM things WHERE kind = ?1 AND substr(name, 1, length(?2)) = ?2"
            " ORDER BY name",
            (kind, prefix),
        )
        return {name: json.loads(data) for name, data in rows}

    def drop_things(self, names: Iterable[tuple[str, str]]) -> None:
        with self._transaction():
            self._db.executemany("DELETE FROM things WHERE kind = ? AND name = ?", list(names))


def _training(text: str) -> Training:
    values: dict[str, Any] = json.loads(text)
    values["stage"] = Stage(values["stage"])
    values["failure"] = Failure(**values["failure"]) if values["failure"] else None
    values["marks"] = tuple(
        Choice(**{**mark, "at": tuple(Place(place) for place in mark["at"])}) for mark in values["marks"]
    )
    return Training(**values)
