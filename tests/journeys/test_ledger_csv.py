"""The ledger as CSV: every line of the filter, amounts as numbers, by the page's link or a key."""

import csv
import io
from datetime import UTC, datetime

import httpx

from core import access
from core.budget import ledger
from core.budget.ledger import Filter
from core.budget.policy import month_of
from core.web import export
from tests.journeys.world import World

VIEWER = access.command_line("viewer")


def test_a_pages_link_brings_all_lines_of_its_filter(world: World) -> None:
    now = datetime.now(UTC)
    world.sql(
        "INSERT INTO job_costs (kind, scope, provider, service, amount_usd, source_key, note)"
        " SELECT 'settle', 'trainings', 'fal', 'training', 0.5, 'csv:' || n, '=1+1'"
        " FROM generate_series(1, 1200) n"
    )
    world.sql(
        "INSERT INTO job_costs (kind, scope, provider, amount_usd, source_key)"
        " VALUES ('correct', 'trainings', 'fal', -0.25, 'csv:correct')"
    )
    base = world.environment["PUBLIC_BASE_URL"]
    link = export.ledger_link(VIEWER, Filter(month_of(now)), now)
    assert link is not None
    answer = httpx.get(base + link, timeout=30)
    assert answer.status_code == 200
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == len({row["id"] for row in rows}) == 1201
    assert {row["amount_usd"] for row in rows} == {"0.5000", "-0.2500"}
    assert {row["note"] for row in rows} == {"'=1+1", ""}
    assert httpx.get(base + link.replace("month=", "month=1")).status_code == 401
    key = {"Authorization": f"Bearer {world.environment['OPS_API_KEY']}"}
    assert httpx.get(f"{base}/api/ledger.csv?kind=nonsense", headers=key).status_code == 400
    assert httpx.get(f"{base}/api/ledger.csv").status_code == 401
    assert ledger.read({}, now)[0] == Filter(month_of(now))
