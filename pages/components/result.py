"""One generation: how far it is while it is made, and then the thing itself with everything behind it."""

import time
from datetime import datetime, tzinfo
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Action, Actor
from core.deliveries import service, tools, views
from core.deliveries.models import ACTIVE, DeliveryState, EventKind, Generation
from core.deliveries.views import Detail
from core.errors import NotFound
from core.providers.registry import name_of
from pages.components import (
    errors,
    failures,
    formats,
    generation_actions,
    generation_facts,
    look,
    lora_made,
    media,
    timeline,
    times,
)
from pages.components.actor import the_actor
from pages.components.chosen import chosen, close, named_badly
from pages.components.states import STATIONS, Look, look_of, pill_html

REFRESH_S = 1.5
WATCH_EVERY_S = 5.0
_WATCHED = "so-watched"


def show(actor: Actor) -> None:
    """The generation that the address names."""
    generation_id = chosen()
    if generation_id is None:
        _nothing()
        return
    try:
        moving = _moves(views.detail(actor, generation_id).generation)
    except NotFound as missing:
        st.html(look.notice_html("attention", "search_off", missing.message, "It may have been deleted."))
        st.button("Close", on_click=close, key="so-close")
        return
    with st.container(border=True):
        st.fragment(_live, run_every=REFRESH_S if moving else None)(generation_id, was_moving=moving)


def _moves(generation: Generation) -> bool:
    """Whether it is worth looking at again in a moment."""
    return views.is_moving(generation, times.now()) or generation_actions.just_checked(generation.id)


def _nothing() -> None:
    if named_badly():
        st.html(
            look.notice_html(
                "attention",
                "search_off",
                "The address names no generation",
                "Check that it was copied whole.",
            )
        )
    st.html(
        look.empty_html(
            "imagesmode",
            "The result appears here",
            "Every step on the way, then the picture or film itself. Earlier ones open with a click.",
        )
    )


def _live(generation_id: UUID, *, was_moving: bool) -> None:
    """Everything about it, drawn anew every second or two while it moves."""
    with errors.guarded("result"):
        actor = the_actor()
        detail = views.detail(actor, generation_id)
        moving = _moves(detail.generation)
        if moving:
            _watch(actor, generation_id)
        _draw(actor, detail)
        if was_moving and not moving:
            st.rerun()


def _watch(actor: Actor, generation_id: UUID) -> None:
    """Say now and then that somebody looks, so that it is asked for often."""
    last, at = st.session_state.get(_WATCHED, (None, 0.0))
    if last != generation_id or time.monotonic() - at > WATCH_EVERY_S:
        service.watch(actor, [generation_id], tools.current())
        st.session_state[_WATCHED] = (generation_id, time.monotonic())


def _draw(actor: Actor, detail: Detail) -> None:
    generation, now, zone = detail.generation, times.now(), times.viewer_zone()
    state = look_of(generation)
    _head(generation, state, now, zone)
    if generation.delivery_state in ACTIVE:
        _way(actor, detail, state, now)
    else:
        _outcome(detail)
    lora_made.notice(actor, generation)
    generation_actions.show(actor, detail, now)
    if generation.prompt:
        with st.container(key="so-prompt"):
            st.code(generation.prompt, language=None, wrap_lines=True)
    generation_facts.show(actor, detail, zone)
    if actor.may(Action.DEBUG_GENERATION):
        st.page_link(
            "debug_sync.py",
            label="Its evidence and repair",
            icon=":material/troubleshoot:",
            query_params={"q": str(generation.id)},
        )
    if not detail.timeline:
        st.caption("No step of its way was recorded here.")
        return
    with st.expander(
        f"Timeline: {formats.counted(len(detail.timeline), 'step', 'steps')}", key="so-timeline"
    ):
        timeline.show(detail.timeline, generation.created_at, zone, generation.provider)


def _head(generation: Generation, state: Look, now: datetime, zone: tzinfo) -> None:
    begun = times.ago_html(generation.created_at, now, zone)
    with st.container(horizontal=True, vertical_alignment="center", key="so-result-head"):
        st.html(
            f'<div class="so-row">{pill_html(state)}<b>{escape(generation_facts.label(generation))}</b>'
            f'<span class="so-quiet so-wide">begun {begun}</span></div>'
        )
        st.button("Close", icon=":material/close:", type="tertiary", on_click=_close, key="so-close")


def _close() -> None:
    close()
    st.rerun()


def _way(actor: Actor, detail: Detail, state: Look, now: datetime) -> None:
    """The four stations, how long it has taken, and how long it usually takes."""
    generation, here = detail.generation, state.station or 0
    name = name_of(generation.provider)
    stations = "".join(
        f'<li class="{"so-done" if n < here else "so-here" if n == here else "so-ahead"}"'
        f"{' aria-current=step' if n == here else ''}>{escape(name)}</li>"
        for n, name in enumerate(STATIONS)
    )
    elapsed = max(0.0, (now - generation.created_at).total_seconds())
    usual = views.usual_seconds(actor, generation.model, generation.kind)
    asked = sum(step.kind is EventKind.POLLED for step in detail.timeline)
    said = [
        f"<b>{escape(formats.duration(round(elapsed)))}</b> so far",
        f"usually {escape(formats.duration(round(usual)))}",
        f"attempt {generation.attempt + 1}",
    ]
    if asked:
        said.append(f"{name} asked {formats.counted(asked, 'time', 'times')}")
    st.html(
        f'<ol class="so-way so-{state.tone}">{stations}</ol>'
        f'<div>{escape(state.means)}</div><div class="so-quiet so-number">{" · ".join(said)}</div>'
    )
    if views.is_stuck(generation, now):
        st.html(
            look.notice_html(
                "attention",
                "hourglass_bottom",
                "It takes much longer than it should.",
                f"“Check again” asks {name} now.",
            )
        )
    elif generation.failure_message:
        words = look.folded_html("What went wrong last", generation.failure_message)
        st.html(
            look.notice_html(
                "attention", "replay", "The last attempt failed; it is tried again by itself", words
            )
        )


def _outcome(detail: Detail) -> None:
    """The files, or why there are none."""
    generation = detail.generation
    stored = [shown for file in detail.files if (shown := media.of_file(file))]
    fallback = media.of_generation(generation)
    results = stored or ([fallback] if fallback else [])
    if generation.delivery_state in _WITHOUT_FILE:
        what, _, more = failures.reason(generation).partition(". ")
        words = failures.provider_words(generation)
        folded = look.folded_html(f"{name_of(generation.provider)}'s own words", words) if words else ""
        tone, icon = _WITHOUT_FILE[generation.delivery_state], look_of(generation).icon
        st.html(look.notice_html(tone, icon, f"{what.removesuffix('.')}.", escape(more) + folded))
        return
    for one in results:
        st.html(media.full_html(one, formats.excerpt(generation.prompt or "result", 120)))
    if generation.delivery_state is not DeliveryState.DELIVERED:
        state = look_of(generation)
        st.html(look.notice_html("waiting", state.icon, f"{state.word}.", escape(state.means)))


_WITHOUT_FILE: dict[DeliveryState, look.NoticeTone] = {
    DeliveryState.FAILED: "bad",
    DeliveryState.LOST: "lost",
    DeliveryState.NEEDS_ATTENTION: "attention",
}
