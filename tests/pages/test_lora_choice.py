"""Choosing a LoRA on Test generation: what it is, what it does to the prompt and the price, what it makes."""

import uuid
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pages.components import lora_choice
from tests.pages.conftest import OpenPage, failures_of, html_of

Connection = psycopg.Connection[Any]
PAGE = "test_generation.py"
FLUX, KLING, FLUX_LORA = "flux-2/pro-text-to-image", "kling-2.6/text-to-video", "fal-ai/flux-lora"
PROMPT = f"so-form-{FLUX}-prompt"


@pytest.fixture(autouse=True)
def _tools(trainings: None) -> None:
    """What the choice asks of trainings."""


def lora(connection: Connection, name: str = "Ada", word: str | None = "ada_v1", **columns: Any) -> UUID:
    """A completed LoRA, unless `columns` say otherwise."""
    lora_id = uuid.uuid4()
    values = {
        "id": lora_id,
        "name": name,
        "trigger_word": word,
        "training_status": "completed",
        "storage_path": "a/b.safetensors",
        "storage_url": "/a/b.safetensors",
        "file_size": 60,
        "creator_key": f"staff:{name}",
        "creator_name": name.lower(),
        **columns,
    }
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    connection.execute(f"INSERT INTO lora_models ({names}) VALUES ({places})", [*values.values()])
    return lora_id


def in_training(connection: Connection, name: str = "Bo", **columns: Any) -> UUID:
    """One that is half trained, from two reference images."""
    references = ["https://cdn.example.com/1.jpg", "https://cdn.example.com/2.jpg"]
    lora_id = lora(
        connection,
        name,
        "bo_v1",
        training_status="training",
        storage_path=None,
        storage_url=None,
        file_size=None,
        reference_image_urls=references,
        **columns,
    )
    connection.execute(
        "INSERT INTO lora_training_jobs (lora_model_id, training_progress, estimated_remaining)"
        " VALUES (%s, 40, 720)",
        (lora_id,),
    )
    return lora_id


def made(connection: Connection) -> list[dict[str, Any]]:
    """Every generation, the oldest first."""
    found = connection.execute(
        "SELECT to_jsonb(g) FROM generations g ORDER BY created_at, frame_for NULLS FIRST"
    )
    return [row[0] for row in found.fetchall()]


def mode(app: Any) -> Any:
    """The choice between none, an existing one and a new one."""
    return app.get_by_key(lora_choice.MODE)


def labels(app: Any) -> list[str]:
    return [button.label for button in app.button]


def test_without_a_choice_everything_is_as_it_was(open_page: OpenPage, connection: Connection) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    assert mode(app).value == lora_choice.NONE
    assert app.text_area(key=PROMPT).value == ""
    assert "Generate for \\$0.025" in labels(app)
    assert "so-lora-try" not in [button.key for button in app.button]


def test_an_address_chooses_it_and_its_word_stands_in_the_prompt_once(
    open_page: OpenPage, connection: Connection
) -> None:
    app = open_page(PAGE, lora=str(lora(connection)))
    assert not failures_of(app)
    assert app.text_area(key=PROMPT).value == "ada_v1 "
    assert "trigger word “ada_v1”" in html_of(app)
    app.text_area(key=PROMPT).set_value("a walk at dusk").run()
    assert app.text_area(key=PROMPT).value == "a walk at dusk"
    app.run()
    assert app.text_area(key=PROMPT).value == "a walk at dusk"


