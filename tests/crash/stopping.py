"""Parts of the product that are killed, or stand still, at a chosen step of one generation.

`python -m tests.crash.stopping` imports the product once and then, for each order that it reads (a line
of JSON), forks a process that becomes that part. It answers with the process's id; to an order that
asks for a process, with its exit code, or null while it runs. Each step happens once a process.
"""

import dataclasses
import functools
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from core import database
from core.deliveries import following, frames, moving, sending, service, tools
from core.providers.contract import Task
from core.providers.fal import FalTrainer
from core.providers.fal_generations import FalGenerations
from core.providers.fal_images import FalImages
from core.providers.hugging_face import Publisher
from core.providers.kie import KieClient
from core.providers.replicate import ReplicateTrainer
from core.providers.runpod import RunPodTrainer
from core.storage.objects import LocalStorage, LocalUpload
from core.trainings import calls, dataset, drawing_moves, drawn, ending, storing, validating
from core.trainings import moving as training_moving
from core.trainings import tools as training_tools
from core.work import runs
from tests.crash.steps import ANY, STOOD_STILL, UNDER_WAY_S

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
# Which generation this thread works on.
_thread = threading.local()


@dataclass(frozen=True)
class Order:
    """Be `python -m arguments…` in `environment`, and halt at `step` of `generation` (or of ANY) by `how`:
    kill or stop.

    Without a step it is an ordinary process.
    """

    step: str
    how: str
    generation: str
    arguments: list[str]
    environment: dict[str, str]
    log: str


@dataclass(frozen=True)
class Place:
    """A function of the product, and whether the step is before or after it."""

    owner: Any
    name: str
    before: bool = False


PLACES = {
    "row written": Place(sending, "submit", before=True),
    "place reserved": Place(sending, "_begin", before=True),
    "sending recorded": Place(sending, "_begin"),
    "request accepted": Place(KieClient, "create"),
    "request accepted at fal": Place(FalGenerations, "create"),
    "record read at fal": Place(FalGenerations, "record"),
    "frame handed over": Place(frames, "_hand_over"),
    "frame not handed over": Place(frames, "wake", before=True),
    "task bound": Place(sending, "bind"),
    "lease taken": Place(following, "_advance_leased", before=True),
    "record read": Place(KieClient, "record"),
    "result noted": Place(following, "_ready"),
    "download open": Place(moving, "store_stream", before=True),
    "file half written": Place(LocalUpload, "write"),
    "file received": Place(LocalUpload, "commit", before=True),
    "file in place": Place(LocalUpload, "commit"),
    "delivery recorded": Place(moving, "_record"),
    "poll leased": Place(following, "_poll_one", before=True),
    "poll handed over": Place(following, "_poll_one"),
    "callback arrives": Place(service, "receive_callback", before=True),
    "callback recorded": Place(service, "receive_callback"),
    "slot claimed": Place(runs, "claim_slot"),
    # A training's; one process works on one run there, so that they halt at ANY.
    "zip in place": Place(dataset, "build_zip"),
    "training to be sent": Place(calls, "_begin"),
    "request about to leave for fal": Place(FalTrainer, "submit", before=True),
    "request about to leave for Replicate": Place(ReplicateTrainer, "submit", before=True),
    "request about to leave for RunPod": Place(RunPodTrainer, "submit", before=True),
    "training accepted": Place(FalTrainer, "submit"),
    "training bound": Place(calls, "bind"),
    "weights received": Place(storing, "_fetch"),
    "weights in place": Place(storing, "_keep"),
    "weights recorded": Place(storing, "_record"),
    "pod given back": Place(RunPodTrainer, "release"),
    "published": Place(Publisher, "publish"),
    "picture about to leave": Place(FalImages, "submit", before=True),
    "picture accepted": Place(FalImages, "submit"),
    "picture in place": Place(validating, "store_stream"),
    "pictures shown": Place(validating, "_show", before=True),
    "completing": Place(training_moving, "over", before=True),
    "cancelled at fal": Place(FalTrainer, "cancel"),
    "end settled": Place(ending, "_finish", before=True),
    "file taken away": Place(LocalStorage, "delete"),
    # An image's that fills a draft up; one process works on one there.
    "drawing to be sent": Place(drawing_moves, "begin"),
    "drawing about to leave": Place(KieClient, "create", before=True),
    "drawing bound": Place(drawing_moves, "bind"),
    "drawing ended": Place(drawing_moves, "end"),
    "drawn image received": Place(drawn, "_fetch"),
    "drawn image in draft": Place(drawn, "add"),
}


