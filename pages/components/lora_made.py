"""What a generation has to do with a LoRA: which one, which way, and whether it can be made anew with it."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from core.access import Actor
from core.deliveries import service, tools, views
from core.deliveries.models import DeliveryState, Generation
from core.errors import NotFound
from core.loras import views as library
from core.loras.models import Lora, Way
from pages.components import creating, formats, look, times
from pages.components.actor import current_actor
from pages.components.chosen import choose

WAYS = {
    Way.DIRECT: "its weights were given to the model",
    Way.FIRST_FRAME: "a first frame was made with it",
    Way.REFERENCES: "from its reference images",
}
WITH_LORA = "with-lora"


def facts(actor: Actor, generation: Generation) -> list[tuple[str, str]]:
    """Names and values, as HTML: the LoRA, and the frame or the generation on the other side of it."""
    found = []
    if generation.lora_id is not None:
        lora = _lora(actor, generation)
        name = escape(lora.named) if lora else "one that you may not see"
        way = WAYS[generation.lora_way] if generation.lora_way else ""
        link = f'<a href="lora_library?lora={generation.lora_id}">{name}</a>' if lora else name
        found.append(("LoRA", f'{link} <span class="so-quiet">{escape(way)}</span>'))
    for label, other in (("First frame", generation.frame_id), ("First frame of", generation.frame_for)):
        if other is not None:
            href = f"test_generation?generation={other}"
            found.append((label, f'<a href="{href}">{str(other)[:8]}</a>'))
    return found


def _lora(actor: Actor, generation: Generation) -> Lora | None:
    try:
        return library.get(actor, generation.lora_id) if generation.lora_id else None
    except NotFound:
        return None


def notice(actor: Actor, generation: Generation) -> None:
    """That it waits for its first frame, or was made from references, and can be made with the LoRA now."""
    if generation.waits_for_frame and generation.delivery_state is DeliveryState.INTENT:
        words = "The model starts from it as soon as it is there; both are paid once."
        st.html(look.notice_html("working", "filter_frames", "Its first frame is being made", words))
    if generation.lora_way is not Way.REFERENCES:
        return
    lora = _lora(actor, generation)
    if lora is None:
        return
    if not library.is_ready(actor, lora):
        words = "You can regenerate it with the LoRA once training completes; it is offered here then."
        headline = f"LoRA training in progress: “{lora.name}” lent its reference images"
        st.html(look.notice_html("working", "autorenew", headline, words))
        return
    done = "completed by now" if lora.training_status == "completed" else "trained by now, and yours"
    words = f"“{lora.name}” is {done}; this was made from its reference images."
    st.html(look.notice_html("good", "auto_awesome", "It can be made with the LoRA now", escape(words)))
    _button(actor, generation, "so-with-lora")


def _button(actor: Actor, generation: Generation, key: str) -> None:
    st.button(
        "Make it again with the LoRA",
        icon=":material/auto_awesome:",
        key=key,
        type="primary",
        disabled=creating.why_not(actor) is not None,
        help=creating.why_not(actor) or "Once: a second click opens the same one.",
        on_click=_make,
        args=(generation,),
    )


def _make(generation: Generation) -> None:
    def create(_: str) -> Generation:
        return service.make_with_lora(current_actor(), generation.id, tools.current())

    creating.begin(WITH_LORA, str(generation.id), str(generation.id), create)


def offers(actor: Actor) -> None:
    """Generations that were made from the references of a LoRA that is completed by now."""
    waiting: Sequence[Generation] = views.to_make_with_lora(actor, times.now())
    if not waiting:
        return
    with st.container(border=True, gap="small", key="so-lora-offers"):
        look.section("Can be made with their LoRA now")
        for generation in waiting:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.html(f"<span>{escape(formats.excerpt(generation.prompt or 'No prompt', 60))}</span>")
                st.button(
                    "Open",
                    key=f"so-lora-offer-{generation.id}",
                    type="tertiary",
                    on_click=choose,
                    args=(generation.id,),
                )
