"""Faults of the sandbox that end without a file, or late, or with several."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from core import access
from core.alerts import service as alerts
from core.alerts import views
from core.deliveries import following, policy, tools
from tests.journeys.world import World, until


@pytest.mark.parametrize(
    "marker",
    [
        pytest.param("dead@create", id="the connection closes unanswered"),
        pytest.param("server_error@create=500", id="a 5xx of whoever answered"),
        pytest.param("error_in_200@create=500", id="an internal error in a 200"),
    ],
)
def test_an_answer_that_proves_nothing_is_never_sent_again(world: World, marker: str) -> None:
    made = world.create(f"nothing accepted [[fault:{marker}]]")
    assert (made["taskId"], made["deliveryState"]) == (None, "sending")
    for _ in range(3):
        world.due(made["generationId"])
        assert world.step(made["generationId"]).delivery_state == "sending"
    world.age(made["generationId"], "31 minutes")
    row = world.step(made["generationId"])
    assert row.delivery_state == "needs_attention"
    assert row.failure_message is not None
    assert "Nothing was sent twice" in row.failure_message
    assert len(world.calls("create", generation=made["generationId"])) == 1
    assert world.paid(made["generationId"]) == 0
    assert world.events(made["generationId"]) == ["created", "submitted", "answer_lost", "needs_attention"]


def test_answer_and_callback_lost_is_paid_once_and_left_to_a_person(world: World) -> None:
    made = world.create("gone [[fault:answer_lost]] [[fault:callback_lost]]")["generationId"]
    for age in ("10 minutes", "19 minutes"):
        world.age(made, age)
        assert world.step(made).delivery_state == "sending"
    world.age(made, "2 minutes")
    row = world.step(made)
    assert (row.delivery_state, row.status, row.next_attempt_at) == ("needs_attention", "queued", None)
    assert world.paid(made) == 1
    assert len(world.calls("create", generation=made)) == 1


def test_a_lost_answer_is_not_given_up_before_its_wait_is_over(world: World) -> None:
    made = world.create("gone [[fault:answer_lost]] [[fault:callback_lost]]")["generationId"]
    world.age(made, "29 minutes")
    row = world.step(made)
    assert row.delivery_state == "sending"
    assert row.submitted_at is not None
    assert row.next_attempt_at is not None
    assert row.next_attempt_at <= row.submitted_at + policy.LOST_ANSWER_WAIT


@pytest.mark.parametrize(
    ("code", "category"),
    [("422", "validation"), ("402", "authentication"), ("505", "validation")],
)
def test_a_definite_refusal_fails_at_once_and_costs_nothing(world: World, code: str, category: str) -> None:
    made = world.create(f"refused [[fault:error_in_200@create={code}]]")
    assert (made["status"], made["deliveryState"], made["taskId"]) == ("failed", "failed", None)
    row = world.row(made["generationId"])
    assert (row.failure_category, row.failure_code) == (category, code)
    assert row.failure_message == "Server exception, please try again later"
    assert world.paid(made["generationId"]) == 0
    assert world.events(made["generationId"]) == ["created", "submitted", "refused"]


def test_a_create_that_stays_refused_fails_after_its_tries(world: World) -> None:
    made = world.create("busy [[fault:rate_limited@create]]")["generationId"]
    assert world.row(made).delivery_state == "intent"
    row = world.settle(made, {"failed"})
    assert (row.status, row.failure_category, row.failure_code) == ("failed", "rate_limit", "429")
    assert world.paid(made) == 0
    assert len(world.calls("create", generation=made)) == 9


def test_a_late_callback_finds_it_delivered(world: World) -> None:
    made = world.create("late [[fault:callback_late=1]]")["generationId"]
    assert world.settle(made, {"delivered"}).attempt == 0
    until(lambda: "callback" in world.events(made))
    world.step(made)
    assert world.events(made).count("delivered") == 1
    assert len(world.calls("file")) == 1
    [(handled, outcome)] = world.sql("SELECT handled_at, outcome FROM callback_inbox")
    assert handled is not None
    assert outcome == "delivered"


@pytest.mark.parametrize(
    ("marker", "word"),
    [("unknown_state=reviewing", "reviewing"), ("stuck", "generating")],
)
def test_what_never_ends_is_followed_for_a_day_then_shown_to_a_person(
    world: World, marker: str, word: str
) -> None:
    made = world.create(f"endless [[fault:{marker}]]")
    one = made["generationId"]
    until(lambda: world.advance(one).provider_state == word)
    assert world.row(one).delivery_state == "awaiting_provider"
    world.age(one, "1 hour")
    row = world.step(one)
    assert row.delivery_state == "awaiting_provider"
    assert row.next_attempt_at is not None
    assert row.next_attempt_at - datetime.now(UTC) > timedelta(minutes=4)
    world.age(one, "24 hours")
    assert world.step(one).delivery_state == "needs_attention"
    world.sandbox.post(f"tasks/{made['taskId']}/finish")
    until(lambda: world.events(one)[-1] == "callback")
    world.work()
    assert world.row(one).delivery_state == "delivered"


def test_an_empty_result_is_waited_for_then_shown_to_a_person(world: World) -> None:
    made = world.create("empty [[fault:empty_result]]")
    one = made["generationId"]
    world.finished_at_kie(made["taskId"])
    world.due(one)
    row = world.step(one)
    assert (row.delivery_state, row.status, row.provider_state) == (
        "awaiting_provider",
        "generating",
        "success",
    )
    later = replace(tools.current(), clock=lambda: datetime.now(UTC) + timedelta(minutes=11))
    ended = following.advance(UUID(one), later)
    assert ended is not None
    assert ended.delivery_state == "needs_attention"
    assert "names no file" in (ended.failure_message or "")
    assert (world.files(), ended.asset_url) == ([], None)


@pytest.mark.parametrize(
    ("code", "category", "words"),
    [
        ("500", "service_error", "Internal Error, Please try again later."),
        ("400", "validation", "Your content was flagged as violating our content policies."),
    ],
)
def test_a_failure_at_kie_keeps_its_code_and_words(
    world: World, code: str, category: str, words: str
) -> None:
    made = world.create(f"fails [[fault:provider_fail={code}]]")["generationId"]
    row = world.settle(made, {"failed"})
    assert (row.status, row.failure_code, row.failure_category) == ("failed", code, category)
    assert row.failure_message == words
    event = world.said(made, "provider_failed")
    assert event.words == words
    assert event.detail["code"] == code
    assert world.sql("SELECT 1 FROM job_costs") == []
    assert world.files() == []


def test_several_results_are_stored_in_order_and_the_first_is_shown(world: World) -> None:
    made = world.create("three [[fault:multi_result=3]]")["generationId"]
    row = world.settle(made, {"delivered"})
    stored = world.sql("SELECT n, path, url FROM stored_files ORDER BY n")
    stem = f"studio-ops/image/{made}_{int(row.created_at.timestamp() * 1000)}"
    assert [(n, path) for n, path, _ in stored] == [
        (0, f"{stem}.jpg"),
        (1, f"{stem}_1.jpg"),
        (2, f"{stem}_2.jpg"),
    ]
    assert row.asset_url == stored[0].url
    assert all(world.web.get(url).status_code == 200 for _, _, url in stored)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_expired_result_is_lost_only_when_kie_no_longer_keeps_it(world: World, status: int) -> None:
    made = world.create(f"expired [[fault:expired_url={status}]] [[fault:callback_lost]]")["generationId"]

    def failed() -> bool:
        world.due(made)
        world.step(made)
        return world.row(made).attempt >= 2

    until(failed)
    assert len(world.calls("download_url")) == 1
    assert len(world.calls("file")) == world.row(made).attempt + 1, "the fresh link was tried too"
    assert world.said(made, "download_failed").detail["http_status"] == status
    world.age(made, "13 days")
    assert world.step(made).delivery_state == "awaiting_delivery"
    world.age(made, "1 day 1 minute")
    row = world.step(made)
    assert (row.delivery_state, row.status) == ("lost", "failed")
    assert row.failure_message is not None
    assert row.failure_message.startswith("KIE has deleted the result.")
    assert world.files() == []
    assert len(world.calls("download_url")) == 1
    alerts.watch_deliveries(datetime.now(UTC) + timedelta(seconds=3))
    [alert] = views.waiting(access.command_line("ada"))
    assert (alert.kind, alert.count, alert.ids) == ("lost_results", 1, (made,))


@pytest.mark.parametrize("marker", ["html_as_jpg", "short_file_ok"])
def test_what_is_no_picture_is_never_stored(world: World, marker: str) -> None:
    world.sandbox.put("settings", file_bytes=0)
    made = world.create(f"no picture [[fault:{marker}]] [[fault:callback_lost]]")["generationId"]

    def ended() -> bool:
        world.due(made)
        return world.step(made).delivery_state == "needs_attention"

    until(ended)
    row = world.row(made)
    assert world.events(made).count("download_failed") == policy.BAD_FILE_TRIES
    assert "cannot be opened" in (row.failure_message or "")
    assert (row.failure_category, row.asset_url, world.files()) == ("file_error", None, [])


def test_a_redirect_to_a_private_address_is_not_followed(world: World) -> None:
    made = world.create("private [[fault:redirect_private]]")["generationId"]
    row = world.settle(made, {"needs_attention"})
    assert "cannot be fetched" in (row.failure_message or "")
    assert (row.failure_category, row.asset_url, world.files()) == ("validation", None, [])
    assert len(world.calls("file")) == 1


def test_a_file_over_the_cap_is_left_to_a_person(world: World) -> None:
    made = world.create("huge [[fault:file_size=2000000]] [[fault:callback_lost]]")
    one = made["generationId"]
    world.finished_at_kie(made["taskId"])
    world.due(one)
    small = replace(tools.current(), max_file_bytes=1_000_000)
    row = following.advance(UUID(one), small)
    assert row is not None
    assert row.delivery_state == "needs_attention"
    assert "larger than the 1 MB" in (row.failure_message or "")
    assert world.files() == []


@pytest.mark.parametrize("style", ["body", "http"])
def test_errors_count_alike_with_http_200_and_with_their_own_status(world: World, style: str) -> None:
    world.sandbox.put("settings", status_style=style)
    made = world.create("both manners [[fault:rate_limited@create*1]] [[fault:rate_limited@read*1]]")
    assert made["deliveryState"] == "intent"
    row = world.settle(made["generationId"], {"delivered"})
    assert (row.status, world.paid(made["generationId"])) == ("success", 1)


def test_the_sandbox_is_free_for_every_kind_of_file(world: World) -> None:
    """The short film of a video model arrives as one, under its own ending."""
    body = {"model": "kling-2.6/text-to-video", "input": {"prompt": "waves"}}
    made = world.web.post("/api/kie/createTask", json=body).json()["generationId"]
    row = world.settle(made, {"delivered"})
    assert row.asset_url is not None
    film = world.web.get(row.asset_url)
    assert (film.headers["content-type"], film.content[4:8]) == ("video/mp4", b"ftyp")
    assert world.files()[0].suffix == ".mp4"
    part = world.web.get(row.asset_url, headers={"Range": "bytes=0-99"})
    assert (part.status_code, len(part.content)) == (206, 100)


def test_what_was_lost_is_found_again_when_a_person_looks_and_costs_nothing_more(world: World) -> None:
    made = world.create("back again [[fault:expired_url*2]] [[fault:callback_lost]]")
    one = made["generationId"]
    world.finished_at_kie(made["taskId"])
    world.due(one)
    assert world.step(one).delivery_state == "awaiting_delivery"
    world.age(one, "15 days")
    world.sandbox.put("faults", expired_url={"times": 2})
    assert world.step(one).delivery_state == "lost"
    world.sandbox.put("faults")
    told = world.web.get("/api/kie/sync", params={"taskId": made["taskId"]}).json()
    assert (told["status"], told["deliveryState"]) == ("success", "delivered")
    assert world.events(one).count("result_ready") == 2
    assert len(world.sql("SELECT 1 FROM job_costs")) == 1
