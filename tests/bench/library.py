"""`library`: what the library of LoRAs costs in the database, at any size, on any page.

A throw-away Postgres with so many LoRAs and fifty uses each. The queries are those that the view runs,
recorded on their way, explained and analysed again; a figure is the slowest of one look's queries, each the
median of its time in the database, planning included. The baseline is what one would write first: ILIKE over
name and description, sorted, with an offset.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

from core import access, database
from core.access import Actor, Role
from core.local import postgres
from core.loras import views
from core.loras.models import Place, Search, Sort
from tests.bench import library_rows
from tests.bench.figures import Figure, line
from tests.bench.health import recorded

OPERATIONS = access.command_line("the measurement")
VIEWER = Actor("person", "c7", "A viewer", frozenset({Role.VIEWER}), "page")
REPEATS = 9
PROMISED_MS = 50.0
LIMIT = 50
# How far into a list its cursor leads for the measurement, of all its rows.
DEEP = 0.6
NAIVE = (
    "SELECT count(*) FROM lora_models WHERE {where}",
    "SELECT * FROM lora_models WHERE {where} ORDER BY {order} LIMIT 50 OFFSET {offset}",
)


@dataclass(frozen=True)
class Look:
    """One look at the library, and what one would write first for it."""

    work: Callable[[], Any]
    where: str = "NOT is_private AND hidden_at IS NULL"
    order: str = "usage_count DESC"
    offset: int = 0


def looks(rows: int) -> dict[str, Look]:
    """Every way of asking."""
    now = database.now()
    page = partial(views.search, VIEWER, limit=LIMIT)
    found: dict[str, Look] = {}
    for sort in Sort:
        found[f"list by {sort}"] = Look(partial(page, Search(sort=sort)))
        found[f"list by {sort}, offset 10,000"] = Look(
            partial(page, Search(sort=sort), offset=10_000), offset=10_000
        )
        found[f"list by {sort}, by cursor, {DEEP:.0%} in"] = Look(
            partial(page, Search(sort=sort), after=_deep(sort, Search(sort=sort))), offset=int(rows * DEEP)
        )
    words = {
        "a common word": "ada",
        "a letter": "c",
        "two words": "cyberpunk gir",
        "a rare word": library_rows.RARE_WORD,
        "no such word": "zzz",
        "a number in the name": str(rows // 2),
    }
    for name, text in words.items():
        where = f"name ILIKE '%{text.split()[0]}%' OR description ILIKE '%{text.split()[0]}%'"
        for sort in (Sort.POPULAR, Sort.NAME):
            found[f"search for {name}, by {sort}"] = Look(partial(page, Search(text=text, sort=sort)), where)
    filters = {
        "completed": Search(status="completed"),
        "failed": Search(status="failed"),
        "pending": Search(status="pending"),
        "a creator": Search(creator="creator77@"),
        "own": Search(mine=True),
        "of the last week": Search(since=now - 7 * library_rows.DAY),
        "of the last quarter": Search(since=now - 90 * library_rows.DAY),
        "older than a year": Search(until=now - 365 * library_rows.DAY),
        "another base model": Search(base_model="SD 3"),
        "a tag": Search(tag="portrait"),
        "a rare tag": Search(tag=library_rows.RARE_TAG),
        "four stars": Search(rating=Decimal(4)),
        "published": Search(published=True),
        "archived": Search(archived=True),
        "a word, completed, tagged, four stars": Search(
            text="knight", status="completed", tag="fantasy", rating=Decimal(4)
        ),
        "published, of the last quarter, another base model": Search(
            published=True, since=now - 90 * library_rows.DAY, base_model="SDXL"
        ),
    }
    for name, wanted in filters.items():
        for sort in Sort:
            found[f"filter {name}, by {sort}"] = Look(partial(page, replace(wanted, sort=sort)))
    everything = partial(views.search, OPERATIONS, limit=LIMIT)
    found["operations, private and hidden"] = Look(partial(everything, Search(restricted=True)))
    return found


def _deep(sort: Sort, wanted: Search) -> Place:
    """A place well into the list."""
    column, order = {
        Sort.POPULAR: ("uses", "uses DESC, lora_model_id DESC"),
        Sort.LEAST_USED: ("uses", "uses, lora_model_id"),
        Sort.RECENT: ("created_at", "created_at DESC, lora_model_id DESC"),
        Sort.NAME: ("name_key", "name_key, lora_model_id"),
        Sort.RATING: ("rating_score", "rating_score DESC, lora_model_id DESC"),
    }[wanted.sort]
    with database.reading() as connection:
        row = connection.exec_driver_sql(
            f"SELECT {column} AS value, lora_model_id AS id FROM lora_library ORDER BY {order}"
            f" OFFSET (SELECT (count(*) * {DEEP})::int FROM lora_library) LIMIT 1"
        ).one()
    value = row.value.isoformat() if sort is Sort.RECENT else str(row.value)
    return Place(value, row.id)


def slowest(work: Callable[[], Any]) -> float:
    """The slowest query of a look, each the median of its time in the database, in milliseconds."""
    with recorded() as statements:
        work()
    times: list[list[float]] = []
    for _ in range(REPEATS):
        with database.reading() as connection:
            plans = [_explained(connection, one.sql, one.values) for one in statements]
        times.append([float(plan["Planning Time"]) + float(plan["Execution Time"]) for plan in plans])
    return max(float(statistics.median(one)) for one in zip(*times, strict=True))


def _explained(connection: Any, sql: str, values: Any) -> Mapping[str, Any]:
    asked = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}"
    found = connection.exec_driver_sql(asked, values).scalar_one()
    [plan] = json.loads(found) if isinstance(found, str) else found
    return dict(plan)


def _naive(look: Look) -> float:
    with database.reading() as connection:
        plans = [
            _explained(
                connection,
                sql.format(where=look.where, order=look.order, offset=look.offset).replace("%", "%%"),
                (),
            )
            for sql in NAIVE
        ]
    return max(float(plan["Planning Time"]) + float(plan["Execution Time"]) for plan in plans)


def figures(rows: int) -> Iterator[Figure]:
    """Each look against what is promised; the baseline of the lists and searches."""
    for name, look in looks(rows).items():
        took = slowest(look.work)
        naive = _naive(look) if not name.startswith("filter") else None
        yield Figure(
            input=f"{rows} LoRAs, {rows * library_rows.USES_A_LORA} uses as counts: {name}",
            figure=took,
            unit="ms",
            wanted=f"under {PROMISED_MS:g} ms",
            holds=took < PROMISED_MS,
            baseline=naive,
            baseline_is="count and page by ILIKE, ORDER BY and OFFSET over lora_models" if naive else "",
        )


def main(argv: list[str]) -> int:
    """Print the figures as JSON lines; 1 if one is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench library")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", help="the URL of a database that was filled before")
    given = parser.parse_args(argv)
    if given.database:
        return _measure(given.database, given.rows)
    with postgres.temporary() as server:
        database.migrate(server.url, local=True)
        database.connect(server.url, timeout_s=3600)
        library_rows.fill(server.url, given.rows, database.now())
        return _measure(server.url, given.rows)


def _measure(url: str, rows: int) -> int:
    database.connect(url, timeout_s=600)
    try:
        found = list(figures(rows))
    finally:
        database.close()
    for figure in found:
        print(line("library", figure), flush=True)
    return int(not all(figure.holds for figure in found))
