"""R2 when keys, bucket or endpoint are wrong, and how its settings may be written."""

import socket
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from core.errors import InvalidInput, SettingsError, StorageError
from core.settings import load
from core.storage.backend import r2_endpoint, r2_from_settings
from core.storage.r2 import R2Storage
from tests.storage.addresses import R2_BUCKET, environment
from tests.storage.test_contract import JPEG, PATH, put


def storage_at(address: str, data: Path, **changed: str) -> R2Storage:
    return r2_from_settings(load(environment("r2", address, data) | changed))


def test_our_buckets_are_the_first_part_of_the_key(s3: str, tmp_path: Path) -> None:
    storage = storage_at(s3, tmp_path)
    put(storage)
    assert storage.url("generations", PATH) == f"{s3}/{R2_BUCKET}/generations/{PATH}"
    put(storage, "u/a.jpg", JPEG, "image/jpeg", "lora-validation")
    assert [info.path for info in storage.walk("generations")] == [PATH]
    assert [info.path for info in storage.walk("lora-validation")] == ["u/a.jpg"]


def test_the_bucket_is_missing(s3: str, tmp_path: Path) -> None:
    storage = storage_at(s3, tmp_path, CLOUDFLARE_R2_BUCKET="nobodys")
    with pytest.raises(StorageError, match="There is no R2 bucket nobodys") as caught:
        put(storage)
    assert not caught.value.retryable
    with pytest.raises(StorageError, match="There is no R2 bucket nobodys"):
        list(storage.walk("generations"))


def test_the_keys_are_wrong(s3: str, tmp_path: Path) -> None:
    storage = storage_at(s3, tmp_path)
    put(storage)
    httpx.post(f"{s3}/moto-api/reset-auth", content="0").raise_for_status()
    try:
        with pytest.raises(StorageError, match="Check CLOUDFLARE_R2_ACCESS_KEY_ID") as caught:
            put(storage, "b.jpg")
    finally:
        httpx.post(f"{s3}/moto-api/reset-auth", content="1000000").raise_for_status()
    assert not caught.value.retryable
    assert "secret" not in caught.value.message.replace("SECRET", "")


def test_nobody_is_there(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        storage = storage_at(f"http://127.0.0.1:{closed.getsockname()[1]}", tmp_path)
        with pytest.raises(StorageError, match="R2 failed") as caught:
            storage.stat("generations", PATH)
    assert caught.value.retryable
    assert len(caught.value.message) < 400


def test_no_link_lasts_longer_than_a_week(s3: str, tmp_path: Path) -> None:
    storage = storage_at(s3, tmp_path)
    with pytest.raises(InvalidInput, match="7 days"):
        storage.signed_url("generations", PATH, timedelta(days=8))


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("https://acc.r2.cloudflarestorage.com", "https://acc.r2.cloudflarestorage.com"),
        ("acc.r2.cloudflarestorage.com", "https://acc.r2.cloudflarestorage.com"),
        ("https://acc.r2.cloudflarestorage.com/", "https://acc.r2.cloudflarestorage.com"),
        ("https://acc.eu.r2.cloudflarestorage.com/studio", "https://acc.eu.r2.cloudflarestorage.com"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    ],
)
def test_how_the_endpoint_may_be_written(address: str, endpoint: str) -> None:
    assert r2_endpoint(address, "studio") == endpoint


def test_an_endpoint_with_something_behind_it_is_refused() -> None:
    with pytest.raises(SettingsError, match="CLOUDFLARE_R2_ENDPOINT"):
        r2_endpoint("https://acc.r2.cloudflarestorage.com/other", "studio")


@pytest.mark.parametrize("backend", ["supabase", "r2"])
def test_what_a_backend_needs_stops_the_start_by_name(backend: str, tmp_path: Path) -> None:
    values = environment(backend, "https://x.example.com", tmp_path)
    for name in values.keys() - {"STORAGE_BACKEND", "STUDIO_OPS_DATA_DIR"}:
        with pytest.raises(SettingsError, match=f"STORAGE_BACKEND={backend} needs {name}"):
            load({key: value for key, value in values.items() if key != name})


@pytest.mark.parametrize(
    ("backend", "name", "value"),
    [
        ("supabase", "SUPABASE_URL", "x.supabase.co"),
        ("supabase", "SUPABASE_URL", "http://x.supabase.co"),
        ("r2", "CLOUDFLARE_R2_ENDPOINT", "http://acc.r2.cloudflarestorage.com"),
        ("r2", "CLOUDFLARE_R2_ENDPOINT", "https://user:word@acc.r2.cloudflarestorage.com"),
        ("r2", "CLOUDFLARE_R2_PUBLIC_URL", "files.example.com"),
    ],
)
def test_addresses_that_cannot_be_meant(backend: str, name: str, value: str, tmp_path: Path) -> None:
    values = environment(backend, "https://x.example.com", tmp_path) | {name: value}
    with pytest.raises(SettingsError, match=name):
        load(values)


def test_supabases_other_names_are_read(tmp_path: Path) -> None:
    values = environment("supabase", "", tmp_path)
    del values["SUPABASE_URL"]
    for name in ("NEXT_PUBLIC_SUPABASE_URL", "VITE_SUPABASE_URL"):
        found = load({**values, name: "https://x.supabase.co"})
        assert (found.supabase_url, found.storage_origins) == (
            "https://x.supabase.co",
            ("https://x.supabase.co",),
        )
