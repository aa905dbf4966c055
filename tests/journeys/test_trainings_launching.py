"""Who may launch what, how often, and once: one training a form, five a month, never more than the budget."""

import contextlib
import io
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.access import Actor, Role
from core.budget.models import BudgetExceeded
from core.errors import Conflict, InvalidInput, NotAllowed, NotSignedIn, StudioOpsError
from core.trainings import adopting, dataset, detail, following, service, views
from core.trainings.models import NameTaken, QuotaExceeded, RunState
from tests.journeys.training_world import STAFF, VIEWER, Trainings, photograph
from tests.journeys.world import World
from tests.unit.image_host import image_host


def user(world: World) -> str:
    """A user of the customers' application."""
    who = str(uuid.uuid4())
    world.sql("INSERT INTO auth.users (id, email) VALUES (%s, %s)", who, f"{who}@example.com")
    return who


def as_user(who: str) -> Actor:
    """Staff whose verified address is that user's."""
    roles = frozenset({Role.PRODUCT})
    return Actor("person", f"staff-{who[:8]}", "Ada", roles, "page", email=f"{who}@example.com")


def test_the_same_form_twice_is_one_run(trainings: Trainings) -> None:
    wish = trainings.wish()
    first = service.launch(STAFF, wish, trainings.tools)
    assert service.launch(STAFF, wish, trainings.tools).id == first.id
    with pytest.raises(Conflict, match="another training already"):
        service.launch(STAFF, replace(wish, name="another"), trainings.tools)
    assert trainings.reserved() == Decimal("2.1050")
    audit = "SELECT 1 FROM audit_log WHERE action = 'training.launch' AND object_id = %s"
    assert len(trainings.world.sql(audit, str(first.id))) == 1


def at_once(trainings: Trainings, wishes: list[Any], actor: Actor) -> list[Any]:
    """All of them launched in the same moment; runs and refusals."""
    barrier = threading.Barrier(len(wishes))

    def one(wish: Any) -> Any:
        barrier.wait(10)
        try:
            return service.launch(actor, wish, trainings.tools)
        except (QuotaExceeded, BudgetExceeded, NameTaken) as refusal:
            return refusal

    with ThreadPoolExecutor(len(wishes)) as pool:
        return list(pool.map(one, wishes))


def test_the_same_form_many_times_at_once_is_one_run(trainings: Trainings) -> None:
    found = at_once(trainings, [trainings.wish()] * 10, STAFF)
    assert len({run.id for run in found}) == 1


def test_of_twenty_for_the_last_place_of_the_month_exactly_one_begins(trainings: Trainings) -> None:
    who = user(trainings.world)
    trainings.world.sql(
        "INSERT INTO lora_models (user_id, name, training_status, created_at)"
        " SELECT %s, 'known ' || n, CASE WHEN n <= 4 THEN 'validating' ELSE 'failed' END,"
        " date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '1 s'"
        " FROM generate_series(1, 8) n",
        who,
    )
    draft = trainings.draft()
    wishes = [trainings.wish(draft_id=draft) for _ in range(20)]
    rows = trainings.world.sql("SELECT * FROM training_images WHERE lora_model_id = %s", draft)
    for wish in wishes:
        _same_pictures(trainings, rows, wish.draft_id)
    wishes = [replace(wish, draft_id=_same_pictures(trainings, rows, uuid.uuid4())) for wish in wishes]
    found = at_once(trainings, wishes, as_user(who))
    assert sum(not isinstance(one, Exception) for one in found) == 1
    assert sum(isinstance(one, QuotaExceeded) for one in found) == 19
    [(count,)] = trainings.world.sql(
        "SELECT loras_created_this_month FROM user_training_limits WHERE user_id = %s", who
    )
    assert count == 5
    [run] = [one for one in found if not isinstance(one, Exception)]
    service.cancel(STAFF, run.id, trainings.tools, reason="makes room")
    trainings.settle(run.id, RunState.CANCELLED)
    again = trainings.wish()
    assert service.launch(as_user(who), again, trainings.tools).state == "running"


