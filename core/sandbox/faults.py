"""How a fault of the table is asked for, and when it strikes: markers, rules and the draw.

A fault comes from a marker in the prompt, `[[fault:NAME]]`, or from the rules of the control API, with a
rate between 0 and 1. The marker in full is `[[fault:NAME@PLACE=VALUE*TIMES]]`: at that place only, with
that value, the first TIMES times only. A prompt may hold several.
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from core.sandbox.fault import ONCE, Fault, Place, Value
from core.sandbox.fault_table import FAULTS, FORGERIES, ORDERS

MARKER_SYNTAX = "[[fault:NAME]] or [[fault:NAME@PLACE,PLACE=VALUE*TIMES]]"
_MARKER = re.compile(r"\[\[fault:([^\]]*)\]\]")
_INSIDE = re.compile(r"(?P<name>\w+)(?:@(?P<at>[\w,]+))?(?:=(?P<value>[^*]*))?(?:\*(?P<times>\d+))?")


class BadFault(ValueError):
    """A marker or a rule names no fault, or an argument that it cannot take; the text says which exist."""


@dataclass(frozen=True)
class Choice:
    """A fault that was asked for: where, with what value, how often (None: always), at what rate."""

    fault: str
    at: tuple[Place, ...]
    value: Value
    times: int | None = None
    rate: float = 1.0


class Rule(BaseModel):
    """What the control API says of one fault."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rate: float = Field(default=1.0, ge=0.0, le=1.0)
    value: float | int | str | None = None
    at: list[str] | None = None
    times: int | None = Field(default=None, ge=1)


def _seconds(text: str) -> float:
    if not 0 <= (number := float(text)) <= 86_400:
        raise ValueError
    return number


def _between(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not least <= (number := int(text)) <= most:
            raise ValueError
        return number

    return parse


def _one_of(words: Iterable[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return parse


def _content_type(text: str) -> str:
    if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", text, re.ASCII):
        raise ValueError
    return text


_ARGUMENTS: dict[str, tuple[Callable[[str], Value], str]] = {
    "seconds": (_seconds, "seconds between 0 and 86400"),
    "number": (_between(1, 20), "a whole number between 1 and 20"),
    "status": (_between(400, 599), "an HTTP status between 400 and 599"),
    "code": (_between(400, 599), "a KIE code between 400 and 599"),
    "bytes": (_between(1, 4_000_000_000), "bytes between 1 and 4000000000"),
    "word": (str, "a word"),
    "url": (str, "a URL"),
    "type": (_content_type, "a content type such as text/html"),
    "order": (_one_of(ORDERS), f"one of {', '.join(ORDERS)}"),
    "forgery": (_one_of(FORGERIES), f"one of {', '.join(FORGERIES)}"),
}


def choose(
    name: str,
    *,
    value: object = None,
    at: Iterable[str] | None = None,
    times: int | None = None,
    rate: float = 1.0,
) -> Choice:
    """A checked choice, or BadFault saying what exists."""
    fault = FAULTS.get(name)
    if fault is None:
        raise BadFault(f"Unknown sandbox fault {name!a}. Known: {', '.join(FAULTS)}.")
    places = fault.usual if at is None else _places(fault, at)
    return Choice(name, places, _argument(fault, value), times, rate)


def _places(fault: Fault, at: Iterable[str]) -> tuple[Place, ...]:
    wanted = tuple(at)
    if wanted == ("all",):
        return fault.places
    possible = {place.value: place for place in fault.places}
    if not wanted or any(word not in possible for word in wanted):
        raise BadFault(f"Sandbox fault '{fault.name}' strikes at: {', '.join(possible)} (or all).")
    return tuple(possible[word] for word in wanted)


def _argument(fault: Fault, value: object) -> Value:
    if value is None or value == "":
        return fault.default
    if not fault.argument:
        raise BadFault(f"Sandbox fault '{fault.name}' takes no value.")
    parse, wanted = _ARGUMENTS[fault.argument]
    try:
        return parse(str(value))
    except ValueError:
        raise BadFault(f"Sandbox fault '{fault.name}' takes {wanted}.") from None


def markers(prompt: str) -> tuple[Choice, ...]:
    """The faults that a prompt asks for; BadFault for a marker that cannot be read."""
    found = []
    for text in _MARKER.findall(prompt):
        match = _INSIDE.fullmatch(text)
        if match is None:
            raise BadFault(f"Sandbox fault marker {text!a} is not of the form {MARKER_SYNTAX}.")
        at, times = match["at"], match["times"]
        found.append(
            choose(
                match["name"],
                value=match["value"],
                at=at.split(",") if at else None,
                times=int(times) if times else None,
            )
        )
    return tuple(found)


def rule_choices(rules: dict[str, Rule]) -> tuple[Choice, ...]:
    """The control API's rules as choices; BadFault for one that cannot hold."""
    return tuple(
        choose(name, value=rule.value, at=rule.at, times=rule.times, rate=rule.rate)
        for name, rule in rules.items()
    )


class Uses(Protocol):
    """Counts how often a choice with `times` was used, across restarts."""

    def use(self, subject: str, fault: str) -> int:
        """Count one more use and return how many there were before."""
        ...


class FaultBook:
    """Decides which faults strike. The same salt gives the same draws in the same order."""

    def __init__(self, uses: Uses, salt: str, rules: tuple[Choice, ...] = ()) -> None:
        self._uses = uses
        self._draws = itertools.count()
        self.salt = salt
        self.rules = rules

    def strike(self, place: Place, subject: str, marks: Iterable[Choice]) -> dict[str, Value]:
        """The faults that strike now at `place`, name to value; a mark outranks a rule.

        `subject` is the task's id, or before there is one what identifies the request.
        """
        struck: dict[str, Value] = {}
        for owner, choices in ((subject, marks), ("", self.rules)):
            for choice in choices:
                if (
                    place in choice.at
                    and choice.fault not in struck
                    and self._drawn(choice, subject, owner, place)
                ):
                    struck[choice.fault] = choice.value
        return struck

    def _drawn(self, choice: Choice, subject: str, owner: str, place: Place) -> bool:
        if choice.rate < 1.0:
            once = FAULTS[choice.fault].sticky or place in ONCE
            turn = "" if once else str(next(self._draws))
            if chance(f"{self.salt}:{choice.fault}:{subject}:{turn}") >= choice.rate:
                return False
        return choice.times is None or self._uses.use(owner, f"{choice.fault}@{place}") < choice.times


def chance(text: str) -> float:
    """A number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56
