"""What is decided about a delivery: a row for each reason."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from core.deliveries import policy
from core.deliveries.policy import Attention, Deliver, Fail, Lost, PollAt, RetryAt
from core.errors import Conflict, ErrorCategory, ProviderError
from core.providers.contract import ProviderState
from tests.unit.generations import ID, NOW, generation, record

S, M, H, D = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
VIDEO = {"kind": "video", "model": "kling-2.6/text-to-video"}
URLS = ("https://tempfile.aiquickdraw.com/1.jpg", "https://tempfile.aiquickdraw.com/2.jpg")


@dataclass(frozen=True)
class Step:
    """KIE says `state` when the generation is `age` old: what follows, and why."""

    reason: str
    state: ProviderState
    age: timedelta
    decision: policy.Decision
    record: dict[str, Any] | None = None
    row: dict[str, Any] | None = None


FRAME = {"provider": "fal", "model": "fal-ai/flux-lora", "frame_for": UUID(int=1)}


def attention(says: str) -> Attention:
    return Attention(says)


P = ProviderState
A_DAY = "KIE has been working on it for a day. Ask KIE, or start a new generation."
NOT_KNOWN = "KIE does not know this task. Start a new generation."
FORGOTTEN = "KIE has forgotten the task, and its result was never stored."
WORD = {"state_word": "reviewing"}
NO_WORD = "KIE calls its state “reviewing”, which nobody here knows."

STEPS = (
    Step("waiting is queued for the customer", P.WAITING, 4 * S, PollAt(NOW + 3 * S, "queued")),
    Step("queuing is queued too", P.QUEUED, 4 * S, PollAt(NOW + 3 * S, "queued")),
    Step("generating is generating", P.GENERATING, 4 * S, PollAt(NOW + 3 * S, "generating")),
    Step("the pause grows with the age", P.GENERATING, 40 * S, PollAt(NOW + 10 * S, "generating")),
    Step("to a minute at most", P.GENERATING, 9 * M, PollAt(NOW + M, "generating")),
    Step("stuck: every five minutes", P.GENERATING, 11 * M, PollAt(NOW + 5 * M, "generating")),
    Step("a video is not stuck so soon", P.GENERATING, 11 * M, PollAt(NOW + M, "generating"), row=VIDEO),
    Step("a stuck video", P.GENERATING, 21 * M, PollAt(NOW + 5 * M, "generating"), row=VIDEO),
    Step(
        "watched: every three seconds, however old",
        P.GENERATING,
        20 * M,
        PollAt(NOW + 3 * S, "generating"),
        row={"watched_until": NOW + S},
    ),
    Step(
        "no longer watched",
        P.GENERATING,
        20 * M,
        PollAt(NOW + 5 * M, "generating"),
        row={"watched_until": NOW},
    ),
    Step("a clock that is behind", P.GENERATING, -S, PollAt(NOW + 3 * S, "generating")),
    Step("a day of waiting", P.WAITING, D, PollAt(NOW + 5 * M, "queued")),
    Step("more than a day of waiting", P.WAITING, D + S, attention(A_DAY)),
    Step("more than a day in the queue", P.QUEUED, D + S, attention(A_DAY)),
    Step("more than a day of generating", P.GENERATING, D + S, attention(A_DAY)),
    Step("null right after the create", P.NOT_FOUND, S, PollAt(NOW + 3 * S)),
    Step("null for a while: asked every ten seconds", P.NOT_FOUND, 5 * M, PollAt(NOW + 10 * S)),
    Step("null for longer than any generation takes", P.NOT_FOUND, 10 * M + S, attention(NOT_KNOWN)),
    Step("a video may be null for longer", P.NOT_FOUND, 19 * M, PollAt(NOW + 10 * S), row=VIDEO),
    Step("null for two weeks", P.NOT_FOUND, 14 * D, attention(NOT_KNOWN)),
    Step("null for more than two weeks", P.NOT_FOUND, 14 * D + S, Lost(FORGOTTEN)),
    Step("an unknown word is not running", P.UNKNOWN, 4 * S, PollAt(NOW + 3 * S), WORD),
    Step("an unknown word for a day", P.UNKNOWN, D + S, attention(NO_WORD), WORD),
    Step(
        "failed, in KIE's words",
        P.FAIL,
        S,
        Fail("500", "Internal Error"),
        {"fail_code": "500", "fail_message": "Internal Error"},
    ),
    Step("failed without a word", P.FAIL, S, Fail("", "KIE gave no reason.")),
    Step("failed after a week is failed", P.FAIL, 7 * D, Fail("", "KIE gave no reason.")),
    Step(
        "finished: kept for two weeks from its end",
        P.SUCCESS,
        M,
        Deliver(URLS, NOW - 30 * S + 14 * D),
        {"result_urls": URLS, "completed_at": NOW - 30 * S},
    ),
    Step(
        "finished at an unknown time: from now",
        P.SUCCESS,
        M,
        Deliver(URLS, NOW + 14 * D),
        {"result_urls": URLS},
    ),
    Step(
        "finished a month ago is still tried",
        P.SUCCESS,
        30 * D,
        Deliver(URLS, NOW - 15 * D),
        {"result_urls": URLS, "completed_at": NOW - 29 * D},
    ),
    Step(
        "finished without a file, a moment ago",
        P.SUCCESS,
        M,
        PollAt(NOW + 20 * S, "generating"),
        {"completed_at": NOW - 9 * M},
    ),
    Step(
        "finished without a file, ten minutes ago",
        P.SUCCESS,
        H,
        attention("KIE says it finished but names no file (resultJson is empty)."),
        {"completed_at": NOW - 10 * M, "result_problem": "resultJson is empty"},
    ),
    Step(
        "finished without a file at an unknown time",
        P.SUCCESS,
        M,
        attention("KIE says it finished but names no file (empty result)."),
    ),
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.reason)
def test_next_step(step: Step) -> None:
    row = generation(submitted_at=NOW - step.age, **(step.row or {}))
    assert policy.next_step(row, record(step.state, **(step.record or {})), NOW) == step.decision


def test_every_state_of_the_provider_has_a_row() -> None:
    assert {step.state for step in STEPS} == set(ProviderState)


def test_another_systems_row_is_as_old_as_its_creation() -> None:
    row = generation(submitted_at=None, created_at=NOW - 2 * D)
    assert isinstance(policy.next_step(row, record(P.GENERATING), NOW), Attention)


def failure(*, retryable: bool) -> ProviderError:
    return ProviderError("KIE is away.", category=ErrorCategory.NETWORK, retryable=retryable)


TWO_WEEKS = Attention("KIE could not be asked about it for two weeks.")


@pytest.mark.parametrize(
    ("age", "retryable", "decision"),
    [
        pytest.param(4 * S, True, PollAt(NOW + 3 * S), id="soon again"),
        pytest.param(40 * S, True, PollAt(NOW + 10 * S), id="later when it is older"),
        pytest.param(4 * S, False, PollAt(NOW + 5 * M), id="a key that is wrong is mended by a person"),
        pytest.param(15 * D, True, PollAt(NOW + 5 * M), id="fifteen days: still asked"),
        pytest.param(15 * D + S, True, TWO_WEEKS, id="more: a person"),
        pytest.param(15 * D + S, False, TWO_WEEKS, id="more, and mended by nobody"),
    ],
)
def test_after_a_read_error(age: timedelta, retryable: bool, decision: policy.Decision) -> None:
    row = generation(submitted_at=NOW - age)
    assert policy.after_read_error(row, failure(retryable=retryable), NOW) == decision


GONE = Lost("KIE has deleted the result.")
OVER = Lost("KIE's time to keep the result has run out.")
NO_PICTURE = Attention("KIE's file cannot be opened as a picture or video.")
FORBIDDEN = Attention("The result cannot be fetched.")


@pytest.mark.parametrize(
    ("tries", "left", "kind", "decision"),
    [
        pytest.param(1, D, "", RetryAt(NOW + 2 * S), id="the first time"),
        pytest.param(2, D, "", RetryAt(NOW + 4 * S), id="the second"),
        pytest.param(9, D, "", RetryAt(NOW + 512 * S), id="the ninth"),
        pytest.param(10, D, "", RetryAt(NOW + 9 * M), id="nine minutes at most"),
        pytest.param(5000, D, "", RetryAt(NOW + 9 * M), id="and no more, ever"),
        pytest.param(20, M, "", RetryAt(NOW + M), id="a last try when it expires"),
        pytest.param(1, -S, "", OVER, id="expired"),
        pytest.param(1, 0 * S, "", OVER, id="just expired"),
        pytest.param(3, D, "gone", RetryAt(NOW + 8 * S), id="gone, but KIE keeps it: it may be back"),
        pytest.param(3, -S, "gone", GONE, id="gone and expired"),
        pytest.param(7, D, "unusable", RetryAt(NOW + 128 * S), id="no picture, the seventh time"),
        pytest.param(8, D, "unusable", NO_PICTURE, id="no picture, the eighth time"),
        pytest.param(8, -S, "unusable", OVER, id="no picture and expired"),
        pytest.param(1, D, "permanent", FORBIDDEN, id="a private address is not tried twice"),
        pytest.param(1, -S, "permanent", FORBIDDEN, id="nor called lost"),
    ],
)
def test_after_a_download_error(
    tries: int, left: timedelta, kind: str, decision: RetryAt | Lost | Attention
) -> None:
    row = generation(result_expires_at=NOW + left)
    assert decision == policy.after_download_error(
        row, tries, gone=kind == "gone", unusable=kind == "unusable", permanent=kind == "permanent", now=NOW
    )


def test_without_a_known_expiry_two_weeks_from_the_beginning_count() -> None:
    row = generation(submitted_at=NOW - 14 * D)
    assert policy.after_download_error(row, 1, gone=True, unusable=False, permanent=False, now=NOW) == GONE
    assert isinstance(
        policy.after_download_error(row, 1, gone=True, unusable=False, permanent=False, now=NOW - S), RetryAt
    )


@pytest.mark.parametrize(
    ("age", "next_look"),
    [
        pytest.param(0 * S, 30 * S, id="at once"),
        pytest.param(29 * M, 30 * S, id="near the end"),
        pytest.param(29 * M + 45 * S, 15 * S, id="the last look is at the end"),
        pytest.param(30 * M, None, id="over"),
        pytest.param(3 * D, None, id="long over"),
    ],
)
def test_after_a_lost_answer(age: timedelta, next_look: timedelta | None) -> None:
    decision = policy.after_lost_answer(generation(submitted_at=NOW - age), NOW)
    if next_look is None:
        assert isinstance(decision, Attention)
        assert "Nothing was sent twice" in decision.reason
    else:
        assert decision == PollAt(NOW + next_look)


@pytest.mark.parametrize(
    ("age", "again"), [(M, M), (D - S, M), (D, None), (30 * D, None)], ids=["young", "a day", "older", "old"]
)
def test_a_proof_that_could_not_be_read_is_asked_for_again(age: timedelta, again: timedelta | None) -> None:
    at = policy.prove_again_at(generation(submitted_at=NOW - age), NOW)
    assert at == (NOW + again if again else None)


OURS = "https://ops.example.com/api/kie/callback?secret=s3cret"
NAMED = f"{OURS}&generation={ID}"


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        pytest.param(NAMED, True, id="as it was sent"),
        pytest.param(f"https://ops.example.com/api/kie/callback?generation={ID}", True, id="secret changed"),
        pytest.param(None, False, id="no URL"),
        pytest.param("", False, id="an empty URL"),
        pytest.param(OURS, False, id="no generation"),
        pytest.param(f"{OURS}&generation=11111111-2222-4333-8444-000000000000", False, id="another one"),
        pytest.param(f"{NAMED}0", False, id="a longer one"),
        pytest.param(f"{OURS}&x_generation={ID}", False, id="another name"),
        pytest.param(NAMED.replace("ops.", "evil."), False, id="another host"),
        pytest.param(NAMED.replace("https", "http"), False, id="another scheme"),
        pytest.param(NAMED.replace("/api/", "/x/"), False, id="another path"),
        pytest.param(f"https://evil.example.com/?u={NAMED}", False, id="ours within another's"),
    ],
)
def test_what_names_our_callback(url: str | None, ours: bool) -> None:
    seen = record(P.GENERATING, callback_url=url)
    assert policy.names_our_callback(seen, str(ID), NAMED) is ours


@pytest.mark.parametrize(
    ("own_p50_s", "row", "after"),
    [
        pytest.param(None, {}, 20 * S, id="the table's, image"),
        pytest.param(None, VIDEO, 2 * M, id="the table's, video"),
        pytest.param(None, {"kind": "video", "model": "sora-9"}, 2 * M, id="a model of nobody, by its kind"),
        pytest.param(None, {"kind": "x", "model": None}, 20 * S, id="nothing known"),
        pytest.param(7.5, {}, 7.5 * S, id="its own median"),
        pytest.param(0.2, {}, 3 * S, id="never sooner than watched"),
        pytest.param(30.0, FRAME, 3 * S, id="a first frame that another waits for"),
    ],
)
def test_the_first_look(own_p50_s: float | None, row: dict[str, Any], after: timedelta) -> None:
    assert policy.first_poll_after(generation(**row), own_p50_s) == after


@pytest.mark.parametrize(
    ("row", "age", "pause"),
    [
        pytest.param({}, 40 * S, 10 * S, id="a quarter of its age"),
        pytest.param(FRAME, 40 * S, 3 * S, id="a first frame"),
        pytest.param(FRAME, 2 * M, 30 * S, id="a first frame after two minutes"),
    ],
)
def test_how_often_is_looked(row: dict[str, Any], age: timedelta, pause: timedelta) -> None:
    assert policy.poll_interval(generation(**row), NOW + age) == pause


@pytest.mark.parametrize(
    ("provider", "name"), [("kie", "KIE"), ("KIE", "KIE"), ("fal", "fal"), ("luma", "luma")]
)
def test_each_provider_is_called_by_its_name(provider: str, name: str) -> None:
    found = policy.after_lost_answer(generation(provider=provider), NOW + policy.LOST_ANSWER_WAIT)
    assert isinstance(found, Attention)
    assert found.reason.startswith(f"{name}'s answer was lost")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        pytest.param({}, None, id="free"),
        pytest.param({"lease_until": NOW}, None, id="just free again"),
        pytest.param({"lease_until": NOW + 41.2 * S}, "at most 42 s", id="in work"),
        pytest.param({"delivery_state": None, "provider": "fal"}, "provider is 'fal'", id="not followed"),
    ],
)
def test_when_sync_is_refused(row: dict[str, Any], says: str | None) -> None:
    if says is None:
        policy.check_can_sync(generation(**row), NOW)
    else:
        with pytest.raises(Conflict, match=says):
            policy.check_can_sync(generation(**row), NOW)


@pytest.mark.parametrize(
    ("row", "just"),
    [
        pytest.param({}, False, id="never read"),
        pytest.param({"provider_read_at": NOW - 2 * S}, True, id="read two seconds ago"),
        pytest.param({"provider_read_at": NOW - 3 * S}, False, id="read three seconds ago"),
        pytest.param({"lease_until": NOW + S}, True, id="in work"),
        pytest.param({"lease_until": NOW - S}, False, id="no longer in work"),
    ],
)
def test_what_was_just_seen_to(row: dict[str, Any], just: bool) -> None:
    assert policy.was_just_seen_to(generation(**row), NOW) is just


USER = "99999999-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("row", "n", "path"),
    [
        pytest.param({}, 0, f"studio-ops/image/{ID}_1795176000000.jpg", id="without a user"),
        pytest.param({"user_id": USER}, 0, f"{USER}/image/{ID}_1795176000000.jpg", id="with a user"),
        pytest.param({}, 2, f"studio-ops/image/{ID}_1795176000000_2.jpg", id="a further file"),
        pytest.param({"kind": "video"}, 0, f"studio-ops/video/{ID}_1795176000000.jpg", id="video"),
        pytest.param({"kind": "../x"}, 0, f"studio-ops/other/{ID}_1795176000000.jpg", id="dots"),
        pytest.param({"kind": "фото"}, 0, f"studio-ops/other/{ID}_1795176000000.jpg", id="no ASCII"),
        pytest.param({"kind": "a/b"}, 0, f"studio-ops/other/{ID}_1795176000000.jpg", id="a slash"),
        pytest.param({"kind": "k" * 41}, 0, f"studio-ops/other/{ID}_1795176000000.jpg", id="too long"),
    ],
)
def test_storage_path(row: dict[str, Any], n: int, path: str) -> None:
    assert policy.storage_path(generation(**row), n, "jpg") == path


def test_the_same_generation_always_has_the_same_path() -> None:
    first = policy.storage_path(generation(), 0, "png")
    assert policy.storage_path(generation(attempt=7, status="success", submitted_at=None), 0, "png") == first


def test_another_task_of_the_same_generation_has_a_path_of_its_own() -> None:
    first = policy.storage_path(generation(), 1, "png")
    second, third = (
        policy.storage_path(generation(task_id=task, task_number=n), 1, "png")
        for n, task in enumerate(("task_2", "task_3"), 1)
    )
    assert len({first, second, third}) == 3
    assert second == policy.storage_path(generation(task_id="task_2", task_number=7), 1, "png")
    assert second.startswith(first.removesuffix("_1.png"))
    assert second.endswith("_1.png")


def test_result_urls_keep_their_order_without_repeats() -> None:
    assert policy.urls_in_order(["b", "a", "b", "c", "a"]) == ("b", "a", "c")


def test_a_lease_outlasts_what_a_worker_may_wait_for_under_the_limit() -> None:
    assert timedelta(seconds=30) <= policy.LEASE <= timedelta(minutes=2)
