"""What trainings leave behind: ZIPs after a day, test pictures after a month, pods that belong to nobody, and
weights that a pod pushed for nothing."""

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import Connection

from core import database, log
from core.errors import ProviderError, StorageError
from core.providers.runpod import RunPodTrainer
from core.providers.runpod_pods import Pod
from core.providers.training import Submission
from core.trainings import dataset, ending, pushing, releasing
from core.trainings.models import Event, EventKind
from core.trainings.repository import SQL, add_event, find, say, to_call
from core.trainings.spending import SQL as SPENDING
from core.trainings.tools import WEIGHTS, Tools

ZIPS_KEPT = timedelta(hours=24)
PICTURES_KEPT = timedelta(days=30)
WEBHOOKS_KEPT = timedelta(days=90)
PUSHES_KEPT = timedelta(days=30)
# A pod is nobody's only when its run has had this long to note it.
POD_GRACE = timedelta(minutes=15)
BATCH = 200

_log = log.get(__name__)


def clean(tools: Tools) -> int:
    """Take away what is no longer kept; how many files went."""
    now = tools.clock()
    gone = _zips(tools) + _abandoned(tools) + _pictures(tools) + _pushes(tools)
    with database.statement() as connection:
        SQL["prune_webhooks"].run(connection, before=now - WEBHOOKS_KEPT)
        SPENDING["prune_orphans"].run(connection, before=now - WEBHOOKS_KEPT)
    return gone


def _zips(tools: Tools) -> int:
    """Remove what runs that have been over for a day had zipped, the bytes freed on each one's record."""
    now = tools.clock()
    with database.reading() as connection:
        rows = SQL["old_zips"].all(connection, before=now - ZIPS_KEPT, limit=BATCH)
    faults: list[StorageError] = []
    for row in rows:
        try:
            freed = dataset.delete_old_zips(tools.dataset, now, [(row["zip_bucket"], row["zip_path"])])
        except StorageError as error:
            _log.exception("training.zip_left", path=row["zip_path"])
            faults.append(error)
            continue
        with database.transaction() as connection:
            _forget_zip(connection, row["id"], freed, now)
    if faults:
        raise faults[0]
    return len(rows)


def _forget_zip(connection: Connection, run_id: UUID, freed: int, now: datetime) -> None:
    SQL["forget_zip"].run(connection, id=run_id, now=now)
    run = find(connection, run_id)
    if run is not None:
        add_event(connection, run, now, Event(EventKind.ZIP_REMOVED, bytes=freed))
        say(connection, run, now, f"ZIP removed: {freed:,} bytes freed")


def _abandoned(tools: Tools) -> int:
    """ZIPs that were stored and that no run names: it was killed or cancelled in between."""
    now = tools.clock()
    before = now - ZIPS_KEPT
    with database.reading() as connection:
        rows = SQL["abandoned_zips"].all(connection, before=before, limit=BATCH)
    places = [(row["bucket"], row["path"]) for row in rows]
    gone = sum(dataset.delete_old_zips(tools.dataset, now, [place]) > 0 for place in places)
    with database.transaction() as connection:
        for row in rows:
            SQL["forget_abandoned"].run(connection, id=row["lora_model_id"], path=row["path"], before=before)
    return gone


def _pictures(tools: Tools) -> int:
    now = tools.clock()
    with database.reading() as connection:
        rows = SQL["old_pictures"].all(connection, before=now - PICTURES_KEPT, limit=BATCH)
    gone = 0
    for call in map(to_call, rows):
        assert call.bucket is not None
        assert call.path is not None
        gone += tools.storage.delete(call.bucket, call.path)
        with database.transaction() as connection:
            SQL["forget_picture"].run(connection, id=call.id)
            SQL["forget_urls"].run(connection, run_id=call.run_id, now=now)
    return gone


def _pushes(tools: Tools) -> int:
    """Weights as a pod pushed them whose run has its own by now, or wants none, or is resumed by nobody."""
    now = tools.clock()
    found = {}
    for info in tools.storage.find(WEIGHTS, pushing.INCOMING):
        with suppress(ValueError):
            found[UUID(PurePosixPath(info.path).stem)] = info
    with database.reading() as connection:
        rows = SQL["needed_pushes"].all(connection, ids=list(found)) if found else []
    needed = {row["id"] for row in rows}
    kept_since = now - PUSHES_KEPT
    gone = [info for id_, info in found.items() if id_ not in needed or info.modified_at < kept_since]
    return sum(tools.storage.delete(WEIGHTS, info.path) for info in gone)


def sweep_orphans(tools: Tools) -> int:
    """Give back what ended runs may still have at a provider, stop what was not confirmed, and end pods that
    belong to no run of ours."""
    return releasing.unreleased(tools) + ending.try_unconfirmed(tools) + _pods(tools)


def _pods(tools: Tools) -> int:
    """End the pods that this installation made and that belong to no run that goes on."""
    trainer = tools.trainers.get("runpod")
    if not isinstance(trainer, RunPodTrainer):
        return 0
    try:
        pods = trainer.pods()
    except ProviderError as error:
        _log.warning("training.pods_unknown", error=error.message)
        return 0
    ended = 0
    for pod in pods:
        young = pod.created_at is None or tools.clock() - pod.created_at < POD_GRACE
        if pod.run_id is None or pod.mark != trainer.mark or young or _is_wanted(pod.id, pod.run_id):
            continue
        _note_orphan(pod, tools, ended=False)
        try:
            trainer.release(Submission(pod.id))
        except ProviderError as error:
            _log.warning("training.orphan_not_ended", pod_id=pod.id, error=error.message)
            continue
        ended += 1
        _note_orphan(pod, tools, ended=True)
        _log.warning("training.orphan_ended", pod_id=pod.id)
    return ended


def _note_orphan(pod: Pod, tools: Tools, *, ended: bool) -> None:
    """What it costs until it has ended is an alert."""
    now = tools.clock()
    with database.statement() as connection:
        SPENDING["note_orphan"].run(
            connection, pod_id=pod.id, usd_per_hour=pod.usd_per_hour, now=now, ended=ended
        )


def _is_wanted(pod_id: str, call_id: UUID) -> bool:
    """Whether a run that goes on has the pod, or a call that may still turn out to have begun it."""
    with database.reading() as connection:
        known = SQL["known_remotes"].all(connection, provider="runpod", remote_ids=[pod_id])
        open_calls = SQL["known_calls"].all(connection, ids=[call_id])
    return any(row["wanted"] for row in known) or (not known and bool(open_calls))
