"""One scheduled job: what it does, how it went, and what can be done with it."""

import uuid
from datetime import datetime, timedelta, tzinfo
from html import escape

import streamlit as st

from core.access import Action, Actor
from core.machinery import service, views
from core.machinery.models import Pause, Run
from core.machinery.views import Standing
from pages.components import chosen_job, errors, formats, job_board, job_words, look, times, who
from pages.components.actor import current_actor
from pages.components.look import facts_html, folded_html
from pages.components.states import Look, pill_html

_RUN, _PAUSE = "so-job-run", "so-job-pause"
# Clicks that follow each other so quickly are one.
ONE_CLICK = timedelta(seconds=5)
_STATES: dict[str, Look] = {
    "enqueued": Look("Waiting", "schedule", "waiting", "It waits in its queue for a worker."),
    "running": Look("Running", "autorenew", "working", "A worker has it in hand."),
    "succeeded": Look("Succeeded", "check_circle", "good", "It did what it should."),
    "failed": Look("Failed", "cancel", "bad", "It ended with an error."),
}


def show(actor: Actor, name: str, *, live: bool) -> None:
    """The job of that name, with what operations may do."""
    with errors.guarded("scheduled job"):
        one = views.standing(actor, name, times.now())
        st.button("All jobs", icon=":material/arrow_back:", type="tertiary", on_click=chosen_job.close)
        with st.container(border=True, gap="small"):
            st.html(
                f'<div class="so-row"><h2 class="so-section">{escape(one.job.title)}</h2></div>'
                f"<div>{escape(one.job.does)}</div>"
            )
            st.fragment(_facts, run_every=job_board.REFRESH_S if live else None)(actor, name)
            _actions(actor, one)
        st.fragment(_runs, run_every=job_board.REFRESH_S if live else None)(actor, name)


def _facts(actor: Actor, name: str) -> None:
    with errors.guarded("scheduled job"):
        now, zone = times.now(), times.viewer_zone()
        one = views.standing(actor, name, now)
        if one.pause is not None and one.pause.holds(now):
            st.html(_pause_html(one.pause, one, now, zone))
        st.html(pill_html(job_words.LOOKS[one.health]) + facts_html(facts_of(one, now, zone)))


def _pause_html(pause: Pause, one: Standing, now: datetime, zone: tzinfo) -> str:
    return look.notice_html(
        "attention" if one.job.important else "waiting",
        "pause_circle",
        f"Paused by {pause.paused_by} until {times.exact(pause.until, zone)}",
        f"“{escape(pause.reason)}” It goes on by itself {times.ago_html(pause.until, now, zone)}."
        f" Meanwhile: {escape(one.job.stops)}",
        hint=who.address(pause.paused_by, pause.paused_by_id),
    )


def facts_of(one: Standing, now: datetime, zone: tzinfo) -> list[tuple[str, str]]:
    """What is known of it, as names and values; the values are HTML."""
    facts = one.facts
    success = times.ago_html(facts.succeeded_at, now, zone)
    if facts.items is not None and facts.succeeded_at is not None:
        success += f", {formats.counted(facts.items, 'thing', 'things')} handled"
    found = [
        ("Schedule", escape(job_words.every(one.job.every))),
        ("Queue", escape(job_words.queue(one.job.queue))),
        ("Last success", success),
        ("Last failure", times.ago_html(facts.failed_at, now, zone)),
        (
            "Takes",
            job_board.spark_html(facts.took_s)
            + f'<span class="so-quiet">{job_words.trend(facts.took_s)}</span>',
        ),
        ("Lag", escape(job_words.lag(one))),
        ("Next run", job_board.next_html(one, now, zone)),
    ]
    if facts.failures:
        found.insert(3, ("Failures since", formats.count(facts.failures)))
    if facts.running_since is not None:
        at = f"since {times.ago_html(facts.running_since, now, zone)}, by {escape(facts.worker or '')}"
        many = f"{facts.running} runs at once, the first " if facts.running > 1 else ""
        found.append(("Runs now", many + at))
    if facts.error:
        found.append(("It said", folded_html("Words of the last failure", facts.error)))
    return found


# What can be done.


def _actions(actor: Actor, one: Standing) -> None:
    may = actor.may(Action.STEER_JOBS)
    closed = None if may else "Running and pausing jobs is for operations and admins."
    now = times.now()
    with st.container(horizontal=True, vertical_alignment="center", key="so-job-actions"):
        st.button(
            "Run it now",
            icon=":material/play_arrow:",
            key=f"so-job-run-{one.job.name}",
            disabled=closed is not None,
            help=closed or "Once, ahead of its schedule; also while it is paused.",
            on_click=_do_run,
            args=(one.job.name,),
        )
        if one.pause is not None and one.pause.holds(now):
            st.button(
                "End the pause",
                icon=":material/resume:",
                key=f"so-job-resume-{one.job.name}",
                type="primary",
                disabled=closed is not None,
                help=closed,
                on_click=_do_resume,
                args=(one.pause.id,),
            )
        else:
            _pause_form(one, closed)
    said = st.session_state.get(f"{_RUN}-said")
    if isinstance(said, errors.Failure):
        st.html(look.field_error_html(said.sentence))


