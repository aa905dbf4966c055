"""One death, or one long sleep, of a worker over a training, and how the run comes to its end."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

import psutil  # type: ignore[import-untyped]

from core import database
from core.access import Actor, Role
from core.trainings import moving, service, tools
from core.trainings.models import ENDED, Run, RunState
from core.trainings.repository import calls_of
from core.work import queue
from jobs.schedule import JOBS
from tests.bench.crash_points import Later, Point
from tests.crash.stage import Part, Stage, until
from tests.crash.steps import ANY
from tests.crash.training_stage import draft, launch, row, time_passes

WITHIN_S = 45.0
TRAINING_S, PICTURE_S, LONG_S = 0.4, 0.2, 120.0
# What waits longer than this between two steps is hurried on, as its time would come; before the death later.
NUDGE_S, FIRST_NUDGE_S = 1.0, 8.0


LOST, TWICE, RUNNING, RESERVED, FILES, ASKED = (
    "lost",
    "paid twice",
    "pods or trainings left running",
    "reservations left",
    "files missing or left behind",
    "a person asked without need, or not asked",
)


@dataclass(frozen=True)
class Finding:
    """Something that should not be: which of the kinds above, and a sentence."""

    kind: str
    words: str


@dataclass(frozen=True)
class Fate:
    """What became of one point's run: seconds from the death to the end, how often a person had to say that
    nothing of it runs at the provider, and what should not be."""

    point: Point
    seconds: float
    persons: int
    wrong: tuple[Finding, ...]


@dataclass
class Play:
    """A stage with a worker on it, and what was paid before the point that is played."""

    stage: Stage
    worker: Part | None = None
    played: int = 0
    paid: Counter[str] = field(default_factory=Counter)

    # Who works.

    def has_worker(self) -> Part:
        """The worker as shipped; a fresh one when there is none."""
        if self.worker is None or self.worker.poll() is not None:
            self.worker = self.stage.start("jobs", "worker")
        return self.worker

    def has_none(self) -> None:
        """No worker at all."""
        if self.worker is not None:
            self.stage.stop(self.worker)
            self.worker = None

    # What is said of a run.

    def at_sandbox(self) -> Counter[str]:
        """Paid submissions by kind, those of one call more than once, and what still runs."""
        listed = self.stage.sandbox.get("trainings")["trainings"]
        found = Counter(f"{one['kind']}s" for one in listed)
        by_call = Counter(one["run"] for one in listed)
        found["doubled"] = sum(times - 1 for times in by_call.values())
        found["living"] = sum(one["live"] for one in listed)
        found["pods"] = self.stage.sandbox.get("stats")["trainings"]["pods_alive"]
        return found

    def hold(self, point: Point) -> None:
        """Have the sandbox hold the point's request."""
        self.stage.sandbox.put("hold", kind=point.kind, moment=point.moment, nth=point.nth)

    def is_held(self) -> bool:
        """Whether the request waits."""
        return self.stage.sandbox.get("hold")["held"] is not None

    def let_go(self) -> None:
        """Have the held request answered."""
        self.stage.sandbox.put("hold")


def play(on: Play, point: Point, judge: Callable[[Play, Point, UUID], Iterable[Finding]]) -> Fate:
    """One death and what became of it; `judge` finds what is wrong in the end."""
    on.played += 1
    on.paid = on.at_sandbox()
    actor = Actor("person", f"p{on.played}", f"P {on.played}", frozenset({Role.PRODUCT}), "command")
    seconds = LONG_S if point.cancelled else TRAINING_S
    on.stage.sandbox.put(
        "settings", training_seconds=seconds, lora_image_seconds=PICTURE_S, file_bytes=60_000
    )
    on.stage.sandbox.put("faults", **point.faults)
    run, victim = (_dies_at_step if point.step else _dies_while_held)(on, point, actor)
    died = time.monotonic()
    time_passes(on.stage, run.id)
    persons = _ends(on, point, run.id, actor, victim)
    took = time.monotonic() - died
    return Fate(point, took, persons, tuple(judge(on, point, run.id)))


