"""When something is wrong enough to say so: pure decisions over facts and the time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from core.alerts.models import Cause, Facts, Group, Kind, LibraryFacts, Severity
from core.budget.proof import Difference
from core.loras.policy import DEAR_LIBRARY
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
    Kind.STUCK,
)
OF_TOTALS = (Kind.UNEQUAL_TOTALS,)
OF_LIBRARY = (Kind.WRONG_WEIGHTS, Kind.DEAR_LIBRARY)
OF_MACHINERY = {"clock": Kind.DEAD_CLOCK, "worker": Kind.DEAD_WORKER}
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
        evidence = {"delivered": facts.delivered, "finished": facts.finished}
        found.append(Cause(Kind.SUCCESS_RATE, Severity.WARNING, count=missing, evidence=evidence))
    if facts.stuck.count >= STUCK_MANY:
        found.append(_cause(Kind.STUCK, Severity.WARNING, facts.stuck, "since"))
    return tuple(found)


def _cause(kind: Kind, severity: Severity, group: Group, moment: str) -> Cause:
    evidence = {
        "ids": [str(one) for one in group.ids],
        moment: group.at.isoformat() if group.at else None,
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
