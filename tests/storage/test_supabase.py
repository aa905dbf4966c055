"""Supabase Storage when it refuses, is busy, slow or gone; and keys that are of the wrong kind."""

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.errors import SettingsError, StorageError
from core.settings import load
from core.storage.backend import from_settings, supabase_from_settings
from core.storage.buckets import BUCKETS
from core.storage.supabase import SupabaseStorage
from core.storage.supabase_key import key_fault
from core.storage.supabase_wire import fault
from tests.storage.addresses import environment
from tests.storage.fake_supabase import SERVICE_KEY, FakeSupabase
from tests.storage.test_contract import JPEG, PATH, content, put

NOW = datetime(2026, 11, 25, tzinfo=UTC)
THREE_MB = JPEG + bytes(3 * 1024 * 1024)


@pytest.fixture
def storage(supabase: FakeSupabase, tmp_path: Path) -> Iterator[SupabaseStorage]:
    found = supabase_from_settings(load(environment("supabase", supabase.url, tmp_path)))
    yield found
    found.close()


def refusal(storage: SupabaseStorage, *arguments: Any) -> StorageError:
    with pytest.raises(StorageError) as caught:
        put(storage, *arguments)
    return caught.value


def test_a_refused_upload_hangs_nothing_after_it(storage: SupabaseStorage, supabase: FakeSupabase) -> None:
    """A connection of Supabase's is dead after it; what comes next must not find out by waiting."""
    supabase.buckets["generations"]["file_size_limit"] = 2 * 1024 * 1024
    put(storage)
    begun = time.monotonic()
    error = refusal(storage, PATH, THREE_MB)
    assert not error.retryable
    assert "takes no file of 3.0 MB: The object exceeded the maximum allowed size" in error.message
    assert "python -m jobs migrate" in error.message
    assert content(storage) == JPEG
    put(storage, "b.jpg")
    assert time.monotonic() - begun < 5


def test_the_type_is_not_taken(storage: SupabaseStorage, supabase: FakeSupabase) -> None:
    supabase.buckets["generations"]["allowed_mime_types"] = ["image/png"]
    error = refusal(storage, PATH, THREE_MB)
    assert (error.retryable, "image/jpeg is not supported" in error.message) == (False, True)
    assert "allowed types" in error.message


def test_the_key_is_of_another_project(storage: SupabaseStorage, supabase: FakeSupabase) -> None:
    supabase.key = "sb_secret_of_another_project_012345"
    error = refusal(storage)
    assert not error.retryable
    assert "Check SUPABASE_SERVICE_ROLE_KEY" in error.message
    assert SERVICE_KEY not in error.message


def test_the_bucket_is_missing(storage: SupabaseStorage, supabase: FakeSupabase) -> None:
    del supabase.buckets["generations"]
    for call in (
        lambda: put(storage),
        lambda: storage.stat("generations", PATH),
        lambda: list(storage.walk("generations")),
        lambda: storage.describe("generations"),
    ):
        with pytest.raises(StorageError, match="There is no bucket generations at Supabase") as caught:
            call()
        assert "python -m jobs migrate" in caught.value.message
    storage.prepare(BUCKETS[0])
    put(storage)
    assert content(storage) == JPEG


def test_a_private_bucket_takes_no_result_until_it_is_public(
    storage: SupabaseStorage, supabase: FakeSupabase
) -> None:
    supabase.buckets["generations"]["public"] = False
    error = refusal(storage)
    assert (error.retryable, "is private at Supabase" in error.message) == (False, True)
    assert supabase.files == {}
    assert storage.prepare(BUCKETS[0]) == "changed"
    put(storage)
    assert httpx.get(storage.url("generations", PATH)).content == JPEG


def test_a_private_bucket_that_is_meant_so_takes_files(storage: SupabaseStorage) -> None:
    put(storage, "u/a.jpg", JPEG, "image/jpeg", "lora-training-images")
    assert storage.stat("lora-training-images", "u/a.jpg") is not None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 544])
