"""Training runs: the first day, every state with its reason, the filter in the address, and its numbers."""

from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import psycopg
import pytest

from core import database
from core.trainings.downloads import DownloadRates, WayRate
from core.trainings.fetching import Way
from core.trainings.models import Run, RunState, Stage
from pages.components import training_board, training_words
from tests.pages import training_seeds
from tests.pages.conftest import OpenPage, failures_of, follow, html_of, links_of, table_of

PAGE = "training_runs.py"
Connection = psycopg.Connection[Any]


@pytest.fixture
def runs(trainings: None, connection: Connection) -> dict[str, str]:
    """A run in each state; their ids by name."""
    reason = "The training failed at fal: out of <b>memory</b>"
    made: dict[str, tuple[RunState, Stage, dict[str, Any]]] = {
        "running": (RunState.RUNNING, Stage.TRAINING, {"training_progress": 72, "estimated_remaining": 240}),
        "verdict": (RunState.AWAITING_VERDICT, Stage.VALIDATION, {}),
        "doubt": (RunState.NEEDS_ATTENTION, Stage.TRAINING, {"error_message": "fal's answer was lost."}),
        "failed": (RunState.FAILED, Stage.STORING, {"error_message": reason}),
        "completed": (RunState.COMPLETED, Stage.COMPLETION, {"training_progress": 100}),
    }
    found = {}
    for name, (state, stage, columns) in made.items():
        run = training_seeds.launched(name=f"Ada {name}")
        training_seeds.stands(connection, run, state, stage, **columns)
        found[name] = str(run.id)
    return found


def test_how_many_images_came_is_told_against_the_target() -> None:
    fetched_html = training_board.fetched_html
    assert fetched_html(DownloadRates((WayRate(Way.DIRECT, 0, 0),), 0, 0)) == ""
    ways = (WayRate(Way.DIRECT, 196, 4), WayRate(Way.PROXY, 3, 1))
    good = fetched_html(DownloadRates(ways, 199, 1))
    assert "<b>99.5\u00a0%</b> came (direct 98.0\u00a0%, proxy 75.0\u00a0%), target 99.0\u00a0%" in good
    assert "check_circle" in good
    assert "error" in fetched_html(DownloadRates(ways, 190, 10))


def test_the_first_day_says_what_to_do_first(open_page: OpenPage, trainings: None) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    assert "Nothing has been trained yet" in html_of(app)


def test_what_runs_what_broke_and_what_it_costs(open_page: OpenPage, runs: dict[str, str]) -> None:
    app = open_page(PAGE)
    assert not failures_of(app)
    said = html_of(app)
    assert "no pod runs, $0.00 an hour" in said
    assert "1\u00a0verdict, 1 in doubt" in said
    assert "success 50.0\u00a0%, target 95\u00a0%" in said
    assert "Training at fal" in said
    assert "about 4\u00a0min left" in said
    assert "fal&#x27;s answer was lost." in said
    table = table_of(app)
    assert table["State"] == [
        "✓ Completed",
        "✕ Failed",
        "☞ Needs attention",
        "✎ Waits for your verdict",
        "↻ Running",
    ]
    assert table["LoRA"][0] == "Ada completed (by Local operator)"
    assert table["Why"][1] == "The training failed at fal: out of <b>memory</b>"
    assert "<b>memory" not in said


def test_the_filter_stands_in_the_address(open_page: OpenPage, runs: dict[str, str]) -> None:
    app = open_page(PAGE, state="Failed")
    assert table_of(app)["Run"] == [f"/training_runs?run={runs['failed']}"]
    assert "No such run" in html_of(follow(open_page, app, "Cancelled", PAGE))
    assert table_of(open_page(PAGE, search="doubt"))["State"] == ["☞ Needs attention"]
    assert "No such run" in html_of(open_page(PAGE, provider="RunPod"))


def test_a_bad_filter_breaks_nothing(open_page: OpenPage, runs: dict[str, str]) -> None:
    app = open_page(PAGE, state="nonsense", provider="<b>", search="%_'")
    assert not failures_of(app)
    assert "No such run" in html_of(app)
    assert html_of(app).count("The address asks for something that is not there") == 2
    assert "“&lt;b&gt;”" in html_of(app)
    for chosen in ("All", "All providers"):
        assert f'data-key="{chosen}" aria-current=true' in html_of(app)


def another(connection: Connection, name: str) -> Run:
    """One more than the month's quota has."""
    connection.execute("UPDATE lora_models SET counted_at = now() - interval '40 days'")
    return training_seeds.launched(name=name)


def test_a_number_opens_its_runs(open_page: OpenPage, runs: dict[str, str], connection: Connection) -> None:
    earlier = another(connection, "Ada of an earlier month")
    training_seeds.stands(connection, earlier, RunState.FAILED, Stage.STORING, created_at="2026-01-31")
    app = follow(open_page, open_page(PAGE), "Failed this month ", PAGE)
    assert table_of(app)["Run"] == [f"/training_runs?run={runs['failed']}"]
    assert "since" in app.query_params
    app = follow(open_page, app, "Needs a person ", PAGE)
    assert sorted(table_of(app)["State"]) == ["☞ Needs attention", "✎ Waits for your verdict"]
    assert "since" not in app.query_params


