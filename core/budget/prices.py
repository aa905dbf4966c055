"""What paid calls cost, by the dated table of prices."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from core import access, audit, database, log
from core.access import Action, Actor
from core.budget import policy
from core.budget.models import CENT_PART, Price
from core.budget.repository import SQL, to_price
from core.errors import Conflict, InvalidInput, NotFound
from core.providers import runpod
from core.providers.fal_models import megapixels

# Which line of the price table a trainer's own work is paid by.
SERVICES = {"fal": "flux-lora-fast-training", "replicate": "flux-dev-lora-trainer", "runpod": "gpu"}
# A pod may train until its ceiling, and has to be stopped then; what it took is settled.
STOPPING = timedelta(minutes=6)
POD_HOURS = Decimal(int((runpod.CEILING + STOPPING).total_seconds())) / 3600
# What each service of a trainer is paid by, should its price ever be missing.
UNITS = {
    "flux-lora-fast-training": "step",
    "flux-dev-lora-trainer": "step",
    "gpu": "hour",
    "flux-lora": "megapixel",
}
KIE_CREDIT = ("kie", "credit", "credit")
MAX_WORDS = 300

_log = log.get(__name__)


@dataclass(frozen=True)
class Quote:
    """What a training costs at the most, its test pictures apart; `hour_usd` where its time is paid."""

    training_usd: Decimal
    images_usd: Decimal
    service: str
    note: str | None = None
    hour_usd: Decimal | None = None

    @property
    def total_usd(self) -> Decimal:
        return self.training_usd + self.images_usd


def current(connection: Connection, provider: str, service: str, at: datetime) -> Price:
    """The price that held at that moment; where there is none, the highest of its family, which says so.

    A family is what the same provider sells by the same unit, else what anybody does. Raises NotFound that
    says which price is missing when nothing is sold so.
    """
    row = SQL["price"].first(connection, provider=provider, service=service, at=at)
    if row is not None:
        return to_price(row)
    family = SQL["family_price"].first(connection, provider=provider, unit=UNITS.get(service), at=at)
    if family is None:
        raise NotFound(
            f"There is no price for {service} at {provider} on {at:%d %B %Y}. Add it to the prices."
        )
    _log.warning("budget.price_unknown", provider=provider, service=service, taken=family["service"])
    return to_price(family, stands_in=service)


def set_price(
    actor: Actor | None, provider: str, service: str, unit: str, unit_usd: Decimal, source: str, now: datetime
) -> None:
    """What a unit costs from now on, and who says so: a further row, so that what was priced stays so.

    Raises InvalidInput for what is no price, Conflict when it costs that already.
    """
    actor = access.check(actor, Action.MANAGE_BUDGET)
    words = {
        name: " ".join(text.split())
        for name, text in (("provider", provider), ("service", service), ("unit", unit))
    }
    for name, text in words.items():
        if not 1 <= len(text) <= 80 or not text.isprintable():
            raise InvalidInput(name, f"A price names its {name}, in 1 to 80 characters.")
    said = " ".join(source.split())
    if not 3 <= len(said) <= MAX_WORDS:
        raise InvalidInput("source", f"Say where the price comes from, in 3 to {MAX_WORDS} characters.")
    # A unit may cost less than the smallest amount.
    small = unit_usd.is_finite() and 0 < unit_usd < CENT_PART
    policy.amount("unit_usd", CENT_PART if small else unit_usd)
    each = unit_usd.quantize(Decimal("0.000001"))
    if each == 0:
        raise InvalidInput("unit_usd", "A unit costs at least $0.000001.")
    with database.transaction() as connection:
        before = SQL["price"].first(connection, provider=words["provider"], service=words["service"], at=now)
        if before is not None and (before["unit"], before["unit_usd"]) == (words["unit"], each):
            raise Conflict("It costs that already; nothing was changed.")
        who = {"set_by": actor.name, "set_by_id": actor.id}
        values = {**words, "unit_usd": each, "valid_from": now, "source": said}
        if not SQL["add_price"].run(connection, **values, **who):
            raise Conflict("Somebody else has just set this price. Look again.")
        audit.record(
            connection,
            actor,
            "budget.price",
            "price",
            f"{words['provider']}/{words['service']}",
            before={"unit": before["unit"], "unit_usd": str(before["unit_usd"])} if before else None,
            after={"unit": words["unit"], "unit_usd": str(each), "source": said},
        )


def training_quote(
    connection: Connection, trainer: str, steps: int, pictures: int, size: tuple[int, int], at: datetime
) -> Quote:
    """What `steps` at this trainer and so many test pictures of that size cost at the most."""
    price = current(connection, trainer, SERVICES[trainer], at)
    quantity = POD_HOURS if price.unit == "hour" else Decimal(steps)
    picture = current(connection, "fal", "flux-lora", at)
    notes = [note for note in (price.note, picture.note) if note]
    return Quote(
        (quantity * price.unit_usd).quantize(CENT_PART),
        (pictures * megapixels(*size) * picture.unit_usd).quantize(CENT_PART),
        SERVICES[trainer],
        " ".join(notes) or None,
        price.unit_usd if price.unit == "hour" else None,
    )
