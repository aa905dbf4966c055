"""Every guarded move of a drawing's row: given back, sent, bound to KIE's id, ended, its money settled."""

from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from core import database
from core.budget import service as budget
from core.errors import ErrorCategory, ProviderError
from core.providers.contract import TaskRecord
from core.trainings import drawings, policy
from core.trainings.drawings import SQL, Drawing, to_drawing
from core.trainings.models import CallState
from core.trainings.tools import Tools

# Somebody looks at the sheet and waits.
POLL = timedelta(seconds=3)


def release(
    drawing: Drawing, at: datetime | None, tools: Tools, words: str | None = None, *, attempt: int = 0
) -> None:
    """Give a leased drawing back, due at `at` or when somebody hurried it; `words`: what is in its way."""
    with database.statement() as connection:
        SQL["release"].run(
            connection,
            id=drawing.id,
            token=drawing.lease_token,
            next_attempt_at=at,
            seen_next_attempt_at=drawing.next_attempt_at,
            attempt=attempt,
            words=words,
        )


def later(drawing: Drawing, words: str, tools: Tools) -> None:
    """A step of ours failed: later once more, and after some tries when a person says so."""
    attempt = drawing.attempt + 1
    at = tools.clock() + policy.pause(attempt) if attempt < policy.MAX_TRIES else None
    release(drawing, at, tools, words, attempt=attempt)


def begin(drawing: Drawing, tools: Tools) -> Drawing | None:
    """Make this process the only one that may send it; None when another was first."""
    with database.statement() as connection:
        row = SQL["begin_sending"].first(
            connection, id=drawing.id, token=drawing.lease_token, now=tools.clock()
        )
    return to_drawing(row) if row else None


def unsend(begun: Drawing, at: datetime, words: str | None) -> None:
    """Put back what certainly was not taken, due at `at`."""
    with database.statement() as connection:
        SQL["unsend"].first(
            connection, id=begun.id, submitted_at=begun.submitted_at, next_attempt_at=at, words=words
        )


def refuse(begun: Drawing, error: ProviderError, tools: Tools) -> None:
    """KIE certainly did not take it, and the same again makes no sense."""
    now = tools.clock()
    with database.transaction() as connection:
        hold_batch(connection, begun.reservation_key)
        ended = SQL["refuse"].first(
            connection,
            id=begun.id,
            submitted_at=begun.submitted_at,
            now=now,
            category=error.category,
            code=error.provider_code,
            words=error.message,
        )
        if ended is not None:
            close_batch(connection, begun.reservation_key, now)


def bind(drawing: Drawing, task_id: str, tools: Tools) -> bool:
    """Record KIE's id of a drawing that was sent; False when one was bound already.

    Whatever was thought of it meanwhile: what KIE took is paid, and its image belongs to the draft.
    """
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["bind"].first(
            connection, id=drawing.id, remote_id=task_id, now=now, next_attempt_at=now + POLL
        )
    return row is not None


def cancel(drawing: Drawing, words: str, tools: Tools) -> None:
    """End a drawing that was never sent."""
    now = tools.clock()
    with database.transaction() as connection:
        hold_batch(connection, drawing.reservation_key)
        if SQL["cancel"].first(connection, id=drawing.id, now=now, words=words) is not None:
            close_batch(connection, drawing.reservation_key, now)


def end(
    drawing: Drawing,
    state: CallState,
    record: TaskRecord | None,
    tools: Tools,
    *,
    paid: bool,
    result_url: str | None = None,
    category: ErrorCategory | None = None,
    words: str | None = None,
) -> Drawing | None:
    """End a drawing that KIE took and settle what it cost, once; None when it had ended before."""
    now = tools.clock()
    with database.transaction() as connection:
        hold_batch(connection, drawing.reservation_key)
        line = drawings.cost(connection, drawing, record, now)
        told = record is not None and record.credits_consumed is not None
        amount = line.amount_usd if paid or told else Decimal(0)
        row = SQL["end"].first(
            connection,
            id=drawing.id,
            now=now,
            state=state,
            result_url=result_url,
            category=category,
            code=record.fail_code if record else None,
            words=words,
            cost_usd=amount,
        )
        if row is None:
            return None
        if amount > 0:
            budget.settle(connection, drawing.reservation_key, [line], now, close=False)
        close_batch(connection, drawing.reservation_key, now)
    return to_drawing(row)


def hold_batch(connection: Connection, reservation_key: str) -> None:
    """Have whoever ends another drawing of the batch wait, so that whoever ends the last one finds it.

    Before anything else of the transaction: two that held one row each would wait for each other.
    """
    SQL["hold_batch"].all(connection, reservation_key=reservation_key)


def close_batch(connection: Connection, reservation_key: str, now: datetime) -> None:
    """Give back what is still reserved for a held batch once none of its images can cost anything."""
    if not SQL["open_in_batch"].one(connection, reservation_key=reservation_key)["n"]:
        budget.release(connection, reservation_key, "every image is made or given up", now)
