"""Trainings at a glance: the board, then all of them by filter, in an address that can be shared."""

from collections.abc import Mapping
from datetime import datetime, tzinfo

import streamlit as st

from core.access import Actor
from core.providers import training_registry
from core.trainings import views
from core.trainings.views import Filter, Row
from pages.components import (
    address,
    counted_runs,
    definition,
    errors,
    formats,
    keyset_table,
    look,
    orphan_pods,
    times,
    training_board,
)
from pages.components.keyset_table import Slice
from pages.components.states import icon_html
from pages.components.training_board import ALL, STATE, STATES
from pages.components.training_words import look_of, named, trainer

REFRESH_S = 5
PROVIDER, SEARCH = "provider", "search"
_TRAINERS = (ALL, *training_registry.TRAINERS)
COLUMNS = {
    "open": st.column_config.LinkColumn(
        "Run", display_text=r"([0-9a-f]{8})$", width=78, help="Opens the run"
    ),
    "lora": st.column_config.TextColumn("LoRA", width=190),
    "state": st.column_config.TextColumn("State", width=140),
    "why": st.column_config.TextColumn("Why", width=158),
    "launched": st.column_config.DatetimeColumn("Launched", format="D MMM, HH:mm", width=105),
    "cost": st.column_config.TextColumn("Cost", width=62),
    "took": st.column_config.TextColumn("Took", width=72),
    "provider": st.column_config.TextColumn("Provider", width=80),
}


def faults() -> Mapping[str, str]:
    """A sentence for each field that the address asks something of that is not there; to be asked for before
    the fields are made, which take it away."""
    allowed = {STATE: list(STATES), PROVIDER: [_provider(name) for name in _TRAINERS]}
    found = {name: address.fault(name, choices) for name, choices in allowed.items()}
    return {name: fault for name, fault in found.items() if fault}


def _provider(name: str) -> str:
    return "All providers" if name == ALL else trainer(name)


def show(actor: Actor, faults: Mapping[str, str]) -> None:
    """All of it, for a fragment that refreshes by itself; `faults` are said until another choice is made."""
    with errors.guarded("training runs"):
        now, zone = times.now(), times.viewer_zone()
        seen = training_board.board(actor, now)
        refresh = f"refreshed every {REFRESH_S} s" if st.session_state["trainings-live"] else "paused"
        st.html(definition.as_of_html(f"As of {times.clock_time(now, zone)}, {refresh}", now, zone))
        if not views.runs(actor, Filter(), now, limit=1).rows:
            _first_day()
            return
        training_board.numbers(seen, now)
        orphan_pods.show(actor, now, zone)
        # The runs of a number or an alert stand right below, all of them at the end.
        narrowed = counted_runs.are_chosen()
        if narrowed:
            _table(actor, faults, now, zone)
        training_board.not_over(seen, now, zone)
        if not narrowed:
            _table(actor, faults, now, zone)


def _first_day() -> None:
    with st.container(border=True, horizontal_alignment="center", key="so-first-day"):
        st.html(
            look.welcome_html(
                "model_training",
                "Nothing has been trained yet",
                "Drop six to ten images of a character, see the verdict on each and the price, and launch.",
            )
        )
        if st.button("Launch the first training", type="primary", icon=":material/arrow_forward:"):
            st.switch_page("launch_training.py")


def _filters(faults: Mapping[str, str]) -> tuple[str, str, str]:
    """State, provider and part of the name that the table shows; they stand in the address."""
    with st.container(horizontal=True, vertical_alignment="center", key="so-run-filters"):
        state = st.segmented_control(
            "State",
            list(STATES),
            default=ALL,
            required=True,
            key=STATE,
            bind="query-params",
            label_visibility="collapsed",
            on_change=counted_runs.leave,
        )
        provider = st.selectbox(
            "Provider",
            _TRAINERS,
            format_func=_provider,
            key=PROVIDER,
            bind="query-params",
            label_visibility="collapsed",
            width=150,
        )
        search = st.text_input(
            "LoRA",
            key=SEARCH,
            bind="query-params",
            max_chars=100,
            placeholder="Part of a LoRA's name",
            label_visibility="collapsed",
            icon=":material/search:",
            width=220,
        )
    chosen = {STATE: state or ALL, PROVIDER: provider or ALL}
    address.tell(fault for name, fault in faults.items() if chosen[name] == ALL)
    return chosen[STATE], chosen[PROVIDER], (search or "").strip()


def _table(actor: Actor, faults: Mapping[str, str], now: datetime, zone: tzinfo) -> None:
    look.section("All runs")
    state, provider, search = _filters(faults)
    wanted = Filter(
        states=STATES.get(state),
        trainer=None if provider == ALL else provider,
        search=search or None,
        counted=counted_runs.chosen(zone),
    )
    key = f"runs-{look.safe_key(str((state, provider, search, wanted.counted)))}"
    before = keyset_table.place(key)
    page = views.runs(actor, wanted, now, before=before)
    if not page.rows and before is None:
        keyset_table.nothing("No such run", "Choose another state, or take away what narrows the list.")
        return
    fresh = Slice(tuple(_row(row, zone) for row in page.rows), page.next_before, None, now)
    picked = keyset_table.show(key, fresh, COLUMNS, lambda at: times.clock_time(at, zone))
    if len(picked) == 1:
        st.html(f'<a href="training_runs?run={picked[0].id}" target="_self">Open this run</a>')
    if len(picked) == 2:
        one, other = picked
        st.html(
            f'<a href="training_runs?run={one.id}&with={other.id}" target="_self">'
            f"{icon_html('compare')} Compare the two</a>"
        )


def _row(row: Row, zone: tzinfo) -> keyset_table.Row:
    took = row.ended_at - row.launched_at if row.ended_at else None
    return keyset_table.Row(
        row.id,
        f"{row.state}:{row.stage}:{row.progress}",
        {
            "open": f"/training_runs?run={row.id}",
            "lora": named(row)[:160],
            "state": look_of(row).in_table,
            "provider": trainer(row.trainer),
            "launched": row.launched_at.astimezone(zone).replace(tzinfo=None),
            "took": formats.duration(took.total_seconds()) if took else "",
            "cost": formats.total(row.cost_usd) if row.cost_usd is not None else "",
            "why": formats.excerpt(row.error or "", 200),
        },
    )
