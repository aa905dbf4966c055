"""Generated images that fill a training's own up: paid once, on the sheet for a person's word, never lost."""

import uuid
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core.budget.models import BudgetExceeded
from core.errors import Conflict, InvalidInput, NotAllowed
from core.trainings import dataset, detail, drawing, filling_up, service
from core.trainings.models import RunState
from core.trainings.sheet import Sheet
from tests.conftest import CALLBACK_SECRET
from tests.journeys.training_world import STAFF, VIEWER, Trainings
from tests.journeys.world import success, until

ADA = "A woman of forty with short grey hair, a lighthouse keeper"


@pytest.fixture(autouse=True)
def real_pictures(trainings: Trainings) -> None:
    """The sandbox renders what it draws, so that our own verdict on it is a real one."""
    trainings.world.sandbox.put("settings", image_seconds=0.05, file_bytes=0)


def ask(trainings: Trainings, draft: UUID, words: str = ADA, seen: int = 0) -> int:
    return filling_up.ask(STAFF, draft, words, seen, trainings.tools)


def due(trainings: Trainings, draft: UUID) -> None:
    """Make what is under way due now and free of any lease, as time would."""
    trainings.world.sql(
        "UPDATE training_drawings SET next_attempt_at = now() - interval '1 s', lease_until = NULL"
        " WHERE lora_model_id = %s AND next_attempt_at IS NOT NULL",
        draft,
    )


def step(trainings: Trainings, draft: UUID) -> filling_up.FillUp:
    due(trainings, draft)
    drawing.advance_due(trainings.tools)
    return filling_up.of(STAFF, draft, trainings.tools)


def drawn(trainings: Trainings, draft: UUID) -> Sheet:
    """Step until nothing more comes by itself; the sheet."""
    until(lambda: not step(trainings, draft).under_way, 40)
    return dataset.sheet(STAFF, draft)


def rows(trainings: Trainings, draft: UUID) -> list[Any]:
    return trainings.world.sql(
        "SELECT state, model, image_n, cost_usd, tries, remote_id, failure_words FROM training_drawings"
        " WHERE lora_model_id = %s ORDER BY batch, n",
        draft,
    )


def paid(trainings: Trainings) -> dict[str, int]:
    """How many tasks the sandbox has accepted, by the id that the callback's address carries."""
    return dict(trainings.world.sandbox.get("stats")["paid_by_generation"])


def settled(trainings: Trainings) -> Decimal:
    return Decimal(trainings.world.sql("SELECT coalesce(sum(settled_usd), 0) FROM budget_totals")[0][0])


@pytest.mark.parametrize(("own", "more"), [(3, 2), (4, 1)])
def test_three_and_four_are_filled_up_approved_and_trained_on(
    trainings: Trainings, own: int, more: int
) -> None:
    draft = trainings.draft(own)
    stands = filling_up.of(STAFF, draft, trainings.tools)
    assert (stands.missing, stands.ahead_usd, stands.by_words) == (more, more * Decimal("0.025"), False)
    assert stands.model == "FLUX.2 Pro, from images"
    assert ask(trainings, draft) == more
    assert trainings.reserved() == more * Decimal("0.025")
    sheet = drawn(trainings, draft)
    waiting = [image.n for image in sheet.waiting]
    assert waiting == list(range(own + 1, own + more + 1))
    assert [image.source for image in sheet.images] == ["file"] * own + ["generated"] * more
    assert {(image.width, image.height) for image in sheet.waiting} == {(1024, 1024)}
    assert (trainings.reserved(), settled(trainings)) == (Decimal(0), more * Decimal("0.025"))
    with pytest.raises(InvalidInput, match="wait"):
        service.launch(STAFF, trainings.wish(draft_id=draft, filled_up=True), trainings.tools)
    for n in waiting:
        dataset.approve(STAFF, draft, n, trainings.tools.dataset)
    run = service.launch(STAFF, trainings.wish(draft_id=draft, filled_up=True), trainings.tools)
    assert run.images == 5
    assert trainings.at(run.id, "training").images == 5
    [(cost,)] = trainings.world.sql("SELECT training_cost FROM lora_models WHERE id = %s", draft)
    assert cost == more * Decimal("0.025")
    assert set(paid(trainings).values()) == {1}


