"""A run: how far it is, why it stopped, the button that helps, the verdict, and two side by side."""

from typing import Any

import psycopg
import pytest

from core import access
from core.errors import ErrorCategory
from core.trainings.models import RunState, Stage
from pages.components import training_words
from tests.pages import training_seeds
from tests.pages.conftest import OpenPage, failures_of, html_of

PAGE = "training_runs.py"
Connection = psycopg.Connection[Any]


def state_of(connection: Connection, run_id: Any) -> str:
    [(state,)] = connection.execute(
        "SELECT state FROM lora_training_jobs WHERE id = %s", (run_id,)
    ).fetchall()
    return str(state)


@pytest.mark.parametrize("name", ["nonsense", "6da1d8c7-820e-413d-9b0d-6853ba4bc7d0"])
def test_an_address_without_a_run_leads_back(open_page: OpenPage, trainings: None, name: str) -> None:
    app = open_page(PAGE, run=name)
    assert not failures_of(app)
    assert "The address names no run" in html_of(app) or "There is no training" in html_of(app)
    app.button(key="so-runs-back").click().run()
    assert "Nothing has been trained yet" in html_of(app)


def test_while_it_trains(open_page: OpenPage, trainings: None, connection: Connection) -> None:
    run = training_seeds.launched(description="A <i>keeper</i>")
    columns = {"training_progress": 72, "estimated_remaining": 95, "queue_position": 2}
    training_seeds.stands(connection, run, RunState.RUNNING, Stage.TRAINING, **columns)
    app = open_page(PAGE, run=str(run.id))
    assert not failures_of(app)
    said = html_of(app)
    assert "Queued at fal, 2 ahead of it" in said
    assert 'aria-valuenow="72"' in said
    assert "about 2\u00a0min left" in said
    assert "launched by Local operator: 1,000 steps at fal" in said
    assert "No test image yet" in said
    assert "$2.11 reserved" in said
    assert "4\u00a0images" in said
    assert "<i>keeper" not in said
    assert "40\u00a0% · 4" in said
    assert not [button for button in app.button if button.key == "so-resume"]


