"""Where trainings of a rehearsal stand: under way at each stage, waiting for a person, or ended, and why."""

from dataclasses import dataclass
from datetime import timedelta

from core.errors import ErrorCategory as C
from core.trainings.models import RunState as S
from core.trainings.models import Stage


@dataclass(frozen=True)
class Ending:
    """Where a run stands, at which stage, and why. `paid` is the part of the training that is charged;
    `progress` is the stage's in per cent, for one that was not finished."""

    state: S
    stage: Stage
    paid: float = 1.0
    category: C | None = None
    message: str | None = None
    words: str | None = None
    next_action: str | None = None
    retryable: bool = False
    progress: int = 40
    trainer: str | None = None
    says: str | None = None
    queue_position: int | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether we would have the next word."""
        return self.state in {S.RUNNING, S.ENDING}

    @property
    def is_open(self) -> bool:
        """Whether its stage has not ended."""
        return self.is_under_way or self.state is S.AWAITING_VERDICT


COMPLETED = Ending(S.COMPLETED, Stage.COMPLETION)
CANCELLED = Ending(S.CANCELLED, Stage.TRAINING, 0.5)
JUDGING = Ending(S.AWAITING_VERDICT, Stage.VALIDATION, progress=100)
IN_DOUBT = Ending(
    S.NEEDS_ATTENTION,
    Stage.TRAINING,
    0.0,
    C.NETWORK,
    "The trainer's answer was lost, and nothing tells whether it took the training.",
    "The connection was closed before the answer came.",
    "Look into the trainer's own list of requests, then go on or cancel.",
)
FAILURES = (
    Ending(
        S.FAILED,
        Stage.TRAINING,
        0.5,
        C.SERVICE_ERROR,
        "The training failed at the trainer: it ran out of memory.",
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "Press Retry.",
        retryable=True,
    ),
    Ending(
        S.FAILED,
        Stage.TRAINING,
        0.5,
        C.TIMEOUT,
        "The training took longer than a training may, and was stopped.",
        None,
        "Press Retry, or launch it with another trainer.",
        retryable=True,
    ),
    Ending(
        S.FAILED,
        Stage.STORING,
        1.0,
        C.NETWORK,
        "The weights did not come: the connection was closed each time.",
        "Connection reset by peer",
        "Press Retry.",
        retryable=True,
    ),
    Ending(
        S.FAILED,
        Stage.STORING,
        1.0,
        C.FILE_ERROR,
        "What the trainer gave is no safetensors file.",
        "The header's length is larger than the file.",
        "Launch it anew, and tell the trainer.",
    ),
    Ending(
        S.FAILED,
        Stage.ZIP_CREATION,
        0.0,
        C.VALIDATION,
        "Too few of the images can be read: a LoRA takes at least 4 at this trainer.",
        None,
        "Launch it with other images.",
    ),
    Ending(
        S.FAILED,
        Stage.TRAINING,
        0.0,
        C.RATE_LIMIT,
        "The trainer takes no more trainings at the moment.",
        "429 Too Many Requests",
        "Press Retry in some minutes.",
        retryable=True,
    ),
    Ending(
        S.FAILED,
        Stage.TRAINING,
        0.0,
        C.AUTHENTICATION,
        "The trainer refused our key.",
        "401 Unauthorized",
        "Put a valid key into the settings, then press Retry.",
    ),
)
# Under way when the rehearsal begins, at each stage, by how long ago it was launched.
UNDER_WAY: tuple[tuple[timedelta, Ending], ...] = (
    (timedelta(seconds=15), Ending(S.RUNNING, Stage.INITIALIZING, progress=30)),
    (timedelta(seconds=50), Ending(S.RUNNING, Stage.ZIP_CREATION, progress=60)),
    (
        timedelta(minutes=3),
        Ending(S.RUNNING, Stage.TRAINING, 0.0, progress=0, trainer="fal", says="IN_QUEUE", queue_position=3),
    ),
    (
        timedelta(minutes=5),
        Ending(S.RUNNING, Stage.TRAINING, 0.0, progress=55, trainer="fal", says="IN_PROGRESS"),
    ),
    (
        timedelta(minutes=37),
        Ending(S.RUNNING, Stage.TRAINING, 0.0, progress=62, trainer="runpod", says="RUNNING"),
    ),
    (timedelta(minutes=9), Ending(S.RUNNING, Stage.STORING, progress=70)),
    (timedelta(minutes=11), Ending(S.RUNNING, Stage.HUGGINGFACE_UPLOAD, progress=45)),
    (timedelta(minutes=12), Ending(S.RUNNING, Stage.VALIDATION, progress=35)),
    (timedelta(minutes=6), Ending(S.ENDING, Stage.TRAINING, 0.0, progress=30, trainer="fal")),
)
