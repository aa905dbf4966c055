"""People, roles and sign-ins on a real database: begun once, ended for good, never without an admin."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from core import access, database, settings, standing
from core.access import Action, Actor, Role
from core.configuration import of_sign_in
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound, NotSignedIn
from core.staff import policy, service, views
from core.staff.models import Identity
from tests.database.ledger import sql

BOSS = Actor("person", "boss", "The boss", frozenset({Role.ADMIN}), "command")
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _empty(_connected: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    sql("TRUNCATE staff_sessions, staff")
    monkeypatch.setenv("FIRST_ADMIN", "Ada@studio.example")
    monkeypatch.setenv("STAFF_DOMAINS", "studio.example")
    settings.current.cache_clear()
    standing.forget()
    yield
    settings.current.cache_clear()


@pytest.fixture
def now() -> datetime:
    return database.now()


def login(name: str, now: datetime, nonce: str = "1", **changes: Any) -> Identity:
    claims = {
        "iss": "https://login.studio.example",
        "sub": name,
        "nonce": nonce,
        "email": f"{name}@studio.example",
        "email_verified": True,
        "name": name.title(),
        "iat": now.timestamp(),
    }
    return policy.identity_of({**claims, **changes})


def employ(name: str, *roles: str) -> None:
    service.add(BOSS, f"{name}@studio.example", name.title(), roles, database.now())


def audited(action: str) -> list[Any]:
    return sql(
        "SELECT actor_id, object_id, before, after, reason, address FROM audit_log"
        f" WHERE action = '{action}' ORDER BY id DESC LIMIT 5"
    )


def test_the_first_admin_comes_from_the_settings_once(now: datetime) -> None:
    ada = service.enter(login("ada", now), "10.0.0.7", now)
    assert (ada.name, ada.email, ada.roles, ada.address) == (
        "Ada",
        "ada@studio.example",
        frozenset({Role.ADMIN}),
        "10.0.0.7",
    )
    assert access.check(ada, Action.MANAGE_STAFF) == ada
    employ("bo", "admin")
    service.change_roles(ada, "ada@studio.example", ["viewer"], now, seen_roles=["admin"])
    again = service.enter(login("ada", now, "2"), None, now)
    assert again.roles == {Role.VIEWER}
    assert len(audited("staff.first_admin")) == 1


def test_a_sign_in_begins_once_and_is_audited_with_its_address(now: datetime) -> None:
    employ("bo", "support", "viewer")
    for _ in range(3):
        bo = service.enter(login("bo", now), "10.0.0.8", now)
    assert bo.roles == {Role.SUPPORT, Role.VIEWER}
    assert sql("SELECT count(*) FROM staff_sessions") == [(1,)]
    [(actor_id, object_id, _, after, _, address)] = audited("staff.sign_in")[:1]
    assert (actor_id, object_id, address) == ("bo@studio.example", "bo@studio.example", "10.0.0.8")
    assert datetime.fromisoformat(after["until"]) == now + 8 * HOUR
    assert [one.address for one in views.sessions(BOSS, "bo@studio.example", now)] == ["10.0.0.8"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "is not on the list of people here"),
        ({"email_verified": False}, "has not verified"),
        ({"email": "bo@elsewhere.example"}, "is not an address of the company"),
        ({"iat": 1_000_000_000}, "too old to begin with"),
    ],
)
def test_who_is_not_let_in_leaves_no_trace_but_the_log(
    now: datetime, changes: dict[str, Any], said: str
) -> None:
    lines = sql("SELECT count(*) FROM audit_log")
    with pytest.raises(NotSignedIn, match=said):
        service.enter(login("bo", now, **changes), None, now)
    assert sql("SELECT count(*) FROM staff_sessions") == [(0,)]
    assert sql("SELECT count(*) FROM audit_log") == lines


def test_signing_out_ends_all_of_a_persons_sign_ins_for_good(now: datetime) -> None:
    employ("bo", "viewer")
    employ("cy", "viewer")
    here, there = (service.enter(login("bo", now, nonce), None, now) for nonce in "12")
    other = service.enter(login("cy", now), None, now)
    assert service.sign_out(here, now) == 2
    for ended in (here, there):
        with pytest.raises(NotSignedIn, match="You have signed out"):
            access.check(ended, Action.VIEW)
    for nonce in "12":
        with pytest.raises(NotSignedIn, match="You have signed out"):
            service.enter(login("bo", now, nonce), None, now)
    assert access.check(other, Action.VIEW)
    assert access.check(service.enter(login("bo", now, "3"), None, now), Action.VIEW)
    assert audited("staff.sign_out")[0][3] == {"sign_ins_ended": 2}


def test_an_admin_ends_one_sign_in_or_all(now: datetime) -> None:
    employ("bo", "viewer")
    one, two, three = (service.enter(login("bo", now, nonce), None, now) for nonce in "123")
    assert service.end_sessions(BOSS, "bo@studio.example", now, one.session) == 1
    with pytest.raises(NotSignedIn, match="An admin has ended this sign-in"):
        access.check(one, Action.VIEW)
    assert access.check(two, Action.VIEW)
    assert service.end_sessions(BOSS, "bo@studio.example", now) == 2
    with pytest.raises(Conflict, match=r"No sign-in of bo@studio.example is open any more"):
        service.end_sessions(BOSS, "bo@studio.example", now)
    with pytest.raises(NotSignedIn):
        access.check(three, Action.VIEW)


def test_a_sign_in_of_somebody_else_is_not_ended_by_its_key(now: datetime) -> None:
    employ("bo", "viewer")
    employ("cy", "viewer")
    bo, cy = (service.enter(login(name, now), None, now) for name in ("bo", "cy"))
    with pytest.raises(Conflict):
        service.end_sessions(BOSS, "bo@studio.example", now, cy.session)
    assert access.check(bo, Action.VIEW)
    assert access.check(cy, Action.VIEW)


def test_a_role_that_is_taken_counts_at_the_next_act_with_the_old_actor(now: datetime) -> None:
    employ("bo", "operations")
    bo = service.enter(login("bo", now), None, now)
    assert access.check(bo, Action.MANAGE_BUDGET).roles == {Role.OPERATIONS}
    service.change_roles(
        BOSS, "bo@studio.example", ["viewer"], now, seen_roles=["operations"], reason="moved on"
    )
    with pytest.raises(NotAllowed, match="Bo may not change budgets"):
        access.check(bo, Action.MANAGE_BUDGET)
    _, _, before, after, reason, _ = audited("staff.roles")[0]
    assert (before, after, reason) == ({"roles": ["operations"]}, {"roles": ["viewer"]}, "moved on")


def test_another_process_notices_within_seconds(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    employ("bo", "operations")
    bo = service.enter(login("bo", now), None, now)
    sql("UPDATE staff SET roles = '{viewer}' WHERE email = 'bo@studio.example'")
    assert access.check(bo, Action.MANAGE_BUDGET)
    later = time.monotonic() + standing.KEPT_S
    monkeypatch.setattr("core.standing.time.monotonic", lambda: later)
    with pytest.raises(NotAllowed):
        access.check(bo, Action.MANAGE_BUDGET)


def test_access_that_is_taken_away_ends_everything_and_comes_back_with_its_roles(now: datetime) -> None:
    employ("bo", "support")
    bo = service.enter(login("bo", now), None, now)
    service.set_active(BOSS, "bo@studio.example", now, active=False, reason="left")
    with pytest.raises(NotSignedIn, match="Your access was taken away"):
        access.check(bo, Action.VIEW)
    with pytest.raises(NotSignedIn, match="was taken away"):
        service.enter(login("bo", now, "2"), None, now)
    with pytest.raises(Conflict, match="That is so already"):
        service.set_active(BOSS, "bo@studio.example", now, active=False)
    service.set_active(BOSS, "bo@studio.example", now, active=True)
    with pytest.raises(NotSignedIn):
        access.check(bo, Action.VIEW)
    assert service.enter(login("bo", now, "3"), None, now).roles == {Role.SUPPORT}


def test_the_last_admin_stays(now: datetime) -> None:
    employ("ada", "admin", "viewer")
    ada = service.enter(login("ada", now), None, now)
    with pytest.raises(Conflict, match=r"ada@studio.example is the last admin"):
        service.change_roles(ada, "ada@studio.example", ["viewer"], now, seen_roles=["admin", "viewer"])
    with pytest.raises(Conflict, match="is the last admin"):
        service.set_active(ada, "ada@studio.example", now, active=False)
    employ("bo", "admin")
    service.set_active(BOSS, "bo@studio.example", now, active=False)
    with pytest.raises(Conflict, match="is the last admin"):
        service.set_active(ada, "ada@studio.example", now, active=False)
    assert access.check(ada, Action.MANAGE_STAFF)


def test_two_admins_who_take_the_role_from_each_other_at_once_leave_one(now: datetime) -> None:
    employ("ada", "admin")
    employ("bo", "admin")
    begin = threading.Barrier(2)
    refused: list[Conflict] = []

    def take_from(name: str) -> None:
        begin.wait(10)
        try:
            service.change_roles(BOSS, f"{name}@studio.example", ["viewer"], now, seen_roles=["admin"])
        except Conflict as conflict:
            refused.append(conflict)

    both = [threading.Thread(target=take_from, args=(name,)) for name in ("ada", "bo")]
    for one in both:
        one.start()
    for one in both:
        one.join(30)
    assert len(refused) == 1
    assert "is the last admin" in refused[0].message
    assert sql("SELECT count(*) FROM staff WHERE 'admin' = ANY (roles)") == [(1,)]


def test_two_admins_who_change_the_same_person(now: datetime) -> None:
    employ("bo", "viewer")
    service.change_roles(BOSS, "bo@studio.example", ["support"], now, seen_roles=["viewer"])
    with pytest.raises(Conflict, match="Somebody else has just changed these roles"):
        service.change_roles(BOSS, "bo@studio.example", ["product"], now, seen_roles=["viewer"])
    with pytest.raises(InvalidInput, match="These are the roles already"):
        service.change_roles(BOSS, "bo@studio.example", ["support"], now, seen_roles=["support"])
    with pytest.raises(NotFound):
        service.change_roles(BOSS, "nobody@studio.example", ["support"], now, seen_roles=["viewer"])
    with pytest.raises(Conflict, match="is on the list already"):
        service.add(BOSS, "BO@studio.example", "", ["viewer"], now)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_only_admins_manage_people(now: datetime, role: Role) -> None:
    employ("bo", role.value)
    bo = service.enter(login("bo", now), None, now)
    for act in (
        lambda: service.add(bo, "cy@studio.example", "", ["viewer"], now),
        lambda: service.change_roles(bo, bo.id, ["admin"], now, seen_roles=[role.value]),
        lambda: service.set_active(bo, bo.id, now, active=False),
        lambda: service.end_sessions(bo, bo.id, now),
        lambda: views.people(bo, now),
        lambda: views.sessions(bo, bo.id, now),
    ):
        with pytest.raises(NotAllowed, match="Bo may not let people in"):
            act()


def test_doing_something_keeps_a_sign_in_and_refreshing_does_not(now: datetime) -> None:
    employ("bo", "viewer")
    bo = service.enter(login("bo", now), None, now)
    sql("UPDATE staff_sessions SET seen_at = seen_at - interval '59 minutes'")
    standing.forget()
    assert access.check(bo, Action.VIEW)
    service.seen(bo, now)
    assert sql("SELECT seen_at FROM staff_sessions") == [(now,)]
    service.seen(bo, now - HOUR)
    assert sql("SELECT seen_at FROM staff_sessions") == [(now,)]
    sql("UPDATE staff_sessions SET seen_at = seen_at - interval '60 minutes'")
    standing.forget()
    with pytest.raises(NotSignedIn, match="because nothing was done here"):
        access.check(bo, Action.VIEW)
    service.seen(bo, now + HOUR)


def test_a_sign_in_ends_after_its_hours_however_busy(now: datetime) -> None:
    employ("bo", "viewer")
    bo = service.enter(login("bo", now - 8 * HOUR + timedelta(seconds=20)), None, now)
    assert access.check(bo, Action.VIEW)
    sql("UPDATE staff_sessions SET expires_at = now()")
    standing.forget()
    with pytest.raises(NotSignedIn, match="too old to go on with"):
        access.check(bo, Action.VIEW)


def test_what_is_forgotten_is_refused_by_its_age(now: datetime) -> None:
    employ("bo", "viewer")
    old = login("bo", now)
    bo = service.enter(old, None, now)
    service.sign_out(bo, now)
    assert service.prune(now + timedelta(days=89)) == 0
    assert service.prune(now + timedelta(days=91)) == 1
    standing.forget()
    with pytest.raises(NotSignedIn, match="too old to begin with"):
        service.enter(old, None, now + timedelta(days=91))


def test_a_key_that_never_was_is_nobodys() -> None:
    with pytest.raises(NotSignedIn, match="This sign-in is not known here"):
        access.check(Actor("person", "x", "X", frozenset(Role), "page", session="0" * 64), Action.VIEW)


def test_the_list_says_who_was_last_seen_and_who_is_in(now: datetime) -> None:
    employ("bo", "viewer")
    employ("al", "support", "viewer")
    service.enter(login("bo", now), None, now)
    service.set_active(BOSS, "al@studio.example", now, active=False)
    bo, al = views.people(BOSS, now)
    assert (bo.email, bo.open_sessions, bo.last_seen_at, bo.added_by) == (
        "bo@studio.example",
        1,
        now,
        "The boss",
    )
    assert (al.email, al.active, al.open_sessions, al.last_seen_at) == ("al@studio.example", False, 0, None)
    assert views.people(BOSS, now + 2 * HOUR)[0].open_sessions == 0


def sign_in_settings(**more: str) -> settings.Settings:
    return settings.load(
        {
            "DATABASE_URL": "postgresql://u:p@db.example/x",
            "PUBLIC_BASE_URL": "https://ops.example.com",
            "OIDC_METADATA_URL": "https://login.studio.example/x",
            "OIDC_CLIENT_ID": "studio-ops",
            "OIDC_CLIENT_SECRET": "client-secret-of-the-tests",
            "SESSION_SECRET": "session-secret-of-the-tests-0123456789",
            **more,
        }
    )


@pytest.mark.parametrize(
    ("people", "more", "mark", "words"),
    [
        ({}, {}, "FAIL", "nobody can let people in. Put your address into FIRST_ADMIN"),
        ({"bo": "viewer"}, {"STAFF_DOMAINS": "studio.example"}, "FAIL", "nobody can let people in"),
        ({}, {"FIRST_ADMIN": "Ada@studio.example"}, "warn", "ada@studio.example becomes the first"),
        ({"ada": "admin", "bo": "admin", "cy": "viewer"}, {}, "ok  ", "2 can come in and let others in"),
        ({"ada": "admin"}, {"STAFF_DOMAINS": "elsewhere.example"}, "FAIL", "nobody can let people in"),
        (
            {},
            {"FIRST_ADMIN": "ada@studio.example", "STAFF_DOMAINS": "elsewhere.example"},
            "FAIL",
            "ada@studio.example is of no domain in STAFF_DOMAINS",
        ),
        (
            {"ada": "admin"},
            {"FIRST_ADMIN": "x@elsewhere.example", "STAFF_DOMAINS": "studio.example"},
            "warn",
            "x@elsewhere.example is of no domain in STAFF_DOMAINS",
        ),
    ],
)
def test_doctor_says_whether_an_admin_can_come_in(
    now: datetime, people: dict[str, str], more: dict[str, str], mark: str, words: str
) -> None:
    for name, role in people.items():
        employ(name, role)
    [said] = of_sign_in.admins(sign_in_settings(**more), now)
    assert (said.line()[:4], words in said.message) == (mark, True), said.line()
