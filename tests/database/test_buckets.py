"""The buckets, made where Supabase Storage is, opened where they exist, reported where they can't be."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from core import database, queries
from core.database import migrate, sqlalchemy_url
from core.settings import load
from core.storage.backend import supabase_from_settings
from core.storage.buckets import BUCKETS, Bucket
from core.upgrade import upgrade
from tests.database.cluster import Cluster
from tests.database.conftest import NEWEST, Clusters
from tests.database.scenarios import as_user, findings, make_supabase_like, query
from tests.storage.addresses import environment
from tests.storage.conftest import supabase as project
from tests.storage.conftest import supabase_server
from tests.storage.fake_supabase import FakeSupabase

__all__ = ["project", "supabase_server"]

GENERATIONS = BUCKETS[0]


@pytest.fixture
def supabase(cluster: Cluster) -> Iterator[str]:
    """The superuser's URL of a migrated Supabase-like database."""
    with cluster.database() as url:
        make_supabase_like(url)
        migrate(as_user(url, "company_bypassing"))
        yield url


def put(url: str, *buckets: Bucket) -> list[str]:
    """What became of each bucket."""
    engine = create_engine(sqlalchemy_url(url))
    upsert = queries.load("storage")["upsert_bucket"]
    try:
        with engine.begin() as connection:
            return [
                upsert.one(
                    connection,
                    name=bucket.name,
                    public=bucket.public,
                    content_types=list(bucket.content_types),
                    max_bytes=bucket.max_bytes,
                )["outcome"]
                for bucket in buckets
            ]
    finally:
        engine.dispose()


def test_every_bucket_is_made_once(supabase: str) -> None:
    url = as_user(supabase, "company_bypassing")
    assert put(url, *BUCKETS) == ["made"] * 5
    assert put(url, *BUCKETS) == ["unchanged"] * 5
    stored = query(
        supabase, "SELECT id, name, public, file_size_limit, allowed_mime_types FROM storage.buckets"
    )
    assert {row["id"]: row for row in stored} == {
        bucket.name: {
            "id": bucket.name,
            "name": bucket.name,
            "public": bucket.public,
            "file_size_limit": bucket.max_bytes,
            "allowed_mime_types": list(bucket.content_types),
        }
        for bucket in BUCKETS
    }


def test_the_buckets_that_the_documents_describe() -> None:
    table = {bucket.name: bucket for bucket in BUCKETS}
    assert list(table) == [
        "generations", "character-references", "lora-training-images", "lora-models", "lora-validation",
    ]  # fmt: skip
    assert table["character-references"] == Bucket(
        "character-references",
        public=True,
        content_types=("image/jpeg", "image/png", "image/webp", "application/zip"),
        max_bytes=52_428_800,
    )
    assert (GENERATIONS.public, GENERATIONS.max_bytes) == (True, 524_288_000)


def test_an_existing_bucket_is_opened_and_never_shut(supabase: str) -> None:
    url = as_user(supabase, "company_bypassing")
    query(
        supabase,
        "INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types) VALUES"
        " ('generations', 'generations', false, 10, ARRAY['image/jpeg', 'image/x-theirs']),"
        " ('character-references', 'character-references', true, 99999999999, NULL),"
        " ('lora-models', 'lora-models', true, NULL, NULL)",
    )
    assert put(url, *BUCKETS) == ["changed", "unchanged", "made", "unchanged", "made"]
    rows = {row["id"]: row for row in query(supabase, "SELECT * FROM storage.buckets")}
    assert rows["generations"]["public"]
    assert rows["generations"]["file_size_limit"] == GENERATIONS.max_bytes
    assert set(rows["generations"]["allowed_mime_types"]) == {*GENERATIONS.content_types, "image/x-theirs"}
    assert rows["character-references"]["file_size_limit"] == 99999999999
    assert rows["character-references"]["allowed_mime_types"] is None
    assert (rows["lora-models"]["public"], rows["lora-models"]["file_size_limit"]) == (True, None)
    assert ("bucket_public", "storage.buckets lora-models") in findings(supabase)


def test_a_refusal_is_a_finding_with_a_remedy_that_works(supabase: str) -> None:
    query(supabase, "GRANT service_role TO company")
    query(supabase, "INSERT INTO storage.buckets (id, name) VALUES ('lora-models', 'lora-models')")
    query(supabase, "UPDATE storage.buckets SET allowed_mime_types = ARRAY['a/b']")
    try:
        assert put(as_user(supabase, "company"), *BUCKETS) == ["refused"] * 5
    finally:
        query(supabase, "REVOKE service_role FROM company")
    refused = query(
        supabase, "SELECT remedy FROM migration_findings WHERE code = 'bucket_refused' ORDER BY object"
    )
    assert len(refused) == 5
    for row in refused:
        query(supabase, row["remedy"][row["remedy"].index("INSERT INTO") :].replace("%", "%%"))
    assert put(as_user(supabase, "company_bypassing"), *BUCKETS) == ["unchanged"] * 5
    assert {code for code, _ in findings(supabase)} == {"storage_policy"}


def test_without_supabase_storage_there_is_nothing_to_make(clusters: Clusters) -> None:
    with clusters(NEWEST, "bare").database() as url:
        migrate(url)
        assert put(url, *BUCKETS) == ["absent"] * 5


def test_what_the_database_may_not_make_is_asked_of_the_storage(
    cluster: Cluster, project: FakeSupabase
) -> None:
    """As on a hosted project, whose login does not own the table of buckets."""
    del project.buckets["lora-models"]
    project.buckets["generations"]["public"] = False
    storage = supabase_from_settings(load(environment("supabase", project.url, Path())))
    with cluster.database() as superuser:
        make_supabase_like(superuser)
        url = as_user(superuser, "company")
        database.connect(url)
        try:
            upgrade(url, local=False)
            assert [code for code, _ in findings(url)].count("bucket_refused") == 5
            lines = upgrade(url, local=False, storage=storage)
            assert lines[1:] == ["bucket generations: changed", "bucket lora-models: made"]
            assert "bucket_refused" not in {code for code, _ in findings(url)}
            project.key = "sb_secret_of_another_project_012345"
            lines = upgrade(url, local=False, storage=storage)
        finally:
            storage.close()
            database.close()
        assert len(lines) == 6
        assert all("refused. Supabase Storage refuses this key" in line for line in lines[1:])
        assert ("bucket_refused", "storage.buckets generations") in findings(url)
