"""Rows of plans and their items, as dataclasses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from core import queries
from core.errors import NotFound
from core.plans.models import Group, Item, ItemState, Judged, Plan, PlanState, Progress

SQL = queries.load("plans")


@dataclass(frozen=True)
class Sorted:
    """A generation, or a pasted id that names none, as the dry run has sorted it."""

    judged: Judged
    generation_id: UUID | None = None
    named: str | None = None
    provider: str | None = None
    stood: str | None = None
    version: str | None = None


def to_plan(row: RowMapping) -> Plan:
    """A row of `resync_plans`."""
    known = {name: row[name] for name in Plan.__match_args__}
    return Plan(**{**known, "state": PlanState(row["state"])})


def to_item(row: RowMapping) -> Item:
    """A row of `resync_items`."""
    known = {name: row[name] for name in Item.__match_args__}
    return Item(**{**known, "sorted": Group(row["sorted"]), "state": ItemState(row["state"])})


def find(connection: Connection, plan_id: UUID) -> Plan:
    """The plan. Raises NotFound."""
    row = SQL["get"].first(connection, id=plan_id)
    if row is None:
        raise NotFound(f"There is no plan {plan_id}. A dry run that nobody starts is forgotten after a day.")
    return to_plan(row)


def progress(connection: Connection, plan_id: UUID, minute_ago: Any) -> Progress:
    """How far a plan is."""
    rows = SQL["progress"].all(connection, id=plan_id, minute_ago=minute_ago)
    return Progress({row["state"]: row["n"] for row in rows}, sum(row["fresh"] for row in rows))


def write_items(connection: Connection, plan_id: UUID, first: int, found: Sequence[Sorted]) -> int:
    """Write items from number `first` on; how many were not there yet."""
    rows = [
        {
            "n": first + place,
            "generation_id": str(one.generation_id) if one.generation_id else None,
            "named": one.named,
            "provider": one.provider,
            "stood": one.stood,
            "version": one.version,
            "sorted": one.judged.group,
            "sentence": one.judged.sentence,
        }
        for place, one in enumerate(found)
    ]
    return SQL["insert_items"].run(connection, plan_id=plan_id, items=json.dumps(rows))
