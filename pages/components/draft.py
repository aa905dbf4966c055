"""The draft that the launch page works on. It stands in the address, so that a reload loses nothing."""

import uuid
from uuid import UUID

import streamlit as st

from core.trainings.views import Row
from pages.components import look, times
from pages.components.training_words import look_of, named_html

PARAMETER = "draft"


def current() -> UUID:
    """The draft that the address names; a new one, named there from now on, when it names none."""
    try:
        return UUID(st.query_params.get(PARAMETER, ""))
    except ValueError:
        begin()
        return UUID(st.query_params[PARAMETER])


def begin() -> None:
    """Work on a new draft; for a button's `on_click` too."""
    st.query_params[PARAMETER] = str(uuid.uuid4())


def launched(run: Row, *, alone: bool = True) -> None:
    """What stands in place of the form once the draft has become a training; when `alone`, with a way on."""
    state = look_of(run)
    when = times.ago_html(run.launched_at, times.now(), times.viewer_zone())
    st.html(
        look.notice_html(
            "good",
            "rocket_launch",
            "These images have been launched",
            f"{named_html(run)}, {when}: {state.word.lower()}. Its images stand from then on.",
        )
    )
    with st.container(horizontal=True):
        key = "so-draft-run" if alone else f"so-draft-run-{run.id}"
        if st.button("See the run", type="primary", icon=":material/arrow_forward:", key=key):
            st.switch_page("training_runs.py", query_params={"run": str(run.id)})
        if alone:
            st.button("Begin a new one", icon=":material/add:", on_click=begin, key="so-draft-new")
