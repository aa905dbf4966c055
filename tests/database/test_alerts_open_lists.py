"""What alerts of trainings, LoRAs and money open are exactly the rows that they have counted."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from core import access, database
from core.access import Actor, Role
from core.alerts import service, views, words
from core.alerts.models import Alert, Kind
from core.budget import fold, ledger
from core.budget import service as budget
from core.budget.models import CostLine, Line, Reservation
from core.budget.policy import month_of
from core.loras import views as loras
from core.loras.models import Search
from core.trainings import counted, spending
from core.trainings import views as runs
from core.trainings.counted import Counted, What
from core.trainings.views import Filter

VIEWER = Actor("person", "v", "A viewer", frozenset({Role.VIEWER}), "page")
OPERATOR = access.command_line("ada")
NOW = datetime.now(UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
REHEARSED = "5ce9e000-0000-8000-0000-00000000{:04x}"
Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(migrated_database: str) -> Iterator[Connection]:
    database.connect(migrated_database)
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        yield connection
    database.close()


def lora(connection: Connection, **columns: Any) -> UUID:
    values = {
        "id": uuid.uuid4(),
        "name": f"Ada {uuid.uuid4()}",
        "creator_key": "staff:ada",
        "training_status": "completed",
        "storage_path": "a",
        "storage_url": "u",
        "file_size": 1,
        **columns,
    }
    places = ", ".join(["%s"] * len(values))
    connection.execute(
        f"INSERT INTO lora_models ({', '.join(values)}) VALUES ({places})".encode(), list(values.values())
    )
    return UUID(str(values["id"]))


def run(connection: Connection, state: str, **columns: Any) -> UUID:
    values = {
        "id": uuid.uuid4(),
        "lora_model_id": lora(connection),
        "state": state,
        "stage": "training",
        "trainer": "fal",
        "steps": 1000,
        "trigger_word": "ada",
        "creator_key": "staff:ada",
        "created_at": NOW - HOUR,
        "heartbeat_at": NOW,
        **columns,
    }
    places = ", ".join(["%s"] * len(values))
    connection.execute(
        f"INSERT INTO lora_training_jobs ({', '.join(values)}) VALUES ({places})".encode(),
        list(values.values()),
    )
    return UUID(str(values["id"]))


def paid(run_id: UUID, amount: str, at: datetime = NOW) -> None:
    """Reserve and settle a run's call, in the month of `at`."""
    line = CostLine(
        f"call:{run_id}", "fal", "flux-lora-fast-training", Decimal(amount), "dollar", Decimal(1), "test", "t"
    )
    with database.transaction() as connection:
        wanted = Reservation(
            f"run:{run_id}", Decimal(amount), "fal", "flux-lora-fast-training", run_id=run_id
        )
        budget.reserve(connection, wanted, at)
        budget.settle(connection, f"run:{run_id}", [line], at, close=True)


def alert_of(kind: Kind) -> Alert:
    [found] = [alert for alert in views.waiting(VIEWER) if alert.kind is kind]
    return found


def opened(alert: Alert, actor: Actor = VIEWER, limit: int = 4) -> set[UUID]:
    """The runs that its address opens, read as the page reads them, all pages."""
    page, query = words.evidence_of(alert) or ("", {})
    assert page == "training_runs"
    chosen, faults = counted.read(query)
    assert faults == []
    assert chosen.query() == query
    found, before = list[UUID](), None
    while True:
        shown = runs.runs(actor, Filter(counted=chosen), NOW, limit=limit, before=before)
        found += [row.id for row in shown.rows]
        before = shown.next_before
        if before is None:
            assert len(found) == len(set(found))
            return set(found)


