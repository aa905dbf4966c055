"""What runs, what waits for a person and why, and what it costs: everything above the table of trainings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from html import escape

import streamlit as st

from core.access import Actor
from core.budget import figures as budget_figures
from core.budget import views as budget
from core.budget.models import Position
from core.trainings import downloads, policy, views
from core.trainings.counted import Counted
from core.trainings.downloads import DownloadRates
from core.trainings.figures import FIGURES
from core.trainings.models import RunState
from core.trainings.views import Counts, Filter, Pod, Row
from pages.components import chosen_run, definition, formats, openers, times
from pages.components.openers import Tile
from pages.components.states import Tone, icon_html, pill_html
from pages.components.training_words import look_of, named_html, stage_line, time_left, trainer

# So many lines of each list; its number above opens all.
SHOWN = 5
STATE = "state"
ALL, UNDER_WAY, NEEDS_PERSON = "All", "Under way", "Needs a person"
COMPLETED, FAILED, CANCELLED = "Completed", "Failed", "Cancelled"
STATES: dict[str, frozenset[RunState] | None] = {
    ALL: None,
    UNDER_WAY: frozenset({RunState.RUNNING, RunState.ENDING}),
    NEEDS_PERSON: frozenset({RunState.AWAITING_VERDICT, RunState.NEEDS_ATTENTION}),
    COMPLETED: frozenset({RunState.COMPLETED}),
    FAILED: frozenset({RunState.FAILED}),
    CANCELLED: frozenset({RunState.CANCELLED}),
}


_FIGURES = {**FIGURES, "month": budget_figures.FIGURES["month"]}


@dataclass(frozen=True)
class Board:
    """Everything above the table, of one moment."""

    counts: Counts
    position: Position
    pods: tuple[Pod, ...]
    under_way: tuple[Row, ...]
    waiting: tuple[Row, ...]
    fetched: DownloadRates

    @property
    def per_hour(self) -> Decimal:
        return sum((pod.usd_per_hour for pod in self.pods if pod.usd_per_hour), Decimal(0))


def board(actor: Actor, now: datetime) -> Board:
    """What stands above the table."""
    return Board(
        views.counts(actor, now),
        budget.position(actor, now),
        views.pods(actor, now),
        views.runs(actor, Filter(states=STATES[UNDER_WAY]), now, limit=SHOWN).rows,
        views.runs(actor, Filter(states=STATES[NEEDS_PERSON]), now, limit=SHOWN).rows,
        downloads.rates(actor, policy.month_of(now)),
    )


def not_over_html(seen: Board, now: datetime, zone: tzinfo) -> str:
    """The runs that are not over, each a line."""
    counts = seen.counts
    many = counts.awaiting_verdict + counts.needs_attention
    waiting = _lines_html(NEEDS_PERSON, many, seen.waiting, seen, now, zone)
    return waiting + _lines_html(UNDER_WAY, counts.running, seen.under_way, seen, now, zone)


# Numbers.


def numbers(seen: Board, now: datetime) -> None:
    """What runs, what waits, what failed and what was spent, each with its rows behind it."""
    counts, position = seen.counts, seen.position
    waiting = counts.awaiting_verdict + counts.needs_attention
    pods = (
        f"{formats.counted(len(seen.pods), 'pod', 'pods')}, {formats.total(seen.per_hour)} an hour"
        if seen.pods
        else "no pod runs, $0.00 an hour"
    )
    verdicts = formats.counted(counts.awaiting_verdict, "verdict", "verdicts")
    rate = counts.success_rate
    success = (
        f"success {formats.percent(rate)}, target {100 * policy.SUCCESS_TARGET:.0f}\u00a0%"
        if rate is not None
        else "none has ended"
    )
    tone: Tone = "waiting" if rate is None else "good" if rate >= policy.SUCCESS_TARGET else "bad"
    openers.tiles(
        "runs",
        (
            _tile("Under way", "under_way", formats.count(counts.running), pods, "waiting", of(UNDER_WAY)),
            _tile(
                "Needs a person",
                "needs_person",
                formats.count(waiting),
                f"{verdicts}, {formats.count(counts.needs_attention)} in doubt",
                "bad" if waiting else "waiting",
                of(NEEDS_PERSON),
            ),
            _tile(
                "Failed this month",
                "failed",
                formats.count(counts.failed),
                success,
                tone,
                of(FAILED, policy.month_of(now)),
            ),
            _tile(
                "Spent this month",
                "month",
                formats.total(position.settled_usd),
                f"{formats.total(position.reserved_usd)} reserved, {formats.total(position.left_usd)} left",
                "waiting",
                "budget",
            ),
        ),
    )
    if told := fetched_html(seen.fetched):
        st.html(told)


def fetched_html(found: DownloadRates) -> str:
    """How many of the images that were wanted by their addresses came; nothing while none was."""
    if found.rate is None:
        return ""
    by_way = ", ".join(f"{way.way} {formats.percent(way.rate)}" for way in found.ways if way.rate is not None)
    good = found.rate >= found.target
    mark = definition.mark_html("Images fetched by their addresses", FIGURES["downloads"])
    icon = icon_html("check_circle" if good else "error")
    return (
        f'<div class="so-small so-quiet so-row">{icon}<span>Images fetched by their addresses this month:'
        f" <b>{formats.percent(found.rate)}</b> came ({escape(by_way)}), target"
        f" {formats.percent(found.target)}{mark}</span></div>"
    )


def _tile(name: str, figure: str, big: str, small: str, tone: Tone, href: str) -> Tile:
    return Tile(name, big, (small,), href, definition.mark_html(name, _FIGURES[figure]), tone)


def of(state: str, since: datetime | None = None) -> str:
    """The address of the runs of a state, launched from `since` on."""
    return openers.address({STATE: state, **Counted(since=since).query()})


# The runs that are not over.


def _lines_html(state: str, many: int, rows: Sequence[Row], seen: Board, now: datetime, zone: tzinfo) -> str:
    if not rows:
        return ""
    pods = {pod.run_id: pod for pod in seen.pods}
    lines = (
        openers.link_html(
            openers.address({chosen_run.PARAMETER: str(row.id)}),
            _line_html(row, pods.get(row.id), now, zone),
            "so-run-line so-opens",
        )
        for row in rows
    )
    drawn = openers.lines_html(lines)
    more = f'<a class="so-link" href="{escape(of(state))}">Show all {formats.count(many)}</a>'
    return (
        f'<section class="so-panel"><h2 class="so-section">{escape(state)}</h2>{drawn}'
        f"{f'<div>{more}</div>' if many > len(rows) else ''}</section>"
    )


def _line_html(row: Row, pod: Pod | None, now: datetime, zone: tzinfo) -> str:
    moving = row.state in (STATES[UNDER_WAY] or ())
    if moving:
        said = escape(stage_line(row))
        aside = escape(time_left(row.time_left_s))
    else:
        said = escape(row.error or look_of(row).means)
        aside = ""
    cost = f"{formats.total(pod.usd_so_far)} so far, {formats.total(pod.usd_per_hour)} an hour" if pod else ""
    facts = " · ".join(
        part
        for part in (
            escape(trainer(row.trainer)),
            f"launched {times.ago_html(row.launched_at, now, zone)}",
            aside,
            escape(cost),
        )
        if part
    )
    bar = progress_html(row.progress, row.name) if moving else ""
    return (
        f'<div class="so-row">{pill_html(look_of(row))}'
        f"<span>{named_html(row)}</span></div>"
        f'<div class="so-clip-2">{said}</div>{bar}<div class="so-quiet so-small">{facts}</div>'
    )


def progress_html(share: int, of: str) -> str:
    """A bar with its percentage."""
    return (
        f'<div class="so-progress" role="progressbar" aria-valuenow="{share}" aria-valuemin="0"'
        f' aria-valuemax="100" aria-label="{escape(of)}"><i style="width:{share}%"></i></div>'
        f'<div class="so-progress-said so-number">{share}\u00a0%</div>'
    )
