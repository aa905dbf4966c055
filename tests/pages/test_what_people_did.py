"""What people did to a thing stands on its own page, also for those who may not read the audit log."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core import access, audit, database
from core.access import Action, Actor, Role
from core.deliveries.models import DeliveryState
from tests.conftest import Sandbox
from tests.journeys.world import until
from tests.pages import lora_seeds, seeding, training_seeds
from tests.pages.conftest import OpenPage, failures_of, html_of

Connection = psycopg.Connection[Any]
ADA = Actor("person", "ada@x.example", "Ada <i>", frozenset({Role.ADMIN}), "page", address="10.0.0.7")
OTHERS = {
    "a support agent": Actor("person", "sue", "Sue", frozenset({Role.SUPPORT}), "page"),
    "a viewer": Actor("person", "vi", "Vi", frozenset({Role.VIEWER}), "page"),
}


def act(actor: Actor, action: str, object_type: str, object_id: UUID, **facts: Any) -> None:
    with database.transaction() as connection:
        audit.record(connection, actor, action, object_type, str(object_id), **facts)


def part_of(app: AppTest) -> tuple[str, str]:
    """The part's headline, and its lines as HTML."""
    [part] = [one for one in app.expander if one.label.startswith("What people did")]
    return part.label, "\n".join(str(element.value) for element in part.html)


def sits(monkeypatch: pytest.MonkeyPatch, who: str) -> Actor:
    """Somebody who may not read the audit log sits in front of the page."""
    actor = OTHERS[who]
    assert not actor.may(Action.READ_AUDIT)
    monkeypatch.setattr(access, "local_operator", lambda *_: actor)
    return actor


def generation(connection: Connection) -> UUID:
    return seeding.insert(connection, seeding.Row(DeliveryState.FAILED, "failed", task_id=None))


@pytest.fixture(autouse=True)
def alive(connection: Connection, local_settings: dict[str, str]) -> None:
    seeding.alive(connection)


def evidence_of(open_page: OpenPage, generation_id: UUID) -> AppTest:
    app = open_page("debug_sync.py", q=str(generation_id))
    until(lambda: "are being asked" not in html_of(app.run()) and "is being read" not in html_of(app), 20)
    assert not failures_of(app)
    return app


@pytest.mark.parametrize("who", [None, "a support agent"])
def test_on_the_evidence_of_a_task(
    open_page: OpenPage,
    connection: Connection,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    who: str | None,
) -> None:
    task, other = generation(connection), generation(connection)
    act(ADA, "generation.sync", "generation", task, reason="A customer <b>asks</b>")
    act(access.api_key("app"), "generation.create", "generation", task, after={"model": "veo"})
    act(ADA, "generation.fetch_again", "generation", other)
    if who:
        sits(monkeypatch, who)
    label, said = part_of(evidence_of(open_page, task))
    assert label == "What people did (2)"
    assert '<b title="ada@x.example">Ada &lt;i&gt;</b> brought a generation up to date' in said
    assert said.index("started a generation") < said.index("brought a generation up to date")
    assert "“A customer &lt;b&gt;asks&lt;/b&gt;”" in said
    assert "on a page" in said
    assert ("from 10.0.0.7" in said) is (who is None)
    assert "by the API" in said
    assert "had a file fetched again" not in said


def test_a_task_that_nobody_touched_has_no_such_part(
    open_page: OpenPage, connection: Connection, sandbox: Sandbox
) -> None:
    app = evidence_of(open_page, generation(connection))
    assert not [one for one in app.expander if one.label.startswith("What people did")]


@pytest.mark.parametrize("who", [None, *OTHERS])
def test_on_a_training_run_with_what_was_done_to_its_lora(
    open_page: OpenPage,
    trainings: None,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    who: str | None,
) -> None:
    run, other = training_seeds.launched(), training_seeds.launched(name="Another")
    act(ADA, "training.cancel", "training", run.id, before={"state": "running"}, after={"state": "ending"})
    act(ADA, "lora.hide", "lora_model", run.lora_id, reason="It shows a real person")
    act(ADA, "training.judge", "training", other.id)
    if who:
        sits(monkeypatch, who)
    app = open_page("training_runs.py", run=str(run.id))
    assert not failures_of(app)
    label, said = part_of(app)
    assert label == "What people did (4)"
    order = ("hid a LoRA", "cancelled a training", "launched a training", "added images")
    assert [said.index(words) for words in order] == sorted(said.index(words) for words in order)
    assert '<span class="so-quiet">state</span> running → ending' in said
    assert "“It shows a real person”" in said
    assert "judged a test image" not in said


@pytest.mark.parametrize("who", [None, *OTHERS])
def test_on_a_lora(
    open_page: OpenPage,
    trainings: None,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    who: str | None,
) -> None:
    lora, other = lora_seeds.lora(connection, "Ada of the sea"), lora_seeds.lora(connection, "Another")
    for n in range(22):
        act(ADA, "lora.tag", "lora_model", lora, before={"tags": ["sea"]}, after={"tags": ["sea", f"n{n}"]})
    act(ADA, "lora.archive", "lora_model", other)
    if who:
        sits(monkeypatch, who)
    app = open_page("lora_library.py", lora=str(lora))
    assert not failures_of(app)
    label, said = part_of(app)
    assert label == "What people did (the newest 20)"
    assert said.count("tagged a LoRA") == 20
    assert "sea → sea, n21" in said
    assert "sea, n1</" not in said
    assert "archived a LoRA" not in said


@pytest.mark.parametrize("who", OTHERS)
def test_whoever_may_not_read_the_log_gets_no_way_to_it(
    open_page: OpenPage,
    trainings: None,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    who: str,
) -> None:
    lora = lora_seeds.lora(connection, "Ada of the sea")
    act(ADA, "lora.tag", "lora_model", lora)
    sits(monkeypatch, who)
    app = open_page("lora_library.py", lora=str(lora))
    assert part_of(app)[0] == "What people did (1)"
    assert "audit_log" not in html_of(app)
    assert not [link for link in app.get("page_link") if "audit" in link.proto.page.lower()]
