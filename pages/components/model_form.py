"""The form of a model, made from the table of models: its inputs, their bounds, its price."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any
from uuid import UUID

import streamlit as st

from core import settings
from core.access import Actor
from core.deliveries import views
from core.loras.models import Lora
from core.providers import catalogue, fal_models
from core.providers.model_inputs import Field, Model
from core.providers.registry import name_of
from pages.components import (
    creating,
    errors,
    formats,
    lora_choice,
    lora_price,
    lora_prompt,
    lora_trial,
)
from pages.components.look import field_error_html, notice_html

MODEL = "so-form-model"
# More choices than this are a list to open, fewer lie open side by side.
FEW = 3
# These take the form's whole width.
_LONG = frozenset({"text", "urls", "url"})
_BEFORE = "so-form-model-before"
_TOO_LONG = "so-form-too-long"
BUTTON = "form"
# What people call the sizes that fal names.
_SIZES = {
    "square_hd": "Square, large",
    "square": "Square",
    "portrait_4_3": "Portrait 3:4",
    "portrait_16_9": "Portrait 9:16",
    "landscape_4_3": "Landscape 4:3",
    "landscape_16_9": "Landscape 16:9",
}
UNSET, ON, OFF = "As KIE decides", "On", "Off"
REHEARSAL = (
    "The sandbox can be asked to fail: put `[[fault:provider_fail]]`, `[[fault:stuck]]` or"
    " `[[fault:expired_url]]` into the prompt."
)
PROMPT_HINT = "What should be seen? Subject, place, light, how it is photographed or filmed."


def _key(model: Model, field: Field) -> str:
    return f"so-form-{model.id}-{field.name}"


def _model() -> Model:
    return catalogue.require(str(st.session_state[MODEL]))


def fill(model_id: str, model_input: Mapping[str, Any], lora_id: UUID | None = None) -> None:
    """Put a generation's model, input and LoRA into the form; for a button's `on_click`."""
    model = catalogue.find(model_id)
    if model is None:
        return
    st.session_state[MODEL] = st.session_state[_BEFORE] = model.id
    for field in model.fields:
        value = model_input.get(field.name, field.default)
        st.session_state[_key(model, field)] = _TO_WIDGET[field.type](field, value)
    lora_choice.choose(lora_id)
    lora_prompt.keep(lora_id)
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
    "url": lambda _, value: value or "",
    "number": lambda _, value: value if isinstance(value, int) else None,
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
    lora_id = lora_choice.current()
    given = values(model)
    if lora_id is not None and (taken := _taken_by_frame(model)):
        given.pop(taken, None)
    creating.start(BUTTON, request_key, model.id, given, lora_id)


def _model_changed() -> None:
    """The prompt goes along to the model that was changed to, if it fits; it is never cut."""
    before, now = catalogue.find(st.session_state.get(_BEFORE, "")), _model()
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
    st.session_state.setdefault(MODEL, catalogue.MODELS[0].id)
    trying = st.query_params.pop(lora_trial.TRY, None) is not None
    if trying:
        st.session_state[MODEL] = fal_models.FLUX_LORA
    model_id = st.selectbox(
        "Model",
        [model.id for model in catalogue.MODELS],
        format_func=lambda of: catalogue.require(of).label,
        key=MODEL,
        on_change=_model_changed,
        persist_state="session",
    )
    model = catalogue.require(model_id or catalogue.MODELS[0].id)
    st.session_state[_BEFORE] = model.id
    lora = lora_choice.show(actor)
    lora_prompt.put(lora, f"so-form-{model.id}-prompt")
    if trying and lora:
        lora_prompt.begin(lora, f"so-form-{model.id}-prompt")
    if _TOO_LONG in st.session_state:
        st.html(notice_html("attention", "text_fields", str(st.session_state[_TOO_LONG])))
    failure = creating.failure()
    for field in model.fields:
        if field.type in _LONG and not (lora and field.name == _taken_by_frame(model)):
            _show_field(model, field, failure)
        if lora and field.name == "prompt":
            lora_prompt.samples(lora, _key(model, field))
            lora_trial.offer(actor, lora, _key(model, field))
    with st.grid(2, min_column_width=140, gap="small"):
        for field in model.fields:
            if field.type not in _LONG:
                with st.container():
                    _show_field(model, field, failure)
    if failure is not None and failure.field not in {field.name for field in model.fields}:
        errors.show(failure)
    _button(actor, model, lora)


def _taken_by_frame(model: Model) -> str | None:
    """The input that a first frame takes whole, when one is made with a LoRA."""
    field = model.picture_field
    return field.name if field and (field.type == "url" or field.maximum == 1) else None


def _show_field(model: Model, field: Field, failure: errors.Failure | None) -> None:
    key = _key(model, field)
    st.session_state.setdefault(key, _TO_WIDGET[field.type](field, field.default))
    _WIDGETS[field.type](field, key)
    if failure is not None and failure.field == field.name:
        st.html(field_error_html(failure.sentence))


def _button(actor: Actor, model: Model, lora: Lora | None) -> None:
    quote, refusal = lora_price.planned(actor, model, values(model), lora) if lora else (None, None)
    price = quote.total_usd if quote else views.price(actor, model, values(model))
    if refusal:
        st.html(notice_html("attention", "block", "This does not go together", escape(refusal)))
    st.button(
        formats.in_label(f"Generate for {formats.money(price)}"),
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        key="so-form-submit",
        disabled=(creating.why_not(actor) or refusal) is not None,
        help=creating.why_not(actor) or refusal,
        on_click=_submit,
        args=(creating.nonce(BUTTON),),
    )
    if quote is not None and lora is not None:
        lora_price.show(actor, quote, lora)
    st.html(
        f'<div class="so-quiet so-small">{escape(price_note(quote.plan.model if quote else model))}</div>'
    )


def price_note(model: Model) -> str:
    """Where the price comes from, and whether anything is paid here at all."""
    if settings.current().local_stack:
        return f"The sandbox plays {name_of(model.provider)} here: nothing is paid."
    return f"{name_of(model.provider)}'s price, {model.price_source}."


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
        st.selectbox(
            field.label,
            field.choices,
            key=key,
            format_func=lambda choice: _SIZES.get(choice, choice),
            persist_state="session",
        )
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


def _url(field: Field, key: str) -> None:
    st.text_input(
        f"{field.label} (its address)",
        key=key,
        placeholder="https://example.com/picture.jpg",
        persist_state="session",
    )


def _number(field: Field, key: str) -> None:
    st.number_input(
        field.label,
        min_value=field.minimum,
        max_value=field.maximum,
        step=1,
        key=key,
        placeholder="any",
        help="The same one makes the same picture again.",
        persist_state="session",
    )


_WIDGETS: dict[str, Callable[[Field, str], None]] = {
    "text": _text,
    "choice": _choice,
    "flag": _flag,
    "urls": _urls,
    "url": _url,
    "number": _number,
}
