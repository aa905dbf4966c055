"""Rows of `alerts`, and the facts behind them, as dataclasses."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping

from core import database, queries
from core.alerts import policy
from core.alerts.models import Alert, Cause, Facts, Group, Kind, LibraryFacts, Orphan, Severity, Training
from core.budget import prices
from core.loras.policy import MOST_WRONG, monthly_cost
from core.providers import catalogue
from core.trainings.downloads import DownloadRates
from core.trainings.spending import SQL as SPENDING

SQL = queries.load("alerts")
# How many rows an alert names; the page that it leads to shows all.
NAMED = 20


def to_alert(row: RowMapping) -> Alert:
    """A row of `alerts`."""
    values = {name: row[name] for name in Alert.__match_args__}
    return Alert(**{**values, "kind": Kind(row["kind"]), "severity": Severity(row["severity"])})


def facts(connection: Connection, now: datetime) -> Facts:
    """What is known of all deliveries now; each number by an index, none by the whole table."""
    rate = SQL["newest_finished"].one(
        connection, since=now - timedelta(hours=24), newest=policy.SUCCESS_NEWEST
    )
    until = now + policy.RESCUE_WITHIN
    expiring = _group(SQL["expiring"].one(connection, until=until, named=NAMED))
    return Facts(
        # A row that another process is just ending must not slip in behind what was acknowledged.
        lost=_group(SQL["lost"].one(connection, before=now - timedelta(seconds=2), named=NAMED)),
        expiring=replace(expiring, until=until),
        stuck=_group(SQL["stuck"].one(connection, now=now, named=NAMED, limits=_limits(), **_by_kind())),
        storage=tuple(_group(row) for row in SQL["storage_refusing"].all(connection, named=NAMED)),
        delivered=rate["delivered"],
        finished=rate["finished"],
        films_delivered=rate["films_delivered"],
        films_finished=rate["films_finished"],
        since=rate["since"],
        until=rate["until"],
    )


def training_facts(connection: Connection, now: datetime, images: DownloadRates) -> Training:
    """What is known of trainings now."""
    since = now - policy.TRAININGS_SINCE
    ended = SPENDING["ended"].one(connection, since=since)
    silent_until, unjudged_until = now - policy.SILENT_FOR, now - policy.UNJUDGED_FOR
    silent = _group(SPENDING["silent"].one(connection, before=silent_until, named=NAMED))
    unjudged = _group(SPENDING["unjudged"].one(connection, before=unjudged_until, named=NAMED))
    orphans = SPENDING["orphans"].all(connection, since=now - policy.ORPHANS_TOLD)
    return Training(
        completed=ended["completed"],
        failed=ended["failed"],
        silent=replace(silent, until=silent_until),
        images_came=images.succeeded,
        images_lost=images.lost,
        orphans=tuple(Orphan(row["pod_id"], row["usd_per_hour"], row["ended_at"]) for row in orphans),
        since=since,
        unjudged=replace(unjudged, until=unjudged_until),
    )


def library_facts(connection: Connection, now: datetime) -> LibraryFacts:
    """What is known of the library of LoRAs now, as its jobs have found and counted it."""
    wrong = SQL["wrong_weights"].one(connection, named=NAMED, most=MOST_WRONG)
    held = SQL["library_totals"].first(connection)
    price = prices.current(connection, "storage", "library", now).unit_usd
    return LibraryFacts(
        wrong=_group(wrong),
        missing=wrong["missing"],
        name=wrong["name"],
        monthly_usd=monthly_cost(held["bytes"] if held else 0, price),
        idle_loras=held["idle_loras"] if held else 0,
        idle_usd=monthly_cost(held["idle_bytes"] if held else 0, price),
    )


def _group(row: RowMapping) -> Group:
    ids = tuple(row["ids"] or ())
    return Group(row["count"], ids, row["at"], row.get("subject", ""), row.get("since"))


def _limits() -> str:
    """Each model's limit in minutes, under every name that it goes by."""
    limits = {name: model.stuck_minutes for model in catalogue.MODELS for name in (model.id, *model.aliases)}
    return json.dumps(limits)


def _by_kind() -> dict[str, int]:
    return {kind: timing.stuck_minutes for kind, timing in catalogue.TIMING_BY_KIND.items()}


def looking() -> datetime:
    """The moment before facts are read, by the database's clock, for `record`."""
    with database.reading() as connection:
        at: datetime = SQL["looking"].one(connection)["at"]
    return at


def record(
    connection: Connection, kinds: Sequence[Kind], causes: Sequence[Cause], now: datetime, looked_at: datetime
) -> int:
    """Make the open alerts of these kinds those of `causes`; how many were opened or resolved.

    What another process has recorded since `looked_at` is left open: its facts are newer ones.
    """
    rows: list[dict[str, Any]] = [asdict(cause) for cause in causes]
    found = SQL["record"].one(
        connection, causes=json.dumps(rows), kinds=list(kinds), now=now, looked_at=looked_at
    )
    return int(found["opened"] + found["resolved"])
