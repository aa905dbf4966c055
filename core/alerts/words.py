"""Alerts in words, for pages and for messages: what is wrong, what it means, and where it is seen."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any
from urllib.parse import urlencode

from core import said
from core.alerts.models import Alert, Kind
from core.trainings import downloads
from core.trainings import policy as trainings
from core.trainings.counted import Counted, What

_SPACE = "\u00a0"
SUCCESS_TARGET = "98.0\u00a0%"


@dataclass(frozen=True)
class Words:
    """How a kind is told. `page` and `query` are where its evidence is, `exact` when it is just that."""

    headline: Callable[[Alert], str]
    meaning: str
    page: str = ""
    query: Callable[[Alert], Mapping[str, str]] = lambda _: {}
    exact: bool = False


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,}{_SPACE}{one if number == 1 else many}"


def _share(evidence: Mapping[str, Any]) -> str:
    """`98.2 %` of what is named there, rounded down so that only all of it is `100 %`."""
    good, of = (int(evidence.get(name, 0)) for name in ("delivered", "finished"))
    if not of:
        return f"0{_SPACE}%"
    percent = (Decimal(good) / of * 100).quantize(Decimal("0.1"), rounding=ROUND_FLOOR)
    return f"{'100' if good == of else percent}{_SPACE}%"


def _rate(what: str) -> Callable[[Alert], str]:
    return lambda alert: (
        f"Only {_share(alert.evidence)} of {what.format(int(alert.evidence.get('finished', 0)))}"
    )


def _results(alert: Alert) -> str:
    return _counted(alert.count, "result", "results")


def _deliveries(alert: Alert) -> str:
    return _counted(alert.count, "delivery", "deliveries")


def _money(alert: Alert, name: str) -> str:
    return f"${Decimal(str(alert.evidence.get(name, 0))):,.2f}"


def _scope(alert: Alert) -> str:
    return str(alert.evidence.get("scope", "trainings"))


def _month_of(alert: Alert) -> date | None:
    return said.month(str(alert.evidence.get("month") or alert.subject.split(" ")[-1]))


def _month(alert: Alert) -> str:
    found = _month_of(alert)
    return f"{found:%B}" if found else "this month"


def _crossing(alert: Alert) -> str:
    on = alert.evidence.get("on")
    day = f" on {date.fromisoformat(on).day} {date.fromisoformat(on):%B}" if on else ""
    return f"{_month(alert)}'s {_scope(alert)} will likely reach {_money(alert, 'mark_usd')}{day}"


def _credits(alert: Alert) -> str:
    days = alert.evidence.get("days_left")
    lasting = f", enough for {days}{_SPACE}days" if days is not None else ""
    return f"KIE has {_money(alert, 'usd')} of credits left{lasting}"


def _pods(alert: Alert) -> str:
    running = int(alert.evidence.get("running", 0))
    if running:
        one = _counted(running, "pod runs", "pods run")
        return f"{one} for no training, {_money(alert, 'usd_per_hour')} an hour"
    ended = "was ended" if alert.count == 1 else "were ended"
    return f"{_counted(alert.count, 'pod', 'pods')} ran for no training and {ended}"


def _grown(alert: Alert) -> str:
    grown = int(alert.evidence.get("grown_bytes", 0)) / 1e9
    return f"{grown:,.0f}{_SPACE}GB more are stored than {alert.evidence.get('days', 7)} days ago"


def _state(state: str) -> Callable[[Alert], Mapping[str, str]]:
    return lambda _: {"state": state}


def _counted_by(alert: Alert, state: str, *, until: str | None = None) -> Mapping[str, str]:
    """Just the rows that the alert has counted: bound by the moments that it was counted between."""
    bounds = (
        ("since", alert.evidence.get("counted_since")),
        ("until", alert.evidence.get("counted_until", until)),
    )
    exact = {name: said.exactly(datetime.fromisoformat(at)) for name, at in bounds if at}
    return {"state": state, **{name: at for name, at in exact.items() if at}}


def _runs(what: What) -> Callable[[Alert], Mapping[str, str]]:
    """Just the trainings that the alert has counted."""

    def query(alert: Alert) -> Mapping[str, str]:
        return Counted(what, _moment(alert, "since"), _moment(alert, "until"), _month_of(alert)).query()

    return query


def _moment(alert: Alert, bound: str) -> datetime | None:
    at = alert.evidence.get(f"counted_{bound}")
    return datetime.fromisoformat(at) if at else None


def _hash_of(words: str) -> str:
    return hashlib.md5(words.encode(), usedforsecurity=False).hexdigest()[:12]


def _budget_query(alert: Alert) -> Mapping[str, str]:
    scope, month = _scope(alert), str(alert.evidence.get("month", ""))
    return {
        name: value for name, value in (("scope", scope), ("month", month)) if value and value != "trainings"
    }


def _unequal(alert: Alert) -> Mapping[str, str]:
    scope, _, month = alert.subject.partition(" ")
    return {"scope": scope, "month": month}


def _flagged(alert: Alert) -> Mapping[str, str]:
    """The flagged lines of what has no price, in the newest month that has any."""
    provider, _, model = alert.subject.partition("/")
    given = {"month": str(alert.evidence.get("month", "")), "provider": provider, "model": model}
    return {"scope": "everything", "flagged": "yes", **{name: one for name, one in given.items() if one}}


def _totals(alert: Alert) -> str:
    def pair(name: str) -> str:
        return f"{_money(alert, f'{name}_usd')} against {_money(alert, f'{name}_lines_usd')} {name}"

    whose = f"{_month(alert)}'s {alert.subject.split(' ')[0]}"
    return f"The total of {whose} is not the sum of its lines: {pair('settled')}, {pair('reserved')}"


def _title(alert: Alert) -> str:
    return str(alert.evidence.get("title") or alert.subject)


def _job(alert: Alert) -> Mapping[str, str]:
    return {"job": alert.subject}


def _weights(alert: Alert) -> str:
    missing = int(alert.evidence.get("missing", 0))
    if alert.count == 1:
        how = "missing" if missing else "not what they were"
        return f"The weights of “{alert.evidence.get('name', '')}” are {how}"
    return f"The weights of {_counted(alert.count, 'LoRA', 'LoRAs')} are wrong, {missing:,} missing"


HEALTH, BUDGET, RUNS, ALERTS = "delivery_health", "budget", "training_runs", "alerts"
LIBRARY, SCHEDULER = "lora_library", "scheduler"
_SPENT = "Launches are refused once the limit is reached, until the month is over or operations override it."
WORDS: dict[Kind, Words] = {
    Kind.LOST_RESULTS: Words(
        lambda alert: f"{_results(alert)} lost",
        "KIE finished and no longer has the file. It was paid for; to have it, make it again.",
        HEALTH,
        lambda alert: _counted_by(alert, "lost_lately", until=alert.evidence.get("until")),
    ),
    Kind.RESCUE_CLOCK: Words(
        lambda alert: f"{_results(alert)} will be deleted at KIE soon",
        "Finished, and not in our storage yet. See what is in the way before KIE deletes it for good.",
        HEALTH,
        lambda alert: _counted_by(alert, "expiring"),
    ),
    Kind.STORAGE_REFUSING: Words(
        lambda alert: f"Our storage refuses the file of {_deliveries(alert)}",
        "They are tried again all the time, at least every ten minutes, and delivered once it is mended.",
        HEALTH,
        lambda alert: {"state": "refused", "signature": _hash_of(alert.subject)},
    ),
    Kind.DEAD_CLOCK: Words(
        lambda _: "No clock is alive",
        "Nothing scheduled begins. Start one with: python -m jobs clock",
        SCHEDULER,
    ),
    Kind.DEAD_WORKER: Words(
        lambda _: "No worker is alive",
        "Nothing is sent, fetched or stored. Start one with: python -m jobs worker",
        SCHEDULER,
    ),
    Kind.SUCCESS_RATE: Words(
        _rate("the last {:,} generations were delivered"),
        f"The target is {SUCCESS_TARGET}. Look for what the failed ones share.",
        HEALTH,
        lambda alert: _counted_by(alert, "missed"),
    ),
    Kind.VIDEO_SUCCESS: Words(
        _rate("the last {:,} films were delivered"),
        f"The target is {SUCCESS_TARGET}. Look for what the failed ones share.",
        HEALTH,
        lambda alert: {**_counted_by(alert, "missed"), "kind": "video"},
    ),
    Kind.STUCK: Words(
        lambda alert: f"{_deliveries(alert)} stuck",
        "Under way for longer than their model may take. KIE is asked about each again and again.",
        HEALTH,
        _state("stuck"),
        exact=True,
    ),
    Kind.BUDGET_HALF: Words(
        lambda alert: (
            f"{_month(alert)}'s {_scope(alert)} have cost {_money(alert, 'mark_usd')}, half of the budget"
        ),
        "Nothing has to be done. The page says where the month is going.",
        BUDGET,
        _budget_query,
    ),
    Kind.BUDGET_ALERT: Words(
        lambda alert: f"{_month(alert)}'s {_scope(alert)} have cost {_money(alert, 'mark_usd')}",
        f"By what was really paid. {_SPENT}",
        BUDGET,
        _budget_query,
    ),
    Kind.BUDGET_FULL: Words(
        lambda alert: f"{_month(alert)}'s {_scope(alert)} budget of {_money(alert, 'mark_usd')} is used up",
        "No further launch fits until the month is over or operations override it, with a reason and an end.",
        BUDGET,
        _budget_query,
    ),
    Kind.BUDGET_FORECAST: Words(
        _crossing,
        f"If the next days are as the last four weeks. {_SPENT}",
        BUDGET,
        _budget_query,
    ),
    Kind.UNEQUAL_TOTALS: Words(
        _totals,
        "Launches are allowed by the total, the first of each pair; the lines are what was paid. Set it right"
        " as the README says under “A total differs from its lines”; the next proof then closes this.",
        BUDGET,
        _unequal,
    ),
    Kind.FAILURE_COST: Words(
        lambda alert: f"Failed trainings have cost {_money(alert, 'failures_usd')} in {_month(alert)}",
        "More than a fifth of what ended trainings cost. See what the failed ones share.",
        RUNS,
        _runs(What.FAILURES),
    ),
    Kind.UNKNOWN_PRICE: Words(
        lambda alert: f"There is no price for {alert.subject}",
        "The highest of its family is taken meanwhile, and its lines are flagged. Add it to the prices.",
        BUDGET,
        _flagged,
    ),
    Kind.LOW_CREDITS: Words(
        _credits,
        "Without credits KIE takes no more tasks. Top up at kie.ai.",
        BUDGET,
        lambda _: {"scope": "deliveries"},
    ),
    Kind.TRAINING_SUCCESS: Words(
        _rate("the last 30 days' {:,} trainings were completed"),
        f"The target is {trainings.SUCCESS_TARGET:.0%}. See what the failed ones share.".replace(
            "%", f"{_SPACE}%"
        ),
        RUNS,
        _runs(What.FAILED),
    ),
    Kind.TRAININGS_SILENT: Words(
        lambda alert: f"{_counted(alert.count, 'training is', 'trainings are')} in nobody's hands",
        "The worker has been silent for ten minutes, and no other has taken over.",
        RUNS,
        _runs(What.SILENT),
    ),
    Kind.VERDICT_WAITING: Words(
        lambda alert: f"{_counted(alert.count, 'training waits', 'trainings wait')} for a verdict",
        "The test images have been there for a day. Say of each whether it shows the character: until then"
        " the LoRA is not completed, and nobody but its creator can use it.",
        RUNS,
        _runs(What.UNJUDGED),
    ),
    Kind.IMAGE_DOWNLOADS: Words(
        _rate("{:,} images for trainings could be fetched"),
        f"The target is {downloads.TARGET:.0%}. See which hosts refuse.".replace("%", f"{_SPACE}%"),
        RUNS,
    ),
    Kind.ORPHAN_PODS: Words(
        _pods,
        "They bear our mark at RunPod and belong to no run. They are ended every five minutes.",
        RUNS,
        lambda alert: {"pods": ",".join(map(str, alert.evidence.get("pods", ())))},
    ),
    Kind.STORAGE_GROWTH: Words(
        _grown, "A quarter more than there was within a week. See what is stored, and for what.", HEALTH
    ),
    Kind.BROKEN_CHANNEL: Words(
        lambda alert: f"No alert arrives by {alert.subject}",
        "Its messages are tried again for some hours. Mend ALERT_URLS, then send a test message.",
        ALERTS,
    ),
    Kind.JOB_FAILING: Words(
        lambda alert: f"The job “{_title(alert)}” fails again and again",
        "Its last three runs at least have failed. What it should do is not done.",
        SCHEDULER,
        _job,
    ),
    Kind.JOB_LONG: Words(
        lambda alert: (
            f"The job “{_title(alert)}” has run for more than {alert.evidence.get('minutes')}{_SPACE}min"
        ),
        "Something holds it up. If it does not end by itself, start its worker anew.",
        SCHEDULER,
        _job,
    ),
    Kind.JOB_OVERLAPPING: Words(
        lambda alert: f"{alert.count:,} runs of the job “{_title(alert)}” go on at once",
        "Each began before the one before had ended. They do no harm, but take others' places.",
        SCHEDULER,
        _job,
    ),
    Kind.WRONG_WEIGHTS: Words(
        _weights,
        "Put the file back from a copy (Hugging Face, if it was published; a backup), or train it anew, and"
        " archive this one until then. The proof looks again by itself.",
        LIBRARY,
        lambda alert: {"lora": alert.ids[0]} if len(alert.ids) == 1 else {"weights": "Wrong weights"},
    ),
    Kind.DEAR_LIBRARY: Words(
        lambda alert: f"The LoRA library costs {_money(alert, 'monthly_usd')} a month",
        "That is more than $100. Archive what nobody has used for half a year, the least used first, and move"
        " the archived files to a cheaper storage.",
        LIBRARY,
        lambda _: {"sort": "Least used"},
    ),
}


def headline(alert: Alert) -> str:
    """What is wrong, in a line."""
    return WORDS[alert.kind].headline(alert)


def meaning(alert: Alert) -> str:
    """What it means, and what to do."""
    problem = alert.evidence.get("problem")
    return f"{problem} {WORDS[alert.kind].meaning}" if problem else WORDS[alert.kind].meaning


def evidence_of(alert: Alert, *, may_debug: bool = True) -> tuple[str, Mapping[str, str]] | None:
    """The page that shows it, and its parameters; None where no page shows more.

    An alert names a few of its rows. When those are all, they are opened, where no filter shows just those.
    """
    of = WORDS[alert.kind]
    all_named = bool(alert.ids) and len(alert.ids) == alert.count
    if of.page == HEALTH and may_debug and all_named and (alert.count == 1 or not of.exact):
        return "debug_sync", {"q": ",".join(alert.ids)}
    if of.page == RUNS and len(alert.ids) == 1:
        return RUNS, {"run": alert.ids[0]}
    return (of.page, of.query(alert)) if of.page else None


def address_of(alert: Alert, base: str) -> str | None:
    """The address of its evidence; None where no page shows more."""
    found = evidence_of(alert)
    if found is None:
        return None
    page, query = found
    return f"{base.rstrip('/')}/{page}{'?' + urlencode(query) if query else ''}"