def test_without_own_images_the_first_is_drawn_by_words_and_the_others_from_it(trainings: Trainings) -> None:
    draft = uuid.uuid4()
    assert filling_up.of(STAFF, draft, trainings.tools).by_words
    with pytest.raises(InvalidInput, match="Describe the character") as refused:
        ask(trainings, draft, "Ada")
    assert refused.value.field == "description"
    assert ask(trainings, draft) == 6
    sheet = drawn(trainings, draft)
    assert len(sheet.waiting) == 6
    models = [row.model for row in rows(trainings, draft)]
    assert models == ["flux-2/pro-text-to-image"] + ["flux-2/pro-image-to-image"] * 5
    asked = [
        trainings.world.sandbox.get(f"tasks/{row.remote_id}")["record"]["param"]
        for row in rows(trainings, draft)
    ]
    assert sum("/lora-training-images/" in one for one in asked) == 5
    assert (trainings.reserved(), settled(trainings)) == (Decimal(0), Decimal("0.150"))
    for image in sheet.waiting:
        dataset.approve(STAFF, draft, image.n, trainings.tools.dataset)
    assert dataset.sheet(STAFF, draft).ready


def test_what_is_thrown_away_may_be_asked_for_again(trainings: Trainings) -> None:
    draft = trainings.draft(3)
    ask(trainings, draft)
    first, other = drawn(trainings, draft).waiting
    dataset.take_away(STAFF, draft, first.n, trainings.tools.dataset)
    dataset.approve(STAFF, draft, other.n, trainings.tools.dataset)
    stands = filling_up.of(STAFF, draft, trainings.tools)
    assert (stands.missing, stands.batches, stands.spent_usd) == (1, 1, Decimal("0.05"))
    assert dataset.sheet(STAFF, draft).ready
    assert ask(trainings, draft, seen=1) == 1
    assert len(drawn(trainings, draft).waiting) == 1
    assert len({row.remote_id for row in rows(trainings, draft)}) == 3


def test_the_rule_holds_where_it_is_asked_for_and_a_person_may_choose_otherwise(trainings: Trainings) -> None:
    draft = trainings.draft(4)
    with pytest.raises(InvalidInput, match="4 images of your own are filled up with 1 generated one"):
        service.launch(STAFF, trainings.wish(draft_id=draft, filled_up=True), trainings.tools)
    assert service.launch(STAFF, trainings.wish(draft_id=draft), trainings.tools).images == 4
    five = trainings.draft(5)
    assert filling_up.of(STAFF, five, trainings.tools).missing == 0
    assert service.launch(STAFF, trainings.wish(draft_id=five, filled_up=True), trainings.tools).images == 5


def test_nothing_is_generated_without_need_right_or_money(trainings: Trainings) -> None:
    with pytest.raises(NotAllowed):
        filling_up.ask(VIEWER, trainings.draft(3), ADA, 0, trainings.tools)
    with pytest.raises(Conflict, match="suffice"):
        ask(trainings, trainings.draft(5))
    with pytest.raises(InvalidInput, match="2 images are too few"):
        ask(trainings, trainings.draft(2))
    with pytest.raises(InvalidInput, match="at most 2,000"):
        ask(trainings, trainings.draft(3), "x" * 2001)
    trainings.world.sql(
        "INSERT INTO budget_totals (scope, month, settled_usd) VALUES"
        " ('trainings', date_trunc('month', now() AT TIME ZONE 'UTC')::date, 199.99)"
    )
    draft = trainings.draft(3)
    with pytest.raises(BudgetExceeded):
        ask(trainings, draft)
    assert rows(trainings, draft) == []
    assert paid(trainings) == {}


def test_a_double_click_is_one(trainings: Trainings) -> None:
    draft = trainings.draft(3)
    assert (ask(trainings, draft), ask(trainings, draft)) == (2, 0)
    with pytest.raises(Conflict, match="being generated already"):
        ask(trainings, draft, seen=1)
    with pytest.raises(InvalidInput, match="still being generated"):
        service.launch(STAFF, trainings.wish(draft_id=draft), trainings.tools)
    drawn(trainings, draft)
    assert len(paid(trainings)) == 2


def test_own_images_that_suffice_send_the_generated_ones_away(trainings: Trainings) -> None:
    draft = trainings.draft(3)
    ask(trainings, draft)
    for image in drawn(trainings, draft).waiting:
        dataset.approve(STAFF, draft, image.n, trainings.tools.dataset)
    more = trainings.draft(5)
    trainings.world.sql(
        "UPDATE training_images SET lora_model_id = %s, n = n + 50 WHERE lora_model_id = %s AND n > 3",
        draft,
        more,
    )
    assert dataset.sheet(STAFF, draft).problems == (
        "5 images of your own are enough, and stand alone. Throw the generated ones away.",
    )


