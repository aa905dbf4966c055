"""The files of a data folder that were damaged: secrets are never lost in silence, a record may be."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import LocalStackError
from core.local import folder

DAMAGED = {
    "cut off": b'{"postgres_password": "abc',
    "no UTF-8": b'\xff\xfe{"a": 1}',
    "zeros": bytes(300),
    "an array": b'["postgres_password"]',
    "a text": b'"secret"',
    "null": b"null",
    "too deep": b"[" * 200_000,
}
RECORD: dict[str, Any] = {"url": "http://127.0.0.1:8501", "pid": 4711, "since": "2026-11-20T09:05:00+00:00"}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_secrets_stop_the_start_and_stay_as_they_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(LocalStackError) as refused:
        folder.load_secrets(tmp_path)
    assert str(path) in refused.value.message
    assert "backup" in refused.value.message
    assert "stop working" in refused.value.message
    assert path.read_bytes() == DAMAGED[name]


@pytest.mark.parametrize("value", [None, 7, ["key"], {"a": "b"}])
def test_a_secret_that_is_no_text_stops_the_start(tmp_path: Path, value: Any) -> None:
    folder.write(tmp_path / "secrets.json", {"postgres_password": "known", "files_signing_key": value})
    with pytest.raises(LocalStackError, match="damaged"):
        folder.load_secrets(tmp_path)


def test_secrets_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").mkdir()
    with pytest.raises(LocalStackError, match="damaged"):
        folder.load_secrets(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"{}"])
def test_secrets_that_are_missing_or_empty_are_made(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "secrets.json"
    if content is not None:
        path.write_bytes(content)
    made = folder.load_secrets(tmp_path)
    assert folder.load_secrets(tmp_path) == made
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_record_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "stack.json").write_bytes(DAMAGED[name])
    assert folder.read_record(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"url": 8501},
        {"pid": "web"},
        {"since": None},
        {"ports": [8501]},
        {"ports": {"postgres": "many"}},
        {"ports": {"postgres": 0}},
        {"ports": {"postgres": 99_999_999}},
        {"environment": "DATABASE_URL"},
        {"environment": {"DATABASE_URL": 5}},
        {"environment": {"DATABASE_URL": "a\x00b"}},
        {"environment": {"A=B": "c"}},
    ],
)
def test_a_record_of_wrong_types_is_none(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "stack.json").write_text(json.dumps(RECORD))
    assert folder.read_record(tmp_path) == folder.Record(**RECORD)
    (tmp_path / "stack.json").write_text(json.dumps({**RECORD, **change}))
    assert folder.read_record(tmp_path) is None


def test_a_record_that_is_no_file_is_none(tmp_path: Path) -> None:
    assert folder.read_record(tmp_path) is None
    (tmp_path / "stack.json").mkdir()
    assert folder.read_record(tmp_path) is None
