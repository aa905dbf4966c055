"""A worker that is killed with deliveries in its hands: another finishes them within a minute.

Half of the minute passes by ageing everything that a clock is held against; the other half passes.
"""

import time
from datetime import timedelta

from tests.crash.stage import Stage, until

DELIVERIES = 6
WITHIN_S = 60.0
AGED = timedelta(seconds=30)


def test_a_killed_workers_deliveries_are_finished_by_another_within_a_minute(stage: Stage) -> None:
    stage.sandbox.put("settings", file_latency_seconds=300)
    stage.fork(*stage.web())
    stage.fork("jobs", "clock")
    stage.web_answers()
    made = [stage.create(send_later=True) for _ in range(DELIVERIES)]
    victim = stage.fork("jobs", "worker")
    held = (
        "SELECT 1 FROM generations WHERE delivery_state = 'awaiting_delivery' AND lease_until > now()"
        " AND id = ANY(%(made)s::uuid[])"
    )
    until(lambda: len(stage.sql(held, made=made)) == DELIVERIES, what="the worker's hold of all")
    stage.fork("jobs", "worker")
    stage.sandbox.put("settings", file_latency_seconds=0)
    killed_at = time.monotonic()
    stage.stop(victim)
    stage.time_passes(AGED)
    left_s = WITHIN_S - AGED.total_seconds()
    until(lambda: stage.states(made) == {"delivered"}, seconds=left_s, what="the delivery of all")
    assert time.monotonic() - killed_at < left_s
    for generation in made:
        stage.assert_delivered_once(generation)
