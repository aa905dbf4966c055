"""The LoRA that the library shows, and what the library is asked for. Both stand in the address."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import streamlit as st

from core import said
from core.loras.models import STATUSES, Search, Sort
from pages.components import address

PARAMETER = "lora"
SEARCH, SORT, STATUS, CREATOR, SINCE = "search", "sort", "status", "creator", "since"
BASE, TAG, RATING, PUBLISHED, SHOWN, VIEW = "base", "tag", "rating", "published", "shown", "view"
WEIGHTS, WRONG = "weights", "wrong"
COUNTED = "counted"
FILTERS = (SEARCH, SORT, STATUS, CREATOR, SINCE, BASE, TAG, RATING, PUBLISHED, WEIGHTS, SHOWN, VIEW)
SINCE_DAYS = {"week": 7, "month": 30, "quarter": 90, "year": 365}
ALL, MINE, RESTRICTED, ARCHIVED = "All", "Mine", "Private and hidden", "Archived"
_ASKED = "so-loras-asked"
GALLERY, TABLE = "Gallery", "Table"


def named() -> bool:
    """Whether the address names a LoRA at all."""
    return PARAMETER in st.query_params


def chosen() -> UUID | None:
    """The LoRA; None when the address names none that could exist."""
    return address.uuid_of(PARAMETER)


def choose(lora_id: UUID) -> None:
    """Show this one; for a button's `on_click`."""
    st.query_params[PARAMETER] = str(lora_id)


def remember() -> None:
    """Keep what the library is asked for, for the way back from one that is opened."""
    asked = {name: st.session_state[name] for name in FILTERS if name in st.session_state}
    st.session_state[_ASKED] = asked | {COUNTED: st.query_params.get(COUNTED)}


def close() -> None:
    """Show the library again, as it was."""
    st.query_params.clear()
    asked = st.session_state.pop(_ASKED, {})
    if counted := asked.pop(COUNTED, None):
        st.query_params[COUNTED] = counted
    for name, value in asked.items():
        st.session_state[name] = value


def counted() -> tuple[date | None, str | None]:
    """The month in whose quotas the LoRAs count that the address asks for; a sentence when it names none."""
    given = st.query_params.get(COUNTED)
    month = said.month(given)
    if given and month is None:
        return None, f"“{COUNTED}” is no month such as 2026-11: {said.cut(given)}. It is left out."
    return month, None


def forget_counted() -> None:
    """Ask for LoRAs of any month; for a button's `on_click`."""
    st.query_params.pop(COUNTED, None)


def wanted(now: datetime) -> Search:
    """What the fields ask the library for."""
    state = st.session_state
    shown, status, published = state.get(SHOWN), state.get(STATUS), state.get(PUBLISHED)
    days = SINCE_DAYS.get(str(state.get(SINCE)))
    rating = state.get(RATING)
    return Search(
        text=str(state.get(SEARCH) or "").strip() or None,
        status=status if status in STATUSES else None,
        creator=str(state.get(CREATOR) or "").strip() or None,
        mine=shown == MINE,
        since=_hour(now) - timedelta(days=days) if days else None,
        base_model=state.get(BASE) or None,
        tag=str(state.get(TAG) or "").strip() or None,
        rating=Decimal(str(rating)) if rating else None,
        published={"yes": True, "no": False}.get(str(published)),
        archived=shown == ARCHIVED,
        restricted=shown == RESTRICTED,
        wrong=state.get(WEIGHTS) == WRONG,
        counted=counted()[0],
        sort=Sort(state.get(SORT) or Sort.POPULAR),
    )


def _hour(now: datetime) -> datetime:
    """A span that begins at a full hour: the list stays the same list while somebody turns its pages."""
    return now.replace(minute=0, second=0, microsecond=0)
