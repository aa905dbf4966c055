"""Every fault of the sandbox, each with the end that it must come to."""

from dataclasses import dataclass

import pytest

from core.sandbox.fault_table import KIE_FAULTS
from tests.journeys.world import World, until


@dataclass(frozen=True)
class Delivered:
    """A fault that a delivery survives; `leaves` are events that must stand on its timeline."""

    reason: str
    marker: str
    leaves: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    files: int = 1


SURVIVED = (
    Delivered("a slow createTask is waited for", "latency@create=0.3", ("accepted",)),
    Delivered("a slow record is waited for", "latency@read=0.3", ("result_ready",)),
    Delivered("a slow file is waited for", "latency@file=0.3", ("stored",)),
    Delivered("a record that breaks off is asked for again", "dead@read*1", ("poll_failed",)),
    Delivered("a file that breaks off is fetched again", "dead@file*1", ("download_failed",)),
    Delivered("a record refused by the rate limit is read later", "rate_limited@read*1", ("poll_failed",)),
    Delivered("a record behind a 5xx is read later", "server_error@read=502*1", ("poll_failed",)),
    Delivered("a file behind a 5xx is fetched later", "server_error@file=503*1", ("download_failed",)),
    Delivered("an error in a 200 is no record", "error_in_200@read=500*1", ("poll_failed",)),
    Delivered("429 is a refusal: sent later, once", "rate_limited@create*1", ("refused", "accepted")),
    Delivered("maintenance is a refusal: sent later", "error_in_200@create=455*1", ("refused", "accepted")),
    Delivered(
        "a lost answer is known again by its callback",
        "answer_lost",
        ("answer_lost", "callback", "bound"),
        ("accepted",),
    ),
    Delivered(
        "a 5xx after acceptance is no refusal",
        "accepted_then_error=502",
        ("answer_lost", "callback", "bound"),
        ("accepted", "refused"),
    ),
    Delivered("without a callback the poll delivers", "callback_lost", ("accepted",), ("callback",)),
    Delivered("two equal callbacks deliver once", "callback_duplicate=3", ("callback",)),
    Delivered("a callback before the answer", "callback_before_answer", ("callback", "accepted")),
    Delivered(
        "“failed” before “success” fails nothing", "callback_reordered", ("callback",), ("provider_failed",)
    ),
    Delivered(
        "“generating” after the end undoes nothing",
        "callback_reordered=generating_last",
        ("callback",),
        ("provider_failed",),
    ),
    Delivered("another task's callback delivers nothing of its own", "callback_forged", ("callback",)),
    Delivered("a callback with a wrong secret is not heard", "callback_forged=secret", ("accepted",)),
    Delivered("a record that is null right after the create", "record_null=1", ("accepted",), ("lost",)),
    Delivered("every file of several is kept", "multi_result=3", ("result_ready",), files=3),
    Delivered("a file that ends early is fetched again", "truncated_file*1", ("download_failed",)),
    Delivered("an expired URL is asked for anew", "expired_url=403*1", ("stored",), ("download_failed",)),
    Delivered("half a file under its own length is no file", "short_file_ok*1", ("download_failed",)),
    Delivered("a page in the file's place is no file", "html_as_jpg*1", ("download_failed",)),
    Delivered("a wrong type is overruled by the bytes", "wrong_content_type=text/html", ("stored",)),
    Delivered("no room is waited for", "storage_full*2", ("download_failed", "stored")),
    Delivered("a storage that fails is tried again", "storage_error*1", ("download_failed", "stored")),
    Delivered("a file of unsaid size is taken", "no_content_length", ("stored",)),
    Delivered("a file of any size is taken", "file_size=3000000", ("stored",)),
)


@pytest.mark.parametrize("case", SURVIVED, ids=lambda case: case.marker)
def test_a_delivery_survives(world: World, case: Delivered) -> None:
    world.sandbox.put("settings", file_bytes=0 if "short_file" in case.marker else 60_000)
    made = world.create(f"a harbour at night [[fault:{case.marker}]]")["generationId"]
    row = world.settle(made, {"delivered"})
    kinds = world.events(made)
    assert (row.status, kinds.count("delivered"), kinds.count("result_ready")) == ("success", 1, 1)
    assert not set(case.leaves) - set(kinds), case.reason
    assert not set(case.never) & set(kinds), case.reason
    assert world.paid(made) == 1
    assert row.asset_url is not None
    assert world.web.get(row.asset_url).status_code == 200
    assert len(world.files()) == case.files == kinds.count("stored")
    assert (row.failure_category, row.failure_message, row.lease_until) == (None, None, None)


def test_every_fault_has_a_journey() -> None:
    named = {case.marker.partition("@")[0].partition("=")[0].partition("*")[0] for case in SURVIVED}
    alone = {"callback_late", "unknown_state", "stuck", "empty_result", "provider_fail", "redirect_private"}
    alone |= {"callback_unsigned", "callback_replayed", "database_cut"}  # test_faults_own.py
    assert named | alone == set(KIE_FAULTS)
    assert not named & alone


def test_a_file_of_300_mb_is_delivered_whole(world: World) -> None:
    made = world.create("a film in full [[fault:file_size=300000000]] [[fault:callback_lost]]")[
        "generationId"
    ]
    row = world.settle(made, {"delivered"}, seconds=40)
    assert row.asset_url is not None
    assert int(world.web.head(row.asset_url).headers["content-length"]) == 300_000_000
    [(size,)] = world.sql("SELECT bytes FROM stored_files")
    assert size == 300_000_000


def test_a_storage_without_room_loses_nothing_and_says_so(world: World) -> None:
    """By rate: every file is refused until there is room again."""
    world.sandbox.put("faults", storage_full=1.0)
    made = world.create("full")["generationId"]
    until(lambda: world.step(made).attempt >= 1)
    row = world.row(made)
    assert row.delivery_state == "awaiting_delivery"
    assert "is full" in (row.failure_message or "")
    assert world.files() == []
    world.sandbox.put("faults")
    world.due(made)
    assert world.settle(made, {"delivered"}).asset_url
    assert world.paid(made) == 1
