"""Counts this person's session once, and once that it met an error on our side."""

from datetime import datetime

import streamlit as st

from core import database, visits
from core.errors import StudioOpsError
from pages.components import formats, times

_HOUR, _FAILED = "so-visit-hour", "so-visit-failed"


def begin() -> None:
    """Count the session, the first time that it draws a page."""
    if _HOUR not in st.session_state:
        # First, so that a write that fails is not tried by every run.
        st.session_state[_HOUR] = times.now()
        st.session_state[_HOUR] = visits.begun(times.now())


def met(error: Exception) -> None:
    """Count the session's first error; a refusal is an answer, not an error."""
    if isinstance(error, StudioOpsError) and error.http_status < 500:
        return
    hour = st.session_state.get(_HOUR)
    if isinstance(hour, datetime) and not st.session_state.get(_FAILED, False):
        st.session_state[_FAILED] = True
        # A database that is away would only be waited for once more.
        visits.met_an_error(
            hour.replace(minute=0, second=0, microsecond=0), write=not database.is_unreachable(error)
        )


def said(now: datetime) -> str:
    """The last day's sessions in a few words."""
    found = visits.of_the_last_day(now)
    if found.failed_share is None:
        return "no session within 24\u00a0h"
    share = formats.percent(found.failed_share)
    many = formats.counted(found.sessions, "session", "sessions")
    verdict = "within" if found.failed_share < visits.TARGET else "over"
    return (
        f"{many} in 24\u00a0h, {share} met an error, {verdict} the target of {formats.percent(visits.TARGET)}"
    )
