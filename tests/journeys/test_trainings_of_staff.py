"""Staff act as the user of their verified address; without one names and quota go by the staff id."""

import uuid

import pytest

from core import access
from core.access import Actor, Role
from core.budget import policy as budget
from core.errors import NotFound
from core.loras import service as loras
from core.loras import views as library
from core.loras.models import Search
from core.trainings import beforehand, service, spending, views
from core.trainings.models import NameTaken, QuotaExceeded, RunState
from tests.journeys.training_world import Trainings

PRODUCT = frozenset({Role.PRODUCT})


def staff(name: str, email: str | None = None) -> Actor:
    return Actor("person", name, name.title(), PRODUCT, "page", email=email)


def account(trainings: Trainings) -> tuple[uuid.UUID, str]:
    """A user of the customers' application, and their address."""
    who = uuid.uuid4()
    email = f"{who}@example.com"
    trainings.world.sql("INSERT INTO auth.users (id, email) VALUES (%s, %s)", str(who), email)
    return who, email


def of_this_month(trainings: Trainings, actor: Actor) -> int:
    return views.quote(actor, "fal", 1000, trainings.tools).used


def test_who_has_an_account_launches_as_it(trainings: Trainings) -> None:
    who, email = account(trainings)
    ada = staff("s-1", email.replace("example", "Example"))
    run = trainings.launch(ada, name="The keeper")
    assert (run.user_id, run.creator_key) == (who, f"user:{who}")
    [row] = trainings.world.sql("SELECT user_id, creator_key FROM lora_models WHERE id = %s", run.lora_id)
    assert tuple(row) == (who, f"user:{who}")
    [count] = trainings.world.sql(
        "SELECT loras_created_this_month AS n FROM user_training_limits WHERE user_id = %s", str(who)
    )
    assert (count.n, of_this_month(trainings, ada)) == (1, 1)
    customer = Actor("customer", str(who), str(who), frozenset(), "api")
    with pytest.raises(NameTaken):
        trainings.launch(customer, name="The keeper")
    assert [one.id for one in library.search(ada, Search(mine=True)).cards] == [run.lora_id]


def test_who_has_none_goes_by_the_staff_id(trainings: Trainings) -> None:
    account(trainings)
    bo = staff("s-2", "bo@example.com")
    run = trainings.launch(bo, name="The keeper")
    assert (run.user_id, run.creator_key) == (None, "staff:s-2")
    with pytest.raises(NameTaken):
        trainings.launch(bo, name="The keeper")
    assert trainings.launch(staff("s-3"), name="The keeper").creator_key == "staff:s-3"
    assert of_this_month(trainings, bo) == 1


def test_an_address_that_was_not_verified_is_nobodys(trainings: Trainings) -> None:
    """Sign-in gives an actor only a verified address; an id that looks like a user's is none."""
    who, _ = account(trainings)
    assert trainings.launch(staff("s-1")).user_id is None
    assert trainings.launch(staff(str(who))).user_id is None
    assert trainings.launch(Actor("key", "k", "k", frozenset({Role.OPERATIONS}), "api")).user_id is None
    assert trainings.launch(access.job("test")).creator_key == "staff:test"


def test_the_quota_is_one_for_staff_and_their_account(trainings: Trainings) -> None:
    who, email = account(trainings)
    trainings.world.sql(
        "INSERT INTO lora_models (user_id, name, training_status) SELECT %s, 'made ' || n, 'training'"
        " FROM generate_series(1, 5) n",
        str(who),
    )
    with pytest.raises(QuotaExceeded, match="5 of 5"):
        trainings.launch(staff("s-1", email))


def works_here(trainings: Trainings) -> Actor:
    """Somebody of the list, as sign-in makes them: their id is their address."""
    email = f"{uuid.uuid4()}@studio.example"
    trainings.world.sql("INSERT INTO staff (email, roles, added_by) VALUES (%s, '{product}', 'ada')", email)
    return staff(email, email)


def gets_an_account(trainings: Trainings, actor: Actor) -> uuid.UUID:
    who = uuid.uuid4()
    trainings.world.sql("INSERT INTO auth.users (id, email) VALUES (%s, %s)", who, actor.email)
    return who


