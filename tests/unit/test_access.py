"""Who may do what: the whole table, and the sentences of a refusal."""

import pytest

from core import access
from core.access import PERMISSIONS, Action, Actor, Role
from core.errors import NotAllowed, NotSignedIn
from core.settings import load

MAY = {
    Action.VIEW: {"viewer", "support", "product", "operations", "admin"},
    Action.CREATE_GENERATION: {"product", "operations", "admin"},
    Action.SYNC_GENERATION: {"support", "product", "operations", "admin"},
    Action.DEBUG_GENERATION: {"support", "product", "operations", "admin"},
    Action.REHEARSE: {"operations", "admin"},
    Action.ACKNOWLEDGE_ALERT: {"support", "operations", "admin"},
    Action.LAUNCH_TRAINING: {"product", "operations", "admin"},
    Action.STEER_TRAINING: {"product", "operations", "admin"},
    Action.BROWSE_LORAS: {"viewer", "support", "product", "operations", "admin"},
    Action.RATE_LORA: {"viewer", "support", "product", "operations", "admin"},
    Action.EDIT_LORA: {"product", "operations", "admin"},
    Action.ARCHIVE_LORA: {"product", "operations", "admin"},
    Action.MODERATE_LORA: {"operations", "admin"},
    Action.MANAGE_BUDGET: {"operations", "admin"},
    Action.TEST_ALERTS: {"operations", "admin"},
    Action.RUN_PLAN: {"support", "operations", "admin"},
    Action.MANAGE_FAILURES: {"support", "operations", "admin"},
    Action.STEER_JOBS: {"operations", "admin"},
    Action.CHECK_CONFIGURATION: {"operations", "admin"},
    Action.MEND_STORAGE: {"operations", "admin"},
    Action.READ_AUDIT: {"operations", "admin"},
    Action.MANAGE_STAFF: {"admin"},
}


def person(*roles: Role) -> Actor:
    return Actor("person", "p1", "Ada", frozenset(roles), "page")


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_each_role_and_action(action: Action, role: Role) -> None:
    assert set(PERMISSIONS) == set(MAY) == set(Action)
    if role.value in MAY[action]:
        assert access.check(person(role), action).name == "Ada"
    else:
        with pytest.raises(NotAllowed, match=f"Ada may not {action}. Ask an admin for one of: ") as refused:
            access.check(person(role), action)
        assert all(word in refused.value.message for word in MAY[action])


@pytest.mark.parametrize("action", Action)
def test_nobody_is_asked_to_sign_in(action: Action) -> None:
    with pytest.raises(NotSignedIn, match=f"Sign in to {action}."):
        access.check(None, action)


@pytest.mark.parametrize("action", Action)
def test_without_a_role_nothing_is_allowed(action: Action) -> None:
    with pytest.raises(NotAllowed):
        access.check(person(), action)


@pytest.mark.parametrize("action", Action)
def test_a_customer_may_look_at_loras_and_train_one(action: Action) -> None:
    customer = Actor("customer", "u1", "u1", frozenset(), "api")
    assert customer.may(action) is (action in {Action.BROWSE_LORAS, Action.LAUNCH_TRAINING})


def test_two_roles_allow_what_either_does() -> None:
    both = person(Role.VIEWER, Role.SUPPORT)
    assert both.may(Action.SYNC_GENERATION)
    assert not both.may(Action.CREATE_GENERATION)


LOCAL = {"STUDIO_OPS_LOCAL_STACK": "http://127.0.0.1:9010", "DATABASE_URL": "postgresql://u@127.0.0.1/x"}
LOCAL |= {"KIE_BASE_URL": "http://127.0.0.1:9010"}


@pytest.mark.parametrize(
    ("environment", "bound_to", "operator"),
    [
        pytest.param(LOCAL, "127.0.0.1", True, id="the local stack on loopback"),
        pytest.param(LOCAL, "localhost", True, id="by name"),
        pytest.param({}, "::1", True, id="nothing configured"),
        pytest.param(LOCAL, "0.0.0.0", False, id="the local stack for everybody"),  # noqa: S104
        pytest.param(LOCAL, "10.0.0.7", False, id="in the office network"),
        pytest.param({"DATABASE_URL": "postgresql://u@db/x"}, "127.0.0.1", False, id="configured"),
    ],
)
def test_the_local_operator(environment: dict[str, str], bound_to: str, operator: bool) -> None:
    found = access.local_operator(load(environment), bound_to)
    assert (found is not None) is operator
    if found is not None:
        assert found.roles == frozenset(Role)


def test_keys_jobs_and_commands_act_as_operations() -> None:
    for actor, kind, source in (
        (access.api_key("key-1"), "key", "api"),
        (access.job("poll"), "job", "job"),
        (access.command_line("ada"), "person", "command"),
    ):
        assert [actor.kind, actor.source] == [kind, source]
        assert actor.roles == {Role.OPERATIONS}
