"""The threat model names tests that are there, and what is installed is what is pinned."""

import ast
import re
from importlib.metadata import version

import pytest

from core.settings import ROOT

PAGE = ROOT / "core" / "web" / "THREATS.md"
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE.read_text())))
LOCK = (ROOT / "requirements.txt").read_text()


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_proof_is_there(file: str, test: str) -> None:
    found = [
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert not test or test in found
    assert any(name.startswith("test_") for name in found)


def test_every_threat_has_a_proof() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) > 10
    assert [row for row in rows[1:] if "`tests/" not in row] == []


def test_every_dependency_is_pinned() -> None:
    lines = [line.split("#")[0].strip() for line in LOCK.splitlines()]
    wanted = [line for line in lines if line and not line.startswith("-")]
    assert wanted
    differing = []
    for line in wanted:
        requirement, _, marker = line.partition(";")
        pinned = re.fullmatch(r"([\w.-]+)(?:\[[\w,.-]+\])?==([\w.+!-]+)", requirement.strip())
        assert pinned, f"{line} is not pinned to one version"
        # One with a marker may stand there twice, for other Pythons and systems.
        if not marker and version(pinned[1]) != pinned[2]:
            differing.append(f"{line}, installed {version(pinned[1])}")
    assert differing == []
