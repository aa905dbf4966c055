"""The form of a training: what it is called, who trains it and how, what that costs, and the one button.

Every field stands in the address beside the draft, so that a reload loses nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from html import escape
from uuid import UUID

import streamlit as st

from core import log, settings
from core.access import Actor
from core.errors import StudioOpsError
from core.providers.training import Bounds
from core.trainings import launch_rules, service, tools, views
from core.trainings.models import Launch, NameTaken, Run
from core.trainings.views import Quote, TrainerChoice
from pages.components import errors, formats, look
from pages.components.dataset_sheet import why_not
from pages.components.states import icon_html
from pages.components.training_words import expected_time, trainer, trainer_of

NAME, TRIGGER, ABOUT, TRAINER = "name", "trigger", "about", "trainer"
STEPS, RATE, RANK, PUBLISH = "steps", "rate", "rank", "publish"
FIELDS = (NAME, TRIGGER, ABOUT, TRAINER, STEPS, RATE, RANK, PUBLISH)
_FAILURE = "so-launch-failure"
# The service's names of what it refuses, and the field of the form where the sentence belongs.
_FIELD_OF = {"trigger_word": TRIGGER, "description": ABOUT, "learning_rate": RATE}


@dataclass(frozen=True)
class _Refused:
    """A refusal, and the launch that it was said of; once that changes it no longer holds."""

    of: tuple[Launch, int]
    failure: errors.Failure


def address_of(draft_id: UUID, run: Run) -> dict[str, str]:
    """The launch page's address with this draft and the fields of an earlier run."""
    known = {
        "draft": draft_id,
        NAME: f"{run.lora_name} 2"[-launch_rules.MAX_NAME :],
        TRIGGER: run.trigger_word,
        ABOUT: run.description or "",
        TRAINER: trainer(run.trainer),
        STEPS: run.steps,
        RATE: formats_rate(float(run.learning_rate)) if run.learning_rate is not None else "",
        RANK: run.rank or "",
        PUBLISH: "true" if run.publish else "",
    }
    return {name: str(value) for name, value in known.items() if value != ""}


def chosen_trainer(choices: Sequence[TrainerChoice]) -> TrainerChoice | None:
    """The trainer that the form stands at; None while none is set up."""
    ready = {choice.name: choice for choice in choices if choice.bounds is not None}
    wanted = (
        st.session_state.get(TRAINER) or st.query_params.get(TRAINER) or settings.current().default_trainer
    )
    return ready.get(trainer_of(str(wanted))) or next(iter(ready.values()), None)


def show(actor: Actor, draft_id: UUID, images: int, choices: Sequence[TrainerChoice]) -> Run | None:
    """The form, the quote and the button; the run once it is launched."""
    chosen = chosen_trainer(choices)
    refused = st.session_state.get(_FAILURE)
    current = _wanted(draft_id, chosen)
    failure = refused.failure if isinstance(refused, _Refused) and refused.of == (current, images) else None
    field = failure.field if failure else None
    with st.container(border=True, gap="small"):
        _words(failure)
        _trainer(choices, chosen)
        if chosen is not None and chosen.bounds is not None:
            _parameters(chosen.bounds, failure)
        _publishing(failure)
    with st.container(border=True, gap="small", key="so-quote"):
        launched = None
        if chosen is not None:
            quote = views.quote(actor, chosen.name, _steps(), tools.current())
            _quote(quote, chosen.name)
            if failure is not None and (field is None or field not in FIELDS):
                st.html(look.notice_html("bad", "error", failure.sentence))
            launched = _button(actor, draft_id, chosen, images, quote)
    return launched


def _words(failure: errors.Failure | None) -> None:
    st.text_input(
        "Name",
        key=NAME,
        bind="query-params",
        max_chars=launch_rules.MAX_NAME,
        placeholder="Ada, the lighthouse keeper",
    )
    _said(failure, NAME)
    st.text_input(
        "Trigger word",
        key=TRIGGER,
        bind="query-params",
        max_chars=launch_rules.MAX_TRIGGER,
        placeholder="ada_v1",
        help="The word that calls the character up in a prompt: one that nobody writes otherwise.",
    )
    _said(failure, TRIGGER)
    st.text_area(
        "Description (optional)",
        key=ABOUT,
        bind="query-params",
        max_chars=launch_rules.MAX_DESCRIPTION,
        height=68,
        placeholder="Who it is, and what it is for",
    )
    _said(failure, ABOUT)


def _said(failure: errors.Failure | None, field: str) -> None:
    if failure is not None and failure.field == field:
        st.html(look.field_error_html(failure.sentence))


def _trainer(choices: Sequence[TrainerChoice], chosen: TrainerChoice | None) -> None:
    ready = [choice.name for choice in choices if choice.bounds is not None]
    if chosen is not None:
        st.session_state.setdefault(TRAINER, chosen.name)
        if st.session_state[TRAINER] not in ready:
            st.session_state[TRAINER] = chosen.name
        st.segmented_control(
            "Provider", ready, format_func=trainer, key=TRAINER, required=True, bind="query-params"
        )
    missing = [choice for choice in choices if choice.missing]
    if missing:
        words = "\n".join(f"{trainer(choice.name)}: {choice.missing}" for choice in missing)
        names = ", ".join(trainer(choice.name) for choice in missing)
        st.html(look.folded_html(f"Not set up here: {names}", words))
    if chosen is None:
        st.html(
            look.notice_html(
                "attention",
                "key_off",
                "No trainer is set up",
                "Set what is named above in the environment and start Studio Ops again; see the README.",
            )
        )


