"""Keeps the tables small that grow by themselves: timelines, callbacks, drafts, sign-ins and more."""

from datetime import UTC, datetime, timedelta

from core import settings, visits
from core.alerts import service as alerts
from core.deliveries import retention
from core.machinery import service as machinery
from core.notifications import service as notifications
from core.plans import running as plans
from core.staff import service as staff
from core.trainings import retention as trainings
from core.trainings import tools
from core.work import allowances, runs


def run() -> int:
    """Forget what has been over for as long as the settings say; how many rows and drafts went."""
    now, of = datetime.now(UTC), settings.current()

    def ago(days: int) -> datetime:
        return now - timedelta(days=days)

    deliveries = retention.Keep(ago(of.keep_events_days), ago(of.keep_callbacks_days))
    of_trainings = trainings.Keep(ago(of.keep_training_logs_days), ago(of.keep_drafts_days))
    return (
        runs.prune(now)
        + machinery.prune(now)
        + visits.prune(now)
        + retention.prune(deliveries)
        + trainings.prune(of_trainings, tools.current().dataset)
        + alerts.prune(ago(of.keep_alerts_days))
        + notifications.prune(now)
        + plans.prune(ago(of.keep_alerts_days), ago(1))
        + allowances.prune(now)
        + staff.prune(now)
    )
