"""What doctor sees of each bucket, with the fix that mends it; and settings that contradict each other."""

from pathlib import Path

import httpx
import pytest

from core.settings import load
from core.storage import contradictions
from core.storage.backend import from_settings, r2_from_settings, supabase_from_settings
from core.storage.buckets import BUCKETS
from core.storage.condition import Condition, examine
from tests.storage.addresses import R2_BUCKET, environment
from tests.storage.conftest import Backend
from tests.storage.fake_supabase import FakeSupabase
from tests.storage.test_supabase import jwt


def by_bucket(backend_settings: dict[str, str]) -> dict[str, Condition]:
    storage = from_settings(load(backend_settings))
    found = {condition.bucket: condition for condition in examine(storage)}
    storage.close()
    return found


def test_all_well(backend: Backend) -> None:
    found = by_bucket(backend.settings)
    assert list(found) == [bucket.name for bucket in BUCKETS]
    assert all(condition.good for condition in found.values())
    warned = {condition.bucket for condition in found.values() if condition.warning}
    # Of one R2 bucket all files are public, unless a rule at the domain says otherwise.
    assert warned == ({"lora-training-images", "lora-models"} if backend.kind == "r2" else set())
    assert all(condition.message.startswith("writable") for condition in found.values())
    assert [info for bucket in BUCKETS for info in backend.storage.walk(bucket.name)] == []


def test_each_fault_of_a_supabase_bucket_has_its_fix(supabase: FakeSupabase, tmp_path: Path) -> None:
    del supabase.buckets["lora-validation"]
    supabase.buckets["generations"] |= {
        "public": False,
        "file_size_limit": 1024 * 1024,
        "allowed_mime_types": ["image/jpeg", "image/x-o'theirs"],
    }
    supabase.buckets["lora-models"]["public"] = True
    settings = environment("supabase", supabase.url, tmp_path)
    found = by_bucket(settings)
    assert {name for name, condition in found.items() if not condition.good} == {
        "generations",
        "lora-validation",
    }
    told = found["generations"].message
    assert "it is private and must be public; it takes 1 MB a file and must take 500 MB; it does not" in told
    assert "Run: python -m jobs migrate, or in SQL: UPDATE storage.buckets SET public = true," in told
    assert "ARRAY['image/jpeg', 'image/x-o''theirs', 'image/png'" in told
    assert told.endswith("WHERE id = 'generations';")
    assert "There is no bucket lora-validation at Supabase" in found["lora-validation"].message
    assert {name for name, condition in found.items() if condition.mendable} == {
        "generations",
        "lora-validation",
    }
    assert found["lora-models"].warning
    assert (
        "UPDATE storage.buckets SET public = false WHERE id = 'lora-models';" in found["lora-models"].message
    )
    storage = supabase_from_settings(load(settings))
    for bucket in BUCKETS:
        storage.prepare(bucket)
    storage.close()
    assert all(condition.good for condition in by_bucket(settings).values())


def test_a_bucket_of_references_that_no_trainer_can_fetch_a_zip_from(
    supabase: FakeSupabase, tmp_path: Path
) -> None:
    supabase.buckets["character-references"] |= {"public": False, "allowed_mime_types": ["image/png"]}
    settings = environment("supabase", supabase.url, tmp_path)
    found = by_bucket(settings)["character-references"]
    assert (found.good, found.mendable) == (False, True)
    assert "application/zip" in found.message
    storage = supabase_from_settings(load(settings))
    storage.prepare(next(bucket for bucket in BUCKETS if bucket.name == "character-references"))
    storage.close()
    assert by_bucket(settings)["character-references"].good


def test_a_key_that_is_refused_is_said_of_every_bucket(supabase: FakeSupabase, tmp_path: Path) -> None:
    supabase.key = "sb_secret_of_another_project_012345"
    found = by_bucket(environment("supabase", supabase.url, tmp_path))
    assert not any(condition.good for condition in found.values())
    assert all("SUPABASE_SERVICE_ROLE_KEY" in condition.message for condition in found.values())


def test_r2_files_that_nobody_can_open(s3: str, tmp_path: Path) -> None:
    httpx.delete(f"{s3}/{R2_BUCKET}?policy").raise_for_status()
    found = by_bucket(environment("r2", s3, tmp_path))
    assert {name for name, condition in found.items() if condition.good} == {
        "lora-training-images",
        "lora-models",
    }
    told = found["generations"].message
    assert f"does not open at {s3}/{R2_BUCKET}/generations/" in told
    assert "(HTTP 403)" in told
    assert "CLOUDFLARE_R2_PUBLIC_URL" in told
    storage = r2_from_settings(load(environment("r2", s3, tmp_path)))
    assert list(storage.walk("generations")) == []


POOLER = "x@aws-0.pooler.supabase.com:5432/postgres"
REF, OTHER = "abcdefghijklmnopqrst", "zyxwvutsrqponmlkjihg"


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({}, []),
        ({"SUPABASE_SERVICE_ROLE_KEY": jwt(role="service_role", ref=REF)}, []),
        ({"SUPABASE_SERVICE_ROLE_KEY": jwt(role="service_role", ref=OTHER)}, ["SUPABASE_SERVICE_ROLE_KEY"]),
        ({"DATABASE_URL": f"postgresql://postgres:x@db.{REF}.supabase.co:5432/postgres"}, []),
        ({"DATABASE_URL": f"postgresql://postgres:x@db.{OTHER}.supabase.co:5432/postgres"}, ["SUPABASE_URL"]),
        ({"DATABASE_URL": f"postgresql://postgres.{REF}:x@aws-0.pooler.supabase.com:5432/postgres"}, []),
        (
            {"DATABASE_URL": f"postgresql://postgres.{OTHER}:x@aws-0.pooler.supabase.com:5432/postgres"},
            ["SUPABASE_URL"],
        ),
        ({"DATABASE_URL": "postgresql://ops:x@db.example.com/ops"}, []),
        ({"STORAGE_BACKEND": "local"}, ["STORAGE_BACKEND"]),
        ({"CLOUDFLARE_R2_SECRET_ACCESS_KEY": "x"}, ["STORAGE_BACKEND"]),
    ],
)
def test_settings_that_contradict(changed: dict[str, str], names: list[str], tmp_path: Path) -> None:
    values = environment("supabase", f"https://{REF}.supabase.co", tmp_path) | changed
    found = list(contradictions.found_in(load(values)))
    assert [one.name for one in found] == names
    assert all(one.harmless is (one.name == "STORAGE_BACKEND") for one in found)


def test_the_endpoint_is_no_public_address(tmp_path: Path) -> None:
    endpoint = "https://acc.r2.cloudflarestorage.com"
    values = environment("r2", endpoint, tmp_path) | {"CLOUDFLARE_R2_PUBLIC_URL": f"{endpoint}/{R2_BUCKET}"}
    (found,) = contradictions.found_in(load(values))
    assert (found.name, found.harmless) == ("CLOUDFLARE_R2_PUBLIC_URL", False)
