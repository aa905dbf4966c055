"""The choice of a LoRA: none, one of the library, or a new one; with what it is and how far it is. The chosen
one stands in the address."""

from html import escape
from uuid import UUID

import streamlit as st

from core.access import Actor
from core.errors import NotFound
from core.loras import views as library
from core.loras.models import Card, Lora, Search
from core.trainings import tools as training_tools
from core.trainings import views as trainings
from pages.components import chosen_lora, errors, formats, look
from pages.components.actor import the_actor
from pages.components.lora_words import look_of, stars, uses
from pages.components.states import pill_html

NONE, EXISTING, NEW = "No LoRA", "One of the library", "Train a new one"
MODE, PICK, FIND, NAME = "so-lora-mode", "so-lora-pick", "so-lora-find", "so-lora-new-name"
LISTED = 50
# How long it takes is measured anew that often while it is trained. Seconds.
REFRESH_S = 30.0
MOVING = frozenset({"pending", "training", "validating"})
HELP = (
    "A new LoRA is trained from reference images of the character. That takes about 30 to 60 minutes, during"
    " which generations can use the reference images instead. It is paid from the budget of trainings, not by"
    " you. Each person may train 5 a month."
)
_SHOWN = "so-lora-shown"


def show(actor: Actor) -> Lora | None:
    """The choice, and what is known of the chosen LoRA; None while none is chosen or it may not be seen."""
    _follow_address()
    mode = st.segmented_control(
        "LoRA",
        [NONE, EXISTING, NEW],
        key=MODE,
        required=True,
        on_change=_changed,
        persist_state="session",
        help="A LoRA makes one character look the same in every picture and film.",
    )
    if mode == NEW:
        _train(actor)
    return _existing(actor) if mode == EXISTING else None


def _follow_address() -> None:
    """An address that names a LoRA chooses it; a choice that was made before stays otherwise."""
    st.session_state.setdefault(MODE, NONE)
    named = chosen_lora.chosen()
    if named is not None and st.session_state.get(_SHOWN) != named:
        st.session_state[MODE], st.session_state[PICK] = EXISTING, named
    elif named is None and (kept := current()):
        # Back from another page: the choice stands, and so it does in the address.
        named = kept
        chosen_lora.choose(kept)
    st.session_state[_SHOWN] = named


def current() -> UUID | None:
    """The LoRA that is chosen; None while none is."""
    picked = st.session_state.get(PICK)
    return picked if st.session_state.get(MODE) == EXISTING and isinstance(picked, UUID) else None


def choose(lora_id: UUID | None) -> None:
    """Choose this one, or none; for a button's `on_click`."""
    st.session_state[MODE] = NONE if lora_id is None else EXISTING
    st.session_state[PICK] = lora_id
    _to_address(lora_id)


def _to_address(lora_id: UUID | None) -> None:
    if lora_id is None:
        chosen_lora.close()
    else:
        chosen_lora.choose(lora_id)
    st.session_state[_SHOWN] = lora_id


def _changed() -> None:
    _to_address(current())


def _existing(actor: Actor) -> Lora | None:
    """The list with its search, and the one that is picked."""
    picked = _picked_lora(actor)
    cards = {card.id: card for card in _found(actor)}
    if picked is not None:
        cards.setdefault(picked.id, picked)
    st.text_input(
        "Find a LoRA", key=FIND, placeholder="Name, description or trigger word", persist_state="session"
    )
    st.selectbox(
        "Which one",
        list(cards),
        index=None,
        key=PICK,
        format_func=lambda of: _named(cards[of]) if of in cards else "",
        placeholder="Choose one" if cards else "None is found",
        on_change=_changed,
        persist_state="session",
    )
    if picked is None:
        if not cards:
            st.html(f'<div class="so-quiet so-small">{_nothing_found()}</div>')
        return None
    with st.container(key="so-lora-standing"):
        moving = picked.training_status in MOVING
        st.fragment(_standing, run_every=REFRESH_S if moving else None)(picked.id, picked.training_status)
    return picked


def _nothing_found() -> str:
    text = str(st.session_state.get(FIND) or "").strip()
    if text:
        return f"No LoRA of the library has “{escape(formats.excerpt(text, 40))}” in it."
    return "The library has no LoRA yet. Train one, and it can be chosen here."


