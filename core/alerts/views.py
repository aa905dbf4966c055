"""What pages show of alerts."""

from collections.abc import Sequence

from core import access, database
from core.access import Action, Actor
from core.alerts.models import Alert
from core.alerts.repository import SQL, to_alert


def waiting(actor: Actor | None, limit: int = 20) -> Sequence[Alert]:
    """Open alerts that nobody has acknowledged, worst first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return [to_alert(row) for row in SQL["waiting"].all(connection, limit=limit)]
