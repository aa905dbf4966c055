"""An upgrade and a rollback with work in flight: the release before, this one, and the one before again.

All three work on this version's schema, which is what a rollback of the code alone leaves behind. Each is
killed in the middle of its work; the next one finds deliveries in every state, jobs of workers that are
dead, and jobs that only the other version knows.
"""

import io
import subprocess
import tarfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from core import settings
from core.version import VERSION
from tests.crash.stage import Stage, until

# The commit of the release before this one, 0.1.0.
RELEASE_BEFORE = "6de0646"
EACH = 4


@pytest.fixture(scope="module")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the release before, as git has it."""
    archived = subprocess.run(
        ["git", "archive", "--format=tar", RELEASE_BEFORE],
        cwd=settings.ROOT,
        capture_output=True,
        check=False,
    )
    if archived.returncode:
        pytest.fail(
            f"The release before ({RELEASE_BEFORE}) is not in this folder's git history, so that upgrade and"
            " rollback cannot be tried. Clone the repository with its history, then run this test again."
            f" git says: {archived.stderr.decode()[:200]}"
        )
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@dataclass(frozen=True)
class Releases:
    """What three releases after one another were given, and who worked on it."""

    made: list[str]
    versions: list[str]


def works_and_is_killed(stage: Stage, release: Path, left: list[str]) -> list[str]:
    """A worker and a clock of `release` finish what was left and what waits on the queue, and are killed with
    files in their hands; everything that there is by then."""
    made = left + [stage.create(send_later=True) for _ in range(EACH)]
    parts = [stage.start("jobs", role, of=release) for role in ("worker", "clock")]
    until(lambda: stage.states(made) == {"delivered"}, what="the delivery of what was left")
    stage.sandbox.put("settings", file_latency_seconds=300)
    held = [stage.create() for _ in range(EACH)]
    for generation in held:
        stage.submit(generation)
    in_hand = (
        "SELECT 1 FROM generations WHERE delivery_state = 'awaiting_delivery' AND lease_until > now()"
        " AND id = ANY(%(held)s::uuid[])"
    )
    until(lambda: len(stage.sql(in_hand, held=held)) == EACH, what="the hold of all files")
    stage.stop(*parts)
    stage.sandbox.put("settings", file_latency_seconds=0)
    stage.time_passes(timedelta(minutes=2))
    return made + held


@pytest.fixture(scope="module")
def releases(stage: Stage, release_before: Path) -> Releases:
    """Old, new, and old again, which is left to finish everything."""
    stage.fork(*stage.web())
    stage.web_answers()
    made = works_and_is_killed(stage, release_before, [])
    made = works_and_is_killed(stage, settings.ROOT, made)
    made += [stage.create(send_later=True) for _ in range(EACH)]
    for role in ("worker", "clock"):
        stage.start("jobs", role, of=release_before)
    until(lambda: stage.states(made) == {"delivered"}, what="the delivery of all by the release before")
    rows = stage.sql("SELECT version FROM process_heartbeats WHERE role = 'worker' ORDER BY started_at")
    return Releases(made, [str(row[0]) for row in rows])


def test_three_releases_worked_after_one_another(releases: Releases) -> None:
    assert releases.versions == ["0.1.0", VERSION, "0.1.0"]
    assert VERSION != "0.1.0"


def test_everything_is_delivered_once(stage: Stage, releases: Releases) -> None:
    for generation in releases.made:
        stage.assert_delivered_once(generation)
    assert stage.sandbox.get("stats")["paid_more_than_once"] == []


def test_nothing_is_left_in_the_queue_for_deliveries(stage: Stage, releases: Releases) -> None:
    left = (
        "SELECT status::text FROM procrastinate_jobs"
        " WHERE task_name = 'deliver' AND status IN ('todo', 'doing')"
    )
    until(lambda: stage.sql(left) == [], seconds=15, what="the end of the last job")
