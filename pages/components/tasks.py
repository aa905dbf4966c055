"""What needs a person now, worst first, each with the place where it can be seen to."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Action, Actor
from core.alerts import views as alerts_views
from core.alerts import words
from core.alerts.models import Alert
from core.deliveries import views
from core.deliveries.models import Generation
from core.trainings import filling_up
from core.trainings import views as trainings_views
from core.trainings.filling_up import Doubt
from core.trainings.models import RunState
from core.trainings.views import Filter, Row
from core.work import runs
from pages.components import (
    alerts,
    banner,
    chosen_job,
    failures,
    formats,
    generation_facts,
    job_words,
    look,
    openers,
    times,
    training_words,
)
from pages.components.look import folded_html
from pages.components.states import Tone, icon_html, look_of

SHOWN = 5


@dataclass(frozen=True)
class Task:
    """One thing to see to. `detail_html` is one line of HTML; `page` is where `button` leads.

    An `alert` can be acknowledged from the list; `kin` is a key of ALL_OF.
    """

    tone: Tone
    icon: str
    headline: str
    detail_html: str
    button: str = ""
    page: str = ""
    query: dict[str, str] = field(default_factory=dict)
    alert: Alert | None = None
    kin: str = ""


# Where those that are not shown are found: what they are, the page, and its filter.
ALL_OF: dict[str, tuple[str, str, dict[str, str]]] = {
    "alerts": ("alerts", "alerts.py", {}),
    "jobs": ("jobs that fail", "scheduler.py", {}),
    "trainings": ("trainings", "training_runs.py", {"state": "Needs a person"}),
    "deliveries": ("generations", "delivery_health.py", {"state": "needs_attention"}),
}


def gather(actor: Actor, now: datetime, zone: tzinfo) -> Sequence[Task]:
    """Everything that waits for a person, worst first."""
    deliveries = views.needs_person(actor, limit=SHOWN + 1)
    failing = [job for job in runs.last_runs(runs.known_jobs()) if _fails(job)]
    # A dead part of the machinery stands in the banner already.
    told = alerts.MACHINERY if banner.names_something(now) else frozenset()
    return [
        *(
            _of_alert(actor, alert, now, zone)
            for alert in alerts_views.waiting(actor)
            if alert.kind not in told
        ),
        *(_of_job(job, now, zone) for job in failing),
        *(_of_training(row, now, zone) for row in _trainings(actor, now)),
        *(_of_images(doubt, now, zone) for doubt in filling_up.in_doubt(actor, SHOWN)),
        *(_of_delivery(actor, generation, now, zone) for generation in deliveries),
    ]


def _of_alert(actor: Actor, alert: Alert, now: datetime, zone: tzinfo) -> Task:
    may_debug = actor.may(Action.DEBUG_GENERATION)
    page, query = words.evidence_of(alert, may_debug=may_debug) or ("", {})
    return Task(
        tone=alerts.tone_of(alert),
        icon=alerts.ICONS[alert.kind],
        headline=words.headline(alert),
        detail_html=alerts.detail_html(alert, now, zone),
        button="Open" if page else "",
        page=f"{page}.py",
        query=dict(query),
        alert=alert,
        kin="alerts",
    )


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
        headline=f"The job “{job_words.task(str(job['job']))}” fails",
        detail_html=f"Failed {when} and has not succeeded since. It is tried again at its next turn.{words}",
        button="Open",
        page="scheduler.py",
        query={chosen_job.PARAMETER: str(job["job"])},
        kin="jobs",
    )


def _trainings(actor: Actor, now: datetime) -> Sequence[Row]:
    wanted = Filter(states=frozenset({RunState.AWAITING_VERDICT, RunState.NEEDS_ATTENTION}))
    return trainings_views.runs(actor, wanted, now, limit=SHOWN).rows


def _of_images(doubt: Doubt, now: datetime, zone: tzinfo) -> Task:
    many = formats.counted(doubt.drawings, "generated image is", "generated images are")
    when = times.ago_html(doubt.since, now, zone)
    return Task(
        tone="lost",
        icon="front_hand",
        headline=f"{many} in doubt",
        detail_html=f"KIE's answer was lost {when}; the money stays reserved.",
        button="Open",
        page="launch_training.py",
        query={"draft": str(doubt.draft_id)},
    )


def _of_training(row: Row, now: datetime, zone: tzinfo) -> Task:
    state = training_words.look_of(row)
    launched = times.ago_html(row.launched_at, now, zone)
    where, why = escape(training_words.trainer(row.trainer)), escape(row.error or state.means)
    said = f"{where} · launched {launched} · {why}"
    return Task(
        tone=state.tone,
        icon=state.icon,
        headline=f"{state.word}: {training_words.named(row)}",
        detail_html=f'<div class="so-clamp">{said}</div>',
        button="Open",
        page="training_runs.py",
        query={"run": str(row.id)},
        kin="trainings",
    )


def _of_delivery(actor: Actor, generation: Generation, now: datetime, zone: tzinfo) -> Task:
    state = look_of(generation)
    what = f"“{formats.excerpt(generation.prompt, 60)}”" if generation.prompt else "no prompt"
    when = times.ago_html(generation.created_at, now, zone)
    why = escape(failures.reason(generation))
    return Task(
        tone=state.tone,
        icon=state.icon,
        headline=f"{state.word}: {generation_facts.label(generation)}",
        detail_html=f'<div class="so-clamp">{escape(what)} · begun {when} · {why}</div>',
        button="Open" if actor.may(Action.DEBUG_GENERATION) else "",
        page="debug_sync.py",
        query={"q": str(generation.id)},
        kin="deliveries",
    )


def show(actor: Actor, tasks: Sequence[Task], *, something_else: bool) -> None:
    """The list; when nothing is on it, it says so. `something_else`: the banner already names something."""
    if not tasks:
        nothing = "Nothing else needs a person." if something_else else "Nothing needs a person now."
        st.html(f'<div class="so-task so-good">{icon_html("check_circle")}<div>{escape(nothing)}</div></div>')
        return
    with st.container(gap="small", key="so-tasks"):
        # Those that can be acknowledged have a button of their own; all that stand between are one element.
        for seen, together in itertools.groupby(tasks[:SHOWN], lambda task: task.alert is not None):
            if seen:
                for task in together:
                    _with_button(actor, task)
            else:
                st.html(f'<div class="so-tasks">{"".join(map(_task_html, together))}</div>')
    hidden = {_all_of(task): None for task in tasks[SHOWN:] if task.page}
    links = "".join(
        f'<a href="{escape(_address(page, dict(query)))}">{escape(f"More {label}")}'
        f" {icon_html('arrow_forward')}</a>"
        for label, page, query in hidden
    )
    if links:
        st.html(f'<div class="so-row so-more">{links}</div>')


def _all_of(task: Task) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    label, page, query = ALL_OF.get(task.kin, ("generated images in doubt", task.page, task.query))
    return label, page, tuple(query.items())


def _address(page: str, query: Mapping[str, str]) -> str:
    path = page.removesuffix(".py")
    return openers.address(query, path) if query else path


def _task_html(task: Task) -> str:
    href = _address(task.page, task.query)
    key = look.safe_key(f"{task.headline} {href}")
    door = (
        f'<a class="so-door-link" id="so-door-{key}" href="{escape(href)}"'
        f' aria-labelledby="so-door-{key} so-task-{key}">{icon_html("arrow_forward")}'
        f" {escape(task.button)}</a>"
        if task.button
        else ""
    )
    return (
        f'<div class="so-task so-{task.tone}">{icon_html(task.icon)}'
        f'<div><b id="so-task-{key}">{escape(task.headline)}</b></div>'
        f'{door}<div class="so-quiet">{task.detail_html}</div></div>'
    )


def _with_button(actor: Actor, task: Task) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(_task_html(task), width="stretch")
        if task.alert:
            alerts.seen_button(actor, task.alert)