def test_a_failed_image_costs_nothing_and_the_others_stay(trainings: Trainings) -> None:
    draft = trainings.draft(3)
    trainings.world.sandbox.put("faults", provider_fail={"value": 400, "times": 1})
    ask(trainings, draft)
    assert len(drawn(trainings, draft).waiting) == 1
    trainings.world.sandbox.put("faults")
    stands = filling_up.of(STAFF, draft, trainings.tools)
    [failed] = stands.failed
    assert "content policies" in str(failed.failure_words)
    assert (trainings.reserved(), settled(trainings)) == (Decimal(0), Decimal("0.025"))
    assert ask(trainings, draft, seen=1) == 1
    assert len(drawn(trainings, draft).waiting) == 2


def test_of_a_failed_first_image_the_others_are_never_sent(trainings: Trainings) -> None:
    draft = uuid.uuid4()
    ask(trainings, draft, f"{ADA} [[fault:provider_fail]]")
    drawn(trainings, draft)
    assert [row.state for row in rows(trainings, draft)] == ["failed"] + ["cancelled"] * 5
    assert len(paid(trainings)) == 1
    assert (trainings.reserved(), settled(trainings)) == (Decimal(0), Decimal(0))


def test_images_that_the_model_cannot_fetch_say_so(trainings: Trainings) -> None:
    draft = trainings.draft(4)
    ask(trainings, draft)
    trainings.world.sql("UPDATE training_images SET path = path || 'x' WHERE lora_model_id = %s", draft)
    drawn(trainings, draft)
    [row] = rows(trainings, draft)
    assert (row.state, row.cost_usd) == ("failed", 0)
    assert "could not be read" in row.failure_words


def test_a_lost_answer_is_found_by_its_callback_and_never_sent_again(trainings: Trainings) -> None:
    draft = trainings.draft(4)
    ask(trainings, draft, f"{ADA} [[fault:answer_lost]]")
    step(trainings, draft)
    assert [row.state for row in rows(trainings, draft)] == ["sending"]
    until(lambda: trainings.world.sql("SELECT 1 FROM training_webhooks WHERE provider = 'kie'"))
    sheet = drawn(trainings, draft)
    assert len(sheet.waiting) == 1
    assert [(row.state, row.tries) for row in rows(trainings, draft)] == [("succeeded", 1)]
    assert list(paid(trainings).values()) == [1]


def test_what_no_callback_tells_of_is_a_persons_with_its_money_reserved(trainings: Trainings) -> None:
    draft = trainings.draft(3)
    ask(trainings, draft, f"{ADA} [[fault:answer_lost]] [[fault:callback_lost]]")
    step(trainings, draft)
    trainings.world.sql("UPDATE training_drawings SET submitted_at = submitted_at - interval '31 min'")
    stands = step(trainings, draft)
    assert (len(stands.stuck), stands.under_way, stands.missing) == (2, 0, 0)
    assert trainings.reserved() == Decimal("0.05")
    [doubt] = filling_up.in_doubt(STAFF)
    assert (doubt.draft_id, doubt.drawings) == (draft, 2)
    assert filling_up.look_again(STAFF, draft, trainings.tools) == 2
    assert len(step(trainings, draft).stuck) == 2
    assert filling_up.give_up(STAFF, draft, trainings.tools) == 2
    assert (trainings.reserved(), filling_up.of(STAFF, draft, trainings.tools).missing) == (Decimal(0), 2)
    assert sum(paid(trainings).values()) == 2


def test_what_was_given_up_and_comes_all_the_same_is_paid_and_kept(trainings: Trainings) -> None:
    draft = trainings.draft(4)
    ask(trainings, draft, f"{ADA} [[fault:answer_lost]] [[fault:callback_late=2]]")
    step(trainings, draft)
    trainings.world.sql("UPDATE training_drawings SET submitted_at = submitted_at - interval '31 min'")
    assert len(step(trainings, draft).stuck) == 1
    filling_up.give_up(STAFF, draft, trainings.tools)
    assert (trainings.reserved(), settled(trainings)) == (Decimal(0), Decimal(0))
    until(lambda: trainings.world.sql("SELECT 1 FROM training_webhooks WHERE provider = 'kie'"))
    assert len(drawn(trainings, draft).waiting) == 1
    assert (trainings.reserved(), settled(trainings)) == (Decimal(0), Decimal("0.025"))


