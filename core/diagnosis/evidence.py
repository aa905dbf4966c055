"""One task's evidence, side by side: database, provider, storage, callbacks, timeline, cost."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from core import access, database, log
from core.access import Action, Actor
from core.deliveries import service, views
from core.deliveries.models import Generation
from core.deliveries.repository import find_by_task
from core.deliveries.tools import BUCKET, Tools
from core.diagnosis.checks import Snapshot, diagnose
from core.errors import StudioOpsError
from core.providers.contract import TaskRecord


def newest(actor: Actor | None, limit: int = 10) -> Sequence[Generation]:
    """The newest generations."""
    access.check(actor, Action.DEBUG_GENERATION)
    return views.recent(actor, limit=limit).generations


def of_task(actor: Actor | None, task_id: str, tools: Tools) -> dict[str, Any]:
    """Everything known of one task, with the diagnosis and the suggested action; secrets masked.

    Reads the provider's record and the storage; changes nothing. NotFound when no row has the id.
    """
    actor = access.check(actor, Action.DEBUG_GENERATION)
    generation = service.newest_by_task(task_id)
    detail = views.detail(actor, generation.id)
    record, problem = _record(task_id, tools)
    with database.reading() as connection:
        twins = len(find_by_task(connection, task_id))
    found = [tools.storage.stat(file.bucket, file.path) for file in detail.files]
    snapshot = Snapshot(
        at=tools.clock(),
        generation=generation,
        twins=twins,
        record=record,
        record_problem=problem,
        callbacks=len(detail.callbacks),
        stored_files=len(detail.files),
        file_found=all(found) if detail.files else None,
    )
    finding = diagnose(snapshot)
    told = {
        "taskId": task_id,
        "diagnosis": {"rule": finding.rule, "sentence": finding.sentence},
        "suggestedAction": finding.action,
        "database": asdict(generation),
        "kie": dict(record.raw) if record else {"problem": problem},
        "storage": {
            "bucket": BUCKET,
            "files": [asdict(file) for file in detail.files],
            "found": [item is not None for item in found],
        },
        "callbacks": [asdict(item) for item in detail.callbacks],
        "timeline": [asdict(step) for step in detail.timeline],
        "costs": [asdict(line) for line in detail.costs],
    }
    return dict(log.redact(told))


def _record(task_id: str, tools: Tools) -> tuple[TaskRecord | None, str | None]:
    try:
        return tools.kie.record(task_id), None
    except StudioOpsError as error:
        return None, error.message
