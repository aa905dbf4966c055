"""The rows behind a number of delivery health: what they are, the table, and their CSV."""

from datetime import datetime, tzinfo

import streamlit as st

from core.access import Action, Actor
from core.deliveries.health_rows import Board
from core.deliveries.models import Generation
from core.deliveries.views import Page
from core.deliveries.windows import Filter
from core.plans.models import Source
from core.web import export
from pages.components import chips, failures, formats, keyset_table, look, resync_all, times
from pages.components.health_filters import WINDOW_NAMES, go, model_name
from pages.components.keyset_table import Column, Row, Slice
from pages.components.states import look_of

STATE_WORDS = {
    "begun": "begun",
    "finished": "finished: delivered, failed or lost",
    "delivered": "delivered",
    "timed": "delivered, with a known time",
    "failed": "failed",
    "lost": "lost",
    "needs_attention": "need attention",
    "open": "begun and still in flight",
    "in_flight": "in flight now",
    "stuck": "stuck now",
    "rescue": "finished at KIE and not stored yet",
    "missed": "failed or lost",
    "lost_lately": "lost",
    "expiring": "at KIE alone, deleted there soon",
    "refused": "refused by our storage",
}
OPENS = Column("Task", 86, "link", help="Opens its evidence")
COLUMNS = {
    "open": Column("Task", 86),
    "state": Column("State", 132),
    "begun": Column("Begun", 132, "time"),
    "kind": Column("Kind", 62),
    "model": Column("Model", 160),
    "took": Column("Took", 96),
    "why": Column("Why", 216),
}


def table_key(chosen: Filter) -> str:
    """The table's key: another filter is another table, which begins at its newest rows."""
    return f"health-rows-{look.safe_key(str(chosen))}"


def show(actor: Actor, chosen: Filter, board: Board, now: datetime, zone: tzinfo) -> None:
    """What the rows are, how many, the table, and the CSV of all of them."""
    st.html(keyset_table.head_html(_headline(chosen, board.total), export.link(actor, chosen, now)))
    if chosen.signature is not None or chosen.state in resync_all.WORTH:
        resync_all.button(actor, table_key(chosen), Source(chosen), board.total)
    _chips(chosen)
    if chosen.signature is not None:
        st.page_link(
            "failure_groups.py",
            label="Who sees to this failure group",
            icon=":material/bug_report:",
            query_params={"group": chosen.signature},
        )
    if board.page is None:
        keyset_table.nothing(
            "The rows took too long", "Choose a shorter window, or wait for the next refresh."
        )
        return
    table(actor, table_key(chosen), board.page, board.total, now, zone)


def table(actor: Actor, key: str, page: Page, total: int | None, now: datetime, zone: tzinfo) -> None:
    """A page of generations as a table that can be turned, each leading to its evidence."""
    if not page.generations and keyset_table.place(key) is None:
        keyset_table.nothing("No such generation", "Choose a longer window, or take a filter away.")
        return
    opens = actor.may(Action.DEBUG_GENERATION)
    rows = tuple(_row(generation, zone, opens=opens) for generation in page.generations)
    fresh = Slice(rows, page.next_before, total, now)
    columns = COLUMNS | {"open": OPENS} if opens else COLUMNS
    keyset_table.show(key, fresh, columns, lambda at: times.clock_time(at, zone))


def _headline(chosen: Filter, total: int | None) -> str:
    said = formats.counted(total, "generation", "generations") if total is not None else "Generations"
    words = STATE_WORDS[chosen.state or "begun"]
    if chosen.signature is not None and chosen.state is None:
        words = "with this failure"
    if chosen.counted_by_alert:
        return f"{said} {words}, as the alert has counted them"
    when = "" if chosen.of_this_moment else f", of the last {WINDOW_NAMES[chosen.window]}"
    return f"{said} {words}{when}"


def _chips(chosen: Filter) -> None:
    """What narrows the rows, each to be taken away."""
    named = {
        "state": STATE_WORDS.get(chosen.state or ""),
        "model": model_name(chosen.model) if chosen.model is not None else None,
        "signature": (
            f"failure group {chosen.signature}" if chosen.signature and not chosen.counted_by_alert else None
        ),
        "at": f"begun from {chosen.at:%d %b %H:%M} UTC on" if chosen.at else None,
    }
    chips.show("health", named, chosen, go)


def _row(generation: Generation, zone: tzinfo, *, opens: bool) -> Row:
    """`opens`: its evidence may be seen, so its id is a link."""
    state = look_of(generation)
    took = generation.delivered_at - generation.created_at if generation.delivered_at else None
    failed = generation.failure_message or generation.failure_category
    return Row(
        generation.id,
        f"{generation.delivery_state}:{generation.attempt}:{generation.next_attempt_at}",
        {
            "open": f"/debug_sync?q={generation.id}" if opens else str(generation.id)[-8:],
            "state": state.in_table,
            "begun": generation.created_at.astimezone(zone).replace(tzinfo=None),
            "kind": generation.kind[:40],
            "model": model_name(generation.model or "")[:120],
            "took": formats.duration(took.total_seconds()) if took else "",
            "why": formats.excerpt(failures.provider_words(generation) or failures.reason(generation), 200)
            if failed and generation.delivered_at is None
            else "",
        },
    )
