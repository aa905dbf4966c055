"""A table that pages through rows by their place, never by their number; a refresh moves nothing.

While rows are selected the table stands still: it shows what it showed when the first was selected,
and a selection is the ids and versions of rows, not their numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import streamlit as st

from pages.components import formats, look

# Where a view's page goes on; each view has its own kind.
Place = Any
OLDER = ("Newer", "Older")


@dataclass(frozen=True)
class Row:
    """One row: what it is, which version of it, and its cells by column."""

    id: UUID
    version: str
    cells: Mapping[str, Any]


@dataclass(frozen=True)
class Slice:
    """A page of rows of `total` (None: not counted); `next_before` continues it, None at the end."""

    rows: tuple[Row, ...]
    next_before: Place | None
    total: int | None
    as_of: datetime


@dataclass(frozen=True)
class Selected:
    """A selected row, to be checked against its version again before anything is done to it."""

    id: UUID
    version: str


def place(key: str) -> Place | None:
    """Where the page that the table shows begins; None at the newest."""
    starts = st.session_state.get(f"{key}-starts")
    return starts[-1] if starts else None


def to_newest(key: str) -> None:
    """Show the newest rows, with nothing selected."""
    _turn_to(key, [])


def _turn_to(key: str, starts: Sequence[Place]) -> None:
    st.session_state[f"{key}-starts"] = list(starts)
    release(key)


def release(key: str) -> None:
    """Select nothing, so that the table follows what happens again."""
    st.session_state[f"{key}-round"] = st.session_state.get(f"{key}-round", 0) + 1
    st.session_state.pop(f"{key}-held", None)


def selected(key: str) -> tuple[Selected, ...]:
    """The rows that are selected, as they were when they were."""
    held: Slice | None = st.session_state.get(f"{key}-held")
    grid = st.session_state.get(_grid(key))
    if held is None or grid is None:
        return ()
    return tuple(
        Selected(held.rows[number].id, held.rows[number].version)
        for number in grid["selection"]["rows"]
        if number < len(held.rows)
    )


def _grid(key: str) -> str:
    return f"{key}-grid-{st.session_state.get(f'{key}-round', 0)}"


def show(
    key: str,
    fresh: Slice,
    columns: Mapping[str, Any],
    clock: Callable[[datetime], str],
    turns: tuple[str, str] = OLDER,
) -> tuple[Selected, ...]:
    """The table and its turning; what is selected. `clock` says a time, `turns` the way back and on."""
    picked = selected(key)
    shown: Slice = st.session_state[f"{key}-held"] if picked else fresh
    if not picked:
        st.session_state[f"{key}-held"] = fresh
    cells = {name: [row.cells[name] for row in shown.rows] for name in columns}
    st.dataframe(
        cells,
        key=_grid(key),
        hide_index=True,
        column_config=dict(columns),
        on_select="rerun",
        selection_mode="multi-row",
        height="content",
        row_height=34,
    )
    foot(key, shown, picked, clock, turns)
    return picked


def foot(
    key: str,
    shown: Slice,
    picked: Sequence[Selected],
    clock: Callable[[datetime], str],
    turns: tuple[str, str] = OLDER,
) -> None:
    """What is selected, and the turning of pages; for whatever shows the rows."""
    starts: list[Place] = st.session_state.get(f"{key}-starts", [])
    with st.container(horizontal=True, vertical_alignment="center"):
        if picked:
            chosen = formats.counted(len(picked), "row selected", "rows selected")
            st.html(f'<span class="so-quiet so-small">{chosen}: held as of {clock(shown.as_of)}</span>')
            st.button(
                "Select nothing", icon=":material/close:", on_click=release, args=(key,), key=f"{key}-release"
            )
        if starts:
            st.button(
                turns[0],
                icon=":material/arrow_back:",
                on_click=_turn_to,
                args=(key, starts[:-1]),
                key=f"{key}-newer",
            )
        if shown.next_before is not None:
            st.button(
                turns[1],
                icon=":material/arrow_forward:",
                icon_position="right",
                on_click=_turn_to,
                args=(key, [*starts, shown.next_before]),
                key=f"{key}-older",
            )


def nothing(headline: str, body: str) -> None:
    """What stands in place of a table without rows."""
    st.html(look.empty_html("table_rows", headline, body))
