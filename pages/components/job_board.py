"""Everything that the machinery consists of: jobs worst first, clocks, workers, queues, takeovers."""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from html import escape
from statistics import median

import streamlit as st

from core import version
from core.access import Actor
from core.machinery import views
from core.machinery.models import Health, Process, Takeover
from core.machinery.views import Board, Standing
from core.work import runs
from pages.components import chosen_job, errors, formats, job_words, look, times
from pages.components.states import icon_html, pill_html

REFRESH_S = 10
# Those that nobody has to look at.
CALM = frozenset({Health.WELL, Health.PAUSED, Health.NEVER})
# A moment in the queue is what a queue is for.
WAITED_LONG = timedelta(minutes=2)


def show(actor: Actor) -> None:
    """Everything that changes by itself."""
    with errors.guarded("scheduler"):
        now, zone = times.now(), times.viewer_zone()
        refresh = f"refreshed every {REFRESH_S} s" if st.session_state["scheduler-live"] else "paused"
        st.html(f'<div class="so-as-of">As of {times.clock_time(now, zone)}, {refresh}</div>')
        seen = views.board(actor, now)
        _numbers(seen)
        bad = [one for one in seen.jobs if one.health not in CALM]
        if bad:
            _jobs("Needs a look", bad, now, zone)
        calm = [one for one in seen.jobs if one.health in CALM]
        _jobs("Jobs" if not bad else "The others", calm, now, zone)
        with st.grid(2, min_column_width=330):
            with st.container(border=True, height="stretch"):
                _processes(seen.processes, now, zone)
            with st.container(border=True, height="stretch"):
                _queues(seen, now, zone)
        with st.container(border=True):
            _takeovers(seen.takeovers, now, zone)


def _numbers(seen: Board) -> None:
    bad = sum(one.health not in CALM for one in seen.jobs)
    paused = sum(one.health is Health.PAUSED for one in seen.jobs)
    waiting, running = (sum(getattr(q, what) for q in seen.queues) for what in ("waiting", "running"))
    pace = sum(one.per_minute for one in seen.queues)
    cards = [(role, _alive(seen, role)) for role in runs.ROLES]
    with st.grid(4, min_column_width=150, gap="small"):
        for role, (big, small, tone) in cards:
            _card(f"{role.capitalize()}s", big, small, tone)
        _card(
            "Jobs",
            "all well" if not bad else f"{bad} of {len(seen.jobs)} not well",
            f"{paused} paused" if paused else "none is paused",
            "bad" if bad else "good",
        )
        _card(
            "In the queues",
            f"{formats.count(waiting)} waiting",
            f"{formats.count(running)} at work, {pace:,.0f} done a minute",
            "waiting",
        )


def _alive(seen: Board, role: str) -> tuple[str, str, str]:
    alive = seen.alive(role)
    if not alive:
        return "none alive", f"Start one: python -m jobs {role}", "bad"
    hosts = len({process.host for process in seen.processes if process.alive and process.role == role})
    return f"{alive} alive", f"on {formats.counted(hosts, 'machine', 'machines')}", "good"


def _card(name: str, big: str, small: str, tone: str) -> None:
    st.html(
        f'<div class="so-number-card so-framed so-{tone}"><div class="so-small so-quiet">{escape(name)}</div>'
        f'<div class="so-big so-toned">{escape(big)}</div>'
        f'<div class="so-small so-quiet">{escape(small)}</div></div>'
    )


def _jobs(headline: str, found: Sequence[Standing], now: datetime, zone: tzinfo) -> None:
    if not found:
        return
    with st.container(border=True, gap="xxsmall"):
        look.section(headline)
        for one in found:
            with st.container(key=f"so-card-job-{one.job.name}", gap=None):
                st.html(line_html(one, now, zone))
                st.button(
                    f"Open {one.job.title}",
                    key=f"so-open-job-{one.job.name}",
                    on_click=_open,
                    args=(one.job.name,),
                )


def _open(name: str) -> None:
    chosen_job.choose(name)
    st.rerun(scope="app")


def line_html(one: Standing, now: datetime, zone: tzinfo) -> str:
    """A job in a line: how it does, when it runs, last success, how long it takes, lag, and what is next."""
    facts = one.facts
    said = escape(formats.excerpt(facts.error or "", 200))
    error = f'<div class="so-clip-2 so-bad-text so-job-error">{said}</div>' if facts.failures else ""
    return (
        f'<div class="so-job-line">{pill_html(job_words.LOOKS[one.health])}'
        f'<div><b>{escape(one.job.title)}</b><div class="so-quiet so-small">'
        f"{escape(job_words.every(one.job.every))}</div></div>"
        + _cell("last success", times.ago_html(facts.succeeded_at, now, zone))
        + _cell("takes", spark_html(facts.took_s), "so-job-wide")
        + _cell("lag", escape(job_words.lag(one)))
        + _cell("next", next_html(one, now, zone), "so-job-wide")
        + f"{error}</div>"
    )


