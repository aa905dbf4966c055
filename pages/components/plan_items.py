"""The items of a plan as a table, by what became of them or how the dry run has sorted them."""

from datetime import datetime, tzinfo
from uuid import uuid5

import streamlit as st

from core.access import Action, Actor
from core.plans import views
from core.plans.models import Group, Item, ItemState, PlanState
from core.plans.views import Seen
from pages.components import formats, keyset_table, look, times
from pages.components.keyset_table import Column, Row, Slice
from pages.components.plan_words import GROUPS, ITEMS, TOLD

SHOW, ALL = "show", "All"
TURNS = ("Back", "Further")
COLUMNS = {
    "n": Column("No.", 70, "number"),
    "open": Column("Task", 90),
    "state": Column("State", 160),
    "said": Column("What became of it", 420),
    "at": Column("At", 85),
}
WHY = Column("Why", 420)
OPENS = Column("Task", 90, "link", help="Opens its evidence")


def show(actor: Actor, seen: Seen, now: datetime, zone: tzinfo) -> None:
    """The table, and what narrows it."""
    if not seen.plan.total:
        return
    draft = seen.plan.state is PlanState.DRAFT
    words = _choices(seen, draft=draft)
    look.section("Its items")
    chosen = st.segmented_control(
        "Which items", [ALL, *words], default=ALL, required=True, key=f"so-items-{SHOW}-{draft}",
        label_visibility="collapsed",
    )  # fmt: skip
    picked = words.get(chosen or ALL)
    key = f"plan-items-{look.safe_key(str((seen.plan.id, chosen, draft)))}"
    after = keyset_table.place(key) or 0
    page = views.items(
        actor,
        seen.plan.id,
        after=after,
        states=[picked] if isinstance(picked, ItemState) else None,
        sorted_as=[picked] if isinstance(picked, Group) else None,
    )
    if not page.items and not after:
        keyset_table.nothing("No such item", "Choose all of them.")
        return
    opens = actor.may(Action.DEBUG_GENERATION)
    rows = tuple(_row(seen, one, zone, opens=opens) for one in page.items)
    columns = COLUMNS | {"open": OPENS} if opens else COLUMNS
    if draft:
        columns = {name: column for name, column in columns.items() if name != "at"} | {"said": WHY}
    fresh = Slice(rows, page.next_after, seen.plan.total, now)
    keyset_table.show(key, fresh, columns, lambda at: times.clock_time(at, zone), TURNS)


def _choices(seen: Seen, *, draft: bool) -> dict[str, Group | ItemState]:
    """What the items can be narrowed to: those places where there are any."""
    if draft:
        return {GROUPS[group].word: group for group in GROUPS if seen.plan.counts.get(group)}
    states = [state for state in (*TOLD, ItemState.LEFT_OUT) if seen.progress.by_state.get(state)]
    return {ITEMS[state].word: state for state in states}


def _row(seen: Seen, item: Item, zone: tzinfo, *, opens: bool) -> Row:
    words = (
        GROUPS[item.sorted]
        if seen.plan.state is PlanState.DRAFT or item.state is ItemState.LEFT_OUT
        else ITEMS[item.state]
    )
    named = str(item.generation_id) if item.generation_id else str(item.named)
    waiting = item.state in {ItemState.WAITING, ItemState.WORKING} and seen.plan.state is not PlanState.DRAFT
    changed = " Its row had changed since the dry run." if item.changed else ""
    return Row(
        uuid5(seen.plan.id, str(item.n)),
        f"{item.state}:{item.tries}",
        {
            "n": item.n,
            "open": f"/debug_sync?q={named}" if opens and item.generation_id else named[-8:],
            "state": words.in_table,
            "said": "" if waiting else formats.excerpt(f"{item.sentence or ''}{changed}", 240),
            "at": times.clock_time(item.ended_at, zone) if item.ended_at else "",
        },
    )