def test_another_choice_changes_the_word_and_none_takes_it_out(
    open_page: OpenPage, connection: Connection
) -> None:
    ada, bo = lora(connection), in_training(connection)
    app = open_page(PAGE)
    app.text_area(key=PROMPT).set_value("a walk at dusk").run()
    mode(app).set_value(lora_choice.EXISTING).run()
    app.selectbox(key=lora_choice.PICK).select(ada).run()
    assert app.text_area(key=PROMPT).value == "ada_v1, a walk at dusk"
    assert app.query_params["lora"] == str(ada)
    app.selectbox(key=lora_choice.PICK).select(bo).run()
    assert app.text_area(key=PROMPT).value == "bo_v1, a walk at dusk"
    mode(app).set_value(lora_choice.NONE).run()
    assert app.text_area(key=PROMPT).value == "a walk at dusk"
    assert "lora" not in app.query_params


def test_a_prompt_that_has_the_word_gets_no_second_one(open_page: OpenPage, connection: Connection) -> None:
    ada = lora(connection)
    app = open_page(PAGE)
    app.text_area(key=PROMPT).set_value("photo of ADA_V1 at sea").run()
    mode(app).set_value(lora_choice.EXISTING).run()
    app.selectbox(key=lora_choice.PICK).select(ada).run()
    assert app.text_area(key=PROMPT).value == "photo of ADA_V1 at sea"


def test_a_sample_prompt_is_put_in_by_a_click(open_page: OpenPage, connection: Connection) -> None:
    app = open_page(PAGE, lora=str(lora(connection)))
    next(button for button in app.button if button.label == "In profile").click().run()
    assert str(app.text_area(key=PROMPT).value).startswith("photo of ada_v1 in profile")


def test_the_price_of_both_parts_stands_at_the_button(open_page: OpenPage, connection: Connection) -> None:
    app = open_page(PAGE, lora=str(lora(connection)))
    app.selectbox(key="so-form-model").select(KLING).run()
    assert "Generate for \\$0.31" in labels(app)
    assert "First frame with the LoRA $0.035 + Kling 2.6, from an image $0.275" in html_of(app)
    app.selectbox(key="so-form-model").select(FLUX_LORA).run()
    assert "Generate for \\$0.035" in labels(app)
    assert "takes the LoRA itself" in html_of(app)


def test_a_click_makes_the_frame_the_generation_and_one_use(
    open_page: OpenPage, connection: Connection
) -> None:
    ada = lora(connection)
    app = open_page(PAGE, lora=str(ada))
    app.selectbox(key="so-form-model").select(KLING).run()
    app.text_area(key=f"so-form-{KLING}-prompt").set_value("ada_v1 at sea").run()
    app.button(key="so-form-submit").click().run()
    assert not failures_of(app)
    film, frame = made(connection)
    assert (film["model"], frame["model"]) == ("kling-2.6/image-to-video", FLUX_LORA)
    assert (film["frame_id"], frame["frame_for"]) == (frame["id"], film["id"])
    assert app.query_params["generation"] == film["id"]
    assert "Its first frame is being made" in html_of(app)
    assert f'href="lora_library?lora={ada}"' in html_of(app)
    uses = connection.execute("SELECT generation_id::text, way FROM lora_uses").fetchall()
    assert uses == [(film["id"], "first_frame")]


def test_the_first_frame_of_a_picture_model_is_not_asked_for(
    open_page: OpenPage, connection: Connection
) -> None:
    app = open_page(PAGE, lora=str(lora(connection)))
    app.selectbox(key="so-form-model").select("kling-2.6/image-to-video").run()
    assert "so-form-kling-2.6/image-to-video-image_urls" not in [area.key for area in app.text_area]
    app.text_area(key="so-form-kling-2.6/image-to-video-prompt").set_value("ada_v1 at sea").run()
    app.button(key="so-form-submit").click().run()
    assert [row["model"] for row in made(connection)] == ["kling-2.6/image-to-video", FLUX_LORA]


