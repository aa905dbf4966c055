"""A recordInfo answer whose parts are missing, malformed or hostile never raises; it says what is wrong."""

import json
from typing import Any

import pytest

from core.errors import ErrorCategory
from core.providers import kie_records
from core.providers.contract import ProviderState
from core.providers.kie_codes import FAULTS, category_of_failure, fault_of
from core.providers.kie_records import callback_url_of, record_from, result_urls_of

URL = "https://tempfile.aiquickdraw.com/a.jpg"
OTHER = "https://tempfile.aiquickdraw.com/b.jpg"


@pytest.mark.parametrize(
    ("result_json", "urls", "problem"),
    [
        (json.dumps({"resultUrls": [URL]}), (URL,), None),
        (json.dumps({"resultUrls": [URL, OTHER]}), (URL, OTHER), None),
        (json.dumps({"resultUrls": [URL, URL, " "]}), (URL,), None),
        (json.dumps({"resultUrls": URL}), (URL,), None),
        (json.dumps(json.dumps({"resultUrls": [URL]})), (URL,), None),
        ({"resultUrls": [URL]}, (URL,), None),
        (None, (), "without a result"),
        ("", (), "without a result"),
        ("{", (), "not JSON"),
        ("null", (), "not JSON"),
        ("[]", (), "not JSON"),
        ("NaN", (), "not JSON"),
        (7, (), "not JSON"),
        ("{}", (), "no list of URLs"),
        (json.dumps({"resultUrls": []}), (), "empty list"),
        (json.dumps({"resultUrls": {"a": URL}}), (), "no list of URLs"),
        (json.dumps({"resultUrls": [1]}), (), "no list of URLs"),
        (json.dumps({"resultUrls": ["https://a.example/\x00"]}), (), "no list of URLs"),
        ('{"resultUrls": ["https://a.example/\\ud800"]}', (), "no list of URLs"),
        (json.dumps({"resultObject": {"text": "x"}}), (), "text result"),
    ],
)
def test_result_urls(result_json: Any, urls: tuple[str, ...], problem: str | None) -> None:
    found, said = result_urls_of(result_json)
    assert found == urls
    assert (said is None) if problem is None else (said is not None and problem in said)


def test_a_problem_is_only_one_once_the_task_succeeded() -> None:
    assert record_from({"state": "generating", "resultJson": ""}, "t").result_problem is None
    assert record_from({"state": "fail", "resultJson": None}, "t").result_problem is None
    assert record_from({"state": "success", "resultJson": ""}, "t").result_problem is not None


@pytest.mark.parametrize(
    ("param", "expected"),
    [
        (json.dumps({"callBackUrl": "https://a.example/?g=1"}), "https://a.example/?g=1"),
        (json.dumps(json.dumps({"callBackUrl": "https://a.example/"})), "https://a.example/"),
        ({"callbackUrl": "https://a.example/"}, "https://a.example/"),
        (json.dumps({"input": {"callBackUrl": "https://forged.example/"}}), None),
        (json.dumps({"callBackUrl": 5}), None),
        (json.dumps({"callBackUrl": "https://a.example/\x00"}), None),
        ("{broken", None),
        (None, None),
        ([], None),
    ],
)
def test_callback_url(param: Any, expected: str | None) -> None:
    assert callback_url_of(param) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("success", ProviderState.SUCCESS),
        (" Success ", ProviderState.SUCCESS),
        ("succeeded", ProviderState.UNKNOWN),
        ("", ProviderState.UNKNOWN),
        (None, ProviderState.UNKNOWN),
        (True, ProviderState.UNKNOWN),
        ({"a": 1}, ProviderState.UNKNOWN),
    ],
)
def test_state_words(state: Any, expected: ProviderState) -> None:
    assert record_from({"state": state}, "t").state is expected


@pytest.mark.parametrize("value", [None, "", 0, -5, True, "soon", 1e300, "9" * 40, [], {}])
def test_times_that_are_none(value: Any) -> None:
    record = record_from({"state": "success", "createTime": value, "completeTime": value}, "t")
    assert (record.created_at, record.completed_at) == (None, None)


def test_a_time_as_text_is_read() -> None:
    created = record_from({"createTime": "1763651170000"}, "t").created_at
    assert created is not None
    assert created.isoformat() == "2025-11-20T15:06:10+00:00"


@pytest.mark.parametrize(
    ("value", "percent"), [(0, 0), (100, 100), ("42", 42), (99.9, 99), (-1, None), (101, None), (True, None)]
)
def test_progress(value: Any, percent: int | None) -> None:
    assert record_from({"progress": value}, "t").progress == percent


def test_credits_under_their_older_name() -> None:
    assert record_from({"consumeCredits": 5}, "t").credits_consumed == 5
    assert record_from({"creditsConsumed": "many"}, "t").credits_consumed is None


def test_what_postgres_cannot_keep_is_left_out() -> None:
    nested: Any = "end"
    for _ in range(400):
        nested = [nested]
    data = {"state": "fail", "failMsg": "bad \x00 \ud800 word", "model": "m\x00", "x\x00": nested}
    record = record_from(data, "t")
    text = json.dumps(record.raw, ensure_ascii=False) + str(record.fail_message) + str(record.model)
    assert "\x00" not in text
    assert text.encode("utf-8")


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("422", ErrorCategory.VALIDATION),
        ("429", ErrorCategory.RATE_LIMIT),
        ("408", ErrorCategory.TIMEOUT),
        ("500", ErrorCategory.SERVICE_ERROR),
        ("nsfw", ErrorCategory.SERVICE_ERROR),
        ("٤٢٢", ErrorCategory.SERVICE_ERROR),
        (None, ErrorCategory.SERVICE_ERROR),
    ],
)
def test_category_of_a_failed_task(code: str | None, category: ErrorCategory) -> None:
    assert category_of_failure(code) is category


def test_every_documented_code_is_in_the_table() -> None:
    assert {400, 401, 402, 404, 408, 422, 429, 433, 455, 500, 501, 505} <= FAULTS.keys()


@pytest.mark.parametrize("code", [None, 0, 100, 204, 302, 409, 418, 502, 599, 999])
def test_an_unlisted_code_is_never_a_refusal(code: int | None) -> None:
    assert not fault_of(code).refuses


def test_more_files_than_any_model_makes_are_left_to_a_person() -> None:
    def named(count: int) -> tuple[tuple[str, ...], str | None]:
        urls = [f"https://tempfile.aiquickdraw.com/{n}.png" for n in range(count)]
        return kie_records.result_urls_of(json.dumps({"resultUrls": urls}))

    assert len(named(kie_records.MAX_RESULT_FILES)[0]) == kie_records.MAX_RESULT_FILES
    urls, problem = named(1_000)
    assert urls == ()
    assert problem is not None
    assert "1,000 result files; more than 50" in problem
