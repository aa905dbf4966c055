"""What paid calls cost, by the dated table of prices."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from sqlalchemy import Connection

from core.budget.models import CENT_PART, Price
from core.budget.repository import SQL
from core.errors import NotFound

# Which line of the price table a trainer's own work is paid by.
SERVICES = {"fal": "flux-lora-fast-training", "replicate": "flux-dev-lora-trainer", "runpod": "gpu"}
# A training on a pod is promised so many hours; what it took is settled.
POD_HOURS = Decimal(1)


@dataclass(frozen=True)
class Quote:
    """What a training is expected to cost, its test pictures apart."""

    training_usd: Decimal
    images_usd: Decimal
    service: str

    @property
    def total_usd(self) -> Decimal:
        return self.training_usd + self.images_usd


def current(connection: Connection, provider: str, service: str, at: datetime) -> Price:
    """The price that held at that moment. Raises NotFound that says which is missing."""
    row = SQL["price"].first(connection, provider=provider, service=service, at=at)
    if row is None:
        raise NotFound(
            f"There is no price for {service} at {provider} on {at:%d %B %Y}. Add it to the prices."
        )
    return Price(**row)


def megapixels(width: int, height: int) -> int:
    """Started megapixels, by which fal's pictures are paid."""
    return int((Decimal(width * height) / 1_000_000).to_integral_value(ROUND_CEILING))


def training_quote(
    connection: Connection, trainer: str, steps: int, pictures: int, size: tuple[int, int], at: datetime
) -> Quote:
    """What `steps` at this trainer and so many test pictures of that size will cost."""
    price = current(connection, trainer, SERVICES[trainer], at)
    quantity = POD_HOURS if price.unit == "hour" else Decimal(steps)
    picture = current(connection, "fal", "flux-lora", at)
    return Quote(
        (quantity * price.unit_usd).quantize(CENT_PART),
        (pictures * megapixels(*size) * picture.unit_usd).quantize(CENT_PART),
        price.service,
    )