def _launch(point: Point, actor: Actor, pictures: UUID) -> Run:
    name = f"LoRA of {actor.id}"
    return launch(actor, pictures, name=name, trainer=point.trainer, publish=point.publish)


def _dies_while_held(on: Play, point: Point, actor: Actor) -> tuple[Run, Part]:
    """The shipped worker, while its request waits at the sandbox."""
    victim, pictures = on.has_worker(), draft(actor)
    if not (point.cancelled or point.later):
        on.hold(point)
    run = _launch(point, actor, pictures)
    if point.cancelled:
        _trains(on, run.id)
        on.hold(point)
        service.cancel(actor, run.id, tools.current(), reason="the measurement")
    elif point.later:
        _completed(on, run.id, actor)
        on.hold(point)
        comes_by(on, run.id, point.later)
    _nudged_until(on, run.id, on.is_held, f"the request of “{point.name}”", FIRST_NUDGE_S)
    _strike(on, point, victim)
    on.let_go()
    return run, victim


def _dies_at_step(on: Play, point: Point, actor: Actor) -> tuple[Run, Part]:
    """A worker with the place marked; for one on the way to an end, after another has begun the training."""
    on.has_none()
    run = _launch(point, actor, draft(actor))
    if point.cancelled:
        on.has_worker()
        _trains(on, run.id)
        on.has_none()
        service.cancel(actor, run.id, tools.current(), reason="the measurement")
    elif point.later:
        on.has_worker()
        _completed(on, run.id, actor)
        on.has_none()
        comes_by(on, run.id, point.later)
    victim = on.stage.halting(point.step, point.how, ANY, "jobs", "worker")
    if point.step == "completing":
        _shown(on, run.id)
        _judged(run.id, actor)
    _nudged_until(on, run.id, lambda: _halted(victim, point), f"the end at “{point.name}”", FIRST_NUDGE_S)
    return run, victim


def _strike(on: Play, point: Point, victim: Part) -> None:
    if point.how == "kill":
        on.stage.stop(victim)
        return
    os.kill(victim.pid, signal.SIGSTOP)
    on.worker = None


def _halted(victim: Part, point: Point) -> bool:
    if point.how == "kill":
        return victim.poll() is not None
    return bool(psutil.Process(victim.pid).status() == psutil.STATUS_STOPPED)


def _trains(on: Play, run_id: UUID) -> None:
    taken = "SELECT 1 FROM training_calls WHERE run_id = %(id)s AND state = 'accepted'"
    until(lambda: on.stage.sql(taken, id=run_id), WITHIN_S, "the training's acceptance")


def _shown(on: Play, run_id: UUID) -> None:
    states = {RunState.AWAITING_VERDICT}
    _nudged_until(on, run_id, lambda: row(run_id).state in states, "the test pictures")


def _completed(on: Play, run_id: UUID, actor: Actor) -> None:
    _shown(on, run_id)
    _judged(run_id, actor)
    _nudged_until(on, run_id, lambda: row(run_id).is_over, "its completion")


def comes_by(on: Play, run_id: UUID, what: Later = "") -> None:
    """Sweep and clean-up come minutes after the run's end, or when its ZIP or its pictures are old enough."""
    age = {"ZIP": "25 h", "pictures": "31 days"}.get(what, "10 min")
    on.stage.sql(
        "UPDATE training_calls SET ended_at = ended_at - CAST(%(age)s AS interval) WHERE run_id = %(id)s",
        id=run_id,
        age=age,
    )
    on.stage.sql(
        "UPDATE lora_training_jobs SET updated_at = updated_at - CAST(%(age)s AS interval),"
        " completed_at = completed_at - CAST(%(age)s AS interval),"
        " zip_built_at = zip_built_at - CAST(%(age)s AS interval) WHERE id = %(id)s",
        id=run_id,
        age=age,
    )
    if what == "ZIP":
        on.stage.sql("UPDATE training_zips SET used_at = used_at - interval '25 h'")
    for name in ("sweep_trainings", "clean_trainings"):
        with database.transaction() as connection:
            queue.enqueue(connection, name, queue=JOBS[name].queue, slot="2026-01-01T00:00:00+00:00")


