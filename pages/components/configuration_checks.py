"""The checks one under the other, what is wrong first, each with a button and its remedy."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Action, Actor
from core.configuration import service
from core.configuration.models import Verdict
from core.configuration.service import Standing
from pages.components import errors, formats, openers, times, who
from pages.components.actor import current_actor
from pages.components.states import Look, icon_html, pill_html

# How often a running check is looked at.
LOOK_AGAIN_S = 1.0
WELL = Look("Well", "check_circle", "good", "Nothing has to be done.")
WATCH = Look("Look at it", "warning", "attention", "It stops nothing now, and somebody should look.")
FAULT = Look("Fault", "error", "bad", "Something does not work until it is mended.")
NEVER = Look("Not checked", "help", "unknown", "It has not been looked at yet.")
RUNNING = Look("Checking", "autorenew", "working", "It is being looked at now.")
OVERDUE = Look("No answer", "hourglass_bottom", "bad", "It should have answered long ago.")
_ORDER = (FAULT, OVERDUE, WATCH, RUNNING, NEVER, WELL)


def show(actor: Actor) -> None:
    """Every check; looked at again by itself only while one runs."""
    with errors.guarded("configuration"):
        moving = any(one.running_since for one in service.standings(actor))
    st.fragment(_everything, run_every=LOOK_AGAIN_S if moving else None)(actor)


def _everything(actor: Actor) -> None:
    with errors.guarded("configuration"):
        now, zone = times.now(), times.viewer_zone()
        found = service.standings(actor)
        running = [one for one in found if one.running_since is not None]
        if not running and st.session_state.pop("so-checks-run", False):
            st.rerun(scope="app")
        st.session_state["so-checks-run"] = bool(running)
        _head(found, running)
        for one in sorted(found, key=lambda standing: _ORDER.index(look_of(standing, now))):
            with st.container(border=True, gap="small", key=f"so-check-{one.check.key}"):
                _check(actor, one, now, zone)


def _head(found: tuple[Standing, ...], running: list[Standing]) -> None:
    verdicts = [verdict for one in found if one.result for verdict in one.result.verdicts]
    faults = sum(not verdict.good for verdict in verdicts)
    warnings = sum(verdict.good and verdict.warning for verdict in verdicts)
    with st.container(horizontal=True, vertical_alignment="center", key="so-checks-head"):
        st.button(
            "Check everything",
            icon=":material/checklist:",
            type="primary",
            key="so-check-all",
            disabled=bool(running),
            on_click=_begin_all,
        )
        if running:
            said = f"{formats.counted(len(running), 'check is', 'checks are')} under way"
        elif not verdicts:
            said = "Nothing has been checked yet: it takes a few seconds and costs nothing."
        elif not faults and not warnings:
            said = "Everything is well."
        else:
            said = f"{formats.counted(faults, 'fault', 'faults')}, {warnings} to look at"
        st.html(f'<div class="so-quiet" role="status">{escape(said)}</div>')


def look_of(one: Standing, now: datetime) -> Look:
    """The worst that a check says."""
    if one.is_overdue(now):
        return OVERDUE
    if one.running_since is not None:
        return RUNNING
    if one.result is None:
        return NEVER
    looks = [_of(verdict) for verdict in one.result.verdicts]
    return min(looks, key=_ORDER.index, default=WELL)


def _of(verdict: Verdict) -> Look:
    return FAULT if not verdict.good else WATCH if verdict.warning else WELL


def _check(actor: Actor, one: Standing, now: datetime, zone: tzinfo) -> None:
    words, button = st.columns([7, 1.6], vertical_alignment="center")
    words.html(
        f'<div class="so-row">{pill_html(look_of(one, now))}<b>{escape(one.check.title)}</b>'
        f'<span class="so-quiet so-small">{_as_of(one, now, zone)}</span></div>'
    )
    button.button(
        openers.named("Check", one.check.title),
        icon=":material/refresh:",
        key=f"so-check-do-{one.check.key}",
        help=one.check.looks_at,
        disabled=one.running_since is not None,
        on_click=_begin,
        args=(one.check.key,),
        width="stretch",
    )
    if one.is_overdue(now):
        patience = formats.duration(service.PATIENCE.total_seconds())
        st.html(
            f'<div class="so-quiet">No answer within {patience}. What it finds out later stands here all the'
            " same; the log says what it waits for.</div>"
        )
    if one.result is not None:
        _verdicts(actor, one.result.verdicts)


def _as_of(one: Standing, now: datetime, zone: tzinfo) -> str:
    if one.result is None:
        return escape(one.check.looks_at)
    took = formats.duration(one.result.took_ms / 1000)
    ago = times.ago_html(one.result.ended_at, now, zone)
    return f"as of {ago}, asked by {who.html(one.result.asked_by, one.result.asked_by_id)}, took {took}"


def _verdicts(actor: Actor, verdicts: tuple[Verdict, ...]) -> None:
    wrong = [verdict for verdict in verdicts if not verdict.good or verdict.warning]
    for verdict in wrong:
        st.html(_verdict_html(verdict))
        if verdict.bucket is not None and actor.may(Action.MEND_STORAGE):
            st.button(
                f"Mend the bucket {verdict.bucket}",
                icon=":material/build:",
                key=f"so-mend-{verdict.bucket}",
                on_click=_mend,
                args=(verdict.bucket,),
                help="Opens it as far as it lacks, and shuts nothing that is open.",
            )
    well = [verdict for verdict in verdicts if verdict not in wrong]
    if well:
        lines = "".join(_verdict_html(verdict) for verdict in well)
        st.html(
            f'<details class="so-fold"><summary>{len(well)} well</summary>{lines}</details>'
            if wrong
            else lines
        )


def _verdict_html(verdict: Verdict) -> str:
    of = _of(verdict)
    return (
        f'<div class="so-verdict so-{of.tone}">{icon_html(of.icon)}<div><b>{escape(verdict.name)}</b>'
        f" {escape(verdict.message)}</div></div>"
    )


def _begin(key: str) -> None:
    with errors.guarded("check"):
        service.begin(current_actor(), key, times.now())
        st.rerun(scope="app")


def _begin_all() -> None:
    with errors.guarded("check"):
        service.begin_all(current_actor(), times.now())
        st.rerun(scope="app")


def _mend(bucket: str) -> None:
    with errors.guarded("mend a bucket"):
        service.begin_mending(current_actor(), bucket, times.now())
        st.rerun(scope="app")
