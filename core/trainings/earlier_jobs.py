"""Earlier jobs of the company's application whose characters can be trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core import access, database, log, queries
from core.access import Action, Actor
from core.trainings import dataset
from core.trainings.dataset import Added
from core.trainings.dataset_tools import DatasetTools
from core.trainings.references import Character, References, group

NEWEST = 20
_SQL = queries.load("training_images")
_log = log.get(__name__)


@dataclass(frozen=True)
class EarlierJob:
    """A job with references; `skipped` are the sentences on characters that have too few."""

    id: UUID
    created_at: datetime
    characters: tuple[Character, ...]
    skipped: tuple[str, ...]

    @property
    def images(self) -> int:
        """How many images its characters have together."""
        return sum(len(character.urls) for character in self.characters)


def newest(actor: Actor | None) -> Sequence[EarlierJob]:
    """Those of the newest jobs that have a character with enough images."""
    access.check(actor, Action.LAUNCH_TRAINING)
    with database.reading() as connection:
        rows = _SQL["newest_jobs"].all(connection, limit=NEWEST)
    found = ((row, group(row["record"])) for row in rows)
    return [
        EarlierJob(row["id"], row["created_at"], known.characters, known.skipped)
        for row, known in found
        if known.characters
    ]


def bring(
    actor: Actor | None, beginning: UUID, job_id: UUID, tools: DatasetTools
) -> tuple[References, dict[str, Added]]:
    """The images of every character of a job into a draft each; what came of each by the character's id.

    A draft that has images already is left as it is, so that what a person took away stays away.
    """
    found = dataset.references_of(actor, job_id)
    for sentence in found.skipped:
        _log.warning("training.character_skipped", job_id=str(job_id), why=sentence)
    added = {}
    for character in found.characters:
        draft_id = character.draft_id(beginning)
        if not dataset.sheet(actor, draft_id).images:
            added[character.id] = dataset.add_references(actor, draft_id, character, tools)
    return found, added
