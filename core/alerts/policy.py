"""When something is wrong enough to say so: pure decisions over facts and the time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from core.alerts.models import Cause, Facts, Group, Kind, LibraryFacts, Money, Severity, Training
from core.budget.policy import Due
from core.budget.proof import Difference
from core.budget.views import Credits
from core.loras.policy import DEAR_LIBRARY
from core.machinery import policy as machinery
from core.machinery.models import Facts as JobFacts
from core.machinery.schedule import SCHEDULE
from core.notifications.service import Standing
from core.trainings import downloads
from core.usage import Snapshot
from core.work import runs

# A result that is finished and not here is spoken of when KIE will delete it within this time.
RESCUE_WITHIN = timedelta(hours=6)
# One that takes long is a matter for its own page; so many at once are not chance.
STUCK_MANY = 5
SUCCESS_TARGET = 0.98
# With fewer, one failure more or less would decide.
SUCCESS_SAMPLES = 50
# How many of the newest generations of a day the success rate is measured on.
SUCCESS_NEWEST = 2000
# Kinds that are found from the deliveries' rows; the machinery's are found by whoever is alive.
OF_DELIVERIES = (
    Kind.LOST_RESULTS,
    Kind.RESCUE_CLOCK,
    Kind.STORAGE_REFUSING,
    Kind.SUCCESS_RATE,
    Kind.VIDEO_SUCCESS,
    Kind.STUCK,
)
OF_TOTALS = (Kind.UNEQUAL_TOTALS,)
OF_LIBRARY = (Kind.WRONG_WEIGHTS, Kind.DEAR_LIBRARY)
OF_MONEY = (
    Kind.BUDGET_HALF,
    Kind.BUDGET_ALERT,
    Kind.BUDGET_FULL,
    Kind.BUDGET_FORECAST,
    Kind.FAILURE_COST,
    Kind.UNKNOWN_PRICE,
    Kind.LOW_CREDITS,
)
OF_TRAININGS = (
    Kind.TRAINING_SUCCESS,
    Kind.TRAININGS_SILENT,
    Kind.IMAGE_DOWNLOADS,
    Kind.ORPHAN_PODS,
    Kind.VERDICT_WAITING,
)
OF_JOBS = (Kind.JOB_FAILING, Kind.JOB_LONG, Kind.JOB_OVERLAPPING)
OF_MACHINERY = {"clock": Kind.DEAD_CLOCK, "worker": Kind.DEAD_WORKER}
# A month's thresholds, by what the budget calls them.
_DUE = {
    "half": (Kind.BUDGET_HALF, Severity.NOTICE),
    "alert": (Kind.BUDGET_ALERT, Severity.WARNING),
    "full": (Kind.BUDGET_FULL, Severity.CRITICAL),
    "forecast": (Kind.BUDGET_FORECAST, Severity.WARNING),
}
# Failed runs may cost so much of all that are over, and so many dollars in any case.
FAILURE_SHARE, FAILURE_LEAST_USD = Decimal("0.2"), Decimal(10)
# KIE's credits last at least so long at the pace of the last week, or are worth at least so much.
CREDITS_DAYS, CREDITS_USD = 3.0, Decimal(5)
# The target of trainings is 95 %; below this it is spoken of. Of fewer than so many one would decide.
TRAINING_ALERT, TRAINING_SAMPLES = 0.90, 10
TRAININGS_SINCE = timedelta(days=30)
IMAGE_SAMPLES = 20
IMAGES_SINCE = timedelta(days=7)
SILENT_FOR = timedelta(minutes=10)
# Test images may wait for so long before people are reminded that a verdict is theirs.
UNJUDGED_FOR = timedelta(hours=24)
ORPHANS_TOLD = timedelta(hours=24)
# What is stored may grow by so much within a week, and by so much of what there was.
GROWTH_BYTES, GROWTH_SHARE = 20 * 10**9, 0.25
WEEK, MINUTE = timedelta(days=7), timedelta(minutes=1)
# An acknowledged alert of these kinds is closed for good: nothing will undo what it tells of.
CLOSED_BY_ACKNOWLEDGING = frozenset({Kind.LOST_RESULTS})


def of_deliveries(facts: Facts, now: datetime) -> tuple[Cause, ...]:
    """What is wrong with deliveries, worst first."""
    found = []
    if facts.lost.count:
        found.append(_cause(Kind.LOST_RESULTS, Severity.CRITICAL, facts.lost, "until"))
    if facts.expiring.count and facts.expiring.at and facts.expiring.at - now < RESCUE_WITHIN:
        found.append(_cause(Kind.RESCUE_CLOCK, Severity.CRITICAL, facts.expiring, "expires_at"))
    found += [_cause(Kind.STORAGE_REFUSING, Severity.CRITICAL, group, "since") for group in facts.storage]
    if facts.finished >= SUCCESS_SAMPLES and facts.delivered / facts.finished < SUCCESS_TARGET:
        missing = facts.finished - facts.delivered
        evidence = {"delivered": facts.delivered, "finished": facts.finished, **_between(facts)}
        found.append(Cause(Kind.SUCCESS_RATE, Severity.WARNING, count=missing, evidence=evidence))
    if (
        facts.films_finished >= SUCCESS_SAMPLES
        and facts.films_delivered / facts.films_finished < SUCCESS_TARGET
    ):
        missing = facts.films_finished - facts.films_delivered
        evidence = {
            "delivered": facts.films_delivered,
            "finished": facts.films_finished,
            **_between(facts),
        }
        found.append(Cause(Kind.VIDEO_SUCCESS, Severity.WARNING, count=missing, evidence=evidence))
    if facts.stuck.count >= STUCK_MANY:
        found.append(_cause(Kind.STUCK, Severity.WARNING, facts.stuck, "since"))
    return tuple(found)


def _between(of: Facts | Group) -> dict[str, str]:
    """From when to when they were counted: what is opened is bound by the same moments."""
    moments = {"counted_since": of.since, "counted_until": of.until}
    return {name: at.isoformat() for name, at in moments.items() if at is not None}


def _cause(kind: Kind, severity: Severity, group: Group, moment: str) -> Cause:
    evidence = {
        "ids": [str(one) for one in group.ids],
        moment: group.at.isoformat() if group.at else None,
        **_between(group),
    }
    return Cause(kind, severity, group.subject, group.count, evidence)


def of_totals(found: Sequence[Difference]) -> tuple[Cause, ...]:
    """One for each month whose running total is not the sum of its lines, with both figures."""
    return tuple(
        Cause(
            Kind.UNEQUAL_TOTALS,
            Severity.CRITICAL,
            f"{one.scope} {one.month:%Y-%m}",
            evidence={
                "settled_usd": str(one.settled_usd),
                "settled_lines_usd": str(one.settled_lines_usd),
                "reserved_usd": str(one.reserved_usd),
                "reserved_lines_usd": str(one.reserved_lines_usd),
            },
        )
        for one in found
    )


def of_library(facts: LibraryFacts) -> tuple[Cause, ...]:
    """What is wrong with the library of LoRAs, worst first."""
    found = []
    if facts.wrong.count:
        cause = _cause(Kind.WRONG_WEIGHTS, Severity.CRITICAL, facts.wrong, "since")
        more = {"missing": facts.missing, "name": facts.name}
        found.append(replace(cause, evidence={**cause.evidence, **more}))
    if facts.monthly_usd > DEAR_LIBRARY:
        evidence = {
            "monthly_usd": str(facts.monthly_usd),
            "idle_loras": facts.idle_loras,
            "idle_usd": str(facts.idle_usd),
        }
        found.append(Cause(Kind.DEAR_LIBRARY, Severity.WARNING, evidence=evidence))
    return tuple(found)


def of_money(facts: Money) -> tuple[Cause, ...]:
    """What is wrong with a month's money, worst first."""
    found = [_of_due(due) for due in facts.dues]
    failures = facts.failures_usd
    if failures >= FAILURE_LEAST_USD and failures > FAILURE_SHARE * facts.ended_usd:
        month = f"{facts.month:%Y-%m}"
        evidence = {
            "failures_usd": f"{failures:.2f}",
            "ended_usd": f"{facts.ended_usd:.2f}",
            "month": month,
        }
        subject = f"trainings {month}"
        found.append(Cause(Kind.FAILURE_COST, Severity.WARNING, subject, facts.failures, evidence))
    found += [
        Cause(Kind.UNKNOWN_PRICE, Severity.WARNING, one.key, evidence={"month": f"{one.month:%Y-%m}"})
        for one in facts.unpriced
    ]
    if facts.credits is not None and _is_low(facts.credits):
        left = facts.credits.days_left
        told: dict[str, Any] = {
            "credits": f"{facts.credits.credits:f}",
            "usd": f"{facts.credits.usd:.2f}",
            "days_left": None if left is None else round(left, 1),
        }
        found.append(Cause(Kind.LOW_CREDITS, Severity.CRITICAL, evidence=told))
    return tuple(sorted(found, key=lambda cause: list(Severity).index(cause.severity)))


