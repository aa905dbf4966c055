"""The panels of delivery health. Each number opens the rows that it counts, by the address."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from html import escape
from typing import Protocol, TypeVar

import streamlit as st

from core.access import Action, Actor
from core.deliveries import health
from core.deliveries.health import DEFINITIONS, TARGET, Health, ModelLine
from core.deliveries.health_rows import Board
from core.deliveries.models import DeliveryState
from core.deliveries.windows import KINDS, Filter
from core.queries import Figure
from pages.components import definition, formats, openers, outcome_bars, times, trends
from pages.components.health_filters import COUNTING, WINDOW_NAMES, model_name
from pages.components.openers import Panel, Tile
from pages.components.states import LOOKS, Tone, icon_html

# So many lines of a panel at first, and after a click on all of them.
SHOWN, MOST_SHOWN = 6, 60
# The address's word for the panel of which all is shown.
WHOLE = "whole"
Line = TypeVar("Line")
# What stands for a number or an id where failures that differ in it alone are one group.
_ANY = re.compile(r"<(?:n|id)>")
TARGET_SAID = formats.percent(TARGET)


def numbers(found: Health, zone: tzinfo) -> None:
    """The numbers, each with its trend, its definition on hover, and its rows behind it."""
    of = found.filter.but(window="24h", signature=None, at=None)
    whole, counts = found.filter.but(signature=None, at=None), found.known(found.filter.window)
    begun = f"in {WINDOW_NAMES[found.filter.window]}"
    openers.tiles(
        "health",
        (
            *(_rate(found, window, zone) for window in WINDOW_NAMES),
            _times(found, zone),
            _number(found, "in_flight", "In flight", found.under_way.in_flight, "now", of, zone),
            _number(found, "stuck", "Stuck", found.under_way.stuck, "now, by its model's limit", of, zone),
            *(
                _number(found, name, words, getattr(counts, name) if counts else None, begun, whole, zone)
                for name, words in (("lost", "Lost"), ("needs_attention", "Needs attention"))
            ),
        ),
    )


def _rate(found: Health, window: str, zone: tzinfo) -> Tile:
    counts, beside = found.known(window), ""
    tone: Tone = "waiting"
    if counts is None:
        big, small = formats.NO_DATA, COUNTING
    elif counts.success_rate is None:
        big, small = "no data", "none has finished"
    else:
        big = formats.percent(counts.success_rate)
        small = f"of {formats.count(counts.finished)}, {formats.count(counts.in_flight)} in flight"
        tone = "good" if counts.success_rate >= TARGET else "bad"
        beside = _against_target(reached=counts.success_rate >= TARGET)
    before = found.before.get(window)
    # What came before the longest window is read only when it is the chosen one.
    trend = trends.rate(counts, before) if before or window == found.filter.window else ""
    opens = found.filter.but(window=window, state="finished", signature=None, at=None)
    name, meant = f"Success, {WINDOW_NAMES[window]}", health.figure("success")
    meant = replace(meant, meaning=f"{meant.meaning} The target is {TARGET_SAID}.")
    return _tile(name, (big, small, trend), opens, meant, found.as_of, zone, tone=tone, beside=beside)


def _against_target(*, reached: bool) -> str:
    """In words and a sign, because a colour alone says nothing."""
    icon, words = ("check", "target reached") if reached else ("south", f"under {TARGET_SAID}")
    return f'<span class="so-nowrap">{icon_html(icon)} {escape(words)}</span>'


def _times(found: Health, zone: tzinfo) -> Tile:
    if found.known(found.filter.window) is None:
        big, small = formats.NO_DATA, COUNTING
    elif not found.times.samples:
        big, small = "no data", "none has a known time"
    else:
        big = formats.duration(found.times.p50_s)
        most, of = formats.duration(found.times.p95_s), formats.count(found.times.samples)
        small = f"p50; p95 {most}, of {of}"
    opens = found.filter.but(state="timed", signature=None, at=None)
    name = f"Time to deliver, {WINDOW_NAMES[found.filter.window]}"
    said = (big, small, trends.times(found.times, found.times_before))
    return _tile(name, said, opens, health.figure("time"), found.as_of, zone)


def _number(
    found: Health, state: str, name: str, n: int | None, small: str, of: Filter, zone: tzinfo
) -> Tile:
    opens = of.but(state=state)
    trend = trends.under_way(found, state) if opens.of_this_moment else trends.begun(found, state)
    said = (formats.count(n), small) if n is not None else (formats.NO_DATA, COUNTING)
    bad = n and state in {"stuck", "lost", "needs_attention"}
    tone: Tone = "bad" if bad else "waiting"
    return _tile(name, (*said, trend), opens, health.figure(state), found.as_of, zone, tone=tone)


def _tile(
    name: str,
    said: tuple[str, str, str],
    opens: Filter,
    figure: Figure,
    as_of: datetime,
    zone: tzinfo,
    *,
    tone: Tone = "waiting",
    beside: str = "",
) -> Tile:
    """`said`: the number, a line about it, its trend; `beside`: HTML beside the number."""
    big, *lines = said
    since = "" if opens.of_this_moment else f"From {times.exact(opens.span(as_of)[0], zone)} on. "
    mark = definition.mark_html(name, figure, more=f"{since}Trend: {DEFINITIONS['trend']}")
    return Tile(name, big, tuple(lines), openers.address(opens.query()), mark, tone, beside)


def rescue(actor: Actor, board: Board, now: datetime, zone: tzinfo) -> None:
    """The results that KIE still keeps and we do not have, least time left first."""
    if board.health is None or not board.health.under_way.rescue:
        return
    lines = []
    for generation in board.rescuing:
        left = (
            f"KIE deletes it {times.ago_html(generation.result_expires_at, now, zone)}"
            if generation.result_expires_at
            else "it is not known yet when KIE deletes it"
        )
        failed = generation.attempt
        tries = f", {formats.counted(failed, 'try', 'tries')} failed" if failed else ""
        named = f"<code>…{str(generation.id)[-8:]}</code>"
        if actor.may(Action.DEBUG_GENERATION):
            named = f'<a href="debug_sync?q={generation.id}">{named}</a>'
        lines.append(f"<div>{named} {escape(model_name(generation.model or ''))}: {left}{tries}</div>")
    n, of = board.health.under_way.rescue, board.health.filter
    opens = openers.address(Filter(kind=of.kind, model=of.model, state="rescue").query())
    st.html(
        f'<section class="so-panel"><div class="so-task so-attention">{icon_html("timer")}<span><b>Rescue'
        f" clock: {formats.counted(n, 'result waits', 'results wait')} at KIE to be stored</b>"
        f"{definition.mark_html('Rescue clock', health.figure('rescue'))}</span>"
        f'<div class="so-quiet">{"".join(lines)}</div></div>'
        f'<div><a class="so-link" href="{escape(opens)}">Show all of them</a></div></section>'
    )


def panels(found: Health, zone: tzinfo) -> None:
    """How it went over the window, what failed most, and how each model does."""
    openers.panels("health", (*_course(found, zone), _failures(found), _models(found)))


def _course(found: Health, zone: tzinfo) -> Iterator[Panel]:
    """How many were begun, and which share was missed."""
    known = found.known(found.filter.window) is not None
    bars = found.bars if known else ()
    why = "Nothing has finished in this window." if known else "They are being counted."
    aside = f"by the {outcome_bars.WIDTHS[found.filter.window]}"
    missed = replace(health.figure("success"), meaning=f"What the success leaves. {DEFINITIONS['success']}")
    for title, figure, html in (
        ("Generations begun", health.figure("begun"), outcome_bars.counts_html(bars, found.filter, zone)),
        ("Not delivered, % of finished", missed, outcome_bars.misses_html(bars, found.filter, zone)),
    ):
        body = f'<div class="so-tall">{html}</div>' if html else _nothing_html(why)
        yield Panel(title, aside, body, definition.mark_html(title, figure))


def _nothing_html(why: str) -> str:
    return f'<div class="so-quiet">{why}</div>'


def _failures(found: Health) -> Panel:
    groups = formats.counted(len(found.failures), "group", "groups")
    trend = trends.begun(found, "failed").replace(trends.NOTHING, "")
    aside = f"{groups} · failed: {trend}" if trend else groups
    figure = replace(
        health.figure("failed"),
        meaning="Failed, lost or in need of a person, begun in the window; together where model and reason"
        " are the same but for numbers and ids.",
    )
    lines = [
        _line_html(
            failure_title(failure),
            f"{LOOKS[DeliveryState(failure.state)].word} · {model_name(failure.model)}",
            formats.count(failure.n),
            found.filter.but(signature=failure.signature, state=None, at=None),
        )
        for failure in _shown(found.failures, "failures")
    ]
    body = _lines_html(lines, len(found.failures), "failures", found.filter)
    return Panel(
        "What failed",
        aside if found.failures else "",
        body or _nothing_html("No failure in this window."),
        definition.mark_html("What failed", figure),
    )


def _shown(lines: Sequence[Line], name: str) -> Sequence[Line]:
    """The first few lines of a panel, or all of them once somebody asked for that."""
    return lines[: MOST_SHOWN if st.query_params.get(WHOLE) == name else SHOWN]


def _lines_html(lines: Sequence[str], n: int, name: str, chosen: Filter) -> str:
    """The lines, and the way to those of `n` that are left out, and back; nothing for none."""
    if not lines:
        return ""
    if n <= SHOWN:
        return openers.lines_html(lines)
    whole = st.query_params.get(WHOLE) == name
    more = f"Show all {formats.count(n)}" if n <= MOST_SHOWN else f"Show the first {MOST_SHOWN}"
    href = openers.address(chosen.query() | ({} if whole else {WHOLE: name}))
    return (
        f'{openers.lines_html(lines)}<div><a class="so-link" href="{escape(href)}" data-stay'
        f' data-key="more-{name}">{"Show fewer" if whole else more}</a></div>'
    )


class Titled(Protocol):
    """Whatever has a failure's words."""

    @property
    def message(self) -> str: ...
    @property
    def category(self) -> str: ...
    @property
    def code(self) -> str: ...


