"""The rows behind a page's numbers as CSV: generations and ledger lines by a filter, files by their use."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from core import access, database, trail, usage
from core.access import Action, Actor, Role
from core.budget import ledger
from core.deliveries import health_rows, tools, windows
from core.deliveries.windows import Filter
from core.errors import InvalidInput
from core.plans import views as plans
from core.storage.purposes import PURPOSES
from core.web import csv_answers
from core.web.openapi import SCHEMES, refusals

router = APIRouter(tags=["CSV"])
DELIVERIES, LEDGER, STORAGE = "deliveries.csv", "ledger.csv", "storage.csv"
PLAN, AUDIT = "plan-items.csv", "audit.csv"
_SECURITY = {"security": [{}, *SCHEMES]}
_COLUMNS = (
    "id", "created_at", "kind", "model", "delivery_state", "status", "delivered_at", "task_id", "user_id",
    "failure_category", "failure_code", "failure_message", "result_expires_at", "asset_url", "prompt",
)  # fmt: skip
_LEDGER_COLUMNS = (
    "id", "occurred_at", "month", "scope", "kind", "provider", "service", "model", "stage", "user_id",
    "run_id", "generation_id", "quantity", "unit", "unit_price", "price_version", "amount_usd", "flagged",
    "note", "source_key", "corrects",
)  # fmt: skip
_ITEM_COLUMNS = (
    "n", "generation_id", "named", "provider", "stood", "sorted", "state", "sentence", "tries", "changed",
    "begun_at", "ended_at",
)  # fmt: skip
_AUDIT_COLUMNS = (
    "id", "at", "actor_kind", "actor_id", "actor_name", "action", "object_type", "object_id", "before",
    "after", "reason", "source", "address", "request_id",
)  # fmt: skip
_FILE_COLUMNS = ("bucket", "path", "bytes", "content_type", "modified_at")


def link(actor: Actor | None, chosen: Filter, now: datetime) -> str | None:
    """Where `actor` gets the generations that the filter matches. None where no key signs links."""
    actor = access.check(actor, Action.VIEW)
    return csv_answers.link(actor, DELIVERIES, chosen.query(), now)


def ledger_link(actor: Actor | None, chosen: ledger.Filter, now: datetime) -> str | None:
    """Where `actor` gets the ledger's lines that the filter matches. None where no key signs links."""
    actor = access.check(actor, Action.VIEW)
    return csv_answers.link(actor, LEDGER, chosen.query(), now)


def plan_link(actor: Actor | None, plan_id: UUID, now: datetime) -> str | None:
    """Where `actor` gets the items of a bulk resync's plan. None where no key signs links."""
    actor = access.check(actor, Action.VIEW)
    return csv_answers.link(actor, PLAN, {"plan": str(plan_id)}, now)


def storage_link(actor: Actor | None, line: usage.Line, counted_at: datetime, now: datetime) -> str | None:
    """Where `actor` gets the files of this line of a count. None where no key signs links."""
    actor = access.check(actor, Action.VIEW)
    until = counted_at.astimezone(UTC).isoformat()
    return csv_answers.link(
        actor, STORAGE, {"bucket": line.bucket, "purpose": line.purpose, "until": until}, now
    )


def audit_link(actor: Actor | None, chosen: trail.Filter, now: datetime) -> str | None:
    """Where `actor` gets the audit log's lines that the filter matches. None where no key signs links."""
    actor = access.check(actor, Action.READ_AUDIT)
    return csv_answers.link(actor, AUDIT, chosen.query(), now)


@router.get(
    f"/{DELIVERIES}",
    response_class=StreamingResponse,
    responses=refusals(400, 401, 403),
    openapi_extra=_SECURITY,
)
def deliveries_csv(request: Request) -> StreamingResponse:
    """Every generation that the filter matches, newest first; each as it was when its line was written."""
    given, now = dict(request.query_params), database.now()
    actor = csv_answers.looker(DELIVERIES, request, given, now)
    chosen, faults = windows.read(given)
    if faults:
        raise InvalidInput("filter", " ".join(faults))
    rows = (
        [getattr(generation, name) for name in _COLUMNS]
        for generation in health_rows.every_row(actor, chosen, now)
    )
    return csv_answers.answer(f"deliveries-{chosen.window}", _COLUMNS, rows, now)


