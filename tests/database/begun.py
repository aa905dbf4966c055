"""Generations of some weeks, begun in every state, and what the numbers of delivery health say of them."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from core import access, database
from core.deliveries import cells, health_rows, rollups, windows
from core.deliveries.windows import Filter

NOW = datetime(2026, 11, 25, 12, 34, 56, tzinfo=UTC)
# From when on each window counts: its first whole bar, by the hour, six hours and day (UTC).
BEGINS = {
    "24h": datetime(2026, 11, 24, 12, tzinfo=UTC),
    "7d": datetime(2026, 11, 18, 12, tzinfo=UTC),
    "30d": datetime(2026, 10, 26, tzinfo=UTC),
}
ENDS = datetime(2026, 11, 25, 13, tzinfo=UTC)
VIEWER = access.command_line("viewer")
STATES = (
    "delivered",
    "delivered",
    "delivered",
    "failed",
    "lost",
    "needs_attention",
    "awaiting_provider",
    "intent",
)
MODELS = (
    ("image", "flux-2/pro-text-to-image"),
    ("video", "kling-2.6/text-to-video"),
    (None, None),
    ("image", "x/y"),
)
WORDS = ("The upstream timed out after 31 s", "The upstream timed out after 7 s", "NSFW content", None)
EVERY = [Filter("30d", state=state) for state in (*windows.BEGUN_STATES, *windows.NOW_STATES)]
EVERY += [Filter(window, state=state) for window in ("24h", "7d") for state in ("begun", "failed", "timed")]
SOME = [Filter(window, state=state) for window in windows.WINDOWS for state in ("begun", "failed")]


def insert(writer: psycopg.Connection[Any], count: int, seed: int, days: float = 40) -> None:
    """Generations of the last `days` days in every state, of every kind and model."""
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        begun = NOW - timedelta(seconds=chance.uniform(0, days * 86400))
        state, (kind, model) = chance.choice(STATES), chance.choice(MODELS)
        failed = state in {"failed", "lost", "needs_attention"}
        rows.append(
            (
                begun,
                begun,
                kind,
                model,
                state,
                begun + timedelta(seconds=chance.uniform(2, 300)) if state == "delivered" else None,
                "service_error" if failed else None,
                chance.choice(["500", "501", None]) if failed else None,
                chance.choice(WORDS) if failed else None,
                NOW + timedelta(hours=5) if state == "needs_attention" else None,
            )
        )
    with writer.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO generations (created_at, submitted_at, kind, model, status, delivery_state,"
            " delivered_at, failure_category, failure_code, failure_message, result_expires_at)"
            " VALUES (%s, %s, %s, %s, 'queued', %s, %s, %s, %s, %s, %s)",
            rows,
        )


def count_everything() -> None:
    while rollups.run(NOW, run_for_s=60):
        pass


def check(wanted: Filter) -> int:
    """The number and the rows that it opens are the same; how many."""
    number = health_rows.board(VIEWER, wanted, NOW).total
    opened = [row.id for row in health_rows.every_row(VIEWER, wanted, NOW)]
    assert len(set(opened)) == len(opened), wanted
    assert number == len(opened), wanted
    return len(opened)


def unknown_hours() -> frozenset[datetime]:
    """Hours whose rows have to be read."""
    with database.reading() as connection:
        return frozenset(cells.counted_now(connection, NOW).dirty)


def by_hand(writer: psycopg.Connection[Any], window: str) -> Counter[str]:
    rows = writer.execute(
        "SELECT delivery_state FROM generations WHERE created_at >= %s AND created_at < %s",
        (BEGINS[window], ENDS),
    )
    ended = {"delivered", "failed", "lost", "needs_attention"}
    return Counter(state if state in ended else "in_flight" for (state,) in rows)
