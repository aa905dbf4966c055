"""What a month is made of: whether it was worth it, who and what drives it, past months, quotas."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from html import escape
from uuid import UUID

import streamlit as st

from core.budget import figures as budget_figures
from core.budget.ledger import PARAMETERS, Filter
from core.budget.models import TRAININGS
from core.budget.views import Board, Credits, Part
from core.trainings.spending import Creator, Quota
from pages.components import definition, formats, openers
from pages.components.health_filters import model_name
from pages.components.training_words import trainer

SCOPE_NAMES = {
    "trainings": "Trainings",
    "deliveries": "KIE generations",
    "everything": "Everything",
    "other": "Other systems",
}
STAGES = {
    "training": "Training",
    "validation": "Test images",
    "generated": "Images drawn for trainings",
    "generate": "Generation",
    "": "No stage",
}
# What trainers are paid for, which is no model that anybody generates with.
_SERVICES = {
    "flux-lora-fast-training": "Training at fal",
    "flux-dev-lora-trainer": "Training at Replicate",
    "gpu": "Pod at RunPod",
    "pod": "Pod at RunPod",
    "": "No model",
}
_PROVIDERS = {"kie": "KIE", "": "No provider"}
SHOWN = 6


def go(wanted: Filter) -> None:
    """Look at this; for a button's `on_click`."""
    for name in PARAMETERS:
        st.query_params.pop(name, None)
    for name, value in wanted.query().items():
        st.query_params[name] = value


def provider_name(key: str) -> str:
    """A provider as people call it."""
    return _PROVIDERS.get(key) or trainer(key)


def service_name(key: str) -> str:
    """A model or a service as people call it."""
    return _SERVICES.get(key) or model_name(key)


def credits_html(left: Credits | None) -> str:
    """What is left at KIE, as a line."""
    if left is None:
        return '<div class="so-quiet">KIE has not told its balance yet.</div>'
    mark = definition.mark_html("KIE's credits", budget_figures.FIGURES["credits"])
    lasting = (
        f", enough for {left.days_left:.0f}\u00a0days at last week's pace"
        if left.days_left is not None
        else ""
    )
    return (
        f'<div class="so-quiet">KIE has <b>{formats.count(round(left.credits))}\u00a0credits</b> left,'
        f" {escape(formats.total(left.usd))}{lasting}.{mark}</div>"
    )


def drivers(board: Board, creators: Sequence[Creator], wanted: Filter) -> None:
    """What drives the month; each line opens its ledger lines."""
    base, of = Filter(wanted.month, wanted.scope), board.position.settled_usd
    with st.grid(2, min_column_width=320):
        _panel("By provider", _lines(board.providers, provider_name), "provider", base, of)
        if wanted.scope == TRAININGS:
            _creators(creators, board, base)
        else:
            people = _lines(board.users, lambda key: board.names.get(key) or _person(key))
            _panel("By person", people, "user", base, of)
        _panel("By stage", _lines(board.stages, lambda key: STAGES.get(key, key)), "stage", base, of)
        _panel("By model", _lines(board.models, service_name), "model", base, of)


def _person(key: str) -> str:
    return f"…{key[-8:]}" if key else "Nobody's account"


def _lines(parts: Iterable[Part], name: Callable[[str], str]) -> list[tuple[str, str, Part]]:
    return [(part.key, name(part.key), part) for part in parts]


def _panel(
    title: str, lines: Sequence[tuple[str, str, Part]], dimension: str, base: Filter, of: Decimal
) -> None:
    with st.container(border=True, height="stretch", gap="small"):
        st.html(f'<div class="so-panel-head"><b>{title}</b></div>')
        if not lines:
            st.html('<div class="so-quiet">Nothing in this month.</div>')
        for key, name, part in lines[:SHOWN]:
            value: object = UUID(key) if dimension == "user" and key else key or None
            _line(f"{dimension}-{key}", name, part, base.but(**{dimension: value}), of=of)


