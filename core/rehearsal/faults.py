"""Turning the sandbox's faults on and off by rate, one by one or as an outage of a kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import access, audit, database, settings
from core.access import Action, Actor
from core.errors import InvalidInput
from core.rehearsal import control

Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """A fault as a person turns it: `rate` is the part of what it can strike, 0 when it is off.

    `argument` says what kind of `value` it takes, empty for none; `words` are the values that it can have
    when there are few.
    """

    name: str
    group: str
    title: str
    line: str
    argument: str
    value: str
    words: tuple[str, ...]
    rate: float


@dataclass(frozen=True)
class Preset:
    """Several faults at once, as they come in an outage."""

    name: str
    line: str
    rules: Mapping[str, Rule]


_API = ["create", "read", "other"]
PRESETS: tuple[Preset, ...] = (
    Preset(
        "KIE is down",
        "KIE says maintenance to every request and 503 to every question.",
        {
            "error_in_200": {"rate": 1.0, "value": 455, "at": ["create"]},
            "server_error": {"rate": 1.0, "value": 503, "at": ["read", "other"]},
        },
    ),
    Preset(
        "KIE is slow", "Every call waits 4 seconds.", {"latency": {"rate": 1.0, "value": 4.0, "at": _API}}
    ),
    Preset(
        "Answers get lost", "Half of the paid requests are never answered.", {"answer_lost": {"rate": 0.5}}
    ),
    Preset("Callbacks are lost", "No callback comes at all.", {"callback_lost": {"rate": 1.0}}),
    Preset(
        "Callbacks are a mess",
        "Twice, out of order, forged and late.",
        {
            "callback_duplicate": {"rate": 0.5},
            "callback_reordered": {"rate": 0.5},
            "callback_forged": {"rate": 0.25},
            "callback_late": {"rate": 0.25, "value": 20.0},
        },
    ),
    Preset(
        "Downloads break",
        "Files break off, answer 503 or come as web pages.",
        {
            "truncated_file": {"rate": 0.5},
            "server_error": {"rate": 0.25, "value": 503, "at": ["file"]},
            "html_as_jpg": {"rate": 0.1},
        },
    ),
    Preset("Our storage is full", "No file can be kept.", {"storage_full": {"rate": 1.0}}),
    Preset(
        "Bad luck everywhere",
        "A little of everything.",
        {
            "latency": {"rate": 0.1, "value": 3.0},
            "rate_limited": {"rate": 0.1},
            "callback_lost": {"rate": 0.1},
            "callback_duplicate": {"rate": 0.1},
            "provider_fail": {"rate": 0.05},
            "truncated_file": {"rate": 0.1},
            "storage_error": {"rate": 0.1},
        },
    ),
)


def all_faults(actor: Actor | None) -> Sequence[Fault]:
    """Every fault that the sandbox knows, in its order, as it is turned now."""
    access.check(actor, Action.VIEW)
    rows = control.of(settings.current()).get("faults")["faults"]
    return [_fault(row) for row in rows]


def _fault(row: Mapping[str, Any]) -> Fault:
    rule = row["rule"] or {}
    value = rule.get("value")
    value = row["default"] if value is None else value
    return Fault(
        name=row["name"],
        group=row["group"],
        title=row["title"],
        line=row["line"],
        argument=row["argument"],
        value="" if value is None else f"{value:g}" if isinstance(value, float) else str(value),
        words=tuple(row["words"]),
        rate=float(rule.get("rate", 0.0)),
    )


def turn(actor: Actor | None, name: str, rate: float, value: str = "") -> None:
    """Turn one fault; the others stay. Raises InvalidInput with what the sandbox says of a bad value."""
    if not 0.0 <= rate <= 1.0:
        raise InvalidInput("rate", "A rate is a part of 0 to 1.")
    rule: Rule | bool = {"rate": rate, **({"value": value} if value else {})} if rate else False
    _change(actor, {name: rule})


def all_off(actor: Actor | None) -> None:
    """Turn every fault off."""
    sandbox = _checked(actor)
    sandbox.put("faults", {})
    _record(actor, {"all": "off"})


def apply(actor: Actor | None, name: str) -> None:
    """Turn on what belongs to an outage, and everything else off."""
    chosen = next((preset for preset in PRESETS if preset.name == name), None)
    if chosen is None:
        raise InvalidInput("preset", f"There is no outage {name[:40]!r}.")
    sandbox = _checked(actor)
    sandbox.put("faults", chosen.rules)
    _record(actor, {"outage": name})


def own_status(actor: Actor | None) -> bool:
    """Whether KIE's errors come with their own HTTP status; else with HTTP 200, its documents disagree."""
    access.check(actor, Action.VIEW)
    return bool(control.of(settings.current()).get("settings")["status_style"] == "http")


def set_own_status(actor: Actor | None, own: bool) -> None:
    """Choose between the two."""
    sandbox = _checked(actor)
    sandbox.put("settings", {"status_style": "http" if own else "body"})
    _record(actor, {"errors_with_their_own_status": own})


def _change(actor: Actor | None, rules: Mapping[str, Any]) -> None:
    sandbox = _checked(actor)
    sandbox.change("faults", rules)
    _record(actor, rules)


def _checked(actor: Actor | None) -> control.Control:
    access.check(actor, Action.REHEARSE)
    return control.of(settings.current())


def _record(actor: Actor | None, what: Mapping[str, Any]) -> None:
    with database.transaction() as connection:
        known = access.check(actor, Action.REHEARSE)
        audit.record(connection, known, "rehearsal.faults", "rehearsal", "faults", after=what)
