"""What happened to a generation, step by step, in plain words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from html import escape
from typing import Any

import streamlit as st

from core.deliveries.models import EventKind
from core.deliveries.views import TimelineStep
from core.providers.registry import worded
from pages.components import formats, times, who
from pages.components.look import folded_html
from pages.components.states import Tone, icon_html

Detail = Mapping[str, Any]
SHOWN = 60
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class Told:
    """How a kind of step is told."""

    icon: str
    tone: Tone
    sentence: Callable[[Detail], str]


def _says(detail: Detail) -> str:
    said = detail.get("says")
    return f": {said}" if said else ""


def _polled(detail: Detail) -> str:
    progress = detail.get("progress")
    return f"KIE was asked{_says(detail)}{f', {progress} %' if progress is not None else ''}"


def _ready(detail: Detail) -> str:
    files = detail.get("files")
    counted = f", {formats.counted(files, 'file', 'files')}" if isinstance(files, int) else ""
    spent = detail.get("credits")
    return f"KIE has finished{counted}{f', {spent} credits used' if spent is not None else ''}"


def _asked(detail: Detail) -> str:
    if detail.get("missing"):
        return "to fetch it again: its file was missing"
    return "to check again, by a bulk resync" if detail.get("plan") else "to check again"


TOLD: dict[EventKind, Told] = {
    EventKind.CREATED: Told("add_circle", "waiting", lambda d: f"Begun by {d.get('by', 'somebody')}"),
    EventKind.FRAME_READY: Told(
        "filter_frames", "working", lambda _: "Its first frame, made with the LoRA, was handed to it"
    ),
    EventKind.FRAME_AGAIN: Told(
        "filter_frames",
        "attention",
        lambda _: "Its first frame failed, without cost; it is made once more",
    ),
    EventKind.FRAME_FAILED: Told(
        "filter_frames", "bad", lambda _: "Its first frame could not be made; nothing of its own was paid"
    ),
    EventKind.SUBMITTED: Told("outbound", "waiting", lambda _: "Sent to KIE"),
    EventKind.ACCEPTED: Told("task_alt", "working", lambda d: f"KIE took it as task {d.get('task_id', '')}"),
    EventKind.REFUSED: Told("block", "bad", lambda _: "KIE did not take it"),
    EventKind.ANSWER_LOST: Told(
        "link_off", "attention", lambda _: "KIE's answer was lost; it is looked up, never sent again"
    ),
    EventKind.BOUND: Told(
        "link",
        "working",
        lambda d: f"Found again at KIE as task {d.get('task_id', '')} (by {d.get('by', '?')})",
    ),
    EventKind.CALLBACK: Told("call_received", "working", lambda d: f"KIE called back{_says(d)}"),
    EventKind.POLLED: Told("visibility", "working", _polled),
    EventKind.POLL_FAILED: Told("visibility_off", "attention", lambda _: "Asking KIE did not work"),
    EventKind.RESULT_READY: Told("inventory_2", "moving", _ready),
    EventKind.STORED: Told("save", "moving", lambda _: "File fetched and stored"),
    EventKind.DOWNLOAD_FAILED: Told(
        "cloud_off", "attention", lambda _: "Fetching or storing the file failed"
    ),
    EventKind.DELIVERED: Told("check_circle", "good", lambda _: "Delivered"),
    EventKind.PROVIDER_FAILED: Told("cancel", "bad", lambda _: "KIE says that it failed"),
    EventKind.LOST: Told("delete_history", "lost", lambda _: "Lost: KIE no longer has the file"),
    EventKind.NEEDS_ATTENTION: Told(
        "front_hand", "attention", lambda _: "No rule can decide this; a person must"
    ),
    EventKind.SYNC_REQUESTED: Told(
        "sync", "waiting", lambda d: f"{d.get('by', 'Somebody')} asked {_asked(d)}"
    ),
    EventKind.STATUS_RESTORED: Told(
        "published_with_changes",
        "attention",
        lambda d: (
            f"Another system had set the status to “{d.get('was', '?')}”; it says “{d.get('is', '?')}” again"
        ),
    ),
}


@dataclass(frozen=True)
class Line:
    """A step, or several equal looks at the provider in a row; `last_at` is the last one's time."""

    step: TimelineStep
    last_at: datetime
    times: int = 1


def fold(steps: Sequence[TimelineStep]) -> list[Line]:
    """The steps as lines: the same answer of the provider, time after time, is one line."""
    lines: list[Line] = []
    for step in steps:
        before = lines[-1] if lines else None
        if before and _same_look(before.step, step):
            lines[-1] = Line(before.step, step.at, before.times + 1)
        else:
            lines.append(Line(step, step.at))
    return lines


def _same_look(first: TimelineStep, second: TimelineStep) -> bool:
    looks = {EventKind.POLLED, EventKind.POLL_FAILED}
    return (
        first.kind is second.kind
        and first.kind in looks
        and (first.detail.get("says"), first.words) == (second.detail.get("says"), second.words)
    )


def line_html(line: Line, begun_at: datetime, zone: tzinfo, provider: str = "kie") -> str:
    """One line: when, what, and the figures that were measured."""
    step, told = line.step, TOLD[line.step.kind]
    sentence = worded(told.sentence(step.detail), provider)
    if line.times > 1:
        sentence += (
            f", {formats.count(line.times)} times until {times.clock_time_since(line.last_at, step.at, zone)}"
        )
    meta = [f"after {formats.duration(max(0.0, (step.at - begun_at).total_seconds()))}"]
    if step.duration_ms is not None:
        meta.append(f"took {formats.duration(step.duration_ms / 1000)}")
    if step.bytes is not None:
        meta.append(formats.size(step.bytes))
    if step.attempt is not None:
        meta.append(f"attempt {step.attempt}")
    if step.error_category:
        meta.append(step.error_category.replace("_", " "))
    meta = [figure.replace(" ", NO_BREAK) for figure in meta]
    words = folded_html("In its own words", step.words) if step.words else ""
    exact = escape(times.exact(step.at, zone))
    return (
        f'<div class="so-step so-{told.tone}">'
        f'<span class="so-when" title="{exact}">{times.clock_time_since(step.at, begun_at, zone)}</span>'
        f"{icon_html(told.icon)}"
        f"<div>{_with_address(sentence, step.detail)}"
        f' <span class="so-meta">· {escape(" · ".join(meta))}</span>{words}</div>'
        "</div>"
    )


def _with_address(sentence: str, detail: Detail) -> str:
    """The sentence, with the address of whom it names on hover."""
    known_as = detail.get("by_id")
    return who.html(sentence, known_as if isinstance(known_as, str) else None)


def show(steps: Sequence[TimelineStep], begun_at: datetime, zone: tzinfo, provider: str = "kie") -> None:
    """The lines, oldest first; each is an element of its own, so that a new one moves nothing."""
    lines = fold(steps)
    if len(lines) > SHOWN:
        st.caption(f"The first {len(lines) - SHOWN} steps are left out.")
    with st.container(gap=None):
        for line in lines[-SHOWN:]:
            st.html(line_html(line, begun_at, zone, provider))
