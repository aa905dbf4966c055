"""One LoRA: its test pictures, what speaks for it, its file, the run behind it, its uses, its versions."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Action, Actor
from core.errors import NotFound
from core.loras import files, views
from core.loras.models import Lora
from core.trainings import tools
from pages.components import (
    audit_lines,
    chosen_lora,
    ids,
    look,
    lora_actions,
    lora_facts,
    lora_queue,
    lora_uses,
    media,
    times,
    who,
)
from pages.components.lora_words import pills_html, tags_html
from pages.components.states import icon_html


def show(actor: Actor) -> None:
    """The LoRA that the address names."""
    lora_id = chosen_lora.chosen()
    if lora_id is None:
        _missing("The address names no LoRA", "Check that it was copied whole.")
        return
    try:
        lora = views.get(actor, lora_id)
    except NotFound:
        _missing(
            "There is no such LoRA",
            "It may be private or hidden, or of another installation; look for it in the library.",
        )
        return
    _lora(actor, lora, times.now(), times.viewer_zone())


def _missing(headline: str, body: str) -> None:
    look.title("LoRA", "Is it any good?")
    st.html(look.notice_html("attention", "search_off", headline, escape(body)))
    _back()


def _back() -> None:
    st.button(
        "All LoRAs",
        icon=":material/arrow_back:",
        type="tertiary",
        on_click=chosen_lora.close,
        key="so-loras-back",
    )


def _lora(actor: Actor, lora: Lora, now: datetime, zone: tzinfo) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.title(lora.name, f"by {lora.creator}")
        _back()
    st.html(f'<div class="so-row">{pills_html(lora)}{tags_html(lora)}</div>')
    _standing(lora)
    if actor.may(Action.MODERATE_LORA):
        lora_queue.of_one(actor, lora, now, zone)
    lora_actions.show(actor, lora)
    seeing, knowing = st.columns([7, 5], gap="medium")
    with seeing:
        _pictures(lora)
        if lora.description:
            st.html(f'<div class="so-lora-about">{escape(lora.description)}</div>')
        lora_uses.show(actor, lora, now, zone)
    with knowing:
        _copy(lora, actor, own=views.owns(actor, lora))
        lora_facts.quality(actor, lora, now)
        lora_facts.file(actor, lora, now, zone)
        lora_facts.run(actor, lora, zone)
        lora_facts.versions(actor, lora)
    audit_lines.of(actor, [str(lora.id)], now, zone)


def _standing(lora: Lora) -> None:
    """Why it is hidden or archived, or why it failed."""
    hidden, archived = (lora.hidden_by, lora.hidden_by_id), (lora.archived_by, lora.archived_by_id)
    for at, reason, (by, by_id), tone, icon, word in (
        (lora.hidden_at, lora.hidden_reason, hidden, "lost", "visibility_off", "Hidden"),
        (lora.archived_at, lora.archived_reason, archived, "waiting", "inventory_2", "Archived"),
    ):
        if at is not None:
            said = escape(reason or "No reason is known: another system has done it.")
            headline = f"{word} by {by}" if by else word
            hint = who.address(by, by_id)
            st.html(look.notice_html(tone, icon, headline, said, hint))  # type: ignore[arg-type]
    if lora.training_status == "failed" and lora.error_message:
        st.html(look.notice_html("bad", "cancel", "Its training failed", escape(lora.error_message)))


def _pictures(lora: Lora) -> None:
    drawn = [url for one in lora.pictures if (url := media.safe_url(one))]
    look.section("Test images")
    if not drawn:
        body = (
            "They are kept for 30 days after the training."
            if lora.training_status == "completed"
            else "They are made once its weights are there."
        )
        st.html(look.empty_html("imagesmode", "No test image", body))
        return
    shown = "".join(
        f'<a class="so-thumb so-square" href="{escape(url)}" target="_blank" title="Open in full">'
        f'<img src="{escape(url)}" alt="Test image {n} of {escape(lora.name)}" loading="lazy"></a>'
        for n, url in enumerate(drawn, 1)
    )
    st.html(f'<div class="so-lora-pictures">{shown}</div>')


def _copy(lora: Lora, actor: Actor, *, own: bool) -> None:
    """What people take with them: the trigger word, the address of the weights, the file itself."""
    with st.container(border=True, gap="small", key="so-lora-take"):
        if lora.trigger_word:
            ids.copyable("Trigger word", lora.trigger_word, "lora-trigger")
        storage = tools.current().storage
        url = media.safe_url(files.weights_link(lora, storage, own=own, session=actor.session))
        if url is not None:
            ids.copyable(
                "Address of its weights, for an hour at most", tools.current().absolute(url), "lora-url"
            )
        links = []
        if url is not None:
            links.append(
                f'<a class="so-link-button" href="{escape(url)}" download>{icon_html("download")}Download</a>'
            )
        if hub := media.safe_url(lora.huggingface_url):
            links.append(
                f'<a class="so-link-button" href="{escape(hub)}" target="_blank">'
                f"{icon_html('open_in_new')}Hugging Face</a>"
            )
        if links:
            st.html(f'<div class="so-links">{"".join(links)}</div>')
        elif lora.training_status == "completed":
            st.html('<div class="so-quiet so-small">Its file cannot be found in our storage.</div>')
        ids.copyable("Id", str(lora.id), "lora-id")
