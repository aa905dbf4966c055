"""What a person does with a plan: start, pause, resume, abort, and have what failed tried again."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import streamlit as st

from core import log
from core.access import Action, Actor
from core.deliveries import tools
from core.plans import policy, service
from core.plans.models import ItemState, Plan, PlanState, Source
from core.plans.views import Seen
from pages.components import errors, formats, look, resync_all
from pages.components.actor import current_actor

_KEY = "so-plan-act"
_FIELDS = ("typed", "reason", "name")


def why_not(actor: Actor) -> str | None:
    """Why this person may not act on plans, as a sentence."""
    return None if actor.may(Action.RUN_PLAN) else "Your role does not run plans. Ask somebody of support."


def start(actor: Actor, plan: Plan, now: datetime) -> None:
    """The form that starts a dry run: the reason, and above TYPED_ABOVE the number typed."""
    if plan.eligible == 0:
        return
    if now - plan.created_at > policy.DRAFT_GOOD_FOR:
        said = "Choose the list again, so that you see what is so now."
        st.html(look.notice_html("attention", "update", "This dry run is older than an hour", said))
        return
    many = formats.counted(plan.eligible, "generation", "generations")
    with st.container(border=True, gap="small", key="so-plan-start"):
        st.text_input(
            "Why? It stands in the audit log.",
            key=f"{_KEY}-reason",
            placeholder="For example: KIE's outage of this morning",
            max_chars=policy.LONGEST_REASON,
        )
        _refusal(plan.id, "reason")
        if plan.eligible > policy.TYPED_ABOVE:
            st.text_input(
                f"Type {plan.eligible} to confirm that many", key=f"{_KEY}-typed", max_chars=12, width=260
            )
            _refusal(plan.id, "typed")
        st.button(
            f"Resync {many}",
            type="primary",
            icon=":material/play_arrow:",
            key=f"{_KEY}-start",
            disabled=why_not(actor) is not None,
            help=why_not(actor),
            on_click=_start,
            args=(plan.id,),
        )
        _refusal(plan.id, None)


def _start(plan_id: UUID) -> None:
    typed = str(st.session_state.get(f"{_KEY}-typed") or "").strip().replace(",", "")
    reason = str(st.session_state.get(f"{_KEY}-reason") or "")
    number = int(typed) if typed.isascii() and typed.isdigit() else None
    _act(plan_id, lambda who: service.start(who, plan_id, tools.current(), typed=number, reason=reason))


def steer(actor: Actor, seen: Seen) -> None:
    """The buttons that this plan's state allows."""
    plan, closed = seen.plan, why_not(actor)
    with st.container(horizontal=True, vertical_alignment="center", key="so-plan-steer"):
        if plan.state is PlanState.RUNNING:
            _button(
                "Pause",
                "pause",
                service.pause,
                plan,
                closed,
                "Nothing further is begun meanwhile; other plans may take what waits.",
            )
        if plan.state is PlanState.PAUSED:
            _button("Resume", "play_arrow", service.resume, plan, closed, "It goes on.")
        if plan.state in {PlanState.RUNNING, PlanState.PAUSED}:
            _abort(seen, closed)
        failed = seen.progress.by_state.get(ItemState.FAILED, 0)
        if failed and plan.state in {PlanState.FINISHED, PlanState.ABORTED} and closed is None:
            resync_all.button(actor, f"failed-{plan.id}", Source(failed_of=plan.id), failed, "what failed")
    _refusal(plan.id, None)


def _button(
    words: str, icon: str, act: Callable[..., Plan], plan: Plan, closed: str | None, means: str
) -> None:
    st.button(
        words,
        icon=f":material/{icon}:",
        key=f"{_KEY}-{icon}",
        disabled=closed is not None,
        help=closed or means,
        on_click=_act,
        args=(plan.id, lambda who: act(who, plan.id, tools.current())),
    )


def _abort(seen: Seen, closed: str | None) -> None:
    with st.popover("Abort", icon=":material/stop:", disabled=closed is not None, help=closed):
        left = formats.counted(seen.progress.left, "item is", "items are")
        st.html(
            f'<div class="so-popover-words">{left} not done yet. Those in hand are finished, none is begun,'
            " and the plan cannot go on afterwards.</div>"
        )
        st.text_input("Why? It stands in the audit log.", key=f"{_KEY}-why", max_chars=policy.LONGEST_REASON)
        st.button(
            "Abort it",
            type="primary",
            icon=":material/stop:",
            key=f"{_KEY}-abort",
            on_click=_do_abort,
            args=(seen.plan.id,),
        )


def _do_abort(plan_id: UUID) -> None:
    why = str(st.session_state.get(f"{_KEY}-why") or "")
    _act(plan_id, lambda who: service.abort(who, plan_id, tools.current(), why))


def _act(plan_id: UUID, act: Callable[[Actor | None], object]) -> None:
    """Do it; what is refused is kept for its field."""
    log.new_request_id()
    st.session_state.pop(f"{_KEY}-failure", None)
    try:
        act(current_actor())
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[f"{_KEY}-failure"] = (plan_id, errors.describe(error, "plan"))


def _refusal(plan_id: UUID, field: str | None) -> None:
    """The refusal of this field of this plan; with None whatever belongs to no field."""
    of, failure = st.session_state.get(f"{_KEY}-failure", (None, None))
    if of != plan_id or not isinstance(failure, errors.Failure):
        return
    if failure.field == field or (field is None and failure.field not in _FIELDS):
        st.html(look.field_error_html(failure.sentence))
