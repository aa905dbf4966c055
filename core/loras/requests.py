"""Requests that carry a key of their caller's: asked again they mean the same LoRA."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from core import database
from core.errors import Conflict
from core.loras.repository import SQL

KEPT = timedelta(days=7)


class KeyReused(Conflict):
    """The key stands for another request already."""

    code = "idempotency_key_reused"


@dataclass(frozen=True)
class Claim:
    """The draft that a request is for; `repeated`: it was asked before."""

    draft_id: UUID
    repeated: bool


def claim(caller: str, key: str, body_sha256: str, now: datetime) -> Claim:
    """The draft of this request, the same each time. Raises KeyReused when the key had another body."""
    with database.transaction() as connection:
        given = {"caller": caller, "key": key}
        draft_id = uuid.uuid4()
        if SQL["claim_request"].first(
            connection, **given, body_sha256=body_sha256, draft_id=draft_id, now=now
        ):
            return Claim(draft_id, repeated=False)
        known = SQL["claimed_request"].one(connection, **given)
    if known["body_sha256"] != body_sha256:
        raise KeyReused("This Idempotency-Key came with another body before. Use a new key for it.")
    return Claim(known["draft_id"], repeated=True)


def forget(now: datetime) -> int:
    """Forget requests of more than a week ago; how many."""
    with database.statement() as connection:
        return SQL["forget_requests"].run(connection, before=now - KEPT)
