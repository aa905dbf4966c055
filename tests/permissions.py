"""Every action with how it is tried: by the service, by the API, and by a command; the matrix's one table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from core import database, trail
from core.access import Action, Actor
from core.alerts import service as alerts
from core.budget import controls
from core.configuration import service as configuration
from core.deliveries import service as deliveries
from core.deliveries import tools
from core.deliveries import views as generations
from core.diagnosis import report
from core.failures import service as failures
from core.failures.models import GroupState
from core.loras import service as loras
from core.loras import views as library
from core.machinery import service as machinery
from core.notifications import service as notifications
from core.plans import service as plans
from core.rehearsal import traffic
from core.staff import service as staff
from core.trail import Filter
from core.trainings import dataset
from core.trainings import service as trainings
from core.trainings import tools as training_tools

NOWHERE = UUID("00000000-0000-4000-8000-000000000000")
Service = Callable[[Actor, UUID], Any]
Call = Callable[[httpx.Client], httpx.Response]
UNKNOWN_MODEL = {"model": "no/such-model", "input": {"prompt": "a lighthouse"}}


@dataclass(frozen=True)
class Tried:
    """How an action is tried.

    `service` gets somebody and a LoRA of somebody else; what it is tried on mostly does not exist, so that
    who is allowed gets the domain's own answer. `api` and `commands` are empty where there are none.
    """

    service: Service
    api: Sequence[Call] = ()
    commands: Sequence[Sequence[str]] = field(default=())


def _create(actor: Actor, _: UUID) -> object:
    wanted = deliveries.NewGeneration(request_key="k" * 20, **UNKNOWN_MODEL)  # type: ignore[arg-type]
    return deliveries.create(actor, wanted, tools.current())


def _plan(act: str) -> Call:
    return lambda web: web.post(f"/api/plans/{NOWHERE}/{act}", json={} if act in {"start", "abort"} else None)


TABLE: dict[Action, Tried] = {
    Action.VIEW: Tried(
        lambda actor, _: generations.recent(actor, limit=1),
        api=[
            lambda web: web.get("/api/deliveries.csv"),
            lambda web: web.get("/api/ledger.csv"),
            lambda web: web.get("/api/storage.csv", params={"bucket": "none"}),
            lambda web: web.get("/metrics"),
            lambda web: web.get("/api/plans"),
            lambda web: web.get(f"/api/plans/{NOWHERE}"),
            lambda web: web.get("/api/plan-items.csv", params={"plan": str(NOWHERE)}),
        ],
    ),
    Action.CREATE_GENERATION: Tried(
        _create, api=[lambda web: web.post("/api/kie/createTask", json=UNKNOWN_MODEL)]
    ),
    Action.SYNC_GENERATION: Tried(
        lambda actor, _: deliveries.request_sync(actor, NOWHERE, tools.current()),
        api=[lambda web: web.get("/api/kie/sync", params={"taskId": "no-such-task"})],
        commands=[("sync", "no-such-task")],
    ),
    Action.DEBUG_GENERATION: Tried(
        lambda actor, _: report.look(actor, NOWHERE, tools.current()),
        api=[
            lambda web: web.get("/api/debug/kie"),
            lambda web: web.get("/api/debug/kie", params={"taskId": "no-such-task"}),
        ],
    ),
    Action.REHEARSE: Tried(
        lambda actor, _: traffic.stop(actor, tools.current()),
        commands=[("history", "--generations", "-1")],
    ),
    Action.ACKNOWLEDGE_ALERT: Tried(
        lambda actor, _: alerts.acknowledge(actor, NOWHERE, 1, "seen", database.now())
    ),
    Action.LAUNCH_TRAINING: Tried(
        lambda actor, _: dataset.take_away(actor, NOWHERE, 1, training_tools.current().dataset)
    ),
    Action.STEER_TRAINING: Tried(
        lambda actor, _: trainings.look_again(actor, NOWHERE, training_tools.current())
    ),
    Action.BROWSE_LORAS: Tried(lambda actor, _: library.get(actor, NOWHERE)),
    Action.RATE_LORA: Tried(lambda actor, _: loras.rate(actor, NOWHERE, 5, database.now())),
    Action.EDIT_LORA: Tried(lambda actor, lora: loras.tag(actor, [lora], database.now(), add=["x"])),
    Action.ARCHIVE_LORA: Tried(lambda actor, _: loras.archive(actor, NOWHERE, "not used", database.now())),
    Action.MODERATE_LORA: Tried(lambda actor, _: loras.hide(actor, NOWHERE, "not ours", database.now())),
    Action.MANAGE_BUDGET: Tried(lambda actor, _: controls.end_override(actor, NOWHERE, database.now())),
    Action.TEST_ALERTS: Tried(lambda actor, _: notifications.test(actor, "none", database.now())),
    Action.RUN_PLAN: Tried(
        lambda actor, _: plans.pause(actor, NOWHERE, tools.current()),
        api=[
            lambda web: web.post("/api/plans", json={"ids": ["no-such-task"]}),
            *(_plan(act) for act in ("start", "pause", "resume", "abort")),
        ],
        commands=[("plan", "abort", str(NOWHERE))],
    ),
    Action.MANAGE_FAILURES: Tried(
        lambda actor, _: failures.change(
            actor, "none", GroupState.RESOLVED, database.now(), seen=GroupState.OPEN
        )
    ),
    Action.STEER_JOBS: Tried(lambda actor, _: machinery.run_now(actor, "none", NOWHERE, database.now())),
    Action.CHECK_CONFIGURATION: Tried(lambda actor, _: configuration.begin(actor, "none", database.now())),
    Action.MEND_STORAGE: Tried(lambda actor, _: configuration.begin_mending(actor, "none", database.now())),
    Action.READ_AUDIT: Tried(
        lambda actor, _: trail.lines(actor, Filter()), api=[lambda web: web.get("/api/audit.csv")]
    ),
    Action.MANAGE_STAFF: Tried(
        lambda actor, _: staff.end_sessions(actor, "nobody@studio.example", database.now())
    ),
}
# Routes without a role: for anybody, for providers by their signature, for customers by their own token,
# and one that asks for any key at all.
OTHER_ROUTES = {
    "/health", "/kie/callback", "/kie/images/callback", "/fal/webhook", "/replicate/webhook",
    "/trainings/{call_id}/progress", "/trainings/{call_id}/weights", "/image-proxy",
}  # fmt: skip
CUSTOMERS_ROUTES = "/v1/lora-models"
