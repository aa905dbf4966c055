"""What is done to LoRAs of the library: by whom, once, with its reason, and what others see afterwards."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import SQLAlchemyError

from core import database
from core.access import Actor, Role
from core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from core.loras import service, views
from core.loras.models import Reason, Search, Way
from tests.database.shared import shared_database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ADA, BO = (str(UUID(int=n, version=4)) for n in (1, 2))


def staff(name: str, *roles: Role) -> Actor:
    return Actor("person", name, name.title(), frozenset(roles), "page")


def customer(user_id: str) -> Actor:
    return Actor("customer", user_id, user_id, frozenset(), "api")


VIEWER, PRODUCT = staff("vi", Role.VIEWER), staff("pia", Role.PRODUCT)
OPERATIONS = staff("olga", Role.OPERATIONS)


@pytest.fixture(scope="module")
def library(postgres_server: str) -> Iterator[None]:
    with shared_database(postgres_server):
        sql("INSERT INTO auth.users (id, email) VALUES (%s, 'ada@x.de'), (%s, 'bo@x.de')", ADA, BO)
        yield


@pytest.fixture
def lora(library: None) -> UUID:
    """A completed LoRA of Ada's, and nothing said of it."""
    return completed(ADA)


def sql(statement: str, *values: Any) -> list[Any]:
    with database.transaction() as connection:
        result = connection.exec_driver_sql(statement, values or None)
        return list(result.all()) if result.returns_rows else []


def completed(user_id: str | None, **columns: Any) -> UUID:
    """A LoRA that can be used."""
    lora_id = uuid.uuid4()
    values = {
        "id": lora_id, "user_id": user_id, "name": f"Ada {lora_id}", "training_status": "completed",
        "storage_path": "a/b.safetensors", "storage_url": "u", "file_size": 1_000, "created_at": NOW,
        **columns,
    }  # fmt: skip
    sql(
        f"INSERT INTO lora_models ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
        *values.values(),
    )
    return lora_id


