"""Trainings at a glance: the board, then all of them by filter, in an address that can be shared."""

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
    openers,
    orphan_pods,
    times,
    training_board,
)
from pages.components.keyset_table import Column, Slice
from pages.components.states import icon_html
from pages.components.training_board import ALL, STATE, STATES
from pages.components.training_words import look_of, named, trainer

REFRESH_S = 5
PROVIDER, SEARCH = "provider", "search"
COLUMNS = {
    "open": Column("Run", 82, "link", help="Opens the run"),
    "lora": Column("LoRA", 180),
    "state": Column("State", 165),
    "why": Column("Why", 126),
    "launched": Column("Launched", 105, "time", form="%b, %H:%M"),
    "cost": Column("Cost", 62),
    "took": Column("Took", 88),
    "provider": Column("Provider", 80),
}


def show(actor: Actor) -> None:
    """All of it, for a fragment that refreshes by itself."""
    with errors.guarded("training runs"):
        now, zone = times.now(), times.viewer_zone()
        seen = training_board.board(actor, now)
        refresh = f"refreshed every {REFRESH_S} s" if st.session_state["trainings-live"] else "paused"
        st.html(definition.as_of_html(f"As of {times.clock_time(now, zone)}, {refresh}", now, zone))
        not_over = training_board.not_over_html(seen, now, zone)
        if not not_over and not views.runs(actor, Filter(), now, limit=1).rows:
            _first_day()
            return
        training_board.numbers(seen, now)
        orphan_pods.show(actor, now, zone)
        # The runs of a number, an alert or a state stand right below, all of them at the end.
        if counted_runs.are_chosen() or {STATE, PROVIDER} & st.query_params.to_dict().keys():
            _table(actor, now, zone)
            if not_over:
                st.html(f'<div class="so-tasks">{not_over}</div>')
        else:
            _table(actor, now, zone, above=not_over)


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


def _filters(above: str) -> tuple[str, str, str]:
    """State, provider and part of the name that the table shows; they stand in the address."""
    asked = {name: of for name, of in st.query_params.to_dict().items() if name != keyset_table.PICKED}
    trainers = {trainer(name): name for name in training_registry.TRAINERS}
    address.tell(filter(None, (address.fault(STATE, STATES), address.fault(PROVIDER, [ALL, *trainers]))))
    state = asked[STATE] if asked.get(STATE) in STATES else ALL
    provider = asked[PROVIDER] if asked.get(PROVIDER) in trainers else ALL
    # Another state is not bound to what was counted.
    free = asked if counted_runs.are_of_one_kind() else counted_runs.without(asked)
    states = {words: free | {STATE: words} for words in STATES}
    providers = {
        "All providers" if words == ALL else words: asked | {PROVIDER: words} for words in (ALL, *trainers)
    }
    st.html(
        f'<div class="so-tasks">{above}<h2 class="so-section">All runs</h2><div>'
        + openers.choices_html("State", state, states)
        + openers.choices_html("Provider", "All providers" if provider == ALL else provider, providers)
        + "</div></div>"
    )
    search = st.text_input(
        "LoRA",
        key=SEARCH,
        bind="query-params",
        max_chars=100,
        placeholder="Part of a LoRA's name",
        label_visibility="collapsed",
        icon=":material/search:",
        width=320,
    )
    return state, trainers.get(provider, ""), (search or "").strip()


def _table(actor: Actor, now: datetime, zone: tzinfo, above: str = "") -> None:
    """The runs that are asked for; `above` is HTML that stands right above them."""
    state, provider, search = _filters(above)
    wanted = Filter(
        states=STATES.get(state),
        trainer=provider or None,
        search=search or None,
        counted=counted_runs.chosen(zone),
    )
    key = f"runs-{look.safe_key(str((state, provider, search, wanted.counted)))}"
    before = keyset_table.place(key)
    shown = keyset_table.at_once(key, whole=wanted == Filter())
    page = views.runs(actor, wanted, now, before=before, limit=shown)
    if not page.rows and before is None:
        keyset_table.nothing("No such run", "Choose another state, or take away what narrows the list.")
        return
    fresh = Slice(tuple(_row(row, zone) for row in page.rows), page.next_before, None, now)
    picked = keyset_table.show(key, fresh, COLUMNS, lambda at: times.clock_time(at, zone))
    if len(picked) == 2:
        one, other = picked
        st.html(
            f'<a href="training_runs?run={one.id}&with={other.id}">{icon_html("compare")} Compare the two</a>'
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
