"""A generation is found by whatever a person has in hand, by an index, whoever wrote the row."""

import json
import uuid
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core import access, database
from core.access import Actor, Role
from core.diagnosis import search
from core.diagnosis.search import By
from core.diagnosis.snapshot import SQL
from core.errors import InvalidInput, NotAllowed
from tests.database.shared import shared_database

STAFF = access.command_line("ada")
ROWS = 20_000
CUSTOMER = UUID("c0000000-0000-4000-8000-000000000001")


@pytest.fixture(scope="module")
def crowd(postgres_server: str) -> Iterator[None]:
    """Twenty thousand delivered generations of the company's application, and this process connected."""
    with shared_database(postgres_server):
        with database.transaction() as connection:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql(
                "INSERT INTO generations (id, user_id, provider, kind, status, delivery_state, task_id,"
                " result_urls, asset_url, created_at, updated_at)"
                " SELECT gen_random_uuid(),"
                " ('d0000000-0000-4000-8000-' || lpad(mod(n, 500)::text, 12, '0'))::uuid,"
                " 'kie', 'image', 'success', 'delivered', 'crowd_' || n,"
                " ARRAY['https://tempfile.aiquickdraw.com/crowd/' || n || '.png'],"
                " 'https://files.example/crowd/' || n || '.png', now() - n * interval '1 min', now()"
                f" FROM generate_series(1, {ROWS}) n"
            )
        with database.statement() as connection:
            connection.exec_driver_sql("ANALYZE generations")
        yield


def one(**columns: Any) -> UUID:
    """A row of the company's application; its id."""
    made = uuid.uuid4()
    row = {"id": made, "status": "success", "provider": "kie", **columns}
    with database.transaction() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO generations ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
            tuple(row.values()),
        )
    return made


def plan(name: str, **parameters: Any) -> str:
    """How a query is carried out, as JSON text."""
    with database.reading() as connection:
        found = connection.execute(text(f"EXPLAIN (FORMAT JSON) {SQL[name].sql}"), parameters).scalar_one()
    return json.dumps(found)


def test_every_way_has_an_index(crowd: None) -> None:
    ids, url = [str(CUSTOMER)], ["https://tempfile.aiquickdraw.com/crowd/7.png"]
    plans = {
        "by_ids": plan("by_ids", ids=ids, task_id="crowd_7", limit=24),
        "by_address": plan("by_address", urls=url, ids=ids, bucket="generations", paths=["a.png"], limit=24),
        "of_user": plan("of_user", user_id=str(CUSTOMER), limit=24),
        "twins": plan("twins", task_id="crowd_7"),
        "remade": plan("remade", request_key="again:x"),
    }
    for name, told in plans.items():
        assert '"Relation Name": "generations"' in told
        scans = [part for part in told.split("{") if '"Seq Scan"' in part]
        assert not any('"generations"' in part for part in scans), (name, told)
    for index in ("generations_result_urls", "idx_generations_asset_url", "stored_files_pkey"):
        assert index in plans["by_address"]
    assert "generations_task" in plans["by_ids"]
    assert "generations_of_user" in plans["of_user"]


def test_by_its_own_id_its_task_and_its_customer(crowd: None) -> None:
    mine = [one(user_id=None, task_id=f"mine_{n}") for n in range(2)]
    found = search.find(STAFF, str(mine[0]))
    assert found.by is By.GENERATION
    assert found.only is not None
    assert found.only.id == mine[0]
    found = search.find(STAFF, " 'mine_1', ")
    assert (found.by, found.only and found.only.id) == (By.TASK, mine[1])
    found = search.find(STAFF, "d0000000-0000-4000-8000-000000000007")
    assert (found.by, found.more, len(found.generations)) == (By.CUSTOMER, True, search.MOST)
    assert found.only is None
    times = [generation.created_at for generation in found.generations]
    assert times == sorted(times, reverse=True)


def test_a_task_that_is_an_id_in_shape_is_found_as_a_task(crowd: None) -> None:
    task = uuid.uuid4()
    made = one(task_id=str(task), provider="fal")
    assert [row.id for row in search.find(STAFF, str(task)).generations] == [made]
    of_kie = one(task_id=task.hex)
    assert [row.id for row in search.find(STAFF, task.hex).generations] == [of_kie]


def test_two_rows_of_one_task_are_both_found(crowd: None) -> None:
    made = {one(task_id="twice") for _ in range(2)}
    found = search.find(STAFF, "twice")
    assert {generation.id for generation in found.generations} == made
    assert found.only is None


def test_several_ids_are_a_list_of_exactly_those(crowd: None) -> None:
    made = [one() for _ in range(3)]
    found = search.find(STAFF, f"{made[0]},{made[2]}, {uuid.uuid4()}")
    assert {generation.id for generation in found.generations} == {made[0], made[2]}
    assert (found.by, found.only) == (By.GENERATION, None)


