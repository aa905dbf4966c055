"""Several workers at one delivery: one works, the others do nothing, and who lost its row records nothing."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from core.deliveries import following, moving, policy, tools
from core.deliveries.tools import Tools
from tests.journeys.world import World, until


def finished(world: World, prompt: str = "finished") -> tuple[str, str]:
    """A generation that KIE has finished and nobody has looked at yet, and its task."""
    made = world.create(f"{prompt} [[fault:callback_lost]]")
    world.finished_at_kie(made["taskId"])
    world.due(made["generationId"])
    return made["generationId"], made["taskId"]


def test_twenty_threads_deliver_once(world: World) -> None:
    one, task = finished(world)
    barrier = threading.Barrier(20)

    def work() -> None:
        barrier.wait(10)
        following.advance(UUID(one), tools.current())

    with ThreadPoolExecutor(20) as pool:
        for done in [pool.submit(work) for _ in range(20)]:
            done.result()
    until(lambda: world.row(one).delivery_state == "delivered")
    kinds = world.events(one)
    assert [kinds.count(kind) for kind in ("result_ready", "stored", "delivered")] == [1, 1, 1]
    assert len(world.files()) == 1
    assert len(world.calls("file", task=task)) == 1
    assert len(world.calls("read", task=task)) == 1


def test_while_another_worker_holds_the_row_nothing_happens(world: World) -> None:
    one, task = finished(world)
    world.sql("UPDATE generations SET lease_until = now() + interval '30 s' WHERE id = %s", one)
    before = world.row(one)
    assert world.advance(one) == before
    assert (world.poll(), world.sweep()) == (0, 0)
    assert world.calls("read", task=task) == []


def test_a_lease_that_ran_out_is_taken_over(world: World) -> None:
    one, _ = finished(world)
    world.sql(
        "UPDATE generations SET lease_until = now() - interval '1 s', lease_token = %s WHERE id = %s",
        uuid.uuid4(),
        one,
    )
    assert world.advance(one).delivery_state == "delivered"


def test_two_polls_at_once_read_each_record_once(world: World) -> None:
    tasks = [finished(world, f"number {n}")[1] for n in range(6)]
    with ThreadPoolExecutor(2) as pool:
        read = [done.result() for done in [pool.submit(world.poll) for _ in range(2)]]
    assert sum(read) == 6
    assert sorted(call["task"] for call in world.calls("read")) == sorted(tasks)
    world.work()
    assert len(world.files()) == 6


@dataclass
class Frozen:
    """Stops a worker for longer than its lease at the moment it uses this tool, while others go on."""

    world: World
    generation: str
    meanwhile: Callable[[], Any]
    thaws: int = 0

    def freeze(self) -> None:
        self.thaws += 1
        if self.thaws == 1:
            self.world.sql(
                "UPDATE generations SET lease_until = now() - interval '1 s' WHERE id = %s", self.generation
            )
            self.meanwhile()

    def at_record(self) -> Tools:
        kie, freeze = tools.current().providers["kie"], self.freeze

        class Kie:
            def record(self, task_id: str, *more: Any) -> Any:
                found = kie.record(task_id)
                freeze()
                return found

        with_kie: Any = Kie()
        return replace(tools.current(), providers={"kie": with_kie})

    def at_fetch(self) -> Tools:
        fetch, freeze = tools.current().fetch, self.freeze

        class Fetch:
            def open_stream(self, url: str) -> Any:
                freeze()
                return fetch.open_stream(url)

        with_fetch: Any = Fetch()
        return replace(tools.current(), fetch=with_fetch)

    def at_sleep(self) -> Tools:
        return replace(tools.current(), sleep=lambda _: self.freeze())

    def anywhere(self) -> Tools:
        return replace(self.at_sleep(), fetch=self.at_fetch().fetch)

    def before_recording(self) -> Tools:
        """Frozen when the file is stored and the row not yet updated."""
        storage, freeze = tools.current().storage, self.freeze

        class Store:
            def __getattr__(self, name: str) -> Any:
                return getattr(storage, name)

            def url(self, bucket: str, path: str) -> str:
                freeze()
                return storage.url(bucket, path)

        with_storage: Any = Store()
        return replace(tools.current(), storage=with_storage)


FREEZES = ("at_sleep", "at_record", "at_fetch", "before_recording")


@pytest.mark.parametrize("where", FREEZES)
def test_a_worker_frozen_past_its_lease_records_nothing(world: World, where: str) -> None:
    """Another one takes over and delivers; the frozen one wakes up and changes nothing."""
    one, _ = finished(world)
    seen: list[tuple[Any, list[str], list[Any]]] = []

    def take_over() -> None:
        assert world.advance(one).delivery_state == "delivered"
        seen.append((world.row(one), world.events(one), world.sql("SELECT to_jsonb(f) FROM stored_files f")))

    frozen = Frozen(world, one, take_over)
    following.advance(UUID(one), getattr(frozen, where)())
    assert frozen.thaws >= 1
    row, events, files = seen[0]
    assert world.row(one) == row
    assert world.events(one) == events
    assert world.sql("SELECT to_jsonb(f) FROM stored_files f") == files
    assert events.count("delivered") == 1
    assert len(world.files()) == 1
    assert len(world.sql("SELECT 1 FROM job_costs")) == 1


@pytest.mark.parametrize(
    "marker", ["stuck", "dead@read", "provider_fail=500", "unknown_state", "expired_url=404", "html_as_jpg"]
)
def test_a_worker_that_lost_its_row_tells_nothing_of_what_it_saw(world: World, marker: str) -> None:
    """Whatever its read or its download said: the row and its timeline belong to the new holder."""
    made = world.create(f"lost row [[fault:{marker}]] [[fault:callback_lost]]")
    one = made["generationId"]
    if not marker.startswith(("stuck", "unknown")):
        world.finished_at_kie(made["taskId"])
    if marker.startswith(("expired", "html")):
        world.poll()
        world.due(one)
        world.poll()
    world.due(one)
    holder = uuid.uuid4()

    def lose() -> None:
        world.sql(
            "UPDATE generations SET lease_token = %s, lease_until = now() + interval '1 min' WHERE id = %s",
            holder,
            one,
        )

    before = world.events(one)
    following.advance(UUID(one), Frozen(world, one, lose).anywhere())
    row = world.row(one)
    assert (row.lease_token, world.events(one)) == (holder, before)
    assert row.delivery_state in {"awaiting_provider", "awaiting_delivery"}


def test_a_lease_is_renewed_while_a_file_streams_however_slowly(world: World) -> None:
    """A chunk every 20 s, for far longer than a lease lasts: the row stays with its worker."""
    one, _ = finished(world, "[[fault:file_size=400000]]")
    start = datetime.now(UTC)
    passed = [timedelta()]
    fetch = tools.current().fetch
    stolen: list[int] = []

    class Slow:
        def open_stream(self, url: str) -> Any:
            return _SlowStream(fetch.open_stream(url), tick)

    def tick() -> None:
        passed[0] += timedelta(seconds=20)
        lease_until = world.row(one).lease_until
        if lease_until is None or lease_until <= start + passed[0]:
            stolen.append(1)

    with_fetch: Any = Slow()
    slow = replace(tools.current(), fetch=with_fetch, clock=lambda: start + passed[0])
    row = following.advance(UUID(one), slow)
    assert row is not None
    assert row.delivery_state == "delivered"
    assert passed[0] > 2 * policy.LEASE
    assert not stolen
    assert moving.RENEW_EVERY * 2 < policy.LEASE


class _SlowStream:
    def __init__(self, opened: Any, tick: Callable[[], None]) -> None:
        self._opened = opened
        self._tick = tick

    def __enter__(self) -> Any:
        source = self._opened.__enter__()
        tick = self._tick

        def chunks() -> Any:
            for chunk in source.chunks:
                for at in range(0, len(chunk), 32_768):
                    tick()
                    yield chunk[at : at + 32_768]

        return replace(source, chunks=chunks())

    def __exit__(self, *error: Any) -> Any:
        return self._opened.__exit__(*error)