def audited(lora_id: UUID) -> list[tuple[str, str, str | None]]:
    rows = sql(
        "SELECT action, actor_name, reason FROM audit_log WHERE object_id = %s ORDER BY id", str(lora_id)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def test_a_person_has_one_rating_and_few_count_little(lora: UUID) -> None:
    service.rate(VIEWER, lora, 5, NOW)
    service.rate(VIEWER, lora, 4, NOW)
    service.rate(PRODUCT, lora, 5, NOW)
    found = views.get(VIEWER, lora)
    assert (found.rating_count, found.rating_average) == (2, Decimal("4.500"))
    assert found.rating_score == Decimal("3.42857")
    assert views.own_rating(VIEWER, lora) == 4
    service.take_rating_back(VIEWER, lora)
    assert views.own_rating(VIEWER, lora) is None
    assert views.get(VIEWER, lora).rating_average == 5
    assert [line[0] for line in audited(lora)] == ["lora.rate"] * 3 + ["lora.take_rating_back"]


def test_only_what_is_completed_is_rated(library: None) -> None:
    lora_id = completed(ADA, training_status="training")
    with pytest.raises(Conflict, match="once it is completed"):
        service.rate(VIEWER, lora_id, 3, NOW)
    for stars in (0, 6):
        with pytest.raises(InvalidInput, match="1 to 5 stars"):
            service.rate(VIEWER, lora_id, stars, NOW)


def test_many_are_tagged_at_once_or_none_is(lora: UUID) -> None:
    other = completed(BO)
    assert service.tag(PRODUCT, [lora, other], NOW, add=["Portrait ", "sea"]) == 2
    assert service.tag(PRODUCT, [lora, other], NOW, add=["sea"]) == 0
    assert service.tag(PRODUCT, [other], NOW, remove=["sea"]) == 1
    assert list(views.get(VIEWER, lora).tags) == ["portrait", "sea"]
    assert list(views.get(VIEWER, other).tags) == ["portrait"]
    with pytest.raises(NotAllowed, match="Only its creator"):
        service.tag(customer(ADA), [lora, other], NOW, add=["mine"])
    assert list(views.get(VIEWER, lora).tags) == ["portrait", "sea"]
    assert {card.id for card in views.search(VIEWER, Search(tag="Sea")).cards} == {lora}


def test_a_lora_is_described_by_those_who_may(lora: UUID) -> None:
    service.describe(customer(ADA), lora, " Keeper of the light ", "At sea", NOW)
    assert views.get(VIEWER, lora).named == "Keeper of the light (by ada@x.de)"
    assert lora in {card.id for card in views.search(VIEWER, Search(text="keep")).cards}
    with pytest.raises(NotAllowed):
        service.describe(VIEWER, lora, "Other", None, NOW)
    completed(ADA, name="Taken")
    with pytest.raises(Conflict, match="“Taken” already"):
        service.describe(customer(ADA), lora, "Taken", None, NOW)
    for name in ("", " ", "a\nb", "x" * 256):
        with pytest.raises(InvalidInput, match="1 to 255"):
            service.describe(customer(ADA), lora, name, None, NOW)


LOOKERS = [VIEWER, PRODUCT, customer(BO)]


@pytest.mark.parametrize("how", ["private", "hidden"])
def test_what_is_private_or_hidden_is_seen_by_its_creator_and_operations(lora: UUID, how: str) -> None:
    if how == "private":
        service.set_private(customer(ADA), lora, NOW, private=True)
    else:
        service.hide(OPERATIONS, lora, "not nice", NOW)
    for actor in LOOKERS:
        assert views.search(actor, Search(text=str(lora))).total == 0
        for look in (views.get, views.status):
            with pytest.raises(NotFound):
                look(actor, lora)
        with pytest.raises(NotFound):
            views.quality(actor, lora, NOW)
        assert views.versions(actor, lora) == ()
        for act in _acts(actor, lora):
            with pytest.raises((NotFound, NotAllowed)):
                act()
    for actor in (customer(ADA), OPERATIONS):
        assert views.search(actor, Search(text=str(lora))).total == 1
        assert views.get(actor, lora).id == views.status(actor, lora).id == lora
    assert lora in {card.id for card in views.search(OPERATIONS, Search(restricted=True)).cards}
    assert views.search(VIEWER, Search(restricted=True)).total == 0


def _acts(actor: Actor, lora: UUID) -> list[Callable[[], object]]:
    return [
        lambda: service.rate(actor, lora, 5, NOW),
        lambda: service.report(actor, lora, Reason.POOR, "", NOW),
        lambda: service.describe(actor, lora, "x", None, NOW),
        lambda: service.tag(actor, [lora], NOW, add=["x"]),
        lambda: service.set_private(actor, lora, NOW, private=False),
        lambda: service.archive(actor, lora, "because", NOW),
        lambda: service.begin_version(actor, lora, uuid.uuid4(), NOW),
    ]


def test_only_its_creator_and_operations_make_a_lora_private(lora: UUID) -> None:
    with pytest.raises(NotAllowed, match="Only its creator and operations"):
        service.set_private(PRODUCT, lora, NOW, private=True)
    service.set_private(OPERATIONS, lora, NOW, private=True)
    service.set_private(customer(ADA), lora, NOW, private=False)
    assert not views.get(VIEWER, lora).is_private


def test_reports_wait_until_somebody_decides(lora: UUID) -> None:
    service.report(VIEWER, lora, Reason.OFFENSIVE, "", NOW)
    service.report(PRODUCT, lora, Reason.OTHER, "It is my aunt.", NOW + DAY)
    with pytest.raises(Conflict, match="still waits"):
        service.report(VIEWER, lora, Reason.POOR, "", NOW)
    with pytest.raises(InvalidInput, match="Say why"):
        service.report(OPERATIONS, lora, Reason.OTHER, " ", NOW)
    with pytest.raises(NotAllowed):
        views.queue(PRODUCT)
    with pytest.raises(NotAllowed):
        views.reported(PRODUCT, lora)
    [reported] = [one for one in views.queue(OPERATIONS) if one.id == lora]
    assert views.reported(OPERATIONS, lora) == reported
    assert (reported.reports, reported.since, list(reported.notes)) == (2, NOW, ["", "It is my aunt."])
    assert views.open_reports(VIEWER, lora) == (2, True)
    service.dismiss_reports(OPERATIONS, lora, "It is nobody's aunt.", NOW)
    assert views.open_reports(VIEWER, lora) == (0, False)
    assert views.reported(OPERATIONS, lora) is None
    with pytest.raises(Conflict, match="No report"):
        service.dismiss_reports(OPERATIONS, lora, "again", NOW)
    service.report(VIEWER, lora, Reason.POOR, "", NOW)
    service.hide(OPERATIONS, lora, "poor indeed", NOW)
    assert views.open_reports(OPERATIONS, lora) == (0, False)


def test_hiding_and_archiving_have_reasons_and_can_be_undone(lora: UUID) -> None:
    with pytest.raises(NotAllowed):
        service.hide(PRODUCT, lora, "because", NOW)
    for act in (service.hide, service.archive):
        with pytest.raises(InvalidInput, match="Say why"):
            act(OPERATIONS, lora, "  ", NOW)
    service.hide(OPERATIONS, lora, "a real person", NOW)
    with pytest.raises(Conflict, match="hidden already"):
        service.hide(OPERATIONS, lora, "again", NOW)
    found = views.get(OPERATIONS, lora)
    assert (found.hidden_reason, found.hidden_by, found.hidden_at) == ("a real person", "Olga", NOW)
    service.show_again(OPERATIONS, lora, "she agreed", NOW)
    assert views.get(VIEWER, lora).hidden_reason is None
    service.archive(PRODUCT, lora, "version 2 is better", NOW)
    assert lora not in {card.id for card in views.search(VIEWER, Search(text=str(lora))).cards}
    assert views.search(VIEWER, Search(text=str(lora), archived=True)).total == 1
    assert views.get(VIEWER, lora).archived_reason == "version 2 is better"
    service.unarchive(PRODUCT, lora, "it is not", NOW)
    assert views.search(VIEWER, Search(text=str(lora))).total == 1
    assert audited(lora) == [
        ("lora.hide", "Olga", "a real person"),
        ("lora.show_again", "Olga", "she agreed"),
        ("lora.archive", "Pia", "version 2 is better"),
        ("lora.unarchive", "Pia", "it is not"),
    ]


def test_a_use_counts_once_and_is_known_from_both_sides(lora: UUID) -> None:
    generation = uuid.uuid4()
    sql("INSERT INTO generations (id, status) VALUES (%s, 'success')", generation)
    for _ in range(2):
        with database.transaction() as connection:
            service.use(connection, PRODUCT, lora, generation, Way.DIRECT, NOW)
    with database.transaction() as connection:
        assert service.use(connection, PRODUCT, lora, uuid.uuid4(), Way.FIRST_FRAME, NOW - DAY)
    assert views.get(VIEWER, lora).uses == 2
    found = views.quality(VIEWER, lora, NOW)
    assert [uses for _, uses in found.by_day] == [1, 1]
    assert found.newest[0].generation_id == generation
    assert (found.succeeded, found.failed, found.success) == (1, 0, 1.0)
    assert views.of_generation(VIEWER, generation)[0][0] == lora


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"training_status": "training"}, "once it is completed"),
        ({"archived_at": NOW}, "archived"),
    ],
)
def test_what_cannot_be_used_is_not_counted(library: None, columns: dict[str, Any], says: str) -> None:
    lora_id = completed(ADA, **columns)
    with pytest.raises(Conflict, match=says), database.transaction() as connection:
        service.use(connection, PRODUCT, lora_id, uuid.uuid4(), Way.DIRECT, NOW)
    assert views.get(VIEWER, lora_id).uses == 0