def test_what_was_spent_opens_the_budget(open_page: OpenPage, runs: dict[str, str]) -> None:
    app = follow(open_page, open_page(PAGE), "Spent this month ", PAGE)
    assert not failures_of(app)
    assert "Ledger: " in html_of(app)


def test_what_an_alert_has_counted_stands_in_the_address(
    open_page: OpenPage, runs: dict[str, str], connection: Connection
) -> None:
    connection.execute(
        "UPDATE lora_training_jobs SET heartbeat_at = '2026-11-20', next_attempt_at = '2026-11-20'"
        " WHERE id = %s",
        (runs["running"],),
    )
    another(connection, "Ada in good hands")
    app = open_page(PAGE, counted="silent", until="2026-11-21T00:00:00.000000Z")
    assert not failures_of(app)
    assert table_of(app)["Run"] == [f"/training_runs?run={runs['running']}"]
    chip = app.button(key="runs-chip-counted")
    assert chip.label == "in nobody's hands since before 21 Nov 2026, 01:00:00 CET"
    app.run()
    assert len(table_of(app)["Run"]) == 1
    app.button(key="runs-chip-counted").click().run()
    assert len(table_of(app)["Run"]) == 6
    assert "counted" not in app.query_params


def test_another_state_leaves_what_was_counted(open_page: OpenPage, runs: dict[str, str]) -> None:
    app = open_page(PAGE, counted="unjudged", until="2099-01-01T00:00:00.000000Z")
    assert table_of(app)["Run"] == [f"/training_runs?run={runs['verdict']}"]
    [href] = [href for href, said in links_of(app).items() if said == "Failed"]
    app = open_page(PAGE, **dict(parse_qsl(href[1:])))
    assert table_of(app)["Run"] == [f"/training_runs?run={runs['failed']}"]
    assert "counted" not in app.query_params


def test_a_wrong_value_of_what_was_counted_says_so(open_page: OpenPage, runs: dict[str, str]) -> None:
    app = open_page(PAGE, counted="<b>", since="yesterday")
    assert not failures_of(app)
    said = html_of(app)
    assert "“counted” cannot be “&lt;b&gt;”; it may be silent, unjudged, failed," in said
    assert "“since” is no exact time: “yesterday”. It is left out." in said
    assert len(table_of(app)["Run"]) == 5


def test_what_is_ticked_stands_in_the_address_and_two_are_compared(
    open_page: OpenPage, runs: dict[str, str], connection: Connection
) -> None:
    one, other = runs["completed"], runs["failed"]
    app = open_page(PAGE, picked=one)
    assert "1\u00a0row selected" in html_of(app)
    assert f'href="?picked={one},{other}"' in html_of(app)
    another(connection, "Ada who came later")
    app = open_page(PAGE, picked=f"{one},{other},{uuid4()},<b>", search="Ada")
    assert not failures_of(app)
    assert "2\u00a0rows selected" in html_of(app)
    assert f"training_runs?run={one}&with={other}" in links_of(app)
    assert f'href="?search=Ada&amp;picked={other}' in html_of(app)
    still = len(table_of(app)["Run"])
    another(connection, "Ada who came last")
    app.run()
    assert len(table_of(app)["Run"]) == still
    app.button(key=next(str(one.key) for one in app.button if one.label == "Select nothing")).click().run()
    assert "picked" not in app.query_params
    assert "Ada who came last (by Local operator)" in table_of(app)["LoRA"]


def test_a_state_that_is_chosen_stands_right_below_the_numbers(
    open_page: OpenPage, runs: dict[str, str]
) -> None:
    said = html_of(open_page(PAGE))
    assert said.index("Training at fal") < said.index("All runs")
    said = html_of(open_page(PAGE, state="Failed"))
    assert said.index("All runs") < said.index("Training at fal")


def test_a_line_opens_its_run(open_page: OpenPage, runs: dict[str, str]) -> None:
    app = open_page(PAGE)
    app = follow(open_page, app, "Ada verdict ", PAGE)
    assert not failures_of(app)
    assert "Its test images wait for your verdict" in html_of(app)


def test_a_silent_worker_is_said_so(
    open_page: OpenPage, runs: dict[str, str], connection: Connection
) -> None:
    connection.execute(
        "UPDATE lora_training_jobs SET heartbeat_at = now() - interval '10 min', created_at = now() -"
        " interval '20 min', next_attempt_at = now() - interval '10 min' WHERE id = %s",
        (runs["running"],),
    )
    assert "Crashed" in html_of(open_page(PAGE))


def test_a_database_that_is_away_is_said_so(open_page: OpenPage, trainings: None) -> None:
    app = open_page(PAGE)
    database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    app.run()
    assert "The database does not answer" in html_of(app)
    assert not app.exception


def test_every_state_and_stage_has_its_words() -> None:
    assert set(training_words.LOOKS) == set(RunState)
    assert set(training_words.DOING) == set(Stage)
    assert len({stage.label for stage in Stage}) == len(Stage)
    filtered = [state for states in training_board.STATES.values() if states for state in states]
    assert sorted(filtered) == sorted(RunState)
