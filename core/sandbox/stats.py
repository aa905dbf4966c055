"""Honest counts of what was asked of the sandbox, for tests and measurements."""

from typing import Any

from core.sandbox.service import Sandbox
from core.sandbox.store import Store, now_ms

_REQUESTS = """
SELECT kind, count(*) AS requests,
       coalesce(sum(status BETWEEN 200 AND 299), 0) AS answered_2xx,
       coalesce(sum(status = 0), 0) AS unanswered,
       coalesce(sum(code = 429), 0) AS rate_limited,
       coalesce(sum(bytes), 0) AS bytes
FROM log GROUP BY kind
"""
_PEAKS = """
SELECT kind, max(n) AS peak
FROM (SELECT kind, count(*) AS n FROM log GROUP BY kind, at / 1000) GROUP BY kind
"""
_TASKS = """
SELECT count(*) AS paid, coalesce(sum(settled), 0) AS ended,
       coalesce(sum(settled AND failure = 'null'), 0) AS succeeded
FROM tasks
"""
_PAID = """
SELECT generation, count(*) AS paid FROM tasks
WHERE ?1 IS NULL OR generation = ?1 GROUP BY generation ORDER BY min(created)
"""
_TRAININGS = """
SELECT service, kind, count(*) AS paid, sum(live) AS living, sum(stage = 'cancelled') AS cancelled,
       sum(stage = 'succeeded') AS succeeded
FROM trainings GROUP BY service, kind
"""
_RUNS = """
SELECT run, count(*) AS paid FROM trainings
WHERE run IS NOT NULL AND kind = 'training' GROUP BY run ORDER BY min(created)
"""


def stats(sandbox: Sandbox, generation: str | None = None) -> dict[str, Any]:
    """The counts; `generation` narrows the paid ones to that id.

    A paid create is a task's row, committed before its answer, whatever the caller saw of it.
    """
    store = sandbox.store
    balance = store.balance(now_ms())
    peaks = {row["kind"]: row["peak"] for row in store.select(_PEAKS)}
    requests = {
        row["kind"]: {name: value for name, value in row.items() if name != "kind"}
        | {"peak_per_second": peaks[row["kind"]]}
        for row in store.select(_REQUESTS)
    }
    paid = {row["generation"]: row["paid"] for row in store.select(_PAID, (generation,))}
    anonymous = paid.pop(None, 0)
    return {
        "requests": requests,
        "tasks": store.select(_TASKS)[0],
        "callbacks_owed": store.select("SELECT count(*) AS n FROM callbacks WHERE closed = 0")[0]["n"],
        "credits": balance,
        "paid_by_generation": paid,
        "paid_without_generation": anonymous,
        "paid_more_than_once": [name for name, times in paid.items() if times > 1],
        "trainings": _trainings(store),
    }


def _trainings(store: Store) -> dict[str, Any]:
    """Paid submissions, living ones and cancelled ones by service; paid ones by the caller's own run.

    Images by a LoRA stand under `images`, since a run has several.
    """
    rows = store.select(_TRAININGS)
    found: dict[str, dict[str, int]] = {"paid": {}, "living": {}, "cancelled": {}, "succeeded": {}}
    for row in rows:
        for count in found:
            if row["kind"] == "training" and row[count]:
                found[count][row["service"]] = row[count]
    runs = {row["run"]: row["paid"] for row in store.select(_RUNS)}
    return {
        **found,
        "pods_alive": store.trainings.pods_alive(),
        "images": sum(row["paid"] for row in rows if row["kind"] == "image"),
        "paid_by_run": runs,
        "paid_more_than_once": [run for run, times in runs.items() if times > 1],
    }