def _line(
    key: str,
    name: str,
    part: Part,
    opens: Filter,
    *,
    of: Decimal | None = None,
    counted: tuple[str, str] = ("line", "lines"),
) -> None:
    """A part as a line that opens its lines; with its share of what was settled, where `of` says how much."""
    reserved = f", {formats.total(part.reserved_usd)} reserved" if part.reserved_usd else ""
    share = f", {formats.percent(round(float(part.settled_usd / of), 4))}" if of and part.settled_usd else ""
    small = f"{formats.counted(part.lines, *counted)}{share}{reserved}"
    openers.line(f"budget-{key}", name, formats.total(part.settled_usd), small, go, (opens,))


def _creators(creators: Sequence[Creator], board: Board, base: Filter) -> None:
    """Who launched the runs, and users of lines without a run here, whoever paid most first. A user's lines
    open, staff have none."""
    known = {one.key.removeprefix("user:") for one in creators}
    others = (part for part in board.users if part.key and part.key not in known)
    people = [
        *((one, ("run", "runs")) for one in creators),
        *((_user(part, board), ("line", "lines")) for part in others),
    ]
    people.sort(key=lambda person: (person[0].settled_usd, person[0].reserved_usd), reverse=True)
    with st.container(border=True, height="stretch", gap="small"):
        st.html('<div class="so-panel-head"><b>By person</b></div>')
        if not people:
            st.html('<div class="so-quiet">Nothing in this month.</div>')
        for one, counted in people[:SHOWN]:
            _creator(one, counted, base)


def _user(part: Part, board: Board) -> Creator:
    return Creator(
        f"user:{part.key}", board.names.get(part.key), part.lines, part.settled_usd, part.reserved_usd
    )


def _creator(one: Creator, counted: tuple[str, str], base: Filter) -> None:
    name, user = one.name or _person(one.key), one.key.removeprefix("user:")
    if user != one.key:
        part = Part(user, one.settled_usd, one.reserved_usd, one.runs)
        _line(one.key, name, part, base.but(user=UUID(user)), counted=counted)
        return
    reserved = f", {formats.money(one.reserved_usd)} reserved" if one.reserved_usd else ""
    runs = f"{formats.counted(one.runs, *counted)}{reserved}"
    st.html(
        f'<div class="so-line-card"><div class="so-clip">{escape(name)}</div>'
        f'<b class="so-number">{escape(formats.total(one.settled_usd))}</b>'
        f'<div class="so-quiet so-small so-clip">{escape(runs)}</div></div>'
    )


def past_months(board: Board, wanted: Filter) -> None:
    """What months came to; each opens."""
    with st.container(border=True, height="stretch", gap="small"):
        st.html(
            '<div class="so-panel-head"><b>Months</b><span class="so-quiet so-small">settled</span></div>'
        )
        if not board.months:
            st.html('<div class="so-quiet">Nothing was paid in any month yet.</div>')
        for one in board.months:
            part = Part(f"{one.month:%Y-%m}", one.settled_usd, one.reserved_usd, one.lines)
            _line(f"month-{one.month}", f"{one.month:%B %Y}", part, Filter(one.month, wanted.scope))


def quotas(found: Sequence[Quota]) -> None:
    """How many LoRAs each creator has used of the month's."""
    with st.container(border=True, height="stretch", gap="small"):
        st.html(
            '<div class="so-panel-head"><b>Quota per person</b>'
            '<span class="so-quiet so-small">failed and cancelled ones do not count</span></div>'
        )
        if not found:
            st.html('<div class="so-quiet">Nobody has begun a LoRA in this month.</div>')
        lines = [
            (
                escape(one.name or _person(one.creator)),
                (
                    f'<span class="so-bad-text">{one.used} of {one.quota} · used up</span>'
                    if one.used >= one.quota
                    else f"{one.used} of {one.quota}"
                ),
            )
            for one in found[:12]
        ]
        if lines:
            st.html(
                '<dl class="so-facts">'
                + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in lines)
                + "</dl>"
            )
