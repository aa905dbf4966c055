"""Who did what to what: a line written in the transaction of the change itself."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from core import log, queries
from core.access import Actor

_SQL = queries.load("audit")


def record(
    connection: Connection,
    actor: Actor,
    action: str,
    object_type: str,
    object_id: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    """Append one line; it stands or falls with the caller's transaction and can't be changed later."""
    _SQL["append"].run(
        connection,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        action=action,
        object_type=object_type,
        object_id=object_id,
        before=_as_json(before),
        after=_as_json(after),
        reason=reason,
        request_id=log.request_id(),
        source=actor.source,
        address=actor.address,
    )


def _as_json(facts: Mapping[str, Any] | None) -> str | None:
    return None if facts is None else json.dumps(log.redact(facts), default=str)
