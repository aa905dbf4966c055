"""The banner on every page: which part of the machinery is dead, what that stops, what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from html import escape

import streamlit as st

from core.local import stack
from core.local.supervise import PartStatus
from core.work import runs
from pages.components import counts, errors, times
from pages.components.look import folded_html, notice_html

REFRESH_S = 10
# A part of the local stack that was just started has not beaten yet.
START_GRACE = timedelta(seconds=60)


@dataclass(frozen=True)
class Role:
    """A part of the machinery in words: what it is called, and what does not happen without it."""

    name: str
    stops: str
    command: str


ROLES: dict[str, Role] = {
    "clock": Role(
        "clock",
        "Nothing scheduled begins: KIE is not asked for results, and what got stuck is not picked up.",
        "python -m jobs clock",
    ),
    "worker": Role(
        "worker",
        "Nothing is sent to KIE, fetched or stored; new generations wait.",
        "python -m jobs worker",
    ),
}


# Starts a clock and a worker in one process.
BOTH = "python -m jobs"
# Parts of the local stack that are no role of the machinery, and what stops without them.
OTHER_PARTS = {
    "postgres": "Nothing can be read or written.",
    "sandbox": "It stands in for KIE here: nothing can be generated.",
}


@dataclass(frozen=True)
class Failing:
    """A part of the local stack that ends again and again; `words` are its last ones."""

    name: str
    stops: str
    words: str

    def html(self) -> str:
        """The whole notice."""
        folded = folded_html("Its last words", self.words) if self.words else ""
        remedy = f"Its log: <code>logs/{escape(self.name)}.log</code> in the data folder."
        body = f"{escape(self.stops)} It is started again and again by itself. {remedy}{folded}"
        return notice_html("bad", "heart_broken", f"The {self.name} keeps ending", body)


def failing() -> Sequence[Failing]:
    """Every part of the local stack that does not stay up."""
    stops = OTHER_PARTS | {name: role.stops for name, role in ROLES.items()}
    return [
        Failing(part.name, stops.get(part.name, ""), part.last_error or "")
        for part in stack.status().parts
        if part.state == "failing"
    ]


@dataclass(frozen=True)
class Dead:
    """A role that nobody plays: since when (None: nobody ever did), and whether it is just starting."""

    role: Role
    since: datetime | None
    starting: bool
    in_stack: bool


def dead_html(parts: Sequence[Dead], now: datetime, zone: tzinfo) -> str:
    """One notice for all of them: what does not happen, since when, what to do."""
    names = " and no ".join(part.role.name for part in parts)
    lines = [f"{escape(part.role.stops)} {_heard_html(part, now, zone)}" for part in parts]
    command = parts[0].role.command if len(parts) == 1 else BOTH
    if parts[0].in_stack:
        remedy = (
            "What has ended is started again by itself. If this stays, stop Studio Ops with Ctrl-C and"
            " start it again: <code>streamlit run app.py</code>"
        )
    else:
        remedy = f"To start {'it' if len(parts) == 1 else 'both'}: <code>{escape(command)}</code>"
    headline = f"No {names} is alive"
    return notice_html("bad", "heart_broken", headline, "<br>".join([*lines, remedy]))


def _heard_html(part: Dead, now: datetime, zone: tzinfo) -> str:
    if part.since is None:
        return f"No {escape(part.role.name)} was ever heard of here."
    return f"The last {escape(part.role.name)} was heard of {times.ago_html(part.since, now, zone)}."


def starting_html(parts: Sequence[Dead]) -> str:
    """A calm notice for those that were started a moment ago."""
    names = " and the ".join(part.role.name for part in parts)
    verb = "is" if len(parts) == 1 else "are"
    return notice_html(
        "waiting", "hourglass_top", f"The {names} {verb} starting", "This takes a few seconds."
    )


def dead(now: datetime) -> Sequence[Dead]:
    """Every role that nobody plays."""
    alive = runs.liveness(now)
    parts = {part.name: part for part in stack.status().parts}
    return [
        Dead(
            ROLES[role],
            alive.last_beat[role],
            starting=bool(parts) and _just_started(parts.get(role), now),
            in_stack=bool(parts),
        )
        for role in alive.missing
    ]


def _just_started(part: PartStatus | None, now: datetime) -> bool:
    """Whether the local stack has just started it, or is about to."""
    if part is None:
        return True
    return part.since is not None and now - datetime.fromisoformat(part.since) < START_GRACE


def names_something(now: datetime) -> bool:
    """Whether the banner has anything to say."""
    return bool(failing()) or bool(dead(now))


@st.fragment(run_every=REFRESH_S)
def show() -> None:
    """The banner, nothing at all while everything lives, and the numbers in the sidebar."""
    with errors.guarded("banner"):
        counts.show()
        now, zone = times.now(), times.viewer_zone()
        broken = failing()
        for one in broken:
            st.html(one.html())
        missing = [part for part in dead(now) if part.role.name not in {one.name for one in broken}]
        if gone := [part for part in missing if not part.starting]:
            st.html(dead_html(gone, now, zone))
        if starting := [part for part in missing if part.starting]:
            st.html(starting_html(starting))
