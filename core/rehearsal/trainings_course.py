"""How a studio's trainings go: whom they are of, how they end, and what they cost; drawn from a seed."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from core.errors import ErrorCategory as C
from core.rehearsal.models import CUSTOMER, LORA, TRAINING, numbered_id
from core.rehearsal.training_endings import (
    CANCELLED,
    COMPLETED,
    FAILURES,
    IN_DOUBT,
    JUDGING,
    UNDER_WAY,
    Ending,
)
from core.trainings.launch_rules import QUOTA
from core.trainings.models import RunState as S
from core.trainings.models import Stage

# Trainings a day: fewer at the weekend, more when a month ends. Together they stay below what one may cost.
_A_DAY = {True: (0, 0, 1), False: (1, 1, 2, 2)}
_MONTH_END = 1
_STEPS = (800, 1_000, 1_000, 1_000, 1_200)
STEP_USD, PICTURE_USD = Decimal("0.002"), Decimal("0.035")
PICTURES = 3
# So many that nobody needs more than the month's quota.
PEOPLE = 24
POD_USD_PER_HOUR = Decimal("0.44")
# What a trainer's line is billed as, and how long a training takes there.
_TRAINERS = {
    "fal": ("flux-lora-fast-training", timedelta(minutes=7)),
    "replicate": ("flux-dev-lora-trainer", timedelta(minutes=26)),
    "runpod": ("pod", timedelta(minutes=55)),
}
_DRAWN = ("fal", "fal", "replicate")
_CHARACTERS = (
    ("Ada of the lighthouse", "ada", ("portrait", "sea")),
    ("Captain Brio", "brio", ("sea", "comic")),
    ("Mira the cartographer", "mira", ("portrait", "travel")),
    ("Old Tomas", "tomas", ("portrait",)),
    ("The baker of Lisbon", "baker", ("travel", "food")),
    ("Juno, night courier", "juno", ("night", "city")),
    ("Professor Quill", "quill", ("comic",)),
    ("Noor in the greenhouse", "noor", ("portrait", "plants")),
    ("Kito the drummer", "kito", ("music", "night")),
    ("Vera of the fjord", "vera", ("travel", "sea")),
    ("Little Sparrow", "sparrow", ("comic", "city")),
    ("Detective Hale", "hale", ("night", "city")),
)
# What stands there in any case, by how long ago it was launched.
_STANDING: tuple[tuple[timedelta, Ending], ...] = (
    *UNDER_WAY,
    (timedelta(hours=3), JUDGING),
    (timedelta(hours=9), COMPLETED),
    (timedelta(hours=14), COMPLETED),
    (timedelta(hours=20), IN_DOUBT),
    (timedelta(hours=27), JUDGING),
    (timedelta(hours=29), CANCELLED),
    *((timedelta(hours=34 + 62 * n), ending) for n, ending in enumerate(FAILURES)),
)
_FAILS, _CANCELLED = 0.03, 0.02
_LONGEST = timedelta(minutes=92)


@dataclass(frozen=True)
class Training:
    """A run with its LoRA: who launched what, when, and how it ended."""

    n: int
    person: int
    name: str
    trigger_word: str
    tags: tuple[str, ...]
    trainer: str
    steps: int
    images: int
    launched_at: datetime
    takes: timedelta
    ending: Ending

    @property
    def run_id(self) -> UUID:
        return numbered_id(TRAINING, self.n)

    @property
    def lora_id(self) -> UUID:
        return numbered_id(LORA, self.n)

    @property
    def user_id(self) -> UUID:
        return numbered_id(CUSTOMER, self.person)

    @property
    def service(self) -> str:
        """What the trainer's line in the ledger is billed as."""
        return _TRAINERS[self.trainer][0]

    @property
    def parent(self) -> UUID | None:
        """The LoRA of the same character that was trained before; None of the first."""
        first = self.n < len(_CHARACTERS)
        return None if first else numbered_id(LORA, self.n - len(_CHARACTERS))

    @property
    def character(self) -> UUID:
        """The first LoRA of the character."""
        return numbered_id(LORA, self.n % len(_CHARACTERS))

    @property
    def publishes(self) -> bool:
        """Whether Hugging Face is one of its stages; only of one that has not got beyond it."""
        return self.ending.stage is Stage.HUGGINGFACE_UPLOAD

    @property
    def reached(self) -> Sequence[Stage]:
        """The stages that were begun."""
        order = [stage for stage in Stage if self.publishes or stage is not Stage.HUGGINGFACE_UPLOAD]
        return order[: order.index(self.ending.stage) + 1]

    @property
    def has_weights(self) -> bool:
        """Whether its weights are in our storage."""
        return Stage.STORING in self.reached[:-1]

    @property
    def has_pictures(self) -> bool:
        """Whether its test pictures are made."""
        return self.has_weights and self.ending.state in {S.COMPLETED, S.AWAITING_VERDICT}

    @property
    def is_trained(self) -> bool:
        """Whether the training itself succeeded."""
        return Stage.TRAINING in self.reached[:-1]

    @property
    def stopped_at(self) -> datetime:
        """When its last stage ended, came to stand, or was looked at last."""
        return self.launched_at + self.takes

    @property
    def ended_at(self) -> datetime | None:
        """When it was over; None while we or a person have the next word."""
        over = self.ending.state in {S.COMPLETED, S.FAILED, S.CANCELLED}
        return self.stopped_at if over else None

    @property
    def trained_usd(self) -> Decimal:
        """What the training itself was charged."""
        if Stage.TRAINING not in self.reached:
            return Decimal(0)
        return (self.steps * STEP_USD * Decimal(str(self.ending.paid))).quantize(Decimal("0.0001"))

    @property
    def reserved_usd(self) -> Decimal:
        """What was promised at its launch."""
        return self.steps * STEP_USD + PICTURES * PICTURE_USD