def failure_title(failure: Titled) -> str:
    """A failure group in one line."""
    said = failure.message or failure.category.replace("_", " ") or "no reason given"
    return f"{failure.code + ': ' if failure.code else ''}{_ANY.sub('…', said)}"


def _models(found: Health) -> Panel:
    lines = [
        _line_html(
            model_name(one.model),
            _model_said(one),
            formats.percent(one.counts.success_rate),
            found.filter.but(
                model=one.model,
                kind=one.kind if one.kind in KINDS else found.filter.kind,
                state="begun",
                signature=None,
                at=None,
            ),
        )
        for one in _shown(found.models, "models")
    ]
    body = _lines_html(lines, len(found.models), "models", found.filter)
    mark = definition.mark_html("Models", health.figure("success"))
    return Panel("Models", "success rate", body or _nothing_html("No generation in this window."), mark)


def _model_said(one: ModelLine) -> str:
    said = f"{one.kind} · {formats.count(one.counts.total)} begun"
    if one.times.p50_s is None:
        return said
    return f"{said} · p50 {formats.duration(one.times.p50_s)}, p95 {formats.duration(one.times.p95_s)}"


def _line_html(title: str, small: str, number: str, opens: Filter) -> str:
    """A line with a number; all of it opens its rows."""
    return openers.line_html(title, number, small, openers.address(opens.query()))
