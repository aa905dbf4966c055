"""What the sandbox remembers, in one SQLite file that survives kill -9.

`synchronous=OFF`: what a killed process has committed is already with the kernel, and only a power cut
could lose it. Log rows are buffered and written by `flush`, tasks are committed before they are answered.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from core.sandbox.dials import Dials
from core.sandbox.fault import Place
from core.sandbox.faults import Choice, Rule
from core.sandbox.tasks import Task, Word
from core.sandbox.training_store import TrainingStore

START_CREDITS = 100_000.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY, created INTEGER NOT NULL, duration INTEGER NOT NULL, finish INTEGER,
    generation TEXT, credits REAL NOT NULL, request TEXT NOT NULL, fate TEXT NOT NULL, marks TEXT NOT NULL,
    failure TEXT, settled INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS tasks_unsettled ON tasks (finish) WHERE settled = 0;
CREATE INDEX IF NOT EXISTS tasks_generation ON tasks (generation);
CREATE TABLE IF NOT EXISTS callbacks (
    id INTEGER PRIMARY KEY, task TEXT NOT NULL, delay INTEGER NOT NULL, due INTEGER,
    tries INTEGER NOT NULL DEFAULT 0, closed INTEGER NOT NULL DEFAULT 0, says TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS callbacks_owed ON callbacks (due) WHERE closed = 0;
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, task TEXT, generation TEXT,
    status INTEGER NOT NULL, code INTEGER, bytes INTEGER NOT NULL, ms INTEGER NOT NULL, note TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS log_task ON log (task);
CREATE TABLE IF NOT EXISTS uses (
    subject TEXT NOT NULL, fault TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (subject, fault));
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Entry:
    """One line of the request log; `status` 0 means that no answer was given, `ms` is how long it took."""

    kind: str
    task: str | None = None
    generation: str | None = None
    status: int = 0
    code: int | None = None
    bytes: int = 0
    ms: int = 0
    note: str = ""
    at: int = field(default_factory=now_ms)


@dataclass(frozen=True)
class Owed:
    """A callback that is due: its row's id, its task, how often it was tried, and what is wrong with it."""

    id: int
    task: str
    tries: int
    says: str


