"""One person: roles, access, and the sign-ins that are open."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor, Role
from core.staff import service, views
from core.staff.models import Person, Session
from pages.components import look, openers, times, who
from pages.components.actor import current_actor
from pages.components.people import ROLE_HELP, attempt, choose, refusal

_KEY = "so-one-person"


def show(actor: Actor, email: str, now: datetime, zone: tzinfo) -> None:
    """The person with this address, and what can be done."""
    found = next((one for one in views.people(actor, now) if one.email == email), None)
    with st.container(border=True, gap="small", key="so-person-open"):
        if found is None:
            words = f"Nobody on the list has the address {email[:100]}."
            st.html(look.notice_html("attention", "link_off", "There is nobody of that name", escape(words)))
            st.button("Close", icon=":material/close:", on_click=choose, args=(None,))
            return
        _head(found, now, zone)
        _roles(found)
        _sign_ins(actor, found, now, zone)


def _head(person: Person, now: datetime, zone: tzinfo) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.section(person.name or person.email)
        st.button("Close", icon=":material/close:", on_click=choose, args=(None,), key=f"{_KEY}-close")
    added = f"{times.ago_html(person.added_at, now, zone)} by {who.html(person.added_by, person.added_by_id)}"
    seen = "never" if person.last_seen_at is None else times.ago_html(person.last_seen_at, now, zone)
    st.html(look.facts_html([("Address", escape(person.email)), ("On the list", added), ("Last seen", seen)]))


def _roles(person: Person) -> None:
    key = f"{_KEY}-{look.safe_key(person.email)}"
    stand = [role.value for role in Role if role in person.roles]
    st.multiselect(
        "Roles",
        [role.value for role in Role],
        default=stand,
        key=f"{key}-roles-{'-'.join(stand)}",
        help=ROLE_HELP,
    )
    refusal(key, "roles")
    st.text_input("Why? It stands in the audit log.", key=f"{key}-reason", max_chars=500)
    refusal(key, "reason")
    with st.container(horizontal=True):
        st.button(
            "Save roles", type="primary", key=f"{key}-save", on_click=_save, args=(key, person.email, stand)
        )
        st.button(
            "Take access away" if person.active else "Give access back",
            icon=":material/block:" if person.active else ":material/check:",
            key=f"{key}-active",
            on_click=_set_active,
            args=(key, person.email, not person.active),
        )
    refusal(key, None)


def _reason(key: str) -> str:
    return str(st.session_state.get(f"{key}-reason") or "")


def _save(key: str, email: str, seen: list[str]) -> None:
    wanted = list(st.session_state.get(f"{key}-roles-{'-'.join(seen)}") or ())
    attempt(
        key,
        lambda: service.change_roles(
            current_actor(), email, wanted, times.now(), seen_roles=seen, reason=_reason(key)
        ),
        "The roles hold everywhere within seconds.",
    )


def _set_active(key: str, email: str, active: bool) -> None:
    attempt(
        key,
        lambda: service.set_active(current_actor(), email, times.now(), active=active, reason=_reason(key)),
        f"{email} may sign in again." if active else f"{email} is out, on every machine.",
    )


def _sign_ins(actor: Actor, person: Person, now: datetime, zone: tzinfo) -> None:
    found = views.sessions(actor, person.email, now)
    if not found:
        st.html('<div class="so-quiet">No sign-in is open.</div>')
        return
    with st.container(gap="small", key="so-sign-ins"):
        for session in found:
            _sign_in(session, now, zone)
    if len(found) > 1:
        st.button("End all of them", key=f"{_KEY}-end-all", on_click=_end, args=(person.email, None))
    refusal(_KEY, None)


def _sign_in(session: Session, now: datetime, zone: tzinfo) -> None:
    words, button = st.columns([8, 1.6], vertical_alignment="center")
    where = f" from {escape(session.address)}" if session.address else ""
    words.html(
        f"<div>Signed in {times.ago_html(session.began_at, now, zone)}{where}"
        f'<span class="so-quiet"> · last did something {times.ago_html(session.seen_at, now, zone)}'
        f" · ends {times.ago_html(session.expires_at, now, zone)}</span></div>"
    )
    button.button(
        openers.named("End it", f"the sign-in of {times.exact(session.began_at, zone)}"),
        key=f"{_KEY}-end-{session.number}",
        on_click=_end,
        args=(session.email, session.key),
    )


def _end(email: str, key: str | None) -> None:
    attempt(
        _KEY,
        lambda: service.end_sessions(current_actor(), email, times.now(), key),
        "It has ended; its page closes within seconds.",
    )
