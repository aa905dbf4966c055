"""What a person may do with a run, and what their word means: pure decisions over its row and its calls."""

from collections.abc import Sequence

from core.errors import Conflict
from core.trainings.models import Call, CallState, Purpose, Run, RunState, Stage
from core.trainings.policy import PICTURES, SHOWN_AT_LEAST


def needs_training(run: Run, calls: Sequence[Call]) -> bool:
    """Whether a resumed run has a training to pay still."""
    return run.weights_path is None and not any(
        call.purpose is Purpose.TRAINING and call.state is CallState.SUCCEEDED and call.result_url
        for call in calls
    )


def check_can_cancel(run: Run) -> None:
    """Raise Conflict with the reason."""
    if run.is_over:
        raise Conflict(f"This run is {run.state} already; there is nothing to cancel.")
    if run.state is RunState.ENDING:
        raise Conflict("This run is being stopped already.")


def why_not_resume(run: Run, calls: Sequence[Call]) -> str | None:
    """Why a run cannot go on where it stopped, as a sentence; None when it can."""
    if run.state is RunState.NEEDS_ATTENTION and run.ends_as is not None:
        return (
            "This run is being stopped, and its provider has not confirmed it. It can go on once it is over."
        )
    if run.state is RunState.NEEDS_ATTENTION:
        return None
    if run.state is not RunState.FAILED:
        return f"This run is {run.state.replace('_', ' ')}; only failed ones and those in doubt go on."
    if any(call.state in {CallState.SENDING, CallState.ACCEPTED} for call in calls):
        return "Something of it still runs at the provider. Wait until that has ended."
    return None


def in_doubt(run: Run, calls: Sequence[Call]) -> bool:
    """Whether only a person can know that nothing of the run goes on at a provider: an answer was lost, or a
    stop is not confirmed."""
    unconfirmed = run.state is RunState.NEEDS_ATTENTION and run.ends_as is not None
    return unconfirmed or any(call.state is CallState.UNKNOWN for call in calls)


def resume_stage(run: Run, calls: Sequence[Call]) -> Stage:
    """The stage at which a run goes on: where it stopped, or further back when what that needs is missing."""
    if run.stage in {Stage.INITIALIZING, Stage.ZIP_CREATION}:
        return run.stage
    if run.weights_path is None and needs_training(run, calls):
        return Stage.TRAINING if run.zip_path else Stage.ZIP_CREATION
    if run.weights_path is None:
        return Stage.STORING
    return run.stage


def verdict(calls: Sequence[Call]) -> bool | None:
    """Whether the judged pictures pass; None while one of them is not judged."""
    judged = [call.shows for call in calls]
    if len(judged) < PICTURES or None in judged:
        return None
    return sum(bool(shows) for shows in judged) >= SHOWN_AT_LEAST
