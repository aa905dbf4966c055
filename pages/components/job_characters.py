"""Launching trainings of an earlier job's characters: one LoRA each, all launched or all refused."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from html import escape
from uuid import UUID

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import log
from core.access import Actor
from core.errors import NotFound
from core.trainings import dataset, drafts, earlier_jobs, tools
from core.trainings.earlier_jobs import EarlierJob
from core.trainings.models import Launch
from core.trainings.references import Character, References
from core.trainings.sheet import Sheet
from core.trainings.views import Row, TrainerChoice
from pages.components import (
    dataset_sheet,
    draft,
    errors,
    formats,
    look,
    openers,
    times,
    training_form,
    training_quote,
)
from pages.components.actor import current_actor

# Stands in the address.
JOB = "job"
_NOTES = "so-job-notes"
_FAILED = "so-job-failed"


@dataclass(frozen=True)
class _Set:
    """A character of the job with its draft, the n-th; `run` once it is launched."""

    n: int
    character: Character
    sheet: Sheet
    run: Row | None

    @property
    def key(self) -> str:
        return f"so-train-{self.sheet.draft_id}"

    @property
    def chosen(self) -> bool:
        return self.run is None and bool(st.session_state.get(self.key, True))

    def launch(self, said: Launch, job_id: UUID) -> Launch:
        """The launch of this character's LoRA."""
        return replace(
            said,
            request_key=f"page:{self.sheet.draft_id}",
            draft_id=self.sheet.draft_id,
            name=self.character.lora_name(said.name) if said.name else "",
            trigger_word=self.character.trigger_word(said.trigger_word, self.n),
            job_id=job_id,
            reference_urls=self.character.urls[: dataset.MAX_AT_ONCE],
        )


def show(
    actor: Actor,
    beginning: UUID,
    choices: Sequence[TrainerChoice],
    giving: DeltaGenerator,
    asking: DeltaGenerator,
) -> None:
    """A job and its characters with their images into `giving`, one button for all of them into `asking`."""
    closed = dataset_sheet.why_not(actor)
    with giving:
        if closed:
            st.html(look.notice_html("attention", "lock", closed))
            return
        job_id = _job(beginning)
        if job_id is None:
            _newest(actor, beginning)
            return
        found = _references(actor, job_id)
        if found is None:
            return
        bounds = chosen.bounds if (chosen := training_form.chosen_trainer(choices)) else None
        sets = [
            _Set(n, one, dataset.sheet(actor, draft_id, bounds), drafts.run_of(actor, draft_id, times.now()))
            for n, one in enumerate(found.characters, start=1)
            for draft_id in [one.draft_id(beginning)]
        ]
        _told(found, sets, beginning, job_id)
        for one in sets:
            _show_set(actor, one)
        if sets and all(one.run is not None for one in sets):
            st.button("Begin a new one", icon=":material/add:", on_click=draft.begin, key="so-draft-new")
    left = [one for one in sets if one.run is None and one.sheet.images]
    if left:
        with asking:
            _ask(actor, beginning, job_id, left, found, choices)


# The job.


def _job(beginning: UUID) -> UUID | None:
    """The job that the address names; None while it names none that could be."""
    st.text_input(
        "Job",
        key=JOB,
        bind="query-params",
        max_chars=100,
        placeholder="Paste a job's id",
        icon=":material/search:",
        on_change=_typed,
        args=(beginning,),
    )
    said = str(st.session_state.get(JOB) or "").strip()
    if not said:
        return None
    try:
        return UUID(said)
    except ValueError:
        st.html(look.field_error_html("A job's id is a UUID, such as 3f2b8c1e-5a7d-4e90-b1c2-d3e4f5a6b7c8."))
        return None


def _typed(beginning: UUID) -> None:
    try:
        job_id = UUID(str(st.session_state.get(JOB) or "").strip())
    except ValueError:
        return
    _bring(beginning, job_id)


def _choose(beginning: UUID, job_id: UUID) -> None:
    st.session_state[JOB] = str(job_id)
    _bring(beginning, job_id)


def _bring(beginning: UUID, job_id: UUID) -> None:
    """Fetch and judge the images; what went wrong is kept for the run that shows it."""
    log.new_request_id()
    st.session_state.pop(_FAILED, None)
    try:
        with st.spinner("Fetching the characters' images…", show_time=True):
            _, added = earlier_jobs.bring(current_actor(), beginning, job_id, tools.current().dataset)
        st.session_state[_NOTES] = {name: one.notes for name, one in added.items()}
    except NotFound:
        return  # the page says so beside the field
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILED] = (job_id, errors.describe(error, "earlier job"))


