"""Links that pages make for somebody who is signed in end with that sign-in; all others stay as they are."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from core import access, database, settings, standing, trail, usage
from core.access import Actor, Role
from core.budget import ledger
from core.deliveries import tools
from core.deliveries.windows import Filter
from core.staff import policy, service
from core.trainings import tools as training_tools
from core.web import export
from tests.journeys.planned import broken, prepared
from tests.journeys.world import World
from tests.unit.storage_samples import picture

BOSS = Actor("person", "boss", "The boss", frozenset({Role.ADMIN}), "command")
PLACE = ("generations", "user-1/image/kept_1763651170000.jpg")
EMAIL = "bo@studio.example"


@pytest.fixture(autouse=True)
def _nobody(world: World) -> Iterator[None]:
    world.sql("TRUNCATE staff_sessions, staff")
    standing.forget()
    yield
    standing.forget()


@pytest.fixture
def bo(world: World) -> Actor:
    """Somebody of operations, who has just signed in."""
    now = database.now()
    service.add(BOSS, EMAIL, "Bo", ["operations"], now)
    claims = {"iss": "https://login.studio.example", "sub": "bo", "nonce": "1", "email": EMAIL}
    said = {**claims, "email_verified": True, "name": "Bo", "iat": now.timestamp()}
    return service.enter(policy.identity_of(said), None, now)


def opened(world: World, link: str | None) -> httpx.Response:
    assert link is not None
    return httpx.get(world.environment["PUBLIC_BASE_URL"] + link, timeout=30)


def links_of(actor: Actor) -> dict[str, str]:
    """Every kind of link that pages make, for this person."""
    now = database.now()
    line = usage.Line("generations", "result_image", 1, 1)
    made = {
        "deliveries": export.link(actor, Filter(), now),
        "ledger": export.ledger_link(actor, ledger.Filter(now.date().replace(day=1)), now),
        "storage": export.storage_link(actor, line, now, now),
        "audit": export.audit_link(actor, trail.Filter(), now),
        "file": file_link(actor.session),
    }
    return {name: link for name, link in made.items() if link is not None}


def file_link(session: str | None) -> str:
    storage = tools.current().storage
    with storage.upload(PLACE[0]) as upload:
        upload.write(picture("JPEG"))
        upload.commit(PLACE[1], "image/jpeg")
    return storage.signed_url(*PLACE, timedelta(hours=1), session)


def sign_out(bo: Actor) -> None:
    service.sign_out(bo, database.now())


def ended_by_admin(_: Actor) -> None:
    service.end_sessions(BOSS, EMAIL, database.now())


def taken_away(_: Actor) -> None:
    service.set_active(BOSS, EMAIL, database.now(), active=False)


def idle(_: Actor) -> None:
    passed("seen_at = now() - interval '61 minutes'")


def too_old(_: Actor) -> None:
    passed("expires_at = now() - interval '1 second'")


def passed(change: str) -> None:
    with database.statement() as connection:
        connection.exec_driver_sql(f"UPDATE staff_sessions SET {change}")
    standing.forget()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (sign_out, "You have signed out. Sign in again to go on."),
        (ended_by_admin, "An admin has ended this sign-in."),
        (taken_away, "Your access was taken away."),
        (idle, "You were signed out because nothing was done here for a while."),
        (too_old, "This sign-in is too old to go on with."),
    ],
)
def test_a_persons_links_end_with_their_sign_in(
    world: World, bo: Actor, end: Callable[[Actor], None], said: str
) -> None:
    links = links_of(bo)
    assert [name for name, link in links.items() if opened(world, link).status_code != 200] == []
    end(bo)
    for name, link in links.items():
        answer = opened(world, link)
        error = answer.json()["error"]
        assert (name, answer.status_code, error["code"]) == (name, 401, "not_signed_in")
        assert error["message"].startswith("This link was made for a sign-in that no longer counts. " + said)
        assert answer.headers["cache-control"] == "no-store"


def test_a_right_that_is_taken_ends_the_links_that_need_it(world: World, bo: Actor) -> None:
    links = links_of(bo)
    service.change_roles(BOSS, EMAIL, ["support"], database.now(), seen_roles=["operations"])
    answers = {name: opened(world, link) for name, link in links.items()}
    refused = {name for name, answer in answers.items() if answer.status_code != 200}
    assert refused == {"audit"}
    assert answers["audit"].status_code == 401
    assert "Bo may not read the audit log" in answers["audit"].json()["error"]["message"]


def test_a_link_cannot_be_made_anybodys_or_somebody_elses(world: World, bo: Actor) -> None:
    assert bo.session is not None
    for name, link in links_of(bo).items():
        for changed in (
            link.replace(f"&session={bo.session}", ""),
            link.replace(bo.session, "0" * 64),
            link.replace(bo.session, ""),
        ):
            assert changed != link
            assert opened(world, changed).status_code == (403 if name == "file" else 401), name


def test_a_sign_in_that_never_was_opens_nothing(world: World) -> None:
    answer = opened(world, file_link("0" * 64))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in")


def test_links_of_nobody_who_signs_in_are_good_for_their_time(world: World, bo: Actor) -> None:
    operator = access.local_operator(settings.current(), "127.0.0.1")
    assert operator is not None
    links = links_of(operator)
    assert not [link for link in links.values() if "session=" in link]
    links["provider"] = (
        training_tools.current().link(*PLACE).removeprefix(world.environment["PUBLIC_BASE_URL"])
    )
    links["for good"] = tools.current().storage.url(*PLACE)
    sign_out(bo)
    for name, link in links.items():
        assert (name, opened(world, link).status_code) == (name, 200)


def test_a_file_whose_holder_cannot_be_looked_up_is_tried_again_later(world: World, bo: Actor) -> None:
    link = file_link(bo.session)
    standing.forget()
    database.connect("postgresql://postgres:hunter2@127.0.0.1:1/nowhere")
    try:
        answer = opened(world, link)
    finally:
        database.connect(world.environment["DATABASE_URL"])
    assert answer.status_code == 502
    assert "hunter2" not in answer.text
    assert opened(world, link).status_code == 200


def test_a_plans_items_end_with_the_sign_in(world: World, bo: Actor) -> None:
    broken(world, 1)
    link = export.plan_link(bo, prepared(actor=bo).id, datetime.now(UTC))
    assert opened(world, link).status_code == 200
    sign_out(bo)
    assert opened(world, link).status_code == 401
