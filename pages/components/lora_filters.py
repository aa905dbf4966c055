"""What the library is asked for: search on top, filters and the order beside it, all in the address."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from core.access import Action, Actor
from core.loras import policy, views
from core.loras.models import STATUSES, Sort
from pages.components import address
from pages.components import chosen_lora as at
from pages.components.lora_words import LOOKS, SORTS

_ANY = ""
_NARROWING = (at.STATUS, at.CREATOR, at.SINCE, at.BASE, at.TAG, at.RATING, at.PUBLISHED, at.WEIGHTS)
WEIGHTS = {_ANY: "Any weights", at.WRONG: "Wrong weights"}


def show(actor: Actor) -> None:
    """The fields; each change is a change of the address."""
    fault = address.fault(at.WEIGHTS, WEIGHTS.values())
    with st.container(horizontal=True, vertical_alignment="center", key="so-lora-search"):
        st.text_input(
            "Search",
            key=at.SEARCH,
            bind="query-params",
            max_chars=policy.MAX_TEXT,
            placeholder="Part of a name, of a description, or a trigger word",
            icon=":material/search:",
            label_visibility="collapsed",
            width="stretch",
        )
        _choice("Order", at.SORT, list(Sort), SORTS, width=145)
        st.segmented_control(
            "Shown as",
            [at.GALLERY, at.TABLE],
            key=at.VIEW,
            bind="query-params",
            default=at.GALLERY,
            required=True,
            label_visibility="collapsed",
        )
        _filters(actor)
    month, no_month = at.counted()
    address.tell(one for one in (fault, no_month) if one)
    if month is not None:
        st.button(
            f"counted in the quotas of {month:%B %Y}",
            icon=":material/close:",
            key="loras-chip-counted",
            help="Take this away",
            on_click=at.forget_counted,
        )
    if st.session_state.get(at.WEIGHTS) == at.WRONG:
        st.button(
            "weights that are missing or not what they were",
            icon=":material/close:",
            key="loras-chip-weights",
            help="Take this away",
            on_click=_forget_weights,
        )


def _forget_weights() -> None:
    st.session_state[at.WEIGHTS] = _ANY


def _filters(actor: Actor) -> None:
    """What narrows the list, folded away; the button says how much of it is on."""
    # Before the fields are made for the first time, the address alone knows.
    asked = st.query_params.to_dict() | st.session_state.to_dict()
    on = sum(bool(asked.get(name)) for name in _NARROWING) + (asked.get(at.SHOWN, at.ALL) != at.ALL)
    with st.popover(
        f"Filters ({on})" if on else "Filters", icon=":material/filter_list:", key="so-lora-filters"
    ):
        shown = [at.ALL, at.MINE, at.ARCHIVED]
        if actor.may(Action.MODERATE_LORA):
            shown.append(at.RESTRICTED)
        _choice("Shown", at.SHOWN, shown, {at.ALL: "All in use"})
        words = {_ANY: "Any status", **{status: LOOKS[status].word for status in STATUSES}}
        _choice("Status", at.STATUS, [_ANY, *STATUSES], words)
        bases = views.base_models(actor)
        _choice("Base model", at.BASE, [_ANY, *bases], {_ANY: "Any base model"})
        spans = {_ANY: "Any time", **{name: f"Of the last {name}" for name in at.SINCE_DAYS}}
        _choice("Made", at.SINCE, [_ANY, *at.SINCE_DAYS], spans)
        rated = {_ANY: "Any rating", "3": "★ 3 and more", "4": "★ 4 and more", "4.5": "★ 4.5 and more"}
        _choice("Rating", at.RATING, list(rated), rated)
        published = {_ANY: "Published or not", "yes": "Published", "no": "Not published"}
        _choice("Hugging Face", at.PUBLISHED, list(published), published)
        _choice("Weights", at.WEIGHTS, list(WEIGHTS), WEIGHTS)
        for label, key, placeholder in (
            ("Creator", at.CREATOR, "Beginning of a creator's name"),
            ("Tag", at.TAG, "Tag"),
        ):
            st.text_input(
                label,
                key=key,
                bind="query-params",
                max_chars=policy.MAX_TEXT,
                placeholder=placeholder,
                label_visibility="collapsed",
            )


def _choice(
    label: str,
    key: str,
    options: Sequence[str],
    words: dict[str, str] | dict[Sort, str],
    *,
    width: int | Literal["stretch"] = "stretch",
) -> None:
    said = {str(option): str(word) for option, word in words.items()}
    st.selectbox(
        label,
        [str(option) for option in options],
        key=key,
        bind="query-params",
        format_func=lambda option: said.get(option, option),
        label_visibility="collapsed",
        width=width,
    )


def clear() -> None:
    """Ask for everything; for a button's `on_click`."""
    at.forget_counted()
    for name in at.FILTERS:
        if name not in {at.VIEW, at.SORT}:
            st.session_state[name] = at.ALL if name == at.SHOWN else _ANY
