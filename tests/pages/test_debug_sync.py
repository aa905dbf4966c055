"""Debug & sync: found by anything that was pasted, a verdict, and the button that helps."""

import uuid
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core import access
from core.access import Actor, Role
from core.deliveries.models import DeliveryState
from core.diagnosis import asking
from tests.conftest import Sandbox
from tests.journeys.world import until
from tests.pages import seeding
from tests.pages.conftest import OpenPage, failures_of, html_of, links_of

Connection = psycopg.Connection[Any]
PAGE = "debug_sync.py"


def told(app: AppTest) -> str:
    """What the page says once KIE and the storage have been asked."""
    until(lambda: "are being asked" not in html_of(app.run()) and "is being read" not in html_of(app), 20)
    assert not failures_of(app)
    return html_of(app)


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_empty_it_says_what_to_do(open_page: OpenPage, connection: Connection) -> None:
    seeding.alive(connection)
    assert "No generation yet" in html_of(open_page(PAGE))


def test_without_a_question_it_lists_the_newest(open_page: OpenPage, connection: Connection) -> None:
    seeding.alive(connection)
    ids = seeding.every_state(connection)
    app = open_page(PAGE)
    said = html_of(app)
    assert "The newest 10" in said
    assert "<img src=x" not in said
    assert f"?q={ids['intent']}" in links_of(app)
    app = open_page(PAGE, q=str(ids["intent"]))
    assert "being-sent" in told(app)


def test_every_state_has_a_verdict(open_page: OpenPage, connection: Connection, sandbox: Sandbox) -> None:
    seeding.alive(connection)
    ids = seeding.every_state(connection)
    rules = {
        "refused": "refused",
        "attention": "answer-lost-for-good",
        "strange": "unknown-status",
        "delivered": "file-gone",
        "lost": "result-expired",
        "failed": "unknown-at-kie",
    }
    for name, rule in rules.items():
        app = open_page(PAGE, q=str(ids[name]))
        said = told(app)
        assert f">{rule}</code>" in said, (name, said)
        assert "onerror" not in said.replace("onerror=&quot;", "")


def test_two_rows_of_one_task_are_a_list_with_a_warning(open_page: OpenPage, connection: Connection) -> None:
    for _ in range(2):
        seeding.insert(connection, seeding.Row(DeliveryState.LOST, "failed", task_id="task_twice"))
    app = open_page(PAGE, q="task_twice")
    assert "2 rows have this task id" in html_of(app)
    first = next(iter(links_of(app))).removeprefix("?q=")
    assert "each is followed and delivered by itself" in told(open_page(PAGE, q=first))


@pytest.mark.parametrize(
    ("pasted", "sentence"),
    [
        ("task_of_nobody", "No task has the id task_of_nobody"),
        ("5b0c0de5-7a53-4d0e-9c5b-1f2d3c4b5a69", "no customer with a generation"),
        ("where is it?", "several words"),
        ("<b>x</b>", "No generation has a file at this address"),
        ("task=1", "no id and no address"),
    ],
)
def test_what_nobody_knows_is_one_sentence(
    open_page: OpenPage, connection: Connection, pasted: str, sentence: str
) -> None:
    app = open_page(PAGE, q=pasted)
    assert not failures_of(app)
    assert sentence in html_of(app)


def test_a_long_paste_is_one_sentence(open_page: OpenPage, connection: Connection) -> None:
    app = open_page(PAGE, q="x" * 10_000)
    assert not failures_of(app)
    assert (
        "characters" in html_of(app)
        or "no id and no address" in html_of(app)
        or app.text_input[0].value == ""
    )


def test_a_customers_other_tasks_are_one_click_away(open_page: OpenPage, connection: Connection) -> None:
    seeding.alive(connection)
    one = seeding.insert(connection, seeding.Row(DeliveryState.FAILED, "failed", task_id=None))
    other = seeding.insert(connection, seeding.Row(DeliveryState.FAILED, "failed", task_id=None))
    customer = uuid.uuid4()
    connection.execute("INSERT INTO auth.users (id) VALUES (%s)", (customer,))
    connection.execute("UPDATE generations SET user_id = %s", (customer,))
    app = open_page(PAGE, q=str(one))
    told(app)
    app.button(key="so-others").click().run()
    assert "The customer&#x27;s latest tasks" in html_of(app)
    assert f"?q={other}" in links_of(app)


