"""`crash`: kill -9, and SIGSTOP past the lease, at every step of a training; what is left is counted.

Web, clock and `python -m jobs worker` as shipped, a durable Postgres and the sandbox, each a process of its
own. For each point of `tests.bench.crash_points` one run: its worker dies there, or stands still while
another takes the run over and is then woken; a fresh worker as shipped brings the run to its end. Between
death and fresh worker two minutes pass, by ageing the rows. What was paid, what still runs and which pods are
alive is told by the sandbox.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import httpx

from core import database, settings
from core.errors import StudioOpsError
from core.trainings import tools
from tests.bench.crash_counts import wrong
from tests.bench.crash_play import (
    ASKED,
    FILES,
    LOST,
    RESERVED,
    RUNNING,
    TWICE,
    WITHIN_S,
    Fate,
    Finding,
    Play,
    play,
)
from tests.bench.crash_points import HELD, STEPS, STOPPED, Point
from tests.bench.figures import Figure, line
from tests.bench.rig import Rig, rig
from tests.conftest import Sandbox
from tests.crash.stage import Stage, opened_nursery, staged

HOW = {"kill": "kill -9", "stop": "SIGSTOP past the lease, then SIGCONT"}


@contextmanager
def _stage(of: Rig) -> Iterator[Stage]:
    """The rig as the crash tests know it, with web and clock up."""
    os.environ.update(of.environment)
    settings.current.cache_clear()
    database.connect(of.database_url)
    headers = {"X-Sandbox": "1"}
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=of.sandbox_url, headers=headers, timeout=10))
        sandbox = Sandbox(of.sandbox_url, client)
        sandbox.reset()
        nursery = stack.enter_context(opened_nursery())
        stage = stack.enter_context(staged(of.environment, sandbox, of.folder, nursery))
        stage.start(*stage.web())
        stage.start("jobs", "clock")
        stage.web_answers()
        yield stage
    tools.current().close()
    database.close()


def _fates(stage: Stage, points: Sequence[Point]) -> Iterator[Fate]:
    on = Play(stage)
    for point in points:
        try:
            fate = play(on, point, wrong)
        except (AssertionError, StudioOpsError, httpx.HTTPError) as error:
            fate = Fate(point, WITHIN_S, 0, (Finding(LOST, str(error)[:600]),))
            with suppress(httpx.HTTPError):
                on.let_go()
            on.has_none()
        if fate.persons not in point.persons and not fate.wrong:
            fate = replace(fate, wrong=(Finding(ASKED, f"a person was asked {fate.persons} times"),))
        yield fate


def _figure(fate: Fate) -> Figure:
    point = fate.point
    wanted = "cancelled, 1 training paid" if point.cancelled else "completed, 1 training and 3 pictures paid"
    person = "; a person was asked, nothing had been sent" if fate.persons else ""
    return Figure(
        input=f"{HOW[point.how]} at {point.name}{person}",
        figure=fate.seconds,
        unit="s to its end",
        wanted="; ".join(f"{one.kind}: {one.words}" for one in fate.wrong)
        or f"{wanted}, nothing runs, nothing is reserved",
        holds=not fate.wrong,
    )


def _totals(fates: Sequence[Fate]) -> Iterator[Figure]:
    for how, word in HOW.items():
        played = [fate for fate in fates if fate.point.how == how]
        for kind in (LOST, TWICE, RUNNING, RESERVED, FILES, ASKED):
            off = [fate for fate in played if any(one.kind == kind for one in fate.wrong)]
            yield Figure(
                input=f"{word} at {len(played)} points of a training: {kind}",
                figure=float(len(off)),
                unit="runs",
                wanted="; ".join(fate.point.name for fate in off) or "none",
                holds=not off,
            )


def main(argv: list[str]) -> int:
    """Print a JSON line a point, then the totals; 1 when anything is off."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench crash")
    parser.add_argument("--rows", type=int, help="only so many points of each kind")
    parser.add_argument("--only", default="", help="only points whose name has this in it")
    given = parser.parse_args(argv)
    points = [
        point
        for kind in (HELD, STEPS, STOPPED)
        for point in [one for one in kind if given.only in one.name][: given.rows]
    ]
    fates, missed = [], 0
    with rig() as everything, _stage(everything) as stage:
        for fate in _fates(stage, points):
            fates.append(fate)
            figure = _figure(fate)
            print(line("crash", figure), flush=True)
            missed += not figure.holds
    for figure in _totals(fates):
        print(line("crash", figure), flush=True)
        missed += not figure.holds
    return int(missed > 0)