def _same_pictures(trainings: Trainings, rows: list[Any], draft_id: Any) -> Any:
    """A further draft of the same stored pictures."""
    for row in rows:
        values = dict(row._mapping) | {"lora_model_id": draft_id}
        names = ", ".join(values)
        marks = ", ".join(["%s"] * len(values))
        trainings.world.sql(
            f"INSERT INTO training_images ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING", *values.values()
        )
    return draft_id


def drafts(trainings: Trainings, count: int) -> list[Any]:
    """So many wishes with a draft each, all of the same stored pictures."""
    first = trainings.wish()
    rows = trainings.world.sql("SELECT * FROM training_images WHERE lora_model_id = %s", first.draft_id)
    ids = [first.draft_id, *(_same_pictures(trainings, rows, uuid.uuid4()) for _ in range(count - 1))]
    return [trainings.wish(draft_id=one) for one in ids]


@pytest.mark.parametrize(
    ("spent", "begin"), [("195", 2), ("197.80", 1), ("198", 0)], ids=["for two", "for the last", "for none"]
)
def test_twenty_for_the_last_dollars_never_overshoot_the_budget(
    trainings: Trainings, spent: str, begin: int
) -> None:
    trainings.world.sql(
        "INSERT INTO budget_totals (scope, month, settled_usd) VALUES"
        " ('trainings', date_trunc('month', now() AT TIME ZONE 'UTC')::date, %s)",
        spent,
    )
    wishes = drafts(trainings, 20)
    actors = [Actor("person", f"staff-{n}", "Staff", frozenset({Role.PRODUCT}), "page") for n in range(20)]
    barrier = threading.Barrier(20)

    def one(n: int) -> Any:
        barrier.wait(10)
        try:
            return service.launch(actors[n], wishes[n], trainings.tools)
        except BudgetExceeded as refusal:
            return refusal

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(one, range(20)))
    assert sum(not isinstance(one, Exception) for one in found) == begin
    assert trainings.reserved() == begin * Decimal("2.1050")
    refusals = [one for one in found if isinstance(one, BudgetExceeded)]
    assert {one.http_status for one in refusals} == {402}
    assert all("ask operations for a higher budget" in one.message for one in refusals)
    names = trainings.world.sql("SELECT 1 FROM lora_models WHERE name = ANY(%s)", [w.name for w in wishes])
    assert len(names) == begin


def test_of_ten_with_the_same_name_at_once_one_begins(trainings: Trainings) -> None:
    wishes = [replace(wish, name="Ada") for wish in drafts(trainings, 10)]
    found = at_once(trainings, wishes, STAFF)
    refusals = [one for one in found if isinstance(one, NameTaken)]
    # Those behind the fifth would meet the quota as well; the name is told first.
    assert (len(found) - len(refusals), {one.http_status for one in refusals}) == (1, {409})
    assert all("Choose another name" in one.message for one in refusals)
    assert trainings.reserved() == Decimal("2.1050")


def test_names_are_unique_a_creator(trainings: Trainings) -> None:
    trainings.launch(name="Ada")
    with pytest.raises(NameTaken):
        trainings.launch(name="Ada")
    other = Actor("person", "bo", "Bo", frozenset({Role.PRODUCT}), "page")
    assert trainings.launch(other, name="Ada").creator_key == "staff:bo"


def test_staff_with_a_users_account_are_that_user(trainings: Trainings) -> None:
    who = user(trainings.world)
    made = trainings.launch(as_user(who))
    assert (str(made.user_id), made.creator_key) == (who, f"user:{who}")
    assert trainings.launch().user_id is None


@pytest.mark.parametrize(
    ("actor", "error"), [(None, NotSignedIn), (VIEWER, NotAllowed)], ids=["nobody", "a viewer"]
)
def test_who_may_not_launch_begins_nothing(
    trainings: Trainings, actor: Actor | None, error: type[StudioOpsError]
) -> None:
    wish = trainings.wish()
    made = trainings.launch()
    acts: tuple[Callable[[], object], ...] = (
        lambda: service.launch(actor, wish, trainings.tools),
        lambda: service.cancel(actor, made.id, trainings.tools, reason="x"),
        lambda: service.resume(actor, made.id, trainings.tools),
        lambda: service.judge(actor, made.id, 0, trainings.tools, shows=True),
        lambda: service.look_again(actor, made.id, trainings.tools),
    )
    for act in acts:
        with pytest.raises(error):
            act()
    assert trainings.run(made.id).state == "running"