def test_one_in_training_shows_how_far_it_is_and_what_is_used_meanwhile(
    open_page: OpenPage, connection: Connection
) -> None:
    bo = in_training(connection)
    app = open_page(PAGE, lora=str(bo))
    assert not failures_of(app)
    assert "LoRA training in progress" in html_of(app)
    assert "You can regenerate with the LoRA once training completes" in html_of(app)
    assert "from the reference images of “Bo”" in html_of(app)
    assert any("40 % · about 12\u00a0min left" in part.proto.text for part in app.get("progress"))
    assert "Generate for \\$0.025" in labels(app)
    app.selectbox(key="so-form-model").select(FLUX_LORA).run()
    assert app.button(key="so-form-submit").disabled
    assert "needs its finished weights" in html_of(app)


@pytest.mark.parametrize("owner", ["staff:local", "staff:somebody-else"])
def test_one_that_waits_for_its_verdict_is_its_creators_already(
    open_page: OpenPage, connection: Connection, owner: str
) -> None:
    ada = lora(connection, training_status="validating", creator_key=owner)
    app = open_page(PAGE, lora=str(ada))
    assert not failures_of(app)
    app.selectbox(key="so-form-model").select(FLUX_LORA).run()
    own = owner == "staff:local"
    assert ("It is yours, so you can use it already" in html_of(app)) is own
    assert app.button(key="so-form-submit").disabled is not own
    assert ("needs its finished weights" in html_of(app)) is not own


def test_what_was_made_from_references_is_offered_with_the_lora_once_it_is_completed(
    open_page: OpenPage, connection: Connection
) -> None:
    bo = in_training(connection)
    app = open_page(PAGE, lora=str(bo))
    app.text_area(key=PROMPT).set_value("bo_v1 at sea").run()
    app.button(key="so-form-submit").click().run()
    [first] = made(connection)
    assert first["lora_way"] == "references"
    assert "lent its reference images" in html_of(app)
    connection.execute(
        "UPDATE generations SET delivery_state = 'delivered', status = 'success', asset_url = '/files/x.jpg'"
    )
    connection.execute(
        "UPDATE lora_models SET training_status = 'completed', storage_path = 'b/c', storage_url = '/b/c',"
        " file_size = 5 WHERE id = %s",
        (bo,),
    )
    app = open_page(PAGE)
    assert "Can be made with their LoRA now" in html_of(app)
    app.button(key=f"so-lora-offer-{first['id']}").click().run()
    assert "It can be made with the LoRA now" in html_of(app)
    app.button(key="so-with-lora").click().run()
    assert not failures_of(app)
    rows = made(connection)
    assert [row["lora_way"] for row in rows] == ["references", "first_frame", "direct"]
    assert app.query_params["generation"] == rows[1]["id"]


def test_a_lora_that_is_not_there_or_hidden_is_said(open_page: OpenPage, connection: Connection) -> None:
    app = open_page(PAGE, lora=str(uuid.uuid4()))
    assert not failures_of(app)
    assert "There is no LoRA" in html_of(app)
    hidden = lora(connection, "Eve", hidden_at="2026-01-01")
    app = open_page(PAGE, lora=str(hidden))
    assert not failures_of(app)
    assert "This does not go together" in html_of(app)
    assert app.button(key="so-form-submit").disabled


def test_the_list_finds_by_words_and_leaves_failed_ones_out(
    open_page: OpenPage, connection: Connection
) -> None:
    ada = lora(connection, "Ada", "ada_v1")
    lora(connection, "Cy", "cy_v1")
    lora(connection, "Dot", "dot_v1", training_status="failed")
    app = open_page(PAGE)
    mode(app).set_value(lora_choice.EXISTING).run()
    options = app.selectbox(key=lora_choice.PICK).options
    assert sorted(options) == ["Ada (by ada)", "Cy (by cy)"]
    app.text_input(key=lora_choice.FIND).set_value("ada").run()
    assert app.selectbox(key=lora_choice.PICK).options == ["Ada (by ada)"]
    app.selectbox(key=lora_choice.PICK).select(ada).run()
    assert "trigger word “ada_v1”" in html_of(app)
    mode(app).set_value(lora_choice.EXISTING)
    app.text_input(key=lora_choice.FIND).set_value("nobody").run()
    assert app.selectbox(key=lora_choice.PICK).options == ["Ada (by ada)"]


