"""The permission matrix: every action by every role through every channel, from one table."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
import pytest

from core import access, database, standing, trail
from core.access import PERMISSIONS, Action, Actor, Role
from core.errors import Conflict, NotAllowed, NotSignedIn, StudioOpsError
from core.loras import service as loras
from core.staff import policy, service
from core.web.routes import api as app
from tests.journeys.users import caller, is_error
from tests.journeys.world import Said, World
from tests.permissions import CUSTOMERS_ROUTES, NOWHERE, OTHER_ROUTES, TABLE

BOSS = Actor("person", "boss", "The boss", frozenset({Role.ADMIN}), "command")
Source = Literal["page", "api", "command"]


def each_role(actions: Iterable[Action]) -> pytest.MarkDecorator:
    """These actions by every role, named."""
    return pytest.mark.parametrize(
        ("action", "role"),
        [
            pytest.param(action, role, id=f"{action.name.lower()}-{role.value}")
            for action in actions
            for role in Role
        ],
    )


KEYS = ",".join(f"{role.value}-key:{role.value}:secret-of-{role.value}" for role in Role)


@pytest.fixture(scope="module")
def others_lora() -> UUID:
    return uuid4()


@pytest.fixture
def lora(world: World, others_lora: UUID) -> UUID:
    """A LoRA that belongs to none of those who act."""
    world.sql(
        "INSERT INTO lora_models (id, name, training_status, creator_key)"
        " VALUES (%s, %s, 'failed', 'staff:x') ON CONFLICT DO NOTHING",
        others_lora,
        f"other {others_lora}",
    )
    return others_lora


@pytest.fixture
def keys(configure: Callable[..., None]) -> None:
    configure(OPS_API_KEY=KEYS)


def signed_in(role: Role) -> Actor:
    """Somebody with this role alone, who has signed in."""
    email, now = f"{role.value}@studio.example", database.now()
    with contextlib.suppress(Conflict):
        service.add(BOSS, email, role.value, [role.value], now)
    claims = {"iss": "i", "sub": email, "nonce": uuid4().hex, "email": email, "email_verified": True}
    return service.enter(policy.identity_of({**claims, "iat": now.timestamp()}), None, now)


def somebody(role: Role, source: Source) -> Actor:
    if source == "page":
        return signed_in(role)
    if source == "api":
        return access.api_key(f"{role.value}-key", role)
    return Actor("person", "ada", "ada", frozenset({role}), "command")


def outcome(act: Callable[[], Any]) -> StudioOpsError | None:
    """The refusal or the domain's answer; None when it was done."""
    try:
        act()
    except StudioOpsError as error:
        return error
    return None


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(Action)


@pytest.mark.parametrize("source", ["page", "api", "command"])
@each_role(Action)
def test_a_service_asks_the_table(
    world: World, lora: UUID, action: Action, role: Role, source: Source
) -> None:
    lines = world.sql("SELECT max(id) FROM audit_log")
    actor = somebody(role, source)
    before = world.sql("SELECT max(id) FROM audit_log") if source == "page" else lines
    said = outcome(lambda: TABLE[action].service(actor, lora))
    if role in PERMISSIONS[action]:
        assert not isinstance(said, NotAllowed | NotSignedIn), said
    else:
        assert isinstance(said, NotAllowed)
        assert said.http_status == 403
        assert f"may not {action}" in said.message or action is Action.EDIT_LORA
        assert world.sql("SELECT max(id) FROM audit_log") == before


@pytest.mark.parametrize("action", Action)
def test_a_sign_in_that_has_ended_opens_nothing(world: World, lora: UUID, action: Action) -> None:
    admin = signed_in(Role.ADMIN)
    service.sign_out(admin, database.now())
    said = outcome(lambda: TABLE[action].service(admin, lora))
    assert isinstance(said, NotSignedIn)
    assert "You have signed out" in said.message


@pytest.mark.parametrize("source", ["page", "api", "command"])
@pytest.mark.parametrize("role", Role)
def test_from_where_somebody_acted_is_for_those_who_read_the_audit_log(
    world: World, lora: UUID, role: Role, source: Source
) -> None:
    boss = replace(BOSS, source="page", address="10.20.30.40")
    loras.tag(boss, [lora], database.now(), add=[f"by {role.value} {source}"])
    told = trail.of(somebody(role, source), [str(lora)])
    assert told[0].action == "lora.tag"
    reads = role in PERMISSIONS[Action.READ_AUDIT]
    assert {line.address for line in told} - {None} == ({"10.20.30.40"} if reads else set())


@each_role(action for action in Action if TABLE[action].api)
def test_the_api_asks_the_table(world: World, keys: None, action: Action, role: Role) -> None:
    with caller(world, Authorization=f"Bearer secret-of-{role.value}") as web:
        for call in TABLE[action].api:
            answer = call(web)
            if role in PERMISSIONS[action]:
                assert answer.status_code not in {401, 403}, answer.text
            else:
                assert is_error(answer, 403, "not_allowed")
                assert f"{role.value}-key may not {action}" in answer.json()["error"]["message"]


@pytest.fixture
def as_role(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Role], None]]:
    """Whoever types a command has this role."""

    def change(role: Role) -> None:
        monkeypatch.setattr(
            access, "command_line", lambda user: Actor("person", user, user, frozenset({role}), "command")
        )

    yield change
    standing.forget()


@each_role(action for action in Action if TABLE[action].commands)
def test_a_command_asks_the_table(
    world: World,
    command: Callable[..., Said],
    as_role: Callable[[Role], None],
    action: Action,
    role: Role,
) -> None:
    as_role(role)
    for arguments in TABLE[action].commands:
        said = command(*arguments)
        assert said.code == 1
        assert ("may not" in said.err) is (role not in PERMISSIONS[action]), said.err


def test_every_route_is_in_the_table_or_has_another_door(
    world: World, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()

    def listen(request: httpx.Request) -> None:
        asked.add(request.url.path.removeprefix("/api").replace(str(NOWHERE), "{plan_id}"))

    with caller(world, Authorization="Bearer secret-of-viewer") as web:
        web.event_hooks["request"].append(listen)
        for tried in TABLE.values():
            for call in tried.api:
                call(web)
        web.event_hooks["request"].clear()
        answer = web.get("/api/v1/lora-models")
        assert is_error(answer, 403, "not_allowed")
    routes = {path.removeprefix("/api") for path in app.openapi()["paths"]}
    own = {path for path in routes if not path.startswith(CUSTOMERS_ROUTES)}
    assert own - asked == OTHER_ROUTES