def _of_due(due: Due) -> Cause:
    kind, severity = _DUE[due.what]
    evidence = {
        "scope": due.scope,
        "month": f"{due.month:%Y-%m}",
        "mark_usd": f"{due.mark_usd:.2f}",
        "on": due.on.isoformat() if due.on else None,
    }
    return Cause(kind, severity, due.subject, evidence=evidence, once=True)


def _is_low(left: Credits) -> bool:
    runs_out = left.days_left is not None and left.days_left < CREDITS_DAYS
    return runs_out or left.usd < CREDITS_USD


def of_trainings(facts: Training) -> tuple[Cause, ...]:
    """What is wrong with trainings, worst first."""
    found = []
    running = [one for one in facts.orphans if one.ended_at is None]
    if facts.orphans:
        rate = sum((one.usd_per_hour or Decimal(0) for one in running), Decimal(0))
        evidence = {
            "pods": [one.pod_id for one in facts.orphans],
            "running": len(running),
            "usd_per_hour": f"{rate:.2f}",
        }
        severity = Severity.CRITICAL if running else Severity.WARNING
        found.append(Cause(Kind.ORPHAN_PODS, severity, count=len(facts.orphans), evidence=evidence))
    if facts.silent.count:
        found.append(_cause(Kind.TRAININGS_SILENT, Severity.CRITICAL, facts.silent, "since"))
    ended = facts.completed + facts.failed
    if ended >= TRAINING_SAMPLES and facts.completed / ended < TRAINING_ALERT:
        evidence = {"delivered": facts.completed, "finished": ended}
        evidence |= {"counted_since": facts.since.isoformat()} if facts.since else {}
        found.append(Cause(Kind.TRAINING_SUCCESS, Severity.WARNING, count=facts.failed, evidence=evidence))
    wanted = facts.images_came + facts.images_lost
    if wanted >= IMAGE_SAMPLES and facts.images_came / wanted < downloads.TARGET:
        evidence = {"delivered": facts.images_came, "finished": wanted}
        found.append(
            Cause(Kind.IMAGE_DOWNLOADS, Severity.WARNING, count=facts.images_lost, evidence=evidence)
        )
    if facts.unjudged.count:
        found.append(_cause(Kind.VERDICT_WAITING, Severity.NOTICE, facts.unjudged, "since"))
    return tuple(found)


