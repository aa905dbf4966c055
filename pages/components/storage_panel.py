"""How much is stored, what for, and how it grows."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core import usage
from core.access import Actor
from core.web import export
from pages.components import definition, errors, formats, times

DAYS = 30


def show(actor: Actor, now: datetime, zone: tzinfo) -> None:
    """Files and bytes by bucket and purpose, with the growth; a number of files opens them."""
    with errors.guarded("storage"), st.container(border=True):
        latest, days = usage.latest(), usage.daily(DAYS, now)
        if latest is None:
            st.html(
                definition.head_html("Storage", "not counted yet")
                + '<div class="so-quiet">It is counted once an hour by the worker; the first count comes'
                " within the hour. To count now: <code>python -m jobs run storage_usage</code></div>"
            )
            return
        first = days[0] if days else latest
        before = {(line.bucket, line.purpose): line.bytes for line in first.lines}
        rows = "".join(
            f"<tr><td>{escape(line.bucket)}</td><td>{escape(line.purpose.replace('_', ' '))}</td>"
            f"<td>{_files_html(actor, line, latest.taken_at, now)}</td><td>{formats.size(line.bytes)}</td>"
            f"<td>{_growth(line.bytes - before.get((line.bucket, line.purpose), 0))}</td></tr>"
            for line in latest.lines
            if line.files or before.get((line.bucket, line.purpose))
        )
        as_of = f"As of {times.exact(latest.taken_at, zone)}"
        mark = definition.mark_html("Storage", usage.FIGURE, as_of=as_of)
        told = f"counted {times.ago(latest.taken_at, now)}"
        total = f"{formats.size(latest.bytes)} in {formats.counted(latest.files, 'file', 'files')}"
        since = times.exact(first.taken_at, zone).split(",")[0]
        table = (
            f'<div class="so-scroll"><table class="so-table"><tr><th>Bucket</th><th>For</th><th>Files</th>'
            f"<th>Size</th><th>Since {escape(since)}</th></tr>{rows}</table></div>"
            if rows
            else '<div class="so-quiet">Nothing is stored yet.</div>'
        )
        st.html(definition.head_html("Storage", told, mark) + f'<div class="so-big">{total}</div>' + table)


def _files_html(actor: Actor, line: usage.Line, counted_at: datetime, now: datetime) -> str:
    """How many files, as a link to the list of them."""
    number = formats.count(line.files)
    link = export.storage_link(actor, line, counted_at, now) if line.files else None
    if link is None:
        return number
    what = f"{line.purpose.replace('_', ' ')} in {line.bucket}"
    told = escape(f"CSV of these {number} files of {what}, as far as they are still there")
    return f'<a href="{escape(link)}" title="{told}" aria-label="{told}">{number}</a>'


def _growth(change: int) -> str:
    if change == 0:
        return "±0"
    return f"{'+' if change > 0 else '−'}{formats.size(abs(change))}"