def _newest(actor: Actor, beginning: UUID) -> None:
    jobs = earlier_jobs.newest(actor)
    if not jobs:
        st.html(
            look.empty_html(
                "face_retouching_off",
                "No recent job has character references",
                f"None of the newest {formats.count(earlier_jobs.NEWEST)} has a character with three images."
                " Paste the id of an older one, or train on images of your own.",
            )
        )
        return
    look.section("The newest jobs with characters")
    now, zone = times.now(), times.viewer_zone()
    for job in jobs:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"so-job-{job.id}"):
            st.html(_job_html(job, now, zone))
            st.button(
                openers.named("Use", f"job {str(job.id)[:8]}"),
                icon=":material/arrow_forward:",
                key=f"so-use-{job.id}",
                help=formats.in_label(f"Use job {str(job.id)[:8]}"),
                on_click=_choose,
                args=(beginning, job.id),
            )


def _job_html(job: EarlierJob, now: datetime, zone: tzinfo) -> str:
    names = ", ".join(character.id for character in job.characters)
    left_out = formats.counted(len(job.skipped), "character", "characters")
    skipped = f" · {left_out} skipped" if job.skipped else ""
    many = formats.counted(job.images, "image", "images")
    return (
        f"<div><b>{escape(formats.excerpt(names, 90))}</b>"
        f'<div class="so-quiet so-small">{many}{skipped} · {times.ago_html(job.created_at, now, zone)}'
        f" · <code>{str(job.id)[:8]}</code></div></div>"
    )


def _references(actor: Actor, job_id: UUID) -> References | None:
    try:
        return dataset.references_of(actor, job_id)
    except NotFound as missing:
        st.html(look.notice_html("attention", "search_off", missing.message))
        return None


# Its characters.


def _told(found: References, sets: Sequence[_Set], beginning: UUID, job_id: UUID) -> None:
    """Who is skipped and why, which stays as long as the job is shown; what went wrong with fetching."""
    for sentence in found.skipped:
        st.html(look.notice_html("attention", "person_off", sentence))
    of, failure = st.session_state.get(_FAILED, (None, None))
    if of == job_id and isinstance(failure, errors.Failure):
        errors.show(failure)
    if any(not one.sheet.images and one.run is None for one in sets):
        st.button(
            "Fetch their images",
            icon=":material/download:",
            type="primary",
            key="so-job-fetch",
            on_click=_bring,
            args=(beginning, job_id),
        )


def _show_set(actor: Actor, one: _Set) -> None:
    """A character: whether it is trained, under which name, and its contact sheet."""
    said = training_form.said(training_form.NAME)
    word = one.character.trigger_word(training_form.said(training_form.TRIGGER), one.n)
    with st.container(border=True, gap="small", key=f"so-character-{one.sheet.draft_id}"):
        if one.run is not None:
            draft.launched(one.run, alone=False)
        else:
            st.checkbox(formats.in_label(f"Train {one.character.id[:80]}"), value=True, key=one.key)
            name = one.character.lora_name(said) if said else f"… · {one.character.id}"
            called = f" · trigger word <code>{escape(word)}</code>" if word else ""
            st.html(f'<div class="so-small so-quiet">becomes <b>{escape(name)}</b>{called}</div>')
        notes = st.session_state.get(_NOTES, {}).get(one.character.id, ())
        if notes:
            body = "<br>".join(escape(note) for note in notes)
            st.html(look.notice_html("attention", "info", "Not everything was added", body))
        dataset_sheet.show(actor, one.sheet, changeable=one.run is None, mark=f"{one.n}-")
        if not one.sheet.images:
            many = formats.counted(len(one.character.urls), "image is", "images are")
            st.html(f'<div class="so-small so-quiet">Its {many} not fetched yet.</div>')


def _ask(
    actor: Actor,
    beginning: UUID,
    job_id: UUID,
    sets: Sequence[_Set],
    found: References,
    choices: Sequence[TrainerChoice],
) -> None:
    wanted = [one for one in sets if one.chosen]
    images = sum(len(one.sheet.used) for one in wanted)

    def each(said: Launch) -> tuple[Launch, ...]:
        return tuple(one.launch(said, job_id) for one in wanted)

    before = each(training_form.wanted(beginning, training_form.chosen_trainer(choices)))
    failure = training_quote.refusal_of(before, images)
    said = training_form.show(beginning, choices, failure, several=True)
    if said is None:
        return
    with st.container(border=True, gap="small", key="so-quote"):
        if not wanted:
            st.html('<div class="so-quiet">Choose at least one character.</div>')
            return
        runs = training_quote.show(
            actor, each(said), images, at_fields=training_form.AT_FIELDS, notes=found.skipped
        )
    if runs:
        st.rerun()
