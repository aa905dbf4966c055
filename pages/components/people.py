"""The list of people who are let in, and the form that lets in another."""

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor, Role
from core.staff import service, views
from core.staff.models import Person
from pages.components import errors, formats, look, openers, times
from pages.components.actor import current_actor

PERSON = "person"
AT_ONCE = 30
_ADD, _FIND = "so-add-person", "so-find-person"
ROLE_HELP = "What each may do stands in the table at the end of this page."


def chosen() -> str | None:
    """The address of the person that the page's address names."""
    return st.query_params.get(PERSON)


def choose(email: str | None) -> None:
    """Open this person, or none."""
    if email is None:
        st.query_params.pop(PERSON, None)
    else:
        st.query_params[PERSON] = email


def attempt(key: str, act: Callable[[], object], done: str) -> bool:
    """Do it and say so, or keep the refusal for its field; whether it was done."""
    st.session_state.pop(f"{key}-failure", None)
    try:
        act()
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[f"{key}-failure"] = errors.describe(error, key)
        return False
    st.toast(done, icon=":material/check:")
    return True


def refusal(key: str, field: str | None) -> None:
    """What was refused for this field; with None whatever belongs to no field."""
    failure = st.session_state.get(f"{key}-failure")
    if isinstance(failure, errors.Failure) and failure.field == field:
        st.html(look.field_error_html(failure.sentence))


def show(actor: Actor, now: datetime, zone: tzinfo, detail: Callable[[str], None]) -> None:
    """Everybody on the list; whoever is found by a part of the name, the address or a role.

    The one that is open shows its `detail` right below its line, where it was clicked.
    """
    everybody = views.people(actor, now)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input(
            "Find", key=_FIND, placeholder="name, address or role", max_chars=100, bind="query-params"
        )
        _add()
    found = [person for person in everybody if _matches(person, (wanted or "").strip().lower())]
    opened = chosen()
    if opened is not None and opened not in {person.email for person in found[:AT_ONCE]}:
        detail(opened)
    if not found:
        _nobody(everybody)
        return
    many = formats.counted(len(found), "person", "people")
    st.html(f'<div class="so-quiet so-small">{many}</div>')
    with st.container(border=True, gap="small", key="so-people"):
        for person in found[:AT_ONCE]:
            _line(person, now, zone)
            if person.email == opened:
                detail(opened)
    if len(found) > AT_ONCE:
        st.html(f'<div class="so-quiet">and {len(found) - AT_ONCE} more: find them by name.</div>')


def _matches(person: Person, words: str) -> bool:
    return words in f"{person.name} {person.email} {' '.join(person.roles)}".lower()


def _nobody(everybody: Sequence[Person]) -> None:
    if everybody:
        st.html(look.empty_html("person_search", "Nobody is called that", "Look for a part of the name."))
    else:
        st.html(look.empty_html("group_add", "Nobody is on the list yet", "Let the first person in."))


def _line(person: Person, now: datetime, zone: tzinfo) -> None:
    words, button = st.columns([8, 1.2], vertical_alignment="center")
    name = f"<b>{escape(person.name or person.email)}</b>"
    roles = ", ".join(role.value for role in Role if role in person.roles)
    state = escape(roles) if person.active else '<span class="so-bad">no access</span>'
    if person.open_sessions:
        here = formats.counted(person.open_sessions, "sign-in open", "sign-ins open")
    elif person.last_seen_at is None:
        here = "never signed in"
    else:
        here = f"last seen {times.ago_html(person.last_seen_at, now, zone)}"
    words.html(
        f'<div>{name} <span class="so-quiet">{escape(person.email)}</span>'
        f'<div class="so-small">{state} <span class="so-quiet">· {here}</span></div></div>'
    )
    button.button(
        openers.named("Open", person.name or person.email),
        key=f"so-see-{look.safe_key(person.email)}",
        width="stretch",
        on_click=choose,
        args=(person.email,),
    )


def _add() -> None:
    with st.popover("Let somebody in", icon=":material/person_add:"):
        st.text_input("Mail address", key=f"{_ADD}-email", placeholder="ada@example.com", max_chars=254)
        refusal(_ADD, "email")
        st.text_input("Name", key=f"{_ADD}-name", max_chars=120)
        refusal(_ADD, "name")
        st.multiselect("Roles", [role.value for role in Role], key=f"{_ADD}-roles", help=ROLE_HELP)
        refusal(_ADD, "roles")
        st.button("Let in", type="primary", key=f"{_ADD}-do", on_click=_do_add)
        refusal(_ADD, None)


def _do_add() -> None:
    email, name = (str(st.session_state.get(f"{_ADD}-{part}") or "") for part in ("email", "name"))
    roles = list(st.session_state.get(f"{_ADD}-roles") or ())
    done = attempt(
        _ADD,
        lambda: service.add(current_actor(), email, name, roles, times.now()),
        f"{email.strip().lower()} may sign in now.",
    )
    if done:
        for part in ("email", "name", "roles"):
            st.session_state.pop(f"{_ADD}-{part}", None)
