"""What fal reports and what a pod pushes: only a signed word counts, and it only hurries the next look."""

import json
import time
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest

from core.errors import StorageError
from core.trainings import cleaning, detail, pushing
from core.trainings.models import RunState
from tests.journeys.training_world import STAFF, Trainings
from tests.journeys.world import until


def following(trainings: Trainings, **faults: Any) -> Any:
    """A run whose training is under way at fal."""
    trainings.world.sandbox.put("faults", **faults)
    made = trainings.launch()
    trainings.at(made.id, "training")
    return trainings.step(made.id)


def heard(trainings: Trainings, run: Any) -> list[Any]:
    return trainings.world.sql(
        "SELECT remote_id, says, duplicates FROM training_webhooks WHERE run_id = %s", run.id
    )


def test_a_webhook_makes_the_run_due_at_once(trainings: Trainings) -> None:
    run = following(trainings)
    until(lambda: heard(trainings, run))
    row = trainings.run(run.id)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at <= trainings.tools.clock()
    trainings.world.work()
    assert trainings.run(run.id).stage != "training"


def test_a_webhook_that_comes_twice_counts_once(trainings: Trainings) -> None:
    run = following(trainings, webhook_twice={"at": ["fal_training"]})
    until(lambda: [row for row in heard(trainings, run) if row.duplicates])
    assert len(heard(trainings, run)) == 1
    assert trainings.events(run.id).count("webhook") == 1


@pytest.mark.parametrize("fault", ["webhook_forged", "webhook_unsigned", "webhook_never"])
def test_a_run_does_without_a_good_webhook(trainings: Trainings, fault: str) -> None:
    run = following(trainings, **{fault: {"at": ["fal_training"]}})
    assert trainings.at(run.id, "storing").state == "running"
    assert "webhook" not in trainings.events(run.id) or fault == "webhook_forged"


def test_what_is_not_signed_or_belongs_to_nobody_is_refused(trainings: Trainings) -> None:
    run = following(trainings)
    base = trainings.world.environment["PUBLIC_BASE_URL"]
    body = {"request_id": "somebody's", "status": "OK"}
    headers = {
        "X-Fal-Webhook-Request-Id": "1",
        "X-Fal-Webhook-User-Id": "u",
        "X-Fal-Webhook-Timestamp": str(int(time.time())),
        "X-Fal-Webhook-Signature": "00" * 64,
    }
    for given in ({}, headers):
        answer = httpx.post(f"{base}/api/fal/webhook", params={"run": str(run.id)}, json=body, headers=given)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in")
    answer = httpx.post(f"{base}/api/fal/webhook", params={"run": "no-id"}, json=body)
    assert answer.status_code == 400
    assert [row.says for row in heard(trainings, run)] in ([], ["OK"])


# What a pod pushes.


def test_a_pod_tells_its_progress_and_pushes_its_weights_to_signed_addresses(trainings: Trainings) -> None:
    run = following(trainings, training_queued={"at": ["fal_training"]})
    targets = pushing.targets(run.id, trainings.tools)
    told = {"run_id": str(run.id), "state": "training", "step": 5, "steps": 10}
    assert httpx.put(targets.progress_url, json=told).status_code == 204
    [(pushed,)] = trainings.world.sql("SELECT pushed FROM training_calls WHERE id = %s", run.id)
    assert pushed == told
    weights = bytes(3_000_000)
    assert httpx.put(targets.weights_url, content=weights).status_code == 204
    kept = trainings.tools.storage.stat("lora-models", pushing.incoming_path(run.id))
    assert kept is not None
    assert kept.bytes == len(weights)


def test_an_address_that_was_not_signed_takes_nothing(trainings: Trainings) -> None:
    run = following(trainings, training_queued={"at": ["fal_training"]})
    targets = pushing.targets(run.id, trainings.tools)
    other = pushing.targets(uuid.uuid4(), trainings.tools)
    for url in (targets.progress_url, targets.weights_url):
        assert httpx.put(url[:-1] + ("0" if url[-1] != "0" else "1"), json={}).status_code == 401
        swapped = url.split("?")[0] + "?" + other.progress_url.split("?")[1]
        assert httpx.put(swapped, json={}).status_code == 401
    assert httpx.put(other.progress_url, json={}).status_code == 404
    assert httpx.put(other.weights_url, content=b"x").status_code == 404
    assert httpx.put(targets.progress_url, content=b"[]").status_code == 400
    assert httpx.put(targets.progress_url, content=json.dumps({"a": "x" * 2_000_000})).status_code == 413


