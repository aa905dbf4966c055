"""People: the list, letting somebody in, roles, access, sign-ins, and the table of permissions."""

from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core import access, standing
from core.access import PERMISSIONS, Action, Actor, Role
from core.staff import policy, service
from pages.components import actor as actors
from pages.components import look
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of

PAGE = "people.py"
BOSS = Actor("person", "boss", "The boss", frozenset({Role.ADMIN}), "command")
BO = "bo@studio.example"
Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def alive(connection: Connection, local_settings: dict[str, str]) -> None:
    seeding.alive(connection)
    standing.forget()


def let_in(*roles: str, email: str = BO, name: str = "Bo") -> None:
    service.add(BOSS, email, name, roles, datetime.now(UTC))


def sign_in(email: str = BO, nonce: str = "1") -> Actor:
    now = datetime.now(UTC)
    claims = {"iss": "i", "sub": email, "nonce": nonce, "email": email, "email_verified": True}
    return service.enter(policy.identity_of({**claims, "iat": now.timestamp()}), "10.0.0.7", now)


def button(app: AppTest, label: str) -> Any:
    return next(one for one in app.button if one.label == label)


def fields(app: AppTest, start: str) -> dict[str, Any]:
    """Inputs by the end of their keys."""
    found = [*app.text_input, *app.multiselect]
    return {str(one.key).removeprefix(start): one for one in found if str(one.key).startswith(start)}