def _once(key: str, now: datetime) -> uuid.UUID:
    """The id of what the next click does; clicks in quick succession have one."""
    one, used_at = st.session_state.get(key, (None, None))
    if one is None or (used_at is not None and now - used_at > ONE_CLICK):
        one, used_at = uuid.uuid4(), None
    st.session_state[key] = (one, used_at or now)
    return uuid.UUID(str(one))


def _do_run(name: str) -> None:
    st.session_state.pop(f"{_RUN}-said", None)
    now = times.now()
    try:
        added = service.run_now(current_actor(), name, _once(f"so-job-once-{name}", now), now)
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[f"{_RUN}-said"] = errors.describe(error, "run a job")
        return
    st.toast(
        "It is in its queue." if added else "A run of it waits in its queue already.", icon=":material/check:"
    )


def _pause_form(one: Standing, closed: str | None) -> None:
    key = f"{_PAUSE}-{one.job.name}"
    st.session_state.setdefault(f"{key}-nonce", str(uuid.uuid4()))
    with st.popover("Pause", icon=":material/pause:", disabled=closed is not None, help=closed):
        if one.job.important:
            st.html(look.notice_html("attention", "warning", "Much depends on it", escape(one.job.stops)))
        else:
            st.html(f'<div class="so-popover-words">While it is paused: {escape(one.job.stops)}</div>')
        st.number_input("For how many hours", value=1.0, step=1.0, key=f"{key}-hours")
        _refusal(key, "hours")
        st.text_area("Why? It stands on the page and in the audit log.", key=f"{key}-reason", height=80)
        _refusal(key, "reason")
        st.button("Pause it", type="primary", key=f"{key}-do", on_click=_do_pause, args=(one.job.name, key))
        _refusal(key, None)


def _refusal(key: str, field: str | None) -> None:
    failure = st.session_state.get(f"{key}-failure")
    if isinstance(failure, errors.Failure) and failure.field == field:
        st.html(look.field_error_html(failure.sentence))


def _do_pause(name: str, key: str) -> None:
    st.session_state.pop(f"{key}-failure", None)
    hours, reason = st.session_state.get(f"{key}-hours"), str(st.session_state.get(f"{key}-reason") or "")
    nonce = uuid.UUID(str(st.session_state.get(f"{key}-nonce")))
    try:
        service.pause(current_actor(), name, nonce, float(hours or 0), reason, times.now())
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[f"{key}-failure"] = errors.describe(error, "pause a job")
        return
    for field in ("reason", "nonce", "hours"):
        st.session_state.pop(f"{key}-{field}", None)
    st.toast("Paused; it goes on by itself.", icon=":material/check:")


def _do_resume(pause_id: uuid.UUID) -> None:
    with errors.guarded("resume a job"):
        service.resume(current_actor(), pause_id, times.now())
        st.toast("It goes on.", icon=":material/check:")


# How it went.


def _runs(actor: Actor, name: str) -> None:
    with errors.guarded("runs of a job"):
        now, zone = times.now(), times.viewer_zone()
        found = views.recent(actor, name)
        with st.container(border=True, gap="small"):
            look.section("Its last runs")
            if not found:
                body = "A clock begins it by itself; or run it now."
                st.html(look.empty_html("history", "It has not run here yet", body))
                return
            lines = "".join(_run_html(run, now, zone) for run in found)
            st.html(
                '<div class="so-scroll" tabindex="0" role="region" aria-label="Its last runs">'
                '<table class="so-table so-prices"><thead><tr><th>How it went</th><th>Begun</th><th>Took</th>'
                "<th>Handled</th><th>Worker</th><th>Said</th></tr></thead>"
                f"<tbody>{lines}</tbody></table></div>"
            )


def _run_html(run: Run, now: datetime, zone: tzinfo) -> str:
    took = (
        formats.duration((run.finished_at - run.started_at).total_seconds())
        if run.finished_at and run.started_at
        else formats.NO_DATA
    )
    state = _STATES.get(run.state, Look(run.state, "help", "unknown", "Nobody here knows this state."))
    asked = f" · asked for by {who.html(run.asked_by, run.asked_by_id)}" if run.asked_by else ""
    handled = formats.NO_DATA if run.items is None else formats.count(run.items)
    begun = times.ago_html(run.started_at or run.enqueued_at, now, zone)
    return (
        f"<tr><td>{pill_html(state)}</td><td>{begun}{asked}</td>"
        f"<td>{took}</td><td>{handled}</td><td>{escape(run.worker or formats.NO_DATA)}</td>"
        f"<td>{escape(formats.excerpt(run.error or '', 200))}</td></tr>"
    )