def stored(connection: Connection, **row: Any) -> uuid.UUID:
    values = {"state": DeliveryState.AWAITING_PROVIDER, "status": "generating", "task_id": "task_gone", **row}
    return seeding.insert(connection, seeding.Row(age_s=4_000, **values))


def test_the_button_asks_once_and_is_closed_until_the_outcome(
    open_page: OpenPage, connection: Connection, sandbox: Sandbox
) -> None:
    seeding.alive(connection)
    one = stored(connection)
    app = open_page(PAGE, q=str(one))
    assert "unknown-at-kie" in told(app)
    other = open_page(PAGE, q=str(one))
    told(other)
    app.button(key="so-remedy-sync").click().run()
    other.button(key="so-remedy-sync").click().run()
    assert "Local operator has just asked for it" in html_of(other)
    kinds = connection.execute("SELECT kind FROM delivery_events WHERE generation_id = %s", (one,)).fetchall()
    assert kinds == [("sync_requested",)]
    assert "Local operator has just asked for it" in told(app)
    assert app.button(key="so-remedy-sync").disabled
    assert connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (1,)


def test_another_attempt_closes_the_button_with_the_reason(
    open_page: OpenPage, connection: Connection, sandbox: Sandbox
) -> None:
    seeding.alive(connection)
    app = open_page(PAGE, q=str(stored(connection, lease_s=40)))
    assert "Another attempt is working on it now" in told(app)
    assert app.button(key="so-remedy-sync").disabled


def test_without_a_worker_the_page_does_it_itself(
    open_page: OpenPage, connection: Connection, sandbox: Sandbox
) -> None:
    one = stored(connection)
    app = open_page(PAGE, q=str(one))
    assert "so this page does it itself" in told(app)
    app.button(key="so-remedy-sync").click().run()

    def ended() -> Any:
        found = connection.execute("SELECT delivery_state FROM generations WHERE id = %s", (one,)).fetchone()
        return found == ("needs_attention",)

    until(ended)
    assert "needs_attention" not in told(app)
    assert "Since the click" in told(app)


def test_make_it_again_is_paid_once(open_page: OpenPage, connection: Connection, sandbox: Sandbox) -> None:
    seeding.alive(connection)
    one = stored(connection, state=DeliveryState.FAILED, status="failed", task_id=None)
    first, second = (open_page(PAGE, q=str(one)) for _ in range(2))
    for app in (first, second):
        told(app)
        assert app.button(key="so-remedy-make_again").label == "Make it again · \\$0.025"
    first.button(key="so-remedy-make_again").click().run()
    second.button(key="so-remedy-make_again").click().run()
    made = connection.execute(
        "SELECT id FROM generations WHERE request_key = %s", (f"again:{one}",)
    ).fetchall()
    assert len(made) == 1
    assert first.query_params["q"] == second.query_params["q"] == str(made[0][0])
    back = open_page(PAGE, q=str(one))
    told(back)
    assert "It was made again: open that one" in labels(back)


@pytest.mark.parametrize(
    ("role", "sentence"),
    [
        (Role.SUPPORT, "Your role does not start generations"),
        (Role.VIEWER, ""),
    ],
)
def test_a_role_closes_what_it_may_not(
    role: Role,
    sentence: str,
    open_page: OpenPage,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    somebody = Actor("person", "x", "X", frozenset({role}), "page")
    monkeypatch.setattr(access, "local_operator", lambda *_: somebody)
    one = stored(connection, state=DeliveryState.FAILED, status="failed", task_id=None)
    if role is Role.VIEWER:
        with pytest.raises(Exception, match="debug_sync"):
            open_page(PAGE, q=str(one))
        return
    app = open_page(PAGE, q=str(one))
    assert sentence in told(app)
    assert app.button(key="so-remedy-make_again").disabled


def test_a_silent_kie_holds_nothing_up(
    open_page: OpenPage, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeding.alive(connection)
    one = stored(connection)
    monkeypatch.setattr(asking, "_submit", _never)
    app = open_page(PAGE, q=str(one))
    assert "KIE and our storage are being asked." in html_of(app)
    assert "Customer sees" in html_of(app)
    monkeypatch.setattr(asking, "PATIENCE", asking.PATIENCE * 0)
    app.run()
    assert "KIE gave no answer within" in html_of(app)
    assert "kie-unreadable" in html_of(app)


def _never(*_: Any) -> Any:
    return Future()
