"""Test generation: form, nonce, history, and a generation in every state."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from core import access
from core.access import Actor, Role
from core.deliveries.models import DeliveryState
from core.providers import catalogue
from core.providers.model_inputs import Model
from pages.components import creating
from pages.components.quick_tests import QUICK_TESTS
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of

PAGE = "test_generation.py"
Connection = psycopg.Connection[Any]


def generations(connection: Connection) -> list[tuple[str, dict[str, Any], str]]:
    """Model, input and request key of every row."""
    return connection.execute(
        "SELECT model, input, request_key FROM generations ORDER BY created_at"
    ).fetchall()


def widget(app: Any, key: str) -> Any:
    """A widget of whatever kind."""
    return app.get_by_key(key)


def labels(app: Any) -> list[str]:
    return [button.label for button in app.button]


def test_an_empty_page_offers_both_tests_with_their_prices(
    open_page: OpenPage, connection: Connection
) -> None:
    seeding.alive(connection)
    app = open_page(PAGE)
    assert not failures_of(app)
    assert labels(app)[:3] == ["Test FLUX.2 Pro", "Test Kling 2.6", "Generate for \\$0.025"]
    said = html_of(app)
    assert "$0.025 · usually 20\u00a0s" in said
    assert "$0.275 · usually 2\u00a0min" in said
    assert "The result appears here" in said
    assert "No test yet" in said


def test_quick_tests_are_good_input() -> None:
    for test in QUICK_TESTS:
        assert catalogue.validate(test.model, test.input) == dict(test.input)


@pytest.mark.parametrize("test", QUICK_TESTS, ids=lambda test: test.key)
def test_a_quick_test_makes_one_generation_and_shows_it(
    test: Any, open_page: OpenPage, connection: Connection
) -> None:
    app = open_page(PAGE)
    app.button(key=f"so-quick-{test.key}").click().run()
    assert not failures_of(app)
    rows = generations(connection)
    assert [(model, made) for model, made, _ in rows] == [(test.model, dict(test.input))]
    made_id = connection.execute("SELECT id FROM generations").fetchone()
    assert made_id is not None
    assert app.query_params["generation"] == str(made_id[0])
    assert "It waits to be sent to KIE." in html_of(app)
    assert "Generating</li>" in html_of(app)


def test_a_double_click_makes_one(
    open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(PAGE)
    app.button(key="so-quick-flux").click().run()
    app.button(key="so-quick-flux").click().run()
    assert len(generations(connection)) == 1
    monkeypatch.setattr(creating, "DOUBLE_CLICK_S", 0.0)
    app.button(key="so-quick-flux").click().run()
    assert len({key for _, _, key in generations(connection)}) == 2


def test_two_tabs_make_two(open_page: OpenPage, connection: Connection) -> None:
    for _ in range(2):
        open_page(PAGE).button(key="so-quick-flux").click().run()
    assert len(generations(connection)) == 2


def test_the_form_sends_what_it_shows(open_page: OpenPage, connection: Connection) -> None:
    app = open_page(PAGE)
    app.text_area(key="so-form-flux-2/pro-text-to-image-prompt").set_value("A blue door in a white wall")
    app.selectbox(key="so-form-flux-2/pro-text-to-image-aspect_ratio").select("16:9")
    widget(app, "so-form-flux-2/pro-text-to-image-resolution").set_value("2K").run()
    assert "Generate for \\$0.035" in labels(app)
    app.button(key="so-form-submit").click().run()
    assert not failures_of(app)
    [(model, made, _)] = generations(connection)
    assert model == "flux-2/pro-text-to-image"
    assert made == {"prompt": "A blue door in a white wall", "aspect_ratio": "16:9", "resolution": "2K"}


@pytest.mark.parametrize("model", catalogue.MODELS, ids=lambda model: model.id)
def test_every_model_has_its_form(model: Model, open_page: OpenPage) -> None:
    app = open_page(PAGE)
    app.selectbox(key="so-form-model").select(model.id).run()
    assert not failures_of(app)
    for field in model.fields:
        assert app.get_by_key(f"so-form-{model.id}-{field.name}") is not None
    defaults = {field.name: field.default for field in model.fields if field.default is not None}
    price = model.usd(defaults, {"flux-lora": Decimal("0.035")})
    assert any(str(price.normalize()).lstrip("0") in label for label in labels(app))


def test_the_price_follows_the_fields(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    app.selectbox(key="so-form-model").select("kling-2.6/text-to-video").run()
    assert "Generate for \\$0.275" in labels(app)
    app.toggle(key="so-form-kling-2.6/text-to-video-sound").set_value(True)
    widget(app, "so-form-kling-2.6/text-to-video-duration").set_value("10").run()
    assert "Generate for \\$1.10" in labels(app)


@pytest.mark.parametrize(
    ("model", "prompt", "urls", "said"),
    [
        ("flux-2/pro-text-to-image", "ab", None, "Prompt must have 3 to 5000 characters; it has 2."),
        ("flux-2/pro-image-to-image", "A fox", "", "Reference images must be a list of 1 to 8 URLs."),
        ("kling-2.6/image-to-video", "A fox", "ftp://x/y", "First frame must be http or https URLs"),
        ("fal-ai/kling-video/v2.1/pro/image-to-video", "A fox", "", "First frame must be one URL."),
    ],
)
def test_a_fault_stands_at_its_field_and_nothing_is_made(
    model: str, prompt: str, urls: str | None, said: str, open_page: OpenPage, connection: Connection
) -> None:
    app = open_page(PAGE)
    app.selectbox(key="so-form-model").select(model).run()
    app.text_area(key=f"so-form-{model}-prompt").set_value(prompt)
    if urls is not None:
        field = catalogue.require(model).picture_field
        assert field is not None
        widget(app, f"so-form-{model}-{field.name}").set_value(urls)
    app.button(key="so-form-submit").click().run()
    assert said in html_of(app)
    assert "Error id" not in html_of(app)
    assert generations(connection) == []
    app.text_area(key=f"so-form-{model}-prompt").set_value("A fox in the snow").run()
    assert app.text_area(key=f"so-form-{model}-prompt").value == "A fox in the snow"


def test_the_prompt_goes_along_to_another_model(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    app.text_area(key="so-form-flux-2/pro-text-to-image-prompt").set_value("A fox").run()
    app.selectbox(key="so-form-model").select("kling-2.6/text-to-video").run()
    assert app.text_area(key="so-form-kling-2.6/text-to-video-prompt").value == "A fox"


def test_a_prompt_that_is_too_long_for_another_model_is_not_cut(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    app.text_area(key="so-form-flux-2/pro-text-to-image-prompt").set_value("a" * 1001).run()
    app.selectbox(key="so-form-model").select("kling-2.6/text-to-video").run()
    assert app.text_area(key="so-form-kling-2.6/text-to-video-prompt").value == ""
    assert "The prompt has 1,001 characters and Kling 2.6 takes 1,000" in html_of(app)
    app.selectbox(key="so-form-model").select("flux-2/pro-text-to-image").run()
    assert app.text_area(key="so-form-flux-2/pro-text-to-image-prompt").value == "a" * 1001
    assert "takes 1,000" not in html_of(app)


def test_the_prompt_counts_up_to_the_models_bound(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    for model in catalogue.MODELS:
        app.selectbox(key="so-form-model").select(model.id).run()
        bound = next(field.maximum for field in model.fields if field.name == "prompt")
        assert app.text_area(key=f"so-form-{model.id}-prompt").max_chars == bound


def test_the_draft_survives_another_page(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    app.selectbox(key="so-form-model").select("kling-2.6/text-to-video").run()
    app.text_area(key="so-form-kling-2.6/text-to-video-prompt").set_value("A paper boat")
    app.toggle(key="so-form-kling-2.6/text-to-video-sound").set_value(True).run()
    app.switch_page("overview.py").run()
    app.switch_page(PAGE).run()
    assert app.selectbox(key="so-form-model").value == "kling-2.6/text-to-video"
    assert app.text_area(key="so-form-kling-2.6/text-to-video-prompt").value == "A paper boat"
    assert app.toggle(key="so-form-kling-2.6/text-to-video-sound").value is True


STATES = [
    ("intent", "It waits to be sent to KIE."),
    ("sending", "It is being sent to KIE."),
    ("queued", "KIE has it in its queue."),
    ("generating", "KIE is making it"),
    ("stuck", "It takes much longer than it should"),
    ("storing", "The last attempt failed; it is tried again by itself"),
    ("delivered", 'download="'),
    ("failed", "KIE refused this input."),
    ("refused", "KIE refused our key."),
    ("lost", "KIE has deleted the result."),
    ("attention", "KIE&#x27;s answer was lost"),
    ("leased", "is not a picture or video"),
    ("legacy", "Open it at tempfile.aiquickdraw.com"),
    ("strange", "which nobody here knows"),
    ("hostile", "Delivered"),
]


@pytest.mark.parametrize(("name", "said"), STATES, ids=[name for name, _ in STATES])
def test_a_generation_in_every_state_opens_by_its_address(
    name: str, said: str, open_page: OpenPage, connection: Connection
) -> None:
    seeding.alive(connection)
    ids = seeding.every_state(connection)
    app = open_page(PAGE, generation=str(ids[name]), show="All")
    assert not failures_of(app)
    assert said in html_of(app)
    for scripted in ("<script", "onerror=", "javascript:"):
        assert scripted not in html_of(app).replace("&lt;img src=x onerror=", "").replace(
            "[link](javascript:", ""
        )
    assert "<img src=x" not in html_of(app)


def test_the_states_of_the_test_are_all_that_are_seeded(connection: Connection) -> None:
    assert set(seeding.every_state(connection)) == {name for name, _ in STATES}


def test_a_prompt_is_never_markdown(open_page: OpenPage, connection: Connection) -> None:
    ids = seeding.every_state(connection)
    app = open_page(PAGE, generation=str(ids["failed"]))
    assert seeding.HOSTILE in [block.value for block in app.code]
    assert not any("**bold**" in str(element.value) for element in [*app.markdown, *app.caption])
    assert not any("**bold**" in label for label in labels(app))


def test_check_again_is_refused_while_an_attempt_works(open_page: OpenPage, connection: Connection) -> None:
    ids = seeding.every_state(connection)
    app = open_page(PAGE, generation=str(ids["leased"]))
    assert app.button(key="so-check").disabled
    assert any("Another attempt is working on it now" in caption.value for caption in app.caption)
    app = open_page(PAGE, generation=str(ids["refused"]))
    assert app.button(key="so-check").disabled
    assert any("has no task at its provider" in caption.value for caption in app.caption)


def test_check_again_asks_once_and_says_so(open_page: OpenPage, connection: Connection) -> None:
    ids = seeding.every_state(connection)
    app = open_page(PAGE, generation=str(ids["lost"]))
    app.button(key="so-check").click().run()
    assert not failures_of(app)
    asked = connection.execute(
        "SELECT count(*) FROM delivery_events WHERE generation_id = %s AND kind = 'sync_requested'",
        (ids["lost"],),
    ).fetchone()
    assert asked == (1,)
    assert any("It is being checked now" in caption.value for caption in app.caption)


def test_again_makes_the_same(open_page: OpenPage, connection: Connection) -> None:
    seeding.insert(connection, row := seeding.Row(DeliveryState.FAILED, "failed", age_s=500))
    app = open_page(PAGE, generation=str(row.id))
    assert app.button(key="so-again").label == "Again · \\$0.025"
    app.button(key="so-again").click().run()
    assert not failures_of(app)
    (_, first, _), (_, second, _) = generations(connection)
    assert first == second
    assert app.query_params["generation"] != str(row.id)


def test_edit_puts_it_into_the_form(open_page: OpenPage, connection: Connection) -> None:
    state = DeliveryState.FAILED
    row = seeding.Row(state, "failed", model=seeding.KLING, kind="video", prompt="A train at night")
    seeding.insert(connection, row)
    app = open_page(PAGE, generation=str(row.id))
    app.button(key="so-edit").click().run()
    assert app.selectbox(key="so-form-model").value == seeding.KLING
    assert app.text_area(key=f"so-form-{seeding.KLING}-prompt").value == "A train at night"
    assert len(generations(connection)) == 1


def test_the_detail_tells_everything(open_page: OpenPage, connection: Connection) -> None:
    ids = seeding.every_state(connection)
    app = open_page(PAGE, generation=str(ids["delivered"]))
    said = html_of(app).replace("\u00a0", " ")
    assert "JPEG picture, 235 KB" in said
    assert "aspect ratio 4:3 · resolution 1K" in said or "resolution 1K · aspect ratio 4:3" in said
    assert "$0.025" in said
    assert "KIE was asked: generating, 40 %, 3 times until" in said
    assert "took 0.2 s · 235 KB" in said
    assert {str(ids["delivered"]), "ab" * 32} <= {block.value for block in app.code}
    assert app.expander(key="so-timeline").label == "Timeline: 11\u00a0steps"


def test_a_viewer_sees_everything_and_starts_nothing(
    open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Actor("person", "v", "A viewer", frozenset({Role.VIEWER}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: viewer)
    ids = seeding.every_state(connection)
    app = open_page(PAGE, generation=str(ids["failed"]))
    assert not failures_of(app)
    assert "KIE refused this input." in html_of(app)
    for key in ("so-quick-flux", "so-quick-kling", "so-form-submit", "so-again", "so-check"):
        assert app.button(key=key).disabled
        assert "role" in app.button(key=key).help or "role" in app.caption[0].value


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ffffffff-0000-0000-0000-000000000000", "There is no generation ffffffff"),
        ("nonsense", "The address names no generation"),
        ("' OR 1=1 --", "The address names no generation"),
        ("x" * 3000, "The address names no generation"),
    ],
)
def test_a_bad_address_is_a_sentence(address: str, said: str, open_page: OpenPage) -> None:
    app = open_page(PAGE, generation=address)
    assert not failures_of(app)
    assert said in html_of(app)


def test_closing_goes_back_to_the_empty_place(open_page: OpenPage, connection: Connection) -> None:
    ids = seeding.every_state(connection)
    app = open_page(PAGE, generation=str(ids["delivered"]))
    app.button(key="so-close").click().run()
    assert "generation" not in app.query_params
    assert "The result appears here" in html_of(app)


def opened_ids(app: Any) -> list[str]:
    return [button.key for button in app.button if str(button.key).startswith("so-open-")]


def test_history_turns_its_pages_and_opens_at_once(open_page: OpenPage, connection: Connection) -> None:
    state = DeliveryState.DELIVERED
    ids = [
        seeding.insert(
            connection, seeding.Row(state, "success", age_s=60 * n, asset_url="/files/generations/a")
        )
        for n in range(1, 20)
    ]
    app = open_page(PAGE)
    seen = [opened_ids(app)]
    for _ in range(2):
        app.button(key="so-older").click().run()
        seen.append(opened_ids(app))
    assert [key for page in seen for key in page] == [f"so-open-{one}" for one in ids]
    assert "so-older" not in {button.key for button in app.button}
    app.button(key="so-newer").click().run()
    assert opened_ids(app) == seen[1]
    app.button(key=seen[1][0]).click().run()
    assert not failures_of(app)
    assert app.query_params["generation"] == str(ids[8])
    assert opened_ids(app) == seen[1]


def test_a_refresh_moves_no_card(open_page: OpenPage, connection: Connection) -> None:
    state = DeliveryState.DELIVERED
    for n in range(1, 4):
        seeding.insert(connection, seeding.Row(state, "success", age_s=60 * n))
    app = open_page(PAGE)
    before = opened_ids(app)
    seeding.insert(connection, seeding.Row(state, "success", age_s=0))
    app.run()
    assert opened_ids(app) == before
    app.button(key="so-newest").click().run()
    assert len(opened_ids(app)) == 4
    assert "so-newest" not in {button.key for button in app.button}


def test_all_includes_those_of_the_company(open_page: OpenPage, connection: Connection) -> None:
    ids = seeding.every_state(connection)
    tests = open_page(PAGE)
    assert f"so-open-{ids['legacy']}" not in opened_ids(tests)
    everything = open_page(PAGE, show="All")
    while "so-older" in {button.key for button in everything.button}:
        if f"so-open-{ids['legacy']}" in opened_ids(everything):
            break
        everything.button(key="so-older").click().run()
    assert f"so-open-{ids['legacy']}" in opened_ids(everything)


def test_a_model_is_said_to_take_as_long_as_it_took(open_page: OpenPage, connection: Connection) -> None:
    for n in range(20):
        seeding.insert(connection, seeding.Row(DeliveryState.DELIVERED, "success", age_s=100 + n))
    connection.execute("UPDATE generations SET provider_ms = 12000")
    assert "$0.025 · usually 12\u00a0s" in html_of(open_page(PAGE))
