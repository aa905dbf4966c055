"""One run: how far it is, why it stopped, the button that helps; its images, log, money and parameters."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from functools import partial
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Actor
from core.errors import NotFound
from core.trainings import detail as run_detail
from core.trainings import tools
from core.trainings.detail import Detail, StageRow
from core.trainings.models import RunState, Stage
from pages.components import (
    audit_lines,
    chosen_run,
    errors,
    formats,
    look,
    times,
    training_actions,
    training_compare,
    training_facts,
    training_log,
    training_pictures,
)
from pages.components.actor import the_actor
from pages.components.states import icon_html, pill_html
from pages.components.training_board import progress_html
from pages.components.training_words import (
    CATEGORIES,
    CRASHED,
    STAGE_LOOKS,
    drawn_as,
    look_of,
    stage_line,
    time_left,
    trainer,
)

REFRESH_S = 2.0
# Nothing moves by itself, but somebody else may act.
SLOW_S = 10.0
_MOVING = frozenset({RunState.RUNNING, RunState.ENDING})
_OVER = frozenset({RunState.COMPLETED, RunState.CANCELLED})


def show(actor: Actor) -> None:
    """The run that the address names, or two side by side."""
    run_id, other = chosen_run.chosen(), chosen_run.other()
    if run_id is None:
        _missing("The address names no run", "Check that it was copied whole.")
        return
    try:
        detail = run_detail.of_run(actor, run_id, tools.current())
        if other is not None:
            training_compare.show(actor, detail, run_detail.of_run(actor, other, tools.current()))
            return
    except NotFound as missing:
        _missing(missing.message, "It may be another installation's; look for it in the list.")
        return
    _run(actor, detail)


def _missing(headline: str, body: str) -> None:
    look.title("Training run", "How far is it, why did it stop, what can I do?")
    st.html(look.notice_html("attention", "search_off", headline, body))
    st.button("All runs", icon=":material/arrow_back:", on_click=chosen_run.close, key="so-runs-back")


def _run(actor: Actor, detail: Detail) -> None:
    run_id, row = detail.row.id, detail.row
    drawn = drawn_as(detail)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.title(row.name, f"by {row.creator}")
        st.button(
            "All runs",
            icon=":material/arrow_back:",
            type="tertiary",
            on_click=chosen_run.close,
            key="so-runs-back",
        )
    moving = row.state in _MOVING
    st.fragment(_live, run_every=_pace(detail))(run_id, drawn)
    training_actions.show(actor, detail)
    pictures = partial(
        training_pictures.show,
        actor,
        detail,
        drawn,
        run_every=REFRESH_S if moving and row.stage is Stage.VALIDATION else None,
    )
    if detail.pictures:
        pictures()
    reading, knowing = st.columns([7, 5], gap="medium")
    with reading:
        training_log.show(run_id, run_every=REFRESH_S if moving else None)
        if not detail.pictures:
            pictures()
    with knowing:
        training_facts.cost(detail, times.viewer_zone())
        training_facts.parameters(detail, times.viewer_zone())
    audit_lines.of(the_actor(), [str(run_id), str(detail.run.lora_id)], times.now(), times.viewer_zone())


def _pace(detail: Detail) -> float | None:
    state = detail.row.state
    if state in _MOVING:
        return REFRESH_S
    return None if state in _OVER and detail.run.card_due_at is None else SLOW_S


def _live(run_id: UUID, drawn: tuple[object, ...]) -> None:
    """Where it stands, drawn anew every other second while it moves."""
    with errors.guarded("training run"):
        detail = run_detail.of_run(the_actor(), run_id, tools.current())
        _head(detail, times.now(), times.viewer_zone())
        if drawn_as(detail) != drawn:
            st.rerun(scope="app")


def _head(detail: Detail, now: datetime, zone: tzinfo) -> None:
    row, run = detail.row, detail.run
    launched = times.ago_html(row.launched_at, now, zone)
    again = f" · attempt {run.attempt + 1}" if run.attempt else ""
    with st.container(border=True, gap="small"):
        st.html(
            f'<div class="so-row">{pill_html(look_of(row))}<b>{escape(trainer(row.trainer))}</b>'
            f'<span class="so-quiet">launched {launched}{escape(again)}</span></div>'
        )
        if row.state in _MOVING:
            left = time_left(row.time_left_s)
            st.html(
                f"<div>{escape(stage_line(row))}{f' · {escape(left)}' if left else ''}</div>"
                + progress_html(row.progress, row.name)
            )
        _why(detail)
        st.html(_stages_html(detail.stages, judging=row.state is RunState.AWAITING_VERDICT))


def _why(detail: Detail) -> None:
    """Why it stopped or does not get on, and what a person does next."""
    row, run = detail.row, detail.run
    if row.crashed:
        st.html(look.notice_html("attention", CRASHED.icon, "Its worker has gone silent", CRASHED.means))
        return
    if row.state is RunState.AWAITING_VERDICT:
        st.html(
            look.notice_html(
                "attention",
                "rate_review",
                "Its test images wait for your verdict",
                "Compare them with the images below. Two of the three have to show the character.",
            )
        )
        return
    if not row.error or row.state is RunState.COMPLETED:
        return
    tone: look.NoticeTone = {RunState.FAILED: "bad", RunState.NEEDS_ATTENTION: "lost"}.get(
        row.state, "attention"
    )  # type: ignore[assignment]
    category = CATEGORIES.get(run.failure_category or "", "")
    words = look.folded_html("In the provider's own words", run.failure_words) if run.failure_words else ""
    body = " ".join(
        part
        for part in (escape(run.next_action or ""), f'<span class="so-quiet">{escape(category)}</span>')
        if part
    )
    st.html(look.notice_html(tone, look_of(row).icon, row.error, body + words))


def _stages_html(stages: Sequence[StageRow], *, judging: bool) -> str:
    drawn = (
        _stage_html(replace(stage, state="judging") if judging and stage.state == "running" else stage)
        for stage in stages
    )
    return f'<ol class="so-stages">{"".join(drawn)}</ol>'


def _stage_html(stage: StageRow) -> str:
    icon, tone, word = STAGE_LOOKS.get(stage.state, ("help", "unknown", stage.state))
    if stage.seconds is not None and stage.state != "skipped":
        said = formats.duration(stage.seconds if stage.seconds < 1 else round(stage.seconds))
        if stage.state == "running" and stage.progress:
            said = f"{stage.progress}\u00a0% · {said}"
        elif stage.state == "judging":
            said = word
        elif stage.state not in {"succeeded", "running"}:
            said = f"{word} · {said}"
    else:
        said = word
    tries = f", {stage.attempts} times" if stage.attempts > 1 else ""
    here = " aria-current=step" if stage.state == "running" else ""
    return (
        f'<li class="so-{tone} so-stage-{escape(stage.state)}"{here} title="{escape(word + tries)}">'
        f"{icon_html(icon)}<b>{escape(stage.stage.label)}</b><span>{escape(said)}</span></li>"
    )
