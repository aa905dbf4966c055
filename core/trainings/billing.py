"""Compares what we wrote for pods with RunPod's own bill, and puts right what differs."""

from datetime import timedelta
from decimal import Decimal

from core import access, database, log
from core.budget import service as budget
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
    """Correct the lines of pods that RunPod has billed otherwise; how many. Each pod is corrected once."""
    trainer = tools.trainers.get("runpod")
    if not isinstance(trainer, RunPodTrainer):
        return 0
    now = tools.clock()
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
