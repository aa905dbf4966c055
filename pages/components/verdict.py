"""Where one generation is, why, the button that mends it, its file, and every step after the click."""

import time
from html import escape
from uuid import UUID

import streamlit as st

from core import log
from core.access import Actor
from core.deliveries import service, tools, views
from core.deliveries.models import ACTIVE, DeliveryState, EventKind
from core.diagnosis import asking, checks, remedies, snapshot
from core.diagnosis.findings import Finding, Offer, Remedy, Tone
from core.diagnosis.snapshot import Snapshot
from core.providers.registry import name_of
from pages.components import (
    audit_lines,
    errors,
    evidence,
    formats,
    generation_facts,
    ids,
    look,
    media,
    searching,
    timeline,
    times,
)
from pages.components.actor import current_actor, the_actor
from pages.components.states import look_of, pill_html

REFRESH_S = 1.0
WATCH_EVERY_S = 5.0
DOUBLE_CLICK_S = 1.5
_WATCHED = "so-debug-watched"
_PRESSED = "so-debug-pressed"
_FAILURE = "so-debug-failure"
ICONS: dict[Tone, tuple[look.NoticeTone, str]] = {
    Tone.GOOD: ("good", "check_circle"),
    Tone.WORKING: ("working", "autorenew"),
    Tone.ATTENTION: ("attention", "build_circle"),
    Tone.BAD: ("bad", "error"),
}
BUTTON_ICONS = {Remedy.SYNC: "sync", Remedy.FETCH_AGAIN: "restore_page", Remedy.MAKE_AGAIN: "replay"}


def show(actor: Actor, generation_id: UUID) -> None:
    """Everything about one generation; drawn anew every second while something about it may change."""
    moving = _moves(_look(actor, generation_id))
    st.fragment(_live, run_every=REFRESH_S if moving else None)(generation_id, was_moving=moving)


def _look(actor: Actor, generation_id: UUID) -> Snapshot:
    rows = snapshot.of_rows(actor, generation_id, tools.current())
    return asking.complete(rows, tools.current())


def _moves(seen: Snapshot) -> bool:
    if seen.kie is None or seen.storage is None or remedies.just_asked(seen) is not None:
        return True
    return views.is_moving(seen.generation, seen.at)


def _live(generation_id: UUID, *, was_moving: bool) -> None:
    with errors.guarded("verdict"):
        actor = the_actor()
        seen = _look(actor, generation_id)
        moving = _moves(seen)
        if seen.generation.delivery_state in ACTIVE:
            _watch(actor, generation_id)
        _draw(actor, seen)
        if was_moving and not moving:
            st.rerun()


def _watch(actor: Actor, generation_id: UUID) -> None:
    """Say now and then that somebody looks, so that KIE is asked often."""
    last, at = st.session_state.get(_WATCHED, (None, 0.0))
    if last != generation_id or time.monotonic() - at > WATCH_EVERY_S:
        service.watch(actor, [generation_id], tools.current())
        st.session_state[_WATCHED] = (generation_id, time.monotonic())


def _draw(actor: Actor, seen: Snapshot) -> None:
    finding = checks.diagnose(seen)
    shown = _file(seen)
    with st.container(border=True):
        if shown is None:
            _told(actor, seen, finding)
        else:
            telling, seeing = st.columns([7, 5], gap="medium")
            with telling:
                _told(actor, seen, finding)
            seeing.html(media.full_html(shown, seen.generation.prompt or "The generated file"))
    evidence.show(seen, finding)
    with st.expander(
        f"Timeline: {formats.counted(len(seen.detail.timeline), 'step', 'steps')}", key="so-debug-timeline"
    ):
        if seen.detail.timeline:
            timeline.show(seen.detail.timeline, seen.generation.created_at, times.viewer_zone())
        else:
            st.caption("No step of its way was recorded here.")
    audit_lines.of(actor, [str(seen.generation.id)], times.now(), times.viewer_zone())


def _file(seen: Snapshot) -> media.Shown | None:
    """The customer's file, when there is one and storage does not say that it is missing."""
    if seen.generation.delivery_state is not DeliveryState.DELIVERED:
        return None
    if seen.storage is not None and seen.storage.missing:
        return None
    stored = next((shown for file in seen.detail.files if (shown := media.of_file(file))), None)
    return stored or media.of_generation(seen.generation)