def test_an_empty_library_says_so(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    mode(app).set_value(lora_choice.EXISTING).run()
    assert not failures_of(app)
    assert "The library has no LoRA yet" in html_of(app)


def test_training_a_new_one_says_how_long_who_pays_and_how_many(
    open_page: OpenPage, connection: Connection
) -> None:
    lora(connection, "Ada")
    lora(connection, "Mine", creator_key="staff:local")
    app = open_page(PAGE)
    mode(app).set_value(lora_choice.NEW).run()
    said = html_of(app)
    assert "30 to 60 minutes" in said
    assert "paid from the budget of trainings" in said
    assert "5 a month" in said
    assert "of 5 this month." in said
    app.text_input(key=lora_choice.NAME).set_value("ada").run()
    assert "The name is used by others" in html_of(app)
    app.text_input(key=lora_choice.NAME).set_value("Mine").run()
    assert "You have a LoRA named “Mine” already" in html_of(app)
    app.text_input(key=lora_choice.NAME).set_value("Nobody's").run()
    assert "used by others" not in html_of(app)
    assert not failures_of(app)


def test_trying_it_makes_the_same_picture_with_and_without(
    open_page: OpenPage, connection: Connection
) -> None:
    ada = lora(connection)
    app = open_page(PAGE, **{"lora": str(ada), "try": "1"})
    assert app.selectbox(key="so-form-model").value == FLUX_LORA
    key = f"so-form-{FLUX_LORA}-prompt"
    assert str(app.text_area(key=key).value).startswith("portrait photo of ada_v1, looking")
    app.text_area(key=key).set_value("ada_v1 in a forest").run()
    assert "Try it: with and without, \\$0.07" in labels(app)
    app.button(key="so-lora-try").click().run()
    assert not failures_of(app)
    rows = {row["lora_model_id"]: row for row in made(connection)}
    with_it, without = rows[str(ada)], rows[None]
    assert with_it["input"] == without["input"]
    assert with_it["input"]["prompt"] == "ada_v1 in a forest"
    assert isinstance(with_it["input"]["seed"], int)
    assert app.query_params["generation"] == with_it["id"]
    assert app.query_params["beside"] == without["id"]
    said = html_of(app)
    assert "With the LoRA" in said
    assert "Without" in said
    assert f"seed {with_it['input']['seed']} for both" in said
    assert "cannot be measured here" in said
    assert connection.execute("SELECT count(*) FROM lora_uses").fetchone() == (1,)


def test_a_trial_that_is_gone_and_one_that_failed(open_page: OpenPage, connection: Connection) -> None:
    app = open_page(PAGE, generation=str(uuid.uuid4()), beside=str(uuid.uuid4()))
    assert not failures_of(app)
    assert "There is no generation" in html_of(app)
    ids = [uuid.uuid4(), uuid.uuid4()]
    for one in ids:
        connection.execute(
            "INSERT INTO generations (id, provider, kind, model, prompt, input, status, delivery_state,"
            " failure_message) VALUES (%s, 'fal', 'image', %s, 'x', '{\"seed\": 5}', 'failed',"
            " 'failed', 'no')",
            (one, FLUX_LORA),
        )
    app = open_page(PAGE, generation=str(ids[0]), beside=str(ids[1]))
    assert html_of(app).count("It was not made") == 2
    app.button(key="so-trial-close").click().run()
    assert "generation" not in app.query_params


def test_the_library_leads_to_using_and_trying_it(open_page: OpenPage, connection: Connection) -> None:
    ada = lora(connection)
    app = open_page("lora_library.py", lora=str(ada))
    assert not failures_of(app)
    assert {"Use it", "Try it"} <= {link.proto.label for link in app.get("page_link")}
