"""The numbers of the Overview's panels open exactly the rows that they count, those at the edges too."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from core import access
from core.access import Actor, Role
from core.deliveries import health_rows, windows
from core.deliveries.models import DeliveryState
from core.deliveries.windows import Filter
from core.loras import views as loras
from core.loras.models import Search
from core.trainings import counted, spending, views
from core.trainings.models import RunState, Stage
from pages.components import times, training_board
from tests.pages import lora_seeds, seeding, training_seeds
from tests.pages.conftest import OpenPage, failures_of, html_of
from tests.pages.conftest import links_of as all_links_of

Connection = psycopg.Connection[Any]
STAFF = access.command_line("ada")
NOW = datetime.now(UTC)
INSTANT = timedelta(microseconds=1)
LINK = re.compile(r'<a class="so-counted[^"]*" href="([^"]*)">(.*?)</a>')
Opened = list[tuple[str, dict[str, str], str]]


@pytest.fixture(autouse=True)
def one_moment(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    seeding.alive(connection)
    monkeypatch.setattr(times, "now", lambda: NOW)


def links_of(said: str) -> Opened:
    """Page, parameters and words of each number that opens something."""
    found = []
    for address, words in LINK.findall(said):
        parts = urlsplit(unescape(address))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found.append((parts.path, query, re.sub(r"<[^>]*>", " ", words)))
    return found


def number_in(words: str) -> int:
    return int(words.split()[-1])


def test_deliveries_of_the_last_day(open_page: OpenPage, connection: Connection) -> None:
    since, until = Filter().span(NOW)
    state = DeliveryState
    for stands in (state.DELIVERED, state.FAILED, state.LOST, state.NEEDS_ATTENTION, state.INTENT):
        status = "success" if stands is state.DELIVERED else "failed"
        for at in (since, since - INSTANT, since + INSTANT, NOW):
            row = seeding.insert(connection, seeding.Row(stands, status))
            connection.execute("UPDATE generations SET created_at = %s WHERE id = %s", (at, row))
    links = [link for link in links_of(html_of(open_page())) if link[0] == "delivery_health"]
    assert [query["state"] for _, query, _ in links] == [
        "finished", "delivered", "open", "failed", "lost", "needs_attention",
    ]  # fmt: skip
    for _, query, words in links:
        chosen, faults = windows.read(query)
        assert not faults
        found = [row.created_at for row in health_rows.every_row(STAFF, chosen, NOW)]
        if query["state"] == "finished":
            assert (words, len(found)) == ("33.3\u00a0%", 9)
        else:
            assert (query["state"], len(found)) == (query["state"], number_in(words))
            assert sorted(found) == [since, since + INSTANT, NOW]
    assert until > NOW


def test_trainings_of_a_week(open_page: OpenPage, trainings: None, connection: Connection) -> None:
    week = (NOW - timedelta(days=7)).replace(minute=0, second=0, microsecond=0)
    kept: dict[RunState, set[uuid.UUID]] = {}
    for state in RunState:
        for at in (week, week - INSTANT, NOW):
            connection.execute("UPDATE lora_models SET counted_at = now() - interval '40 days'")
            run = training_seeds.launched(name=f"Ada {state} {at}")
            stands = Stage.COMPLETION if state is RunState.COMPLETED else Stage.TRAINING
            training_seeds.stands(connection, run, state, stands, created_at=at)
            over = state in {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}
            if not over or at >= week:
                kept.setdefault(state, set()).add(run.id)
    app = open_page()
    assert not failures_of(app)
    links = [link for link in links_of(html_of(app)) if link[0] == "training_runs"]
    opened = []
    for _, query, words in links:
        of, faults = counted.read(query)
        assert not faults
        states = training_board.STATES[query.get("state", training_board.ALL)]
        page = views.runs(STAFF, views.Filter(states=states, counted=of), NOW, limit=100)
        assert len(page.rows) == number_in(words)
        opened.append({row.id for row in page.rows})
    assert opened == [
        kept[RunState.RUNNING] | kept[RunState.ENDING],
        kept[RunState.AWAITING_VERDICT],
        kept[RunState.NEEDS_ATTENTION],
        kept[RunState.FAILED],
        kept[RunState.COMPLETED],
    ]


def test_pods_open_the_runs_that_have_one(trainings: None, connection: Connection) -> None:
    runs = [training_seeds.launched(name=f"Ada {n}") for n in range(4)]
    for run, provider, remote, released in (
        (runs[0], "runpod", "pod-0", None),
        (runs[1], "runpod", "pod-1", NOW),
        (runs[2], "runpod", None, None),
        (runs[3], "fal", "request", None),
    ):
        connection.execute(
            "INSERT INTO training_calls (id, run_id, purpose, provider, state, remote_id, accepted_at,"
            " released_at, usd_per_hour)"
            " VALUES (gen_random_uuid(), %s, 'training', %s, 'sending', %s, %s, %s, 2)",
            (run.id, provider, remote, NOW, released),
        )
    of, faults = counted.read({"counted": "pods"})
    found = views.runs(STAFF, views.Filter(counted=of), NOW).rows
    assert faults == []
    assert [row.id for row in found] == [pod.run_id for pod in views.pods(STAFF, NOW)] == [runs[0].id]
    assert views.usd_per_hour(STAFF, NOW) == 2


def test_what_was_spent_opens_the_lines_of_the_month(open_page: OpenPage) -> None:
    assert [words for page, _, words in links_of(html_of(open_page())) if page == "budget"] == [
        "$0.00",
        "$0.00",
    ]


@pytest.fixture
def of_the_month(connection: Connection) -> dict[str, uuid.UUID]:
    """LoRAs at the edges of this month, and those that count in no quota."""
    first = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=32)).replace(day=1)
    made: dict[str, dict[str, Any]] = {
        "first": {"counted_at": first},
        "last": {"counted_at": following - INSTANT},
        "begun again": {"counted_at": first, "created_at": first - timedelta(days=90)},
        "archived": {"counted_at": first, "archived_at": NOW},
        "private": {"counted_at": first, "is_private": True},
        "of another system": {"counted_at": None, "created_at": first},
        "before": {"counted_at": first - INSTANT},
        "after": {"counted_at": following},
        "failed": {"counted_at": first, "training_status": "failed"},
        "nobody's": {"counted_at": first, "creator_key": None, "user_id": None},
    }
    return {
        name: lora_seeds.lora(connection, f"Ada {name}", **{"creator_key": f"staff:{name}", **columns})
        for name, columns in made.items()
    }


def test_the_loras_of_a_month(
    open_page: OpenPage, trainings: None, connection: Connection, of_the_month: dict[str, uuid.UUID]
) -> None:
    month = NOW.date().replace(day=1)
    inside = {"first", "last", "begun again", "archived", "private", "of another system"}
    found = loras.search(STAFF, Search(counted=month), limit=100)
    assert {card.id for card in found.cards} == {of_the_month[name] for name in inside}
    assert found.total == sum(one.used for one in spending.quotas(STAFF, month)) == len(inside)
    viewer = Actor("person", "v", "V", frozenset({Role.VIEWER}), "page")
    assert loras.search(viewer, Search(counted=month)).total == len(inside) - 1
    assert loras.counted_in(viewer, month) == len(inside)
    app = open_page("budget.py")
    assert all_links_of(app)[f"lora_library?counted={month:%Y-%m}"].startswith("LoRAs this month 6 ")
    app = open_page("lora_library.py", counted=f"{month:%Y-%m}")
    app.query_params["lora"] = str(of_the_month["first"])
    app.run()
    assert not failures_of(app)
    app.button(key="so-loras-back").click().run()
    assert "6\u00a0LoRAs" in html_of(app), "the way back leads to the same list"
    app.button(key="loras-chip-counted").click().run()
    assert "counted" not in app.query_params
    assert "9\u00a0LoRAs" in html_of(app)


def test_a_month_that_is_none_is_said(open_page: OpenPage, trainings: None) -> None:
    said = html_of(open_page("lora_library.py", counted="soon"))
    assert "“counted” is no month such as 2026-11: “soon”. It is left out." in said


def test_an_alert_of_pods_opens_just_those(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    training_seeds.launched()
    for pod, ended in (("pod-a", None), ("pod-<b>", NOW), ("pod-c", None)):
        connection.execute(
            "INSERT INTO orphan_pods (pod_id, usd_per_hour, seen_at, ended_at) VALUES (%s, 2.5, %s, %s)",
            (pod, NOW - timedelta(hours=1), ended),
        )
    found = spending.orphan_pods(STAFF, ["pod-a", "pod-<b>", "pod-x"])
    assert [pod.pod_id for pod in found] == ["pod-a", "pod-<b>"]
    app = open_page("training_runs.py", pods="pod-a,pod-<b>")
    assert not failures_of(app)
    said = html_of(app)
    assert "2\u00a0pods of no training" in said
    assert "<code>pod-&lt;b&gt;</code>" in said
    assert "pod-c" not in said
    app.button(key="so-orphan-pods-leave").click().run()
    assert "pods" not in app.query_params
    assert "of no training" not in html_of(app)