def test_an_image_that_is_gone_for_good_stands_in_nobodys_way(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = trainings.draft(4)
    ask(trainings, draft)
    monkeypatch.setattr("core.trainings.policy.MAX_TRIES", 1)
    trainings.world.sandbox.put("faults", html_as_jpg=True)
    stands = until(lambda: (seen := step(trainings, draft)) and not seen.under_way and seen)
    trainings.world.sandbox.put("faults")
    sheet = dataset.sheet(STAFF, draft)
    assert [image.verdict for image in sheet.images[4:]] == ["refused"] or len(stands.stuck) == 1
    filling_up.give_up(STAFF, draft, trainings.tools)
    assert filling_up.of(STAFF, draft, trainings.tools).drawings == ()
    assert dataset.sheet(STAFF, draft).ready
    assert settled(trainings) == Decimal("0.025")


def test_a_worker_that_is_killed_between_the_steps_pays_once(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = trainings.draft(4)
    ask(trainings, draft)

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    for place in ("drawing_moves.bind", "drawn.keep", "drawn.add"):
        with monkeypatch.context() as patch:
            patch.setattr(f"core.trainings.{place}", die)
            with pytest.raises(Killed):
                until(lambda: step(trainings, draft) is None)
    assert len(drawn(trainings, draft).waiting) == 1
    assert list(paid(trainings).values()) == [1]
    assert settled(trainings) == Decimal("0.025")


def test_a_sleeper_past_its_lease_does_not_send(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = trainings.draft(4)
    ask(trainings, draft)
    slept = trainings.tools
    monkeypatch.setattr("core.trainings.policy.SEND_WITHIN", type(drawing.REFUSED_PAUSE)())
    due(trainings, draft)
    drawing.advance_due(slept)
    assert [(row.state, row.remote_id) for row in rows(trainings, draft)] == [("intent", None)]
    assert paid(trainings) == {}


def test_an_image_that_cannot_be_had_now_is_fetched_when_a_person_says_so(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = trainings.draft(4)
    ask(trainings, draft)
    with monkeypatch.context() as patch:
        patch.setattr("core.trainings.policy.MAX_TRIES", 2)
        trainings.world.sandbox.put("faults", expired_url=True)
        stands = until(lambda: (seen := step(trainings, draft)).stuck and seen)
    [stuck] = stands.stuck
    assert stuck.failure_words
    assert filling_up.in_doubt(STAFF) == ()
    trainings.world.sandbox.put("faults")
    assert filling_up.look_again(STAFF, draft, trainings.tools) == 1
    assert len(drawn(trainings, draft).waiting) == 1
    assert settled(trainings) == Decimal("0.025")


@pytest.mark.parametrize(
    ("image", "secret", "status"),
    [
        (None, CALLBACK_SECRET, 400),
        ("no-id", CALLBACK_SECRET, 400),
        ("5b0f9c1e-0000-4000-8000-000000000001", CALLBACK_SECRET, 404),
        ("5b0f9c1e-0000-4000-8000-000000000001", "wrong", 401),
    ],
)
def test_a_callback_that_is_none_of_ours(
    trainings: Trainings, image: str | None, secret: str, status: int
) -> None:
    query = {"secret": secret} | ({"image": image} if image else {})
    answer = trainings.world.web.post("/api/kie/images/callback", params=query, json=success("task_1"))
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_forged_callback_binds_nothing(trainings: Trainings) -> None:
    draft, other = trainings.draft(4), trainings.draft(4)
    ask(trainings, other)
    drawn(trainings, other)
    [stolen] = [row.remote_id for row in rows(trainings, other)]
    ask(trainings, draft, f"{ADA} [[fault:answer_lost]] [[fault:callback_lost]]")
    step(trainings, draft)
    [(mine,)] = trainings.world.sql("SELECT id::text FROM training_drawings WHERE lora_model_id = %s", draft)
    for duplicate in (False, True):
        answer = trainings.world.web.post(
            "/api/kie/images/callback",
            params={"secret": CALLBACK_SECRET, "image": mine},
            json=success(stolen),
        )
        assert answer.json()["duplicate"] is duplicate
    step(trainings, draft)
    assert [(row.state, row.remote_id) for row in rows(trainings, draft)] == [("sending", None)]


def test_the_ledger_of_the_run_shows_what_was_generated_for_it(trainings: Trainings) -> None:
    draft = trainings.draft(4)
    ask(trainings, draft)
    [image] = drawn(trainings, draft).waiting
    dataset.approve(STAFF, draft, image.n, trainings.tools.dataset)
    run = service.launch(STAFF, trainings.wish(draft_id=draft, filled_up=True), trainings.tools)
    trainings.settle(run.id, RunState.AWAITING_VERDICT)
    found = detail.of_run(STAFF, run.id, trainings.tools)
    kinds = [(line.kind, line.stage) for line in found.ledger if line.provider == "kie"]
    assert ("settle", "generated") in kinds
    [(cost,)] = trainings.world.sql("SELECT training_cost FROM lora_models WHERE id = %s", draft)
    assert cost == Decimal("2.13")