def trainings(now: datetime, *, seed: int, days: int) -> list[Training]:
    """Those of `days` until now, oldest first; the same seed and time give the same."""
    drawn = random.Random(f"{seed} trainings")  # noqa: S311 - a rehearsal is no secret
    when = sorted(_launches(now, drawn, days=days), key=lambda launch: launch[0])
    launched: Counter[tuple[int, int, int]] = Counter()
    return [_training(n, at, now, ending, drawn, launched) for n, (at, ending) in enumerate(when)]


def _launches(now: datetime, drawn: random.Random, *, days: int) -> Iterator[tuple[datetime, Ending]]:
    first = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    for n in range(days + 1):
        day = first + timedelta(days=n)
        ends = (day + timedelta(days=2)).month != day.month
        for _ in range(drawn.choice(_A_DAY[day.weekday() >= 5]) + ends * _MONTH_END):
            at, draw = day + timedelta(hours=drawn.uniform(8, 19)), drawn.random()
            if at < now - timedelta(hours=2):
                yield at, _ending(draw, drawn)
    yield from ((now - age, ending) for age, ending in _STANDING if age < timedelta(days=days))


def _ending(draw: float, drawn: random.Random) -> Ending:
    if draw < _FAILS:
        return drawn.choice(FAILURES)
    return CANCELLED if draw < _FAILS + _CANCELLED else COMPLETED


def _training(
    n: int,
    at: datetime,
    now: datetime,
    ending: Ending,
    drawn: random.Random,
    launched: Counter[tuple[int, int, int]],
) -> Training:
    name, word, tags = _CHARACTERS[n % len(_CHARACTERS)]
    take = n // len(_CHARACTERS) + 1
    trainer = ending.trainer or drawn.choice(_DRAWN)
    usual = _TRAINERS[trainer][1] * drawn.uniform(0.8, 1.3)
    return Training(
        n=n,
        person=_person(at, drawn, launched),
        name=name if take == 1 else f"{name}, take {take}",
        trigger_word=f"{word}_v{take}",
        tags=tags,
        trainer=trainer,
        steps=drawn.choice(_STEPS),
        images=drawn.randint(6, 10),
        launched_at=at,
        takes=now - at if ending.is_under_way else _LONGEST if ending.category is C.TIMEOUT else usual,
        ending=ending,
    )


def _person(at: datetime, drawn: random.Random, launched: Counter[tuple[int, int, int]]) -> int:
    """Whoever launches it; a few launch most, and nobody more than the month's quota."""
    wanted = int(PEOPLE * drawn.random() ** 2)
    people = [*range(wanted, PEOPLE), *range(wanted)]
    person: int = next(one for one in people if launched[one, at.year, at.month] < QUOTA)
    launched[person, at.year, at.month] += 1
    return person
