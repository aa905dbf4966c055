"""A table that pages through rows by their place, never by their number; a refresh moves nothing.

While rows are selected the table stands still: it shows what it showed when the first was selected,
and a selection is the ids and versions of rows, not their numbers. It stands in the address.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import UUID

import streamlit as st

from pages.components import formats, look
from pages.components.states import icon_html

# Where a view's page goes on; each view has its own kind.
Place = Any
OLDER = ("Newer", "Older")
PICKED = "picked"
FIRST = 10
# A cell that has more letters than its column is wide says the rest on hover.
LETTER_PX = 7
# So much of an address names what it leads to.
ID_SHOWN = 8


@dataclass(frozen=True)
class Column:
    """A column: its head, its width in pixels, and what its cells are. `link` and `image` are addresses, a
    `link` that is no address is shown as text; `form` is strftime's, with the day before it."""

    label: str
    width: int
    kind: Literal["text", "number", "time", "link", "image"] = "text"
    form: str = "%b, %H:%M:%S"
    help: str = ""


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
    st.query_params.pop(PICKED, None)
    st.session_state.pop(f"{key}-held", None)


def _picked() -> tuple[str, ...]:
    return tuple(one for one in st.query_params.get(PICKED, "").split(",") if one)


def _selected(shown: Slice) -> tuple[Selected, ...]:
    picked = _picked()
    return tuple(Selected(row.id, row.version) for row in shown.rows if str(row.id) in picked)


def at_once(key: str, *, whole: bool, more: int = 25) -> int:
    """How many rows to read: below a page that nothing narrows (`whole`) the newest few, and more on."""
    return FIRST if whole and place(key) is None else more


def show(
    key: str,
    fresh: Slice,
    columns: Mapping[str, Column],
    clock: Callable[[datetime], str],
    turns: tuple[str, str] = OLDER,
) -> tuple[Selected, ...]:
    """The table and its turning; what is selected. `clock` says a time, `turns` the way back and on."""
    held: Slice | None = st.session_state.get(f"{key}-held")
    shown = held if held is not None and _selected(held) else fresh
    st.session_state[f"{key}-held"] = shown
    st.html(table_html(shown.rows, columns, st.query_params.to_dict()))
    picked = _selected(shown)
    foot(key, shown, picked, clock, turns)
    return picked


def head_html(headline: str, csv: str | None) -> str:
    """What the rows are, and the way to the CSV of all of them where there is one."""
    link = (
        f'<a class="so-link-button" href="{escape(csv)}" download>{icon_html("download")}'
        "CSV of all of them</a>"
        if csv
        else ""
    )
    return f'<div class="so-rows-head"><h2 class="so-section">{escape(headline)}</h2>{link}</div>'


def table_html(rows: Sequence[Row], columns: Mapping[str, Column], address: Mapping[str, str]) -> str:
    """The rows with a box to tick each, at an address that has `address` for its parameters."""
    widths = "".join(f'<col style="width:{column.width}px">' for column in columns.values())
    heads = "".join(_head_html(column) for column in columns.values())
    picked = tuple(one for one in address.get(PICKED, "").split(",") if one)
    lines = "".join(_line_html(row, columns, address, picked) for row in rows)
    whole = 36 + sum(column.width for column in columns.values())
    return (
        f'<div class="so-rows" style="contain-intrinsic-height:{35 * len(rows) + 35}px">'
        f'<table style="min-width:{whole}px"><colgroup><col style="width:36px">{widths}'
        f'</colgroup><thead><tr><th><span class="so-hidden">Selected</span></th>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _head_html(column: Column) -> str:
    told = f' title="{escape(column.help)}"' if column.help else ""
    kind = ' class="so-count"' if column.kind == "number" else ""
    return f'<th scope="col"{kind}{told}>{escape(column.label)}</th>'


def _line_html(
    row: Row, columns: Mapping[str, Column], address: Mapping[str, str], picked: Sequence[str]
) -> str:
    name, cells = str(row.id), "".join(_cell_html(column, row.cells[at]) for at, column in columns.items())
    on = name in picked
    then = [one for one in picked if one != name] if on else [*picked, name]
    opens = {at: value for at, value in address.items() if at != PICKED}
    href = escape(f"?{urlencode(opens | ({PICKED: ','.join(then)} if then else {}), safe=',')}")
    box = (
        f'<a role="checkbox" aria-checked="{str(on).lower()}" aria-label="Select …{name[-ID_SHOWN:]}"'
        f' href="{href}">'
        f"{icon_html('check') if on else ''}</a>"
    )
    return f"<tr{' class=so-picked' if on else ''}><td>{box}</td>{cells}</tr>"


def _cell_html(column: Column, value: Any) -> str:
    if value is None or value == "":
        return "<td></td>"
    match column.kind:
        case "link" if str(value).startswith("/"):
            text = escape(str(value)[-ID_SHOWN:])
            return f'<td><a href="{escape(str(value))}">{text}</a></td>'
        case "image":
            return f'<td><img src="{escape(str(value))}" alt="" loading="lazy" decoding="async"></td>'
        case "number":
            return f'<td class="so-count">{formats.count(value)}</td>'
        case "time":
            return f"<td>{value.day} {escape(f'{value:{column.form}}')}</td>"
    said = str(value)
    whole = f' title="{escape(said)}"' if len(said) * LETTER_PX > column.width - 16 else ""
    return f"<td{whole}>{escape(said)}</td>"


def foot(
    key: str,
    shown: Slice,
    picked: Sequence[Selected],
    clock: Callable[[datetime], str],
    turns: tuple[str, str] = OLDER,
) -> None:
    """What is selected, and the turning of pages; for whatever shows the rows."""
    starts: list[Place] = st.session_state.get(f"{key}-starts", [])
    if not picked and not starts and shown.next_before is None:
        return
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
