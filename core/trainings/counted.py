"""Which runs a number or an alert has counted, as an address names them: just those, however many."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from core import said
from core.trainings.models import RunState

PARAMETERS = ("counted", "since", "until", "month")


class What(StrEnum):
    """What was counted."""

    SILENT = "silent"
    UNJUDGED = "unjudged"
    FAILED = "failed"
    FAILURES = "failures"
    OVER = "over"
    VERDICT = "verdict"
    DOUBT = "doubt"
    PODS = "pods"


_BADLY = frozenset({RunState.FAILED, RunState.CANCELLED})
STATES: Mapping[What, frozenset[RunState]] = {
    What.SILENT: frozenset({RunState.RUNNING, RunState.ENDING}),
    What.UNJUDGED: frozenset({RunState.AWAITING_VERDICT}),
    What.FAILED: frozenset({RunState.FAILED}),
    What.FAILURES: _BADLY,
    What.OVER: _BADLY | {RunState.COMPLETED},
    What.VERDICT: frozenset({RunState.AWAITING_VERDICT}),
    What.DOUBT: frozenset({RunState.NEEDS_ATTENTION}),
}
# What it was counted by, without which an address names none of it; the others are those of this moment.
_BY = {
    What.SILENT: "until",
    What.UNJUDGED: "until",
    What.FAILED: "since",
    What.FAILURES: "month",
    What.OVER: "month",
}
# Of a rehearsal's runs nobody is alarmed.
_REAL = frozenset({What.SILENT, What.FAILED})


@dataclass(frozen=True)
class Counted:
    """Runs launched from `since` on, of which `what` was counted: silent ones and those that nobody has
    judged, both since before `until`; failed ones; those with lines in the `month` of the budget, all that
    are over or the failures alone; or those that now wait for a verdict, are in doubt or have a pod.
    None: not by that."""

    what: What | None = None
    since: datetime | None = None
    until: datetime | None = None
    month: date | None = None

    @property
    def states(self) -> frozenset[RunState] | None:
        """Where such a run stands; None: anywhere."""
        return STATES.get(self.what) if self.what else None

    def query(self) -> dict[str, str]:
        """Its parameters for an address."""
        given = {
            "counted": self.what,
            "since": said.exactly(self.since),
            "until": said.exactly(self.until),
            "month": f"{self.month:%Y-%m}" if self.month else None,
        }
        return {name: str(value) for name, value in given.items() if value is not None}

    def values(self) -> dict[str, Any]:
        """What the query of runs is asked for it."""
        return {
            "since": self.since,
            "silent_before": self.until if self.what is What.SILENT else None,
            "unjudged_before": self.until if self.what is What.UNJUDGED else None,
            "month": self.month,
            "with_pod": self.what is What.PODS,
            "only_real": self.what in _REAL,
        }


# Nothing was counted: all of them.
ALL = Counted()


def read(parameters: Mapping[str, str]) -> tuple[Counted, list[str]]:
    """What an address asks for, and a sentence for each parameter that cannot be used."""
    faults: list[str] = []
    asked = parameters.get("counted")
    what = What(asked) if asked in list(What) else None
    if asked is not None and what is None:
        faults.append(said.no_choice("counted", asked, list(What)))
    if what and what not in _BY:
        return Counted(what), faults
    by = _BY[what] if what else "since"
    value = parameters.get(by)
    at = said.month(value) if by == "month" else said.exact(value)
    if value is not None and at is None:
        means = "no month such as 2026-11" if by == "month" else "no exact time"
        faults.append(f"“{by}” is {means}: {said.cut(value)}. It is left out.")
    if what and at is None:
        faults.append(f"“counted={what}” says nothing without “{by}”. It is left out.")
        return ALL, faults
    return replace(Counted(what), **{by: at}), faults  # type: ignore[arg-type]
