"""A task as the sandbox keeps it, and what KIE would say of it at a given moment.

A task's state is a function of the clock: nothing advances it, so nothing is lost when the process dies.
Times are Unix ms, as on KIE's wire.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from core.sandbox.fault import Value
from core.sandbox.faults import Choice
from core.sandbox.models import MODELS, Model

WAITING_UNTIL, QUEUING_UNTIL = 0.1, 0.25

# Source of the words: https://docs.kie.ai, the models' callback pages.
FAILURES = {
    "400": "Your content was flagged as violating our content policies.",
    "422": "The input image could not be read. Please check the image URL.",
    "500": "Internal Error, Please try again later.",
    "501": "Generation failed, please try again.",
}


@dataclass(frozen=True)
class Task:
    """One accepted, and therefore paid, createTask.

    `finish` is None while nothing but the control API will end it. `fate` holds the task's own faults by
    name, `marks` those that strike at its reads and files. `failure` is failCode and failMsg, or None.
    """

    id: str
    created: int
    duration: int
    finish: int | None
    request: Mapping[str, Any]
    credits: float
    fate: Mapping[str, Value]
    marks: tuple[Choice, ...]
    failure: tuple[str, str] | None

    @property
    def model(self) -> Model:
        return MODELS[self.request["model"]]

    @property
    def given(self) -> Mapping[str, Any]:
        """The model's input as it was sent."""
        given: Mapping[str, Any] = self.request["input"]
        return given

    @property
    def callback_url(self) -> str | None:
        return self.request.get("callBackUrl") or None

    @property
    def generation(self) -> str | None:
        return generation_of(self.callback_url)

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names of the result files, the first result first."""
        stem, count = self.id.removeprefix("task_"), int(self.fate.get("multi_result") or 1)
        return tuple(f"{stem}_{n}.{self.model.extension}" for n in range(count))

    def visible(self, now: int) -> bool:
        """False while recordInfo still says that it is null."""
        hidden = float(self.fate.get("record_null") or 0) * 1000
        return now >= self.created + hidden

    def done(self, now: int) -> bool:
        return self.finish is not None and now >= self.finish

    def state(self, now: int) -> str:
        """The state word at `now`."""
        if self.done(now):
            return "fail" if self.failure else "success"
        if "unknown_state" in self.fate:
            return str(self.fate["unknown_state"])
        part = self.part(now)
        return "waiting" if part < WAITING_UNTIL else "queuing" if part < QUEUING_UNTIL else "generating"

    def part(self, now: int) -> float:
        """How much of the expected duration has passed, 0 to 0.99 while unfinished."""
        return min((now - self.created) / self.duration, 0.99) if self.duration else 0.99


@dataclass(frozen=True)
class Word:
    """A callback that a task owes: `delay` ms after its end (before it when negative), and what it says.

    `says` is empty for the truth, else what is wrong with it.
    """

    delay: int
    says: str = ""


FAILED, STILL_GENERATING, OTHER_TASK, WRONG_SECRET, UNSIGNED, REPLAYED = (
    "fail",
    "generating",
    "other task",
    "wrong secret",
    "unsigned",
    "replayed",
)
GAP_MS = 50


def words(task: Task) -> list[Word]:
    """The callbacks that the task owes, the true one and what its faults add."""
    fate = task.fate
    if task.callback_url is None or "callback_lost" in fate:
        return []
    late = round(float(fate.get("callback_late") or 0) * 1000)
    unsigned = UNSIGNED if "callback_unsigned" in fate else ""
    found = [Word(late + n * GAP_MS, unsigned) for n in range(int(fate.get("callback_duplicate") or 1))]
    if "callback_forged" in fate:
        says = WRONG_SECRET if fate["callback_forged"] == "secret" else OTHER_TASK
        found.insert(0, Word(-task.duration // 2, says))
    if "callback_reordered" in fate:
        first = fate["callback_reordered"] == "fail_first"
        found.append(Word(late - GAP_MS, FAILED) if first else Word(late + 4 * GAP_MS, STILL_GENERATING))
    if "callback_replayed" in fate:
        found.append(Word(late + 6 * GAP_MS, f"{REPLAYED} {fate['callback_replayed']}"))
    return found


def generation_of(callback_url: str | None) -> str | None:
    """The caller's own id in the callback URL's `generation` or `image`, if it carries one."""
    try:
        query = parse_qs(urlsplit(callback_url or "").query)
    except ValueError:
        return None
    found = query.get("generation") or query.get("image") or []
    return found[0].encode("utf-8", "replace").decode() if found else None


def task_of_file(name: str) -> str:
    """The id of the task that a result file's name belongs to."""
    return "task_" + name.rsplit(".", 1)[0].rsplit("_", 1)[0]


def record(task: Task, now: int, url_of: Callable[[str], str]) -> dict[str, Any]:
    """`data` of recordInfo; costTime is in ms, as its page says."""
    done = task.done(now)
    won = done and task.failure is None
    code, message = task.failure if done and task.failure else ("", "")
    data: dict[str, Any] = {
        "taskId": task.id,
        "model": task.request["model"],
        "state": task.state(now),
        "param": json.dumps(task.request),
        "resultJson": _result_json(task, url_of) if won else "",
        "failCode": code,
        "failMsg": message,
        "costTime": (task.finish or 0) - task.created if done else 0,
        "completeTime": task.finish if done else None,
        "createTime": task.created,
        "updateTime": task.finish if done else now,
        "creditsConsumed": task.credits if won else 0,
    }
    if task.model.kind == "video":
        data["progress"] = 100 if won else int(task.part(now) * 100)
    return data


def _result_json(task: Task, url_of: Callable[[str], str]) -> str:
    if "empty_result" in task.fate:
        return ""
    return json.dumps({"resultUrls": [url_of(name) for name in task.file_names]})


def callback_body(task: Task, now: int, url_of: Callable[[str], str], balance: float) -> dict[str, Any]:
    """The callback's body. Other than recordInfo: costTime in s, `input` a string within `param`."""
    data = record(task, now, url_of)
    data["param"] = json.dumps({**task.request, "input": json.dumps(task.given)})
    data["costTime"] = round(data["costTime"] / 1000)
    data["consumeCredits"], data["remainedCredits"] = data["creditsConsumed"], balance
    won = data["state"] == "success"
    if won:
        data["failCode"] = data["failMsg"] = None
    else:
        data["resultJson"] = None
    word: Literal["completed successfully", "failed"] = "completed successfully" if won else "failed"
    return {"code": 200 if won else 501, "msg": f"Playground task {word}.", "data": data}