def test_too_few_pictures_are_refused_before_anything_is_written(trainings: Trainings) -> None:
    wish = trainings.wish(draft_id=trainings.draft(pictures=3))
    with pytest.raises(InvalidInput, match="too few"):
        service.launch(STAFF, wish, trainings.tools)
    assert trainings.world.sql("SELECT 1 FROM lora_models WHERE id = %s", wish.draft_id) == []
    assert trainings.reserved() == 0


# LoRAs that other systems write.


def foreign(trainings: Trainings, name: str, pictures: int = 4) -> tuple[str, str]:
    """A pending LoRA of a user's, as another system writes it; its id, and the user's."""
    who = user(trainings.world)
    [(lora,)] = trainings.world.sql(
        "INSERT INTO lora_models (user_id, name, training_status, created_at) VALUES"
        " (%s, %s, 'pending', now() - interval '1 min') RETURNING id::text",
        who,
        name,
    )
    files = [dataset.NewFile(f"{n}.jpg", io.BytesIO(photograph(n))) for n in range(pictures)]
    if files:
        dataset.add_files(STAFF, uuid.UUID(lora), files, trainings.tools.dataset)
    return str(lora), who


def test_a_pending_lora_of_another_system_is_begun_by_the_same_rules(trainings: Trainings) -> None:
    lora, who = foreign(trainings, "theirs")
    assert adopting.adopt(trainings.tools, "fal") == 1
    [(run_id,)] = trainings.world.sql("SELECT id FROM lora_training_jobs WHERE lora_model_id = %s", lora)
    run = trainings.run(run_id)
    assert (run.state, str(run.user_id), run.creator_key) == ("running", who, f"user:{who}")
    assert adopting.adopt(trainings.tools, "fal") == 0


def test_one_that_the_rules_refuse_has_failed_with_the_reason(trainings: Trainings) -> None:
    lora, _ = foreign(trainings, "theirs", pictures=0)
    adopting.adopt(trainings.tools, "fal")
    [row] = trainings.world.sql(
        "SELECT r.id, r.state, r.error_message, l.training_status FROM lora_training_jobs r"
        " JOIN lora_models l ON l.id = r.lora_model_id WHERE l.id = %s",
        lora,
    )
    assert (row.state, row.training_status) == ("failed", "failed")
    assert "no image" in row.error_message
    assert trainings.reserved() == 0
    assert adopting.adopt(trainings.tools, "fal") == 0
    assert detail.of_run(STAFF, row.id, trainings.tools).why_not_resume is None


def test_pictures_that_cannot_be_fetched_are_named_in_the_refusal(trainings: Trainings) -> None:
    lora, _ = foreign(trainings, "theirs", pictures=0)
    gone = f"{trainings.world.sandbox.url}/nothing/here.jpg"
    trainings.world.sql("UPDATE lora_models SET reference_image_urls = %s WHERE id = %s", [gone], lora)
    adopting.adopt(trainings.tools, "fal")
    [(reason,)] = trainings.world.sql(
        "SELECT error_message FROM lora_training_jobs WHERE lora_model_id = %s", lora
    )
    assert "no image" in reason
    assert "here.jpg" in reason


def test_images_that_can_be_fetched_by_now_are_fetched_when_it_goes_on(
    trainings: Trainings,
) -> None:
    lora, _ = foreign(trainings, "theirs", pictures=0)
    with image_host() as host, contextlib.closing(host.fetcher()) as fetcher:
        outside = replace(trainings.tools, dataset=replace(trainings.tools.dataset, fetch=fetcher))
        for n in range(3):
            host.gives(f"/{n}.jpg", photograph(n))
        urls = [f"{host.url}/{n}.jpg" for n in range(5)]
        trainings.world.sql("UPDATE lora_models SET reference_image_urls = %s WHERE id = %s", urls, lora)
        adopting.adopt(outside, "fal")
        [(run_id, state)] = trainings.world.sql(
            "SELECT id, state FROM lora_training_jobs WHERE lora_model_id = %s", lora
        )
        assert state == "failed"
        service.resume(STAFF, run_id, outside)
        trainings.due(run_id)
        again = following.advance(run_id, outside)
        assert again is not None
        assert "3 images are too few" in str(again.error_message)
        assert "3.jpg" in str(again.error_message)
        trainings.settle(run_id, RunState.FAILED)
        for n in (3, 4):
            host.answers[f"/{n}.jpg"] = [(200, "image/jpeg", photograph(n))]
        service.resume(STAFF, run_id, outside)
        trainings.due(run_id)
        begun = following.advance(run_id, outside)
        assert begun is not None
        assert (begun.state, begun.stage, begun.images) == ("running", "zip_creation", 5)
    assert trainings.settle(run_id, RunState.AWAITING_VERDICT).images == 5
    with pytest.raises(Conflict, match="its images stand"):
        dataset.take_away(STAFF, uuid.UUID(lora), 1, trainings.tools.dataset)


