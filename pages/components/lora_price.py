"""What a generation with a LoRA is made of and what each part costs, beside the button."""

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from core.access import Actor
from core.deliveries import views
from core.deliveries.with_lora import Quote
from core.errors import Conflict, InvalidInput
from core.loras.models import Lora, Way
from core.providers.model_inputs import Model
from pages.components import formats

# The price does not hang on the words, and is to be seen before any are written.
_SOME_PROMPT = "a prompt"


def planned(
    actor: Actor, model: Model, values: Mapping[str, Any], lora: Lora
) -> tuple[Quote | None, str | None]:
    """What becomes of the form with this LoRA, and why nothing does, as a sentence."""
    field = model.picture_field
    taken = field.name if field and (field.type == "url" or field.maximum == 1) else None
    given = {name: value for name, value in values.items() if name != taken}
    try:
        return views.quote(actor, model.id, {**given, "prompt": _SOME_PROMPT}, lora), None
    except Conflict as conflict:
        return None, conflict.message
    except InvalidInput:
        # Said at its field when the button is pressed.
        return None, None


def show(actor: Actor, quote: Quote, lora: Lora) -> None:
    """Each part with its price, the way that is taken, and what a first frame adds to the time."""
    plan, model_usd = quote.plan, formats.money(quote.model_usd)
    model = f"{plan.model.label} {model_usd}"
    match plan.way:
        case Way.DIRECT:
            words = f"{plan.model.label} takes the LoRA itself: {model_usd}."
        case Way.REFERENCES:
            words = f"{model}, from the reference images of “{lora.name}”; the LoRA itself is not used yet."
        case Way.FIRST_FRAME:
            words = f"First frame with the LoRA {formats.money(quote.frame_usd)} + {model}.{_times(actor)}"
    st.html(f'<div class="so-quiet so-small" data-test="parts">{escape(words)}</div>')


def _times(actor: Actor) -> str:
    found = views.frame_times(actor)
    if not found.samples or found.p50_s is None:
        return " The first frame adds a few seconds."
    added = f"{formats.duration(found.p50_s)} (p95 {formats.duration(found.p95_s)})"
    ours = f"{formats.duration(found.ours_p50_s)} (p95 {formats.duration(found.ours_p95_s)})"
    return f" The first frame adds usually {added}, of which {ours} are not fal's."
