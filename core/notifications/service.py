"""The messages themselves: written in the transaction of what they tell of, sent by a job, tried again.

Whoever takes a message has it alone for a while, so that many processes send it once. One that is killed
between sending and recording leaves it to be sent once more: an alert twice is better than none.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping

from core import access, audit, database, log, queries, settings
from core.access import Action, Actor
from core.errors import Conflict, ErrorCategory, InvalidInput, ProviderError
from core.notifications import channels
from core.notifications.channels import Channel

SQL = queries.load("notifications")
# Longer than a message takes; who has it longer has been killed.
LEASE = timedelta(minutes=2)
# The pause before each further try; after the last it is given up, and the channel counts as broken.
PAUSES = tuple(timedelta(seconds=s) for s in (10, 30, 120, 600, 3_600, 3_600 * 4))
# So many tries of its newest message in vain, and a channel counts as broken.
BROKEN_AFTER = 3
AT_ONCE, RUN_FOR_S = 20, 20.0
KEPT = timedelta(days=90)
MAX_TITLE, MAX_BODY = 200, 4_000

_log = log.get(__name__)
Send = Callable[[Channel, str, str, str | None], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a message, or of a channel's newest one."""

    label: str
    state: str
    attempts: int
    error: str | None
    ended_at: datetime | None
    next_attempt_at: datetime | None

    @property
    def is_broken(self) -> bool:
        return self.state == "failed" or (self.state != "sent" and self.attempts >= BROKEN_AFTER)


def write(
    connection: Connection, key: str, title: str, body: str, now: datetime, send_at: datetime | None = None
) -> int:
    """Write a message for every channel, in the caller's transaction, once a key; for how many channels.

    It is sent from `send_at` on, by default at once.
    """
    usable = [one for one in channels.of(settings.current()) if one.fault is None]
    return sum(_write(connection, one, key, title, body, None, now, send_at) for one in usable)


def hold_unsent(connection: Connection, key: str, now: datetime) -> bool:
    """Whether a message may still be rewritten: no channel has begun to send it, nor will before this
    transaction ends."""
    rows = SQL["hold_unsent"].all(connection, key=key, now=now)
    return bool(rows) and all(row["is_unsent"] for row in rows)


def rewrite(connection: Connection, key: str, title: str, body: str) -> None:
    """Have a message that is held unsent say something else, by every channel."""
    SQL["rewrite"].run(connection, key=key, title=title[:MAX_TITLE], body=body[:MAX_BODY])


def write_to(connection: Connection, recipient: str, key: str, title: str, body: str, now: datetime) -> bool:
    """Write a mail to one person, once a key; False where no channel sends mail."""
    by = channels.mail_channel(channels.of(settings.current()))
    return by is not None and _write(connection, by, key, title, body, recipient, now)


def _write(
    connection: Connection,
    channel: Channel,
    key: str,
    title: str,
    body: str,
    recipient: str | None,
    now: datetime,
    send_at: datetime | None = None,
) -> bool:
    written = SQL["write"].run(
        connection,
        key=key,
        channel=channel.id,
        label=channel.label,
        recipient=recipient,
        title=title[:MAX_TITLE],
        body=body[:MAX_BODY],
        now=now,
        send_at=send_at or now,
    )
    return written > 0


def deliver(now: Callable[[], datetime] = database.now, send: Send = channels.send) -> int:
    """Send what is due, one after the other; how many were taken by the other side.

    What goes wrong with one is recorded and holds none of the others up.
    """
    known = {one.id: one for one in channels.of(settings.current())}
    sent, until = 0, time.monotonic() + RUN_FOR_S
    for _ in range(AT_ONCE):
        if time.monotonic() >= until:
            break
        started = now()
        with database.statement() as connection:
            row = SQL["take"].first(connection, now=started, lease_until=started + LEASE)
        if row is None:
            break
        sent += _deliver_one(row, known, now, send)
    return sent


def _deliver_one(row: RowMapping, known: dict[str, Channel], now: Callable[[], datetime], send: Send) -> bool:
    try:
        channel = known.get(row["channel"])
        if channel is None:
            raise ProviderError(
                "Its channel is no longer in ALERT_URLS.", category=ErrorCategory.VALIDATION, retryable=False
            )
        send(channel, row["title"], row["body"], row["recipient"])
    except ProviderError as error:
        _not_sent(row, error.words or error.message, now(), again=error.retryable)
        return False
    except Exception as error:  # noqa: BLE001 - a broken channel must not stop the others; it is logged and shown
        _log.exception("notification.failed", label=row["label"])
        _not_sent(row, type(error).__name__, now(), again=True)
        return False
    with database.statement() as connection:
        SQL["sent"].run(connection, id=row["id"], now=now())
    return True


