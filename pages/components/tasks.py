"""What needs a person now, worst first, each with the place where it can be seen to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor
from core.deliveries import views
from core.deliveries.models import Generation
from core.work import runs
from pages.components import failures, formats, generation_facts, times
from pages.components.look import folded_html
from pages.components.states import Tone, icon_html, look_of

SHOWN = 5


@dataclass(frozen=True)
class Task:
    """One thing to see to. `detail_html` is one line of HTML; `page` is where `button` leads."""

    tone: Tone
    icon: str
    headline: str
    detail_html: str
    button: str = ""
    page: str = ""
    query: dict[str, str] = field(default_factory=dict)


def gather(actor: Actor, now: datetime, zone: tzinfo) -> Sequence[Task]:
    """Everything that waits for a person, worst first."""
    deliveries = views.needs_person(actor, limit=SHOWN + 1)
    failing = [job for job in runs.last_runs(runs.known_jobs()) if _fails(job)]
    return [
        *(_of_job(job, now, zone) for job in failing),
        *(_of_delivery(generation, now, zone) for generation in deliveries),
    ]


def _fails(job: dict[str, object]) -> bool:
    failed, succeeded = job["failed_at"], job["succeeded_at"]
    if not isinstance(failed, datetime):
        return False
    return not isinstance(succeeded, datetime) or failed > succeeded


def _of_job(job: dict[str, object], now: datetime, zone: tzinfo) -> Task:
    failed_at = job["failed_at"]
    assert isinstance(failed_at, datetime)
    words = folded_html("What it said", str(job["error"])) if job["error"] else ""
    when = times.ago_html(failed_at, now, zone)
    return Task(
        tone="bad",
        icon="event_busy",
        headline=f"The job “{job['job']}” fails",
        detail_html=f"Failed {when} and has not succeeded since. The next slot tries it again.{words}",
    )


def _of_delivery(generation: Generation, now: datetime, zone: tzinfo) -> Task:
    state = look_of(generation)
    what = f"“{formats.excerpt(generation.prompt, 60)}”" if generation.prompt else "no prompt"
    when = times.ago_html(generation.created_at, now, zone)
    why = escape(failures.reason(generation))
    return Task(
        tone=state.tone,
        icon=state.icon,
        headline=f"{state.word}: {generation_facts.label(generation)}",
        detail_html=f'<div class="so-clamp">{escape(what)} · begun {when} · {why}</div>',
        button="Open",
        page="test_generation.py",
        query={"generation": str(generation.id)},
    )


def show(tasks: Sequence[Task], *, something_else: bool) -> None:
    """The list; when nothing is on it, it says so. `something_else`: the banner already names something."""
    if not tasks:
        nothing = "Nothing else needs a person." if something_else else "Nothing needs a person now."
        st.html(f'<div class="so-task so-good">{icon_html("check_circle")}<div>{escape(nothing)}</div></div>')
        return
    for task in tasks[:SHOWN]:
        _show_one(task)
    if len(tasks) > SHOWN:
        st.page_link(
            "test_generation.py",
            label="There are more: see all generations",
            icon=":material/arrow_forward:",
            query_params={"show": "All"},
        )


def _show_one(task: Task) -> None:
    words, door = st.columns([10, 1.2], gap="small", vertical_alignment="center")
    words.html(
        f'<div class="so-task so-{task.tone}">{icon_html(task.icon)}'
        f'<div><b>{escape(task.headline)}</b></div><div class="so-quiet">{task.detail_html}</div></div>'
    )
    if task.button:
        door.page_link(task.page, label=task.button, icon=":material/arrow_forward:", query_params=task.query)
