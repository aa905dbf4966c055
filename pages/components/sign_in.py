"""The door of the pages: who comes in, what the others read, and the person's place in the sidebar."""

from html import escape

import streamlit as st

from core import access, settings
from core.access import Action, Actor, Role
from core.errors import NotSignedIn, StudioOpsError
from core.staff import policy, service
from pages.components import activity, errors, look, times
from pages.components.actor import TRIED, claims, current_actor
from pages.components.states import icon_html

LOOK_EVERY_S = 10
ALL_ROLES = "every role"


def enter() -> tuple[Actor | None, str]:
    """The person who comes in, or None with the sentence why not; empty for who has not signed in yet."""
    said = claims()
    if not said:
        return current_actor(), ""
    try:
        actor = service.enter(policy.identity_of(said), st.context.ip_address, times.now())
        access.check(actor, Action.VIEW)
    except StudioOpsError as refused:
        return None, refused.message
    _note_activity(actor)
    return actor, ""


def _note_activity(actor: Actor) -> None:
    at = activity.last(st.context.cookies)
    if at is not None:
        service.seen(actor, at)


def closed(refusal: str) -> None:
    """What somebody reads who is not let in, and how to sign in."""
    if not settings.current().signs_in:
        st.html(look.notice_html("waiting", "lock", "Sign-in is not set up, so the pages stay closed."))
        return
    with st.container(border=True, gap="small", key="so-door"):
        st.html(f'<div class="so-door">{icon_html("lock")}<h1>Studio Ops</h1></div>')
        if refusal:
            st.html(look.notice_html("attention", "no_accounts", "You are not signed in", escape(refusal)))
        else:
            st.html('<div class="so-quiet so-centred">Sign in with your work account to go on.</div>')
        label = "Sign in again" if refusal else "Sign in"
        if st.button(label, type="primary", icon=":material/login:", key="so-sign-in", width="stretch"):
            st.login()


@st.fragment(run_every=LOOK_EVERY_S)
def watch() -> None:
    """Close the page by itself once its sign-in no longer counts, also in a tab that nobody touches."""
    try:
        _note_activity(access.check(current_actor(), Action.VIEW))
    except NotSignedIn:
        st.rerun()


def in_sidebar(actor: Actor) -> None:
    """Who is signed in, as what, and the way out; for the local operator the roles to try."""
    with st.sidebar.container(key="so-person"):
        if actor.session is None:
            _roles_to_try()
            return
        roles = ", ".join(role.value for role in Role if role in actor.roles)
        st.html(
            f'<div class="so-person"><b>{escape(actor.name)}</b>'
            f'<span class="so-quiet so-small">{escape(actor.email or "")}<br>{escape(roles)}</span></div>'
        )
        out = st.button(
            "Sign out",
            icon=":material/logout:",
            type="tertiary",
            help="Ends all your sign-ins, on every machine",
            key="so-sign-out",
        )
        if out:
            _sign_out(actor)


def _sign_out(actor: Actor) -> None:
    with errors.guarded("sign-out"):
        service.sign_out(actor, times.now())
        st.logout()
        # Nothing more is drawn for somebody who is out, and a further run would drop the way out.
        st.stop()


def _roles_to_try() -> None:
    st.selectbox(
        "Try as",
        [None, *(role.value for role in Role)],
        format_func=lambda role: role or ALL_ROLES,
        key=TRIED,
        persist_state="session",
        help="The local operator may do everything. Choose a role to see what its people see and may do.",
    )
