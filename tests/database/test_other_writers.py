"""Rows of `generations` that other systems write are followed like ours, and never refused."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import DictRow, dict_row

ID = "10000000-0000-4000-8000-000000000001"
FILE = "https://files.example/1.jpg"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def insert(connection: psycopg.Connection, **values: Any) -> DictRow:
    """Write a row as another system does; the row as it then stands."""
    columns = {"id": ID, **values}
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            sql.SQL("INSERT INTO generations ({}) VALUES ({}) RETURNING *, now() AS now").format(
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                sql.SQL(", ").join(map(sql.Literal, columns.values())),
            )
        )
        row = cursor.fetchone()
    assert row is not None
    return row


def change(connection: psycopg.Connection, **values: Any) -> DictRow:
    """Change the row; the row as it then stands."""
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            sql.SQL("UPDATE generations SET {} WHERE id = {} RETURNING *, now() AS now").format(
                sql.SQL(", ").join(
                    sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))
                    for name, value in values.items()
                ),
                sql.Literal(ID),
            )
        )
        row = cursor.fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("row", "state"),
    [
        ({"status": "queued", "task_id": "t"}, "awaiting_provider"),
        ({"status": "generating", "task_id": "t"}, "awaiting_provider"),
        ({"status": "processing", "task_id": "t"}, "awaiting_provider"),
        ({"status": " Pending ", "task_id": "t"}, "awaiting_provider"),
        ({"status": "generating", "task_id": "t", "provider": None}, "awaiting_provider"),
        ({"status": "success", "task_id": "t"}, "awaiting_delivery"),
        ({"status": "completed", "task_id": "t", "asset_url": " "}, "awaiting_delivery"),
        ({"status": "success", "task_id": "t", "asset_url": FILE}, "delivered"),
        ({"status": "failed", "task_id": "t"}, "failed"),
        ({"status": "canceled"}, "failed"),
        ({"status": "queued"}, None),
        ({"status": "queued", "task_id": ""}, None),
        ({"status": "generating", "task_id": "t", "provider": "fal"}, None),
        ({"status": "zombie", "task_id": "t"}, None),
        ({"status": None, "task_id": "t"}, None),
        ({}, None),
        ({"status": "queued", "delivery_state": "intent"}, "intent"),
        ({"status": "success", "asset_url": FILE, "delivery_state": "needs_attention"}, "needs_attention"),
    ],
)
def test_a_new_row(connection: psycopg.Connection, row: dict[str, Any], state: str | None) -> None:
    written = insert(connection, **row)
    assert written["delivery_state"] == state
    assert {name: written[name] for name in row} == row, "what they write stays as it is"
    due = state in ("awaiting_provider", "awaiting_delivery")
    assert written["next_attempt_at"] == (written["now"] if due else None)
    assert (written["attempt"], written["attempt_priority"]) == (0, 2)


@pytest.mark.parametrize(
    ("before", "changes", "state"),
    [
        # adopted as soon as there is something to follow
        ({"status": "queued"}, {"task_id": "t"}, "awaiting_provider"),
        ({"status": "queued"}, {"status": "success", "asset_url": FILE}, "delivered"),
        ({"status": "zombie", "task_id": "t"}, {"status": "generating"}, "awaiting_provider"),
        (
            {"status": "generating", "task_id": "t", "provider": "fal"},
            {"provider": "kie"},
            "awaiting_provider",
        ),
        # their own callback or clean-up was faster
        ({"status": "generating", "task_id": "t"}, {"status": "success", "asset_url": FILE}, "delivered"),
        ({"status": "generating", "task_id": "t"}, {"status": "completed"}, "awaiting_delivery"),
        ({"status": "success", "task_id": "t"}, {"asset_url": FILE}, "delivered"),
        ({"status": "generating", "task_id": "t"}, {"status": "error"}, "awaiting_provider"),
        ({"status": "success", "task_id": "t"}, {"status": "failed"}, "awaiting_delivery"),
        ({"status": "success", "task_id": "t"}, {"task_id": "u"}, "awaiting_provider"),
        ({"status": "failed", "task_id": "t"}, {"status": "success"}, "awaiting_delivery"),
        ({"status": "failed", "task_id": "t"}, {"status": "generating", "task_id": "u"}, "awaiting_provider"),
        ({"status": "generating", "task_id": "t"}, {"status": "zombie"}, "awaiting_provider"),
        # what we know better
        ({"status": "success", "task_id": "t", "asset_url": FILE}, {"status": "generating"}, "delivered"),
        ({"status": "success", "task_id": "t", "asset_url": FILE}, {"status": "failed"}, "delivered"),
        ({"status": "success", "task_id": "t", "asset_url": FILE}, {"asset_url": None}, "awaiting_delivery"),
        (
            {"status": "success", "task_id": "t", "asset_url": FILE},
            {"asset_url": None, "status": "queued"},
            "awaiting_provider",
        ),
        ({"delivery_state": "intent", "status": "queued"}, {"status": "failed"}, "intent"),
        (
            {"delivery_state": "sending", "status": "queued"},
            {"status": "generating", "task_id": "t"},
            "sending",
        ),
        ({"delivery_state": "lost", "status": "failed", "task_id": "t"}, {"status": "success"}, "lost"),
        (
            {"delivery_state": "lost", "status": "failed", "task_id": "t"},
            {"asset_url": FILE, "status": "success"},
            "delivered",
        ),
        (
            {"delivery_state": "needs_attention", "status": "generating", "task_id": "t"},
            {"status": "queued"},
            "needs_attention",
        ),
        (
            {"delivery_state": "awaiting_delivery", "status": "success", "task_id": "t"},
            {"status": "generating"},
            "awaiting_delivery",
        ),
        # not what a state follows from
        ({"status": "queued"}, {"prompt": "x"}, None),
        ({"status": "generating", "task_id": "t"}, {"prompt": "x"}, "awaiting_provider"),
        # ours is taken as it is
        ({"status": "generating", "task_id": "t"}, {"status": "success", "delivery_state": "lost"}, "lost"),
    ],
)
def test_a_changed_row(
    connection: psycopg.Connection, before: dict[str, Any], changes: dict[str, Any], state: str | None
) -> None:
    insert(connection, **before)
    written = change(connection, **changes)
    assert written["delivery_state"] == state
    assert {name: written[name] for name in changes} == changes


def test_a_delivery_of_theirs_ends_ours(connection: psycopg.Connection) -> None:
    insert(connection, status="generating", task_id="t")
    change(connection, lease_until=LATER, lease_token=ID, attempt=3)
    written = change(connection, status="success", asset_url=FILE)
    assert (written["lease_until"], written["lease_token"], written["next_attempt_at"]) == (None, None, None)
    assert written["delivered_at"] == written["now"]


def test_a_state_that_moves_is_due_at_once(connection: psycopg.Connection) -> None:
    insert(connection, status="generating", task_id="t", next_attempt_at=LATER)
    assert change(connection, attempt=4)["next_attempt_at"] == LATER
    written = change(connection, status="success")
    assert (written["next_attempt_at"], written["attempt"]) == (written["now"], 0)
    again = change(connection, asset_url=FILE)
    assert again["delivered_at"] is not None
    lost_file = change(connection, asset_url=None)
    assert (lost_file["delivered_at"], lost_file["next_attempt_at"]) == (None, lost_file["now"])


def test_our_own_time_of_the_next_attempt_stays(connection: psycopg.Connection) -> None:
    insert(connection, status="queued", task_id="t", next_attempt_at=LATER)
    written = change(connection, status="generating", next_attempt_at=LONG_AGO)
    assert (written["delivery_state"], written["next_attempt_at"]) == ("awaiting_provider", LONG_AGO)


def test_updated_at_follows_our_states_alone(connection: psycopg.Connection) -> None:
    insert(connection, status="queued", task_id="t", updated_at=LONG_AGO)
    assert change(connection, prompt="theirs")["updated_at"] == LONG_AGO
    assert change(connection, lease_until=LATER)["updated_at"] == LONG_AGO
    written = change(connection, delivery_state="awaiting_delivery")
    assert written["updated_at"] == written["now"]
    assert change(connection, delivery_state="lost", updated_at=LONG_AGO)["updated_at"] == LONG_AGO


def test_a_state_that_does_not_exist_is_refused(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
        insert(connection, delivery_state="on_its_way")


@pytest.mark.parametrize(
    "breakage",
    [
        (
            "CREATE OR REPLACE FUNCTION generation_status(word text) RETURNS text LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'broken'; END $$"
        ),
        "DROP FUNCTION generation_delivery_state(text, text, text, text)",
        "ALTER TABLE generations RENAME COLUMN task_id TO provider_task_id",
        "ALTER TABLE generations DROP COLUMN updated_at, DROP COLUMN asset_url CASCADE",
        "ALTER TABLE generations ALTER COLUMN status DROP DEFAULT, ALTER COLUMN status TYPE int USING NULL",
    ],
)
def test_a_write_goes_through_whatever_is_broken(connection: psycopg.Connection, breakage: str) -> None:
    insert(connection, task_id="t")
    connection.execute(breakage.encode())
    change(connection, prompt="x", delivery_state=None)
    connection.execute("INSERT INTO generations (prompt, status) VALUES ('y', NULL)")
    (count,) = connection.execute("SELECT count(*) FROM generations").fetchone() or (0,)
    assert count == 2


def test_the_companys_columns_may_still_change_their_types(migrated_database: str) -> None:
    with psycopg.connect(migrated_database, autocommit=True) as before:
        insert(before, status="queued", task_id="t")
        for column in ("status", "task_id", "asset_url", "provider"):
            before.execute(
                sql.SQL("ALTER TABLE generations ALTER COLUMN {} TYPE varchar(200)").format(
                    sql.Identifier(column)
                )
            )
        # A session from before the change goes on writing; one from after it is followed again.
        assert change(before, status="success")["status"] == "success"
        with psycopg.connect(migrated_database) as after:
            assert change(after, asset_url=FILE)["delivery_state"] == "delivered"


def test_values_too_long_for_a_btree_are_stored(connection: psycopg.Connection) -> None:
    (noise,) = connection.execute(
        "SELECT string_agg(sha256(n::text::bytea)::text, '') FROM generate_series(1, 200) n"
    ).fetchone() or ("",)
    assert insert(connection, status="success", task_id=noise, asset_url=noise)["asset_url"] == noise


def test_one_task_may_stand_in_several_rows(connection: psycopg.Connection) -> None:
    for number in (1, 2, 3):
        connection.execute(
            "INSERT INTO generations (status, task_id, prompt) VALUES ('generating', 'same', %s)",
            (str(number),),
        )
    rows = connection.execute("SELECT delivery_state FROM generations WHERE task_id = 'same'").fetchall()
    assert rows == [("awaiting_provider",)] * 3


@pytest.mark.parametrize(
    ("before", "changes", "differs"),
    [
        ({"status": "success", "task_id": "t", "asset_url": FILE}, {"status": "failed"}, True),
        ({"status": "success", "task_id": "t", "asset_url": FILE}, {"status": "generating"}, True),
        ({"status": "success", "task_id": "t", "asset_url": FILE}, {"status": "completed"}, False),
        ({"status": "success", "task_id": "t", "asset_url": FILE}, {"status": "archived"}, False),
        ({"status": "success", "task_id": "t", "asset_url": FILE}, {"prompt": "x"}, False),
        ({"delivery_state": "lost", "status": "failed", "task_id": "t"}, {"status": "success"}, True),
        ({"delivery_state": "lost", "status": "failed", "task_id": "t"}, {"status": "error"}, False),
        ({"status": "generating", "task_id": "t"}, {"status": "failed"}, False),
        ({"delivery_state": "needs_attention", "status": "queued"}, {"status": "failed"}, False),
    ],
)
def test_a_status_that_contradicts_the_end_is_noted(
    connection: psycopg.Connection, before: dict[str, Any], changes: dict[str, Any], differs: bool
) -> None:
    assert insert(connection, **before)["status_differs_at"] is None
    written = change(connection, **changes)
    assert written["status_differs_at"] == (written["now"] if differs else None)
    assert {name: written[name] for name in changes} == changes
    assert change(connection, status=before["status"])["status_differs_at"] is None


def test_how_often_another_task_took_the_place_is_counted(connection: psycopg.Connection) -> None:
    def number(**changes: Any) -> int:
        return int(change(connection, **changes)["task_number"])

    assert insert(connection, status="queued")["task_number"] == 0
    assert number(task_id="a") == 0
    assert number(status="success", asset_url=FILE) == 0
    assert number(task_id=None, status="queued", asset_url=None) == 1
    assert number(task_id="b") == 1
    assert number(task_id="c", status="generating") == 2