def test_a_task_that_only_a_callback_named_leads_to_its_generation(crowd: None) -> None:
    made = one(status="queued")
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO callback_inbox (provider, body_sha256, task_id, generation_id)"
            " VALUES ('kie', 'hash-named', 'named_only', %s)",
            (made,),
        )
    assert [row.id for row in search.find(STAFF, "named_only").generations] == [made]


@pytest.mark.parametrize(
    "pasted",
    [
        "https://files.example/own.png",
        "https://files.example/own.png?width=300",
        "https://tempfile.aiquickdraw.com/own/first.png",
        "https://tempfile.aiquickdraw.com/own/second.png",
        "https://x.supabase.co/storage/v1/object/sign/generations/kept/image/own.png?token=abc",
        "https://cdn.example.com/kept/image/own.png",
        "/files/generations/kept/image/own.png?sig=other",
    ],
)
def test_by_any_of_its_addresses(crowd: None, pasted: str) -> None:
    known = search.find(STAFF, "of_addresses").only
    made = known.id if known else _with_addresses()
    assert [row.id for row in search.find(STAFF, pasted).generations] == [made]


def _with_addresses() -> UUID:
    urls = [f"https://tempfile.aiquickdraw.com/own/{name}.png" for name in ("first", "second")]
    made = one(task_id="of_addresses", asset_url="https://files.example/own.png", result_urls=urls)
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO stored_files (bucket, path, generation_id, bytes, sha256, content_type, url)"
            " VALUES ('generations', 'kept/image/own.png', %s, 1, 'x', 'image/png', '/x')",
            (made,),
        )
    return made


def test_the_name_of_a_file_of_ours_holds_its_generation(crowd: None) -> None:
    made = one()
    pasted = f"https://anywhere.example/{CUSTOMER}/image/{made}_1700000000000.jpg"
    assert [row.id for row in search.find(STAFF, pasted).generations] == [made]


@pytest.mark.parametrize(
    ("pasted", "sentence"),
    [
        ("task_nobody_has", "No task has the id task_nobody_has"),
        ("5b0c0de5-7a53-4d0e-9c5b-1f2d3c4b5a69", "no customer with a generation"),
        ("https://files.example/unknown.png", "No generation has a file at this address"),
    ],
)
def test_what_nobody_knows_is_a_sentence(crowd: None, pasted: str, sentence: str) -> None:
    found = search.find(STAFF, pasted)
    assert found.generations == ()
    assert sentence in (found.sentence or "")


def test_nothing_pasted_lists_the_newest_ten(crowd: None) -> None:
    found = search.find(STAFF, "  ")
    assert (found.by, len(found.generations), found.only) == (By.NEWEST, 10, None)


def test_only_staff_may_look(crowd: None) -> None:
    viewer = Actor("person", "v", "V", frozenset({Role.VIEWER}), "page")
    with pytest.raises(NotAllowed):
        search.find(viewer, "x")
    with pytest.raises(InvalidInput):
        search.find(STAFF, "x" * 10_000)


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("ARRAY['https://a/1', 'https://a/2']", ["https://a/1", "https://a/2"]),
        ("""'["https://a/1", "https://a/2"]'::jsonb""", ["https://a/1", "https://a/2"]),
        ("""'["https://a/1"]'::json""", ["https://a/1"]),
        ("""'["https:\\/\\/a\\/1", "https://a/2"]'::text""", ["https://a/1", "https://a/2"]),
        ("'https://a/1'::text", ["https://a/1"]),
        ("'\"https://a/1\"'::jsonb", ["https://a/1"]),
        ("'{}'::text[]", []),
        ("NULL::text[]", []),
        ("'{\"a\": 1}'::jsonb", []),
        ("'[not json'::text", []),
        ("ARRAY[NULL, repeat('x', 100000)]", ["x" * 100_000]),
    ],
)
def test_the_keys_of_every_type_that_the_column_may_have(crowd: None, value: str, urls: list[str]) -> None:
    with database.reading() as connection:
        keys = connection.exec_driver_sql(f"SELECT studio_ops_url_keys({value})").scalar_one()
        wanted = connection.execute(
            text("SELECT coalesce(array_agg(hashtext(u)), '{}') FROM unnest(CAST(:urls AS text[])) u"),
            {"urls": urls},
        ).scalar_one()
    assert {key for key in keys or [] if key is not None} == set(wanted)


def test_the_company_may_still_change_the_columns_type(crowd: None) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE g (LIKE generations INCLUDING ALL)")
        connection.exec_driver_sql(
            "INSERT INTO g (id, result_urls) VALUES (gen_random_uuid(), ARRAY['https://a/1'])"
        )
        connection.exec_driver_sql(
            "ALTER TABLE g ALTER COLUMN result_urls TYPE jsonb USING to_jsonb(result_urls)"
        )
        connection.exec_driver_sql(
            "INSERT INTO g (id, result_urls) VALUES (gen_random_uuid(), '[\"https://a/2\"]')"
        )
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM g WHERE studio_ops_url_keys(result_urls) && ARRAY[hashtext('https://a/2')]"
        )
        assert found.scalar_one() == 1
