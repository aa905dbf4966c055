"""Launch training: the first day, the contact sheet, refusals at their field, once a click, and who may."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core import access
from core.trainings import drafts, tools
from core.trainings.images import Verdict
from pages.components import training_words
from tests.pages import training_seeds
from tests.pages.conftest import OpenPage, failures_of, html_of

PAGE = "launch_training.py"
Connection = psycopg.Connection[Any]


def written(app: AppTest, **fields: Any) -> AppTest:
    """The form with these words in it."""
    for name, value in fields.items():
        app.text_input(key=name).set_value(value)
    return app.run()


def test_the_first_day_says_what_makes_good_images(open_page: OpenPage, trainings: None) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert "6 to 10 images" in said
    assert "3 are the least, 12 the most" in said
    assert "$2.105" in said
    assert "5–10\u00a0min, typically" in said
    assert "$197.895 of $200.00 left afterwards" in said
    assert "4 of your 5 LoRAs left afterwards" in said
    assert app.query_params["draft"]


def test_every_image_has_its_verdict_and_can_be_taken_away(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    draft_id = training_seeds.draft(4, None, ("notes.jpg", b"<html>no image</html>"))
    app = open_page(PAGE, draft=str(draft_id))
    said = html_of(app)
    assert said.count("Fits</span>") == 4
    assert "Left out" in said
    assert "This is a text or a web page" in said
    assert "data:image/jpeg;base64," in said
    assert ">4</b> of 5 go into the training" in said
    app.button(key="so-away-2").click().run()
    assert not failures_of(app)
    assert "3 images are too few: a training takes 4 to 12. Add 1 more." in html_of(app)
    app.segmented_control(key="trainer").set_value("replicate").run()
    assert "too few" not in html_of(app)
    assert "30–60\u00a0min, typically" in html_of(app)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"trigger": "ada_v1"}, "A LoRA&#x27;s name has 1 to 255 characters."),
        ({"name": "Ada", "trigger": "woman"}, "stands in ordinary prompts"),
        ({"name": "Ada", "trigger": "two words"}, "A trigger word is one word"),
    ],
)
def test_a_refusal_stands_at_its_field_and_nothing_begins(
    open_page: OpenPage, trainings: None, connection: Connection, fields: dict[str, str], sentence: str
) -> None:
    app = written(open_page(PAGE, draft=str(training_seeds.draft(4))), **fields)
    app.button(key="so-launch").click().run()
    [error] = [html for html in (str(one.value) for one in app.html) if '<div class="so-field-error' in html]
    assert sentence in error
    assert connection.execute("SELECT count(*) FROM lora_training_jobs").fetchone() == (0,)
    written(app, name="Another")
    assert "so-field-error" not in html_of(app)


def test_it_is_launched_once_however_often_it_is_clicked(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    draft_id = training_seeds.draft(6)
    app = written(open_page(PAGE, draft=str(draft_id)), name="Ada", trigger="ada_v1")
    other = written(open_page(PAGE, draft=str(draft_id)), name="Ada", trigger="ada_v1")
    app.button(key="so-launch").click().run()
    assert not failures_of(app)
    other.button(key="so-launch").click().run()
    [(run_id, images)] = connection.execute("SELECT id, images FROM lora_training_jobs").fetchall()
    assert images == 6
    assert app.query_params["run"] == [str(run_id)] or app.query_params["run"] == str(run_id)
    assert "Ada" in html_of(app)


def test_a_launched_draft_leads_to_its_run(open_page: OpenPage, trainings: None) -> None:
    run = training_seeds.launched()
    app = open_page(PAGE, draft=str(run.lora_id))
    assert "These images have been launched" in html_of(app)
    assert not app.file_uploader
    app.button(key="so-draft-new").click().run()
    assert "What makes good training images" in html_of(app)


def test_a_name_of_ones_own_is_refused_at_the_name(open_page: OpenPage, trainings: None) -> None:
    training_seeds.launched(name="Ada")
    app = written(open_page(PAGE, draft=str(training_seeds.draft(5))), name="Ada", trigger="ada_v2")
    app.button(key="so-launch").click().run()
    assert "You have a LoRA named “Ada” already" in html_of(app)


def test_a_used_up_quota_closes_the_button_and_says_why(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    for n in range(5):
        training_seeds.launched(name=f"Ada {n}")
    app = open_page(PAGE, draft=str(training_seeds.draft(4)))
    assert app.button(key="so-launch").disabled
    assert "5 of 5 LoRAs of this month are used" in html_of(app)


def test_a_viewer_sees_and_cannot_launch(
    open_page: OpenPage, trainings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft_id = training_seeds.draft(4)
    monkeypatch.setattr(access, "local_operator", lambda *_: training_seeds.VIEWER)
    app = open_page(PAGE, draft=str(draft_id))
    assert not failures_of(app)
    assert app.button(key="so-launch").disabled
    assert app.button(key="so-away-1").disabled
    assert "Your role does not launch trainings" in html_of(app)


def test_no_trainer_says_what_to_set(
    open_page: OpenPage, trainings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(
        tools.current(), trainers={}, missing={"fal": "FAL_KEY is not set, see .env.example"}, publisher=None
    )
    monkeypatch.setattr(tools, "current", lambda: bare)
    app = open_page(PAGE)
    said = html_of(app)
    assert "No trainer is set up" in said
    assert "FAL_KEY is not set" in said
    assert not app.toggle


def test_the_form_of_an_address_is_filled_within_the_bounds(open_page: OpenPage, trainings: None) -> None:
    app = open_page(PAGE, name="Ada", trigger="ada_v1", trainer="Replicate", steps="1500", rate="0.0002")
    assert not failures_of(app)
    assert app.text_input(key="name").value == "Ada"
    assert app.number_input(key="steps").value == 1500
    assert app.number_input(key="rate").value == pytest.approx(0.0002)


def test_the_images_of_a_run_are_copied_into_a_new_draft(open_page: OpenPage, trainings: None) -> None:
    run, other = training_seeds.launched(), uuid4()
    added = drafts.copy_images(training_seeds.OPERATOR, run.lora_id, other, tools.current().dataset)
    assert len(added.images) == 4


def test_every_verdict_has_its_look() -> None:
    assert set(training_words.VERDICTS) == set(Verdict)