def _not_sent(row: RowMapping, words: str, now: datetime, *, again: bool) -> None:
    attempts: int = row["attempts"]
    at = now + PAUSES[attempts - 1] if again and attempts <= len(PAUSES) else None
    _log.warning("notification.not_sent", label=row["label"], attempts=attempts, error=words)
    with database.statement() as connection:
        SQL["not_sent"].run(connection, id=row["id"], next_attempt_at=at, error=words[:500], now=now)


def test(actor: Actor | None, channel_id: str, now: datetime) -> str:
    """Write a test message for one channel; its key, by which `outcomes` tells what became of it."""
    actor = access.check(actor, Action.TEST_ALERTS)
    found = next((one for one in channels.of(settings.current()) if one.id == channel_id), None)
    if found is None:
        raise Conflict("This channel is no longer in ALERT_URLS. Reload the page.")
    if found.fault is not None:
        raise InvalidInput("channel", found.fault)
    key = f"test:{uuid.uuid4()}"
    body = f"{actor.name} tests whether messages of Studio Ops arrive here. Nothing has to be done."
    with database.transaction() as connection:
        _write(connection, found, key, "Studio Ops: a test message", body, None, now)
        audit.record(connection, actor, "alert.test", "channel", found.id, after={"label": found.label})
    return key


def outcomes(actor: Actor | None, keys: Sequence[str]) -> dict[str, tuple[Outcome, ...]]:
    """What became of the messages with these keys."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = SQL["of_keys"].all(connection, keys=list(keys))
    found: dict[str, tuple[Outcome, ...]] = {}
    for row in rows:
        found[row["key"]] = (*found.get(row["key"], ()), _outcome(row, row["label"]))
    return found


@dataclass(frozen=True)
class Standing:
    """A channel, and what became of its newest message; None before the first."""

    channel: Channel
    last: Outcome | None

    @property
    def problem(self) -> str | None:
        """Why nothing arrives by it, as a sentence; None while all is well."""
        if self.channel.fault is not None:
            return self.channel.fault
        if self.last is not None and self.last.is_broken:
            tries = f"{self.last.attempts} {'time' if self.last.attempts == 1 else 'times'}"
            said = self.last.error or "it gave no reason."
            return f"{self.channel.label} has not taken its message, tried {tries}: {said}"
        return None


def standings() -> tuple[Standing, ...]:
    """Every channel of ALERT_URLS as it stands."""
    known = channels.of(settings.current())
    if not known:
        return ()
    with database.reading() as connection:
        rows = SQL["last_of_channels"].all(connection, channels=[one.id for one in known])
    last = {row["channel"]: row for row in rows}
    return tuple(
        Standing(one, _outcome(last[one.id], one.label) if one.id in last else None) for one in known
    )


def _outcome(row: RowMapping, label: str) -> Outcome:
    names = ("state", "attempts", "error", "ended_at", "next_attempt_at")
    return Outcome(label, **{name: row[name] for name in names})


def choose_mail(actor: Actor | None, email: str, now: datetime) -> str | None:
    """Have the end of the actor's own trainings told by mail to this address; an empty one: no longer.

    Raises InvalidInput for what is no address, Conflict where no channel sends mail.
    """
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    person = person_of(actor)
    if not email.strip():
        with database.statement() as connection:
            SQL["choose_none"].run(connection, person=person)
        return None
    wanted = channels.address(email)
    if channels.mail_channel(channels.of(settings.current())) is None:
        raise Conflict("No channel sends mail: ALERT_URLS has no mailto:// or mailtos:// address.")
    with database.statement() as connection:
        SQL["choose"].run(connection, person=person, email=wanted, now=now)
    return wanted


def chosen_mail(actor: Actor | None) -> str | None:
    """Where the actor is told by mail; None: nowhere."""
    actor = access.check(actor, Action.VIEW)
    with database.reading() as connection:
        row = SQL["choice"].first(connection, person=person_of(actor))
    return str(row["email"]) if row else None


def person_of(actor: Actor) -> str:
    """What a person's choice goes by."""
    return actor.id


def prune(now: datetime) -> int:
    """Forget old messages; how many."""
    with database.statement() as connection:
        return SQL["prune"].run(connection, before=now - KEPT)