# What is left behind.


def over(trainings: Trainings, made: Any, interval: str) -> None:
    """Let the run have been over for so long."""
    trainings.world.sql(
        "UPDATE lora_training_jobs SET completed_at = now() - CAST(%s AS interval) WHERE id = %s",
        interval,
        made.id,
    )


def test_zips_go_after_a_day_and_pictures_after_a_month(trainings: Trainings) -> None:
    made = trainings.completed()
    assert trainings.clean() == 0
    trainings.world.sql("UPDATE lora_training_jobs SET zip_built_at = now() - interval '25 hours'")
    trainings.world.sql("UPDATE training_zips SET used_at = now() - interval '25 hours'")
    assert trainings.clean() == 0
    over(trainings, made, "25 hours")
    storage = trainings.tools.storage
    assert made.zip_bucket
    assert made.zip_path
    assert storage.stat(made.zip_bucket, made.zip_path) is not None
    assert trainings.clean() == 1
    assert storage.stat(made.zip_bucket, made.zip_path) is None
    assert trainings.run(made.id).zip_path is None
    freed = "SELECT bytes FROM training_events WHERE run_id = %s AND kind = 'zip_removed'"
    assert trainings.world.sql(freed, made.id) == [(made.zip_bytes,)]
    assert f"{made.zip_bytes:,} bytes freed" in trainings.log(made.id)
    assert len(storage.find("lora-validation", "studio-ops/")) == 3
    trainings.world.sql(
        "UPDATE training_calls SET ended_at = now() - interval '31 days' WHERE run_id = %s", made.id
    )
    assert trainings.clean() == 3
    assert storage.find("lora-validation", "studio-ops/") == []
    seen = detail.of_run(STAFF, made.id, trainings.tools)
    assert [picture.url for picture in seen.pictures] == [None] * 3
    assert seen.weights_url
    assert trainings.clean() == 0


def test_a_zip_that_cannot_be_removed_holds_no_other_up(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, fine = trainings.completed(), trainings.completed(draft_id=trainings.draft(pictures=5))
    for made in (stuck, fine):
        over(trainings, made, "2 days")
    trainings.world.sql("UPDATE training_zips SET used_at = now() - interval '2 days'")
    zips = trainings.tools.dataset.zips
    delete = zips.delete

    def refuses(bucket: str, path: str) -> bool:
        if path == stuck.zip_path:
            raise StorageError("Our storage refuses.", retryable=True)
        return delete(bucket, path)

    with monkeypatch.context() as patch:
        patch.setattr(zips, "delete", refuses)
        with pytest.raises(StorageError):
            trainings.clean()
    assert trainings.run(fine.id).zip_path is None
    assert trainings.run(stuck.id).zip_path
    assert trainings.clean() == 1


def test_a_zip_that_a_run_still_needs_stays(trainings: Trainings) -> None:
    run = following(trainings, training_queued={"at": ["fal_training"]})
    trainings.world.sql("UPDATE lora_training_jobs SET zip_built_at = now() - interval '2 days'")
    trainings.world.sql("UPDATE training_zips SET used_at = now() - interval '2 days'")
    assert trainings.clean() == 0
    assert trainings.run(run.id).zip_path


def test_what_a_run_left_at_its_provider_is_given_back_by_the_sweep(trainings: Trainings) -> None:
    run = following(trainings, training_queued={"at": ["fal_training"]})
    trainings.world.sql(
        "UPDATE lora_training_jobs SET state = 'failed', next_attempt_at = NULL, lease_token = NULL,"
        " updated_at = now() - interval '1 hour' WHERE id = %s",
        run.id,
    )
    assert cleaning.sweep_orphans(trainings.tools) == 1
    assert [one["stage"] for one in trainings.paid(run.id)] == ["cancelled"]
    assert cleaning.sweep_orphans(trainings.tools) == 0
    assert trainings.run(run.id).state is RunState.FAILED
    assert timedelta(minutes=5) < cleaning.POD_GRACE
