"""Trying a LoRA: the same prompt and the same seed with it and without it, side by side."""

import hashlib
from datetime import datetime
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Action, Actor
from core.deliveries import service, tools, views
from core.deliveries.models import Generation
from core.deliveries.service import NewGeneration
from core.errors import NotFound
from core.loras import views as library
from core.loras.models import Lora
from core.providers import catalogue, fal_models
from pages.components import (
    creating,
    errors,
    formats,
    generation_facts,
    look,
    lora_price,
    lora_prompt,
    media,
    times,
)
from pages.components.actor import current_actor, the_actor
from pages.components.chosen import BESIDE, PARAMETER, close
from pages.components.states import look_of, pill_html

TRY = "try"
TRIAL = "trial"
REFRESH_S = 1.5
SIZE = "landscape_4_3"
UNMEASURED = (
    "How like the reference images either is cannot be measured here: what compares pictures tells copies"
    " apart, not faces. Judge by eye."
)


def offer(actor: Actor, lora: Lora, key: str) -> None:
    """The button that tries it with the prompt under this key."""
    if not library.is_ready(actor, lora):
        return
    prompt = str(st.session_state.get(key) or "").strip()
    prompt = prompt or lora_prompt.SAMPLES["Portrait"].format(word=lora_prompt.word_of(lora))
    quote, _ = lora_price.planned(actor, catalogue.require(fal_models.FLUX_LORA), _input(prompt, 0), lora)
    if quote is None:
        return  # the form says why, at its own button
    price = 2 * quote.total_usd
    st.button(
        formats.in_label(f"Try it: with and without, {formats.money(price)}"),
        key="so-lora-try",
        icon=":material/compare:",
        width="stretch",
        disabled=creating.why_not(actor) is not None,
        help=creating.why_not(actor)
        or "Makes two pictures of the same prompt and seed, one with the LoRA and one without.",
        on_click=_try,
        args=(lora.id, prompt, creating.nonce(TRIAL)),
    )


def _input(prompt: str, seed: int) -> dict[str, object]:
    return {"prompt": prompt, "image_size": SIZE, "seed": seed}


def _try(lora_id: UUID, prompt: str, nonce: str) -> None:
    """Begin both; the same nonce has the same seed, so that a second click makes nothing new."""
    made: list[Generation] = []

    def create(own: str) -> Generation:
        given = _input(prompt, _seed_of(own))
        for side, of in (("with", lora_id), ("without", None)):
            wanted = NewGeneration(fal_models.FLUX_LORA, given, f"page:{own}:{side}", lora_id=of)
            made.append(service.create(current_actor(), wanted, tools.current()))
        return made[0]

    creating.begin(TRIAL, nonce, f"{lora_id} {prompt}", create)
    if len(made) == 2:
        st.query_params[BESIDE] = str(made[1].id)


def _seed_of(nonce: str) -> int:
    """The same for the same click, so that a repeat asks for the very same pictures."""
    return int(hashlib.sha256(nonce.encode()).hexdigest(), 16) % fal_models.MAX_SEED


def beside() -> UUID | None:
    """The generation that stands beside the chosen one; None when the address names none."""
    try:
        return UUID(st.query_params.get(BESIDE, ""))
    except ValueError:
        return None


def show(actor: Actor, first: UUID, second: UUID) -> None:
    """Both, side by side, drawn anew while one of them moves."""
    try:
        both = [views.detail(actor, one).generation for one in (first, second)]
    except NotFound as missing:
        st.html(look.notice_html("attention", "search_off", missing.message, "It may have been deleted."))
        st.button("Close", on_click=_close, key="so-trial-close")
        return
    moving = any(views.is_moving(one, times.now()) for one in both)
    with st.container(border=True):
        st.fragment(_live, run_every=REFRESH_S if moving else None)(first, second, was_moving=moving)


def _close() -> None:
    st.query_params.pop(BESIDE, None)
    close()


def _live(first: UUID, second: UUID, *, was_moving: bool) -> None:
    with errors.guarded("trial"):
        actor, now = the_actor(), times.now()
        both = [views.detail(actor, one).generation for one in (first, second)]
        moving = [one.id for one in both if views.is_moving(one, now)]
        if moving and actor.may(Action.VIEW):
            service.watch(actor, moving, tools.current())
        _draw(actor, both, now)
        if was_moving and not moving:
            st.rerun()


def _draw(actor: Actor, both: list[Generation], now: datetime) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.section("With and without the LoRA")
        st.button("Close", icon=":material/close:", type="tertiary", on_click=_close, key="so-trial-close")
    with st.container(key="so-trial-both"):
        columns = st.columns(2, gap="small")
    for generation, column in zip(both, columns, strict=True):
        with column:
            _one(generation)
    with_it = both[0]
    seed = with_it.input.get("seed")
    if with_it.prompt:
        with st.container(key="so-prompt"):
            st.code(with_it.prompt, language=None, wrap_lines=True)
    st.html(
        f'<div class="so-quiet so-small">{_called_html(actor, with_it)}'
        f"{escape(generation_facts.label(with_it))}, seed {seed} for both."
        f" {escape(UNMEASURED)}</div>"
    )


def _one(generation: Generation) -> None:
    word = "With the LoRA" if generation.lora_id else "Without"
    st.html(f'<div class="so-row"><b>{word}</b>{pill_html(look_of(generation))}</div>')
    shown = media.of_generation(generation) if generation.asset_url else None
    if shown is not None:
        st.html(media.full_html(shown, f"{word}: {formats.excerpt(generation.prompt or 'result', 100)}"))
    elif generation.failure_message and generation.delivery_state == "failed":
        st.html(look.notice_html("bad", "cancel", "It was not made", escape(generation.failure_message)))
    else:
        st.html(look.empty_html("hourglass_top", look_of(generation).word, look_of(generation).means))
    href = f"test_generation?{PARAMETER}={generation.id}"
    st.html(f'<a class="so-link so-small" href="{href}">Open it alone</a>')


def _called_html(actor: Actor, generation: Generation) -> str:
    """Which LoRA it is, as a link; nothing for one that this person may not see."""
    try:
        lora = library.get(actor, generation.lora_id) if generation.lora_id else None
    except NotFound:
        lora = None
    if lora is None:
        return ""
    href = f"lora_library?lora={lora.id}"
    return f'<a class="so-link" href="{href}">{escape(lora.named)}</a> · '


def links(actor: Actor, lora: Lora) -> None:
    """From the library: use it in a generation, or try it at once."""
    if lora.training_status == "failed" or lora.hidden_at or lora.archived_at:
        return
    st.page_link(
        "test_generation.py",
        label="Use it",
        icon=":material/play_arrow:",
        query_params={"lora": str(lora.id)},
    )
    if library.is_ready(actor, lora):
        st.page_link(
            "test_generation.py",
            label="Try it",
            icon=":material/compare:",
            query_params={"lora": str(lora.id), TRY: "1"},
        )
