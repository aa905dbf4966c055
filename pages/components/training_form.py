"""The form of a training: what it is called, who trains it and how.

Every field stands in the address beside the draft, so that a reload loses nothing.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from uuid import UUID

import streamlit as st

from core import settings
from core.access import Actor
from core.loras.models import Lora
from core.providers.training import Bounds
from core.trainings import detail as run_detail
from core.trainings import launch_rules, tools
from core.trainings.models import Launch, Run
from core.trainings.views import TrainerChoice
from pages.components import errors, look
from pages.components.training_words import trainer, trainer_of

NAME, TRIGGER, ABOUT, TRAINER = "name", "trigger", "about", "trainer"
STEPS, RATE, RANK, PUBLISH = "steps", "rate", "rank", "publish"
FIELDS = (NAME, TRIGGER, ABOUT, TRAINER, STEPS, RATE, RANK, PUBLISH)
# The service's names of what it refuses, where the form's own differ.
_NAMED = {TRIGGER: "trigger_word", ABOUT: "description", RATE: "learning_rate"}
AT_FIELDS = frozenset(_NAMED.get(name, name) for name in FIELDS)


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


def version_address(actor: Actor, draft_id: UUID, lora: Lora, run_id: UUID | None) -> dict[str, str]:
    """The same for a new version of a LoRA, whose run may be another system's."""
    name = f"{lora.name} 2"[-launch_rules.MAX_NAME :]
    if run_id is not None:
        run = run_detail.of_run(actor, run_id, tools.current()).run
        return {**address_of(draft_id, run), NAME: name, ABOUT: lora.description or ""}
    known = {NAME: name, TRIGGER: lora.trigger_word or "", ABOUT: lora.description or ""}
    return {"draft": str(draft_id), **{key: value for key, value in known.items() if value}}


def chosen_trainer(choices: Sequence[TrainerChoice]) -> TrainerChoice | None:
    """The trainer that the form stands at; None while none is set up."""
    ready = {choice.name: choice for choice in choices if choice.bounds is not None}
    wanted = (
        st.session_state.get(TRAINER) or st.query_params.get(TRAINER) or settings.current().default_trainer
    )
    return ready.get(trainer_of(str(wanted))) or next(iter(ready.values()), None)


def show(
    draft_id: UUID, choices: Sequence[TrainerChoice], failure: errors.Failure | None, *, several: bool = False
) -> Launch | None:
    """The form; what it says then, None while no trainer is set up. A `failure` is said at its field.

    With `several` the name and the trigger word are the beginnings of each one's.
    """
    chosen = chosen_trainer(choices)
    with st.container(border=True, gap="small"):
        _words(failure, several=several)
        _trainer(choices, chosen)
        if chosen is not None and chosen.bounds is not None:
            _parameters(chosen.bounds, failure)
        _publishing(failure)
    return wanted(draft_id, chosen) if chosen is not None else None


def _words(failure: errors.Failure | None, *, several: bool) -> None:
    st.text_input(
        "Name of the set" if several else "Name",
        key=NAME,
        bind="query-params",
        max_chars=launch_rules.MAX_NAME,
        placeholder="Heist, season 2" if several else "Ada, the lighthouse keeper",
        help="Each character's name is put behind it." if several else None,
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
    if failure is not None and failure.field == _NAMED.get(field, field):
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


def said(field: str) -> str:
    """What stands in a field; before it is drawn for the first time, what the address has for it."""
    return str(st.session_state.get(field) or st.query_params.get(field) or "").strip()


def wanted(draft_id: UUID, chosen: TrainerChoice | None) -> Launch:
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
