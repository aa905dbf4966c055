"""Launch training: the first day, the contact sheet, refusals at their field, once a click, and who may."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from core import access, database
from core.trainings import drafts, drawing, filling_up, tools
from core.trainings.images import Verdict
from pages.components import training_words
from tests.journeys.world import until
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
    assert "$2.11" in said
    assert "5–10\u00a0min, typically" in said
    assert "$197.90 of $200.00 left afterwards" in said
    assert "No images at hand? They can be generated from the description" in said
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
    app = written(open_page(PAGE, draft=str(training_seeds.draft(5))), **fields)
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


def drawn(draft_id: UUID) -> None:
    """Have what was asked for drawn by the sandbox, by words alone: no web process serves the images here."""
    with database.transaction() as connection:
        connection.execute(text("UPDATE training_drawings SET model = 'flux-2/pro-text-to-image'"))
    until(lambda: not _step(draft_id), 40)


def _step(draft_id: UUID) -> int:
    with database.transaction() as connection:
        connection.execute(
            text(
                "UPDATE training_drawings SET next_attempt_at = now() - interval '1 s'"
                " WHERE next_attempt_at IS NOT NULL"
            )
        )
    drawing.advance_due(tools.current())
    return filling_up.of(training_seeds.OPERATOR, draft_id, tools.current()).under_way


def test_three_images_are_filled_up_with_two_that_a_person_approves(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    draft_id = training_seeds.draft(3)
    app = written(open_page(PAGE, draft=str(draft_id)), name="Ada", trigger="ada_v1")
    said = html_of(app)
    assert "3 images of your own are few: 2\u00a0more are generated to fill them up" in said
    assert "2\u00a0generated images $0.05" in said
    assert "$2.16" in said
    ask = app.button(key="so-generate-ask")
    assert ask.label == "Generate 2\u00a0images for \\$0.05"
    ask.click().run()
    assert not failures_of(app)
    said = html_of(app)
    assert said.count("Generating</span>") == 2
    assert "2 images are still being generated" in said
    drawn(draft_id)
    app.run()
    said = html_of(app)
    assert said.count("To approve") == 2
    assert "2 generated images wait for your word" in said
    assert "besides $0.05 for generated images" in said
    app.button(key="so-away-4").click().run()
    app.button(key="so-approve-5").click().run()
    assert not failures_of(app)
    said = html_of(app)
    assert "To approve" not in said
    assert ">4</b> go into the training" in said
    assert app.button(key="so-generate-ask").label == "Generate 1\u00a0image for \\$0.025"
    app.button(key="so-launch").click().run()
    assert connection.execute("SELECT images FROM lora_training_jobs").fetchall() == [(4,)]


def test_ones_own_may_stand_alone_when_a_person_says_so(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    app = written(open_page(PAGE, draft=str(training_seeds.draft(4))), name="Ada", trigger="ada_v1")
    app.button(key="so-launch").click().run()
    assert "4 images of your own are filled up with 1 generated one" in html_of(app)
    app.toggle(key="alone").set_value(True).run()
    assert "filled up with 1 generated one" not in html_of(app)
    assert "generated images $" not in html_of(app)
    app.button(key="so-launch").click().run()
    assert connection.execute("SELECT images FROM lora_training_jobs").fetchall() == [(4,)]


def test_without_images_the_description_is_what_they_are_drawn_by(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    app = open_page(PAGE, draft=str(uuid4()))
    app.button(key="so-generate-ask").click().run()
    [error] = [html for html in (str(one.value) for one in app.html) if '<div class="so-field-error' in html]
    assert "Describe the character in a sentence" in error
    app.text_area(key="about").set_value("A lighthouse keeper of forty with short grey hair").run()
    app.button(key="so-generate-ask").click().run()
    assert not failures_of(app)
    assert html_of(app).count("Generating</span>") == 6
    assert connection.execute("SELECT count(*) FROM training_drawings").fetchone() == (6,)


def test_nothing_more_is_offered_while_images_are_still_to_come(
    open_page: OpenPage, trainings: None, connection: Connection
) -> None:
    draft_id = training_seeds.draft(3)
    filling_up.ask(training_seeds.OPERATOR, draft_id, "", 0, tools.current())
    failed = "UPDATE training_drawings SET state = 'failed', next_attempt_at = NULL"
    connection.execute(f"{failed} WHERE id = (SELECT min(id::text)::uuid FROM training_drawings)".encode())
    app = open_page(PAGE, draft=str(draft_id))
    assert not failures_of(app)
    assert "so-generate-ask" not in {one.key for one in app.button}
    connection.execute(failed.encode())
    app.run()
    assert app.button(key="so-generate-ask").label.startswith("Generate 2")


def test_an_image_in_doubt_is_a_persons(open_page: OpenPage, trainings: None, connection: Connection) -> None:
    draft_id = training_seeds.draft(4)
    filling_up.ask(training_seeds.OPERATOR, draft_id, "", 0, tools.current())
    connection.execute("UPDATE training_drawings SET state = 'unknown', next_attempt_at = NULL")
    connection.execute("UPDATE training_drawings SET submitted_at = now() - interval '40 min'")
    assert "1\u00a0generated image is in doubt" in html_of(open_page("overview.py"))
    app = open_page(PAGE, draft=str(draft_id))
    assert "answer to 1\u00a0image was lost" in html_of(app)
    assert app.button(key="so-generate-give-up").disabled
    app.checkbox(key="so-generate-nothing-there").set_value(True).run()
    app.button(key="so-generate-give-up").click().run()
    assert not failures_of(app)
    assert connection.execute("SELECT state FROM training_drawings").fetchall() == [("not_sent",)]
    assert connection.execute("SELECT reserved_usd FROM budget_totals").fetchall() == [(0,)]
    assert "Not made" in html_of(app)


def test_without_a_key_nothing_is_offered_to_be_generated(
    open_page: OpenPage, trainings: None, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft_id = training_seeds.draft(4)
    bare = replace(tools.current(), kie=None)
    monkeypatch.setattr(tools, "current", lambda: bare)
    app = written(open_page(PAGE, draft=str(draft_id)), name="Ada", trigger="ada_v1")
    assert app.button(key="so-generate-ask").disabled
    assert "KIE_API_KEY is not set" in html_of(app)
    app.button(key="so-launch").click().run()
    assert connection.execute("SELECT images FROM lora_training_jobs").fetchall() == [(4,)]


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


def test_a_pod_is_quoted_as_usual_and_at_most(open_page: OpenPage, trainings: None) -> None:
    app = open_page(PAGE, trainer="RunPod")
    assert not failures_of(app)
    assert "$1.45</span>" in html_of(app)
    assert "usually, at most $7.44: training $7.34, test images $0.11" in html_of(app)
    assert "$192.56 of $200.00 left afterwards" in html_of(app)
    assert app.button(key="so-launch").label == "Launch for at most \\$7.44"


def test_the_images_of_a_run_are_copied_into_a_new_draft(open_page: OpenPage, trainings: None) -> None:
    run, other = training_seeds.launched(), uuid4()
    added = drafts.copy_images(training_seeds.OPERATOR, run.lora_id, other, tools.current().dataset)
    assert len(added.images) == 4


def test_every_verdict_has_its_look() -> None:
    assert set(training_words.VERDICTS) == set(Verdict)
