"""KIE.ai's recordInfo answer as a TaskRecord. Nothing in it is trusted to be well-formed.

https://docs.kie.ai/market/common/get-task-detail. `costTime` is left in `raw` unread: its unit is
milliseconds on one page and seconds on another; how long a task took is `completed_at - created_at`,
whose unit is settled.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from core.providers.contract import ProviderState, TaskRecord
from core.providers.http import clean, mask, parse_json
from core.providers.kie_codes import category_of_failure

_STATES = {
    "waiting": ProviderState.WAITING,
    "queuing": ProviderState.QUEUED,
    "generating": ProviderState.GENERATING,
    "success": ProviderState.SUCCESS,
    "fail": ProviderState.FAIL,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NESTING = 3
# No model of KIE's makes nearly so many; a record that names more is looked at by a person, not fetched.
MAX_RESULT_FILES = 50


def record_from(data: Mapping[str, Any], task_id: str, secrets: tuple[str, ...] = ()) -> TaskRecord:
    """The record in `data`, KIE's `data` object, for the task that was asked for."""
    word = _text(data.get("state")) or ""
    state = _STATES.get(word.strip().lower(), ProviderState.UNKNOWN)
    urls, problem = result_urls_of(data.get("resultJson"))
    failed = state is ProviderState.FAIL
    fail_code = _text(data.get("failCode"))
    fail_message = _text(data.get("failMsg"))
    return TaskRecord(
        task_id=task_id,
        state=state,
        state_word=clean(word, secrets, limit=100),
        model=clean(_text(data.get("model")) or "", secrets, limit=200) or None,
        result_urls=urls,
        result_problem=problem if state is ProviderState.SUCCESS else None,
        fail_code=clean(fail_code, secrets, limit=100) if fail_code else None,
        fail_message=clean(fail_message, secrets) if fail_message else None,
        fail_category=category_of_failure(fail_code) if failed else None,
        created_at=_moment(data.get("createTime")),
        completed_at=_moment(data.get("completeTime")),
        credits_consumed=_decimal(data.get("creditsConsumed", data.get("consumeCredits"))),
        progress=_percent(data.get("progress")),
        callback_url=callback_url_of(data.get("param")),
        raw=mask(data, secrets),
    )


def result_urls_of(result_json: Any) -> tuple[tuple[str, ...], str | None]:
    """The result URLs in their order without repeats, and what is wrong if there are none."""
    if result_json is None or result_json == "":
        return (), "KIE reports success without a result (resultJson is empty)."
    result = _unwrap(result_json)
    if not isinstance(result, Mapping):
        return (), "KIE reports success with a result that is not JSON."
    urls = result.get("resultUrls")
    if urls is None and result.get("resultObject") is not None:
        return (), "KIE reports a text result, without a file."
    urls = [urls] if isinstance(urls, str) else urls
    if not isinstance(urls, list) or not all(isinstance(url, str) and url.isprintable() for url in urls):
        return (), "KIE reports success, but its resultUrls is no list of URLs."
    found = tuple(dict.fromkeys(url.strip() for url in urls if url.strip()))
    if len(found) > MAX_RESULT_FILES:
        return (), (
            f"KIE names {len(found):,} result files; more than {MAX_RESULT_FILES} are not fetched by"
            " themselves. Its record keeps them all."
        )
    return found, None if found else "KIE reports success with an empty list of result URLs."


def callback_url_of(param: Any) -> str | None:
    """The callback URL of the create request that `param` repeats; only its top level counts,
    because what lies in `input` was chosen by whoever wrote the prompt."""
    request = _unwrap(param)
    if not isinstance(request, Mapping):
        return None
    for name in ("callBackUrl", "callbackUrl", "callback_url"):
        url = request.get(name)
        if isinstance(url, str) and url.isprintable():
            return url
    return None


def _unwrap(value: Any) -> Any:
    """JSON that may have been made a string once or several times over."""
    for _ in range(_MAX_NESTING):
        if not isinstance(value, str):
            break
        value = parse_json(value)
    return value


def _text(value: Any) -> str | None:
    """A non-empty text; KIE writes codes now as a string, now as a number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def _moment(value: Any) -> datetime | None:
    milliseconds = _decimal(value)
    if milliseconds is None or milliseconds <= 0:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=int(milliseconds))
    except OverflowError:
        return None


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < Decimal("1e15") else None


def _percent(value: Any) -> int | None:
    number = _decimal(value)
    return int(number) if number is not None and 0 <= number <= 100 else None
