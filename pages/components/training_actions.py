"""What can be done with a run: go on where it stopped, look again, stop it, clone it, compare it."""

import uuid
from collections.abc import Callable
from uuid import UUID

import streamlit as st

from core import log
from core.access import Action, Actor
from core.trainings import drafts, service, tools, views
from core.trainings.detail import Detail
from core.trainings.models import ENDED, Run, RunState
from core.trainings.views import Filter
from pages.components import chosen_lora, chosen_run, errors, formats, look, times
from pages.components.actor import current_actor
from pages.components.dataset_sheet import why_not as why_not_launch
from pages.components.training_facts import wants_samples
from pages.components.training_form import address_of
from pages.components.training_words import named, trainer

_FAILURE = "so-steer-failure"
_SURE = "so-steer-nothing-runs"
_REASON = "so-steer-reason"
COMPARABLE = 50


def why_not(actor: Actor) -> str | None:
    """Why this person may not steer a run, as a sentence; None when they may."""
    if actor.may(Action.STEER_TRAINING):
        return None
    return "Your role does not steer trainings. Ask an admin for the role product."


def attempt(part: str, act: Callable[[], Run]) -> None:
    """Do it; what goes wrong is kept for the run that shows it."""
    log.new_request_id()
    st.session_state.pop(_FAILURE, None)
    try:
        act()
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILURE] = errors.describe(error, part)


def show(actor: Actor, detail: Detail) -> None:
    """The buttons that this run's state allows, the one that helps first."""
    row, closed = detail.row, why_not(actor)
    failure = st.session_state.pop(_FAILURE, None)
    at_reason = isinstance(failure, errors.Failure) and failure.field == "reason"
    with st.container(horizontal=True, vertical_alignment="center", key="so-run-actions"):
        if detail.resumes_at is not None:
            _resume(detail, closed)
        if row.state is RunState.COMPLETED and st.button(
            "Open the LoRA", icon=":material/photo_library:", type="primary", key="so-to-lora"
        ):
            st.switch_page("lora_library.py", query_params={chosen_lora.PARAMETER: str(row.lora_id)})
        if row.state is RunState.NEEDS_ATTENTION or row.crashed:
            st.button(
                "Look again",
                icon=":material/visibility:",
                key="so-look-again",
                disabled=closed is not None,
                help=closed or "Looks for it at the provider now. Nothing is sent or paid.",
                on_click=_look_again,
                args=(row.id,),
            )
        if wants_samples(detail.run):
            st.button(
                "Add the test images to its card",
                icon=":material/add_photo_alternate:",
                key="so-card-samples",
                disabled=closed is not None,
                help=closed or "On Hugging Face, within a minute. The weights there stay as they are.",
                on_click=_publish_samples,
                args=(row.id,),
            )
        _clone(actor, detail)
        _compare(actor, detail)
        if row.state not in ENDED:
            _cancel(detail, closed, failure.sentence if at_reason else None)
    if closed and row.state not in ENDED | {RunState.RUNNING}:
        st.caption(closed)
    if isinstance(failure, errors.Failure) and not at_reason:
        errors.show(failure)


def _look_again(run_id: UUID) -> None:
    attempt("look again", lambda: service.look_again(current_actor(), run_id, tools.current()))


def _publish_samples(run_id: UUID) -> None:
    attempt("card", lambda: service.publish_samples(current_actor(), run_id, tools.current()))


def _resume(detail: Detail, closed: str | None) -> None:
    assert detail.resumes_at is not None
    label = f"Retry from: {detail.resumes_at.label}"
    if detail.doubt:
        with st.popover(label, icon=":material/replay:", type="primary", disabled=closed is not None):
            _sure(detail, "sure-resume")
            st.button(
                "Go on with a new request",
                type="primary",
                key="so-resume",
                disabled=not st.session_state.get(f"{_SURE}-resume"),
                on_click=_do_resume,
                args=(detail.row.id,),
                kwargs={"nothing_runs": True},
            )
        return
    st.button(
        label,
        icon=":material/replay:",
        type="primary",
        key="so-resume",
        disabled=closed is not None,
        help=closed or "What was made is kept; only what comes from this stage on is done and paid again.",
        on_click=_do_resume,
        args=(detail.row.id,),
    )


def _sure(detail: Detail, key: str) -> None:
    where = trainer(detail.row.trainer)
    st.checkbox(
        f"I have looked at {where}'s own list: nothing of this runs there.",
        key=f"{_SURE}-{key.removeprefix('sure-')}",
    )


def _do_resume(run_id: UUID, *, nothing_runs: bool = False) -> None:
    attempt(
        "resume",
        lambda: service.resume(current_actor(), run_id, tools.current(), nothing_runs=nothing_runs),
    )


def _cancel(detail: Detail, closed: str | None, refused: str | None) -> None:
    why = closed or detail.why_not_cancel
    with st.popover("Cancel", icon=":material/stop_circle:", disabled=why is not None, help=why):
        st.html(
            '<div class="so-popover-words">It is stopped at the provider and does not come back. What it has'
            " cost so far is settled, the rest of its reservation given back.</div>"
        )
        st.text_input("Why? It stands in the audit log.", key=_REASON, max_chars=200)
        if refused:
            st.html(look.field_error_html(refused))
        sure = True
        if detail.doubt:
            _sure(detail, "sure-cancel")
            sure = bool(st.session_state.get(f"{_SURE}-cancel"))
        st.button(
            "Cancel this training",
            type="primary",
            icon=":material/stop_circle:",
            key="so-cancel",
            disabled=not sure,
            on_click=_do_cancel,
            args=(detail.row.id,),
            kwargs={"nothing_runs": detail.doubt},
        )


def _do_cancel(run_id: UUID, *, nothing_runs: bool) -> None:
    reason = str(st.session_state.get(_REASON) or "")
    attempt(
        "cancel",
        lambda: service.cancel(
            current_actor(), run_id, tools.current(), reason=reason, nothing_runs=nothing_runs
        ),
    )


def _clone(actor: Actor, detail: Detail) -> None:
    closed = why_not_launch(actor)
    if st.button(
        "Clone",
        icon=":material/content_copy:",
        key="so-clone",
        disabled=closed is not None,
        help=closed or "Opens the form with the same images and settings; nothing begins yet.",
    ):
        draft_id = uuid.uuid4()
        try:
            with st.spinner("Copying its images…"):
                drafts.copy_images(actor, detail.row.lora_id, draft_id, tools.current().dataset)
        except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
            st.session_state[_FAILURE] = errors.describe(error, "clone")
            return
        st.switch_page("launch_training.py", query_params=address_of(draft_id, detail.run))


def _compare(actor: Actor, detail: Detail) -> None:
    others = [
        row
        for row in views.runs(actor, Filter(), times.now(), limit=COMPARABLE).rows
        if row.id != detail.row.id
    ]
    with st.popover("Compare", icon=":material/compare:", disabled=not others):
        chosen = st.selectbox(
            "With which run?",
            others,
            format_func=lambda row: f"{named(row)} · {times.ago(row.launched_at, times.now())}",
            key="so-compare-with",
        )
        if chosen is not None:
            st.button(
                "See both",
                type="primary",
                key="so-compare",
                on_click=chosen_run.choose,
                args=(detail.row.id, chosen.id),
            )
        st.caption(f"The newest {formats.count(COMPARABLE)} runs, by name.")
