"""The KIE client over recorded answers, as tables: what came, what it means."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest

from core.errors import ErrorCategory, InvalidInput, ProviderError, SettingsError
from core.providers.contract import ProviderState
from core.providers.http import MAX_ANSWER_BYTES
from core.providers.kie import KieClient
from tests.providers.conftest import API_KEY, CALLBACK_SECRET, FakeKie

TASK = "281e5b0f39b9b1d8a3c2f7e6d5c4b3a2"
INPUT = {"prompt": "A red lighthouse at dusk", "resolution": "1K"}
CALLBACK = f"https://ops.example.com/api/kie/callback?secret={CALLBACK_SECRET}&generation=g1"


def create(kie: FakeKie) -> str:
    return kie.client.create("flux-2/pro-text-to-image", INPUT, CALLBACK).id


def test_create_sends_exactly_one_documented_request(kie: FakeKie) -> None:
    assert create(kie.answers("kie_create_accepted")) == TASK
    (request,) = kie.requests
    assert (request.method, str(request.url)) == ("POST", "https://api.kie.ai/api/v1/jobs/createTask")
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers["user-agent"].startswith("StudioOps/")
    assert json.loads(request.content) == {
        "model": "flux-2/pro-text-to-image",
        "input": INPUT,
        "callBackUrl": CALLBACK,
    }


def test_create_without_callback_sends_none(kie: FakeKie) -> None:
    kie.client.create("kling-2.6/text-to-video", {"prompt": "x"}, None)
    assert "callBackUrl" not in json.loads(kie.requests[0].content)


def test_message_for_msg_and_other_ids_are_accepted(kie: FakeKie) -> None:
    assert create(kie.answers("kie_create_accepted_message")) == "task_12345678"


REFUSED = [
    ("kie_bad_key_as_200", ErrorCategory.AUTHENTICATION, False, "401", "access permissions"),
    ("kie_bad_key_as_401", ErrorCategory.AUTHENTICATION, False, "401", "access permissions"),
    ("kie_rate_limited_as_200", ErrorCategory.RATE_LIMIT, True, "429", "Rate limit exceeded"),
    ("kie_rate_limited_as_429", ErrorCategory.RATE_LIMIT, True, "429", "Rate limit exceeded"),
    ("kie_no_credits_as_200", ErrorCategory.AUTHENTICATION, False, "402", "Credits insufficient"),
    ("kie_maintenance_as_455", ErrorCategory.SERVICE_ERROR, True, "455", "under maintenance"),
    ("kie_cloudflare_1010", ErrorCategory.SERVICE_ERROR, False, "403", "error code: 1010"),
]


@pytest.mark.parametrize(("answer", "category", "retryable", "code", "words"), REFUSED)
def test_create_refused_for_certain(
    kie: FakeKie, answer: str, category: ErrorCategory, retryable: bool, code: str, words: str
) -> None:
    with pytest.raises(ProviderError) as caught:
        create(kie.answers(answer))
    error = caught.value
    assert (error.refused, error.sent) == (True, True)
    assert (error.category, error.retryable, error.provider_code) == (category, retryable, code)
    assert words in error.words
    assert words in error.message
    assert len(kie.requests) == 1


@pytest.mark.parametrize("code", [400, 401, 402, 404, 422, 429, 433, 455, 505])
@pytest.mark.parametrize("own_status", [True, False], ids=["own-status", "status-200"])
def test_every_refusal_code_counts_in_both_styles(kie: FakeKie, code: int, own_status: bool) -> None:
    body = {"code": code, "message": "no", "data": None}
    with pytest.raises(ProviderError) as caught:
        create(kie.answers(httpx.Response(code if own_status else 200, json=body)))
    assert caught.value.refused


UNKNOWN: dict[str, str | httpx.Response | Exception] = {
    "accepted but no id": "kie_create_without_id",
    "internal error in a 200": "kie_server_error_as_200",
    "a gateway's page": "kie_gateway_page",
    "HTTP 500 around a refusal": httpx.Response(500, json={"code": 422, "msg": "bad"}),
    "408 may still have been accepted": httpx.Response(408, json={"code": 408, "msg": "timeout"}),
    "a refusal that names a task": httpx.Response(
        200, json={"code": 429, "msg": "slow", "data": {"taskId": "t"}}
    ),
    "a code in no list": httpx.Response(200, json={"code": 499, "msg": "?"}),
    "a redirect": httpx.Response(301, headers={"Location": "https://elsewhere.example"}),
    "not JSON": httpx.Response(200, text="<html>hello</html>"),
    "JSON, but a list": httpx.Response(200, json=[1]),
    "deeply nested JSON": httpx.Response(200, text="[" * 200_000),
    "an empty 200": httpx.Response(200),
    "too much": httpx.Response(200, content=b" " * (MAX_ANSWER_BYTES + 1)),
    "no answer in time": httpx.ReadTimeout("timed out"),
    "connection lost": httpx.RemoteProtocolError("Server disconnected without sending a response."),
    "write failed half-way": httpx.WriteError("broken pipe"),
}


@pytest.mark.parametrize("reason", UNKNOWN)
def test_create_with_unknown_outcome_is_never_retryable(kie: FakeKie, reason: str) -> None:
    with pytest.raises(ProviderError) as caught:
        create(kie.answers(UNKNOWN[reason]))
    error = caught.value
    assert (error.sent, error.refused, error.retryable) == (True, False, False)
    assert error.message.startswith("It is not known whether KIE began this generation")
    assert len(kie.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("[Errno 111] Connection refused"),
        httpx.ConnectError("[Errno -2] Name or service not known"),
        httpx.ConnectTimeout("timed out"),
        httpx.PoolTimeout("no free connection"),
    ],
    ids=["refused", "dns", "connect-timeout", "pool"],
)
def test_create_that_never_left_says_so(kie: FakeKie, fault: Exception) -> None:
    with pytest.raises(ProviderError) as caught:
        create(kie.answers(fault))
    assert (caught.value.sent, caught.value.retryable) == (False, True)


def test_input_that_is_no_json_is_refused_before_sending(kie: FakeKie) -> None:
    with pytest.raises(InvalidInput):
        kie.client.create("m", {"prompt": float("nan")}, None)
    assert kie.requests == []


@pytest.mark.parametrize(
    ("answer", "state", "word"),
    [
        ("kie_record_waiting", ProviderState.WAITING, "waiting"),
        ("kie_record_queuing", ProviderState.QUEUED, "queuing"),
        ("kie_record_generating", ProviderState.GENERATING, "generating"),
        ("kie_record_success_image", ProviderState.SUCCESS, "success"),
        ("kie_record_fail", ProviderState.FAIL, "fail"),
        ("kie_record_fail_as_501", ProviderState.FAIL, "fail"),
        ("kie_record_unknown_state", ProviderState.UNKNOWN, "moderating"),
        ("kie_record_null_as_200", ProviderState.NOT_FOUND, ""),
        ("kie_record_null_as_422", ProviderState.NOT_FOUND, ""),
        ("kie_record_not_found", ProviderState.NOT_FOUND, ""),
    ],
)
def test_states(kie: FakeKie, answer: str, state: ProviderState, word: str) -> None:
    record = kie.answers(answer).client.record(TASK)
    assert (record.task_id, record.state, record.state_word) == (TASK, state, word)
    assert str(kie.requests[0].url) == f"https://api.kie.ai/api/v1/jobs/recordInfo?taskId={TASK}"


def test_a_finished_image_in_full(kie: FakeKie) -> None:
    record = kie.answers("kie_record_success_image").client.record(TASK)
    assert record.model == "flux-2/pro-text-to-image"
    assert record.result_urls == ("https://tempfile.aiquickdraw.com/f/281e5b0f_1.jpg",)
    assert record.result_problem is None
    assert (record.fail_code, record.fail_message, record.fail_category) == (None, None, None)
    assert record.created_at == datetime(2025, 11, 20, 15, 6, 10, tzinfo=UTC)
    assert record.completed_at == datetime(2025, 11, 20, 15, 6, 28, 214000, tzinfo=UTC)
    assert record.credits_consumed == Decimal(5)
    assert record.callback_url is not None
    assert record.callback_url.endswith(
        "secret=callback-secret-1&generation=5b0c8f0e-6f1b-4f9e-9d5a-0c6f8b7a1d23"
    )


def test_two_results_a_nested_input_and_part_credits(kie: FakeKie) -> None:
    record = kie.answers("kie_record_success_video").client.record(TASK)
    assert [url.rpartition("/")[2] for url in record.result_urls] == ["281e5b0f_1.mp4", "281e5b0f_2.mp4"]
    assert (record.credits_consumed, record.progress) == (Decimal("55.5"), 100)
    assert record.callback_url is not None


def test_a_failure_keeps_the_words_and_masks_the_secret(kie: FakeKie) -> None:
    record = kie.answers("kie_record_fail").client.record(TASK)
    assert (record.fail_code, record.fail_category) == ("422", ErrorCategory.VALIDATION)
    assert record.fail_message is not None
    assert record.fail_message.startswith("The prompt was flagged by the content filter.")
    assert CALLBACK_SECRET not in record.fail_message


@pytest.mark.parametrize(
    "answer",
    ["kie_record_success_image", "kie_record_success_video", "kie_record_fail", "kie_record_waiting"],
)
def test_no_secret_in_what_may_be_logged_or_stored(kie: FakeKie, answer: str) -> None:
    record = kie.answers(answer).client.record(TASK)
    assert CALLBACK_SECRET not in json.dumps(record.raw)
    assert CALLBACK_SECRET not in repr(record)
    assert record.raw["taskId"] == TASK


def test_a_secret_escaped_inside_nested_json_is_masked(kie: FakeKie) -> None:
    escaped = '{"callBackUrl":"https://a.example/?secret\\u003danother-one\\u0026generation\\u003dg"}'
    body = {"code": 200, "msg": "success", "data": {"taskId": TASK, "state": "waiting", "param": escaped}}
    record = kie.answers(httpx.Response(200, json=body)).client.record(TASK)
    assert "another-one" not in json.dumps(record.raw)
    assert record.callback_url == "https://a.example/?secret=another-one&generation=g"


def test_the_api_key_is_masked_when_kie_repeats_it(kie: FakeKie) -> None:
    body = {"code": 401, "msg": f"the key {API_KEY} is unknown"}
    with pytest.raises(ProviderError) as caught:
        kie.answers(httpx.Response(200, json=body)).client.record(TASK)
    assert API_KEY not in str(caught.value) + caught.value.words


READ_ERRORS = [
    ("kie_bad_key_as_200", ErrorCategory.AUTHENTICATION, False),
    ("kie_rate_limited_as_200", ErrorCategory.RATE_LIMIT, True),
    ("kie_server_error_as_200", ErrorCategory.SERVICE_ERROR, True),
    ("kie_maintenance_as_455", ErrorCategory.SERVICE_ERROR, True),
    ("kie_gateway_page", ErrorCategory.SERVICE_ERROR, True),
    ("kie_cloudflare_1010", ErrorCategory.SERVICE_ERROR, False),
    ("kie_create_without_id", ErrorCategory.SERVICE_ERROR, True),
]


@pytest.mark.parametrize(("answer", "category", "retryable"), READ_ERRORS)
def test_read_errors(kie: FakeKie, answer: str, category: ErrorCategory, retryable: bool) -> None:
    with pytest.raises(ProviderError) as caught:
        kie.answers(answer).client.record(TASK)
    assert (caught.value.category, caught.value.retryable) == (category, retryable)


def test_the_wait_that_kie_asks_for_is_kept(kie: FakeKie) -> None:
    with pytest.raises(ProviderError) as caught:
        kie.answers("kie_rate_limited_as_429").client.record(TASK)
    assert (caught.value.retry_after, caught.value.status) == (7.0, 429)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="<html>nginx: not found</html>"),
        httpx.Response(404, json={"timestamp": 1, "status": 404, "error": "Not Found"}),
        httpx.Response(404, json={"code": 404, "msg": "No route for this path"}),
        httpx.Response(422, json={"code": 422, "msg": "taskId is malformed"}),
    ],
    ids=["another-server", "a-gateway", "no-route", "422-for-another-reason"],
)
def test_only_kie_itself_can_say_that_a_task_is_unknown(kie: FakeKie, answer: httpx.Response) -> None:
    with pytest.raises(ProviderError) as caught:
        kie.answers(answer).client.record(TASK)
    assert caught.value.category is ErrorCategory.VALIDATION


def test_a_record_of_another_task_is_refused(kie: FakeKie) -> None:
    with pytest.raises(ProviderError, match="answered about task"):
        kie.answers("kie_record_success_image").client.record("another-task")


@pytest.mark.parametrize("task_id", ["", " ", "a b", "ab\n", "x" * 201, "ключ", "a\x00b"])
def test_an_id_that_no_provider_gives_is_not_asked_for(kie: FakeKie, task_id: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        kie.client.record(task_id)
    assert caught.value.field == "taskId"
    assert kie.requests == []


def test_an_id_cannot_add_parameters(kie: FakeKie) -> None:
    kie.answers("kie_record_null_as_200").client.record("a&taskId=b#c")
    assert kie.requests[0].url.params.get_list("taskId") == ["a&taskId=b#c"]


def test_fresh_url(kie: FakeKie) -> None:
    url = "https://tempfile.aiquickdraw.com/f/281e5b0f_1.jpg"
    assert (
        kie.answers("kie_download_url")
        .client.fresh_url(url)
        .startswith("https://tempfile.aiquickdraw.com/d/")
    )
    assert str(kie.requests[0].url) == "https://api.kie.ai/api/v1/common/download-url"
    assert json.loads(kie.requests[0].content) == {"url": url}


def test_fresh_url_of_another_maker(kie: FakeKie) -> None:
    with pytest.raises(ProviderError) as caught:
        kie.answers("kie_download_url_foreign").client.fresh_url("https://example.com/a.jpg")
    assert (caught.value.refused, caught.value.category) == (True, ErrorCategory.VALIDATION)


@pytest.mark.parametrize(("data", "expected"), [(1234.5, "1234.5"), (7, "7"), ("12.25", "12.25"), (-3, "-3")])
def test_credit(kie: FakeKie, data: object, expected: str) -> None:
    body = {"code": 200, "msg": "success", "data": data}
    assert kie.answers(httpx.Response(200, json=body)).client.credit() == Decimal(expected)


@pytest.mark.parametrize("data", [None, True, "many", {}, []])
def test_credit_that_is_no_number(kie: FakeKie, data: object) -> None:
    with pytest.raises(ProviderError) as caught:
        kie.answers(httpx.Response(200, json={"code": 200, "msg": "success", "data": data})).client.credit()
    assert caught.value.category is ErrorCategory.SERVICE_ERROR


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ключ"])
def test_a_key_that_cannot_be_a_header_stops_the_start(key: str) -> None:
    with pytest.raises(SettingsError, match="KIE_API_KEY"):
        KieClient(key)
