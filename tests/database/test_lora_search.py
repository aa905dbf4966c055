"""The library is searched: what is found, in which order, page by page; on any Postgres, with parts of
words where it can."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core import access, database
from core.access import Actor, Role
from core.errors import InvalidInput
from core.loras import cursors, policy, repository, totals, views
from core.loras.models import Card, InvalidCursor, OffsetTooLarge, Search, Sort
from tests.database.shared import shared_database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ADA = UUID(int=1, version=4)
STAFF = access.command_line("olga")
VIEWER = Actor("person", "vi", "Vi", frozenset({Role.VIEWER}), "page")
MINE = Actor("customer", str(ADA), str(ADA), frozenset(), "api")
WORDS = ["ada", "lighthouse", "keeper", "cyberpunk", "girl", "sea", "ümlaut", "日本"]


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def seed(count: int = 240) -> None:
    """LoRAs of every kind, many alike in what they are sorted by."""
    dice = random.Random(7)
    sql("INSERT INTO auth.users (id, email) VALUES (%s, 'ada@x.de') ON CONFLICT DO NOTHING", ADA)
    for n in range(count):
        done = dice.random() < 0.7
        sql(
            "INSERT INTO lora_models (id, user_id, creator_key, creator_name, name, description,"
            " training_status, usage_count, created_at, base_model, huggingface_url, tags, is_private,"
            " hidden_at, archived_at, storage_path, storage_url, file_size) VALUES"
            f" ({', '.join(['%s'] * 15)}, 'p', 'u', 1)",
            uuid.UUID(int=dice.getrandbits(128), version=4),
            ADA if n % 5 == 0 else None,
            None if n % 5 == 0 else "staff:bo",
            None if n % 5 == 0 else "Bo_b",
            f"{dice.choice(WORDS)} {dice.choice(WORDS)} {n}",
            dice.choice([None, "by the sea", "50% of_it"]),
            "completed" if done else dice.choice(["pending", "failed"]),
            dice.choice([0, 0, 3, 7]),
            NOW - dice.randrange(5) * DAY,
            dice.choice(["FLUX.1", None]),
            "https://hf.co/x" if done and dice.random() < 0.3 else None,
            dice.sample(["portrait", "sea"], dice.randrange(3)),
            n % 11 == 0,
            NOW if n % 13 == 0 else None,
            NOW if n % 17 == 0 else None,
        )
    for (lora_id,) in sql("SELECT id FROM lora_models ORDER BY id LIMIT 90"):
        for who in range(dice.randrange(1, 4)):
            stars = dice.randrange(1, 6)
            sql("INSERT INTO lora_ratings VALUES (%s, %s, %s, now())", lora_id, f"staff:{who}", stars)


@pytest.fixture(scope="module", autouse=True)
def _library(postgres_server: str) -> Iterator[None]:
    with shared_database(postgres_server):
        seed()
        yield


KEYS = {
    Sort.POPULAR: lambda card: -card.uses,
    Sort.LEAST_USED: lambda card: card.uses,
    Sort.RECENT: lambda card: -card.created_at.timestamp(),
    Sort.NAME: lambda card: card.name.lower().encode(),
    Sort.RATING: lambda card: -card.rating_score,
}


def every(actor: Actor, wanted: Search, limit: int = 7) -> list[Card]:
    """The whole list, page by page, each cursor through its text."""
    found: list[Card] = []
    after = None
    while True:
        page = views.search(actor, wanted, limit=limit, after=after)
        found += page.cards
        if page.next is None:
            assert page.total_is_exact is (page.total < policy.COUNTED_TO or len(found) == page.total)
            return found
        after = cursors.place_of(cursors.cursor_of(page.next, wanted), wanted)


@pytest.mark.parametrize("counted_to", [10_000, 5])
@pytest.mark.parametrize("sort", Sort)
def test_every_order_page_by_page(sort: Sort, counted_to: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few LoRAs are found and sorted, many are read in order: both give each LoRA once, in the same order."""
    monkeypatch.setattr(policy, "COUNTED_TO", counted_to)
    found = every(STAFF, Search(sort=sort))
    [(expected,)] = sql("SELECT count(*) FROM lora_models WHERE archived_at IS NULL")
    assert len(found) == len({card.id for card in found}) == expected
    keys = [KEYS[sort](card) for card in found]
    assert keys == sorted(keys)
    by_offset = [
        card.id
        for offset in range(0, expected, 50)
        for card in views.search(STAFF, Search(sort=sort), limit=50, offset=offset).cards
    ]
    assert by_offset == [card.id for card in found]


