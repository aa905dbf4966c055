"""`python -m jobs …`: the background processes and the operators' commands."""

import argparse
import getpass
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime

from core import access, database, log, settings
from core.access import Action
from core.deliveries import tools
from core.deliveries.models import ACTIVE
from core.diagnosis import remedies, report
from core.diagnosis.checks import diagnose
from core.diagnosis.findings import Remedy, Tone
from core.diagnosis.snapshot import Snapshot
from core.errors import Conflict, StudioOpsError
from core.local import stack
from core.rehearsal import service as rehearsal
from jobs import clock, doctor, migrate, plans, worker
from jobs.schedule import JOBS, slot_of


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it went well, 1 with one sentence on stderr when it did not."""
    options = _parser().parse_args(arguments)
    log.configure(options.command or "jobs")
    try:
        _attach_to_local_stack()
        return int(_COMMANDS[options.command](options))
    except StudioOpsError as error:
        print(f"{error.message}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs", description="Clock, worker and commands of Studio Ops."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("clock", help="fire scheduled jobs; several clocks fire each slot once")
    commands.add_parser("worker", help="do the work; as many as wanted, on as many machines")
    commands.add_parser("migrate", help="bring the database's schema and the storage buckets up to date")
    run = commands.add_parser("run", help="run one scheduled job now, in this process")
    run.add_argument("job", choices=sorted(JOBS))
    sync = commands.add_parser("sync", help="bring one task up to date now")
    sync.add_argument("task_id", help="the provider's task id, the generation's own, or the file's address")
    history = commands.add_parser("history", help="fill a rehearsal's history; in the local profile only")
    history.add_argument("--generations", type=int, default=rehearsal.DEFAULT_GENERATIONS, metavar="N")
    history.add_argument("--days", type=int, default=rehearsal.DEFAULT_DAYS, metavar="D")
    history.add_argument(
        "--seed", type=int, default=rehearsal.DEFAULT_SEED, help="the same seed, the same history"
    )
    history.add_argument("--clear", action="store_true", help="take the rehearsal away without a trace")
    plans.add(commands)
    commands.add_parser("doctor", help="check every setting and part; exit 1 on a fault")
    return parser


def _attach_to_local_stack() -> None:
    """With nothing configured, speak to the stack that runs in this folder."""
    current = settings.current()
    if current.database_url is not None:
        return
    environment = stack.attach(current)
    if environment is not None:
        os.environ.update(environment)
        settings.current.cache_clear()


def _both(_: argparse.Namespace) -> int:
    stop = threading.Event()
    ticking = threading.Thread(target=clock.tick_until, args=(stop,), name="clock")
    ticking.start()
    try:
        worker.run()
    finally:
        stop.set()
        ticking.join(timeout=15)
    return 0


def _clock(_: argparse.Namespace) -> int:
    clock.run()
    return 0


def _worker(_: argparse.Namespace) -> int:
    worker.run()
    return 0


def _migrate(_: argparse.Namespace) -> int:
    for line in migrate.run(settings.current()):
        print(line)
    return 0


def _run(options: argparse.Namespace) -> int:
    job = JOBS[options.job]
    now = datetime.now(UTC)
    handled = job.run()
    print(f"{job.name}: {handled} handled, slot {slot_of(job, now).isoformat()}")
    return 0


def _sync(options: argparse.Namespace) -> int:
    actor = access.check(access.command_line(getpass.getuser()), Action.SYNC_GENERATION)
    with_tools = tools.current()
    generation, picked = report.named(options.task_id, actor)
    before = report.look(actor, generation.id, with_tools, picked=picked)
    _say_verdict("before", before)
    remedy = Remedy.FETCH_AGAIN if diagnose(before).remedies[:1] == (Remedy.FETCH_AGAIN,) else Remedy.SYNC
    remedies.carry_out(actor, remedy, generation.id, with_tools)
    after = report.look(actor, generation.id, with_tools)
    for step in after.detail.timeline:
        if step.at >= before.at:
            words = f": {step.words}" if step.words else ""
            print(f"  {step.at:%H:%M:%S}  {step.kind.replace('_', ' ')}{words}")
    _say_verdict("after", after)
    row = after.generation
    print(f"{row.task_id}: {row.status}, {row.delivery_state}, {row.asset_url or 'no file yet'}")
    well = diagnose(after).tone in {Tone.GOOD, Tone.WORKING}
    return 0 if well or row.delivery_state in ACTIVE else 1


def _say_verdict(when: str, seen: Snapshot) -> None:
    finding = diagnose(seen)
    print(f"{when}: {finding.sentence} ({finding.rule})")
    for warning in finding.warnings:
        print(f"  {warning}")
    if when == "after" and finding.tone not in {Tone.GOOD, Tone.WORKING}:
        print(f"  next: {finding.action}")


def _history(options: argparse.Namespace) -> int:
    actor = access.command_line(getpass.getuser())
    if settings.current().database_url is None:
        raise Conflict("Nothing runs in this folder. Start it with: streamlit run app.py")
    with_tools, started = tools.current(), time.monotonic()
    steps = (
        rehearsal.clear(actor, with_tools)
        if options.clear
        else rehearsal.begin(
            actor, with_tools, generations=options.generations, days=options.days, seed=options.seed
        )
    )
    for step in steps:
        seconds = time.monotonic() - started
        print(f"\r{step.what}: {step.done:,} of {step.total:,}, {seconds:.0f} s", end="", flush=True)
    print(f"\n{'cleared' if options.clear else 'filled'} in {time.monotonic() - started:.1f} s")
    return 0


def _plan(options: argparse.Namespace) -> int:
    for line in plans.run(options, access.command_line(getpass.getuser())):
        print(line)
    return 0


def _doctor(_: argparse.Namespace) -> int:
    verdicts = doctor.check(settings.current(), datetime.now(UTC))
    for verdict in verdicts:
        print(verdict.line())
    return 0 if all(verdict.good for verdict in verdicts) else 1


_COMMANDS = {
    None: _both,
    "clock": _clock,
    "worker": _worker,
    "migrate": _migrate,
    "run": _run,
    "sync": _sync,
    "history": _history,
    "plan": _plan,
    "doctor": _doctor,
}

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    code = main()
    database.close()
    sys.exit(code)
