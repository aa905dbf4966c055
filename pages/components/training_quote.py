"""What a training costs and takes, the one button that begins it, and why it was refused."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from decimal import Decimal
from html import escape

import streamlit as st

from core import log, settings
from core.access import Actor
from core.budget.figures import FIGURES
from core.trainings import service, tools, views
from core.trainings.models import Launch, NameTaken, Run
from core.trainings.views import Quote
from pages.components import definition, errors, formats, look
from pages.components.dataset_sheet import why_not
from pages.components.states import icon_html
from pages.components.training_words import expected_time, trainer

_FAILURE = "so-launch-failure"


@dataclass(frozen=True)
class _Refused:
    """A refusal, and the launch that it was said of; once that changes it no longer holds."""

    of: tuple[tuple[Launch, ...], int]
    failure: errors.Failure


@dataclass(frozen=True)
class Ahead:
    """What is to be generated before a launch, count and USD, and what has been spent on that already."""

    images: int = 0
    usd: Decimal = Decimal(0)
    spent_usd: Decimal = Decimal(0)


NOTHING_AHEAD = Ahead()


def refusal_of(wishes: tuple[Launch, ...], images: int) -> errors.Failure | None:
    """Why these very launches of so many images were refused."""
    refused = st.session_state.get(_FAILURE)
    return refused.failure if isinstance(refused, _Refused) and refused.of == (wishes, images) else None


def show(
    actor: Actor,
    wishes: tuple[Launch, ...],
    images: int,
    *,
    at_fields: Set[str],
    ahead: Ahead = NOTHING_AHEAD,
    notes: Sequence[str] = (),
) -> list[Run]:
    """The quote and the button; the runs once they are launched, all or none.

    What is refused at one of `at_fields` is said there, everything else here. `notes` go into each one's log.
    """
    one = wishes[0]
    quote = views.quote(
        actor, one.trainer, one.steps, tools.current(), generated_usd=ahead.usd, trainings=len(wishes)
    )
    _quote(quote, one.trainer, ahead, len(wishes))
    failure = refusal_of(wishes, images)
    if failure is not None and failure.field not in at_fields:
        st.html(look.notice_html("bad", "error", failure.sentence))
    if _pressed(actor, one.trainer, quote, len(wishes)):
        return _launch(actor, wishes, images, notes)
    return []


def _quote(quote: Quote, trainer_name: str, ahead: Ahead, trainings: int) -> None:
    """What it costs and takes, and what is left afterwards."""
    left, limit = max(quote.left_after_usd, Decimal(0)), quote.budget.limit_usd
    runs_left = max(quote.quota - quote.used - trainings, 0)
    month = f"{quote.budget.month:%B}"
    counted = f'<span title="Counted by the calendar month in UTC, now {month}">'
    facts = (
        ("Time", escape(expected_time(quote, trainer_name) + (" each" if trainings > 1 else ""))),
        ("Budget", f"{counted}{formats.total(left)} of {formats.total(limit)} left afterwards</span>"),
        ("Quota", f"{counted}{runs_left} of your {quote.quota} LoRAs left afterwards</span>"),
    )
    st.html(_sum_html(quote, ", ".join(_parts(quote, ahead, trainings))) + look.facts_html(facts))


def _sum_html(quote: Quote, parts: str) -> str:
    """What it comes to and what that is made of; where time is paid, usually and at the most."""
    if quote.usual_usd == quote.launch_usd:
        shown, words = quote.total_usd, parts
    else:
        shown = quote.usual_usd + quote.generated_usd
        words = f"usually, at most {formats.total(quote.total_usd)}: {parts}"
    mark = definition.mark_html("The price", FIGURES["quote"])
    return (
        f'<div class="so-row"><span class="so-big">{formats.total(shown)}</span>{mark}'
        f'<span class="so-quiet">{words}</span></div>'
    )


def _parts(quote: Quote, ahead: Ahead, trainings: int) -> list[str]:
    """What the sum is made of, and what has been paid before it."""
    training = "training" if trainings == 1 else f"{formats.count(trainings)} trainings"
    found = [
        f"{training} {formats.total(quote.training_usd)}",
        f"test images {formats.total(quote.pictures_usd)}",
    ]
    if ahead.usd:
        many = formats.counted(ahead.images, "generated image", "generated images")
        found.append(f"{many} {formats.money(ahead.usd)}")
    if ahead.spent_usd:
        found.append(f"besides {formats.money(ahead.spent_usd)} for generated images")
    return found


def _pressed(actor: Actor, trainer_name: str, quote: Quote, trainings: int) -> bool:
    """The button, or why it is off."""
    closed = why_not(actor) or quote.refusal
    if quote.refusal:
        st.html(look.notice_html("attention", "savings", quote.refusal))
    most = "at most " if quote.usual_usd < quote.launch_usd else ""
    what = "Launch" if trainings == 1 else f"Launch {formats.count(trainings)} trainings"
    pressed = st.button(
        formats.in_label(f"{what} for {most}{formats.total(quote.launch_usd)}"),
        type="primary",
        icon=":material/rocket_launch:",
        width="stretch",
        key="so-launch",
        disabled=closed is not None,
        help=formats.in_label(closed) if closed else None,
    )
    if why_not(actor):
        st.html(f'<div class="so-quiet so-small">{icon_html("lock")} {escape(str(why_not(actor)))}</div>')
    elif settings.current().local_stack:
        played = trainer(trainer_name)
        st.html(f'<div class="so-quiet so-small">The sandbox plays {played}: nothing is paid.</div>')
    return pressed and closed is None


def _launch(actor: Actor, wishes: tuple[Launch, ...], images: int, notes: Sequence[str]) -> list[Run]:
    """Launch them; what is refused is kept for its field, and the page drawn again with it."""
    log.new_request_id()
    st.session_state.pop(_FAILURE, None)
    try:
        with st.spinner("Launching…"):
            return service.launch_all(actor, wishes, tools.current(), notes=notes)
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        failure = errors.describe(error, "launch")
        if isinstance(error, NameTaken):
            failure = replace(failure, field="name")
        st.session_state[_FAILURE] = _Refused((wishes, images), failure)
        st.rerun()
