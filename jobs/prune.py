"""Keeps the tables small that grow by themselves: timelines, callbacks, alerts, the machinery's own."""

from datetime import UTC, datetime, timedelta

from core import settings
from core.alerts import service as alerts
from core.deliveries import retention
from core.work import runs


def run() -> int:
    """Forget what has been over for as long as the settings say; how many rows went."""
    now, of = datetime.now(UTC), settings.current()
    keep = retention.Keep(
        events_from=now - timedelta(days=of.keep_events_days),
        callbacks_from=now - timedelta(days=of.keep_callbacks_days),
    )
    return runs.prune(now) + retention.prune(keep) + alerts.prune(now - timedelta(days=of.keep_alerts_days))
