"""Every setting: what it is for and whether it is given, never its value."""

from html import escape

import streamlit as st

from core import settings
from core.access import Actor
from core.configuration import listing
from core.configuration.models import Setting
from pages.components import look
from pages.components.states import Look, pill_html

GIVEN = Look("Given", "check_circle", "good", "It is set, and its form is good.")
DEFAULT = Look("Default", "radio_button_unchecked", "waiting", "It is not set, and has a value of its own.")
MISSING = Look("Not set", "block", "waiting", "It is not set, and what needs it is off.")


def show(_: Actor) -> None:
    """The whole list, in the order of .env.example."""
    with st.container(border=True, gap="small"):
        look.section("Settings")
        st.html(
            '<div class="so-quiet">A malformed setting stops the start, so each of these can be read. Values'
            " are never shown; change one in the environment or in <code>.env</code>, and start again.</div>"
        )
        lines = "".join(line_html(one) for one in listing.settings(settings.current()))
        st.html(f'<ul class="so-machines so-settings">{lines}</ul>')


def line_html(one: Setting) -> str:
    """A setting in a line."""
    pill = GIVEN if one.given else DEFAULT if one.has_default else MISSING
    secret = ' <span class="so-tag">secret</span>' if one.secret else ""
    return (
        f"<li>{pill_html(pill)}<div><code>{escape(one.name)}</code>{secret}"
        f'<div class="so-quiet so-small">{escape(one.purpose)}</div></div></li>'
    )
