"""The routes of bulk resync: a dry run, its start, and what becomes of it."""

import uuid
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from core import database
from core.access import Actor
from core.deliveries import tools, windows
from core.errors import InvalidInput
from core.plans import policy, service, views
from core.plans.models import Plan, Source
from core.plans.views import Seen
from core.web.auth import caller
from core.web.openapi import refusals

router = APIRouter(prefix="/plans", tags=["Plans"])
Caller = Annotated[Actor, Depends(caller)]


class NewPlan(BaseModel):
    """The list to try dry: Delivery health's filter, a customer's within it, ids, or a plan's failures."""

    model_config = ConfigDict(extra="forbid")

    window: str | None = None
    kind: str | None = None
    model: str | None = None
    state: str | None = None
    signature: str | None = None
    at: str | None = None
    since: str | None = None
    until: str | None = None
    userId: UUID | None = None  # noqa: N815 - the wire's spelling
    ids: list[str] = Field(default_factory=list, max_length=policy.MOST_NAMES)
    failedOf: UUID | None = None  # noqa: N815
    name: str = ""
    requestKey: str | None = Field(default=None, min_length=8, max_length=200)  # noqa: N815

    def source(self) -> Source:
        """The list. Raises InvalidInput naming what cannot be used."""
        given = {name: getattr(self, name) for name in windows.PARAMETERS if getattr(self, name) is not None}
        wanted, faults = windows.read(given)
        if faults:
            raise InvalidInput("filter", " ".join(faults))
        names = policy.names_in(" ".join(self.ids))
        return Source(wanted if given else None, self.userId, names, self.failedOf)


class Start(BaseModel):
    """`count` is the number of items, which has to be given above 20."""

    model_config = ConfigDict(extra="forbid")

    count: int | None = None
    reason: str = ""
    name: str = ""


class Why(BaseModel):
    """A reason for the audit log."""

    model_config = ConfigDict(extra="forbid")

    reason: str = ""


def told(seen: Seen) -> dict[str, Any]:
    """A plan as the API tells it."""
    return {
        **_plan(seen.plan),
        "items": {state: n for state, n in seen.progress.by_state.items() if n},
        "leftSeconds": seen.left_s,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "planId": str(plan.id),
        "name": plan.name,
        "state": plan.state,
        "source": plan.source,
        "counts": plan.counts,
        "calls": plan.reads,
        "expectedSeconds": plan.expected_s,
        "costUsd": "0.0000",
        "reason": plan.reason,
        "createdBy": plan.created_by,
        "createdAt": plan.created_at.isoformat(),
        "startedBy": plan.started_by,
        "startedAt": plan.started_at.isoformat() if plan.started_at else None,
        "endedAt": plan.ended_at.isoformat() if plan.ended_at else None,
    }


@router.post("", status_code=201, responses=refusals(400, 401, 403, 404, 413, 500))
def try_dry(wanted: NewPlan, actor: Caller) -> dict[str, Any]:
    """Sort a list without asking or changing anything; the plan that it makes can be started for an hour."""
    key = wanted.requestKey or uuid.uuid4().hex
    made = service.prepare(actor, wanted.source(), tools.current(), request_key=key, name=wanted.name)
    return _plan(made)


@router.get("", responses=refusals(401, 403, 500))
def newest(actor: Caller) -> dict[str, Any]:
    """The newest plans."""
    return {"plans": [told(seen) for seen in views.history(actor, database.now()).plans]}


@router.get("/{plan_id}", responses=refusals(400, 401, 403, 404, 500))
def one(plan_id: UUID, actor: Caller) -> dict[str, Any]:
    """A plan and how far it is."""
    return told(views.plan(actor, plan_id, database.now()))


@router.post("/{plan_id}/start", responses=refusals(400, 401, 403, 404, 409, 413, 500))
def start(plan_id: UUID, given: Start, actor: Caller) -> dict[str, Any]:
    """Start a dry run, once."""
    outside = tools.current()
    service.start(actor, plan_id, outside, typed=given.count, reason=given.reason, name=given.name)
    return one(plan_id, actor)


@router.post("/{plan_id}/pause", responses=refusals(400, 401, 403, 404, 409, 500))
def pause(plan_id: UUID, actor: Caller) -> dict[str, Any]:
    """Begin no further item until it is resumed; what waits, other plans may take meanwhile."""
    service.pause(actor, plan_id, tools.current())
    return one(plan_id, actor)


@router.post("/{plan_id}/resume", responses=refusals(400, 401, 403, 404, 409, 500))
def resume(plan_id: UUID, actor: Caller) -> dict[str, Any]:
    """Have a paused plan go on."""
    service.resume(actor, plan_id, tools.current())
    return one(plan_id, actor)


@router.post("/{plan_id}/abort", responses=refusals(400, 401, 403, 404, 409, 413, 500))
def abort(plan_id: UUID, given: Why, actor: Caller) -> dict[str, Any]:
    """Begin no further item, ever."""
    service.abort(actor, plan_id, tools.current(), given.reason)
    return one(plan_id, actor)