FILTERS: dict[str, tuple[Search, str]] = {
    "status": (Search(status="failed"), "l.training_status = 'failed'"),
    "creator": (Search(creator="BO_"), "l.creator_name = 'Bo_b'"),
    "creator, the whole": (Search(creator="ada@x.de"), "l.creator_name = 'ada@x.de'"),
    "no creator": (Search(creator="b%"), "false"),
    "since": (Search(since=NOW - DAY), "l.created_at >= '2026-11-19 12:00 UTC'"),
    "until": (Search(until=NOW - DAY), "l.created_at < '2026-11-19 12:00 UTC'"),
    "base model": (Search(base_model="FLUX.1"), "l.base_model = 'FLUX.1'"),
    "tag": (Search(tag="sea"), "'sea' = ANY (l.tags)"),
    "rating": (
        Search(rating=Decimal(4)),
        "(SELECT avg(stars) FROM lora_ratings WHERE lora_model_id = l.id) >= 4",
    ),
    "published": (Search(published=True), "l.huggingface_url IS NOT NULL"),
    "not published": (Search(published=False), "l.huggingface_url IS NULL"),
    "two": (
        Search(status="completed", tag="portrait"),
        "l.training_status = 'completed' AND 'portrait' = ANY (l.tags)",
    ),
    "words": (Search(text="KEEP light"), "l.name ~* '\\mkeep' AND l.name ~* '\\mlight'"),
    "a word of the description": (Search(text="of it"), "l.description = '50%% of_it'"),
    "beyond ASCII": (Search(text="日本"), "l.name ~ '日本'"),
    "an umlaut": (Search(text="üml"), "l.name ~ 'üml'"),
    "no word": (Search(text="%_'"), "false"),
    "an emoji": (Search(text="🦄"), "false"),
    "only blanks": (Search(text="  "), "false"),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("actor", [STAFF, VIEWER, MINE], ids=["operations", "a viewer", "Ada"])
def test_what_a_filter_finds(name: str, actor: Actor) -> None:
    wanted, condition = FILTERS[name]
    sight = {
        STAFF: "true",
        VIEWER: "NOT l.is_private AND l.hidden_at IS NULL",
        MINE: f"(NOT l.is_private AND l.hidden_at IS NULL OR l.user_id = '{ADA}')",
    }[actor]
    rows = sql(f"SELECT l.id FROM lora_models l WHERE l.archived_at IS NULL AND ({sight}) AND ({condition})")
    expected = {row[0] for row in rows}
    if condition != "false":
        assert expected
    assert {card.id for card in every(actor, wanted)} == expected
    assert views.search(actor, wanted).total == len(expected)


def test_archived_ones_and_own_ones() -> None:
    [(archived,)] = sql("SELECT count(*) FROM lora_models WHERE archived_at IS NOT NULL")
    assert views.search(STAFF, Search(archived=True)).total == archived > 0
    own = every(MINE, Search(mine=True))
    assert {card.user_id for card in own} == {ADA}
    assert any(card.is_private for card in own)


def test_a_total_beyond_the_limit_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "COUNTED_TO", 100)
    page = views.search(STAFF, Search(), limit=10)
    assert (page.total, page.total_is_exact) == (100, False)
    exact = views.search(STAFF, Search(tag="sea", status="failed"), limit=10)
    assert exact.total_is_exact
    assert exact.total == len(every(STAFF, Search(tag="sea", status="failed")))


def test_far_more_than_are_counted_are_remembered_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "COUNTED_TO", 100)
    views.search(STAFF, Search(), limit=10)
    monkeypatch.setattr(totals, "_counted", lambda *_: pytest.fail("counted again"))
    assert views.search(MINE, Search(), limit=10).total == 100


def test_what_one_person_alone_may_see_is_in_nobody_elses_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's own private ones make their list long, and are remembered for nobody."""
    listed = views.search(VIEWER, Search(), limit=10).total
    own = views.search(STAFF, Search(), limit=10).total
    assert own > listed
    monkeypatch.setattr(policy, "COUNTED_TO", listed)
    assert not views.search(STAFF, Search(), limit=10).total_is_exact
    seen = views.search(VIEWER, Search(), limit=10)
    assert (seen.total, seen.total_is_exact) == (listed, True)


@pytest.mark.parametrize(("limit", "field"), [(0, "limit"), (-1, "limit"), (101, "limit")])
def test_a_limit_that_is_none(limit: int, field: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 100") as refused:
        views.search(STAFF, Search(), limit=limit)
    assert refused.value.field == field


def test_an_offset_beyond_what_is_counted_leads_to_the_cursor() -> None:
    assert views.search(STAFF, Search(), offset=10_000).cards == ()
    with pytest.raises(OffsetTooLarge, match=r"at most 10,000\. Go on with next_cursor"):
        views.search(STAFF, Search(), offset=10_001)
    with pytest.raises(InvalidInput):
        views.search(STAFF, Search(), offset=-1)


def test_the_base_models_that_there_are() -> None:
    assert views.base_models(VIEWER) == ("FLUX.1",)


def test_each_way_of_asking_has_its_index() -> None:
    """With a table that is large enough, every list starts at an index."""
    sight = policy.sight_of(VIEWER)
    with database.transaction() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql("SET LOCAL enable_sort = off")
        for sort, index in {
            Sort.POPULAR: "lora_library_uses",
            Sort.LEAST_USED: "lora_library_uses",
            Sort.RECENT: "lora_library_created",
            Sort.NAME: "lora_library_name",
            Sort.RATING: "lora_library_score",
        }.items():
            plan = _plan(connection, repository._MANY[sort], sight, Search(sort=sort))
            assert index in plan, sort
            status = _plan(connection, repository._MANY[sort], sight, Search(sort=sort, status="pending"))
            assert index.replace("library_", "library_status_") in status, sort


def _plan(connection: Any, name: str, sight: Any, wanted: Search) -> str:
    values = repository._values(sight, wanted) | {"after": None, "after_id": None, "limit": 5, "offset": 0}
    with database.planned_anew(connection):
        rows = connection.execute(text("EXPLAIN " + repository.SQL[name].sql), values)
    return "\n".join(row[0] for row in rows)


def test_another_search_is_another_list() -> None:
    page = views.search(STAFF, Search(), limit=1)
    assert page.next is not None
    cursor = cursors.cursor_of(page.next, Search())
    for other in (Search(sort=Sort.NAME), Search(text="ada"), replace(Search(), archived=True)):
        with pytest.raises(InvalidCursor):
            cursors.place_of(cursor, other)
