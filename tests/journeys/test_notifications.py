"""Alerts by mail and webhook: once, grouped, tried again, and without a secret anywhere."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core import access, database, settings
from core.access import Actor, Role
from core.alerts import lookout
from core.alerts import service as alerts
from core.alerts import views as alerts_views
from core.alerts.models import Kind
from core.budget import service as budget
from core.budget.models import CostLine, Reservation
from core.errors import Conflict, InvalidInput, NotAllowed
from core.notifications import channels, service
from core.settings import ROOT
from core.trainings import telling
from core.work import runs
from jobs import alerts as alerts_job
from tests.journeys.mailbox import Received, mail_server, webhook
from tests.journeys.world import World, all_rows, until

ADA = access.command_line("ada")
NOW = datetime.now(UTC)
SECRET = "geheim-4711"


@pytest.fixture
def mails() -> Iterator[Received]:
    with mail_server() as received:
        yield received


@pytest.fixture
def posts() -> Iterator[Received]:
    with webhook() as received:
        yield received


@pytest.fixture
def told(
    world: World, mails: Received, posts: Received, configure: Callable[..., None]
) -> tuple[Received, Received]:
    """A product that tells alerts by mail and by webhook."""
    mail = f"mailto://127.0.0.1:{mails.port}?from=ops@studio.example&to=team@studio.example"
    configure(ALERT_URLS=f"{mail}, json://127.0.0.1:{posts.port}/{SECRET}/hook")
    return mails, posts


def later(seconds: float = 0) -> Callable[[], datetime]:
    """A clock that shows so much after the time for which messages are held."""
    at = datetime.now(UTC) + alerts.GATHERED_FOR + timedelta(seconds=seconds)
    return lambda: at


def deliver() -> int:
    """Send what is due once messages are no longer held."""
    return service.deliver(later())


def spend(amount: str) -> None:
    """Trainings that cost so much this month."""
    key = f"run:{uuid.uuid4()}"
    now = datetime.now(UTC)
    line = CostLine(str(uuid.uuid4()), "fal", "training", Decimal(1), "run", Decimal(amount), "test")
    with database.transaction() as connection:
        budget.reserve(connection, Reservation(key, Decimal(amount), "fal", "training"), now)
        budget.settle(connection, key, [line], now)


def test_crossing_150_is_one_alert_and_one_message_however_many_processes_look(
    told: tuple[Received, Received], world: World
) -> None:
    mails, posts = told
    spend("99.99")
    assert [alerts.watch_money(NOW), alerts.tell(NOW), deliver()] == [0, 0, 0]
    spend("50.01")
    world.sql(
        "INSERT INTO generations (status, delivery_state, task_id, provider_read_at)"
        " VALUES ('failed', 'lost', 't', now() - interval '1 min')"
    )
    at_once(10, "look")
    found = alerts_views.waiting(ADA)
    assert [alert.kind for alert in found] == [Kind.LOST_RESULTS, Kind.BUDGET_ALERT, Kind.BUDGET_HALF]
    assert len({alert.message_key for alert in found}) == 1
    at_once(10, "deliver")
    assert mails.subjects == ["Studio Ops: 1 result lost, and 2 more"]
    assert len(posts.posts) == 1
    for _ in range(3):
        spend("1")
        alerts_job.run()
        deliver()
    assert (len(mails.mails), len(posts.posts)) == (1, 1)


def at_once(processes: int, what: str) -> None:
    """Do this in so many processes of their own, which begin together."""
    order = [sys.executable, "-m", "tests.journeys.together", str(processes), what]
    subprocess.run(order, cwd=ROOT, env=dict(os.environ), timeout=120, check=True)


def test_what_opens_while_a_message_waits_joins_it(told: tuple[Received, Received], world: World) -> None:
    mails, _ = told
    spend("100")
    alerts_job.run()
    spend("50")
    alerts_job.run()
    deliver()
    assert mails.subjects == [f"Studio Ops: {NOW:%B}'s trainings have cost $150.00, and 1 more"]
    assert "half of the budget" in mails.body(0)
    world.sql(
        "INSERT INTO generations (status, delivery_state, task_id, provider_read_at)"
        " VALUES ('failed', 'lost', 't', now() - interval '1 min')"
    )
    alerts_job.run()
    deliver()
    assert mails.subjects[1:] == ["Studio Ops: 1 result lost"]


@pytest.mark.parametrize("dead", ["clock", "worker"])
def test_a_dead_clock_or_worker_is_told_by_who_is_alive(
    told: tuple[Received, Received], world: World, dead: str
) -> None:
    mails, _ = told
    alive = {"clock": "worker", "worker": "clock"}[dead]
    for role in ("clock", "worker"):
        runs.beat(uuid.uuid4(), role, NOW - timedelta(minutes=3))
    for seconds in (30, 0):
        at = NOW - timedelta(seconds=seconds)
        runs.beat(uuid.uuid4(), alive, at)
        lookout.look(NOW - timedelta(hours=1), at)
    until(lambda: mails.subjects == [f"Studio Ops: No {dead} is alive"])
    runs.beat(uuid.uuid4(), dead, NOW)
    lookout.look(NOW - timedelta(hours=1), NOW)
    assert alerts_views.waiting(ADA) == []
    assert len(mails.mails) == 1


def test_with_both_dead_the_web_process_tells(
    told: tuple[Received, Received], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails, _ = told
    world.sql("DELETE FROM process_heartbeats")
    monkeypatch.setattr(runs, "BEAT_EVERY", timedelta(milliseconds=50))
    monkeypatch.setattr(runs, "DEAD_AFTER", timedelta(milliseconds=100))
    monkeypatch.setattr(alerts, "GATHERED_FOR", timedelta(0))
    with lookout.kept():
        until(lambda: len(mails.mails) > 0)
    assert mails.subjects[0].endswith("is alive, and 1 more")
    body = mails.body(0)
    assert "No clock is alive" in body
    assert "No worker is alive" in body


def test_a_threshold_is_told_once_a_month_even_after_it_was_left(
    told: tuple[Received, Received], world: World
) -> None:
    mails, _ = told
    spend("151")
    alerts_job.run()
    deliver()
    assert len(mails.mails) == 1
    [line] = world.sql("SELECT id FROM job_costs WHERE kind = 'settle'")
    budget.correct(ADA, line.id, Decimal(10), "a refund", NOW, "request-1")
    alerts_job.run()
    assert alerts_views.waiting(ADA) == []
    spend("145")
    alerts_job.run()
    deliver()
    assert alerts_views.waiting(ADA) == []
    assert len(mails.mails) == 1


def test_the_message_says_what_and_where_and_groups_what_opened_together(
    told: tuple[Received, Received], world: World
) -> None:
    mails, posts = told
    spend("160")
    world.sql(
        "INSERT INTO generations (status, delivery_state, task_id, provider_read_at)"
        " VALUES ('failed', 'lost', 't', now() - interval '1 min')"
    )
    alerts_job.run()
    assert deliver() == 2
    [subject] = mails.subjects
    assert subject == "Studio Ops: 1 result lost, and 2 more"
    body = mails.body(0)
    assert "trainings have cost $150.00" in body
    assert f"{world.environment['PUBLIC_BASE_URL']}/alerts" in body
    assert "/debug_sync?q=" in body
    assert json.loads(posts.posts[0])["title"] == subject


def test_a_broken_channel_is_tried_again_shown_and_stops_nothing(
    told: tuple[Received, Received], world: World
) -> None:
    mails, posts = told
    posts.status = 500
    spend("160")
    alerts_job.run()
    at = datetime.now(UTC)
    assert service.deliver(later()) == 1
    assert service.deliver(later(5)) == 0
    for seconds in (11, 50):
        assert service.deliver(later(seconds)) == 0
    assert (len(mails.mails), len(posts.posts)) == (1, 3)
    alerts.watch_channels(at)
    broken = next(alert for alert in alerts_views.waiting(ADA) if alert.kind is Kind.BROKEN_CHANNEL)
    assert broken.subject == "JSON, 127.0.0.1"
    assert SECRET not in str(broken)
    posts.status = 200
    assert service.deliver(later(300)) == 1
    alerts.watch_channels(at)
    assert Kind.BROKEN_CHANNEL not in [alert.kind for alert in alerts_views.waiting(ADA)]
    assert len(posts.posts) == 4


def test_a_message_that_is_never_taken_is_given_up(told: tuple[Received, Received], world: World) -> None:
    _, posts = told
    posts.status = 500
    spend("160")
    alerts_job.run()
    for hour in range(20):
        service.deliver(later(3600 * 6 * hour))
    assert len(posts.posts) == len(service.PAUSES) + 1
    found = alerts_views.told(ADA, alerts_views.waiting(ADA))
    states = {one.label: one.state for outcomes in found.values() for one in outcomes}
    assert states == {"E-Mail, 127.0.0.1": "sent", "JSON, 127.0.0.1": "failed"}


def test_who_was_killed_while_sending_leaves_the_message_to_the_next(
    told: tuple[Received, Received], world: World
) -> None:
    mails, _ = told
    spend("160")
    alerts_job.run()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.deliver(later(), send=killed)
    service.deliver(later(30))
    assert world.sql("SELECT count(*) FROM notifications WHERE state = 'sending'")[0][0] == 1
    service.deliver(later(service.LEASE.total_seconds() + 1))
    assert world.sql("SELECT count(*) FROM notifications WHERE state = 'sent'")[0][0] == 2
    assert len(mails.mails) == 1


def test_no_secret_of_a_channel_is_ever_shown(told: tuple[Received, Received], world: World) -> None:
    _, posts = told
    posts.status = 403
    [channel] = [one for one in channels.of(settings.current()) if not one.is_mail]
    assert SECRET not in repr(channel)
    service.test(ADA, channel.id, NOW)
    deliver()
    assert SECRET not in all_rows(world, ("notifications", "alerts", "audit_log"))
    [standing] = [one for one in service.standings() if not one.channel.is_mail]
    assert standing.last is not None
    assert SECRET not in repr(standing)


def test_a_test_message_goes_to_one_channel_and_tells_what_became_of_it(
    told: tuple[Received, Received], world: World
) -> None:
    mails, posts = told
    mail = channels.mail_channel(channels.of(settings.current()))
    assert mail is not None
    key = service.test(ADA, mail.id, NOW)
    deliver()
    assert mails.subjects == ["Studio Ops: a test message"]
    assert posts.posts == []
    [outcome] = service.outcomes(ADA, [key])[key]
    assert (outcome.state, outcome.label) == ("sent", "E-Mail, 127.0.0.1")
    mia = Actor("person", "mia", "Mia", frozenset({Role.PRODUCT}), "page")
    with pytest.raises(NotAllowed, match="send a test message"):
        service.test(mia, mail.id, NOW)
    with pytest.raises(Conflict, match="no longer in ALERT_URLS"):
        service.test(ADA, "gone", NOW)


def test_who_launched_a_training_is_told_its_end_by_mail_when_they_asked(
    told: tuple[Received, Received], world: World
) -> None:
    mails, posts = told
    lora, run, other = (str(uuid.uuid4()) for _ in range(3))
    world.sql("INSERT INTO lora_models (id, name, training_status, training_cost, creator_key) VALUES"
              " (%s, 'Ada', 'training', 2.105, 'staff:ada')", lora)  # fmt: skip
    for one, creator in ((run, "staff:ada"), (other, "staff:bo")):
        world.sql(
            "INSERT INTO lora_training_jobs (id, lora_model_id, state, stage, creator_key, created_at,"
            " completed_at) VALUES (%s, %s, 'completed', 'completion', %s, now(), now() + interval '1 min')",
            one, lora, creator,
        )  # fmt: skip
    assert telling.tell_ends(datetime.now(UTC)) == 0
    assert service.choose_mail(ADA, " ada@studio.example ", NOW) == "ada@studio.example"
    assert [telling.tell_ends(datetime.now(UTC)) for _ in range(2)] == [1, 0]
    deliver()
    assert mails.subjects == ["Your LoRA “Ada” is completed"]
    assert mails.mails[0]["To"] == "ada@studio.example"
    assert f"/training_runs?run={run}" in mails.body(0)
    assert posts.posts == []
    service.choose_mail(ADA, "", NOW)
    assert service.chosen_mail(ADA) is None


@pytest.mark.parametrize(
    "address", ["ada", "a@b c", "@x", "a@b\nBcc: c@d", "x" * 300 + "@y.de", "a..b@c.de", "<a@b.de>"]
)
def test_what_is_no_address_is_refused(told: tuple[Received, Received], address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        service.choose_mail(ADA, address, NOW)
    assert refused.value.field == "email"


def test_without_a_mail_channel_nobody_can_ask_for_mail(world: World, configure: Callable[..., None]) -> None:
    configure(ALERT_URLS="json://127.0.0.1:1/x")
    with pytest.raises(Conflict, match="has no mailto://"):
        service.choose_mail(ADA, "ada@studio.example", NOW)


def test_without_a_channel_alerts_stand_on_the_page_alone(world: World) -> None:
    spend("160")
    alerts_job.run()
    assert deliver() == 0
    assert len(alerts_views.waiting(ADA)) == 2
    assert world.sql("SELECT count(*) FROM notifications")[0][0] == 0