def test_what_passes_is_tried_again(storage: SupabaseStorage, supabase: FakeSupabase, status: int) -> None:
    put(storage)
    supabase.faults.statuses = [status, status]
    assert content(storage) == JPEG
    supabase.faults.statuses = [status, status, status]
    put(storage, content=THREE_MB)
    assert content(storage) == THREE_MB


def test_what_does_not_pass_ends_after_four_tries(storage: SupabaseStorage, supabase: FakeSupabase) -> None:
    put(storage)
    supabase.requests.clear()
    supabase.faults.statuses = [503] * 50
    error = refusal(storage, "b.jpg")
    assert (error.retryable, "failed (503): told to fail" in error.message) == (True, True)
    assert len(supabase.requests) == 4


def test_an_upload_whose_connection_breaks_is_sent_again(
    storage: SupabaseStorage, supabase: FakeSupabase
) -> None:
    supabase.faults.cut_uploads = 2
    put(storage, content=THREE_MB)
    assert content(storage) == THREE_MB


def test_a_download_that_breaks_off_says_so(storage: SupabaseStorage, supabase: FakeSupabase) -> None:
    put(storage, content=THREE_MB)
    supabase.faults.cut_downloads = 1
    with pytest.raises(StorageError, match="connection to Supabase Storage") as caught:
        content(storage)
    assert caught.value.retryable
    assert content(storage) == THREE_MB


def test_a_slow_answer_ends_in_a_sentence(
    storage: SupabaseStorage, supabase: FakeSupabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    supabase.faults.slow_s = 0.3
    monkeypatch.setattr(storage._wire._client, "timeout", httpx.Timeout(0.1))
    with pytest.raises(StorageError, match="did not answer in time") as caught:
        storage.stat("generations", PATH)
    assert caught.value.retryable


def test_nobody_is_there(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        storage = supabase_from_settings(load(environment("supabase", url, tmp_path)))
        with pytest.raises(StorageError, match=r"Check the network and SUPABASE_URL") as caught:
            storage.stat("generations", PATH)
    storage.close()
    assert caught.value.retryable


def test_something_else_answers(supabase: FakeSupabase, tmp_path: Path) -> None:
    values = environment("supabase", f"{supabase.url}/elsewhere", tmp_path)
    storage = supabase_from_settings(load(values))
    with pytest.raises(StorageError):
        storage.describe("generations")
    storage.close()


def test_what_answers_is_no_bucket(storage: SupabaseStorage, supabase: FakeSupabase) -> None:
    supabase.buckets["generations"]["public"] = "welcome to a portal"
    with pytest.raises(StorageError, match=r"does not answer as Supabase Storage does\. Check SUPABASE_URL"):
        storage.describe("generations")
    with pytest.raises(StorageError, match="does not answer"):
        put(storage)
    assert supabase.files == {}


def test_addresses_hold_what_a_name_may_hold(storage: SupabaseStorage) -> None:
    path = "u 1/a+b,(c)&d=e;f@g'!$*.jpg"
    put(storage, path)
    signed = storage.signed_url("generations", path, timedelta(hours=1))
    for url in (storage.url("generations", path), signed):
        assert " " not in url
        assert httpx.get(url).content == JPEG


def test_a_bucket_without_limits_gets_none_when_it_is_opened(
    storage: SupabaseStorage, supabase: FakeSupabase
) -> None:
    none = {"file_size_limit": None, "allowed_mime_types": None}
    supabase.buckets["generations"] |= {"public": False, **none}
    assert storage.prepare(BUCKETS[0]) == "changed"
    assert supabase.buckets["generations"].items() >= {"public": True, **none}.items()


def test_the_package_is_loaded_by_whoever_uses_it_alone() -> None:
    told = "import sys, core.storage.backend; sys.exit('supabase' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], check=False, timeout=60).returncode == 0


def test_buckets_are_opened_and_never_shut(storage: SupabaseStorage, supabase: FakeSupabase) -> None:
    supabase.buckets["generations"] |= {
        "public": False,
        "file_size_limit": 10,
        "allowed_mime_types": ["image/x-theirs", "image/jpeg"],
    }
    supabase.buckets["lora-models"] |= {"public": True, "file_size_limit": None, "allowed_mime_types": None}
    del supabase.buckets["lora-validation"]
    outcomes = [storage.prepare(bucket) for bucket in BUCKETS]
    assert outcomes == ["changed", "unchanged", "unchanged", "unchanged", "made"]
    assert [storage.prepare(bucket) for bucket in BUCKETS] == ["unchanged"] * 5
    found = supabase.buckets["generations"]
    assert (found["public"], found["file_size_limit"]) == (True, BUCKETS[0].max_bytes)
    assert set(found["allowed_mime_types"]) == {"image/x-theirs", *BUCKETS[0].content_types}
    assert supabase.buckets["lora-models"]["public"]


def jwt(**claims: Any) -> str:
    parts = ({"alg": "HS256"}, claims)
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*coded, "signature"))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("sb_secret_abc", None),
        (jwt(role="service_role", exp=(NOW + timedelta(days=1)).timestamp()), None),
        (jwt(role="service_role"), None),
        (jwt(role="anon"), "is the key of the role 'anon'"),
        (jwt(role="authenticated"), "is the key of the role 'authenticated'"),
        (jwt(role="service_role", exp=(NOW - timedelta(days=1)).timestamp()), "expired"),
        (jwt(sub="x"), "is the key of the role 'None'"),
        ("sb_publishable_abc", "is a publishable key"),
        ("password", "is neither a JWT nor a secret key"),
        ("a.b.c", "is neither"),
        ("a.W10.c", "is neither"),
    ],
)
def test_which_key_it_is(key: str, words: str | None) -> None:
    found = key_fault(key, NOW)
    assert found == words if words is None else found is not None and found.startswith(words)


