"""What each role may do, as the one table of permissions says it."""

from html import escape

import streamlit as st

from core.access import CUSTOMERS_MAY, PERMISSIONS, Action, Actor, Role
from pages.components.states import icon_html

CUSTOMERS = "customers, by their own token"
_YES = f'<span class="so-good">{icon_html("check")}<span class="so-hidden">yes</span></span>'
_NO = '<span class="so-quiet" aria-label="no">–</span>'


def show(actor: Actor) -> None:
    """A line an action, a column a role; the actor's own columns stand out."""
    head = "".join(f'<th scope="col"{_own(role, actor)}>{escape(role.value)}</th>' for role in Role)
    lines = "".join(_line_html(action, actor) for action in Action)
    st.html(
        '<div class="so-permissions" tabindex="0" role="region" aria-label="What each role may do"><table>'
        f'<thead><tr><th scope="col">may</th>{head}<th scope="col">{CUSTOMERS}</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
        '<div class="so-quiet so-small">The same holds for pages, the API and the command line. A key of the'
        " API has the role that its setting names.</div>"
    )


def _line_html(action: Action, actor: Actor) -> str:
    cells = "".join(
        f"<td{_own(role, actor)}>{_YES if role in PERMISSIONS[action] else _NO}</td>" for role in Role
    )
    customers = _YES if action in CUSTOMERS_MAY else _NO
    return f'<tr><th scope="row">{escape(action.value)}</th>{cells}<td>{customers}</td></tr>'


def _own(role: Role, actor: Actor) -> str:
    return ' class="so-own"' if role in actor.roles and len(actor.roles) < len(Role) else ""
