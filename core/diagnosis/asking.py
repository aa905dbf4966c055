"""Asks KIE and the storage beside the page: no page waits for either, and none asks twice.

An answer belongs to one standing of the row and is kept a while, so that several people who look at the
same task cost one question.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from core import log
from core.deliveries.tools import Tools
from core.deliveries.views import Detail
from core.diagnosis import snapshot
from core.diagnosis.snapshot import KieAnswer, Snapshot, StorageAnswer
from core.providers.registry import worded

About = TypeVar("About")
Answer = TypeVar("Answer")

# A page that has waited for so long says so; the question itself ends by the client's own deadline.
PATIENCE = timedelta(seconds=8)
KEPT = timedelta(minutes=5)
_MOST_KEPT = 500
_THREADS = ThreadPoolExecutor(8, thread_name_prefix="evidence")

_log = log.get(__name__)


@dataclass(frozen=True)
class _Asked:
    at: datetime
    kie: Future[KieAnswer]
    storage: Future[StorageAnswer]


_asked: OrderedDict[tuple[object, ...], _Asked] = OrderedDict()
_guard = threading.Lock()


def complete(seen: Snapshot, tools: Tools) -> Snapshot:
    """`seen` with the answers that are there; the questions are on their way when this returns."""
    asked = _ask(seen, tools)
    silent = seen.at - asked.at > PATIENCE
    late = f"no answer within {PATIENCE.total_seconds():.0f} s"
    kie = _answer(asked.kie) or (
        KieAnswer(seen.at, problem=worded(f"KIE gave {late}.", seen.generation.provider)) if silent else None
    )
    storage = _answer(asked.storage) or (
        StorageAnswer(seen.at, problem=f"The storage gave {late}.") if silent else None
    )
    return replace(seen, kie=kie, storage=storage)


def forget(detail: Detail) -> None:
    """Have both asked anew at the next look."""
    with _guard:
        _asked.pop(_key(detail), None)


def beside(work: Callable[[UUID, Tools], None], generation_id: UUID, tools: Tools) -> None:
    """Do `work` beside the page. What goes wrong is logged, and the row is due for the next worker."""

    def run() -> None:
        try:
            work(generation_id, tools)
        except Exception:  # noqa: BLE001 - logged with its traceback; nobody waits for it
            _log.exception("evidence.work_failed", generation_id=str(generation_id))

    _THREADS.submit(run)


def _ask(seen: Snapshot, tools: Tools) -> _Asked:
    key = _key(seen.detail)
    with _guard:
        known = _asked.get(key)
        if known is not None and seen.at - known.at < KEPT:
            return known
        asked = _Asked(
            seen.at,
            _submit(snapshot.ask_kie, seen.generation, tools),
            _submit(snapshot.ask_storage, seen.detail, tools),
        )
        _asked[key] = asked
        while len(_asked) > _MOST_KEPT:
            _asked.popitem(last=False)
        return asked


def _submit(work: Callable[[About, Tools], Answer], about: About, tools: Tools) -> Future[Answer]:
    return _THREADS.submit(work, about, tools)


def _key(detail: Detail) -> tuple[object, ...]:
    """The row's standing: when that changes, what KIE and the storage say may have changed too."""
    row = detail.generation
    return (row.id, row.task_id, row.delivery_state, row.provider_state, row.asset_url, row.delivered_at)


def _answer(asked: Future[Answer]) -> Answer | None:
    """The answer; None while there is none, also when the question broke: the page then says it is silent."""
    if not asked.done():
        return None
    fault = asked.exception()
    if fault is not None:
        _log.error("evidence.question_failed", exc_info=fault)
        return None
    return asked.result()
