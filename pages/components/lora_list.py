"""The library at a glance: the same LoRAs as a gallery or as a table, page by page."""

from datetime import datetime, tzinfo
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Action, Actor
from core.loras import policy, service, views
from core.loras.models import Card, Page, Search
from pages.components import (
    chosen_lora,
    errors,
    formats,
    keyset_table,
    look,
    lora_filters,
    lora_queue,
    media,
    openers,
    times,
)
from pages.components.actor import current_actor
from pages.components.keyset_table import Column, Slice
from pages.components.lora_words import look_of, named_html, pills_html, stars, uses
from pages.components.states import icon_html

SHOWN = 16
TURNS = ("Previous", "Next")
_TAGS, _TAGGED = "so-lora-bulk-tags", "so-lora-bulk-told"
COLUMNS = {
    "open": Column("LoRA", 82, "link", help="Opens it"),
    "picture": Column("Picture", 60, "image"),
    "name": Column("Name", 165),
    "status": Column("Status", 88),
    "base": Column("Base model", 88),
    "trigger": Column("Trigger word", 92),
    "rating": Column("Rating", 84),
    "uses": Column("Uses", 60, "number"),
    "size": Column("Size", 66),
    "made": Column("Made", 98, "time", form="%b %Y"),
}


def show(actor: Actor) -> None:
    """Search, filters, and what they find."""
    with errors.guarded("LoRA library"):
        now, zone = times.now(), times.viewer_zone()
        if actor.may(Action.MODERATE_LORA):
            lora_queue.show(actor, now, zone)
        lora_filters.show(actor)
        chosen_lora.remember()
        wanted = chosen_lora.wanted(now)
        key = f"loras-{look.safe_key(repr(wanted))}"
        after = keyset_table.place(key)
        page = views.search(actor, wanted, limit=SHOWN, after=after)
        if wanted.wrong and page.total < (counted := views.wrong_weights(actor)):
            number = formats.counted(counted, "LoRA has", "LoRAs have")
            st.html(_fewer_html(page.total, f"{number} wrong weights"))
        if wanted.counted and page.total < (counted := views.counted_in(actor, wanted.counted)):
            number = formats.counted(counted, "LoRA counts", "LoRAs count")
            st.html(_fewer_html(page.total, f"{number} in {wanted.counted:%B %Y}"))
        if not page.cards and after is None:
            _nothing(actor, wanted)
            return
        st.html(f'<div class="so-quiet so-small so-found-count">{escape(_found(page, wanted))}</div>')
        fresh = Slice(tuple(_row(card, zone) for card in page.cards), page.next, None, now)
        if st.session_state.get(chosen_lora.VIEW) == chosen_lora.TABLE:
            picked = keyset_table.show(key, fresh, COLUMNS, lambda at: times.clock_time(at, zone), TURNS)
            if picked:
                _bulk(actor, tuple(one.id for one in picked))
            return
        st.html(f'<div class="so-cards">{"".join(_card_html(card) for card in page.cards)}</div>')
        keyset_table.foot(key, fresh, (), lambda at: times.clock_time(at, zone), TURNS)


def _found(page: Page, wanted: Search) -> str:
    number = formats.counted(page.total, "LoRA", "LoRAs")
    if not page.total_is_exact:
        number = f"{page.total:,}+ LoRAs"
    return f"{number} for “{wanted.text}”" if wanted.text else number


def _fewer_html(shown: int, counted: str) -> str:
    """Why the list has fewer LoRAs than the alert or the number that led here."""
    return (
        f'<div class="so-quiet so-small">{counted}, {shown:,} of them here: the others do not'
        " fit the other filters, or are private or hidden.</div>"
    )


