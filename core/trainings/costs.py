"""What a run's paid calls cost: reserved at the launch, settled call by call, the rest given back."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from core import database
from core.budget import prices
from core.budget import service as budget
from core.budget.models import CENT_PART, CostLine, Reservation
from core.providers.fal_models import megapixels
from core.providers.training import TrainingRecord, TrainingState
from core.providers.training_registry import label
from core.trainings import policy
from core.trainings.models import Call, Purpose, Run, Stage
from core.trainings.repository import SQL, calls_of

PICTURES_SERVICE = "flux-lora"
# So many trainings of a trainer make our own history worth more than its typical figures.
OWN_SAMPLES = 10
_STAGE = {Purpose.TRAINING: "training", Purpose.PICTURE: "validation"}


def quote(connection: Connection, trainer: str, steps: int, now: datetime) -> prices.Quote:
    """What a training and its test pictures cost at the most."""
    return prices.training_quote(connection, trainer, steps, policy.PICTURES, policy.PICTURE_SIZE, now)


def usual(connection: Connection, run: Run, own_p50_s: float | None, now: datetime) -> Decimal:
    """What a training of the run and its test pictures usually cost."""
    return expected(quote(connection, run.trainer, run.steps, now), run.trainer, own_p50_s)


def expected(quoted: prices.Quote, trainer: str, own_p50_s: float | None) -> Decimal:
    """What is usual of what is quoted: a pod is reserved for as long as it may run, and runs less."""
    if quoted.hour_usd is None:
        return quoted.total_usd
    hours = Decimal(policy.usual_seconds(Stage.TRAINING, trainer, own_p50_s)) / 3600
    return (hours * quoted.hour_usd).quantize(CENT_PART) + quoted.images_usd


def own_p50(connection: Connection, trainer: str) -> float | None:
    """The trainer's own median seconds, once ten trainings say so."""
    row = SQL["own_p50"].one(connection, trainer=trainer)
    return float(row["p50_s"]) if row["samples"] >= OWN_SAMPLES else None


def ceiling(run: Run, call: Call, record: TrainingRecord, ceiling: timedelta) -> timedelta:
    """How long a training may run: as its trainer says, and where its time is paid no longer than its money
    lasts."""
    rate = record.usd_per_hour or call.usd_per_hour
    if not rate or run.quoted_usd is None:
        return ceiling
    with database.reading() as connection:
        pictures = quote(connection, run.trainer, run.steps, call.created_at).images_usd
        known = calls_of(connection, run.id)
    left = run.quoted_usd - pictures - spent(known, run.reservation_key)
    return min(ceiling, policy.money_lasts(left, rate, prices.STOPPING))


def key_of(run_id: object, number: int) -> str:
    """The name of a run's n-th reservation."""
    return f"training:{run_id}" if number == 1 else f"training:{run_id}:{number}"


def reserve(connection: Connection, run: Run, amount: Decimal, now: datetime) -> str:
    """Promise money for what a run has ahead once more; its key. Raises BudgetExceeded."""
    number = run.reservations + 1
    key = key_of(run.id, number)
    quoted = quote(connection, run.trainer, run.steps, now)
    budget.reserve(connection, reservation(key, amount, run, quoted.note), now)
    usually = expected(quoted, run.trainer, own_p50(connection, run.trainer))
    SQL["set_reservation"].run(
        connection,
        id=run.id,
        key=key,
        quoted_usd=amount,
        expected_usd=min(usually, amount),
        number=number,
        now=now,
    )
    return key


def reservation(key: str, amount: Decimal, run: Run, note: str | None = None) -> Reservation:
    """The reservation of a run as the budget wants it; `note` says which price was not known."""
    return Reservation(
        source_key=key,
        amount_usd=amount,
        provider=run.trainer,
        service=prices.SERVICES.get(run.trainer, "training"),
        user_id=run.user_id,
        lora_model_id=run.lora_id,
        run_id=run.id,
        stage="training",
        flagged=note is not None,
        note=note,
    )


def training_cost(
    connection: Connection, run: Run, call: Call, record: TrainingRecord | None, now: datetime
) -> CostLine:
    """What a training has cost: the provider's own figure where it tells one, else by the table's price."""
    service = prices.SERVICES[call.provider]
    price = prices.current(connection, call.provider, service, call.submitted_at or call.created_at)
    if record is not None and record.cost_usd is not None:
        quantity, unit, each = Decimal(1), "training", record.cost_usd
        version = f"{call.provider}, as told"
    else:
        quantity = policy.cost_quantity(call, run, record, price.unit, now)
        rate = (record and record.usd_per_hour) or call.usd_per_hour
        unit, each = price.unit, rate if price.unit == "hour" and rate else price.unit_usd
        version = price.version
    # What the provider itself tells needs no price of ours.
    note = price.note if version == price.version else None
    if note is None and policy.is_estimate(record, unit):
        said = f"{label(call.provider)} does not say what it bills for a training that did not succeed"
        note = f"An estimate: {said}, so the steps that it did are counted."
    return _line(call, service, quantity, unit, each, version, now, note)


def picture_cost(connection: Connection, call: Call, state: TrainingState, now: datetime) -> CostLine:
    """What a test picture has cost: one that was not made costs nothing."""
    price = prices.current(connection, call.provider, PICTURES_SERVICE, call.submitted_at or call.created_at)
    made = megapixels(*policy.PICTURE_SIZE) if state is TrainingState.SUCCEEDED else 0
    unit, each = price.unit, price.unit_usd
    return _line(call, PICTURES_SERVICE, Decimal(made), unit, each, price.version, now, price.note)


def _line(
    call: Call,
    service: str,
    quantity: Decimal,
    unit: str,
    each: Decimal,
    version: str,
    now: datetime,
    note: str | None,
) -> CostLine:
    return CostLine(
        source_key=f"training-call:{call.id}",
        provider=call.provider,
        service=service,
        quantity=quantity,
        unit=unit,
        unit_price=each,
        price_version=version,
        stage=_STAGE[call.purpose],
        occurred_at=now,
        flagged=note is not None,
        note=note,
    )


def settle(connection: Connection, run: Run, call: Call, line: CostLine, now: datetime) -> None:
    """Write what a call cost, once, out of the reservation that it was begun with."""
    if line.amount_usd <= 0 or call.reservation_key is None:
        return
    budget.settle(connection, call.reservation_key, [line], now, close=False)
    SQL["add_cost"].run(connection, lora_id=run.lora_id, amount=line.amount_usd, now=now)


def close(connection: Connection, run: Run, reason: str, now: datetime) -> None:
    """Give back what is still reserved for a run."""
    if run.reservation_key is None:
        return
    budget.release(connection, run.reservation_key, reason, now)
    SQL["set_reservation"].run(
        connection, id=run.id, key=None, quoted_usd=None, expected_usd=None, number=run.reservations, now=now
    )


def spent(calls: Sequence[Call], reservation_key: str | None) -> Decimal:
    """What the calls of one reservation have cost so far."""
    costs = [call.cost_usd for call in calls if call.reservation_key == reservation_key]
    return sum((cost for cost in costs if cost is not None), Decimal(0))
