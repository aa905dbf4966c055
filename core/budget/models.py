"""The ledger's words. Money is Decimal USD with four places."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from core.errors import StudioOpsError

TRAININGS = "trainings"
CENT_PART = Decimal("0.0001")


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


@dataclass(frozen=True)
class CostLine:
    """What something cost in the end. `source_key` names what was paid, so that it is written once."""

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

    @property
    def amount_usd(self) -> Decimal:
        return (self.quantity * self.unit_price).quantize(CENT_PART)


@dataclass(frozen=True)
class Position:
    """Where the month stands."""

    scope: str
    month: date
    limit_usd: Decimal
    alert_usd: Decimal
    settled_usd: Decimal
    reserved_usd: Decimal

    @property
    def committed_usd(self) -> Decimal:
        """Settled and reserved."""
        return self.settled_usd + self.reserved_usd

    @property
    def left_usd(self) -> Decimal:
        return self.limit_usd - self.committed_usd


@dataclass(frozen=True)
class Price:
    """What a unit of a service costs since `valid_from`, and who says so."""

    provider: str
    service: str
    unit: str
    unit_usd: Decimal
    valid_from: datetime
    source: str

    @property
    def version(self) -> str:
        return f"{self.provider}/{self.service} {self.valid_from:%Y-%m-%d}"
