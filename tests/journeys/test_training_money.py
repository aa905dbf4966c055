"""The money of trainings: every paid call a line, RunPod's bill, worth, quotas, the company's count."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from core import access
from core.access import Actor
from core.alerts import service as alerts
from core.alerts import views as alerts_views
from core.alerts import words
from core.alerts.models import Kind
from core.budget import fold, views
from core.budget.models import BudgetExceeded
from core.budget.policy import month_of
from core.providers.runpod import RunPodTrainer
from core.trainings import billing, cleaning, service, spending
from core.trainings.models import RunState
from core.trainings.tools import Tools
from tests.journeys.training_world import STAFF, Trainings
from tests.pages import money

ADA = access.command_line("ada")
D = Decimal


def taken_up() -> datetime:
    now = datetime.now(UTC)
    fold.run(now)
    return now


def test_every_paid_call_of_a_run_is_a_line_with_all_that_it_was_made_of(trainings: Trainings) -> None:
    run = trainings.completed()
    rows = trainings.world.sql(
        "SELECT kind, provider, service, stage, quantity, unit, unit_price, price_version, amount_usd"
        " FROM job_costs WHERE run_id = %s ORDER BY occurred_at, stage",
        run.id,
    )
    settled = [tuple(row)[1:] for row in rows if row.kind == "settle"]
    training = [row for row in settled if row[2] == "training"]
    pictures = [row for row in settled if row[2] == "validation"]
    version = "fal/flux-lora-fast-training 2026-11-20"
    assert training == [
        ("fal", "flux-lora-fast-training", "training", D(1000), "step", D("0.002"), version, D("2.0000"))
    ]
    assert [(row[3], row[4], row[7]) for row in pictures] == [(D(1), "megapixel", D("0.0350"))] * 3
    taken_up()
    position = views.position(ADA, datetime.now(UTC))
    assert (position.settled_usd, position.reserved_usd) == (D("2.1050"), D(0))
    assert position == views.by_lines(ADA, datetime.now(UTC))


def test_what_a_completed_lora_costs_holds_the_failed_ones(trainings: Trainings) -> None:
    trainings.completed()
    failed = trainings.launch()
    trainings.settle(failed.id, RunState.AWAITING_VERDICT)
    trainings.judge(failed.id, False, False, False)
    trainings.settle(failed.id, RunState.FAILED)
    now = taken_up()
    found = spending.worth(ADA, month_of(now))
    assert (found.completed, found.failed) == (1, 1)
    assert (found.per_completed_usd, found.failures_usd) == (D("4.2100"), D("2.1050"))
    assert found.failure_share == 0.5
    [drift] = found.drifts
    assert (drift.trainer, drift.runs, drift.quoted_usd, drift.share) == ("fal", 2, D("4.2100"), 0.0)
    [creator] = found.creators
    assert (creator.runs, creator.settled_usd) == (2, D("4.2100"))
    [quota] = spending.quotas(ADA, month_of(now))
    assert (quota.used, quota.quota) == (1, 5)


def test_of_fifty_launches_at_once_as_many_begin_as_fit(trainings: Trainings) -> None:
    # $4.30 are left, a training is quoted at $2.105. Each has a creator of its own, so that the budget alone
    # has them wait for each other.
    money.spend("195.70")
    crowd = [Actor("person", f"p{n}", f"P {n}", STAFF.roles, "page") for n in range(50)]
    wishes = [trainings.wish(draft_id=trainings.draft()) for _ in crowd]
    together = threading.Barrier(50)

    def launch(n: int) -> str:
        together.wait(60)
        try:
            service.launch(crowd[n], wishes[n], trainings.tools)
        except BudgetExceeded as refusal:
            return refusal.message
        return ""

    with ThreadPoolExecutor(50) as pool:
        said = list(pool.map(launch, range(50)))
    assert said.count("") == 2
    refused = {text for text in said if text}
    assert len(refused) == 1
    assert refused.pop().startswith(
        "This would take $2.11 of the trainings budget, and $0.09 is left of $200.00 for"
        f" {datetime.now(UTC):%B} ($195.70 spent, $4.21 reserved). Wait for 1 "
    )
    position = views.position(ADA, datetime.now(UTC))
    assert (position.reserved_usd, position.left_usd) == (D("4.2100"), D("0.0900"))
    runs = trainings.world.sql(
        "SELECT count(*) AS n, count(DISTINCT reservation_key) AS m FROM lora_training_jobs"
    )
    assert (runs[0].n, runs[0].m) == (2, 2)


def test_runpods_own_bill_corrects_what_was_written(trainings: Trainings) -> None:
    run = trainings.completed(trainer="runpod")
    [row] = trainings.world.sql(
        "SELECT id, amount_usd FROM job_costs WHERE run_id = %s AND stage = 'training' AND kind = 'settle'",
        run.id,
    )
    assert billing.compare(_bills(trainings, "1.2345")) == 0
    trainings.world.sql(
        "UPDATE training_calls SET ended_at = ended_at - interval '7 hours' WHERE run_id = %s", run.id
    )
    before = views.position(ADA, datetime.now(UTC)).settled_usd
    billed = _bills(trainings, "1.2345")
    assert billing.compare(billed) == 1
    assert billing.compare(billed) == 0
    after = views.position(ADA, datetime.now(UTC)).settled_usd
    assert after - before == D("1.2345") - row.amount_usd
    [line] = trainings.world.sql("SELECT kind, corrects, note FROM job_costs WHERE kind = 'correct'")
    assert line.corrects == str(row.id)
    assert "RunPod billed $1.2345" in line.note


def test_the_sandbox_bills_a_pod_by_its_time_as_the_ledger_does(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainings.completed(trainer="runpod")
    trainings.world.sql(
        "UPDATE training_calls SET ended_at = ended_at - interval '7 hours' WHERE run_id = %s", run.id
    )
    assert billing.compare(trainings.tools) == 0
    runpod = trainings.tools.trainers["runpod"]
    assert isinstance(runpod, RunPodTrainer)
    [call] = [one for one in trainings.calls(run.id) if one.provider == "runpod"]
    billed = runpod.billed(call.remote_id, call.created_at)
    assert billed is not None
    assert billed > 0
    # To the last part of a cent the bill is what stands in the end.
    monkeypatch.setattr(billing, "TOLERATED", D("-1"))
    billing.compare(trainings.tools)
    [total] = trainings.world.sql(
        "SELECT sum(amount_usd) AS usd FROM job_costs WHERE run_id = %s AND provider = 'runpod'"
        " AND kind IN ('settle', 'correct')",
        run.id,
    )
    assert total.usd == billed.quantize(D("0.0001"))


def many_pods(trainings: Trainings, number: int, usd: str, ended: str = "7 hours") -> None:
    """So many trainings on pods that ended so long ago, each with a line of so many dollars."""
    trainings.world.sql(
        "WITH pod AS (INSERT INTO training_calls (id, run_id, purpose, provider, state, remote_id,"
        " created_at, ended_at) SELECT gen_random_uuid(), gen_random_uuid(), 'training', 'runpod',"
        " 'succeeded', CAST(%s AS text) || '-' || n, now() - CAST(%s AS interval) - interval '1 hour',"
        " now() - CAST(%s AS interval) - n * interval '1 s' FROM generate_series(1, %s) n"
        " RETURNING id, run_id) INSERT INTO job_costs (kind, scope, month, provider, service, run_id,"
        " amount_usd, occurred_at, source_key) SELECT 'settle', 'trainings',"
        " date_trunc('month', now())::date, 'runpod', 'gpu', run_id, %s, now(), 'training-call:' || id"
        " FROM pod",
        ended, ended, ended, number, usd,
    )  # fmt: skip


def test_more_pods_than_are_asked_about_at_once_all_have_their_turn(trainings: Trainings) -> None:
    """The older ones, which are billed as we wrote, do not keep the others from being compared."""
    many_pods(trainings, billing.AT_ONCE + 5, "1.2345", ended="9 days")
    many_pods(trainings, billing.AT_ONCE + 20, "2.0")
    asked: list[str] = []
    tools = _bills(trainings, "1.2345", asked)
    found = [billing.compare(tools) for _ in range(4)]
    assert sum(found) == billing.AT_ONCE + 20
    assert found[0] == 0
    assert len(set(asked)) == 2 * billing.AT_ONCE + 25
    assert len(asked[: len(set(asked))]) == len(set(asked)), "nobody twice before all were asked about"
    [(month,)] = trainings.world.sql(
        "SELECT sum(amount_usd) FROM job_costs WHERE month = date_trunc('month', now())::date"
    )
    assert month == D("1.2345") * (2 * billing.AT_ONCE + 25)


@pytest.mark.parametrize(
    ("ended", "asked_before", "corrected"),
    [("9 days", True, 1), ("11 days", False, 1), ("11 days", True, 0), ("61 days", False, 0)],
)
def test_a_pod_that_nobody_asked_about_in_time_is_asked_about_once_more(
    trainings: Trainings, ended: str, asked_before: bool, corrected: int
) -> None:
    many_pods(trainings, 1, "2.0", ended)
    if asked_before:
        trainings.world.sql("UPDATE training_calls SET bill_asked_at = now() - interval '1 hour'")
    asked: list[str] = []
    tools = _bills(trainings, "1.2345", asked)
    assert billing.compare(tools) == corrected
    assert len(asked) == corrected
    assert billing.compare(tools) == 0


def test_the_whole_life_of_a_pod_is_asked_for(trainings: Trainings) -> None:
    """By itself RunPod tells of its last thirty days alone."""
    many_pods(trainings, 1, "2.0", "40 days")
    asked: list[str] = []
    since: list[str] = []
    assert billing.compare(_bills(trainings, "1.2345", asked, since)) == 1
    day = (datetime.now(UTC) - timedelta(days=40, hours=1)).strftime("%Y-%m-%dT00:00:00Z")
    assert since == [day]


@pytest.mark.parametrize(("status", "asks"), [(404, 3), (500, 3), (401, 1), (429, 1)])
def test_one_pods_trouble_is_not_the_others(trainings: Trainings, status: int, asks: int) -> None:
    many_pods(trainings, 3, "1.2345")
    asked: list[str] = []
    billing.compare(_bills(trainings, "1.2345", asked, status=status))
    assert len(asked) == asks


def test_a_pod_that_belonged_to_no_run_is_a_line_once_it_is_billed(trainings: Trainings) -> None:
    now = datetime.now(UTC)
    trainings.world.sql(
        "INSERT INTO orphan_pods (pod_id, usd_per_hour, seen_at, ended_at)"
        " VALUES ('lost', 2.89, %s, %s), ('young', 2.89, %s, %s)",
        now, now - timedelta(hours=7), now, now - timedelta(hours=1),
    )  # fmt: skip
    assert billing.compare(_bills(trainings, "0.4817")) == 1
    assert billing.compare(_bills(trainings, "0.4817")) == 0
    [line] = trainings.world.sql("SELECT * FROM job_costs")
    assert (line.scope, line.kind, line.provider, line.stage) == ("trainings", "settle", "runpod", "training")
    assert (line.amount_usd, line.note) == (D("0.4817"), "Pod lost belonged to no run.")
    month = now - timedelta(hours=7)
    fold.run(now)
    assert views.position(ADA, month).settled_usd == D("0.4817")


def test_a_pod_of_nobody_is_an_alert(trainings: Trainings) -> None:
    trainings.world.sql(
        "INSERT INTO orphan_pods (pod_id, usd_per_hour, seen_at) VALUES ('pod-of-nobody', 2.89, now())"
    )
    alerts.watch_trainings(datetime.now(UTC))
    [alert] = alerts_views.waiting(ADA)
    assert (alert.kind, alert.evidence["usd_per_hour"]) == (Kind.ORPHAN_PODS, "2.89")
    trainings.world.sql("UPDATE orphan_pods SET ended_at = now() - interval '2 days'")
    alerts.watch_trainings(datetime.now(UTC))
    assert alerts_views.waiting(ADA) == []
    assert cleaning.sweep_orphans(trainings.tools) == 0


def test_people_are_reminded_of_a_verdict_until_it_is_given(trainings: Trainings) -> None:
    waits = trainings.launch()
    trainings.settle(waits.id, RunState.AWAITING_VERDICT)
    now = datetime.now(UTC)
    for after, opened in ((timedelta(hours=23), 0), (timedelta(hours=25), 1), (timedelta(hours=26), 1)):
        alerts.watch_trainings(now + after)
        assert len(alerts_views.waiting(ADA)) == opened
    [alert] = alerts_views.waiting(ADA)
    assert (alert.kind, alert.count) == (Kind.VERDICT_WAITING, 1)
    assert words.evidence_of(alert) == ("training_runs", {"run": str(waits.id)})
    trainings.judge(waits.id, True)
    alerts.watch_trainings(now + timedelta(hours=27))
    assert len(alerts_views.waiting(ADA)) == 1, "one verdict of three is none"
    service.judge(STAFF, waits.id, 1, trainings.tools, shows=True)
    service.judge(STAFF, waits.id, 2, trainings.tools, shows=True)
    trainings.settle(waits.id, RunState.COMPLETED)
    alerts.watch_trainings(now + timedelta(hours=28))
    assert alerts_views.waiting(ADA) == []


def test_the_companys_count_is_reset_by_the_month_and_follows_failures(trainings: Trainings) -> None:
    user = str(uuid.uuid4())
    trainings.world.sql("INSERT INTO auth.users (id, email) VALUES (%s, 'ada@example.com')", user)
    trainings.world.sql(
        "INSERT INTO user_training_limits (user_id, loras_created_this_month, month_reset_date)"
        " VALUES (%s, 5, '2026-01-01')",
        user,
    )
    now = datetime.now(UTC)
    assert spending.keep_counts(now) == 1
    assert spending.keep_counts(now) == 0
    [row] = trainings.world.sql("SELECT * FROM user_training_limits WHERE user_id = %s", user)
    assert (row.loras_created_this_month, row.month_reset_date) == (0, month_of(now))


def test_a_failed_run_gives_its_place_back_and_a_wrong_count_is_put_right(trainings: Trainings) -> None:
    user = uuid.uuid4()
    trainings.world.sql("INSERT INTO auth.users (id, email) VALUES (%s, 'bo@example.com')", str(user))
    customer = access.Actor("customer", str(user), "bo", frozenset({access.Role.PRODUCT}), "api")
    run = trainings.launch(customer)
    count = "SELECT loras_created_this_month AS n FROM user_training_limits WHERE user_id = %s"
    assert trainings.world.sql(count, str(user))[0].n == 1
    trainings.settle(run.id, RunState.AWAITING_VERDICT)
    trainings.judge(run.id, False, False, False)
    trainings.settle(run.id, RunState.FAILED)
    assert trainings.world.sql(count, str(user))[0].n == 0
    trainings.world.sql("UPDATE user_training_limits SET loras_created_this_month = 4")
    assert spending.keep_counts(datetime.now(UTC)) == 1
    assert trainings.world.sql(count, str(user))[0].n == 0


def _bills(
    trainings: Trainings,
    usd: str,
    asked: list[str] | None = None,
    since: list[str] | None = None,
    *,
    status: int = 200,
) -> Tools:
    """Tools whose RunPod bills so much for each pod that it is asked about; `asked` notes which."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path.endswith("/billing/pods")
        if asked is not None:
            asked.append(request.url.params["podId"])
        if since is not None:
            since.append(request.url.params["startTime"])
        if status != 200:
            return httpx.Response(status, json={"title": "No", "status": status, "detail": "no"})
        record = {"podId": request.url.params["podId"], "totalAmount": float(usd)}
        return httpx.Response(200, json={"records": [record, {"podId": "another", "totalAmount": 9}]})

    runpod = RunPodTrainer("key", progress=lambda _: None, transport=httpx.MockTransport(answer))
    return replace(trainings.tools, trainers={**trainings.tools.trainers, "runpod": runpod})
