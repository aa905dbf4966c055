"""Fills a history: customers, generations of every ending, their timelines, callbacks and costs."""

import json
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from core import database
from core.providers import kie_models
from core.rehearsal import course
from core.rehearsal.course import Hour
from core.rehearsal.models import CUSTOMER, HISTORY, MARK, Progress, numbered_id
from core.rehearsal.repository import SQL

BATCH = 10_000
# Timelines and callbacks of so many days; older ones would have been forgotten by now.
TIMELINE_KEPT = timedelta(days=14)
_FIRST_NAMES = ("mia", "noah", "lena", "omar", "zoe", "ivan", "ana", "kenji", "sara", "liam", "ines", "tariq")
_LAST_NAMES = ("keller", "rossi", "novak", "silva", "haddad", "berg", "okafor", "tanaka", "moreau", "lind")


def customers(generations: int) -> int:
    """How many customers a history of that size has; a few of them make most of it."""
    return max(12, min(generations // 15, 5_000))


def fill(
    now: datetime, *, seed: int, days: int, generations: int, pictures: dict[str, list[str]]
) -> Iterator[Progress]:
    """Write the history in batches, each in its own transaction, saying how far it is.

    The same seed and time give the same rows. `pictures` are URLs by kind that results open.
    """
    plan = course.hours(now, days=days, generations=generations, seed=seed)
    many = customers(generations)
    with database.transaction() as connection:
        people = json.dumps([_customer(n, seed) for n in range(many)])
        SQL["add_customers"].run(connection, customers=people, since=now - timedelta(days=days))
    fixed = {
        "seed": seed,
        "variants": course.variants_json(),
        "endings": course.endings_json(),
        "prompts": list(course.PROMPTS),
        "customers": many,
        "id_head": f"{MARK}{HISTORY}00-b000-",
        "customer_head": f"{MARK}{CUSTOMER}00-b000-",
        "pictures": json.dumps(pictures),
        "usd_per_credit": kie_models.USD_PER_CREDIT,
        "price_version": kie_models.PRICE_VERSION,
        "kept_from": now - TIMELINE_KEPT,
    }
    done = 0
    yield Progress("history", done, generations)
    for batch in _batches(plan):
        rows = json.dumps([hour.row() for hour in batch])
        with database.transaction() as connection:
            SQL["fill"].run(connection, hours=rows, **fixed)
        done += sum(hour.count for hour in batch)
        yield Progress("history", done, generations)


def _batches(plan: Sequence[Hour]) -> Iterator[list[Hour]]:
    """Whole hours, about BATCH rows together; an hour that has more of them is cut."""
    batch: list[Hour] = []
    for hour in plan:
        for part in _cut(hour):
            batch.append(part)
            if sum(one.count for one in batch) >= BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _cut(hour: Hour) -> Iterator[Hour]:
    for start in range(0, hour.count, BATCH):
        count = min(BATCH, hour.count - start)
        share = hour.span_s / hour.count
        yield Hour(
            hour.start + timedelta(seconds=share * start),
            hour.first + start,
            count,
            share * count,
            hour.fails,
            hour.slow,
            hour.outage,
        )


def _customer(n: int, seed: int) -> dict[str, str]:
    drawn = random.Random(f"{seed} {n}")  # noqa: S311 - a rehearsal is no secret
    first, last = drawn.choice(_FIRST_NAMES), drawn.choice(_LAST_NAMES)
    return {
        "id": str(numbered_id(CUSTOMER, n)),
        "email": f"{first}.{last}.{n}@rehearsal.example",
        "name": f"{first.title()} {last.title()}",
    }
