"""A run's log. New lines are appended; those that are there stay what they are, so that a selection holds."""

from collections.abc import Sequence
from datetime import tzinfo
from html import escape
from uuid import UUID

import streamlit as st

from core.trainings import detail as run_detail
from core.trainings.detail import LogRow
from pages.components import errors, look, times
from pages.components.actor import the_actor

HEIGHT = 260
FIRST_LINES = 200
_DRAWN = "so-log-drawn"


def show(run_id: UUID, *, run_every: float | None) -> None:
    """The log, which follows its newest line until somebody scrolls up."""
    with st.container(border=True, gap="small"):
        look.section("Log")
        st.fragment(_lines, run_every=run_every)(run_id)


def _lines(run_id: UUID) -> None:
    with errors.guarded("training log"):
        chunks = _chunks(run_id)
        if not any(chunks):
            st.html('<div class="so-quiet">Nothing has been written yet.</div>')
            return
        with st.container(height=HEIGHT, border=False, gap=None, autoscroll=True, key="so-log"):
            for chunk in chunks:
                st.html(_html(chunk))


def _chunks(run_id: UUID) -> list[tuple[LogRow, ...]]:
    """What each refresh has brought, oldest first: an element each, drawn the same every time."""
    of, chunks = st.session_state.get(_DRAWN, (None, []))
    if of != run_id:
        chunks = []
    last = chunks[-1][-1].id if chunks else 0
    limit = run_detail.MAX_LINES if chunks else FIRST_LINES
    came = tuple(run_detail.log_since(the_actor(), run_id, last, limit))
    if came:
        chunks = [*chunks, came]
    st.session_state[_DRAWN] = (run_id, chunks)
    return list(chunks)


def _html(lines: Sequence[LogRow]) -> str:
    zone = times.viewer_zone()
    return f'<div class="so-log">{"".join(_line_html(line, zone) for line in lines)}</div>'


def _line_html(line: LogRow, zone: tzinfo) -> str:
    source = "" if line.source == "studio" else f"<i>{escape(line.source)}</i> "
    exact, clock = escape(times.exact(line.at, zone)), times.clock_time(line.at, zone)
    return (
        f'<div class="so-log-line so-log-{escape(line.level)}">'
        f'<span class="so-quiet" title="{exact}">{clock}</span>'
        f"<span>{source}{escape(line.message)}</span></div>"
    )