def test_silent_trainings_open_those_in_nobodys_hands(connection: Connection) -> None:
    silent = {
        run(connection, state, heartbeat_at=NOW - 11 * MINUTE, next_attempt_at=NOW - ago)
        for state in ("running", "ending")
        for ago in (11 * MINUTE, HOUR, DAY)
    }
    silent.add(run(connection, "running", heartbeat_at=NOW - 11 * MINUTE, next_attempt_at=None))
    run(connection, "running", heartbeat_at=NOW - 9 * MINUTE, next_attempt_at=NOW - HOUR)
    run(connection, "running", heartbeat_at=NOW - HOUR, next_attempt_at=NOW + MINUTE)
    for state in ("awaiting_verdict", "needs_attention", "failed"):
        run(connection, state, heartbeat_at=NOW - DAY, next_attempt_at=NOW - DAY)
    run(connection, "running", id=REHEARSED.format(1), heartbeat_at=NOW - DAY, next_attempt_at=NOW - DAY)
    service.watch_trainings(NOW)
    alert = alert_of(Kind.TRAININGS_SILENT)
    run(connection, "running", heartbeat_at=NOW - 10 * MINUTE, next_attempt_at=NOW - HOUR)
    assert alert.count == len(silent) == 7
    assert opened(alert) == silent


def test_waiting_verdicts_open_those_that_have_waited_for_a_day(connection: Connection) -> None:
    waiting = {run(connection, "awaiting_verdict", heartbeat_at=NOW - DAY - n * MINUTE) for n in range(1, 7)}
    run(connection, "awaiting_verdict", heartbeat_at=NOW - DAY + MINUTE)
    run(connection, "needs_attention", heartbeat_at=NOW - 3 * DAY)
    service.watch_trainings(NOW)
    alert = alert_of(Kind.VERDICT_WAITING)
    assert alert.count == len(waiting)
    assert opened(alert) == waiting


def test_pods_without_a_run_open_those_that_are_counted(connection: Connection) -> None:
    """Those that run, and those that ended within a day; the alert stays with what it has counted."""
    for pod, ended in (
        ("runs", None),
        ("ended", NOW - DAY + timedelta(microseconds=1)),
        ("long ago", NOW - DAY),
        ("longer ago", NOW - 2 * DAY),
    ):
        connection.execute(
            "INSERT INTO orphan_pods (pod_id, usd_per_hour, seen_at, ended_at) VALUES (%s, 2, %s, %s)",
            (pod, NOW - 3 * DAY, ended),
        )
    service.watch_trainings(NOW)
    alert = alert_of(Kind.ORPHAN_PODS)
    page, query = words.evidence_of(alert) or ("", {})
    assert (page, query) == ("training_runs", {"pods": "runs,ended"})
    found = spending.orphan_pods(VIEWER, query["pods"].split(","))
    assert [pod.pod_id for pod in found] == ["runs", "ended"]
    assert alert.count == len(found)


def test_the_success_of_trainings_opens_no_rehearsed_ones(connection: Connection) -> None:
    failed = {run(connection, "failed", created_at=NOW - 2 * DAY - n * HOUR) for n in range(6)}
    for n in range(6):
        run(connection, "completed", created_at=NOW - n * DAY)
    run(connection, "failed", created_at=NOW - 31 * DAY)
    run(connection, "failed", id=REHEARSED.format(2))
    run(connection, "cancelled")
    service.watch_trainings(NOW)
    alert = alert_of(Kind.TRAINING_SUCCESS)
    assert alert.count == len(failed)
    assert opened(alert) == failed


