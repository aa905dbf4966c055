"""Whose account at the company's application an actor acts as."""

from uuid import UUID

from sqlalchemy import Connection

from core.access import Actor
from core.loras import policy
from core.loras.models import Sight
from core.loras.repository import SQL


def account_of(connection: Connection, actor: Actor) -> UUID | None:
    """A customer's own account; staff's is the one with their verified address. None where there is none."""
    if actor.kind == "customer":
        return policy.customer_id(actor)
    if actor.kind != "person" or not actor.email:
        return None
    found: UUID | None = SQL["account"].one(connection, address=actor.email.strip())["id"]
    return found


def sight_of(connection: Connection, actor: Actor) -> Sight:
    """What an actor may see, by who they are and by their account."""
    return policy.sight_of(actor, account_of(connection, actor))
