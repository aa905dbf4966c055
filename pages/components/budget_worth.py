"""Whether a month's trainings were worth what they cost, in four numbers."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from core.budget.ledger import FAILURES, Filter
from core.trainings.counted import Counted, What
from core.trainings.figures import FIGURES
from core.trainings.spending import Quota, Worth
from pages.components import chosen_lora, definition, formats, openers
from pages.components.openers import Tile
from pages.components.training_words import trainer


def show(found: Worth, quotas: Sequence[Quota], month: date) -> None:
    """Four numbers: a completed LoRA, failures, estimate against actual, quotas; each opens its rows."""
    runs = openers.address(Counted(What.OVER, month=month).query(), "training_runs")
    loras = openers.address({chosen_lora.COUNTED: f"{month:%Y-%m}"}, "lora_library")
    per = found.per_completed_usd
    drift = sum((one.settled_usd - one.quoted_usd for one in found.drifts), Decimal(0))
    quoted = sum((one.quoted_usd for one in found.drifts), Decimal(0))
    full = sum(one.used >= one.quota for one in quotas)
    numbers = (
        (
            "A completed LoRA",
            "per_completed",
            formats.total(per) if per is not None else formats.NO_DATA,
            (
                f"{formats.counted(found.completed, 'completed', 'completed')}, failed ones' share included"
                if found.completed
                else "none is completed yet"
            ),
            runs,
        ),
        (
            "Cost of failures",
            "failures",
            formats.total(found.failures_usd),
            (
                f"{formats.counted(found.failed, 'run', 'runs')} failed or cancelled,"
                f" {formats.percent(found.failure_share)} of ended ones' cost"
                if found.failed
                else "no run has failed or was cancelled"
            ),
            openers.address(Filter(month, runs=FAILURES).query()),
        ),
        (
            "Actual against quoted",
            "drift",
            signed(float(drift / quoted) if quoted else None),
            ", ".join(f"{trainer(one.trainer)} {signed(one.share)}" for one in found.drifts)
            or "none has ended",
            runs,
        ),
        (
            "LoRAs this month",
            "quotas",
            formats.count(sum(one.used for one in quotas)),
            (
                f"{formats.counted(len(quotas), 'creator', 'creators')}, {full} at their quota of"
                f" {quotas[0].quota}"
                if quotas
                else "nobody has begun one"
            ),
            loras if quotas else None,
        ),
    )
    openers.tiles(
        "worth",
        [
            Tile(name, big, (small,), opens, definition.mark_html(name, FIGURES[figure]))
            for name, figure, big, small, opens in numbers
        ],
    )


def signed(share: float | None) -> str:
    """`+2.4 %`, `−1.0 %`, of a share that may be either."""
    if share is None:
        return formats.NO_DATA
    return f"{'−' if share < 0 else '+'}{formats.percent(round(abs(share), 4))}"
