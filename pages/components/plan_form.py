"""Choosing what to resync: a list by its filter, a customer's, or pasted ids; each refusal at its field."""

from uuid import UUID

import streamlit as st

from core import log
from core.access import Action, Actor
from core.deliveries import windows
from core.deliveries.windows import Filter
from core.errors import InvalidInput
from core.plans import policy
from core.plans.models import Source
from core.providers import catalogue
from pages.components import chosen_plan, errors, look, resync_all
from pages.components.health_filters import WINDOW_NAMES

_KEY = "so-plan"
WHICH = {
    "failed": "Failed",
    "stuck": "Stuck now",
    "needs_attention": "Need attention",
    "rescue": "Finished at KIE, not stored yet",
    "open": "Begun and still in flight",
    "finished": "Finished: delivered, failed or lost",
    "begun": "All of them (of a customer)",
}
ANY = "Any model"


def show(actor: Actor) -> None:
    """The form; what the address names is chosen already."""
    wanted, _ = windows.read(st.query_params)
    closed = None if actor.may(Action.RUN_PLAN) else "Your role does not run plans. Ask somebody of support."
    with st.container(border=True, gap="small", key="so-plan-form"):
        look.section("What is to be resynced?")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            _which(wanted)
        _field_error("filter")
        with st.grid(2, min_column_width=260):
            with st.container(gap=None):
                st.text_input(
                    "Customer's id (optional)",
                    value=st.query_params.get("user", ""),
                    key=f"{_KEY}-user",
                    max_chars=60,
                    placeholder="Only this customer's",
                )
                _field_error("user")
            with st.container(gap=None):
                st.text_area(
                    "Or ids of tasks or generations",
                    key=f"{_KEY}-ids",
                    height=68,
                    max_chars=400_000,
                    placeholder="One or many, with spaces, commas or lines between them",
                )
                _field_error("ids")
        st.button(
            "See what would happen",
            type="primary",
            icon=":material/science:",
            key=f"{_KEY}-dry",
            disabled=closed is not None,
            help=closed or "Sorts the list and shows what would happen. Nothing is asked or changed.",
            on_click=_try,
        )
        _field_error(None)


def _which(wanted: Filter) -> None:
    states = list(WHICH)
    st.selectbox(
        "Which",
        states,
        index=states.index(wanted.state) if wanted.state in states else 0,
        format_func=lambda state: WHICH[state],
        key=f"{_KEY}-state",
        width=260,
    )
    st.selectbox(
        "Begun in the last",
        list(WINDOW_NAMES),
        index=list(WINDOW_NAMES).index(wanted.window),
        format_func=lambda window: WINDOW_NAMES[window],
        key=f"{_KEY}-window",
        width=150,
    )
    models = [None, *(model.id for model in catalogue.MODELS)]
    st.selectbox(
        "Model",
        models,
        index=models.index(wanted.model) if wanted.model in models else 0,
        format_func=lambda model: catalogue.require(model).label if model else ANY,
        key=f"{_KEY}-model",
        width=220,
    )


def _source() -> Source:
    """What the form says. Raises InvalidInput at its field."""
    named = str(st.session_state.get(f"{_KEY}-user") or "").strip()
    try:
        user = UUID(named) if named else None
    except ValueError:
        said = "That is no customer's id: it has 32 letters and digits, as in their address."
        raise InvalidInput("user", said) from None
    names = policy.names_in(str(st.session_state.get(f"{_KEY}-ids") or ""))
    if names:
        return Source(names=names, user_id=user)
    wanted = Filter(
        window=st.session_state[f"{_KEY}-window"],
        state=st.session_state[f"{_KEY}-state"],
        model=st.session_state[f"{_KEY}-model"],
    )
    return Source(wanted, user_id=user)


def _try() -> None:
    log.new_request_id()
    st.session_state.pop(f"{_KEY}-failure", None)
    try:
        plan = resync_all.try_dry("form", _source())
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[f"{_KEY}-failure"] = errors.describe(error, "dry run")
        return
    chosen_plan.choose(plan.id)


def _field_error(field: str | None) -> None:
    """The refusal of this field; with None whatever belongs to no field of the form."""
    failure = st.session_state.get(f"{_KEY}-failure")
    if not isinstance(failure, errors.Failure):
        return
    known = failure.field in {"filter", "user", "ids"}
    if failure.field == field or (field is None and not known):
        st.html(look.field_error_html(failure.sentence))
