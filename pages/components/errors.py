"""What a person sees when something goes wrong: one sentence, and an id that the log knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

import streamlit as st

from core import database, log
from core.errors import InvalidInput, StudioOpsError
from pages.components import visits
from pages.components.look import notice_html

RETRY_EVERY_S = 5
_DRAWN = "so-retry-drawn"

_log = log.get(__name__)


@dataclass(frozen=True)
class Failure:
    """Something that went wrong, ready to be shown; `field` names the input that was at fault, if any.

    `retried` is True when trying again by itself may help.
    """

    headline: str
    sentence: str
    request_id: str
    field: str | None = None
    retried: bool = False


def describe(error: Exception, part: str) -> Failure:
    """Log `error`, met in `part` of the pages, and put it into words."""
    request_id = log.request_id() or log.new_request_id()
    visits.met(error)
    if isinstance(error, StudioOpsError):
        _log.warning("page.refused", part=part, code=error.code, message=error.message)
        field = error.field if isinstance(error, InvalidInput) else None
        return Failure("It did not work", error.message, request_id, field)
    if database.is_unreachable(error):
        _log.error("page.no_database", part=part, exc_info=error)
        sentence = f"Nothing is lost. It is tried again every {RETRY_EVERY_S} seconds."
        return Failure("The database does not answer", sentence, request_id, retried=True)
    _log.error("page.failed", part=part, exc_info=error)
    return Failure(
        "Something went wrong on our side", "Try again; if it stays, pass the error id on.", request_id
    )


@contextmanager
def guarded(part: str) -> Iterator[None]:
    """One request of a page or of a part that refreshes by itself: whatever fails in it becomes a box."""
    log.new_request_id()
    try:
        yield
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        failure = describe(error, part)
        show(failure)
        if failure.retried:
            st.button("Try again now", key=f"retry-{part}", icon=":material/refresh:")
            st.session_state[_DRAWN] = True
            _retry()


def show(failure: Failure) -> None:
    """What, why, and the id under which the log has the rest."""
    st.html(
        notice_html(
            "bad",
            "error",
            failure.headline,
            f'{escape(failure.sentence)} <span class="so-quiet so-nowrap">Error id'
            f" <code>{escape(failure.request_id)}</code></span>",
        )
    )


@st.fragment(run_every=RETRY_EVERY_S)
def _retry() -> None:
    """Run the whole page again, but not in the run that has just drawn the box."""
    if not st.session_state.pop(_DRAWN, False):
        st.rerun()
