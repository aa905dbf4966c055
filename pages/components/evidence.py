"""The evidence ladder: what each side knows of a generation, side by side, the mismatch marked."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from html import escape
from typing import Any

import streamlit as st

from core.deliveries import views
from core.deliveries.models import ACTIVE, Status
from core.diagnosis import asking, checks
from core.diagnosis.findings import Cell, Finding, Mark
from core.diagnosis.snapshot import Snapshot
from core.providers.contract import ProviderState
from core.providers.registry import name_of, worded
from pages.components import formats, look, timeline, times
from pages.components.states import Tone, icon_html, look_of, pill_html

# Longer records are cut on the page; the API has them whole.
LONGEST_RECORD = 6_000
NAMES: dict[Cell, tuple[str, str]] = {
    Cell.DATABASE: ("database", "Database"),
    Cell.KIE: ("cloud", "KIE"),
    Cell.STORAGE: ("folder_open", "Storage"),
    Cell.CALLBACKS: ("call_received", "Callbacks"),
    Cell.TIMELINE: ("timeline", "Timeline"),
    Cell.COST: ("payments", "Cost"),
}
MARKS: dict[Mark, tuple[Tone, str, str]] = {
    Mark.FITS: ("good", "check", "fits"),
    Mark.MISMATCH: ("bad", "priority_high", "does not fit"),
    Mark.UNKNOWN: ("unknown", "question_mark", "not known"),
    Mark.BEING_ASKED: ("working", "hourglass_top", "being asked"),
}
AT_KIE: dict[ProviderState, str] = {
    ProviderState.WAITING: "Waiting",
    ProviderState.QUEUED: "In its queue",
    ProviderState.GENERATING: "Generating",
    ProviderState.SUCCESS: "Finished",
    ProviderState.FAIL: "Failed",
    ProviderState.NOT_FOUND: "Does not know the task",
    ProviderState.UNKNOWN: "A word that nobody knows",
}
CUSTOMER_SEES: dict[str, str] = {
    Status.QUEUED: "Queued",
    Status.GENERATING: "Generating",
    Status.SUCCESS: "Finished",
    Status.FAILED: "Failed",
}
LINES = {"settle": "Charged", "reserve": "Reserved", "release": "Released", "correct": "Corrected"}
Facts = list[tuple[str, str]]


def show(seen: Snapshot, finding: Finding) -> None:
    """The six cells; on a phone one below the other."""
    zone = times.viewer_zone()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.section("Evidence")
        st.button(
            f"Ask {name_of(seen.generation.provider)} and storage again",
            key="so-ask-again",
            icon=":material/refresh:",
            type="tertiary",
            on_click=_ask_again,
            args=(seen,),
        )
    draw = {
        Cell.DATABASE: _database,
        Cell.KIE: _kie,
        Cell.STORAGE: _storage,
        Cell.CALLBACKS: _callbacks,
        Cell.TIMELINE: _timeline,
        Cell.COST: _cost,
    }
    with st.grid(3, min_column_width=270, gap="small"):
        for cell, told in draw.items():
            with st.container(border=True, height="stretch"):
                st.html(_head(cell, finding, seen.generation.provider) + told(seen, zone))


def _ask_again(seen: Snapshot) -> None:
    asking.forget(seen.detail)
    st.rerun()


def _head(cell: Cell, finding: Finding, provider: str) -> str:
    icon, name = NAMES[cell]
    name = worded(name, provider)
    mark = finding.marks[cell]
    pill = ""
    if finding.rule != checks.LOOKING or mark is not Mark.FITS:
        tone, sign, word = MARKS[mark]
        pill = f'<span class="so-pill so-{tone}">{icon_html(sign)}{word}</span>'
    return f'<div class="so-cell-head">{icon_html(icon)}<b>{name}</b>{pill}</div>'


def _as_of(at: datetime, seen: Snapshot, zone: tzinfo) -> str:
    return f'<div class="so-quiet so-small">asked {times.ago_html(at, seen.at, zone)}</div>'


def _json(folded: str, value: Any) -> str:
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    if len(text) > LONGEST_RECORD:
        text = f"{text[:LONGEST_RECORD]}\n… {len(text) - LONGEST_RECORD:,} more characters"
    return look.folded_html(folded, text)


def _database(seen: Snapshot, zone: tzinfo) -> str:
    row = seen.generation
    status = CUSTOMER_SEES.get(row.status or "", f"“{(row.status or 'nothing')[:40]}”")
    facts: Facts = [
        ("Stands at", pill_html(look_of(row))),
        ("Customer sees", escape(status)),
        ("File address", "recorded" if row.asset_url else "none"),
        ("Begun", escape(times.exact(row.created_at, zone))),
    ]
    if row.delivered_at is not None:
        facts.append(("Delivered", times.ago_html(row.delivered_at, seen.at, zone)))
    if row.failure_message:
        facts.append(("Last fault", escape(row.failure_message[:200])))
    if seen.in_work:
        facts.append(("In work", "an attempt holds it now"))
    elif row.delivery_state in ACTIVE and row.next_attempt_at is not None:
        facts.append(("Next look", times.ago_html(row.next_attempt_at, seen.at, zone)))
    if not row.ours:
        facts.append(("Written by", "the company's application"))
    return look.facts_html(facts)


def _kie(seen: Snapshot, zone: tzinfo) -> str:
    row = seen.generation
    known: Facts = []
    if row.provider_state and row.provider_read_at is not None:
        read = times.ago_html(row.provider_read_at, seen.at, zone)
        known = [("Last known", f"“{escape(row.provider_state[:40])}”, {read}")]
    if seen.kie is None:
        return look.facts_html([("Record", "is being read…"), *known])
    record = seen.kie.record
    if record is None:
        problem = escape(seen.kie.problem or "no answer")
        return look.facts_html([("Record", problem), *known]) + _as_of(seen.kie.at, seen, zone)
    said = AT_KIE[record.state]
    if record.state is ProviderState.UNKNOWN:
        said = f"“{record.state_word[:60]}”"
    facts: Facts = [
        ("Says", escape(said + (f", {record.progress} %" if record.progress is not None else "")))
    ]
    if record.completed_at is not None:
        facts.append(("Finished", times.ago_html(record.completed_at, seen.at, zone)))
    if record.state is ProviderState.SUCCESS:
        files = formats.counted(len(record.result_urls), "file", "files")
        facts.append(("Names", escape(record.result_problem or files)))
    if record.fail_message or record.fail_code:
        facts.append(("Its words", escape(f"{record.fail_code or ''} {record.fail_message or ''}".strip())))
    if record.credits_consumed is not None:
        facts.append(("Credits", f"{record.credits_consumed.normalize():,f}"))
    return look.facts_html(facts) + _as_of(seen.kie.at, seen, zone) + _json("Its whole record", record.raw)


def _storage(seen: Snapshot, zone: tzinfo) -> str:
    answer = seen.storage
    if answer is None:
        return look.facts_html([("Files", "are being looked for…")])
    if answer.problem is not None:
        return look.facts_html([("Files", escape(answer.problem))]) + _as_of(answer.at, seen, zone)
    facts: Facts = []
    for file in answer.files[:5]:
        name = escape(file.path.rpartition("/")[2])
        state = formats.size(file.found.bytes) if file.found else "<b>missing</b>"
        unknown = "" if file.recorded else ", never recorded"
        facts.append(("File", f'{state}{unknown}<div class="so-quiet so-small">{name}</div>'))
    if len(answer.files) > 5:
        facts.append(("", f"and {len(answer.files) - 5} more"))
    if not facts:
        facts.append(("Files", "none of it is here"))
    return look.facts_html(facts) + _as_of(answer.at, seen, zone)


def _callbacks(seen: Snapshot, zone: tzinfo) -> str:
    callbacks = seen.detail.callbacks
    if not callbacks:
        return look.facts_html([("Received", "none")])
    facts: Facts = [("Received", formats.count(len(callbacks)))]
    for callback in callbacks[-3:]:
        said = _said(callback)
        handled = "handled" if callback.handled_at else "waits"
        when = times.ago_html(callback.received_at, seen.at, zone)
        facts.append((said, f"{when}, {'signed, ' if callback.signed else ''}{handled}"))
    repeats = sum(callback.duplicates for callback in callbacks)
    if repeats:
        facts.append(("Repeated", formats.counted(repeats, "time", "times")))
    return look.facts_html(facts) + _json("Their words", [callback.body for callback in callbacks[-3:]])


def _said(callback: views.SeenCallback) -> str:
    data = callback.body.get("data", callback.body)
    word = str(data.get("state") or data.get("status", ""))[:20] if isinstance(data, Mapping) else ""
    return {"success": "Finished", "fail": "Failed", "OK": "Finished", "ERROR": "Failed"}.get(
        word, word or "No word"
    )


def _timeline(seen: Snapshot, zone: tzinfo) -> str:
    steps: Sequence[views.TimelineStep] = seen.detail.timeline
    if not steps:
        return look.facts_html([("Steps", "none recorded here")])
    facts: Facts = [
        ("Steps", formats.count(len(steps))),
        ("Tries in a row", formats.count(seen.generation.attempt)),
    ]
    lines = timeline.fold(steps)[-3:]
    return look.facts_html(facts) + "".join(
        timeline.line_html(line, seen.generation.created_at, zone, seen.generation.provider) for line in lines
    )


def _cost(seen: Snapshot, zone: tzinfo) -> str:
    lines = seen.detail.costs
    paid = [line.amount_usd for line in lines if line.amount_usd is not None]
    facts: Facts = [("Recorded", escape(formats.money(sum(paid, Decimal(0)))) if paid else "nothing")]
    for line in lines[:3]:
        if line.quantity is not None:
            unit = f"{line.unit or ''}{'' if line.quantity == 1 or not line.unit else 's'}"
            facts.append((LINES.get(line.kind, "Line"), escape(f"{line.quantity.normalize():f} {unit}")))
    if not seen.generation.ours:
        facts.append(("Paid by", "the company's application"))
    return look.facts_html(facts)
