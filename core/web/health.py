"""Whether the product is well, for load balancers and for people with a key."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from core import database, log
from core.deliveries import tools
from core.errors import NotSignedIn, StudioOpsError
from core.web.auth import actor_of
from core.web.openapi import SCHEMES, refusals
from core.work import runs

router = APIRouter(tags=["health"])
_log = log.get(__name__)
DEGRADED: dict[int | str, dict[str, Any]] = {503: {"description": "A part is down; the body says which"}}


@router.get("/health", responses=refusals(400, 401) | DEGRADED, openapi_extra={"security": [{}, *SCHEMES]})
async def health(request: Request, response: Response, deep: bool = False) -> dict[str, Any]:
    """`{"status":"ok"}`; with `?deep=1` and a key the parts too, and 503 when one is down."""
    if not deep:
        return {"status": "ok"}
    if actor_of(request).kind != "key":
        raise NotSignedIn("A deep look takes an API key.")
    parts = await run_in_threadpool(_parts)
    well = all(part["ok"] for part in parts.values())
    response.status_code = 200 if well else 503
    return {"status": "ok" if well else "degraded", "parts": parts}


def _parts() -> dict[str, dict[str, Any]]:
    return {"database": _database(), "storage": _storage(), **_machinery()}


def _database() -> dict[str, Any]:
    try:
        with database.reading() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as fault:
        _log.warning("health.database", error=type(fault).__name__)
        return {"ok": False, "message": "The database cannot be reached."}
    return {"ok": True}


def _storage() -> dict[str, Any]:
    try:
        tools.current().storage.check(tools.BUCKET)
    except StudioOpsError as fault:
        return {"ok": False, "message": fault.message}
    return {"ok": True}


def _machinery() -> dict[str, dict[str, Any]]:
    now = datetime.now(UTC)
    try:
        alive = runs.liveness(now)
        waiting = sum(int(str(queue["waiting"])) for queue in runs.queue_depth())
    except SQLAlchemyError:
        return {role: {"ok": False, "message": "Unknown without the database."} for role in runs.ROLES}
    parts: dict[str, dict[str, Any]] = {}
    for role in runs.ROLES:
        last = alive.last_beat[role]
        parts[role] = {
            "ok": role not in alive.missing,
            "lag_s": round((now - last).total_seconds(), 1) if last else None,
        }
    parts["worker"]["waiting_jobs"] = waiting
    return parts
