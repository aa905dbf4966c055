"""The CSV of a filter: by a page's link or a key, for nobody else, and no formula in it."""

import csv
import io
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from core import access, usage
from core.deliveries import tools
from core.deliveries.windows import Filter
from core.usage import Line
from core.web import csv_answers, export
from tests.journeys.world import World

NOW = datetime.now(UTC)
VIEWER = access.command_line("viewer")
ROWS = """
INSERT INTO generations (id, prompt, model, delivery_state, status, created_at)
SELECT gen_random_uuid(),
       (ARRAY['=HYPERLINK("x")', '+1', '-1', '@a', chr(9) || 'b', 'a, "fox"'])[1 + mod(n, 6)],
       'x/y', CASE WHEN mod(n, 10) = 0 THEN 'lost' ELSE 'delivered' END, 'success', now() - n * interval '1 s'
FROM generate_series(1, 1500) n
"""


def opened(world: World, path: str, **headers: str) -> httpx.Response:
    """What a browser, or a program with these headers, is answered."""
    return httpx.get(world.environment["PUBLIC_BASE_URL"] + path, headers=headers, timeout=30)


def test_a_pages_link_brings_all_rows_of_its_filter(world: World) -> None:
    world.sql(ROWS)
    link = export.link(VIEWER, Filter(state="lost"), NOW)
    assert link is not None
    answer = opened(world, link)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 150
    assert {row["delivery_state"] for row in rows} == {"lost"}
    whole = export.link(VIEWER, Filter(), NOW)
    assert whole is not None
    rows = list(csv.DictReader(io.StringIO(opened(world, whole).text)))
    assert len(rows) == len({row["id"] for row in rows}) == 1500
    assert {row["prompt"][0] for row in rows} == {"'", "a"}
    assert rows == sorted(rows, key=lambda row: row["created_at"], reverse=True)


def test_a_link_is_good_for_its_filter_and_its_time_alone(world: World) -> None:
    link = export.link(VIEWER, Filter(state="lost"), NOW)
    assert link is not None
    assert opened(world, link.replace("state=lost", "state=failed")).status_code == 401
    assert opened(world, link.replace("exp=", "exp=9")).status_code == 401
    assert opened(world, link + "0").status_code == 401
    old = export.link(VIEWER, Filter(), NOW - timedelta(hours=5))
    assert old is not None
    answer = opened(world, old)
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]["message"]
    assert opened(world, "/api/deliveries.csv").status_code == 401


def test_a_key_may_ask_and_is_told_what_is_wrong(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.environment['OPS_API_KEY']}"}
    assert opened(world, "/api/deliveries.csv?window=7d", **headers).status_code == 200
    answer = opened(world, "/api/deliveries.csv?state=nonsense", **headers)
    assert answer.status_code == 400
    assert "“state”" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, ""), ("=1", "'=1"), ("\r1", "'\r1"), ("a=1", "a=1"), (-5, "'-5"), (5, "5")],
)
def test_no_cell_is_a_formula(value: object, written: str) -> None:
    assert csv_answers.cell(value) == written


def test_a_number_of_stored_files_opens_exactly_those(world: World) -> None:
    kling = {"model": "kling-2.6/text-to-video", "input": {"prompt": "waves"}}
    film = world.web.post("/api/kie/createTask", json=kling).json()["generationId"]
    for made in (film, world.create("one")["generationId"], world.create("two")["generationId"]):
        world.settle(made, {"delivered"})
    counted = usage.snapshot(tools.current().storage, datetime.now(UTC))
    world.settle(world.create("after the count")["generationId"], {"delivered"})
    opened_files = 0
    for line in counted.lines:
        link = export.storage_link(VIEWER, line, counted.taken_at, NOW)
        assert link is not None
        rows = list(csv.DictReader(io.StringIO(opened(world, link).text)))
        assert (len(rows), sum(int(row["bytes"]) for row in rows)) == (line.files, line.bytes), line
        assert {row["bucket"] for row in rows} <= {line.bucket}
        opened_files += len(rows)
        assert opened(world, link.replace("purpose=", "purpose=x")).status_code == 401
    assert opened_files == 3
    headers = {"Authorization": f"Bearer {world.environment['OPS_API_KEY']}"}
    now = "/api/storage.csv?bucket=generations&purpose=result_image"
    assert len(opened(world, now, **headers).text.splitlines()) == 4
    for odd in (
        "bucket=generations&purpose=nonsense",
        "bucket=../x&purpose=weights",
        f"{now[17:]}&until=soon",
    ):
        answer = opened(world, f"/api/storage.csv?{odd}", **headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")


def test_a_link_to_one_csv_opens_no_other(world: World) -> None:
    line = Line("generations", "result_image", 1, 1)
    link = export.storage_link(VIEWER, line, NOW, NOW)
    assert link is not None
    assert opened(world, link).status_code == 200
    assert opened(world, link.replace("storage.csv", "deliveries.csv")).status_code == 401