def of_storage(daily: Sequence[Snapshot]) -> tuple[Cause, ...]:
    """Whether what is stored grows much faster than it should, by the last count of each day."""
    if len(daily) < 2:
        return ()
    newest = daily[-1]
    before = [one for one in daily[:-1] if newest.taken_at - one.taken_at <= WEEK + timedelta(hours=12)]
    if not before:
        return ()
    oldest = before[0]
    grown = newest.bytes - oldest.bytes
    if grown < GROWTH_BYTES or grown < GROWTH_SHARE * oldest.bytes:
        return ()
    days = max(1, round((newest.taken_at - oldest.taken_at) / timedelta(days=1)))
    evidence = {"grown_bytes": grown, "bytes": newest.bytes, "days": days}
    return (Cause(Kind.STORAGE_GROWTH, Severity.WARNING, evidence=evidence),)


def of_channels(standings: Sequence[Standing]) -> tuple[Cause, ...]:
    """Channels by which nothing arrives."""
    return tuple(
        Cause(Kind.BROKEN_CHANNEL, Severity.CRITICAL, one.channel.label, evidence={"problem": one.problem})
        for one in standings
        if one.problem is not None
    )


def of_jobs(found: Mapping[str, JobFacts], now: datetime) -> tuple[Cause, ...]:
    """Scheduled jobs that fail again and again, run for too long, or run into themselves."""
    causes = []
    for name, facts in found.items():
        job = SCHEDULE[name]
        told = {"title": job.title, "stops": job.stops}
        if facts.failures >= machinery.FAILURES:
            # Not how often by now: a job that fails every second would be news every second.
            said = (facts.error or "It does not say why").rstrip(".")[:300]
            evidence = {**told, "problem": f"{said}."}
            severity = Severity.CRITICAL if job.important else Severity.WARNING
            causes.append(Cause(Kind.JOB_FAILING, severity, name, evidence=evidence))
        if machinery.runs_long(job, facts, now) and facts.running_since:
            since = {"since": facts.running_since.isoformat(), "minutes": job.longest // MINUTE}
            causes.append(Cause(Kind.JOB_LONG, Severity.WARNING, name, evidence={**told, **since}))
        if machinery.overlaps(facts, now):
            causes.append(
                Cause(Kind.JOB_OVERLAPPING, Severity.WARNING, name, count=facts.running, evidence=told)
            )
    return tuple(causes)


def of_machinery(
    last_beat: Mapping[str, datetime | None], observer_since: datetime, now: datetime
) -> tuple[Cause, ...]:
    """Roles that nobody plays, as seen by a process that has watched since `observer_since`.

    One that has itself just started says nothing yet: the others are on their way too.
    """
    if now - observer_since < runs.DEAD_AFTER:
        return ()
    return tuple(
        Cause(kind, Severity.CRITICAL, evidence={"last_beat": beat.isoformat() if beat else None})
        for role, kind in OF_MACHINERY.items()
        for beat in [last_beat.get(role)]
        if beat is None or now - beat >= runs.DEAD_AFTER
    )