def test_an_empty_list_says_what_to_do(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    assert "Nobody is on the list yet" in html_of(app)


def test_the_table_shows_every_action_and_role(open_page: OpenPage) -> None:
    said = html_of(open_page(PAGE))
    for action in Action:
        [line] = [part for part in said.split("<tr>") if f'<th scope="row">{escape(action.value)}<' in part]
        cells = line.split("<td")[1:]
        assert ["yes" in cell for cell in cells[:-1]] == [role in PERMISSIONS[action] for role in Role]
        assert ("yes" in cells[-1]) is (action in access.CUSTOMERS_MAY)


def test_who_is_no_admin_sees_the_table_alone(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    let_in("viewer")
    vi = Actor("person", "vi", "Vi", frozenset({Role.VIEWER}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: vi)
    app = open_page(PAGE, person=BO)
    assert not failures_of(app)
    said = html_of(app)
    assert BO not in said
    assert 'class="so-own">viewer' in said
    closed = ("Let in", "Open", "Save roles")
    assert not [one for one in app.button if one.label.startswith(closed)]


def test_letting_somebody_in(open_page: OpenPage, connection: Connection) -> None:
    app = open_page(PAGE)
    form = fields(app, "so-add-person-")
    form["email"].input(" Zoë.<b>@Studio.Example ")
    form["roles"].select("support")
    button(app, "Let in").click().run()
    assert "That is no mail address" in html_of(app)
    form = fields(app, "so-add-person-")
    form["email"].input(" Zoe@Studio.Example ")
    form["name"].input("زوي 🦊 <script>alert(1)</script>")
    button(app, "Let in").click().run()
    assert not failures_of(app)
    assert connection.execute("SELECT email, roles, added_by FROM staff").fetchall() == [
        ("zoe@studio.example", ["support"], "Local operator")
    ]
    said = html_of(app)
    assert "<script>alert" not in said
    assert "زوي 🦊 &lt;script&gt;" in said
    assert fields(app, "so-add-person-")["email"].value == ""
    fields(app, "so-add-person-")["email"].input("zoe@studio.example")
    fields(app, "so-add-person-")["roles"].select("support")
    button(app, "Let in").click().run()
    assert "is on the list already" in html_of(app)


def test_finding_somebody(open_page: OpenPage) -> None:
    let_in("viewer")
    let_in("support", "admin", email="al@studio.example", name="Al")
    app = open_page(PAGE)
    find = next(one for one in app.text_input if one.label == "Find")
    find.input("ADMIN").run()
    said = html_of(app)
    assert "al@studio.example" in said
    assert BO not in said
    find = next(one for one in app.text_input if one.label == "Find")
    find.input("nobody at all").run()
    assert "Nobody is called that" in html_of(app)


def test_a_persons_roles_are_changed_with_a_reason(open_page: OpenPage, connection: Connection) -> None:
    let_in("viewer")
    app = open_page(PAGE, person=BO)
    key = f"so-one-person-{look.safe_key(BO)}-"
    button(app, "Save roles").click().run()
    assert "These are the roles already" in html_of(app)
    form = fields(app, key)
    form["roles-viewer"].set_value(["support", "product"])
    form["reason"].input("moved on")
    button(app, "Save roles").click().run()
    assert not failures_of(app)
    [(before, after, reason)] = connection.execute(
        "SELECT before, after, reason FROM audit_log WHERE action = 'staff.roles'"
    ).fetchall()
    assert (before, after) == ({"roles": ["viewer"]}, {"roles": ["support", "product"]})
    assert reason == "moved on"
    assert fields(app, key)["roles-support-product"].value == ["support", "product"]


def test_two_admins_at_the_same_person(open_page: OpenPage, connection: Connection) -> None:
    let_in("viewer")
    app = open_page(PAGE, person=BO)
    fields(app, f"so-one-person-{look.safe_key(BO)}-")["roles-viewer"].set_value(["support"])
    connection.execute("UPDATE staff SET roles = '{product}'")
    button(app, "Save roles").click().run()
    assert "Somebody else has just changed these roles. Look again." in html_of(app)
    assert connection.execute("SELECT roles FROM staff").fetchall() == [(["product"],)]


def test_taking_access_away_and_giving_it_back(open_page: OpenPage, connection: Connection) -> None:
    let_in("viewer")
    sign_in()
    app = open_page(PAGE, person=BO)
    assert "from 10.0.0.7" in html_of(app)
    button(app, "Take access away").click().run()
    said = html_of(app)
    assert "no access" in said
    assert "No sign-in is open." in said
    button(app, "Give access back").click().run()
    assert "no access" not in html_of(app)
    assert connection.execute("SELECT active FROM staff").fetchall() == [(True,)]


def test_the_last_admin_cannot_go(open_page: OpenPage) -> None:
    let_in("admin")
    app = open_page(PAGE, person=BO)
    button(app, "Take access away").click().run()
    assert f"{BO} is the last admin. Make somebody else an admin first." in html_of(app)


def test_ending_sign_ins(open_page: OpenPage, connection: Connection) -> None:
    let_in("viewer")
    first, _ = sign_in(), sign_in(nonce="2")
    app = open_page(PAGE, person=BO)
    assert "2\u00a0sign-ins open" in html_of(app)
    next(one for one in app.button if str(one.key).endswith(f"-end-{first.session[:8]}")).click().run()  # type: ignore[index]
    assert "1\u00a0sign-in open" in html_of(app)
    sign_in(nonce="3")
    app.run()
    button(app, "End all of them").click().run()
    assert "No sign-in is open." in html_of(app)
    assert connection.execute("SELECT DISTINCT ended_why FROM staff_sessions").fetchall() == [
        ("ended_by_admin",)
    ]


def test_a_person_that_there_is_not(open_page: OpenPage) -> None:
    app = open_page(PAGE, person="<b>nobody</b>")
    assert "There is nobody of that name" in html_of(app)
    assert "<b>nobody</b>" not in html_of(app)
    button(app, "Close").click().run()
    assert "There is nobody of that name" not in html_of(app)


def test_the_role_is_gone_while_the_form_is_open(
    open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in("viewer")
    let_in("admin", email="al@studio.example", name="Al")
    al = sign_in("al@studio.example")
    monkeypatch.setattr(access, "local_operator", lambda *_: al)
    app = open_page(PAGE, person=BO)
    button(app, "Take access away")
    connection.execute("UPDATE staff SET roles = '{viewer}' WHERE email = 'al@studio.example'")
    standing.forget()
    button(app, "Take access away").click().run()
    assert connection.execute(f"SELECT active FROM staff WHERE email = '{BO}'").fetchall() == [(True,)]
    refused = app.session_state[f"so-one-person-{look.safe_key(BO)}-failure"]
    assert "may not let people in" in refused.sentence


def test_the_local_operator_tries_a_role(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    assert button(app, "Let in")
    app.selectbox(key=actors.TRIED).select("viewer").run()
    assert not failures_of(app)
    assert not [one for one in app.button if one.label == "Let in"]
    app.selectbox(key=actors.TRIED).select(None).run()
    assert button(app, "Let in")


def test_names_are_sorted_and_the_long_list_is_cut(open_page: OpenPage, connection: Connection) -> None:
    connection.execute(
        "INSERT INTO staff (email, name, roles, added_by) SELECT format('p%s@a.example', n),"
        " format('Person %s', lpad(n::text, 3, '0')), '{viewer}', 'test' FROM generate_series(1, 40) n"
    )
    said = html_of(open_page(PAGE))
    assert said.index("Person 001") < said.index("Person 030")
    assert "Person 031" not in said
    assert "and 10 more: find them by name." in said


def test_when_somebody_was_last_seen(open_page: OpenPage, connection: Connection) -> None:
    let_in("viewer")
    assert "never signed in" in html_of(open_page(PAGE))
    sign_in()
    two_hours = datetime.now(UTC) - timedelta(hours=2)
    connection.execute("UPDATE staff_sessions SET seen_at = %s", (two_hours,))
    assert "last seen" in html_of(open_page(PAGE))