@pytest.mark.parametrize("made", ["now() - interval '49 hours'", "NULL"])
def test_one_that_nobody_took_up_for_two_days_is_refused_and_goes_on_by_button(
    trainings: Trainings, made: str
) -> None:
    lora, _ = foreign(trainings, "old")
    trainings.world.sql(f"UPDATE lora_models SET created_at = {made} WHERE id = %s", lora)
    assert adopting.adopt(trainings.tools, "fal") == 1
    assert adopting.adopt(trainings.tools, "fal") == 0
    [row] = trainings.world.sql(
        "SELECT r.id, r.state, r.error_message, l.training_status FROM lora_training_jobs r"
        " JOIN lora_models l ON l.id = r.lora_model_id WHERE l.id = %s",
        lora,
    )
    assert (row.state, row.training_status) == ("failed", "failed")
    assert "not begun by itself after more than two days" in row.error_message
    assert trainings.reserved() == 0
    service.resume(STAFF, row.id, trainings.tools)
    assert trainings.settle(row.id, RunState.AWAITING_VERDICT).images == 4


def test_a_strange_one_is_left_alone(trainings: Trainings) -> None:
    who = user(trainings.world)
    theirs, _ = foreign(trainings, "in their hands", pictures=0)
    trainings.world.sql(
        "INSERT INTO lora_training_jobs (lora_model_id, user_id) VALUES (%s, %s)", theirs, who
    )
    assert adopting.adopt(trainings.tools, "fal") == 0


# What a form and a list show.


def test_the_quote_tells_price_time_budget_and_quota(trainings: Trainings) -> None:
    trainings.launch()
    quote = views.quote(STAFF, "fal", 1000, trainings.tools)
    assert (quote.training_usd, quote.pictures_usd) == (Decimal("2.0000"), Decimal("0.1050"))
    assert quote.total_usd == Decimal("2.1050")
    assert (quote.used, quote.quota, quote.refusal) == (1, 5, None)
    assert quote.budget.reserved_usd == Decimal("2.1050")
    assert quote.left_after_usd == quote.budget.left_usd - Decimal("2.1050")
    assert not quote.from_own_history
    assert {choice.name for choice in views.choices(STAFF, trainings.tools)} >= {"fal"}


def test_runs_come_by_filter_a_page_at_a_time(trainings: Trainings) -> None:
    made = [trainings.launch(name=f"page {n}") for n in range(3)]
    now = trainings.tools.clock()
    first = views.runs(STAFF, views.Filter(search="PAGE"), now, limit=2)
    assert [row.name for row in first.rows] == ["page 2", "page 1"]
    rest = views.runs(STAFF, views.Filter(search="PAGE"), now, limit=2, before=first.next_before)
    assert ([row.id for row in rest.rows], rest.next_before) == ([made[0].id], None)
    assert views.runs(STAFF, views.Filter(states=frozenset({RunState.FAILED})), now).rows == ()
    assert views.runs(STAFF, views.Filter(search="100%"), now).rows == ()
    assert views.counts(STAFF, now).running == 3
    crashed = made[0].id
    trainings.world.sql(
        "UPDATE lora_training_jobs SET heartbeat_at = now() - interval '5 min',"
        " next_attempt_at = now() - interval '5 min' WHERE id = %s",
        crashed,
    )
    rows = views.runs(STAFF, views.Filter(), now).rows
    assert [row.id for row in rows if row.crashed] == [crashed]
    trainings.world.sql("DELETE FROM procrastinate_jobs")
    assert trainings.sweep() >= 1
