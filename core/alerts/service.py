"""Finds what is wrong, keeps its alert, and takes people's acknowledgements."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection

from core import access, audit, database, settings, usage
from core.access import Action, Actor
from core.alerts import messages, policy
from core.alerts.models import Alert, Kind, Money
from core.alerts.repository import SQL, facts, library_facts, looking, record, to_alert, training_facts
from core.budget import proof
from core.budget import views as budget
from core.budget.models import SCOPES
from core.budget.policy import due_alerts, month_of
from core.errors import Conflict, InvalidInput
from core.machinery import views as machinery
from core.notifications import service as notifications
from core.trainings import downloads, spending
from core.work import runs

MAX_NOTE = 500
# Alerts that different processes open within this time are told in one message.
GATHERED_FOR = timedelta(seconds=10)


def watch_deliveries(now: datetime) -> int:
    """Open an alert for each cause that is there, resolve those whose cause is gone; how many changed."""
    looked_at = looking()
    with database.reading() as connection:
        causes = policy.of_deliveries(facts(connection, now), now)
    with database.statement() as connection:
        return record(connection, policy.OF_DELIVERIES, causes, now, looked_at)


def watch_totals(now: datetime) -> int:
    """The same for the budget's running totals, each proven by its lines."""
    looked_at = looking()
    with database.reading() as connection:
        causes = policy.of_totals(proof.differences(connection))
    with database.statement() as connection:
        return record(connection, policy.OF_TOTALS, causes, now, looked_at)


def watch_library(now: datetime) -> int:
    """The same for the library of LoRAs: its weights, and what they cost."""
    looked_at = looking()
    with database.reading() as connection:
        causes = policy.of_library(library_facts(connection, now))
    with database.statement() as connection:
        return record(connection, policy.OF_LIBRARY, causes, now, looked_at)


def watch_money(now: datetime) -> int:
    """The same for budgets, prices and KIE's balance."""
    looked_at = looking()
    actor = access.job("alerts")
    month = month_of(now)
    dues = [due for scope in SCOPES for due in due_alerts(*budget.outlook(actor, now, scope))]
    worth = spending.worth(actor, month)
    facts_of_money = Money(
        dues=tuple(dues),
        failures=worth.failed,
        failures_usd=worth.failures_usd,
        ended_usd=worth.ended_usd,
        month=month,
        unpriced=budget.unpriced(actor, now),
        credits=budget.kie_credits(actor, now),
    )
    with database.statement() as connection:
        return record(connection, policy.OF_MONEY, policy.of_money(facts_of_money), now, looked_at)


def watch_trainings(now: datetime) -> int:
    """The same for trainings."""
    looked_at = looking()
    images = downloads.rates(access.job("alerts"), now - policy.IMAGES_SINCE)
    with database.reading() as connection:
        causes = policy.of_trainings(training_facts(connection, now, images))
    with database.statement() as connection:
        return record(connection, policy.OF_TRAININGS, causes, now, looked_at)


def watch_storage(now: datetime) -> int:
    """The same for what is stored."""
    looked_at = looking()
    causes = policy.of_storage(usage.daily(9, now))
    with database.statement() as connection:
        return record(connection, (Kind.STORAGE_GROWTH,), causes, now, looked_at)


def watch_channels(now: datetime) -> int:
    """The same for the channels of ALERT_URLS: one that is broken is seen on the page."""
    looked_at = looking()
    causes = policy.of_channels(notifications.standings())
    with database.statement() as connection:
        return record(connection, (Kind.BROKEN_CHANNEL,), causes, now, looked_at)


def tell(now: datetime) -> int:
    """Write one message about all open alerts that nobody was told of, for every channel; about how many.

    It is sent a little later: what other processes open meanwhile joins it. Alerts and message are one
    transaction, and of many processes one tells at a time, so that each alert is told once.
    """
    with database.transaction() as connection:
        SQL["tell_alone"].one(connection)
        joined = _unsent_message(connection, now)
        key = joined or f"alerts:{uuid4()}"
        taken = SQL["take_untold"].run(connection, now=now, key=key, of_money=list(policy.OF_MONEY))
        if taken:
            told = [to_alert(row) for row in SQL["told_by"].all(connection, key=key)]
            title, body = messages.of(told, settings.current().public_base_url)
            if joined:
                notifications.rewrite(connection, key, title, body)
            else:
                notifications.write(connection, key, title, body, now, send_at=now + GATHERED_FOR)
    return taken


def _unsent_message(connection: Connection, now: datetime) -> str | None:
    """The key of the newest message, held, while no channel has begun to send it."""
    newest = SQL["newest_message"].first(connection)
    if newest is None or not notifications.hold_unsent(connection, newest["key"], now):
        return None
    return str(newest["key"])


def watch_machinery(observer_since: datetime, now: datetime) -> int:
    """The same for clocks and workers, by every process that is alive; how many roles nobody plays.

    A dead worker runs no job, and a dead clock starts none: each is missed by the other.
    """
    looked_at = looking()
    causes = policy.of_machinery(runs.liveness(now).last_beat, observer_since, now)
    with database.statement() as connection:
        record(connection, tuple(policy.OF_MACHINERY.values()), causes, now, looked_at)
    return len(causes)


def watch_jobs(now: datetime) -> int:
    """The same for scheduled jobs; called with each heartbeat, for a job that fails may be this one's."""
    looked_at = looking()
    causes = policy.of_jobs(machinery.all_facts(now), now)
    with database.statement() as connection:
        return record(connection, policy.OF_JOBS, causes, now, looked_at)


def prune(resolved_before: datetime) -> int:
    """Forget alerts that have been resolved for so long; how many."""
    with database.statement() as connection:
        return SQL["prune"].run(
            connection, before=resolved_before, closing=list(policy.CLOSED_BY_ACKNOWLEDGING)
        )


def acknowledge(actor: Actor | None, alert_id: UUID, seen_count: int, note: str, now: datetime) -> Alert:
    """Take an alert off the list of what needs a person; it returns when it has grown to twice its size.

    One that tells of something final is closed with it. Conflict when it is resolved, acknowledged, or has
    grown since it was shown with `seen_count`.
    """
    actor = access.check(actor, Action.ACKNOWLEDGE_ALERT)
    note = note.strip()
    if len(note) > MAX_NOTE:
        raise InvalidInput("note", f"A note has at most {MAX_NOTE} characters; this has {len(note)}.")
    with database.transaction() as connection:
        row = SQL["acknowledge"].first(
            connection,
            id=alert_id,
            seen_count=seen_count,
            by=actor.name,
            by_id=actor.id,
            note=note or None,
            now=now,
            closing=list(policy.CLOSED_BY_ACKNOWLEDGING),
        )
        if row is None:
            raise Conflict("It has changed since you saw it: resolved, grown, or seen to by somebody else.")
        alert = to_alert(row)
        audit.record(
            connection,
            actor,
            "alert.acknowledge",
            "alert",
            str(alert_id),
            after={"kind": alert.kind, "count": alert.count, "note": note},
        )
    return alert
