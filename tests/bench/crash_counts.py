"""What must not be left of a run whose worker was killed, by sandbox, storage and ledger."""

import hashlib
from collections.abc import Iterator
from uuid import UUID

from core.trainings import pushing, tools, zips
from core.trainings.models import Run, RunState
from core.trainings.tools import PICTURES, WEIGHTS
from tests.bench.crash_play import (
    FILES,
    LOST,
    RESERVED,
    RUNNING,
    TWICE,
    WITHIN_S,
    Finding,
    Play,
    comes_by,
)
from tests.bench.crash_points import Point
from tests.crash.stage import until
from tests.crash.training_stage import row


def wrong(on: Play, point: Point, run_id: UUID) -> Iterator[Finding]:
    """What should not be, in sentences."""
    _swept(on, run_id)
    found, run = on.at_sandbox(), row(run_id)
    wanted = RunState.CANCELLED if point.cancelled else RunState.COMPLETED
    if run.state is not wanted:
        yield Finding(LOST, f"it is {run.state} at {run.stage}, not {wanted} ({run.error_message})")
    for kind, right in (("trainings", 1), ("images", 0 if point.cancelled else 3)):
        paid = found[kind] - on.paid[kind]
        if paid != right:
            yield Finding(TWICE if paid > right else LOST, f"{paid} {kind} paid at the sandbox, not {right}")
    for kind in ("doubled", "living", "pods"):
        if more := found[kind] - on.paid[kind]:
            yield Finding(TWICE if kind == "doubled" else RUNNING, f"{kind} at the sandbox: {more}")
    yield from _files_wrong(point, run)
    yield from _ledger_wrong(on, run, completed=wanted is RunState.COMPLETED)


def _swept(on: Play, run_id: UUID) -> None:
    """The sweep and the clean-up come by once more, undisturbed."""
    comes_by(on, run_id)
    waiting = (
        "SELECT 1 FROM procrastinate_jobs WHERE task_name IN ('sweep_trainings', 'clean_trainings')"
        " AND status IN ('todo', 'doing')"
    )
    until(lambda: not on.stage.sql(waiting), WITHIN_S, "the sweep")


def _files_wrong(point: Point, run: Run) -> Iterator[Finding]:
    storage = tools.current().storage
    if left := storage.find(WEIGHTS, pushing.INCOMING):
        yield Finding(FILES, f"pushed weights left: {[info.path for info in left]}")
    if point.later == "ZIP" and (run.zip_path or _zips(run)):
        yield Finding(FILES, f"its ZIP was not taken away: {run.zip_path} {_zips(run)}")
    if point.cancelled:
        return
    stored, pictures = (storage.find(bucket, f"studio-ops/{run.lora_id}/") for bucket in (WEIGHTS, PICTURES))
    kept = 0 if point.later == "pictures" else 3
    if len(stored) != 1 or len(pictures) != kept:
        found = f"{len(stored)} weight files and {len(pictures)} pictures stored, not 1 and {kept}"
        yield Finding(FILES, found)
        return
    digest = hashlib.sha256()
    reader = storage.open(WEIGHTS, stored[0].path)
    for chunk in reader.chunks():
        digest.update(chunk)
    reader.close()
    if digest.hexdigest() != run.weights_sha256:
        yield Finding(FILES, "the stored weights are not those that were recorded")
    if run.publish and not run.huggingface_url:
        yield Finding(LOST, "it was not published")


def _zips(run: Run) -> list[str]:
    owner = run.creator_key.removeprefix("staff:")
    return [info.path for info in tools.current().dataset.zips.find(zips.BUCKET, f"{owner}/lora-training/")]


def _ledger_wrong(on: Play, run: Run, *, completed: bool) -> Iterator[Finding]:
    [(trainings, pictures, left)] = on.stage.sql(
        "SELECT count(*) FILTER (WHERE kind = 'settle' AND stage = 'training'),"
        " count(*) FILTER (WHERE kind = 'settle' AND stage = 'validation'),"
        " coalesce(sum(amount_usd) FILTER (WHERE kind IN ('reserve', 'release')), 0)"
        " FROM job_costs WHERE run_id = %(id)s",
        id=run.id,
    )
    if left:
        yield Finding(RESERVED, f"${left} of its reservation not given back")
    if completed and (trainings, pictures) != (1, 3):
        settled = f"{trainings} trainings and {pictures} pictures settled, not 1 and 3"
        yield Finding(TWICE if (trainings, pictures) > (1, 3) else LOST, settled)
    if not completed and trainings > 1:
        yield Finding(TWICE, f"{trainings} trainings settled of a cancelled run")