def _judged(run_id: UUID, actor: Actor) -> None:
    for n in range(3):
        service.judge(actor, run_id, n, tools.current(), shows=True)


def _ends(on: Play, point: Point, run_id: UUID, actor: Actor, victim: Part) -> int:
    """A fresh worker brings it to its end; how often a person had to say that nothing runs there."""
    on.has_worker()
    persons = 0
    stopped = point.how == "stop"
    if stopped and point.step:
        # What it was about to send is nobody else's: the others have looked, and wait.
        taken_up = "SELECT 1 FROM training_events WHERE run_id = %(id)s AND kind = 'taken_up'"
        _nudged_until(on, run_id, lambda: on.stage.sql(taken_up, id=run_id), "the take-over")
        _wakes(on, victim)
        stopped = False
    while (state := _next_rest(on, run_id)) not in ENDED:
        if state is RunState.NEEDS_ATTENTION:
            _person_looks(on, run_id, actor)
            persons += 1
            continue
        if stopped:
            _wakes(on, victim)
            stopped = False
        _judged(run_id, actor)
    if stopped:
        _wakes(on, victim)
    return persons


def _next_rest(on: Play, run_id: UUID) -> RunState:
    """Where the run rests next; what nobody can find is half an hour old at once."""
    rests = ENDED | {RunState.AWAITING_VERDICT, RunState.NEEDS_ATTENTION}
    aged = False

    def rested() -> bool:
        nonlocal aged
        if not aged and _is_lost(on, run_id):
            aged = True
            on.stage.sql(
                "UPDATE training_calls SET submitted_at = submitted_at - interval '31 min',"
                " created_at = created_at - interval '31 min' WHERE run_id = %(id)s AND state = 'sending'",
                id=run_id,
            )
        return row(run_id).state in rests

    _nudged_until(on, run_id, rested, "the end of its way")
    return row(run_id).state


def _is_lost(on: Play, run_id: UUID) -> bool:
    """Whether a call is looked for of which the sandbox knows nothing."""
    with database.reading() as connection:
        sending = {str(call.id) for call in calls_of(connection, run_id) if call.state == "sending"}
    if not sending or row(run_id).lease_token is not None:
        return False
    return not any(one["run"] in sending for one in on.stage.sandbox.get("trainings")["trainings"])


def _person_looks(on: Play, run_id: UUID, actor: Actor) -> None:
    """A person looks at the provider's own list, sees nothing, and says so."""
    with database.reading() as connection:
        unknown = {str(call.id) for call in calls_of(connection, run_id) if call.state == "unknown"}
    there = [one for one in on.stage.sandbox.get("trainings")["trainings"] if one["run"] in unknown]
    if there:
        raise AssertionError(f"a person was asked about what the provider has: {there}")
    service.resume(actor, run_id, tools.current(), nothing_runs=True)


def _wakes(on: Play, victim: Part) -> None:
    """SIGCONT; it finishes what it was at, and ends in peace when it is asked to."""
    os.kill(victim.pid, signal.SIGCONT)
    time.sleep(NUDGE_S)
    os.kill(victim.pid, signal.SIGTERM)
    until(lambda: victim.poll() is not None, WITHIN_S, "the end of the worker that was woken")


def _nudged_until(
    on: Play, run_id: UUID, done: Callable[[], object], what: str, nudge_after: float = NUDGE_S
) -> None:
    """Wait for it; a run that waits for its next look is hurried on now and then."""
    ends, nudge = time.monotonic() + WITHIN_S, time.monotonic() + nudge_after
    while not done():
        if time.monotonic() > ends:
            raise AssertionError(f"{what} did not come within {WITHIN_S:g} s: {row(run_id)}")
        if time.monotonic() > nudge:
            nudge = time.monotonic() + NUDGE_S
            _hurry(on, run_id)
        time.sleep(0.01)


def _hurry(on: Play, run_id: UUID) -> None:
    on.stage.sql(
        "UPDATE lora_training_jobs SET next_attempt_at = now() WHERE id = %(id)s AND lease_token IS NULL"
        " AND state IN ('running', 'ending') AND next_attempt_at > now()",
        id=run_id,
    )
    with database.transaction() as connection:
        moving.enqueue(connection, run_id)
