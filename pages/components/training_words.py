"""Trainings in words: states, stages, verdicts and trainers, the same on every page."""

from html import escape

from core.errors import ErrorCategory, NotFound
from core.providers import training_registry
from core.trainings.detail import Detail
from core.trainings.images import Verdict
from core.trainings.models import RunState, Stage
from core.trainings.sheet import WORDS
from core.trainings.views import Quote, Row
from pages.components import formats
from pages.components.states import Look

LOOKS: dict[RunState, Look] = {
    RunState.RUNNING: Look("Running", "autorenew", "working", "It goes on by itself."),
    RunState.AWAITING_VERDICT: Look(
        "Waits for your verdict",
        "rate_review",
        "attention",
        "Its test images are there; a person says whether they show the character.",
    ),
    RunState.ENDING: Look(
        "Being stopped", "stop_circle", "moving", "It is stopped at the provider, and its money settled."
    ),
    RunState.COMPLETED: Look("Completed", "check_circle", "good", "The LoRA is in the library."),
    RunState.FAILED: Look("Failed", "cancel", "bad", "It stopped; the reason stands beside it."),
    RunState.CANCELLED: Look("Cancelled", "block", "waiting", "A person has stopped it."),
    RunState.NEEDS_ATTENTION: Look(
        "Needs attention", "front_hand", "lost", "No rule can decide this one; a person must look."
    ),
}
CRASHED = Look(
    "Crashed", "heart_broken", "attention", "Its worker has gone silent; another takes it up by itself."
)
QUEUED = Look("Queued", "hourglass_top", "waiting", "The provider has it in its queue.")

# What happens at each stage, for a line beside the progress.
DOING: dict[Stage, str] = {
    Stage.INITIALIZING: "Checking what must be there before anything is paid",
    Stage.ZIP_CREATION: "Putting the images into the ZIP that the trainer fetches",
    Stage.TRAINING: "Training",
    Stage.STORING: "Fetching the weights into our storage",
    Stage.HUGGINGFACE_UPLOAD: "Publishing to Hugging Face",
    Stage.VALIDATION: "Making three test images with the LoRA",
    Stage.COMPLETION: "Finishing",
}
STAGE_LOOKS: dict[str, tuple[str, str, str]] = {
    "waiting": ("radio_button_unchecked", "waiting", "waits"),
    "running": ("autorenew", "working", "under way"),
    "judging": ("rate_review", "attention", "waits for you"),
    "succeeded": ("check_circle", "good", "done"),
    "failed": ("cancel", "bad", "failed"),
    "cancelled": ("block", "waiting", "cancelled"),
    "needs_attention": ("front_hand", "lost", "needs attention"),
    "skipped": ("skip_next", "waiting", "not chosen"),
}
# An error's category, for a person.
CATEGORIES: dict[str, str] = {
    ErrorCategory.NETWORK: "The network failed.",
    ErrorCategory.AUTHENTICATION: "A key or an account was refused.",
    ErrorCategory.VALIDATION: "What was asked does not fit.",
    ErrorCategory.RATE_LIMIT: "The provider takes no more at the moment.",
    ErrorCategory.SERVICE_ERROR: "The provider failed.",
    ErrorCategory.FILE_ERROR: "A file could not be had or kept.",
    ErrorCategory.TIMEOUT: "It took too long.",
}
VERDICTS: dict[Verdict, Look] = {
    Verdict.FITS: Look(WORDS[Verdict.FITS], "check_circle", "good", "It is used as it is."),
    Verdict.CONVERTED: Look(WORDS[Verdict.CONVERTED], "auto_fix_high", "working", "A copy was made to fit."),
    Verdict.WARNED: Look(
        WORDS[Verdict.WARNED], "warning", "attention", "It is used; better without the doubt."
    ),
    Verdict.REFUSED: Look(WORDS[Verdict.REFUSED], "cancel", "bad", "It does not go into the training."),
}


def look_of(row: Row) -> Look:
    """How a run's state looks."""
    if row.crashed:
        return CRASHED
    if row.state is RunState.RUNNING and row.queue_position is not None and row.stage is Stage.TRAINING:
        return QUEUED
    return LOOKS[row.state]


def trainer(name: str) -> str:
    """A trainer as people call it."""
    try:
        return training_registry.entry(name).label
    except NotFound:
        return name or "no trainer"


def trainer_of(said: str) -> str:
    """A trainer's name by what people call it: addresses carry that."""
    return next((name for name in training_registry.TRAINERS if said in {name, trainer(name)}), said)


def named(row: Row) -> str:
    """A LoRA as it is named everywhere."""
    return f"{row.name} (by {row.creator})"


def named_html(row: Row) -> str:
    return f'<b>{escape(row.name)}</b> <span class="so-quiet">(by {escape(row.creator)})</span>'


def stage_line(row: Row) -> str:
    """What it is doing, in a line."""
    if row.state is RunState.ENDING:
        return "Being stopped at the provider, then settled"
    doing = DOING[row.stage]
    if row.stage is not Stage.TRAINING:
        return doing
    where = trainer(row.trainer)
    if row.queue_position is not None:
        return f"Queued at {where}, {formats.count(row.queue_position)} ahead of it"
    return f"{doing} at {where}"


def time_left(seconds: int | None) -> str:
    """Roughly: nobody needs the seconds of half an hour."""
    if seconds is None:
        return ""
    if seconds < 60:
        return "less than a minute left"
    return f"about {formats.duration(60 * max(1, round(seconds / 60)))} left"


def expected_time(quote: Quote, name: str) -> str:
    """How long a training takes, and how we know."""
    if quote.from_own_history:
        half, most = formats.duration(quote.p50_s), formats.duration(quote.p90_s)
        return f"half are through within {half}, nine of ten within {most} (our own trainings)"
    low, high = training_registry.entry(name).minutes
    return f"{low}–{high}\u00a0min, typically"


def drawn_as(detail: Detail) -> tuple[object, ...]:
    """What the page as a whole was drawn for; once it changes, all of it is drawn again."""
    row = detail.row
    card = (detail.run.card_due_at is None, detail.run.card_error)
    return (row.state, row.stage, row.crashed, detail.run.attempt, detail.why_not_resume, detail.doubt, card)
