"""The sandbox itself: accepts tasks, limits, settles, and knows where its files are."""

import asyncio
import hashlib
import hmac
import time
import uuid
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.sandbox.dials import Dials
from core.sandbox.fault import Place, Value
from core.sandbox.faults import Choice, FaultBook, Rule, chance, rule_choices
from core.sandbox.holds import Holds
from core.sandbox.models import MODELS
from core.sandbox.pictures import Pictures
from core.sandbox.store import Store, now_ms
from core.sandbox.tasks import FAILURES, Task, callback_body, record, words

# Places at which a task is met after it was created.
STRIKING_LATER = {Place.READ, Place.FILE, Place.STORE}
DOWNLOAD_SECONDS = 20 * 60


class Sandbox:
    """KIE on this machine. Lives in one event loop; nothing here is thread-safe.

    `public_url` is the base of every URL it hands out. `hmac_key` signs callbacks when it is set.
    `database_url` is the product's database, whose connections a fault cuts.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        key: str,
        public_url: str,
        hmac_key: str | None = None,
        database_url: str | None = None,
    ) -> None:
        self.key = key
        self.public_url = public_url.rstrip("/")
        self.hmac_key = hmac_key
        self.database_url = database_url
        self.store = Store(data_dir / "sandbox.sqlite3")
        self.dials = self.store.dials()
        self.pictures = Pictures(data_dir / "pictures")
        self.wake = asyncio.Event()
        self.holds = Holds()
        self._creates: deque[float] = deque()
        self._reads: deque[float] = deque()
        self.rules: dict[str, Rule] = {}
        self.book = FaultBook(self.store, self._salt())
        self.set_rules(self.store.rules(), save=False)

    def close(self) -> None:
        self.store.close()

    def _salt(self) -> str:
        return self.store.salt if self.dials.seed is None else f"seed {self.dials.seed}"

    def set_dials(self, dials: Dials) -> None:
        """Turn the dials, for the tasks and requests to come."""
        if dials.seed != self.dials.seed:
            self.dials = dials
            self.book = FaultBook(self.store, self._salt(), self.book.rules)
        self.dials = dials
        self.store.save_dials(dials)

    def set_rules(self, rules: dict[str, Rule], *, save: bool = True) -> None:
        """Replace the rules; raises BadFault and changes nothing when one cannot hold."""
        self.book.rules = rule_choices(rules)
        self.rules = rules
        if save:
            self.store.save_rules(rules)

    def reset(self) -> None:
        """Back to the day of opening: no task, no log, no rule, nothing held, dials at their defaults."""
        self.holds.want(None)
        self.store.wipe()
        self.set_rules({})
        self.set_dials(Dials())
        self._creates.clear()
        self._reads.clear()

    # Limits

    def may_create(self) -> bool:
        """Whether the window has room for one more task."""
        return _room(self._creates, self.dials.creates_per_window, self.dials.window_seconds)

    def may_read(self) -> bool:
        """Whether this second has room for one more query; counts it if so."""
        free = _room(self._reads, self.dials.reads_per_second, 1.0)
        if free and self.dials.reads_per_second:
            self._reads.append(time.monotonic())
        return free

    # Tasks

    def accept(
        self, request: Mapping[str, Any], marks: tuple[Choice, ...], failure: tuple[str, str] | None = None
    ) -> Task:
        """Create the task that `request` pays for; it is on disk when this returns. It ends in `failure`."""
        now = now_ms()
        task_id = self._new_id()
        fate = self.book.strike(Place.TASK, task_id, marks)
        duration = self._duration(request["model"], task_id)
        open_ended = "stuck" in fate or "unknown_state" in fate
        if "callback_before_answer" in fate:
            duration = 0
        task = Task(
            id=task_id,
            created=now,
            duration=duration,
            finish=None if open_ended else now + duration,
            request=dict(request),
            credits=MODELS[request["model"]].price(request["input"]),
            fate=fate,
            marks=tuple(mark for mark in marks if STRIKING_LATER & set(mark.at)),
            failure=_failure(fate) or failure,
        )
        self.store.add(task, words(task))
        self._creates.append(time.monotonic())
        self.wake.set()
        return task

    def plant(
        self, request: Mapping[str, Any], marks: tuple[Choice, ...], *, age_ms: int, ends_in_ms: int | None
    ) -> Task:
        """A task that was accepted some time ago, whatever the limits; it calls back if it has not ended."""
        now = now_ms()
        task_id = self._new_id()
        fate = {mark.fault: mark.value for mark in marks if Place.TASK in mark.at}
        task = Task(
            id=task_id,
            created=now - age_ms,
            duration=age_ms + (ends_in_ms or 0),
            finish=None if ends_in_ms is None else now + ends_in_ms,
            request=dict(request),
            credits=MODELS[request["model"]].price(request["input"]),
            fate=fate,
            marks=tuple(mark for mark in marks if STRIKING_LATER & set(mark.at)),
            failure=_failure(fate),
        )
        self.store.add(task, [] if task.done(now) else words(task))
        self.wake.set()
        return task

    def forget(self, mark: str) -> int:
        """Forget the tasks of generations whose id begins with `mark`, and their cost; how many."""
        tasks = self.store.marked(mark)
        self.pictures.forget(name for task in tasks for name in task.file_names)
        self.store.forget(mark)
        return len(tasks)

    def _new_id(self) -> str:
        if self.dials.seed is None:
            return f"task_{uuid.uuid4().hex}"
        text = f"{self.dials.seed}:{self.store.count_tasks()}"
        return f"task_{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def _duration(self, model: str, task_id: str) -> int:
        seconds = self.dials.video_seconds if MODELS[model].kind == "video" else self.dials.image_seconds
        swing = (2 * chance(f"duration:{task_id}") - 1) * self.dials.jitter
        return round(seconds * (1 + swing) * 1000)

    def finish(self, task: Task, failure: tuple[str, str] | None) -> None:
        """End the task now, whatever held it."""
        self.store.finish(task.id, now_ms(), failure)
        self.wake.set()

    # What is said of a task

    def result_url(self, name: str) -> str:
        return f"{self.public_url}/results/{name}"

    def record(self, task: Task) -> dict[str, Any]:
        return record(task, now_ms(), self.result_url)

    def callback(self, task: Task) -> dict[str, Any]:
        now = now_ms()
        return callback_body(task, now, self.result_url, self.store.balance(now))

    def download_url(self, name: str) -> str:
        """A URL of the file that ends after 20 minutes."""
        until = int(time.time()) + DOWNLOAD_SECONDS
        return f"{self.result_url(name)}?until={until}&signature={self.signature(name, until)}"

    def signature(self, name: str, until: int) -> str:
        return hmac.new(self.key.encode(), f"{name}:{until}".encode(), hashlib.sha256).hexdigest()


def _room(times: deque[float], limit: int, window: float) -> bool:
    if not limit:
        times.clear()
        return True
    start = time.monotonic() - window
    while times and times[0] <= start:
        times.popleft()
    return len(times) < limit


def _failure(fate: Mapping[str, Value]) -> tuple[str, str] | None:
    if "provider_fail" not in fate:
        return None
    code = str(fate["provider_fail"])
    return code, FAILURES.get(code, FAILURES["500"])