def test_versions_of_one_character(lora: UUID) -> None:
    second, third = uuid.uuid4(), uuid.uuid4()
    service.begin_version(PRODUCT, lora, second, NOW)
    service.begin_version(PRODUCT, lora, second, NOW)
    assert [one.id for one in views.versions(VIEWER, lora)] == [lora]
    completed(ADA, id=second, created_at=NOW + DAY)
    service.begin_version(PRODUCT, second, third, NOW)
    completed(BO, id=third, created_at=NOW + 2 * DAY)
    found = views.get(VIEWER, third)
    assert (found.parent_id, found.character_id) == (second, lora)
    assert [one.id for one in views.versions(VIEWER, lora)] == [lora, second, third]
    with pytest.raises(NotAllowed):
        service.begin_version(VIEWER, lora, uuid.uuid4(), NOW)


def test_rows_of_other_systems_are_in_the_library_whatever_they_hold(library: None) -> None:
    lora_id = uuid.uuid4()
    long = "word " * 400_000
    sql(
        "INSERT INTO lora_models (id, name, training_status, description, usage_count, created_at)"
        " VALUES (%s, 'zulu/quux.c', 'pending', %s, NULL, NULL)",
        lora_id,
        long,
    )
    assert views.search(VIEWER, Search(text="quux c")).cards[0].id == lora_id
    assert views.get(VIEWER, lora_id).uses == 0
    sql("UPDATE lora_models SET tags = ARRAY[NULL, ' X ', 'x', repeat('y', 90)] WHERE id = %s", lora_id)
    assert list(views.get(VIEWER, lora_id).tags) == ["x", "y" * 40]


@pytest.mark.parametrize("word", ["410e6ab6", "1e5", "3.14", "a@b.de", "v1_2-x", "x" * 3_000, "🦄"])
def test_any_word_is_found_again(library: None, word: str) -> None:
    known = completed(ADA, description=f"Looks like {word} indeed")
    found = views.search(VIEWER, Search(text=word[:200]), limit=100).cards
    assert known in {card.id for card in found}


def test_nothing_deletes_a_lora_and_the_refusal_says_what_does_instead(lora: UUID) -> None:
    with pytest.raises(SQLAlchemyError, match=r"never deleted\. Archive it instead") as refused:
        sql("DELETE FROM lora_models WHERE id = %s", lora)
    assert "LoRA library" in str(refused.value)
    assert not [name for name in dir(service) if "delete" in name]
    assert views.get(VIEWER, lora).id == lora
