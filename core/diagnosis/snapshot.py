"""Everything known of one generation at one moment: our rows, KIE's record, the files in storage."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core import access, database, queries
from core.access import Action, Actor
from core.deliveries import following, policy, views
from core.deliveries.models import DeliveryState, EventKind, Generation
from core.deliveries.tools import BUCKET, Tools
from core.deliveries.views import Detail
from core.errors import InvalidInput, StorageError, StudioOpsError
from core.providers import registry
from core.providers.contract import TaskRecord
from core.storage.contract import ObjectInfo
from core.storage.own_path import own_path
from core.work import limiter
from core.work.limiter import Priority

SQL = queries.load("diagnosis")
# Of so many files the storage is asked one by one; a generation has one, rarely a handful.
MOST_FILES = 20


@dataclass(frozen=True)
class KieAnswer:
    """What the provider, mostly KIE, said of the task at `at`; `record` None: it could not be asked,
    `problem` says why."""

    at: datetime
    record: TaskRecord | None = None
    problem: str | None = None


@dataclass(frozen=True)
class SeenFile:
    """A file that is or should be in our storage; `found` None: storage has not got it."""

    bucket: str
    path: str
    recorded: bool
    found: ObjectInfo | None


@dataclass(frozen=True)
class StorageAnswer:
    """What the storage said at `at`. `problem`: why it could not be asked."""

    at: datetime
    files: tuple[SeenFile, ...] = ()
    problem: str | None = None

    @property
    def missing(self) -> int:
        """Files that are recorded and not there."""
        return sum(file.found is None for file in self.files if file.recorded)

    @property
    def unrecorded(self) -> int:
        """Files that are there, and no row says so."""
        return sum(file.found is not None for file in self.files if not file.recorded)


@dataclass(frozen=True)
class Snapshot:
    """One generation at `at`. `kie` and `storage` are None while they are being asked.

    `twins` counts the rows of the same task, `picked` says that a person chose this one of them.
    `remade_as` is the generation that was made in its place.
    """

    at: datetime
    detail: Detail
    twins: int = 1
    picked: bool = True
    kie: KieAnswer | None = None
    storage: StorageAnswer | None = None
    remade_as: UUID | None = None

    @property
    def generation(self) -> Generation:
        """The row."""
        return self.detail.generation

    @property
    def record(self) -> TaskRecord | None:
        """KIE's record, when it could be read."""
        return self.kie.record if self.kie else None

    @property
    def in_work(self) -> bool:
        """Whether somebody holds the row's lease."""
        until = self.generation.lease_until
        return until is not None and until > self.at

    def count(self, kind: EventKind) -> int:
        """How often that step stands on the timeline."""
        return sum(step.kind is kind for step in self.detail.timeline)


def remake_key(generation_id: UUID) -> str:
    """The request key of the one generation that is made in place of another: however often it is asked
    for, and by however many people, it is paid for once."""
    return f"again:{generation_id}"


def of_rows(actor: Actor | None, generation_id: UUID, tools: Tools, *, picked: bool = True) -> Snapshot:
    """What our own rows say; nobody outside is asked. NotFound when there is no such generation."""
    actor = access.check(actor, Action.DEBUG_GENERATION)
    detail = views.detail(actor, generation_id)
    with database.reading() as connection:
        task_id = detail.generation.task_id
        twins = SQL["twins"].one(connection, task_id=task_id)["n"] if task_id else 1
        remade = SQL["remade"].first(connection, request_key=remake_key(generation_id))
    return Snapshot(
        at=tools.clock(),
        detail=detail,
        twins=max(1, twins),
        picked=picked,
        remade_as=remade["id"] if remade else None,
    )


def asks_kie(generation: Generation) -> bool:
    """Whether its provider has a task of it to be asked about; of other systems' rows only KIE's are."""
    provider = generation.provider.lower()
    ours = provider in registry.PROVIDERS and generation.delivery_state is not None
    return bool(generation.task_id) and (ours or provider == "kie")


def ask_kie(generation: Generation, tools: Tools) -> KieAnswer:
    """The provider's record, read through the limit that all reads share."""
    name = registry.name_of(generation.provider)
    if not asks_kie(generation):
        return KieAnswer(tools.clock(), problem=f"There is no task at {name} to ask about.")
    waiting = limiter.reserve(limiter.READS[generation.provider.lower()], 1, Priority.SYNC)
    if not waiting:
        return KieAnswer(tools.clock(), problem=f"Too many questions wait for {name} just now.")
    tools.sleep(waiting.delays_s[0])
    try:
        record = following.ask(generation, generation.task_id or "", tools)
    except StudioOpsError as error:
        return KieAnswer(tools.clock(), problem=error.message)
    return KieAnswer(tools.clock(), record=record)


def ask_storage(detail: Detail, tools: Tools) -> StorageAnswer:
    """Whether the recorded files are there; for a generation without any, whether an unrecorded one is."""
    try:
        return StorageAnswer(tools.clock(), tuple(_files(detail, tools))[:MOST_FILES])
    except (StorageError, InvalidInput) as error:
        return StorageAnswer(tools.clock(), problem=error.message)


def _files(detail: Detail, tools: Tools) -> Sequence[SeenFile]:
    generation = detail.generation
    if detail.files:
        return [
            SeenFile(file.bucket, file.path, recorded=True, found=tools.storage.stat(file.bucket, file.path))
            for file in detail.files[:MOST_FILES]
        ]
    if generation.delivery_state is DeliveryState.DELIVERED:
        place = own_path(tools.storage, BUCKET, generation.asset_url)
        if place is None:
            return []
        return [SeenFile(BUCKET, place, recorded=True, found=tools.storage.stat(BUCKET, place))]
    stem = policy.storage_path(generation, 0, "")
    return [
        SeenFile(BUCKET, info.path, recorded=False, found=info)
        for info in tools.storage.find(BUCKET, stem, MOST_FILES)
    ]
