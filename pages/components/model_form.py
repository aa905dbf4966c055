"""The form of a model, made from the table of models: its inputs, their bounds, its price."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import streamlit as st

from core import settings
from core.access import Actor
from core.providers import kie_models
from core.providers.kie_models import Field, Model
from pages.components import creating, errors, formats
from pages.components.look import field_error_html, notice_html

MODEL = "so-form-model"
# More choices than this are a list to open, fewer lie open side by side.
FEW = 3
# These take the form's whole width.
_LONG = frozenset({"text", "urls"})
_BEFORE = "so-form-model-before"
_TOO_LONG = "so-form-too-long"
BUTTON = "form"
UNSET, ON, OFF = "As KIE decides", "On", "Off"
REHEARSAL = (
    "The sandbox can be asked to fail: put `[[fault:provider_fail]]`, `[[fault:stuck]]` or"
    " `[[fault:expired_url]]` into the prompt."
)
PROMPT_HINT = "What should be seen? Subject, place, light, how it is photographed or filmed."


def _key(model: Model, field: Field) -> str:
    return f"so-form-{model.id}-{field.name}"


def _model() -> Model:
    return kie_models.require(str(st.session_state[MODEL]))


def fill(model_id: str, model_input: Mapping[str, Any]) -> None:
    """Put a generation's model and input into the form; for a button's `on_click`."""
    model = kie_models.find(model_id)
    if model is None:
        return
    st.session_state[MODEL] = st.session_state[_BEFORE] = model.id
    for field in model.fields:
        value = model_input.get(field.name, field.default)
        st.session_state[_key(model, field)] = _TO_WIDGET[field.type](field, value)
    creating.forget_failure()


def _to_choice(field: Field, value: Any) -> Any:
    return value if value in field.choices else field.default


def _to_flag(field: Field, value: Any) -> Any:
    if field.default is None:
        return UNSET if value is None else (ON if value else OFF)
    return bool(value)


_TO_WIDGET: dict[str, Callable[[Field, Any], Any]] = {
    "text": lambda _, value: value or "",
    "choice": _to_choice,
    "flag": _to_flag,
    "urls": lambda _, value: "\n".join(value or ()),
}


def values(model: Model) -> dict[str, Any]:
    """What the form says now, as the model's input; what is left open is left out."""
    found: dict[str, Any] = {}
    for field in model.fields:
        value = st.session_state.get(_key(model, field))
        if field.type == "urls":
            value = [line.strip() for line in str(value or "").splitlines() if line.strip()]
        elif field.type == "flag" and field.default is None:
            value = {ON: True, OFF: False}.get(str(value))
        if value is not None:
            found[field.name] = value
    return found


def _submit(request_key: str) -> None:
    model = _model()
    creating.start(BUTTON, request_key, model.id, values(model))


def _model_changed() -> None:
    """The prompt goes along to the model that was changed to, if it fits; it is never cut."""
    before, now = kie_models.find(st.session_state.get(_BEFORE, "")), _model()
    st.session_state[_BEFORE] = now.id
    st.session_state.pop(_TOO_LONG, None)
    creating.forget_failure()
    written = str(st.session_state.get(f"so-form-{before.id}-prompt", "")) if before else ""
    longest = next(field.maximum for field in now.fields if field.name == "prompt")
    if before is not None and len(written) > longest:
        st.session_state[_TOO_LONG] = (
            f"The prompt has {formats.count(len(written))} characters and {now.label} takes"
            f" {formats.count(longest)}; it stays with {before.label}."
        )
    elif written:
        st.session_state[f"so-form-{now.id}-prompt"] = written


def show(actor: Actor) -> None:
    """Every input of the chosen model, what it costs, and the button."""
    st.session_state.setdefault(MODEL, kie_models.MODELS[0].id)
    model_id = st.selectbox(
        "Model",
        [model.id for model in kie_models.MODELS],
        format_func=lambda of: kie_models.require(of).label,
        key=MODEL,
        on_change=_model_changed,
        persist_state="session",
    )
    model = kie_models.require(model_id or kie_models.MODELS[0].id)
    st.session_state[_BEFORE] = model.id
    if _TOO_LONG in st.session_state:
        st.html(notice_html("attention", "text_fields", str(st.session_state[_TOO_LONG])))
    failure = creating.failure()
    for field in model.fields:
        if field.type in _LONG:
            _show_field(model, field, failure)
    with st.grid(2, min_column_width=140, gap="small"):
        for field in model.fields:
            if field.type not in _LONG:
                with st.container():
                    _show_field(model, field, failure)
    if failure is not None and failure.field not in {field.name for field in model.fields}:
        errors.show(failure)
    _button(actor, model)


def _show_field(model: Model, field: Field, failure: errors.Failure | None) -> None:
    key = _key(model, field)
    st.session_state.setdefault(key, _TO_WIDGET[field.type](field, field.default))
    _WIDGETS[field.type](field, key)
    if failure is not None and failure.field == field.name:
        st.html(field_error_html(failure.sentence))


def _button(actor: Actor, model: Model) -> None:
    price = model.price(values(model))
    st.button(
        formats.in_label(f"Generate for {formats.money(price)}"),
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        key="so-form-submit",
        disabled=creating.why_not(actor) is not None,
        help=creating.why_not(actor),
        on_click=_submit,
        args=(creating.nonce(BUTTON),),
    )
    st.html(f'<div class="so-quiet so-small">{escape(price_note(model))}</div>')


def price_note(model: Model) -> str:
    """Where the price comes from, and whether anything is paid here at all."""
    if settings.current().local_stack:
        return "The sandbox plays KIE here: nothing is paid."
    return f"KIE's price, {model.price_source}."


def _text(field: Field, key: str) -> None:
    st.text_area(
        field.label,
        key=key,
        max_chars=field.maximum,
        height=118,
        placeholder=PROMPT_HINT,
        help=REHEARSAL if settings.current().local_stack else None,
        on_change="ignore",
        persist_state="session",
    )


def _choice(field: Field, key: str) -> None:
    if len(field.choices) > FEW:
        st.selectbox(field.label, field.choices, key=key, persist_state="session")
    else:
        st.segmented_control(field.label, field.choices, key=key, required=True, persist_state="session")


def _flag(field: Field, key: str) -> None:
    if field.default is None:
        st.selectbox(field.label, (UNSET, ON, OFF), key=key, persist_state="session")
    else:
        st.toggle(field.label, key=key, persist_state="session")


def _urls(field: Field, key: str) -> None:
    several = field.maximum > 1
    st.text_area(
        f"{field.label} ({field.minimum} to {field.maximum} addresses, one a line)"
        if several
        else f"{field.label} (its address)",
        key=key,
        height=96 if several else 68,
        placeholder="https://example.com/picture.jpg",
        on_change="ignore",
        persist_state="session",
    )


_WIDGETS: dict[str, Callable[[Field, str], None]] = {
    "text": _text,
    "choice": _choice,
    "flag": _flag,
    "urls": _urls,
}