def test_the_cost_of_failures_opens_the_runs_and_its_number_their_lines(connection: Connection) -> None:
    month = month_of(NOW)
    before = datetime(month.year, month.month, 1, tzinfo=UTC) - DAY
    failures = {run(connection, state) for state in ("failed", "cancelled", "failed")}
    for n, one in enumerate(failures):
        paid(one, f"{5 + n}.25")
    for state in ("completed", "running", "needs_attention"):
        paid(run(connection, state), "7")
    earlier = run(connection, "failed", created_at=before)
    paid(earlier, "9", before)
    run(connection, "failed")  # It cost nothing, and is none of the month's money.
    fold.run(NOW)
    service.watch_money(NOW)
    alert = alert_of(Kind.FAILURE_COST)
    assert alert.count == 3
    assert opened(alert) == failures
    found = spending.worth(VIEWER, month)
    lines = ledger.Filter(month, runs=ledger.FAILURES)
    assert ledger.read(lines.query(), NOW) == (lines, [])
    rows = list(ledger.every_line(VIEWER, lines))
    assert {line.run_id for line in rows} == failures
    settled = sum((line.amount_usd or Decimal(0) for line in rows if line.kind == "settle"), Decimal(0))
    assert settled == found.failures_usd == Decimal("18.75")
    told = ledger.counted(VIEWER, lines)
    assert told is not None
    assert (told.lines, told.settled_usd, told.reserved_usd) == (len(rows), settled, Decimal(0))
    over = Filter(counted=Counted(What.OVER, month=month))
    assert len(runs.runs(VIEWER, over, NOW).rows) == found.completed + found.failed == 4
    in_the_month_before = Filter(counted=Counted(What.FAILURES, month=month_of(before)))
    assert [row.id for row in runs.runs(VIEWER, in_the_month_before, NOW).rows] == [earlier]


def test_lines_of_failures_page_by_page_and_with_other_filters(connection: Connection) -> None:
    month = month_of(NOW)
    for n in range(7):
        paid(run(connection, "failed"), f"{n + 1}")
    fold.run(NOW)
    wanted = ledger.Filter(month, runs=ledger.FAILURES, kind="settle")
    amounts, before = list[Decimal | None](), None
    while True:
        page = ledger.lines(VIEWER, wanted, before, limit=3)
        amounts += [line.amount_usd for line in page.lines]
        before = page.next_before
        if before is None:
            break
    assert sorted(amount or 0 for amount in amounts) == list(range(1, 8))
    assert ledger.counted(VIEWER, wanted) is None
    for none in ({"provider": "runpod"}, {"scope": "deliveries"}, {"flagged": True}, {"user": uuid.uuid4()}):
        assert ledger.lines(VIEWER, wanted.but(**none)).lines == ()
    assert len(ledger.lines(VIEWER, wanted.but(scope="everything")).lines) == 7


@pytest.mark.parametrize("often", [0, 10**6])
def test_lines_of_failures_are_the_same_however_they_are_found(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, often: int
) -> None:
    """From each run's lines, and from all lines of the month in their order."""
    monkeypatch.setattr(ledger, "OFTEN", often)
    month = month_of(NOW)
    failures = [run(connection, ("failed", "cancelled")[n % 2]) for n in range(9)]
    for n, one in enumerate(failures):
        paid(one, f"{n + 1}")
        paid(run(connection, "completed"), "0.5")
    fold.run(NOW)
    wanted = ledger.Filter(month, runs=ledger.FAILURES)
    rows, before = list[Line](), None
    while True:
        page = ledger.lines(VIEWER, wanted, before, limit=4)
        rows += page.lines
        before = page.next_before
        if before is None:
            break
    assert {line.run_id for line in rows} == set(failures)
    settled = [line.amount_usd or 0 for line in rows if line.kind == "settle"]
    assert sorted(settled) == list(range(1, 10))
    assert rows == sorted(rows, key=lambda line: (line.occurred_at, line.id), reverse=True)


def test_a_price_that_is_missing_opens_the_flagged_lines_of_the_newest_month(connection: Connection) -> None:
    month = month_of(NOW)
    last = datetime(month.year, month.month, 1, tzinfo=UTC) - DAY
    for model, flagged, at in (("veo-9", True, last), ("veo-9", False, NOW), ("veo-8", True, last)):
        connection.execute(
            "INSERT INTO job_costs (kind, scope, month, provider, service, model, amount_usd, occurred_at,"
            " source_key, flagged) VALUES ('settle', 'deliveries', %s, 'kie', 'generation', %s, 1, %s, %s,"
            " %s)",
            (month_of(at), model, at, str(uuid.uuid4()), flagged),
        )
    fold.run(NOW)
    service.watch_money(NOW)
    [alert] = [one for one in views.waiting(VIEWER) if one.subject == "kie/veo-9"]
    page, query = words.evidence_of(alert) or ("", {})
    chosen, faults = ledger.read(query, NOW)
    assert (page, faults) == ("budget", [])
    [line] = ledger.lines(VIEWER, chosen).lines
    assert (line.model, line.flagged, line.month) == ("veo-9", True, month_of(last))