def _picked_lora(actor: Actor) -> Lora | None:
    picked = st.session_state.get(PICK)
    if not isinstance(picked, UUID):
        return None
    try:
        return library.get(actor, picked)
    except NotFound as missing:
        st.html(look.notice_html("attention", "search_off", missing.message, "It may be private or hidden."))
        st.session_state[PICK] = None
        return None


def _found(actor: Actor) -> list[Card]:
    """Those that can be used, the most used first: completed ones, and those that soon will be."""
    text = str(st.session_state.get(FIND) or "").strip()[:200] or None
    page = library.search(actor, Search(text=text), limit=LISTED)
    return [card for card in page.cards if card.training_status != "failed" and card.hidden_at is None]


def _named(card: Card) -> str:
    further = "" if card.training_status == "completed" else f" · {look_of(card).word.lower()}"
    return f"{card.named}{further}"


def _standing(lora_id: UUID, was: str) -> None:
    """What it is, and while it is trained how far; drawn anew every half minute."""
    with errors.guarded("LoRA"):
        actor = the_actor()
        lora = library.get(actor, lora_id)
        if lora.training_status != was:
            st.rerun()
        said = [f"trigger word “{escape(lora.trigger_word)}”"] if lora.trigger_word else []
        said += [escape(stars(lora.rating_average, lora.rating_count)), escape(uses(lora.uses))]
        st.html(
            f'<div class="so-row">{pill_html(look_of(lora))}<span class="so-quiet so-small">'
            f"{' · '.join(said)}</span></div>"
        )
        if lora.training_status in MOVING:
            _progress(lora, ready=library.is_ready(actor, lora))


def _progress(lora: Lora, *, ready: bool) -> None:
    done = max(0, min(100, lora.training_progress or 0))
    left = lora.estimated_remaining
    words = f"{done} %" + (f" · about {formats.duration(left)} left" if left else "")
    if lora.training_status == "validating":
        words = f"Validating quality… {words}"
    st.progress(done / 100, text=words)
    if ready:
        words = "It is yours, so you can use it already. For others it takes a verdict on its test images."
        st.html(look.notice_html("working", "rate_review", "Waits for a verdict", words))
        return
    st.html(
        look.notice_html(
            "working",
            "autorenew",
            "LoRA training in progress",
            "The reference images are used meanwhile. You can regenerate with the LoRA once training"
            " completes.",
        )
    )


def _train(actor: Actor) -> None:
    """A name, whether it is free, and the way to the launch."""
    name = str(
        st.text_input(
            "Character's name",
            key=NAME,
            max_chars=255,
            placeholder="Ada, the lighthouse keeper",
            help=HELP,
            persist_state="session",
        )
        or ""
    ).strip()
    refused = _name_warning(actor, name) if name else True
    st.html(f'<div class="so-quiet so-small">{escape(HELP)} {escape(_used(actor))}</div>')
    label, icon = "Choose its images and launch it", ":material/rocket_launch:"
    if refused:
        st.button(label, icon=icon, disabled=True)
    else:
        st.page_link("launch_training.py", label=label, icon=icon, query_params={"name": name})


def _name_warning(actor: Actor, name: str) -> bool:
    """Say who uses the name already; whether it is the person's own, which refuses it."""
    same = [
        card
        for card in library.search(actor, Search(text=name), limit=LISTED).cards
        if card.name.strip().lower() == name.lower()
    ]
    own = {card.id for card in library.search(actor, Search(text=name, mine=True), limit=LISTED).cards}
    if any(card.id in own for card in same):
        st.html(look.field_error_html(f"You have a LoRA named “{name}” already. Choose another name."))
        return True
    if same:
        others = formats.counted(len(same), "LoRA of others has", "LoRAs of others have")
        words = f"{others} this name. It may be used again; lists tell them apart by their creators."
        st.html(look.notice_html("attention", "group", "The name is used by others", escape(words)))
    return False


def _used(actor: Actor) -> str:
    outside = training_tools.current()
    trainer = next(iter(outside.trainers), None)
    if trainer is None:
        return ""
    quote = trainings.quote(actor, trainer, 1_000, outside)
    return f"You have used {quote.used} of {quote.quota} this month."
