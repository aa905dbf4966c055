"""kill -9 of Postgres itself, with deliveries at every stage: the processes live on, nothing is lost."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core import database
from core.local import postgres
from core.local.postgres import Server
from tests.crash.conftest import standing
from tests.crash.stage import Nursery, Stage, until

PASSWORD = "of-the-tests"
AWAY_S = 1.5
QUICK, SLOW_FILE, SLOW_CREATE = "a lighthouse", "[[fault:latency@file=2*1]]", "[[fault:latency@create=1*1]]"


@pytest.fixture
def server() -> Iterator[tuple[Server, Path]]:
    """A durable Postgres of the test's own, and its folder."""
    with postgres.temporary_folder() as folder:
        started = postgres.start(folder, PASSWORD)
        database.migrate(started.url, local=True)
        yield started, folder


def test_the_database_is_killed_and_comes_back(
    server: tuple[Server, Path], sandbox_process: str, nursery: Nursery, tmp_path: Path
) -> None:
    first, folder = server
    with standing(first.url, sandbox_process, tmp_path, nursery) as stage:
        parts = [stage.fork(*stage.web()), stage.fork("jobs", "worker"), stage.fork("jobs", "clock")]
        stage.web_answers()
        made = [stage.create(prompt, send_later=True) for prompt in 8 * [QUICK] + 6 * [SLOW_FILE]]
        until(lambda: stage.states(made) == {"delivered", "awaiting_delivery"}, what="the first deliveries")
        made += [stage.create(prompt, send_later=True) for prompt in 4 * [SLOW_CREATE] + 4 * [QUICK]]
        until(lambda: "sending" in stage.states(made), what="the request of one more")
        os.kill(first.pid, signal.SIGKILL)
        first.stop()
        time.sleep(AWAY_S)
        second = postgres.start(folder, PASSWORD, port=first.port)
        try:
            assert second.url == first.url
            deliver_the_rest(stage, made)
            assert [part.poll() for part in parts] == [None, None, None]
        finally:
            stage.stop(*parts)
            database.close()
            second.stop()


def deliver_the_rest(stage: Stage, made: list[str]) -> None:
    """What was in hand is free again when its lease has run out."""
    database.close()
    database.connect(stage.environment["DATABASE_URL"])
    stage.time_passes(timedelta(minutes=2))
    until(lambda: stage.states(made) == {"delivered"}, what="the delivery of all")
    for generation in made:
        stage.assert_delivered_once(generation)