class Store:
    """The sandbox's tables. Used from the event loop's thread alone."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_SCHEMA)
        self._add_what_is_missing()
        self.trainings = TrainingStore(self._db, self._transaction)
        self._buffer: list[Entry] = []
        self._balance: float = self._load("balance", START_CREDITS)
        self.salt: str = self._load("salt", None) or self._save("salt", secrets.token_hex(8))
        # What webhooks are signed with; a key of fal's, and Replicate's secret, are made from it.
        self.signing: str = self._load("signing", None) or self._save("signing", secrets.token_hex(32))

    def _add_what_is_missing(self) -> None:
        """A folder of an earlier version has no word on what a callback says."""
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(callbacks)")}
        if "says" not in columns:
            self._db.execute("ALTER TABLE callbacks ADD COLUMN says TEXT NOT NULL DEFAULT ''")

    def close(self) -> None:
        self.flush()
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _load(self, name: str, default: Any) -> Any:
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def _save(self, name: str, value: Any) -> Any:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, json.dumps(value)))
        return value

    # Dials and rules

    def dials(self) -> Dials:
        return Dials.model_validate(self._load("dials", {}))

    def save_dials(self, dials: Dials) -> None:
        self._save("dials", dials.model_dump())

    def rules(self) -> dict[str, Rule]:
        return {name: Rule.model_validate(rule) for name, rule in self._load("rules", {}).items()}

    def save_rules(self, rules: dict[str, Rule]) -> None:
        """Replace the rules; the counts of their `times` start anew."""
        with self._transaction():
            self._save("rules", {name: rule.model_dump() for name, rule in rules.items()})
            self._db.execute("DELETE FROM uses WHERE subject = ''")

    def use(self, subject: str, fault: str) -> int:
        """Count one more use and return how many there were before."""
        row = self._db.execute(
            "INSERT INTO uses VALUES (?, ?, 1)"
            " ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count - 1",
            (subject, fault),
        ).fetchone()
        return int(row[0])

    # Tasks

    def add(self, task: Task, callbacks: list[Word]) -> None:
        """Keep an accepted task and the callbacks it owes, committed on return."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    task.id,
                    task.created,
                    task.duration,
                    task.finish,
                    task.generation,
                    task.credits,
                    json.dumps(task.request),
                    json.dumps(task.fate),
                    json.dumps([asdict(mark) for mark in task.marks]),
                    json.dumps(task.failure),
                ),
            )
            self._db.executemany(
                "INSERT INTO callbacks (task, delay, due, says) VALUES (?, ?, ?, ?)",
                [
                    (
                        task.id,
                        word.delay,
                        None if task.finish is None else task.finish + word.delay,
                        word.says,
                    )
                    for word in callbacks
                ],
            )
            self._write_log()

    def task(self, task_id: str) -> Task | None:
        row = self._db.execute(
            "SELECT id, created, duration, finish, request, credits, fate, marks, failure"
            " FROM tasks WHERE id = ?",
            (task_id,),
        ).fetchone()
        return _task(row) if row else None

    def another(self, task_id: str) -> str | None:
        """The id of some other task, the newest."""
        row = self._db.execute(
            "SELECT id FROM tasks WHERE id <> ? ORDER BY created DESC LIMIT 1", (task_id,)
        ).fetchone()
        return str(row[0]) if row else None

    def of_generation(self, generation: str) -> Task | None:
        """The newest task of that generation."""
        row = self._db.execute(
            "SELECT id, created, duration, finish, request, credits, fate, marks, failure"
            " FROM tasks WHERE generation = ? ORDER BY created DESC LIMIT 1",
            (generation,),
        ).fetchone()
        return _task(row) if row else None

    def count_tasks(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM tasks").fetchone()[0])

    def finish(self, task_id: str, now: int, failure: tuple[str, str] | None) -> None:
        """End an unfinished task now; its callbacks follow after their delay."""
        with self._transaction():
            self._db.execute(
                "UPDATE tasks SET finish = ?, failure = coalesce(?, failure) WHERE id = ?",
                (now, json.dumps(failure) if failure else None, task_id),
            )
            self._db.execute(
                "UPDATE callbacks SET due = ? + delay WHERE task = ? AND closed = 0", (now, task_id)
            )

    def settle(self, now: int) -> None:
        """Charge what has succeeded until `now`; a failure costs nothing."""
        rows = self._db.execute(
            "SELECT id, credits, failure FROM tasks WHERE settled = 0 AND finish <= ?", (now,)
        ).fetchall()
        if not rows:
            return
        spent = sum(price for _, price, failure in rows if failure == "null")
        with self._transaction():
            self._db.executemany("UPDATE tasks SET settled = 1 WHERE id = ?", [(row[0],) for row in rows])
            self._save("balance", self._balance - spent)
        self._balance -= spent

    def balance(self, now: int) -> float:
        """The credits left."""
        self.settle(now)
        return self._balance

    def set_balance(self, balance: float) -> None:
        self._balance = self._save("balance", balance)

    # Callbacks

    def due(self, now: int, limit: int) -> list[Owed]:
        rows = self._db.execute(
            "SELECT id, task, tries, says FROM callbacks WHERE closed = 0 AND due <= ? ORDER BY due LIMIT ?",
            (now, limit),
        )
        return [Owed(*row) for row in rows]

    def next_due(self, after: int) -> int | None:
        """When the next callback after the moment `after` falls due."""
        row = self._db.execute(
            "SELECT min(due) FROM callbacks WHERE closed = 0 AND due > ?", (after,)
        ).fetchone()
        return row[0] if row else None

    def first_callback(self, task_id: str) -> Owed | None:
        row = self._db.execute(
            "SELECT id, task, tries, says FROM callbacks WHERE task = ? AND closed = 0 ORDER BY id LIMIT 1",
            (task_id,),
        ).fetchone()
        return Owed(*row) if row else None

    def tried(self, owed: Owed, again_at: int | None) -> None:
        """Note a try; the callback is closed unless it is to be sent again."""
        self._db.execute(
            "UPDATE callbacks SET tries = tries + 1, due = coalesce(?, due), closed = ? WHERE id = ?",
            (again_at, again_at is None, owed.id),
        )

    # The request log

    def note(self, entry: Entry) -> None:
        """Buffer a log line; `flush` writes it."""
        self._buffer.append(entry)

    def flush(self) -> None:
        if self._buffer:
            with self._transaction():
                self._write_log()

    def _write_log(self) -> None:
        self._db.executemany(
            "INSERT INTO log (kind, task, generation, status, code, bytes, ms, note, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [astuple(entry) for entry in self._buffer],
        )
        self._buffer.clear()

    def select(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """Rows as dictionaries, everything that was noted included."""
        self.flush()
        cursor = self._db.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def marked(self, mark: str) -> list[Task]:
        """The tasks of generations whose id begins with `mark`."""
        rows = self._db.execute(
            "SELECT id, created, duration, finish, request, credits, fate, marks, failure"
            " FROM tasks WHERE generation >= ?1 AND generation < ?1 || '~'",
            (mark,),
        )
        return [_task(row) for row in rows]

    def forget(self, mark: str) -> None:
        """Delete them with their callbacks, log lines and counts, and give back what they cost."""
        self.flush()
        ours = "(SELECT id FROM tasks WHERE generation >= ?1 AND generation < ?1 || '~')"
        with self._transaction():
            spent = self._db.execute(
                f"SELECT coalesce(sum(credits), 0) FROM tasks WHERE id IN {ours}"  # noqa: S608 - a constant
                " AND settled = 1 AND failure = 'null'",
                (mark,),
            ).fetchone()[0]
            for statement in (
                f"DELETE FROM callbacks WHERE task IN {ours}",  # noqa: S608
                f"DELETE FROM uses WHERE subject IN {ours}",  # noqa: S608
                f"DELETE FROM log WHERE task IN {ours}",  # noqa: S608
                "DELETE FROM log WHERE generation >= ?1 AND generation < ?1 || '~'",
                "DELETE FROM tasks WHERE generation >= ?1 AND generation < ?1 || '~'",
            ):
                self._db.execute(statement, (mark,))
            self._save("balance", self._balance + spent)
        self._balance += spent

    def wipe(self) -> None:
        """Forget tasks, callbacks, log and counts; dials, rules and salt stay."""
        self._buffer.clear()
        with self._transaction():
            for table in ("tasks", "trainings", "things", "callbacks", "log", "uses"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own table names
            self._save("balance", START_CREDITS)
        self._balance = START_CREDITS


def _task(row: tuple[Any, ...]) -> Task:
    task_id, created, duration, finish, request, price, fate, marks, failure = row
    failed = json.loads(failure)
    return Task(
        id=task_id,
        created=created,
        duration=duration,
        finish=finish,
        request=json.loads(request),
        credits=price,
        fate=json.loads(fate),
        marks=tuple(
            Choice(mark["fault"], tuple(Place(place) for place in mark["at"]), mark["value"], mark["times"])
            for mark in json.loads(marks)
        ),
        failure=(failed[0], failed[1]) if failed else None,
    )