def test_an_anon_key_stops_the_start_and_is_not_shown(tmp_path: Path) -> None:
    anon = jwt(role="anon")
    values = environment("supabase", "https://x.supabase.co", tmp_path) | {"SUPABASE_SERVICE_ROLE_KEY": anon}
    with pytest.raises(
        SettingsError, match="SUPABASE_SERVICE_ROLE_KEY is the key of the role 'anon'"
    ) as caught:
        from_settings(load(values))
    assert anon not in caught.value.message


@pytest.mark.parametrize(
    ("http", "body", "retryable", "words"),
    [
        (
            400,
            {"statusCode": "404", "error": "Bucket not found", "message": "Bucket not found"},
            False,
            "no bucket",
        ),
        (
            400,
            {"statusCode": "404", "error": "not_found", "message": "Object not found"},
            False,
            "no such file",
        ),
        (400, {"statusCode": "409", "error": "Duplicate", "message": "exists"}, True, "failed (409)"),
        (413, {}, False, "file size limit"),
        (
            400,
            {"statusCode": "403", "error": "Unauthorized", "message": "row-level security"},
            False,
            "this key",
        ),
        (400, {"statusCode": "400", "error": "InvalidJWT", "message": "jwt expired"}, False, "this key"),
        (401, {"message": "Invalid API key"}, False, "this key"),
        (
            400,
            {"statusCode": "400", "error": "InvalidKey", "message": "Invalid key: ä"},
            False,
            "refused (400)",
        ),
        (402, {"message": "exceed_egress_quota"}, False, "restricted the project"),
        (429, {}, True, "too much to do"),
        (544, {"error": "DatabaseTimeout"}, True, "failed (544)"),
        (502, {}, True, "failed (502)"),
        (400, {"statusCode": ["404"]}, False, "refused (400)"),
        (418, {"statusCode": "404"}, False, "refused (418)"),
    ],
)
def test_what_each_refusal_means(http: int, body: dict[str, Any], retryable: bool, words: str) -> None:
    found = fault(http, body, str(body.get("message", "")), "generations", 10)
    assert (found.retryable, words in found.message) == (retryable, True), found.message
