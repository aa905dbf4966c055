"""GET `/metrics`: the product's figures for Prometheus, read from the database, so that every process agrees.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from core import access, database, log, queries, usage, version, visits
from core.access import Actor
from core.deliveries import views
from core.deliveries.models import ACTIVE
from core.errors import NotSignedIn, StudioOpsError
from core.trainings import views as trainings
from core.web import answers
from core.web.auth import actor_of
from core.work import runs

PREFIX = "studio_ops_"
MONTH = timedelta(days=30)

_SQL = queries.load("metrics")
_log = log.get(__name__)


@dataclass(frozen=True)
class _Figures(Collector):
    """Everything that is told, read anew at each request."""

    actor: Actor
    now: datetime

    def describe(self) -> Iterable[Metric]:
        """Nothing: what a registry does not know beforehand it asks for only when it is rendered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield _gauge("info", "The version that answers.", ["version"], [([version.VERSION], 1)])
        with database.reading() as connection:
            yield from self._deliveries(connection)
            yield from _callbacks(connection)
            yield from _limits(connection)
        yield from self._day()
        yield from self._trainings()
        yield from _machinery(self.now)
        yield from _pages(self.now)
        yield from _storage()

    def _deliveries(self, connection: Connection) -> Iterator[Metric]:
        rows = {row["state"]: row for row in _SQL["under_way"].all(connection, now=self.now)}
        states = sorted(ACTIVE)
        yield _gauge(
            "deliveries_under_way",
            "Generations on their way, by state.",
            ["state"],
            [([state], rows[state]["n"] if state in rows else 0) for state in states],
        )
        yield _gauge(
            "deliveries_overdue",
            "Of those, due for more than a minute and taken by nobody.",
            ["state"],
            [([state], rows[state]["overdue"] if state in rows else 0) for state in states],
        )
        people = {row["state"]: row["n"] for row in _SQL["waiting_for_people"].all(connection)}
        yield _gauge(
            "deliveries_waiting_for_people",
            "Generations that no rule can finish, by state.",
            ["state"],
            [([state], people.get(state, 0)) for state in ("lost", "needs_attention")],
        )

    def _day(self) -> Iterator[Metric]:
        counts = views.counts(self.actor, self.now)
        yield _gauge(
            "generations_24h",
            "Generations begun since the full hour 24 hours ago, by where they stand.",
            ["state"],
            [
                ([name], getattr(counts, name))
                for name in ("delivered", "failed", "lost", "needs_attention", "in_flight")
            ],
        )
        if counts.success_rate is not None:
            help_text = (
                "Delivered by delivered, failed and lost, of those begun since the full hour 24 hours ago."
            )
            yield _gauge("success_ratio_24h", help_text, [], [([], counts.success_rate)])

    def _trainings(self) -> Iterator[Metric]:
        counts = trainings.counts(self.actor, self.now, since=self.now - MONTH)
        pods = trainings.pods(self.actor, self.now)
        with database.reading() as connection:
            waiting = _SQL["trainings"].one(connection)
        yield _gauge(
            "trainings_under_way",
            "Trainings that are not over, by state; running ones include those that are being stopped.",
            ["state"],
            [([name], getattr(counts, name)) for name in ("running", "awaiting_verdict", "needs_attention")],
        )
        yield _gauge(
            "trainings_30d",
            "Trainings begun in the last 30 days that are over, by how they ended.",
            ["state"],
            [([name], getattr(counts, name)) for name in ("completed", "failed", "cancelled")],
        )
        if counts.success_rate is not None:
            help_text = "Completed by completed and failed trainings, of those begun in the last 30 days."
            yield _gauge("training_success_ratio_30d", help_text, [], [([], counts.success_rate)])
        if waiting["oldest_beat_at"] is not None:
            help_text = "When the training that waits longest for a worker was last in hand, in Unix time."
            oldest = waiting["oldest_beat_at"].timestamp()
            yield _gauge("training_oldest_heartbeat_timestamp_seconds", help_text, [], [([], oldest)])
        yield _gauge("training_pods", "Pods that run now.", [], [([], len(pods))])
        hourly = float(sum(pod.usd_per_hour for pod in pods if pod.usd_per_hour))
        yield _gauge("training_pods_usd_per_hour", "What they cost an hour together.", [], [([], hourly)])
        yield _gauge(
            "training_images_generating",
            "Images for trainings that are being generated, or of which nobody knows.",
            [],
            [([], waiting["drawings"])],
        )