def test_what_was_made_before_there_was_an_account_counts_with_it(trainings: Trainings) -> None:
    ada, bo = works_here(trainings), works_here(trainings)
    before = [trainings.launch(ada, name=f"Before {n}") for n in range(2)]
    failed = trainings.launch(ada, name="It failed")
    trainings.world.sql("UPDATE lora_models SET training_status = 'failed' WHERE id = %s", failed.lora_id)
    trainings.launch(bo, name="Another's")
    assert {run.creator_key for run in before} == {f"staff:{ada.email}"}
    who = gets_an_account(trainings, ada)
    assert of_this_month(trainings, ada) == 2
    with pytest.raises(NameTaken):
        trainings.launch(ada, name="Before 1")
    now = [trainings.launch(ada, name=f"Now {n}") for n in range(2)]
    assert {run.creator_key for run in now} == {f"user:{who}"}
    customer = Actor("customer", str(who), str(who), frozenset(), "api")
    trainings.launch(customer, name="By the application")
    assert (of_this_month(trainings, ada), of_this_month(trainings, bo)) == (5, 1)
    for actor in (ada, customer):
        with pytest.raises(QuotaExceeded, match="5 of 5"):
            trainings.launch(actor)
    with pytest.raises(QuotaExceeded, match="5 of 5"):
        beforehand.check(ada, trainings.wish(name="One more"), trainings.tools)
    mine = {card.id for card in library.search(ada, Search(mine=True)).cards}
    assert {run.lora_id for run in (*before, *now)} <= mine
    assert len(mine) == 6
    by_account = {card.id for card in library.search(customer, Search(mine=True)).cards}
    owned = trainings.world.sql("SELECT id FROM lora_models WHERE user_id = %s", who)
    assert by_account == {row.id for row in owned}, "as the row-level policies have it"
    assert len(by_account) == 3
    moment = trainings.tools.clock()
    used = {one.creator: one.used for one in spending.quotas(ada, budget.month_of(moment))}
    assert used == {f"user:{who}": 5, f"staff:{bo.email}": 1}
    unchanged = trainings.world.sql(
        "SELECT DISTINCT creator_key, user_id FROM lora_models WHERE id = ANY(%s)",
        [run.lora_id for run in before],
    )
    assert [tuple(row) for row in unchanged] == [(f"staff:{ada.email}", None)]


def test_the_companys_own_count_holds_both(trainings: Trainings) -> None:
    ada = works_here(trainings)
    trainings.launch(ada, name="Before")
    who = gets_an_account(trainings, ada)

    def counted() -> int:
        [row] = trainings.world.sql(
            "SELECT loras_created_this_month AS n FROM user_training_limits WHERE user_id = %s", who
        )
        return int(row.n)

    trainings.launch(ada, name="Now")
    assert counted() == 2
    now = trainings.tools.clock()
    assert spending.keep_counts(now) == 0
    trainings.world.sql("UPDATE user_training_limits SET loras_created_this_month = 0")
    assert spending.keep_counts(now) == 1
    assert counted() == 2
    trainings.world.sql("UPDATE user_training_limits SET month_reset_date = month_reset_date - 60")
    spending.keep_count(who, now)
    assert counted() == 2


def test_a_run_from_before_counts_with_the_account_when_it_goes_on(trainings: Trainings) -> None:
    ada = works_here(trainings)
    trainings.world.sandbox.put("faults", trainer_error={"at": ["fal_submit"], "value": 403})
    run = trainings.launch(ada, name="Before")
    trainings.settle(run.id, RunState.FAILED)
    who = gets_an_account(trainings, ada)
    trainings.world.sql(
        "INSERT INTO lora_models (user_id, name, training_status) SELECT %s, 'made ' || n, 'training'"
        " FROM generate_series(1, 5) n",
        who,
    )
    with pytest.raises(QuotaExceeded, match="5 of 5"):
        service.resume(ada, run.id, trainings.tools)


def test_an_address_that_nobody_of_us_has_is_no_staffs(trainings: Trainings) -> None:
    """A key of the API may be called like an address; what it made is not that customer's."""
    who, email = account(trainings)
    key = Actor("key", email, email, frozenset({Role.OPERATIONS}), "api")
    assert trainings.launch(key, name="By the key").creator_key == f"staff:{email}"
    customer = Actor("customer", str(who), str(who), frozenset(), "api")
    assert trainings.launch(customer, name="By the key").user_id == who


def test_images_lie_under_the_account(trainings: Trainings) -> None:
    who, email = account(trainings)
    draft = trainings.draft(actor=staff("s-1", email))
    rows = trainings.world.sql("SELECT path FROM training_images WHERE lora_model_id = %s", str(draft))
    assert {row.path.split("/")[0] for row in rows} == {str(who)}


def test_ones_own_private_lora_stays_ones_own(trainings: Trainings) -> None:
    _, email = account(trainings)
    ada, bo = staff("s-1", email), staff("s-2", "bo@example.com")
    run = trainings.launch(ada)
    trainings.settle(run.id, RunState.AWAITING_VERDICT)
    loras.set_private(ada, run.lora_id, trainings.tools.clock(), private=True)
    assert library.owns(ada, library.get(ada, run.lora_id))
    assert [one.id for one in library.search(ada, Search(mine=True)).cards] == [run.lora_id]
    with pytest.raises(NotFound):
        library.get(bo, run.lora_id)
