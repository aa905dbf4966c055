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
from pages.components import definition, formats, look, openers
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


def parts(board: Board, creators: Sequence[Creator], used: Sequence[Quota], wanted: Filter) -> None:
    """What drives the month, what months came to, and quotas; each line opens its ledger lines."""
    base, of = Filter(wanted.month, wanted.scope), board.position.settled_usd
    if wanted.scope == TRAININGS:
        people = _creators(creators, board, base)
    else:
        named = _lines(board.users, lambda key: board.names.get(key) or _person(key))
        people = _opening(named, "user", base, of)
    stages = _lines(board.stages, lambda key: STAGES.get(key, key))
    panels = (
        _panel("By provider", _opening(_lines(board.providers, provider_name), "provider", base, of)),
        _panel("By person", people),
        _panel("By stage", _opening(stages, "stage", base, of)),
        _panel("By model", _opening(_lines(board.models, service_name), "model", base, of)),
        _months(board, wanted),
        _quotas(used),
    )
    st.html(f'<div class="so-two">{"".join(panels)}</div>')


def _person(key: str) -> str:
    return f"…{key[-8:]}" if key else "Nobody's account"


def _lines(parts: Iterable[Part], name: Callable[[str], str]) -> list[tuple[str, str, Part]]:
    return [(part.key, name(part.key), part) for part in parts]


def _panel(title: str, lines: Sequence[str], aside: str = "", nothing: str = "Nothing in this month.") -> str:
    """A panel of lines that are HTML already."""
    drawn = openers.lines_html(lines) if lines else f'<div class="so-quiet">{nothing}</div>'
    return f'<section class="so-panel">{definition.head_html(title, aside)}{drawn}</section>'


def _opening(
    lines: Sequence[tuple[str, str, Part]], dimension: str, base: Filter, of: Decimal
) -> Sequence[str]:
    """Lines that open the ledger's lines of one provider, person, stage or model."""
    return [
        _line(
            name,
            part,
            base.but(**{dimension: UUID(key) if dimension == "user" and key else key or None}),
            of=of,
        )
        for key, name, part in lines[:SHOWN]
    ]


def _line(
    name: str,
    part: Part,
    opens: Filter | None,
    *,
    of: Decimal | None = None,
    counted: tuple[str, str] = ("line", "lines"),
) -> str:
    """A part as a line that opens its lines; with its share of what was settled, where `of` says how much."""
    reserved = f", {formats.total(part.reserved_usd)} reserved" if part.reserved_usd else ""
    share = f", {formats.percent(round(float(part.settled_usd / of), 4))}" if of and part.settled_usd else ""
    small = f"{formats.counted(part.lines, *counted)}{share}{reserved}"
    href = openers.address(opens.query()) if opens else None
    return openers.line_html(name, formats.total(part.settled_usd), small, href)


def _creators(creators: Sequence[Creator], board: Board, base: Filter) -> Sequence[str]:
    """Who launched the runs, and users of lines without a run here, whoever paid most first. A user's lines
    open, staff have none."""
    known = {one.key.removeprefix("user:") for one in creators}
    others = (part for part in board.users if part.key and part.key not in known)
    people = [
        *((one, ("run", "runs")) for one in creators),
        *((_user(part, board), ("line", "lines")) for part in others),
    ]
    people.sort(key=lambda person: (person[0].settled_usd, person[0].reserved_usd), reverse=True)
    return [_creator(one, counted, base) for one, counted in people[:SHOWN]]


def _user(part: Part, board: Board) -> Creator:
    return Creator(
        f"user:{part.key}", board.names.get(part.key), part.lines, part.settled_usd, part.reserved_usd
    )


def _creator(one: Creator, counted: tuple[str, str], base: Filter) -> str:
    user = one.key.removeprefix("user:") if one.key.startswith("user:") else None
    part = Part(one.key, one.settled_usd, one.reserved_usd, one.runs)
    opens = base.but(user=UUID(user)) if user else None
    return _line(one.name or _person(one.key), part, opens, counted=counted)


def _months(board: Board, wanted: Filter) -> str:
    """What months came to; each opens."""
    lines = [
        _line(
            f"{one.month:%B %Y}",
            Part(f"{one.month:%Y-%m}", one.settled_usd, one.reserved_usd, one.lines),
            Filter(one.month, wanted.scope),
        )
        for one in board.months
    ]
    return _panel("Months", lines, "settled", "Nothing was paid in any month yet.")


def _quotas(found: Sequence[Quota]) -> str:
    """How many LoRAs each creator has used of the month's."""
    lines = [
        (
            one.name or _person(one.creator),
            (
                f'<span class="so-bad-text">{one.used} of {one.quota} · used up</span>'
                if one.used >= one.quota
                else f"{one.used} of {one.quota}"
            ),
        )
        for one in found[:12]
    ]
    aside = "failed and cancelled ones do not count"
    nothing = "Nobody has begun a LoRA in this month."
    return _panel("Quota per person", [look.facts_html(lines)] if lines else (), aside, nothing)
