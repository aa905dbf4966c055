"""What pages show of alerts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core import access, database
from core.access import Action, Actor
from core.alerts.models import Alert
from core.alerts.repository import SQL, to_alert
from core.notifications import service as notifications
from core.notifications.service import Outcome

PAGE = 25
Place = tuple[datetime, UUID]


@dataclass(frozen=True)
class HowMany:
    """Open alerts: those that wait for a person, and those that somebody has seen to; and how many deliveries
    are stuck, from as many on as open an alert."""

    waiting: int
    acknowledged: int
    stuck: int


@dataclass(frozen=True)
class Past:
    """Alerts that are over; `next_before` continues them, None at the end."""

    alerts: tuple[Alert, ...]
    next_before: Place | None


def waiting(actor: Actor | None, limit: int = 20) -> Sequence[Alert]:
    """Open alerts that nobody has acknowledged, worst first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return [to_alert(row) for row in SQL["waiting"].all(connection, limit=limit)]


def acknowledged(actor: Actor | None, limit: int = 50) -> Sequence[Alert]:
    """Open alerts that somebody has seen to, the newest first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return [to_alert(row) for row in SQL["acknowledged"].all(connection, limit=limit)]


def past(actor: Actor | None, before: Place | None = None) -> Past:
    """A page of alerts that are over, the newest first."""
    access.check(actor, Action.VIEW)
    at, alert_id = before or (None, None)
    with database.reading() as connection:
        rows = SQL["past"].all(connection, before_at=at, before_id=alert_id, limit=PAGE + 1)
    found = [to_alert(row) for row in rows]
    last = found[PAGE - 1] if len(found) > PAGE else None
    place = (last.resolved_at, last.id) if last and last.resolved_at else None
    return Past(tuple(found[:PAGE]), place)


def how_many(actor: Actor | None) -> HowMany:
    """How many alerts are open."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return HowMany(**SQL["how_many"].one(connection))


def told(actor: Actor | None, alerts: Sequence[Alert]) -> dict[UUID, tuple[Outcome, ...]]:
    """What became of the messages about these alerts, by the alert."""
    keys = [alert.message_key for alert in alerts if alert.message_key]
    found = notifications.outcomes(actor, keys)
    return {alert.id: found.get(alert.message_key or "", ()) for alert in alerts}
