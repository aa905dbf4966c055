"""The Overview's panels: a head, what it says in a number or a word, and the lines behind it."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from html import escape
from urllib.parse import urlencode, urlsplit

import streamlit as st

from core import version
from core.access import Actor
from core.deliveries import health
from core.deliveries.health import TARGET
from core.deliveries.models import DeliveryState
from core.deliveries.windows import Filter
from core.settings import Settings
from core.work import runs
from pages.components import chosen_job, definition, formats, job_words, openers, outcome_bars, times, visits
from pages.components.look import facts_html
from pages.components.states import LOOKS, Look

_STORAGES = {"local": "a folder of this machine", "supabase": "Supabase", "r2": "Cloudflare R2"}
COUNTING = "These generations are being counted; the number comes by itself within minutes."
IN_FLIGHT = Look("In flight", "autorenew", "working", "Not at its end yet.")


def delivery(actor: Actor, now: datetime, zone: tzinfo) -> None:
    """The last 24 hours of deliveries: the success rate, its parts, and its course by the hour."""
    counts, bars = health.last_day(actor, now)
    mark = definition.mark_html("Delivery", health.figure("success"))
    st.html(definition.head_html("Delivery", "last 24 hours", mark))
    if counts is None:
        st.html(f'<div class="so-quiet">{COUNTING}</div>')
        return
    if counts.success_rate is None:
        rate_html = '<div class="so-quiet">No generation has come to its end yet.</div>'
    else:
        rate_html = (
            f'<div class="so-row"><a class="so-counted so-big" href="{_of("finished")}">'
            f"{formats.percent(counts.success_rate)}</a>"
            f'<span class="so-quiet">delivered, the target is {formats.percent(TARGET)}</span></div>'
        )
    lines = [
        (LOOKS[DeliveryState.DELIVERED], counts.delivered, "delivered"),
        (IN_FLIGHT, counts.in_flight, "open"),
        (LOOKS[DeliveryState.FAILED], counts.failed, "failed"),
        (LOOKS[DeliveryState.LOST], counts.lost, "lost"),
        (LOOKS[DeliveryState.NEEDS_ATTENTION], counts.needs_attention, "needs_attention"),
    ]
    parts = "".join(openers.counted_html(look, number, _of(state)) for look, number, state in lines if number)
    st.html(
        rate_html
        + outcome_bars.counts_html(bars, Filter(), zone, "delivery_health")
        + f'<div class="so-row so-parts">{parts}</div>'
    )
    if counts.total and st.button(
        "Delivery health", icon=":material/arrow_forward:", icon_position="right", type="tertiary"
    ):
        st.switch_page("delivery_health.py")


def _of(state: str) -> str:
    """Where the generations of the last 24 hours stand that are at this state."""
    return f"delivery_health?{urlencode(Filter(state=state).query())}"


def machinery(now: datetime, zone: tzinfo) -> None:
    """Who is alive, what waits, and when each job last succeeded."""
    alive = runs.liveness(now)
    facts = [(role.capitalize(), _alive_html(role, alive, now, zone)) for role in runs.ROLES]
    facts.append(("Queue", _queue_html()))
    jobs = runs.last_runs(runs.known_jobs())
    if jobs:
        facts.append(("Jobs", _jobs_html(jobs, now, zone)))
    facts.append(("Pages", escape(visits.said(now))))
    st.html(definition.head_html("Machinery", "clock, worker, jobs") + facts_html(facts))
    if st.button("Scheduler", icon=":material/arrow_forward:", icon_position="right", type="tertiary"):
        st.switch_page("scheduler.py")


def _alive_html(role: str, alive: runs.Liveness, now: datetime, zone: tzinfo) -> str:
    there = [process for process in alive.processes if process.role == role]
    if not there:
        heard = times.ago_html(alive.last_beat[role], now, zone)
        return f'<span class="so-bad"><i class="so-dot"></i></span>not alive · {heard}'
    many = f"{len(there)} alive" if len(there) > 1 else "alive"
    heard = times.ago_html(there[0].beat_at, now, zone)
    return f'<span class="so-good"><i class="so-dot"></i></span>{many} · {heard}'


def _queue_html() -> str:
    waiting = running = 0
    for queue in runs.queue_depth():
        waiting += int(str(queue["waiting"]))
        running += int(str(queue["running"]))
    if not waiting and not running:
        return "empty"
    said = f"{formats.count(waiting)} waiting, {formats.count(running)} at work"
    return f'<a href="scheduler">{said}</a>'


def _jobs_html(jobs: Sequence[dict[str, object]], now: datetime, zone: tzinfo) -> str:
    """How many scheduled jobs succeeded when they last ended; each with its time, folded away."""
    well = sum(_ended_well(job) for job in jobs)
    said = f"all {len(jobs)} succeed" if well == len(jobs) else f"{well} of {len(jobs)} succeed"
    lines = "".join(
        f'<div><a href="scheduler?{chosen_job.PARAMETER}={escape(str(job["job"]))}">'
        f"{escape(job_words.task(str(job['job'])))}</a>: {_job_html(job, now, zone)}</div>"
        for job in jobs
    )
    return f'<details class="so-fold so-flat"><summary>{said}</summary>{lines}</details>'


def _ended_well(job: dict[str, object]) -> bool:
    succeeded, failed = job["succeeded_at"], job["failed_at"]
    return isinstance(succeeded, datetime) and not (isinstance(failed, datetime) and failed > succeeded)


def _job_html(job: dict[str, object], now: datetime, zone: tzinfo) -> str:
    succeeded = job["succeeded_at"]
    if not isinstance(succeeded, datetime):
        return "has not succeeded yet"
    return f"succeeded {times.ago_html(succeeded, now, zone)}"


def running(settings: Settings) -> None:
    """What this Studio Ops is made of."""
    st.html(
        definition.head_html("What runs", f"version {version.VERSION}") + facts_html(running_facts(settings))
    )


def running_facts(settings: Settings) -> list[tuple[str, str]]:
    """Profile, database, provider and storage in words; never a secret. The values are HTML."""
    local = settings.profile == "local"
    return [
        ("Profile", "local, on this machine" if local else "configured"),
        (
            "Database",
            escape(_place(settings.database_url.get_secret_value() if settings.database_url else "")),
        ),
        (
            "Provider",
            "sandbox in place of KIE"
            if settings.local_stack
            else f"KIE, {escape(urlsplit(settings.kie_base_url).hostname or '')}",
        ),
        ("Storage", _STORAGES[settings.storage_backend]),
        ("Address", escape(settings.public_base_url)),
    ]


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"Postgres, {parts.hostname or 'a socket'}{f':{parts.port}' if parts.port else ''}"