def test_a_failure_says_why_and_goes_on_where_it_stopped(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    run = training_seeds.launched()
    columns = {
        "error_message": "The ZIP could not be stored: the disk is full.",
        "failure_category": "file_error",
        "failure_words": "ENOSPC <b>",
        "next_action": "Mend the storage, then start it again; nothing was paid.",
    }
    training_seeds.stands(connection, run, RunState.FAILED, Stage.ZIP_CREATION, **columns)
    app = open_page(PAGE, run=str(run.id))
    said = html_of(app)
    assert "The ZIP could not be stored: the disk is full." in said
    assert "Mend the storage" in said
    assert "A file could not be had or kept." in said
    assert "ENOSPC &lt;b&gt;" in said
    button = app.button(key="so-resume")
    assert button.label == "Retry from: ZIP"
    button.click().run()
    assert not failures_of(app)
    assert state_of(connection, run.id) == "running"


def test_cancelling_wants_a_reason(open_page: OpenPage, trainings: None, connection: Connection) -> None:
    run = training_seeds.launched()
    app = open_page(PAGE, run=str(run.id))
    app.button(key="so-cancel").click().run()
    assert "Say why; it stands in the audit log." in html_of(app)
    # At its field, which the popover holds, not behind it.
    assert not failures_of(app)
    assert state_of(connection, run.id) == "running"
    app.text_input(key="so-steer-reason").set_value("wrong person").run()
    app.button(key="so-cancel").click().run()
    assert not failures_of(app)
    assert state_of(connection, run.id) == "ending"
    assert "Being stopped" in html_of(app)


def test_each_picture_is_judged_beside_the_references(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    run = training_seeds.launched()
    training_seeds.stands(connection, run, RunState.AWAITING_VERDICT, Stage.VALIDATION)
    training_seeds.pictures(connection, run)
    app = open_page(PAGE, run=str(run.id))
    assert not failures_of(app)
    said = html_of(app)
    assert said.count("Not judged yet") == 3
    assert said.count("data:image/jpeg;base64,") == 4
    assert "waits for you" in said
    app.button(key="so-judge-0-no").click().run()
    assert "Does not</span>" in html_of(app)
    app.button(key="so-judge-all-yes").click().run()
    assert not failures_of(app)
    assert state_of(connection, run.id) == "running"
    words = connection.execute(
        "SELECT shows FROM training_calls WHERE run_id = %s AND purpose = 'picture' ORDER BY n", (run.id,)
    ).fetchall()
    assert [word for (word,) in words] == [False, True, True]


def test_a_lost_answer_needs_a_persons_word(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    run = training_seeds.launched()
    columns = {"error_message": "fal's answer was lost.", "next_action": "Look at fal's own list."}
    training_seeds.stands(connection, run, RunState.NEEDS_ATTENTION, Stage.TRAINING, **columns)
    training_seeds.lost(connection, run)
    app = open_page(PAGE, run=str(run.id))
    assert app.button(key="so-resume").disabled
    assert not app.button(key="so-look-again").disabled
    app.checkbox(key="so-steer-nothing-runs-resume").check().run()
    app.button(key="so-resume").click().run()
    assert not failures_of(app)
    assert state_of(connection, run.id) == "running"


@pytest.mark.parametrize(
    ("columns", "said", "offered"),
    [
        ({"card_samples": 2}, "2\u00a0test images on its card", False),
        ({"card_due_at": "2026-11-26 UTC"}, "Its test images are being added to the card.", False),
        ({"card_error": "The hub is down."}, "not on the card: The hub is down.", True),
        ({}, "No test images on its card", True),
    ],
)
def test_the_card_gets_its_test_images_by_a_button(
    open_page: OpenPage,
    trainings: None,
    connection: Connection,
    columns: dict[str, Any],
    said: str,
    offered: bool,
) -> None:
    run = training_seeds.launched(publish=True)
    training_seeds.stands(connection, run, RunState.COMPLETED, Stage.COMPLETION, **columns)
    connection.execute(
        "UPDATE lora_models SET huggingface_url = 'https://huggingface.co/studio-ops/ada' WHERE id = %s",
        (run.lora_id,),
    )
    app = open_page(PAGE, run=str(run.id))
    assert said in html_of(app)
    buttons = [button for button in app.button if button.key == "so-card-samples"]
    assert bool(buttons) is offered
    if offered:
        buttons[0].click().run()
        assert not failures_of(app)
        assert "Its test images are being added to the card." in html_of(app)


def test_a_completed_run_says_what_it_cost_in_all_and_opens_its_lora(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    run = training_seeds.launched()
    training_seeds.stands(connection, run, RunState.COMPLETED, Stage.COMPLETION)
    connection.execute("UPDATE lora_training_jobs SET reservation_key = NULL")
    app = open_page(PAGE, run=str(run.id))
    said = html_of(app)
    assert "in all, quoted $2.11" in said
    assert "so far" not in said
    app.button(key="so-to-lora").click().run()
    assert not failures_of(app)
    assert "The run behind it" in html_of(app)


def test_a_stop_that_nobody_confirms_is_not_retried_and_wants_a_persons_word(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    run = training_seeds.launched()
    why = "fal has not confirmed in 30 minutes that nothing of this run goes on there."
    columns = {"error_message": why, "ends_as": "cancelled", "next_action": "Stop it in fal's own console."}
    training_seeds.stands(connection, run, RunState.NEEDS_ATTENTION, Stage.TRAINING, **columns)
    app = open_page(PAGE, run=str(run.id))
    assert not failures_of(app)
    assert why in html_of(app)
    assert "Stop it in fal" in html_of(app)
    offered = {button.key: button.disabled for button in app.button}
    assert "so-resume" not in offered
    assert (offered["so-look-again"], offered["so-cancel"]) == (False, True)
    app.checkbox(key="so-steer-nothing-runs-cancel").check().run()
    app.text_input(key="so-steer-reason").set_value("it is gone there").run()
    app.button(key="so-cancel").click().run()
    assert not failures_of(app)
    assert state_of(connection, run.id) == "ending"


def test_two_runs_side_by_side_mark_what_differs(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    one, other = training_seeds.launched(), training_seeds.launched(name="Ada again", steps=1500)
    training_seeds.pictures(connection, one, (True, True, False))
    app = open_page(PAGE, run=str(one.id), **{"with": str(other.id)})
    assert not failures_of(app)
    said = html_of(app)
    assert "<b>1,000</b>" in said
    assert "<b>1,500</b>" in said
    assert "2 of 3 judged" in said
    assert "This run has made none." in said


def test_a_clone_opens_the_form_with_the_same(open_page: OpenPage, trainings: None) -> None:
    run = training_seeds.launched(trainer="replicate", steps=1400, rank=32)
    app = open_page(PAGE, run=str(run.id))
    app.button(key="so-clone").click().run()
    assert not failures_of(app)
    assert app.text_input(key="name").value == "Ada of the lighthouse 2"
    assert app.number_input(key="steps").value == 1400
    assert app.number_input(key="rank").value == 32
    assert ">4</b> go into the training" in html_of(app)


def test_a_viewer_sees_and_cannot_act(
    open_page: OpenPage, trainings: None, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training_seeds.launched()
    training_seeds.stands(connection, run, RunState.AWAITING_VERDICT, Stage.VALIDATION)
    training_seeds.pictures(connection, run)
    monkeypatch.setattr(access, "local_operator", lambda *_: training_seeds.VIEWER)
    app = open_page(PAGE, run=str(run.id))
    assert not failures_of(app)
    assert app.button(key="so-judge-0-yes").disabled
    assert app.button(key="so-clone").disabled


def test_every_category_has_its_sentence() -> None:
    assert set(training_words.CATEGORIES) == set(ErrorCategory)
