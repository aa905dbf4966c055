"""One contract over every trainer, against the sandbox over real HTTP, from the registry's own clients."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.errors import ErrorCategory, NotFound, NotSignedIn, ProviderError
from core.providers import fal_images, hugging_face, training_registry
from core.providers.training import (
    Cancelled,
    NotFindable,
    PushTargets,
    Submission,
    TrainingRecord,
    TrainingRequest,
    TrainingState,
)
from core.providers.training_registry import TRAINERS, Account
from core.settings import Settings, load
from tests.conftest import SANDBOX_KEY, Sandbox
from tests.providers.sandbox_rig import receiver, until
from tests.providers.training_rig import Shelf, shelf

# Whose API can be asked by our run's id, and whose service sends webhooks.
FINDABLE = {"replicate", "runpod"}
TELLING = {"fal": "fal", "replicate": "replicate"}
STUCK = {"training_queued": True}


@dataclass
class World:
    """A trainer with the sandbox on its other side."""

    name: str
    trainer: Account
    stranger: Account
    sandbox: Sandbox
    files: Shelf
    run_id: UUID = field(default_factory=uuid4)

    def request(self, **changes: Any) -> TrainingRequest:
        usual: dict[str, Any] = {
            "run_id": self.run_id,
            "dataset_url": self.files.zip(),
            "images": 4,
            "trigger_word": "ohwx woman",
            "steps": 200,
            "push": PushTargets(
                f"{self.files.url}/lora.safetensors?sig=w", f"{self.files.url}/progress.json?sig=p"
            ),
        }
        return TrainingRequest(**{**usual, **changes})

    def submit(self, **changes: Any) -> Submission:
        request = self.request(**changes)
        self.trainer.prepare(request)
        return self.trainer.submit(request)

    def settled(self, submission: Submission) -> TrainingRecord:
        return self.reaches(submission, lambda record: record.state.is_final)

    def reaches(self, submission: Submission, enough: Callable[[TrainingRecord], bool]) -> TrainingRecord:
        """The record once it is `enough`."""
        deadline = time.monotonic() + 15
        while not enough(record := self.trainer.read(submission)):
            assert time.monotonic() < deadline, f"still {record.state_word!r}"
            time.sleep(0.05)
        return record

    @property
    def paid(self) -> int:
        return int(self.sandbox.get("stats")["trainings"]["paid"].get(self.name, 0))


def settings_of(sandbox: Sandbox, key: str = SANDBOX_KEY) -> Settings:
    return load(
        {
            "STUDIO_OPS_LOCAL_STACK": sandbox.url,
            "DATABASE_URL": "postgresql://u@127.0.0.1:5432/x",
            "KIE_BASE_URL": sandbox.url,
            "KIE_API_KEY": key,
        }
    )


@pytest.fixture(scope="module")
def served() -> Iterator[Shelf]:
    with shelf() as found:
        yield found


@pytest.fixture
def files(served: Shelf) -> Shelf:
    served.put.clear()
    return served


@pytest.fixture(params=sorted(TRAINERS))
def world(request: pytest.FixtureRequest, sandbox: Sandbox, files: Shelf) -> Iterator[World]:
    def progress(_: UUID) -> Any:
        told = files.put.get("/progress.json")
        return json.loads(told[-1]) if told else None

    sandbox.put("settings", training_seconds=0.1)
    name = request.param
    trainer = training_registry.build(name, settings_of(sandbox), progress)
    stranger = training_registry.build(name, settings_of(sandbox, "sandbox-of-nobody"))
    yield World(name, trainer, stranger, sandbox, files)
    trainer.close()
    stranger.close()


def test_every_trainer_is_under_this_contract() -> None:
    assert set(TRAINERS) == {"fal", "replicate", "runpod"}
    assert set(TRAINERS) >= FINDABLE | set(TELLING)


def test_a_training_from_submission_to_weights(world: World) -> None:
    submission = world.submit()
    assert submission.remote_id.isprintable()
    assert json.loads(json.dumps(dict(submission.handle))) == submission.handle
    record = world.settled(submission)
    assert (record.state, record.progress, record.failure) == (TrainingState.SUCCEEDED, 100, None)
    assert record.result_problem is None
    assert record.log
    if world.name == "runpod":
        assert record.weights_url is None
        assert len(world.files.put["/lora.safetensors"]) == 1
        assert record.usd_per_hour
    else:
        assert record.weights_url is not None
        assert record.weights_url.startswith(world.sandbox.url)
        assert record.weights_kind == ("tar" if world.name == "replicate" else "safetensors")
    world.trainer.release(submission)
    world.trainer.release(submission)
    assert world.paid == 1
    assert world.sandbox.get("stats")["trainings"]["pods_alive"] == 0
    assert json.loads(json.dumps(record.raw)) == record.raw


def test_read_by_its_id_alone(world: World) -> None:
    """A webhook tells of a training by its id; the answer with the addresses may have been lost."""
    submission = world.submit()
    handle = {"name": f"studio-ops-{world.run_id}"} if world.name == "runpod" else {}
    assert world.settled(Submission(submission.remote_id, handle)).state is TrainingState.SUCCEEDED


@pytest.mark.parametrize("fault", ["trainer_answer_lost", "trainer_accepted_then_error"])
def test_a_lost_answer_is_looked_for_and_never_sent_again(world: World, fault: str) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    world.sandbox.put("faults", **{fault: True, **STUCK})
    with pytest.raises(ProviderError) as caught:
        world.submit()
    assert (caught.value.sent, caught.value.refused, caught.value.retryable) == (True, False, False)
    assert world.paid == 1
    if world.name not in FINDABLE:
        with pytest.raises(NotFindable):
            world.trainer.find(world.run_id, since)
        return
    found = world.trainer.find(world.run_id, since)
    assert found is not None
    assert world.trainer.read(found).state in {TrainingState.QUEUED, TrainingState.STARTING}
    assert world.trainer.find(uuid4(), since) is None
    assert world.paid == 1


REFUSALS: list[tuple[dict[str, Any], ErrorCategory, bool]] = [
    ({"trainer_rate_limited": True}, ErrorCategory.RATE_LIMIT, True),
    ({"trainer_error": {"value": 402}}, ErrorCategory.AUTHENTICATION, False),
    ({"trainer_error": {"value": 422}}, ErrorCategory.VALIDATION, False),
]


@pytest.mark.parametrize(("faults", "category", "retryable"), REFUSALS)
def test_a_refused_submission(
    world: World, faults: dict[str, Any], category: ErrorCategory, retryable: bool
) -> None:
    request = world.request()
    world.trainer.prepare(request)
    world.sandbox.put("faults", **faults)
    with pytest.raises(ProviderError) as caught:
        world.trainer.submit(request)
    error = caught.value
    assert (error.refused, error.category, error.retryable) == (True, category, retryable)
    assert error.words
    assert world.paid == 0


@pytest.mark.parametrize("fault", ["trainer_error", "trainer_html", "trainer_dead"])
def test_an_answer_that_says_nothing_is_an_unknown_outcome(world: World, fault: str) -> None:
    request = world.request()
    world.trainer.prepare(request)
    world.sandbox.put("faults", **{fault: True})
    with pytest.raises(ProviderError) as caught:
        world.trainer.submit(request)
    assert (caught.value.refused, caught.value.retryable) == (False, False)


def test_a_training_that_fails(world: World) -> None:
    world.sandbox.put("faults", training_fails=True)
    record = world.settled(world.submit())
    assert (record.state, record.weights_url) == (TrainingState.FAILED, None)
    assert record.failure is not None
    assert record.failure.words


def test_images_that_cannot_be_had(world: World) -> None:
    record = world.settled(world.submit(dataset_url=f"{world.files.url}/gone.zip?token=dataset-secret-1"))
    assert record.state is TrainingState.FAILED
    assert record.failure is not None
    assert record.failure.category is ErrorCategory.FILE_ERROR
    assert "dataset-secret-1" not in repr(record) + json.dumps(record.raw)


def test_cancelled_before_it_ends(world: World) -> None:
    world.sandbox.put("faults", **STUCK)
    submission = world.submit()
    became = world.trainer.cancel(submission)
    assert became in {Cancelled.CONFIRMED, Cancelled.REQUESTED}
    gone = {TrainingState.CANCELLED, TrainingState.NOT_FOUND}
    record = world.reaches(submission, lambda record: record.state in gone)
    assert record.failure is None or world.name == "fal"
    assert world.trainer.cancel(submission) in {Cancelled.TOO_LATE, Cancelled.NOT_FOUND, Cancelled.CONFIRMED}
    world.trainer.release(submission)
    assert world.sandbox.get("stats")["trainings"]["living"].get(world.name, 0) == 0


def test_what_nobody_knows(world: World) -> None:
    nothing = Submission(str(uuid4()))
    assert world.trainer.read(nothing).state is TrainingState.NOT_FOUND
    assert world.trainer.cancel(nothing) is Cancelled.NOT_FOUND
    world.trainer.release(nothing)


def test_a_stranger_is_refused_everywhere(world: World) -> None:
    nothing = Submission(str(uuid4()))
    calls: list[Callable[[], object]] = [
        lambda: world.stranger.submit(world.request()),
        lambda: world.stranger.read(nothing),
        lambda: world.stranger.cancel(nothing),
        world.stranger.check_key,
    ]
    if world.name in FINDABLE:
        calls.append(lambda: world.stranger.find(world.run_id, datetime.now(UTC)))
    for call in calls:
        with pytest.raises(ProviderError) as caught:
            call()
        assert (caught.value.category, caught.value.retryable) == (ErrorCategory.AUTHENTICATION, False)
    assert world.trainer.check_key()
    assert world.paid == 0


def test_a_webhook_of_theirs_is_believed_and_no_other(world: World) -> None:
    if world.name not in TELLING:
        with pytest.raises(NotFound):
            world.trainer.verify({}, b"{}", datetime.now(UTC))
        return
    with receiver() as hooks:
        hooks.answer = 200
        world.sandbox.put("faults", webhook_forged=True)
        submission = world.submit(webhook_url=f"{hooks.url}?run={world.run_id}")
        world.settled(submission)
        until(lambda: len(hooks.bodies) >= (2 if world.name == "fal" else 3))
    believed, refused = [], 0
    for headers, body in zip(hooks.headers, hooks.bodies, strict=True):
        try:
            believed.append(world.trainer.verify(headers, body, datetime.now(UTC)))
        except NotSignedIn:
            refused += 1
    assert refused == 1
    assert {event.remote_id for event in believed} == {submission.remote_id}
    assert len({event.delivery_id for event in believed}) == len(believed)
    assert all(str(world.run_id) in path for path in hooks.paths)


def test_no_machine_is_free(world: World) -> None:
    if world.name != "runpod":
        return
    world.sandbox.put("faults", no_capacity=True)
    with pytest.raises(ProviderError) as caught:
        world.submit()
    assert (caught.value.refused, caught.value.provider_code) == (True, "no_capacity")


def test_a_pod_that_does_not_end_is_not_called_released(world: World) -> None:
    if world.name != "runpod":
        return
    world.sandbox.put("settings", pods_linger=True)
    world.sandbox.put("faults", terminate_fails={"value": 1})
    submission = world.submit()
    world.settled(submission)
    with pytest.raises(ProviderError):
        world.trainer.release(submission)
    world.trainer.release(submission)
    assert world.sandbox.get("stats")["trainings"]["pods_alive"] == 0


def test_an_image_with_the_trained_lora(sandbox: Sandbox, files: Shelf) -> None:
    trainer = training_registry.build("fal", settings_of(sandbox))
    images = fal_images.from_settings(settings_of(sandbox))
    world = World("fal", trainer, trainer, sandbox, files)
    weights = world.settled(world.submit()).weights_url
    assert weights is not None
    submission = images.submit("ohwx woman in a forest", weights, 7, (512, 512))
    deadline = time.monotonic() + 15
    while not (image := images.read(submission)).state.is_final:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (image.state, len(image.urls), image.seed) == (TrainingState.SUCCEEDED, 1, 7)
    assert (image.failure, image.flagged, image.result_problem) == (None, False, None)
    images.close()
    trainer.close()


def test_published_and_published_again(sandbox: Sandbox, tmp_path: Path) -> None:
    publisher = hugging_face.from_settings(settings_of(sandbox))
    weights = tmp_path / "a.safetensors"
    weights.write_bytes(b"weights" * 100)
    name = f"anna-{uuid4().hex[:8]}"
    first = publisher.publish(name, "# Anna\n", {"a.safetensors": weights}, private=True)
    assert first.url == f"{sandbox.url}/hf/studio-ops/{name}"
    assert publisher.publish(name, "# Anna\n", {"a.safetensors": weights}, private=True) == first
    assert publisher.check_key()
    sandbox.put("faults", publish_fails=True)
    with pytest.raises(ProviderError) as caught:
        publisher.publish(name, "# Anna again\n", {}, private=True)
    assert caught.value.retryable
