"""The ledger's words. Money is Decimal USD with four places."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from core.errors import StudioOpsError

TRAININGS, DELIVERIES, OTHER, EVERYTHING = "trainings", "deliveries", "other", "everything"
# What can have a limit; what other systems write counts in `other` where it is neither of the first two.
SCOPES = (TRAININGS, DELIVERIES, EVERYTHING)
CENT_PART = Decimal("0.0001")
NO_LIMIT = Decimal("Infinity")


class Kind(StrEnum):
    """What a line of ours does."""

    RESERVE = "reserve"
    SETTLE = "settle"
    RELEASE = "release"
    CORRECT = "correct"


class BudgetExceeded(StudioOpsError):
    """The month's budget does not allow it; the text says by how much."""

    code = "budget_exceeded"
    http_status = 402


@dataclass(frozen=True)
class Reservation:
    """Money promised before it is spent. `source_key` names it for good: twice is once."""

    source_key: str
    amount_usd: Decimal
    provider: str
    service: str
    model: str | None = None
    user_id: UUID | None = None
    lora_model_id: UUID | None = None
    run_id: UUID | None = None
    stage: str | None = None
    scope: str = TRAININGS
    flagged: bool = False
    note: str | None = None


@dataclass(frozen=True)
class CostLine:
    """What something cost in the end. `source_key` names what was paid, so that it is written once.

    `flagged`: its price was not known, or what it came to is counted by us; `note` says so.
    """

    source_key: str
    provider: str
    service: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    price_version: str
    stage: str | None = None
    model: str | None = None
    occurred_at: datetime | None = None
    flagged: bool = False
    note: str | None = None

    @property
    def amount_usd(self) -> Decimal:
        return (self.quantity * self.unit_price).quantize(CENT_PART)


@dataclass(frozen=True)
class Position:
    """Where the month stands. `limit_usd` holds `override_usd` already; NO_LIMIT where there is none."""

    scope: str
    month: date
    limit_usd: Decimal
    alert_usd: Decimal
    settled_usd: Decimal
    reserved_usd: Decimal
    override_usd: Decimal = Decimal(0)

    @property
    def committed_usd(self) -> Decimal:
        """Settled and reserved."""
        return self.settled_usd + self.reserved_usd

    @property
    def left_usd(self) -> Decimal:
        return self.limit_usd - self.committed_usd

    @property
    def has_limit(self) -> bool:
        return self.limit_usd.is_finite()


@dataclass(frozen=True)
class Price:
    """What a unit of a service costs since `valid_from`, and who says so.

    `stands_in` is the service whose price was not known, for which this, the highest of its family, is taken.
    """

    provider: str
    service: str
    unit: str
    unit_usd: Decimal
    valid_from: datetime
    source: str
    stands_in: str | None = None

    @property
    def version(self) -> str:
        return f"{self.provider}/{self.service} {self.valid_from:%Y-%m-%d}"

    @property
    def note(self) -> str | None:
        """What a line says that was priced by it."""
        if self.stands_in is None:
            return None
        return f"No price for {self.stands_in} at {self.provider}: the highest of its family is taken."


@dataclass(frozen=True)
class Limit:
    """What may be spent a month, from when on, and who said so."""

    scope: str
    limit_usd: Decimal
    alert_usd: Decimal
    valid_from: datetime
    set_by: str
    set_by_id: str | None
    reason: str | None


@dataclass(frozen=True)
class Override:
    """More money for one month. It ends at `expires_at`, or before when somebody ended it."""

    id: UUID
    scope: str
    month: date
    amount_usd: Decimal
    reason: str
    approved_by: str
    approved_by_id: str | None
    approved_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    ended_by_id: str | None

    def holds(self, now: datetime) -> bool:
        return self.ended_at is None and self.approved_at <= now < self.expires_at


@dataclass(frozen=True)
class Line:
    """A line of the ledger as a person reads it; `id` is its row's. Lines of other systems have no `kind`."""

    id: UUID
    occurred_at: datetime
    scope: str | None
    month: date | None
    kind: str | None
    provider: str | None
    service: str | None
    model: str | None
    stage: str | None
    user_id: UUID | None
    run_id: UUID | None
    generation_id: UUID | None
    quantity: Decimal | None
    unit: str | None
    unit_price: Decimal | None
    price_version: str | None
    amount_usd: Decimal | None
    flagged: bool
    note: str | None
    source_key: str | None
    corrects: str | None

    @property
    def can_be_corrected(self) -> bool:
        return self.kind == Kind.SETTLE or self.source_key is None
