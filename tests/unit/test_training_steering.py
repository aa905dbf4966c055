"""What a person may do with a run: a row for each reason."""

from typing import Any

import pytest

from core.errors import Conflict
from core.trainings import steering
from core.trainings.models import Call, CallState, RunState, Stage
from tests.unit.training_runs import call, picture, run

URL = "https://v3.fal.media/files/lora.safetensors"
C = CallState
DONE = call(state=C.SUCCEEDED, result_url=URL)


@pytest.mark.parametrize(
    ("reason", "row", "calls", "stage"),
    [
        ("the pictures are zipped again", {"stage": Stage.ZIP_CREATION}, [], Stage.ZIP_CREATION),
        ("it is trained again", {}, [call(state=C.FAILED)], Stage.TRAINING),
        ("the ZIP is gone", {"zip_path": None}, [call(state=C.FAILED)], Stage.ZIP_CREATION),
        ("the weights are fetched again", {"stage": Stage.STORING}, [DONE], Stage.STORING),
        ("it was stopped while it finished", {}, [DONE], Stage.STORING),
        (
            "a failed upload never trains again",
            {"stage": Stage.HUGGINGFACE_UPLOAD, "weights_path": "a", "zip_path": None},
            [DONE],
            Stage.HUGGINGFACE_UPLOAD,
        ),
        (
            "nor does a failed validation",
            {"stage": Stage.VALIDATION, "weights_path": "a", "zip_path": None},
            [DONE],
            Stage.VALIDATION,
        ),
        (
            "the provider lost the weights",
            {"stage": Stage.STORING},
            [call(state=C.SUCCEEDED)],
            Stage.TRAINING,
        ),
    ],
)
def test_where_a_run_goes_on(reason: str, row: dict[str, Any], calls: list[Call], stage: Stage) -> None:
    failed = run(**{"state": RunState.FAILED, **row})
    assert steering.resume_stage(failed, calls) is stage, reason


@pytest.mark.parametrize(
    ("state", "calls", "may"),
    [
        (RunState.FAILED, [], True),
        (RunState.FAILED, [call(state=C.ACCEPTED)], False),
        (RunState.NEEDS_ATTENTION, [call(state=C.UNKNOWN)], True),
        (RunState.RUNNING, [], False),
        (RunState.CANCELLED, [], False),
        (RunState.COMPLETED, [], False),
        (RunState.AWAITING_VERDICT, [], False),
    ],
)
def test_which_runs_go_on(state: RunState, calls: list[Call], may: bool) -> None:
    assert (steering.why_not_resume(run(state=state), calls) is None) is may


def test_a_run_whose_stop_is_not_confirmed_is_in_doubt_and_does_not_go_on() -> None:
    stopping = run(state=RunState.NEEDS_ATTENTION, ends_as=RunState.CANCELLED)
    assert "being stopped" in str(steering.why_not_resume(stopping, [call()]))
    assert steering.in_doubt(stopping, [call()])
    assert not steering.in_doubt(run(state=RunState.NEEDS_ATTENTION), [call()])
    assert steering.in_doubt(run(state=RunState.NEEDS_ATTENTION), [call(state=C.UNKNOWN)])


@pytest.mark.parametrize("state", list(RunState))
def test_which_runs_can_be_cancelled(state: RunState) -> None:
    may = {RunState.RUNNING, RunState.AWAITING_VERDICT, RunState.NEEDS_ATTENTION}
    if state in may:
        steering.check_can_cancel(run(state=state))
        return
    with pytest.raises(Conflict):
        steering.check_can_cancel(run(state=state))


@pytest.mark.parametrize(
    ("shows", "passes"),
    [
        ((True, True, True), True),
        ((True, False, True), True),
        ((True, False, False), False),
        ((False, False, False), False),
        ((True, True, None), None),
        ((True, True), None),
    ],
)
def test_two_of_three_pictures_have_to_show_the_character(
    shows: tuple[bool | None, ...], passes: bool | None
) -> None:
    assert steering.verdict([picture(n, shows=one) for n, one in enumerate(shows)]) is passes
