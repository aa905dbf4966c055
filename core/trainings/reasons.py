"""Why a training ended badly at its provider: the sentence, and what a person does next."""

from datetime import timedelta

from core.errors import ErrorCategory
from core.providers.training import Failure
from core.trainings.models import Trouble


def of_failure(failure: Failure | None, label: str) -> Trouble:
    """A provider's failure as trouble of a run's."""
    if failure is None:
        failure = Failure(ErrorCategory.SERVICE_ERROR, retryable=False, words=f"{label} gave no reason.")
    action = (
        "Start it again: the same may succeed."
        if failure.retryable
        else "Mend what the provider's words name, then start it again."
    )
    return Trouble(
        f"The training failed at {label}: {failure.words}".strip(),
        failure.category,
        failure.retryable,
        action,
        failure.words,
    )


def cancelled_there(label: str) -> Trouble:
    """Trouble of a training that somebody cancelled at the provider."""
    return Trouble(
        f"The training was cancelled at {label}, and not by us.",
        ErrorCategory.SERVICE_ERROR,
        retryable=False,
        next_action="Find out who cancelled it there, then start it again.",
    )


def vanished(label: str) -> Trouble:
    """Trouble of a training that the provider knows no more."""
    return Trouble(
        f"{label} no longer knows the training.",
        ErrorCategory.SERVICE_ERROR,
        retryable=False,
        next_action=f"See at {label} whether it runs or is billed, then start it again.",
    )


def strange(label: str, word: str) -> Trouble:
    """Trouble of a training in a state that nobody here knows."""
    return Trouble(
        f"{label} calls its state “{word}”, which nobody here knows.",
        ErrorCategory.SERVICE_ERROR,
        retryable=False,
        next_action=f"Look at the training at {label}, then cancel it or have it looked at again.",
        words=word,
    )


def too_long(label: str, ceiling: timedelta) -> Trouble:
    """Trouble of a training that outlasted its ceiling."""
    return Trouble(
        f"The training ran for longer than the {ceiling.total_seconds() / 60:.0f} minutes that it may take at"
        f" {label}, and was stopped.",
        ErrorCategory.TIMEOUT,
        retryable=True,
        next_action="Look at its log for what it waited for, then start it again.",
    )


def never_began(label: str, starts_within: timedelta) -> Trouble:
    """Trouble of a pod that cost money and did not train."""
    return Trouble(
        f"{label} had not begun to train after {starts_within.total_seconds() / 60:.0f} minutes, which cost"
        " money all the while; it was stopped.",
        ErrorCategory.TIMEOUT,
        retryable=True,
        next_action="Start it again, or clone it for another provider.",
    )


def unheard(label: str, after: timedelta) -> Trouble:
    """Trouble of a pod that has long told nothing of itself."""
    return Trouble(
        f"What trains at {label} has told nothing of itself for {after.total_seconds() / 60:.0f} minutes;"
        " it was stopped.",
        ErrorCategory.TIMEOUT,
        retryable=True,
        next_action="Look at its log for where it stood, then start it again.",
    )