def _nothing(actor: Actor, wanted: Search) -> None:
    """The first day, or a search that finds nothing."""
    if wanted == Search() and not views.search(actor, Search(archived=True), limit=1).cards:
        with st.container(border=True, horizontal_alignment="center", key="so-first-day"):
            st.html(
                look.welcome_html(
                    "photo_library",
                    "No LoRA is here yet",
                    "Train the first one from six to ten images of a character; it appears here at once.",
                )
            )
            if st.button("Train the first LoRA", type="primary", icon=":material/arrow_forward:"):
                st.switch_page("launch_training.py")
        return
    keyset_table.nothing("No such LoRA", "Try fewer letters of the name, or take a filter away.")
    with st.container(horizontal=True, horizontal_alignment="center"):
        st.button("Take all filters away", icon=":material/filter_alt_off:", on_click=lora_filters.clear)
        if wanted.text and st.button("Train it", icon=":material/rocket_launch:"):
            st.switch_page("launch_training.py", query_params={"name": wanted.text[: policy.MAX_NAME]})


def _card_html(card: Card) -> str:
    picture = media.safe_url(next(iter(card.pictures), None))
    drawn = (
        f'<div class="so-thumb"><img src="{escape(picture)}" alt="" loading="lazy" decoding="async"></div>'
        if picture
        else f'<div class="so-thumb">{icon_html("image")}</div>'
    )
    trigger = f"<code>{escape(card.trigger_word)}</code>" if card.trigger_word else ""
    return openers.link_html(
        openers.address({chosen_lora.PARAMETER: str(card.id)}),
        f'{drawn}<div class="so-card-text"><div class="so-lora-name">{named_html(card)}</div>'
        f'<div class="so-row">{pills_html(card)}</div>'
        f'<div class="so-line"><span>{escape(stars(card.rating_average, card.rating_count))}</span>'
        f"<span>{escape(uses(card.uses))}</span></div>"
        f'<div class="so-line"><span>{escape(card.base_model or "")}</span>{trigger}</div></div>',
        "so-card so-lora-card so-opens",
    )


def _row(card: Card, zone: tzinfo) -> keyset_table.Row:
    made: datetime | None = card.created_at
    return keyset_table.Row(
        card.id,
        f"{card.updated_at}",
        {
            "open": f"/lora_library?lora={card.id}",
            "picture": media.safe_url(next(iter(card.pictures), None)) or "",
            "name": card.named,
            "status": look_of(card).word,
            "base": card.base_model or "",
            "trigger": card.trigger_word or "",
            "rating": stars(card.rating_average, card.rating_count) if card.rating_count else "",
            "uses": card.uses,
            "size": formats.size(card.file_size) if card.file_size else "",
            "made": made.astimezone(zone).replace(tzinfo=None) if made else None,
        },
    )


def _bulk(actor: Actor, ids: tuple[UUID, ...]) -> None:
    """Tags for all that are selected."""
    number = formats.counted(len(ids), "LoRA", "LoRAs")
    with st.container(horizontal=True, vertical_alignment="bottom", key="so-lora-bulk"):
        st.text_input(
            "Tags, separated by commas", key=_TAGS, max_chars=200, placeholder="portrait, sea", width=320
        )
        for words, icon, adding in (("Add to", "new_label", True), ("Take from", "label_off", False)):
            st.button(
                f"{words} {number}",
                icon=f":material/{icon}:",
                key=f"so-lora-bulk-{icon}",
                on_click=_tag_all,
                args=(ids,),
                kwargs={"adding": adding},
            )
    told = st.session_state.pop(_TAGGED, None)
    if isinstance(told, errors.Failure):
        errors.show(told)
    elif told:
        st.html(look.notice_html("good", "check_circle", str(told)))


def _tag_all(ids: tuple[UUID, ...], *, adding: bool) -> None:
    tags = str(st.session_state.get(_TAGS) or "").split(",")
    try:
        changed = service.tag(
            current_actor(), ids, times.now(), add=tags if adding else (), remove=() if adding else tags
        )
        st.session_state[_TAGGED] = f"{formats.counted(changed, 'LoRA', 'LoRAs')} changed."
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_TAGGED] = errors.describe(error, "tags")