def _parameters(bounds: Bounds, failure: errors.Failure | None) -> None:
    """Steps, and folded what only few people change; only what the trainer takes, within its bounds."""
    _clamp(STEPS, launch_rules.USUAL_STEPS, *bounds.steps)
    low, high = bounds.steps
    st.number_input(
        "Steps",
        min_value=low,
        max_value=high,
        step=100,
        key=STEPS,
        bind="query-params",
        help=f"{low:,} to {high:,}. 1,000 suit most characters; more cost more and can overfit.",
    )
    _said(failure, STEPS)
    if bounds.learning_rate is None and bounds.rank is None:
        return
    with st.expander("Advanced"):
        if bounds.learning_rate is not None:
            lowest, highest = (float(bound) for bound in bounds.learning_rate)
            _clamp(RATE, float(launch_rules.USUAL_LEARNING_RATE), lowest, highest)
            st.number_input(
                "Learning rate",
                min_value=lowest,
                max_value=highest,
                step=0.00005,
                format="%.5f",
                key=RATE,
                bind="query-params",
                help=f"{formats_rate(lowest)} to {formats_rate(highest)}",
            )
            _said(failure, RATE)
        if bounds.rank is not None:
            _clamp(RANK, launch_rules.USUAL_RANK, *bounds.rank)
            st.number_input(
                "Rank",
                min_value=bounds.rank[0],
                max_value=bounds.rank[1],
                step=8,
                key=RANK,
                bind="query-params",
                help="How much the LoRA can learn; a larger one makes a larger file.",
            )
            _said(failure, RANK)


def formats_rate(rate: float) -> str:
    """`0.0001`, never `1e-04`."""
    return f"{rate:.7f}".rstrip("0")


def _clamp(key: str, default: float, low: float, high: float) -> None:
    """Within this trainer's bounds, whatever the last one allowed."""
    value = st.session_state.get(key)
    if value is None and key not in st.query_params:
        st.session_state[key] = min(max(default, low), high)
    elif value is not None and not low <= value <= high:
        st.session_state[key] = min(max(value, low), high)


def _publishing(failure: errors.Failure | None) -> None:
    """A choice only where there is a place to publish to."""
    if tools.current().publisher is None:
        return
    user = settings.current().huggingface_username
    st.toggle(
        "Publish to Hugging Face",
        key=PUBLISH,
        bind="query-params",
        help=f"As a public model of {user or 'our account'}, once it is trained.",
    )
    _said(failure, PUBLISH)


def _steps() -> int:
    return int(st.session_state.get(STEPS) or launch_rules.USUAL_STEPS)


def _wanted(draft_id: UUID, chosen: TrainerChoice | None) -> Launch:
    """What the form says now. One draft is one training: its id is the nonce of every click."""
    state: Mapping[str, object] = {name: st.session_state.get(name) for name in FIELDS}
    bounds = chosen.bounds if chosen else None
    rate = state[RATE] if bounds and bounds.learning_rate is not None else None
    rank = state[RANK] if bounds and bounds.rank is not None else None
    return Launch(
        request_key=f"page:{draft_id}",
        draft_id=draft_id,
        name=str(state[NAME] or "").strip(),
        trigger_word=str(state[TRIGGER] or "").strip(),
        trainer=chosen.name if chosen else "",
        steps=_steps(),
        description=str(state[ABOUT] or "").strip() or None,
        learning_rate=Decimal(formats_rate(float(str(rate)))) if rate is not None else None,
        rank=int(str(rank)) if rank is not None else None,
        publish=bool(state[PUBLISH]),
    )


def _quote(quote: Quote, name: str) -> None:
    """What it costs and takes, and what is left afterwards."""
    left, limit = max(quote.left_after_usd, Decimal(0)), quote.budget.limit_usd
    runs_left = max(quote.quota - quote.used - 1, 0)
    month = f"{quote.budget.month:%B}"
    counted = f'<span title="Counted by the calendar month in UTC, now {month}">'
    facts = (
        ("Time", escape(expected_time(quote, name))),
        ("Budget", f"{counted}{formats.money(left)} of {formats.money(limit)} left afterwards</span>"),
        ("Quota", f"{counted}{runs_left} of your {quote.quota} LoRAs left afterwards</span>"),
    )
    st.html(
        f'<div class="so-row"><span class="so-big">{formats.money(quote.total_usd)}</span>'
        f'<span class="so-quiet">training {formats.money(quote.training_usd)},'
        f" test pictures {formats.money(quote.pictures_usd)}</span></div>" + look.facts_html(facts)
    )


def _button(actor: Actor, draft_id: UUID, chosen: TrainerChoice, images: int, quote: Quote) -> Run | None:
    closed = why_not(actor) or quote.refusal
    if quote.refusal:
        st.html(look.notice_html("attention", "savings", quote.refusal))
    pressed = st.button(
        formats.in_label(f"Launch for {formats.money(quote.total_usd)}"),
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
        st.html(
            f'<div class="so-quiet so-small">The sandbox plays {trainer(chosen.name)}: nothing is paid.</div>'
        )
    return _launch(actor, _wanted(draft_id, chosen), images) if pressed and closed is None else None


def _launch(actor: Actor, wanted: Launch, images: int) -> Run | None:
    """Launch it; what is refused is kept for its field, and the page drawn again with it."""
    log.new_request_id()
    st.session_state.pop(_FAILURE, None)
    try:
        with st.spinner("Launching…"):
            return service.launch(actor, wanted, tools.current())
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILURE] = _Refused((wanted, images), _placed(error))
        st.rerun()


def _placed(error: Exception) -> errors.Failure:
    failure = errors.describe(error, "launch")
    if isinstance(error, NameTaken):
        return replace(failure, field=NAME)
    if isinstance(error, StudioOpsError) and failure.field in _FIELD_OF:
        return replace(failure, field=_FIELD_OF[failure.field])
    return failure
