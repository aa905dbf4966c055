"""The contact sheet of a training's images, and whether they are enough: pure decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from core.errors import InvalidInput
from core.providers.training import Bounds
from core.trainings import archive, likeness
from core.trainings.images import Thumbnail, Verdict

LEAST, MOST = 3, 12
RECOMMENDED = (6, 10)
# With so many images of one's own none is generated; with none, so many are.
ENOUGH_OWN, ALL_GENERATED = 5, 6
WORDS = {
    Verdict.FITS: "Fits",
    Verdict.CONVERTED: "Made to fit",
    Verdict.WARNED: "Doubtful",
    Verdict.REFUSED: "Left out",
}


@dataclass(frozen=True)
class SheetImage:
    """One image as the sheet shows it. Size, format and bytes are of the file that will be trained on;
    each of the `reasons` is a sentence; `source` is file, url, reference or generated."""

    n: int
    source: str
    name: str
    format: str
    width: int
    height: int
    bytes: int
    sha256: str
    phash: str
    verdict: Verdict
    reasons: tuple[str, ...]
    approved: bool
    bucket: str | None = None
    path: str | None = None
    thumbnail: Thumbnail | None = field(default=None, repr=False)

    @property
    def word(self) -> str:
        """The verdict in a word or three."""
        return WORDS[self.verdict]

    @property
    def used(self) -> bool:
        """Whether it goes into the training."""
        return self.approved and self.verdict is not Verdict.REFUSED


@dataclass(frozen=True)
class Sheet:
    """A draft's images. `problems` stand in the way of a launch, `advice` does not, a sentence each; a
    training takes `fits_from` to `fits_to` images."""

    draft_id: UUID
    images: tuple[SheetImage, ...]
    problems: tuple[str, ...]
    advice: tuple[str, ...]
    fits_from: int
    fits_to: int

    @property
    def used(self) -> tuple[SheetImage, ...]:
        """The images that go into the training, in their order."""
        return tuple(image for image in self.images if image.used)

    @property
    def ready(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.problems

    @property
    def bytes(self) -> int:
        """The most bytes that the ZIP can have."""
        return archive.size_of([image.bytes for image in self.used])


@dataclass(frozen=True)
class Composition:
    """How many images of their own somebody's training has, and how many are generated to fill it up."""

    own: int
    to_generate: int


def composition(own: int) -> Composition:
    """Five and more stand alone, three and four are filled up to five, none has all of them generated.

    Raises InvalidInput for one or two, which are too few to know a person by and too many to ignore.
    """
    if own == 0:
        return Composition(0, ALL_GENERATED)
    if own < LEAST:
        raise InvalidInput("images", f"{_too_few(own, LEAST, MOST)} Or take all away to have them generated.")
    return Composition(own, max(ENOUGH_OWN - own, 0))


def assess(draft_id: UUID, images: Sequence[SheetImage], bounds: Bounds | None = None) -> Sheet:
    """The sheet of these images for a trainer with these bounds, doubles pointed out."""
    least, most = bounds.images if bounds else (LEAST, MOST)
    least, most = max(LEAST, least), min(MOST, most)
    same = likeness.doubles({image.n: image.phash for image in images if image.used and image.phash})
    seen = tuple(_doubted(image, same[image.n]) if image.n in same else image for image in images)
    used = [image for image in seen if image.used]
    problems = [_too_few(len(used), least, most)] if len(used) < least else []
    if len(used) > most:
        problems.append(_too_many(len(used), least, most))
    weight = archive.too_large([image.bytes for image in used], [image.n for image in used])
    problems += [weight] if weight else []
    return Sheet(draft_id, seen, tuple(problems), _advice(seen, len(used), bool(problems)), least, most)


def _doubted(image: SheetImage, other: int) -> SheetImage:
    told = f"It looks nearly the same as image {other}; another pose or light teaches more."
    return replace(image, verdict=Verdict.WARNED, reasons=(*image.reasons, told))


def _too_few(count: int, least: int, most: int) -> str:
    there = "There is no image" if not count else f"{count} image{'s' * (count > 1)}"
    more = least - count
    verb = " yet" if not count else (" is too few" if count == 1 else " are too few")
    return f"{there}{verb}: a training takes {least} to {most}. Add {more} more."


def _too_many(count: int, least: int, most: int) -> str:
    return f"{count} images are too many: a training takes {least} to {most}. Take {count - most} away."


def _advice(images: Sequence[SheetImage], used: int, in_the_way: bool) -> tuple[str, ...]:
    found = []
    refused = sum(image.verdict is Verdict.REFUSED for image in images)
    if refused:
        left_out = "1 file is left out" if refused == 1 else f"{refused} files are left out"
        found.append(f"{left_out} of the training, for the reason beside it.")
    if not in_the_way and not RECOMMENDED[0] <= used <= RECOMMENDED[1]:
        found.append(f"{RECOMMENDED[0]} to {RECOMMENDED[1]} images give the best likeness.")
    return tuple(found)
