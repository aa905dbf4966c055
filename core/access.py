"""Who acts, and what they may do: one table, asked by every service before it acts."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from core import standing
from core.errors import NotAllowed, NotSignedIn
from core.settings import LOOPBACK, Settings


class Role(StrEnum):
    VIEWER = "viewer"
    SUPPORT = "support"
    PRODUCT = "product"
    OPERATIONS = "operations"
    ADMIN = "admin"


class Action(StrEnum):
    """What can be done; the words are those of a refusal's sentence."""

    VIEW = "look at the dashboard"
    CREATE_GENERATION = "start a generation"
    SYNC_GENERATION = "bring a generation up to date"
    DEBUG_GENERATION = "see a generation's evidence"
    REHEARSE = "begin, disturb or clear a rehearsal"
    ACKNOWLEDGE_ALERT = "acknowledge an alert"
    LAUNCH_TRAINING = "launch a training"
    STEER_TRAINING = "cancel, resume or judge a training"
    BROWSE_LORAS = "look through the LoRA library"
    RATE_LORA = "rate or report a LoRA"
    EDIT_LORA = "describe or tag other people's LoRAs"
    ARCHIVE_LORA = "archive LoRAs or take them back"
    MODERATE_LORA = "hide LoRAs or show them again"
    MANAGE_BUDGET = "change budgets, prices or the ledger"
    TEST_ALERTS = "send a test message"
    RUN_PLAN = "resync many generations at once"
    MANAGE_FAILURES = "see to failure groups"
    STEER_JOBS = "run or pause a scheduled job"
    CHECK_CONFIGURATION = "see and check the configuration"
    MEND_STORAGE = "change a bucket's settings"
    READ_AUDIT = "read the audit log"
    MANAGE_STAFF = "let people in, change their roles or end their sign-ins"


_EVERYONE = frozenset(Role)
_STAFF = _EVERYONE - {Role.VIEWER}
PERMISSIONS: dict[Action, frozenset[Role]] = {
    Action.VIEW: _EVERYONE,
    Action.CREATE_GENERATION: frozenset({Role.PRODUCT, Role.OPERATIONS, Role.ADMIN}),
    Action.SYNC_GENERATION: _STAFF,
    Action.DEBUG_GENERATION: _STAFF,
    Action.REHEARSE: frozenset({Role.OPERATIONS, Role.ADMIN}),
    Action.ACKNOWLEDGE_ALERT: frozenset({Role.SUPPORT, Role.OPERATIONS, Role.ADMIN}),
    Action.LAUNCH_TRAINING: frozenset({Role.PRODUCT, Role.OPERATIONS, Role.ADMIN}),
    Action.STEER_TRAINING: frozenset({Role.PRODUCT, Role.OPERATIONS, Role.ADMIN}),
    Action.BROWSE_LORAS: _EVERYONE,
    Action.RATE_LORA: _EVERYONE,
    Action.EDIT_LORA: frozenset({Role.PRODUCT, Role.OPERATIONS, Role.ADMIN}),
    Action.ARCHIVE_LORA: frozenset({Role.PRODUCT, Role.OPERATIONS, Role.ADMIN}),
    Action.MODERATE_LORA: frozenset({Role.OPERATIONS, Role.ADMIN}),
    Action.MANAGE_BUDGET: frozenset({Role.OPERATIONS, Role.ADMIN}),
    Action.TEST_ALERTS: frozenset({Role.OPERATIONS, Role.ADMIN}),
    Action.RUN_PLAN: frozenset({Role.SUPPORT, Role.OPERATIONS, Role.ADMIN}),
    Action.MANAGE_FAILURES: frozenset({Role.SUPPORT, Role.OPERATIONS, Role.ADMIN}),
    Action.STEER_JOBS: frozenset({Role.OPERATIONS, Role.ADMIN}),
    Action.CHECK_CONFIGURATION: frozenset({Role.OPERATIONS, Role.ADMIN}),
    Action.MEND_STORAGE: frozenset({Role.OPERATIONS, Role.ADMIN}),
    Action.READ_AUDIT: frozenset({Role.OPERATIONS, Role.ADMIN}),
    Action.MANAGE_STAFF: frozenset({Role.ADMIN}),
}
# What customers may do in their own name, by their own token; they have no roles.
CUSTOMERS_MAY = frozenset({Action.BROWSE_LORAS, Action.LAUNCH_TRAINING})


@dataclass(frozen=True)
class Actor:
    """Somebody or something that acts: a person, an API key, a job, or a customer by their own token.

    `source` is where the act came from: page, api, command or job, and `address` from which machine.
    `email` is a person's verified address, and `session` the key of their sign-in, by which `check` asks
    what they may do at that moment; `roles` are those of the moment when the actor was made.
    """

    kind: Literal["person", "key", "job", "customer"]
    id: str
    name: str
    roles: frozenset[Role]
    source: Literal["page", "api", "command", "job"]
    email: str | None = None
    session: str | None = None
    address: str | None = None

    def may(self, action: Action) -> bool:
        """Whether one of the actor's roles allows `action`, or every customer may do it."""
        if self.kind == "customer":
            return action in CUSTOMERS_MAY
        return bool(self.roles & PERMISSIONS[action])


def check(actor: Actor | None, action: Action) -> Actor:
    """`actor` with the roles of today, when allowed to do `action`.

    Otherwise NotSignedIn, also for a sign-in that has ended meanwhile, or NotAllowed, with a sentence.
    """
    if actor is None:
        raise NotSignedIn(f"Sign in to {action}.")
    if actor.session is not None:
        actor = replace(actor, roles=frozenset(map(Role, standing.of(actor.session).roles)))
    if not actor.may(action):
        wanted = ", ".join(sorted(role.value for role in PERMISSIONS[action]))
        raise NotAllowed(f"{actor.name} may not {action}. Ask an admin for one of: {wanted}.")
    return actor


def local_operator(settings: Settings, bound_to: str) -> Actor | None:
    """The operator of the one-command stack; only with nothing configured and bound to loopback."""
    if settings.profile != "local" or bound_to not in LOOPBACK:
        return None
    return Actor("person", "local", "Local operator", frozenset(Role), "page")


def job(name: str) -> Actor:
    """The actor for what a scheduled job does by itself."""
    return Actor("job", name, name, frozenset({Role.OPERATIONS}), "job")


def signed_in(key: str) -> Actor:
    """The person behind the sign-in of this key. NotSignedIn says why it does not count."""
    found = standing.of(key)
    name = found.name or found.email
    roles = frozenset(map(Role, found.roles))
    return Actor("person", found.email, name, roles, "page", found.email, key, found.address)


def api_key(name: str, role: Role = Role.OPERATIONS) -> Actor:
    """The actor behind an API key."""
    return Actor("key", name, name, frozenset({role}), "api")


def command_line(user: str) -> Actor:
    """The actor of `python -m jobs …`: whoever can run it already holds the database's password."""
    return Actor("person", user, user, frozenset({Role.OPERATIONS}), "command")
