"""Rows of the library as dataclasses, and the one way in which it is searched."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from core import database
from core.budget.policy import next_month
from core.loras import policy, totals
from core.loras.models import Card, Found, Lora, Place, Search, Sight, Sort, Standing

SQL = totals.SQL
_FEW = {
    Sort.POPULAR: "few_down",
    Sort.RATING: "few_down",
    Sort.RECENT: "few_recent",
    Sort.LEAST_USED: "few_up",
    Sort.NAME: "few_by_name",
}
_MANY = {
    Sort.POPULAR: "many_popular",
    Sort.RATING: "many_rating",
    Sort.RECENT: "many_recent",
    Sort.LEAST_USED: "many_least_used",
    Sort.NAME: "many_name",
}


def find(connection: Connection, lora_id: UUID, sight: Sight) -> Lora | None:
    """One LoRA, if whoever looks may see it."""
    row = SQL["get"].first(connection, id=lora_id, **sight_values(sight))
    return Lora(**row) if row else None


def sight_values(sight: Sight) -> dict[str, Any]:
    """Who looks, as the queries take it."""
    return {"sees_all": sight.sees_all, "viewer": sight.viewer, "viewer_key": sight.viewer_key}


def statuses(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Standing]:
    """How far these LoRAs are."""
    return {row["id"]: to_standing(row) for row in SQL["statuses"].all(connection, ids=list(ids))}


def to_standing(row: RowMapping) -> Standing:
    """A row of `statuses`."""
    over = row["training_status"] == "completed"
    progress = 100 if over else max(0, min(100, row["training_progress"] or 0))
    return Standing(
        id=row["id"],
        status=row["training_status"],
        progress=progress,
        remaining_s=None if over else row["estimated_remaining"],
        error=row["error_message"] if row["training_status"] == "failed" else None,
        user_id=row["user_id"],
        creator_key=row["creator_key"],
        is_listed=row["is_listed"],
    )


def search(
    connection: Connection, sight: Sight, wanted: Search, limit: int, after: Place | None, offset: int
) -> Found:
    """A page of what fits. What fits is counted first: what is few is found and then sorted, what is many is
    read in its order, so that neither reads the whole table."""
    with database.planned_anew(connection):
        asked = _asked(connection, sight, wanted)
        if asked is None:
            return Found((), 0, total_is_exact=True, next=None)
        values, total, library = asked
        collected = policy.is_collected(total, library, limit) or policy.is_recent(wanted.since)
        named = SQL[(_FEW if collected else _MANY)[wanted.sort]]
        if named.name == "few_down":
            values["sort"] = wanted.sort
        place = {"after": after.value if after else None, "after_id": after.id if after else None}
        rows = named.rows(connection, **values, **place, limit=limit + 1, offset=offset)
    last = rows[limit - 1] if len(rows) > limit else None
    return Found(
        tuple(lora_id for lora_id, _ in rows[:limit]),
        min(total, policy.COUNTED_TO),
        total <= policy.COUNTED_TO,
        Place(_text(last[1]), last[0]) if last else None,
    )


def cards(connection: Connection, ids: Sequence[UUID]) -> tuple[Card, ...]:
    """The cards of these LoRAs, in their order."""
    rows = SQL["cards"].rows(connection, ids=list(ids)) if ids else ()
    known = {card.id: card for card in (Card(*row) for row in rows)}
    return tuple(known[one] for one in ids if one in known)


def told(connection: Connection, ids: Sequence[UUID]) -> str:
    """These LoRAs in their order, as the API tells them: a JSON array, written by the database itself."""
    return str(SQL["told"].one(connection, ids=list(ids))["loras"]) if ids else "[]"


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _asked(connection: Connection, sight: Sight, wanted: Search) -> tuple[dict[str, Any], int, int] | None:
    """What the queries are asked, how many fit, counted up to one more than the limit, and about how many
    LoRAs there are; None: none can fit."""
    values = _values(sight, wanted)
    if wanted.wrong:
        values["among"] = wrong_weights(connection)
    if wanted.counted is not None:
        counting = counted_in(connection, wanted.counted)
        among = values["among"]
        values["among"] = counting if among is None else [one for one in counting if one in set(among)]
    text = policy.clean(wanted.text or "")
    if text:
        values["words"] = _query(connection, policy.words_of(text))
    elif wanted.text:
        return None
    total, library = totals.count(connection, values) if values["words"] or not text else (0, 0)
    if text and total < policy.FEW:
        near = SQL["near"].one(connection, text=text, most=policy.NEAR)["ids"]
        if not near and not values["words"]:
            return None
        if near:
            values["near"] = near
            total, library = totals.count(connection, values)
    return values, total, library


def wrong_weights(connection: Connection) -> list[UUID]:
    """The LoRAs whose weights are not as they should be, as many as an alert counts."""
    return [row["id"] for row in SQL["wrong_weights"].all(connection, most=policy.MOST_WRONG)]


def counted_in(connection: Connection, month: date) -> list[UUID]:
    """The LoRAs that count in the quotas of the month with this first day."""
    first, following = (datetime(day.year, day.month, 1, tzinfo=UTC) for day in (month, next_month(month)))
    rows = SQL["counted_in_month"].all(
        connection, month=first, next_month=following, most=policy.MOST_COUNTED
    )
    return [row["id"] for row in rows]


def _query(connection: Connection, words: Sequence[str]) -> str | None:
    if not words:
        return None
    known: dict[str, list[str]] = {word: [] for word in words}
    rows = SQL["beginning"].all(connection, beginnings=list(words), most=policy.MOST_ENDINGS + 1)
    for row in rows:
        known[words[row["n"] - 1]].append(row["word"])
    return policy.query_of(words, known)


def _values(sight: Sight, wanted: Search) -> dict[str, Any]:
    either = wanted.wrong or wanted.counted is not None
    return {
        **sight_values(sight),
        "archived": None if either and not wanted.archived else wanted.archived,
        "among": None,
        "words": None,
        "near": None,
        "status": wanted.status,
        "creator": policy.prefix_pattern(wanted.creator) if wanted.creator else None,
        "mine": wanted.mine,
        "since": wanted.since,
        "until": wanted.until,
        "base_model": wanted.base_model,
        "tag": wanted.tag,
        "rating": wanted.rating,
        "published": wanted.published,
        "restricted": wanted.restricted,
    }
