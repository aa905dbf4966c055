"""Compares what we wrote for pods with RunPod's own bill, and puts right what differs."""

from datetime import datetime, timedelta
from decimal import Decimal

from core import access, database, log
from core.budget import service as budget
from core.budget.models import TRAININGS, CostLine
from core.budget.prices import SERVICES
from core.errors import Conflict, ProviderError
from core.providers.runpod import RunPodTrainer
from core.trainings.spending import SQL
from core.trainings.tools import Tools

# A bill is whole some hours after the pod is gone, and worth asking for so long.
WHOLE_AFTER, ASKED_FOR = timedelta(hours=6), timedelta(days=10)
# Less than this is how each side rounds.
TOLERATED = Decimal("0.01")
AT_ONCE = 100

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
    with database.reading() as connection:
        rows = SQL["unbilled_pods"].all(
            connection, ended_before=now - WHOLE_AFTER, ended_after=now - ASKED_FOR, limit=AT_ONCE
        )
    corrected = 0
    for row in rows:
        try:
            billed = trainer.billed(row["remote_id"])
        except ProviderError as error:
            _log.warning("training.bill_unknown", remote_id=row["remote_id"], error=error.message)
            break
        if billed is None or abs(billed - row["amount_usd"]) <= TOLERATED:
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
    with database.reading() as connection:
        rows = SQL["unbilled_orphans"].all(
            connection, ended_before=now - WHOLE_AFTER, ended_after=now - ASKED_FOR, limit=AT_ONCE
        )
    written = 0
    for row in rows:
        try:
            billed = trainer.billed(row["pod_id"])
        except ProviderError as error:
            _log.warning("training.bill_unknown", remote_id=row["pod_id"], error=error.message)
            break
        if billed is None:
            continue
        line = CostLine(
            source_key=f"orphan-pod:{row['pod_id']}",
            provider="runpod",
            service=SERVICES["runpod"],
            quantity=Decimal(1),
            unit="pod",
            unit_price=billed,
            price_version="runpod, as billed",
            stage="training",
            occurred_at=row["ended_at"],
            note=f"Pod {row['pod_id']} belonged to no run.",
        )
        with database.transaction() as connection:
            written += budget.pay(connection, TRAININGS, line, now)
    return written