def _told(actor: Actor, seen: Snapshot, finding: Finding) -> None:
    """The head, the verdict, the buttons, and what has happened since the click."""
    generation, now, zone = seen.generation, seen.at, times.viewer_zone()
    begun = times.ago_html(generation.created_at, now, zone)
    st.html(
        f'<div class="so-row">{pill_html(look_of(generation))}'
        f"<b>{escape(generation_facts.label(generation))}</b>"
        f'<span class="so-quiet">begun {begun}</span></div>'
        f'<div class="so-what">{escape(formats.excerpt(generation.prompt or "No prompt", 140))}</div>'
    )
    tone, icon = ICONS[finding.tone]
    rule = "" if finding.rule == checks.LOOKING else f' <code class="so-rule">{escape(finding.rule)}</code>'
    st.html(look.notice_html(tone, icon, finding.sentence, escape(finding.action) + rule))
    for warning in finding.warnings:
        st.html(look.notice_html("attention", "warning", warning))
    offered = [] if finding.rule == checks.LOOKING else remedies.offers(actor, seen, finding)
    for n, offer in enumerate(offered):
        _button(seen, finding, offer, first=n == 0)
    _remade(seen)
    _failed()
    _since_the_click(seen)
    _ids(seen)


def _button(seen: Snapshot, finding: Finding, offer: Offer, *, first: bool) -> None:
    price = f" · {formats.money(offer.price)}" if offer.price is not None else ""
    st.button(
        formats.in_label(f"{offer.label}{price}"),
        key=f"so-remedy-{offer.remedy}",
        icon=f":material/{BUTTON_ICONS[offer.remedy]}:",
        type="primary" if first else "secondary",
        disabled=offer.why_not is not None,
        on_click=_press,
        args=(seen.generation.id, offer.remedy, finding.sentence),
    )
    st.html(f'<div class="so-effect">{escape(offer.why_not or offer.effect)}</div>')
    if (
        first
        and offer.why_not is None
        and offer.remedy is not Remedy.MAKE_AGAIN
        and not remedies.worker_alive()
    ):
        st.html(
            '<div class="so-effect so-attention-text">No worker is alive, so this page does it itself.</div>'
        )


def _press(generation_id: UUID, remedy: Remedy, before: str) -> None:
    """What a click does; the second click of a double click does nothing."""
    last = st.session_state.get(_PRESSED)
    if last and last[:2] == (generation_id, remedy) and time.monotonic() - last[3] < DOUBLE_CLICK_S:
        return
    log.new_request_id()
    st.session_state[_PRESSED] = (generation_id, remedy, before, time.monotonic())
    st.session_state.pop(_FAILURE, None)
    try:
        made = remedies.press(current_actor(), remedy, generation_id, tools.current())
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILURE] = (generation_id, errors.describe(error, f"remedy:{remedy}"))
    else:
        if made.id != generation_id:
            searching.look_for(str(made.id))
    st.rerun()


def _failed() -> None:
    """Why the last click did not work."""
    found = st.session_state.pop(_FAILURE, None)
    if found is not None and isinstance(found[1], errors.Failure):
        errors.show(found[1])


def _remade(seen: Snapshot) -> None:
    if seen.remade_as is None:
        return
    st.button(
        "It was made again: open that one",
        key="so-remade",
        icon=":material/arrow_forward:",
        on_click=_open,
        args=(str(seen.remade_as),),
    )


def _open(text: str) -> None:
    searching.look_for(text)
    st.rerun()


def _since_the_click(seen: Snapshot) -> None:
    """Each step since somebody last pressed a button, and what the verdict was before."""
    steps = seen.detail.timeline
    begun = max((n for n, step in enumerate(steps) if step.kind is EventKind.SYNC_REQUESTED), default=None)
    pressed = st.session_state.get(_PRESSED)
    mine = bool(pressed and pressed[0] == seen.generation.id and pressed[1] is not Remedy.MAKE_AGAIN)
    if begun is None or not (mine or remedies.just_asked(seen)):
        return
    with st.container(key="so-since", gap=None):
        st.html('<div class="so-quiet so-small">Since the click</div>')
        timeline.show(steps[begun:], steps[begun].at, times.viewer_zone())
        if mine and pressed and not _moves(seen):
            st.html(f'<div class="so-quiet so-small">Before the click: {escape(pressed[2])}</div>')


def _ids(seen: Snapshot) -> None:
    generation = seen.generation
    named = [("Generation", str(generation.id)), (f"{name_of(generation.provider)} task", generation.task_id)]
    with st.grid(3, min_column_width=150, gap="small"):
        for name, value in named:
            if value:
                ids.copyable(name, value, f"debug-{name.lower().replace(' ', '-')}")
        if generation.user_id:
            ids.copyable("Customer", str(generation.user_id), "debug-customer")
    if generation.user_id:
        st.button(
            "The customer's other tasks",
            key="so-others",
            icon=":material/person_search:",
            on_click=_open,
            args=(str(generation.user_id),),
        )