def _cell(name: str, value: str, kind: str = "") -> str:
    return f'<div class="{kind}"><span class="so-quiet so-small">{name}</span><div>{value}</div></div>'


def next_html(one: Standing, now: datetime, zone: tzinfo) -> str:
    """When it begins next."""
    if one.next_at is None:
        return "with the next clock"
    return "due now" if one.next_at <= now else times.ago_html(one.next_at, now, zone)


def spark_html(took_s: tuple[float, ...]) -> str:
    """How long the last runs took: what is usual in figures, each as a bar."""
    if not took_s:
        return formats.NO_DATA
    longest = max(took_s) or 1.0
    bars = "".join(f'<i style="height:{max(8, round(100 * one / longest))}%"></i>' for one in took_s)
    usual, most = formats.duration(median(took_s)), formats.duration(max(took_s))
    told = f"The last {len(took_s)} runs took {usual} as a rule, {most} at most; {job_words.trend(took_s)}."
    return (
        f'<div class="so-row so-nowrap so-spark-row" title="{escape(told)}"><span>{escape(usual)}</span>'
        f'<span class="so-spark" role="img" aria-label="{escape(told)}">{bars}</span></div>'
    )


def _processes(found: Sequence[Process], now: datetime, zone: tzinfo) -> None:
    look.section("Clocks and workers")
    if not found:
        body = "Start both with: python -m jobs"
        st.html(look.empty_html("heart_broken", "None was heard of within a day", body))
        return
    lines = "".join(_process_html(one, now, zone) for one in found)
    st.html(f'<ul class="so-machines">{lines}</ul>')


def _process_html(one: Process, now: datetime, zone: tzinfo) -> str:
    look_of = job_words.ENDED if one.ended else job_words.ALIVE if one.alive else job_words.SILENT
    other = (
        ""
        if one.version == version.VERSION
        else f' <span class="so-dear">this page has {escape(version.VERSION)}</span>'
    )
    pace = sum(one.per_minute.values())
    done = f" · {pace:,.0f} done a minute" if one.role == "worker" and one.alive else ""
    return (
        f"<li>{pill_html(look_of)}<div><b>{escape(one.role.capitalize())}</b> {escape(one.host)}:{one.pid}"
        f'<div class="so-quiet so-small">version {escape(one.version)}{other} · started'
        f" {times.ago_html(one.started_at, now, zone)} · heard of {times.ago_html(one.beat_at, now, zone)}"
        f"{done}</div></div></li>"
    )


def _queues(seen: Board, now: datetime, zone: tzinfo) -> None:
    look.section("Queues")
    lines = "".join(
        f"<tr><td>{escape(job_words.queue(one.name))}</td>"
        f"<td>{_waits(one.oldest_at, now, zone)}</td>"
        f"<td>{formats.count(one.waiting)}</td><td>{formats.count(one.running)}</td>"
        f"<td>{one.per_minute:,.0f}</td></tr>"
        for one in seen.queues
    )
    st.html(
        '<div class="so-scroll" tabindex="0" role="region" aria-label="Queues">'
        '<table class="so-table"><thead><tr><th>Queue</th><th>First since</th><th>Waiting</th>'
        "<th>At work</th><th>Done a minute</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></div>"
    )


def _waits(oldest_at: datetime | None, now: datetime, zone: tzinfo) -> str:
    if oldest_at is None or oldest_at > now:
        return formats.NO_DATA
    said = times.ago_html(oldest_at, now, zone)
    return f'<span class="so-dear">{said}</span>' if now - oldest_at > WAITED_LONG else said


def _takeovers(found: Sequence[Takeover], now: datetime, zone: tzinfo) -> None:
    look.section("Taken over from workers that died")
    if not found:
        st.html('<div class="so-quiet">Nothing within the last seven days.</div>')
        return
    lines = "".join(f"<li>{_takeover_html(one, now, zone)}</li>" for one in found)
    st.html(f'<ul class="so-machines so-plain">{lines}</ul>')


def _takeover_html(one: Takeover, now: datetime, zone: tzinfo) -> str:
    lost = f"was in the hands of <b>{escape(one.lost_by)}</b>" if one.lost_by else "had lost its worker"
    subject = f" <code>{escape(one.subject[:8])}</code>" if one.subject else ""
    what = "begun anew by" if one.begun_anew else "left to the run that waited already, found by"
    return (
        f"{icon_html('sync_problem')}<div>{escape(job_words.task(one.task))}{subject} {lost};"
        f" {what} <b>{escape(one.found_by)}</b>"
        f'<div class="so-quiet so-small">{times.ago_html(one.at, now, zone)}</div></div>'
    )
