"""Rows of `lora_training_jobs` and of what belongs to them, as dataclasses."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from core import log, queries
from core.errors import ErrorCategory
from core.providers.training import LogLine
from core.trainings.models import Call, CallState, Event, Purpose, Run, RunState, Stage, Trouble

SQL = queries.load("trainings")
MAX_LINE = 2_000
MAX_LOG = 5_000

_RUN = {
    "lora_id": "lora_model_id",
    "progress": "training_progress",
    "time_left_s": "estimated_remaining",
    "pod_id": "runpod_pod_id",
    "weights_path": "storage_path",
    "weights_bytes": "file_size",
}


def to_run(row: RowMapping) -> Run:
    """A row of `lora_training_jobs` with its LoRA's columns beside it."""
    values = {name: row[_RUN.get(name, name)] for name in Run.__match_args__}
    return Run(
        **values
        | {
            "state": RunState(row["state"]),
            "stage": Stage(row["stage"]),
            "ends_as": RunState(row["ends_as"]) if row["ends_as"] else None,
            "creator_key": row["creator_key"] or "",
            "trainer": row["trainer"] or "",
            "steps": row["steps"] or 0,
            "trigger_word": row["trigger_word"] or "",
            "progress": row["training_progress"] or 0,
            "created_at": row["created_at"] or row["started_at"],
            "started_at": row["started_at"] or row["created_at"],
            # What other systems wrote into a pending row is no file of a run's.
            "weights_path": (row["storage_path"] or None) if row["weights_sha256"] else None,
        }
    )


def to_call(row: RowMapping) -> Call:
    """A row of `training_calls`."""
    values = {name: row[name] for name in Call.__match_args__}
    return Call(**values | {"purpose": Purpose(row["purpose"]), "state": CallState(row["state"])})


def find(connection: Connection, run_id: UUID) -> Run | None:
    """The run with this id."""
    row = SQL["get"].first(connection, id=run_id)
    return to_run(row) if row else None


def calls_of(connection: Connection, run_id: UUID) -> list[Call]:
    """Every paid call of a run."""
    return [to_call(row) for row in SQL["calls"].all(connection, run_id=run_id)]


def training_of(calls: Sequence[Call]) -> Call | None:
    """The newest training of a run's calls."""
    return next((call for call in reversed(calls) if call.purpose is Purpose.TRAINING), None)


def pictures_of(calls: Sequence[Call]) -> list[Call]:
    """The newest round of each test picture, in order."""
    newest = {call.n: call for call in calls if call.purpose is Purpose.PICTURE}
    return [newest[n] for n in sorted(newest)]


def add_event(connection: Connection, run: Run, at: datetime, event: Event) -> None:
    """Append a step to the timeline; secrets are masked on the way."""
    SQL["add_event"].run(
        connection,
        run_id=run.id,
        at=at,
        kind=event.kind,
        stage=run.stage,
        attempt=event.attempt,
        duration_ms=event.duration_ms,
        bytes=event.bytes,
        error_category=event.error_category,
        words=log.redact(event.words)[:2000] if event.words else None,
        detail=json.dumps(log.redact(event.detail), default=str),
        request_id=log.request_id(),
    )


def say(connection: Connection, run: Run, at: datetime, message: str, *, level: str = "info") -> None:
    """Append a line of our own to the run's log."""
    line = {
        "n": 0,
        "at": at,
        "source": "studio",
        "level": level,
        "message": _clean(message),
        "line_key": None,
    }
    _add_lines(connection, run, [line])


def keep_log(connection: Connection, run: Run, call: Call, lines: Iterable[LogLine], at: datetime) -> None:
    """Append the provider's lines that are not there yet: it tells its whole log, or its end, each time."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for n, line in enumerate(lines):
        place = (line.at.isoformat() if line.at else "", line.message)
        seen[place] += 1
        key = hashlib.sha256(f"{call.id}\n{place[0]}\n{line.message}\n{seen[place]}".encode()).hexdigest()[
            :32
        ]
        found.append(
            {
                "n": n,
                "at": line.at or at,
                "source": call.provider,
                "level": "info",
                "message": _clean(line.message),
                "line_key": key,
            }
        )
    if found:
        _add_lines(connection, run, found)


def _add_lines(connection: Connection, run: Run, lines: Sequence[dict[str, Any]]) -> None:
    SQL["add_lines"].run(
        connection, run_id=run.id, stage=run.stage, lines=json.dumps(lines, default=str), most=MAX_LOG
    )


def _clean(message: str) -> str:
    return str(log.redact(message)).replace("\x00", "")[:MAX_LINE]


def trouble_columns(trouble: Trouble | None) -> dict[str, Any]:
    """The columns of an error, all NULL for none."""
    return {
        "error_message": str(log.redact(trouble.message))[:2000] if trouble else None,
        "category": trouble.category if trouble else None,
        "retryable": trouble.retryable if trouble else None,
        "words": str(log.redact(trouble.words))[:2000] if trouble and trouble.words else None,
        "next_action": trouble.next_action if trouble else None,
    }


def trouble_of_run(run: Run) -> Trouble | None:
    """The error that stands on a run; None when there is none."""
    if run.error_message is None:
        return None
    return Trouble(
        run.error_message,
        ErrorCategory(run.failure_category or ErrorCategory.SERVICE_ERROR),
        bool(run.failure_retryable),
        run.next_action or "",
        run.failure_words or "",
    )
