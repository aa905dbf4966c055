"""What the launch page asks of a draft beside the dataset's own: full images, its run, a copy of a run's."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from core import access
from core.access import Action, Actor
from core.errors import Conflict
from core.trainings import dataset, views
from core.trainings.dataset_tools import DatasetTools
from core.trainings.sheet import SheetImage
from core.trainings.views import Row

LINKS_LAST = timedelta(hours=1)


def image_url(actor: Actor | None, image: SheetImage, tools: DatasetTools) -> str | None:
    """Where an image of a sheet can be seen in full; None for one that was refused and not kept."""
    actor = access.check(actor, Action.VIEW)
    if image.bucket is None or image.path is None:
        return None
    return tools.storage.signed_url(image.bucket, image.path, LINKS_LAST, actor.session)


def run_of(actor: Actor | None, draft_id: UUID, now: datetime) -> Row | None:
    """The newest run that was launched with this draft."""
    rows = views.runs(actor, views.Filter(lora_id=draft_id), now, limit=1).rows
    return rows[0] if rows else None


def copy_images(actor: Actor | None, lora_id: UUID, draft_id: UUID, tools: DatasetTools) -> dataset.Added:
    """The images of an earlier training into a new draft. Conflict when there are none."""
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    kept = [image for image in dataset.sheet(actor, lora_id).used if image.bucket and image.path]
    if not kept:
        raise Conflict(
            "The images of this training are no longer kept. Begin a new one with images of your own."
        )
    tools.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    with ExitStack() as open_files:
        folder = Path(open_files.enter_context(tempfile.TemporaryDirectory(dir=tools.folder)))
        files = [open_files.enter_context(_copied(image, folder, tools)) for image in kept]
        return dataset.add_files(actor, draft_id, files, tools)


@contextmanager
def _copied(image: SheetImage, folder: Path, tools: DatasetTools) -> Iterator[dataset.NewFile]:
    """A stored image on disk, open for reading."""
    path = folder / f"{image.n:03}"
    reader = tools.storage.open(str(image.bucket), str(image.path))
    try:
        with path.open("wb") as file:
            for chunk in reader.chunks():
                file.write(chunk)
    finally:
        reader.close()
    with path.open("rb") as content:
        yield dataset.NewFile(image.name, content, image.source)
