"""Compares what we wrote for pods with RunPod's own bill, and puts right what differs."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import RowMapping

from core import access, database, log
from core.budget import service as budget
from core.budget.models import TRAININGS, CostLine
from core.budget.prices import SERVICES
from core.errors import Conflict, ErrorCategory, ProviderError
from core.providers.runpod import RunPodTrainer
from core.trainings.spending import SQL
from core.trainings.tools import Tools

# A bill is whole some hours after the pod is gone, and worth asking for again for so long. A pod that nobody
# asked about meanwhile, as while the job was paused, is asked about once more within the longer time.
WHOLE_AFTER, ASKED_FOR, CAUGHT_UP_FOR = timedelta(hours=6), timedelta(days=10), timedelta(days=60)
# When a pod without a run was begun nobody knows: it was seen within so long.
SEEN_WITHIN = timedelta(days=7)
# Less than this is how each side rounds.
TOLERATED = Decimal("0.01")
AT_ONCE = 100
# What is about all pods and not about the one that was asked about.
_ABOUT_ALL = {
    ErrorCategory.NETWORK,
    ErrorCategory.TIMEOUT,
    ErrorCategory.AUTHENTICATION,
    ErrorCategory.RATE_LIMIT,
}

_log = log.get(__name__)


def compare(tools: Tools) -> int:
    """Correct the lines of pods that RunPod has billed otherwise, and write those of pods that belonged to no
    run; how many. Each pod has its line once."""
    trainer = tools.trainers.get("runpod")
    if not isinstance(trainer, RunPodTrainer):
        return 0
    now = tools.clock()
    return _correct_lines(trainer, now) + _write_orphans(trainer, now)


def _correct_lines(trainer: RunPodTrainer, now: datetime) -> int:
    corrected = 0
    for row, billed in _bills(trainer, "unbilled_pods", now, timedelta()):
        if abs(billed - row["amount_usd"]) <= TOLERATED:
            continue
        reason = f"RunPod billed ${billed:.4f} for pod {row['remote_id']}."
        try:
            budget.correct(access.job("pod_bills"), row["line_id"], billed, reason, now, f"bill/{row['id']}")
        except Conflict as error:
            _log.info("training.bill_settled", remote_id=row["remote_id"], reason=error.message)
            continue
        corrected += 1
    return corrected


def _write_orphans(trainer: RunPodTrainer, now: datetime) -> int:
    """A pod of ours without a run has cost money too: what RunPod has billed for it is a line of its own."""
    written = 0
    for row, billed in _bills(trainer, "unbilled_orphans", now, SEEN_WITHIN):
        line = CostLine(
            source_key=f"orphan-pod:{row['remote_id']}",
            provider="runpod",
            service=SERVICES["runpod"],
            quantity=Decimal(1),
            unit="pod",
            unit_price=billed,
            price_version="runpod, as billed",
            stage="training",
            occurred_at=row["ended_at"],
            note=f"Pod {row['remote_id']} belonged to no run.",
        )
        with database.transaction() as connection:
            written += budget.pay(connection, TRAININGS, line, now)
    return written


def _bills(
    trainer: RunPodTrainer, which: str, now: datetime, before: timedelta
) -> Iterator[tuple[RowMapping, Decimal]]:
    """The pods that have a bill by now, with what it says; `before` is by how much each may have begun
    earlier than we know.

    One that was asked about goes behind all others, so that each has its turn however many there are.
    """
    with database.reading() as connection:
        rows = SQL[which].all(
            connection,
            ended_before=now - WHOLE_AFTER,
            ended_after=now - ASKED_FOR,
            never_asked_after=now - CAUGHT_UP_FOR,
            limit=AT_ONCE,
        )
    for row in rows:
        try:
            billed = trainer.billed(row["remote_id"], row["since"] - before)
        except ProviderError as error:
            _log.warning("training.bill_unknown", remote_id=row["remote_id"], error=error.message)
            if error.category in _ABOUT_ALL:
                return
            if error.category is ErrorCategory.SERVICE_ERROR:
                continue
            billed = None
        if billed is not None:
            yield row, billed
        with database.statement() as connection:
            SQL["bill_asked"].run(connection, pod_id=row["remote_id"], now=now)