def proven(connection: Connection, lora_id: UUID, state: str) -> UUID:
    connection.execute(
        "INSERT INTO lora_weight_proofs (lora_model_id, state, since, checked_at)"
        " VALUES (%s, %s, now(), now())",
        (lora_id, state),
    )
    return lora_id


def wrong_ones(actor: Actor, limit: int = 2) -> tuple[set[UUID], int]:
    """The LoRAs of the list, all pages, and the number that stands above."""
    found, after = list[UUID](), None
    while True:
        page = loras.search(actor, Search(wrong=True), limit=limit, after=after)
        found += [card.id for card in page.cards]
        after = page.next
        if after is None:
            assert len(found) == len(set(found))
            return set(found), page.total


def test_wrong_weights_open_all_of_them_in_use_or_not(connection: Connection) -> None:
    wrong = {
        proven(connection, lora(connection, **columns), state)
        for columns, state in (
            ({}, "missing"),
            ({}, "differs"),
            ({"archived_at": NOW}, "differs"),
            ({"is_private": True}, "missing"),
            ({"hidden_at": NOW}, "differs"),
        )
    }
    proven(connection, lora(connection), "good")
    lora(connection)
    service.watch_library(NOW)
    alert = alert_of(Kind.WRONG_WEIGHTS)
    assert words.evidence_of(alert) == ("lora_library", {"weights": "Wrong weights"})
    assert alert.count == len(wrong)
    assert wrong_ones(OPERATOR) == (wrong, 5)
    assert loras.wrong_weights(VIEWER) == 5
    assert len(wrong_ones(VIEWER)[0]) == 3
    assert len(loras.search(OPERATOR, Search(wrong=True, archived=True)).cards) == 1
    assert len(loras.search(OPERATOR, Search(wrong=True, restricted=True)).cards) == 2
    assert loras.search(OPERATOR, Search(wrong=True, text="nobody")).cards == ()
    assert len(loras.search(OPERATOR, Search(wrong=True, text="ada")).cards) == 5


def test_no_wrong_weights_are_none_and_not_all(connection: Connection) -> None:
    proven(connection, lora(connection), "good")
    assert wrong_ones(OPERATOR) == (set(), 0)


@pytest.mark.parametrize(
    ("query", "found", "faults"),
    [
        ({}, Counted(), ()),
        ({"counted": "silent"}, Counted(), ("“until”",)),
        ({"counted": "silent", "until": "yesterday"}, Counted(), ("“until” is no exact time", "“until”")),
        ({"counted": "<b>"}, Counted(), ("“counted” cannot be “<b>”; it may be silent,",)),
        ({"counted": "doubt", "since": "x"}, Counted(What.DOUBT), ()),
        ({"counted": "failures", "month": "2026-13"}, Counted(), ("no month such as", "“month”")),
        ({"counted": "failures", "month": "2026-11"}, Counted(What.FAILURES, month=date(2026, 11, 1)), ()),
        ({"since": "x"}, Counted(), ("“since”",)),
        (
            {"since": "2026-11-25T10:00:00.000001Z", "until": "x"},
            Counted(since=datetime(2026, 11, 25, 10, 0, 0, 1, tzinfo=UTC)),
            (),
        ),
    ],
)
def test_an_address_that_was_changed_says_so(
    query: dict[str, str], found: Counted, faults: tuple[str, ...]
) -> None:
    read, told = counted.read(query)
    assert read == found
    assert len(told) == len(faults)
    for sentence, part in zip(told, faults, strict=True):
        assert part in sentence


def test_a_wrong_value_of_the_ledgers_runs_says_so() -> None:
    read, told = ledger.read({"runs": "mine"}, NOW)
    assert read.runs is None
    assert told == ["“runs” may be failures. It is left out."]
