"""What a role may not do is not offered to it: pages in the sidebar, and buttons on pages."""

from typing import Any

import psycopg
import pytest

from core import access
from core.access import PERMISSIONS, Action, Actor, Role
from pages.navigation import PAGES, pages_of
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of

Connection = psycopg.Connection[Any]
# Pages that are one action's, by their file.
WHOLE_PAGES = {
    "debug_sync.py": Action.DEBUG_GENERATION,
    "bulk_resync.py": Action.DEBUG_GENERATION,
    "configuration.py": Action.CHECK_CONFIGURATION,
    "audit_log.py": Action.READ_AUDIT,
}
# Buttons that are offered, disabled or left out, by page and key.
BUTTONS = {
    ("test_generation.py", "so-quick-flux"): Action.CREATE_GENERATION,
    ("people.py", "so-add-person-do"): Action.MANAGE_STAFF,
}


def person(role: Role) -> Actor:
    return Actor("person", "p", "Pat", frozenset({role}), "page")


@pytest.mark.parametrize("role", Role)
def test_the_sidebar_has_the_pages_of_a_role(role: Role, local_settings: dict[str, str]) -> None:
    shown = {entry.file for entry in pages_of(person(role))}
    for entry in PAGES:
        action = WHOLE_PAGES.get(entry.file, Action.VIEW)
        assert (entry.file in shown) is (role in PERMISSIONS[action]), entry.file


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("file", "key"), BUTTONS)
def test_a_button_is_offered_to_those_who_may(
    open_page: OpenPage,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    key: str,
    role: Role,
) -> None:
    seeding.alive(connection)
    monkeypatch.setattr(access, "local_operator", lambda *_: person(role))
    app = open_page(file)
    assert not failures_of(app)
    offered = [button for button in app.button if button.key == key and not button.disabled]
    assert bool(offered) is (role in PERMISSIONS[BUTTONS[file, key]])
