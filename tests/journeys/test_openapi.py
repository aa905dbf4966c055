"""Whatever the API's own document allows, and forbids, is sent to every route: none answers 500, or something
that its document does not name."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from core.web import lora_models
from core.web.routes import api as product
from tests.journeys.conftest import OPS_KEY
from tests.journeys.lora_users import ADA
from tests.journeys.users import token
from tests.journeys.world import World

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance"
)


@pytest.fixture
def _alive(api: World) -> Iterator[None]:
    """A clock and a worker that are alive all the while, or the deep look at health rightly says 503."""
    for role in ("clock", "worker"):
        api.sql(
            "INSERT INTO process_heartbeats (id, role, host, beat_at)"
            " VALUES (gen_random_uuid(), %s, 'schemathesis', now() + interval '10 min')",
            role,
        )
    yield
    api.sql("DELETE FROM process_heartbeats WHERE host = 'schemathesis'")


@pytest.mark.usefixtures("_alive")
@pytest.mark.parametrize(
    ("who", "paths", "operations"),
    [
        pytest.param(OPS_KEY, ".*", sum(len(ways) for ways in product.openapi()["paths"].values()), id="key"),
        pytest.param(token(ADA), "/v1/lora-models", 5, id="user"),
    ],
)
def test_no_answer_is_a_500_or_undocumented(
    api: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: str, paths: str, operations: int
) -> None:
    for pace in (lora_models.READS, lora_models.CREATES):
        monkeypatch.setattr(pace, "take", AsyncMock())
    address = f"{str(api.web.base_url).rstrip('/')}/api"
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{address}/openapi.json"),
            *("--url", address, "--header", f"Authorization: Bearer {who}", "--include-path-regex", paths),
            *("--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "8"),
            *("--seed", "7", "--request-timeout", "30", "--no-color"),
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-1_000:]
    assert re.search(rf"Tested: {operations}\b", done.stdout), done.stdout[-3_000:]
