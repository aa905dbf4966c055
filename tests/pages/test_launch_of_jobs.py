"""Launch training from an earlier job: its characters, their images, who is skipped, one click for all."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core import access
from core.trainings import tools
from tests.pages import training_seeds
from tests.pages.conftest import OpenPage, failures_of, html_of
from tests.unit.image_host import ImageHost, image_host
from tests.unit.photographs import jpeg

PAGE = "launch_training.py"
JOB = "An earlier job"
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host() as found:
        yield found


@pytest.fixture
def fetching(trainings: None, host: ImageHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The host of the application's references may be fetched from."""
    fetcher = host.fetcher()
    reaching = replace(tools.current(), dataset=replace(tools.current().dataset, fetch=fetcher))
    monkeypatch.setattr(tools, "current", lambda: reaching)
    yield
    fetcher.close()


def job_of(connection: Connection, host: ImageHost, **counts: int) -> UUID:
    """A job of the company's application with so many references of each character."""
    listed = [
        {"character_id": name, "image_url": host.gives(f"/{name}{n}.jpg", jpeg(50 * k + n + 1, 512, 512))}
        for k, (name, count) in enumerate(counts.items())
        for n in range(count)
    ]
    connection.execute("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS reference_images jsonb")
    job_id = uuid.uuid4()
    connection.execute(
        "INSERT INTO jobs (id, reference_images) VALUES (%s, %s)",
        (job_id, json.dumps({"character_references": listed})),
    )
    return job_id


def named(app: AppTest) -> AppTest:
    app.text_input(key="name").set_value("Heist")
    app.text_input(key="trigger").set_value("heist")
    return app.run()


def test_without_a_job_with_characters_it_says_so(open_page: OpenPage, trainings: None) -> None:
    app = open_page(PAGE, source=JOB)
    assert not failures_of(app)
    assert "No recent job has character references" in html_of(app)
    app.text_input(key="job").set_value("no id").run()
    assert "A job&#x27;s id is a UUID" in html_of(app)
    app.text_input(key="job").set_value(str(uuid.uuid4())).run()
    assert "There is no job" in html_of(app)
    assert not app.button


def test_all_characters_are_launched_in_one_click(
    open_page: OpenPage, fetching: None, connection: Connection, host: ImageHost
) -> None:
    job_id = job_of(connection, host, mara=4, tom=5, una=2)
    app = open_page(PAGE, source=JOB)
    assert "mara, tom" in html_of(app)
    assert "1\u00a0character skipped" in html_of(app)
    app.button(key=f"so-use-{job_id}").click().run()
    assert not failures_of(app)
    assert app.query_params["job"] in (str(job_id), [str(job_id)])
    said = html_of(named(app))
    assert "una is skipped: it has 2 images" in said
    assert "Heist · mara" in said
    assert "<code>heist_tom</code>" in said
    assert said.count("Fits</span>") == 9
    assert "2 trainings $4.00" in said
    launch = app.button(key="so-launch")
    assert launch.label == "Launch 2 trainings for \\$4.21"
    launch.click().run()
    assert not failures_of(app)
    rows = connection.execute(
        "SELECT l.name, r.images, l.triggered_by_job_id FROM lora_training_jobs r"
        " JOIN lora_models l ON l.id = r.lora_model_id ORDER BY l.name"
    ).fetchall()
    assert rows == [("Heist · mara", 4, job_id), ("Heist · tom", 5, job_id)]
    said = html_of(app)
    assert said.count("These images have been launched") == 2
    assert "una is skipped" in said
    assert not [button for button in app.button if button.key == "so-launch"]


def test_one_that_is_refused_refuses_all_and_may_be_left_out(
    open_page: OpenPage, fetching: None, connection: Connection, host: ImageHost
) -> None:
    job_id = job_of(connection, host, mara=4, tom=3)
    app = open_page(PAGE, source=JOB, job=str(job_id))
    app.button(key="so-job-fetch").click().run()
    named(app)
    assert "3 images are too few: a training takes 4 to 12" in html_of(app)
    app.button(key="so-launch").click().run()
    assert "Heist · tom: 3 images are too few" in html_of(app)
    assert connection.execute("SELECT count(*) FROM lora_training_jobs").fetchone() == (0,)
    [mara, tom] = app.checkbox
    tom.set_value(False).run()
    assert app.button(key="so-launch").label == "Launch for \\$2.11"
    app.button(key="so-launch").click().run()
    assert connection.execute("SELECT name FROM lora_models").fetchall() == [("Heist · mara",)]
    assert mara.label == "Train mara"


def test_a_refused_name_stands_at_its_field(
    open_page: OpenPage, fetching: None, connection: Connection, host: ImageHost
) -> None:
    job_id = job_of(connection, host, mara=4)
    app = open_page(PAGE, source=JOB)
    app.button(key=f"so-use-{job_id}").click().run()
    app.button(key="so-launch").click().run()
    [error] = [html for html in (str(one.value) for one in app.html) if '<div class="so-field-error' in html]
    assert "A LoRA&#x27;s name has 1 to 255 characters." in error


def test_a_viewer_is_told_why_not(
    open_page: OpenPage, trainings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "local_operator", lambda *_: training_seeds.VIEWER)
    app = open_page(PAGE, source=JOB)
    assert not failures_of(app)
    assert "Your role does not launch trainings" in html_of(app)
