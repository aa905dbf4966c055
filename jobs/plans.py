"""`python -m jobs plan …`: try a list dry, start its plan, and steer it."""

import argparse
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from core import database
from core.access import Actor
from core.deliveries import tools, windows
from core.errors import InvalidInput
from core.plans import policy, service, views
from core.plans.models import Source
from core.plans.views import Seen

_FILTERS = ("window", "kind", "model", "state", "signature")


def add(commands: Any) -> None:
    """The command with what it takes."""
    plan = commands.add_parser("plan", help="resync many generations at once")
    acts = plan.add_subparsers(dest="act", metavar="ACT", required=True)
    new = acts.add_parser("new", help="try a list dry; nothing is asked or changed")
    for name in _FILTERS:
        new.add_argument(f"--{name}")
    new.add_argument("--user", type=UUID, metavar="ID", help="this customer's alone")
    new.add_argument("--ids", nargs="+", default=[], metavar="ID", help="ids of tasks or generations")
    new.add_argument("--failed-of", type=UUID, metavar="PLAN", help="what failed in another plan")
    acts.add_parser("list", help="the newest plans")
    for name, words in (
        ("show", "how far it is"),
        ("pause", "begin nothing further for now"),
        ("resume", "go on"),
    ):
        acts.add_parser(name, help=words).add_argument("plan", type=UUID)
    start = acts.add_parser("start", help="start a dry run")
    start.add_argument("plan", type=UUID)
    start.add_argument("--count", type=int, help="how many it resyncs; asked for above 20")
    start.add_argument("--reason", default="")
    abort = acts.add_parser("abort", help="begin nothing further, ever")
    abort.add_argument("plan", type=UUID)
    abort.add_argument("--reason", default="")


def run(options: argparse.Namespace, actor: Actor) -> Iterator[str]:
    """Do it; what to print of it."""
    outside = tools.current()
    acts: dict[str, Callable[[], object]] = {
        "start": lambda: service.start(
            actor, options.plan, outside, typed=options.count, reason=options.reason
        ),
        "pause": lambda: service.pause(actor, options.plan, outside),
        "resume": lambda: service.resume(actor, options.plan, outside),
        "abort": lambda: service.abort(actor, options.plan, outside, options.reason),
    }
    if options.act == "list":
        yield from (_line(seen) for seen in views.history(actor, database.now()).plans)
        return
    if options.act == "new":
        plan_id = service.prepare(actor, _source(options), outside, request_key=uuid.uuid4().hex).id
    else:
        acts.get(options.act, lambda: None)()
        plan_id = options.plan
    seen = views.plan(actor, plan_id, database.now())
    yield _line(seen)
    yield from (f"  {name.replace('_', ' ')}: {n:,}" for name, n in seen.plan.counts.items())
    if options.act == "new" and seen.plan.eligible:
        count = f" --count {seen.plan.eligible}" if seen.plan.eligible > policy.TYPED_ABOVE else ""
        yield f"  {seen.plan.calls:,} calls to providers, at least {seen.plan.expected_s:.0f} s, $0.00"
        yield f"  to start it: python -m jobs plan start {plan_id}{count}"


def _source(options: argparse.Namespace) -> Source:
    given = {name: value for name in _FILTERS if (value := getattr(options, name)) is not None}
    wanted, faults = windows.read(given)
    if faults:
        raise InvalidInput("filter", " ".join(faults))
    names = policy.names_in(" ".join(options.ids))
    return Source(wanted if given else None, options.user, names, options.failed_of)


def _line(seen: Seen) -> str:
    over = f"{seen.progress.over:,} of {seen.progress.of:,} done"
    told = ", ".join(f"{n:,} {state}" for state, n in seen.progress.known().items() if n)
    return f"{seen.plan.id}  {seen.plan.state:8}  {over}  {seen.plan.name}" + (f" ({told})" if told else "")