class Halt:
    """Ends or stops this process, once, when the thread works on the wanted generation."""

    def __init__(self, how: str, wanted: str) -> None:
        self._signal = _SIGNALS[how]
        self._wanted = wanted
        self._guard = threading.Lock()
        self._done = False
        # How much later it seems to be for a process that stood still.
        self.missed = timedelta()

    def here(self) -> None:
        """Halt if it is the one; SIGCONT lets this thread go on."""
        if self._wanted != ANY and getattr(_thread, "generation", None) != self._wanted:
            return
        with self._guard:
            if self._done:
                return
            self._done = True
        os.kill(os.getpid(), self._signal)
        time.sleep(0.05)  # another thread may be the one that the signal stops first
        self.missed = STOOD_STILL


def _follow(owner: Any, name: str, generation_of: Callable[..., UUID | None]) -> None:
    """Note in the thread which generation the function works on."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        _thread.generation = str(generation_of(*arguments))
        return original(*arguments, **named)

    setattr(owner, name, wrapped)


def _install(place: Place, halt: Halt) -> None:
    original = getattr(place.owner, place.name)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if place.before:
            halt.here()
        result = original(*arguments, **named)
        if not place.before:
            halt.here()
        return result

    setattr(place.owner, place.name, wrapped)


def _age_with(halt: Halt) -> None:
    """Have the product's clock show, after a stop, the time that has passed for everybody else."""
    for module in (tools, training_tools):
        _age(module, halt)


def _age(module: Any, halt: Halt) -> None:
    original = module.from_settings

    def from_settings(of: Any) -> Any:
        made = original(of)
        return dataclasses.replace(made, clock=lambda: made.clock() + halt.missed)

    module.from_settings = from_settings


def _halt_while_sending(halt: Halt) -> None:
    """Halt while the provider works on the paid request."""
    original = KieClient.create

    def create(*arguments: Any, **named: Any) -> Task:
        generation = _thread.generation

        def fire() -> None:
            _thread.generation = generation
            halt.here()

        timer = threading.Timer(UNDER_WAY_S / 2, fire)
        timer.start()
        return original(*arguments, **named)

    KieClient.create = create  # type: ignore[method-assign]


def _halt_in_transaction(halt: Halt) -> None:
    """The clock's transaction, whose connection the server gives up after a moment instead of a minute."""
    defaults = database.connect.__kwdefaults__
    assert defaults is not None
    defaults["timeout_s"] = 2
    _install(PLACES["slot claimed"], halt)


def become(order: Order) -> None:
    """Prepare the step, then be the part."""
    os.environ.clear()
    os.environ.update(order.environment)
    if order.step:
        _prepare(order)
    sys.argv = order.arguments
    runpy.run_module(order.arguments[0], run_name="__main__", alter_sys=True)


def _prepare(order: Order) -> None:
    halt = Halt(order.how, order.generation)
    if order.step == "request under way":
        _halt_while_sending(halt)
    elif order.step == "slot claimed":
        _halt_in_transaction(halt)
    else:
        _install(PLACES[order.step], halt)
    _age_with(halt)
    _follow(sending, "submit", lambda generation_id, *_: generation_id)
    _follow(following, "_advance_leased", lambda generation, *_: generation.id)
    _follow(following, "_poll_one", lambda generation, *_: generation.id)
    _follow(service, "receive_callback", lambda callback, *_: callback.generation_id)


def fork(order: Order) -> int:
    """The id of a new process that becomes what is ordered; its output goes to the order's log."""
    child = os.fork()
    if child:
        return child
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    code = 1
    try:
        become(order)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - the last frame of a process
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    """Take orders until standard input ends."""
    for heavy in ("core.web.app", "jobs.__main__", "uvicorn.main"):
        importlib.import_module(heavy)
    for line in sys.stdin:
        told = json.loads(line)
        if "ended" in told:
            pid, status = os.waitpid(told["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = fork(Order(**told))
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
