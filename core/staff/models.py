"""People who work here, their sign-ins, and what a provider says of somebody."""

from dataclasses import dataclass
from datetime import datetime

from core.access import Role


@dataclass(frozen=True)
class Identity:
    """Who somebody is, as the sign-in provider says it.

    `nonce` is the one of this very login; `verified` whether the provider has verified the address.
    """

    issuer: str
    subject: str
    nonce: str
    email: str
    verified: bool
    name: str
    issued_at: datetime | None


@dataclass(frozen=True)
class Person:
    """Somebody who may come in, or might; `last_seen_at` is None for who never has."""

    email: str
    name: str
    roles: frozenset[Role]
    active: bool
    added_by: str
    added_by_id: str | None
    added_at: datetime
    last_seen_at: datetime | None
    open_sessions: int


@dataclass(frozen=True)
class Session:
    """A sign-in that has not ended; `number` tells it apart without giving its key away."""

    key: str
    email: str
    address: str | None
    began_at: datetime
    seen_at: datetime
    expires_at: datetime

    @property
    def number(self) -> str:
        """A few letters of its key, for people."""
        return self.key[:8]