@router.get(
    f"/{LEDGER}",
    response_class=StreamingResponse,
    responses=refusals(400, 401, 403),
    openapi_extra=_SECURITY,
)
def ledger_csv(request: Request) -> StreamingResponse:
    """Every line of the ledger that the filter matches, newest first; amounts in dollars."""
    given, now = dict(request.query_params), database.now()
    actor = csv_answers.looker(LEDGER, request, given, now)
    chosen, faults = ledger.read(given, now)
    if faults:
        raise InvalidInput("filter", " ".join(faults))
    rows = ([getattr(line, name) for name in _LEDGER_COLUMNS] for line in ledger.every_line(actor, chosen))
    return csv_answers.answer(f"ledger-{chosen.scope}-{chosen.month:%Y-%m}", _LEDGER_COLUMNS, rows, now)


@router.get(
    f"/{PLAN}",
    response_class=StreamingResponse,
    responses=refusals(400, 401, 403, 404),
    openapi_extra=_SECURITY,
)
def plan_csv(request: Request) -> StreamingResponse:
    """Every item of a bulk resync's plan (`plan`: its id) in order, with what became of it."""
    given, now = dict(request.query_params), database.now()
    actor = csv_answers.looker(PLAN, request, given, now)
    try:
        plan_id = UUID(given.get("plan", ""))
    except ValueError:
        raise InvalidInput("plan", "“plan” must be the id of a plan.") from None
    rows = ([getattr(item, name) for name in _ITEM_COLUMNS] for item in plans.every_item(actor, plan_id))
    return csv_answers.answer(f"plan-{str(plan_id)[:8]}", _ITEM_COLUMNS, rows, now)


@router.get(
    f"/{STORAGE}",
    response_class=StreamingResponse,
    responses=refusals(400, 401, 403, 502, 503),
    openapi_extra=_SECURITY,
)
def storage_csv(request: Request) -> StreamingResponse:
    """Every stored file of one `bucket` and `purpose`, with `until` those that were there at that time."""
    given, now = dict(request.query_params), database.now()
    csv_answers.looker(STORAGE, request, given, now)
    bucket, purpose = given.get("bucket", ""), given.get("purpose", "")
    if purpose not in PURPOSES.get(bucket, ()):
        known = "; ".join(f"{name}: {', '.join(purposes)}" for name, purposes in PURPOSES.items())
        raise InvalidInput("purpose", f"There are these buckets and purposes: {known}.")
    found = usage.files(tools.current().storage, bucket, purpose, _moment(given.get("until"), now))
    rows = ([getattr(file, name) for name in _FILE_COLUMNS] for file in found)
    return csv_answers.answer(f"{bucket}-{purpose}", _FILE_COLUMNS, rows, now)


@router.get(
    f"/{AUDIT}",
    response_class=StreamingResponse,
    responses=refusals(400, 401, 403),
    openapi_extra=_SECURITY,
)
def audit_csv(request: Request) -> StreamingResponse:
    """Every line of the audit log that the filter matches, newest first; what changed is JSON."""
    given, now = dict(request.query_params), database.now()
    actor = csv_answers.looker(AUDIT, request, given, now, Action.READ_AUDIT, Role.OPERATIONS)
    chosen, faults = trail.read(given)
    if faults:
        raise InvalidInput("filter", " ".join(faults))
    rows = (
        [_told(getattr(line, name)) for name in _AUDIT_COLUMNS] for line in trail.every_line(actor, chosen)
    )
    return csv_answers.answer("audit", _AUDIT_COLUMNS, rows, now)


def _told(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _moment(text: str | None, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text) if text else now
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidInput("until", "“until” must be a time such as 2026-11-24T13:00:00+00:00.")
    return found