def _callbacks(connection: Connection) -> Iterator[Metric]:
    waiting = _SQL["unhandled_callbacks"].one(connection)
    yield _gauge("callbacks_waiting", "Callbacks that no delivery has taken up.", [], [([], waiting["n"])])


def _limits(connection: Connection) -> Iterator[Metric]:
    rows = _SQL["limits"].all(connection)
    yield _gauge(
        "provider_limit_per_second",
        "Calls a second that are allowed to a provider.",
        ["limit"],
        [([row["key"]], row["per_second"]) for row in rows],
    )
    yield _gauge(
        "provider_limit_taken_seconds",
        "How far ahead the places for calls are taken.",
        ["limit"],
        [([row["key"]], row["taken_s"]) for row in rows],
    )


def _machinery(now: datetime) -> Iterator[Metric]:
    alive = runs.liveness(now)
    yield _gauge(
        "processes_alive",
        "Processes heard of within the last minute.",
        ["role"],
        [([role], sum(process.role == role for process in alive.processes)) for role in runs.ROLES],
    )
    yield _gauge(
        "process_last_beat_timestamp_seconds",
        "When one of the role was last heard of, in Unix time.",
        ["role"],
        [([role], at.timestamp()) for role, at in alive.last_beat.items() if at],
    )
    depth = runs.queue_depth()
    yield _gauge(
        "queue_jobs",
        "Jobs of a queue, waiting or running.",
        ["queue", "state"],
        [
            ([str(row["queue_name"]), state], float(str(row[state])))
            for row in depth
            for state in ("waiting", "running")
        ],
    )
    last = runs.last_runs(runs.known_jobs())
    for outcome, column in (("success", "succeeded_at"), ("failure", "failed_at")):
        yield _gauge(
            f"job_last_{outcome}_timestamp_seconds",
            f"When a scheduled job last ended in {outcome}, in Unix time.",
            ["job"],
            [([str(row["job"])], at.timestamp()) for row in last if isinstance(at := row[column], datetime)],
        )


def _pages(now: datetime) -> Iterator[Metric]:
    found = visits.of_the_last_day(now)
    yield _gauge(
        "page_sessions_24h",
        "Sessions with pages begun since the full hour 24 hours ago, by whether they met an error of ours.",
        ["met_error"],
        [(["no"], found.sessions - found.failed), (["yes"], found.failed)],
    )


def _storage() -> Iterator[Metric]:
    snapshot = usage.latest()
    lines = snapshot.lines if snapshot else ()
    for unit in ("files", "bytes"):
        yield _gauge(
            f"storage_{unit}",
            f"Stored {unit} as counted last.",
            ["bucket", "purpose"],
            [([line.bucket, line.purpose], getattr(line, unit)) for line in lines],
        )


def _gauge(
    name: str, help_text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> Metric:
    found = GaugeMetricFamily(PREFIX + name, help_text, labels=labels)
    for label_values, value in values:
        found.add_metric(label_values, value)
    return found


def render(actor: Actor, now: datetime) -> bytes:
    """All figures as Prometheus reads them; NotAllowed where the actor may not look at the dashboard."""
    access.check(actor, access.Action.VIEW)
    registry = CollectorRegistry()
    ProcessCollector(namespace="studio_ops_web", registry=registry)
    registry.register(_Figures(actor, now))
    return generate_latest(registry)


class _Metrics:
    """ASGI endpoint, and no function, so that it gets every method and refuses in our own words."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        log.new_request_id()
        response = await _answer(Request(scope, receive))
        await response(scope, receive, send)


async def _answer(request: Request) -> Response:
    if request.method != "GET":
        told = f"The figures are read with GET, not {request.method}."
        return answers.error(405, "method_not_allowed", told, {"Allow": "GET"})
    try:
        actor = actor_of(request)
        if actor.kind != "key":
            raise NotSignedIn("The figures take an API key.")
        body = await run_in_threadpool(lambda: render(actor, database.now()))
    except StudioOpsError as refusal:
        return answers.error(refusal.http_status, refusal.code, refusal.message)
    except SQLAlchemyError as fault:
        _log.error("metrics.database_failed", error=type(fault).__name__, exc_info=fault)
        return answers.error(503, "database_failed", "The database does not answer, so there are no figures.")
    return Response(body, headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


routes = [Route("/metrics", _Metrics())]
