"""What can be done with a LoRA, by role: rate, tag, describe, report, hide, archive, train anew."""

import uuid

import streamlit as st

from core.access import Action, Actor
from core.errors import Conflict
from core.loras import policy, proofs, service, views
from core.loras.models import Lora, Reason
from core.trainings import drafts, tools
from core.trainings import views as trainings
from core.trainings.views import Filter
from pages.components import errors, lora_doing, lora_trial, times
from pages.components.actor import current_actor
from pages.components.lora_words import REASONS
from pages.components.training_form import version_address

PLACE = "lora"
_STARS, _NAME, _ABOUT, _TAGS = "so-lora-stars", "so-lora-name", "so-lora-about", "so-lora-tags"
_REASON, _NOTE = "so-lora-reason", "so-lora-note"


def show(actor: Actor, lora: Lora) -> None:
    """The buttons that this person's roles allow, the most wanted first."""
    owner = views.owns(actor, lora)
    with st.container(horizontal=True, vertical_alignment="center", key="so-lora-actions"):
        lora_trial.links(actor, lora)
        _rate(actor, lora)
        _retrain(actor, lora)
        if policy.why_not_edit(actor, owner) is None:
            _describe(lora)
        _report(actor, lora)
        if policy.why_not_restrict(actor, owner) is None:
            _privacy(lora)
        if actor.may(Action.ARCHIVE_LORA):
            _archive(lora)
        if actor.may(Action.MODERATE_LORA):
            _moderate(lora)
    lora_doing.told(PLACE)


def _rate(actor: Actor, lora: Lora) -> None:
    if lora.training_status != "completed":
        return
    own = views.own_rating(actor, lora.id)
    key = f"{_STARS}-{lora.id}"
    if key not in st.session_state and own is not None:
        st.session_state[key] = own - 1
    with st.container(width="content", gap=None):
        st.html(f'<span class="so-quiet so-small">{"Your rating" if own else "Rate it"}</span>')
        st.feedback("stars", key=key, on_change=_do_rate, args=(lora, key))


def _do_rate(lora: Lora, key: str) -> None:
    given = st.session_state.get(key)
    if given is None:
        lora_doing.attempt(
            PLACE, "Your rating is taken back.", lambda who, _: service.take_rating_back(who, lora.id)
        )
        return
    lora_doing.attempt(
        PLACE, f"You gave it {given + 1} of 5.", lambda who, at: service.rate(who, lora.id, given + 1, at)
    )


def _describe(lora: Lora) -> None:
    with st.popover("Describe and tag", icon=":material/edit:"):
        st.text_input("Name", value=lora.name, key=_NAME, max_chars=policy.MAX_NAME)
        st.text_area(
            "Description", value=lora.description or "", key=_ABOUT, max_chars=policy.MAX_DESCRIPTION
        )
        st.text_input("Tags, separated by commas", value=", ".join(lora.tags), key=_TAGS, max_chars=900)
        st.button("Save", type="primary", key="so-lora-save", on_click=_do_describe, args=(lora,))


def _do_describe(lora: Lora) -> None:
    name, about = str(st.session_state.get(_NAME) or ""), str(st.session_state.get(_ABOUT) or "")
    tags = str(st.session_state.get(_TAGS) or "").split(",")
    gone = [tag for tag in lora.tags if tag not in policy.tidy_tags(tags)]

    def save(who: Actor | None, at: object) -> None:
        now = times.now()
        if (name, about) != (lora.name, lora.description or ""):
            service.describe(who, lora.id, name, about, now)
        service.tag(who, [lora.id], now, add=tags, remove=gone)

    lora_doing.attempt(PLACE, "Saved.", save)


def _report(actor: Actor, lora: Lora) -> None:
    waiting, own = views.open_reports(actor, lora.id)
    closed = "Your report of it waits for a decision." if own else None
    with st.popover("Report", icon=":material/flag:", disabled=own, help=closed):
        st.selectbox("What is wrong?", list(Reason), format_func=lambda reason: REASONS[reason], key=_REASON)
        st.text_area("More, if it helps", key=_NOTE, max_chars=policy.MAX_REASON, height=80)
        st.button(
            "Report it",
            type="primary",
            icon=":material/flag:",
            key="so-lora-report",
            on_click=_do_report,
            args=(lora,),
        )
        if waiting:
            st.caption(f"{waiting} of others wait already.")


def _do_report(lora: Lora) -> None:
    reason, note = Reason(st.session_state[_REASON]), str(st.session_state.get(_NOTE) or "")
    lora_doing.attempt(
        PLACE,
        "Reported. Operations decide about it.",
        lambda who, at: service.report(who, lora.id, reason, note, at),
    )


def _privacy(lora: Lora) -> None:
    private = not lora.is_private
    st.button(
        "Make private" if private else "Share",
        icon=f":material/{'lock' if private else 'lock_open'}:",
        key="so-lora-private",
        help="Only its creator and operations see it then." if private else "Everybody sees it then.",
        on_click=lora_doing.attempt,
        args=(
            PLACE,
            "Only its creator and operations see it now." if private else "Everybody sees it now.",
            lambda who, at: service.set_private(who, lora.id, at, private=private),
        ),
    )


def _archive(lora: Lora) -> None:
    if lora.archived_at is None:
        lora_doing.with_reason(
            PLACE,
            "archive",
            "Archive",
            "inventory_2",
            "No list offers it any more, nobody can use it. Its file and history stay; it can be undone.",
            lambda who, reason, at: service.archive(who, lora.id, reason, at),
        )
        return
    lora_doing.with_reason(
        PLACE,
        "unarchive",
        "Take out of the archive",
        "unarchive",
        "It is offered and can be used again.",
        lambda who, reason, at: service.unarchive(who, lora.id, reason, at),
    )


def _moderate(lora: Lora) -> None:
    if lora.hidden_at is None:
        lora_doing.with_reason(
            PLACE,
            "hide",
            "Hide",
            "visibility_off",
            "Only its creator and operations see it then. Its reports are closed; it can be undone.",
            lambda who, reason, at: service.hide(who, lora.id, reason, at),
        )
    else:
        lora_doing.with_reason(
            PLACE,
            "show",
            "Show again",
            "visibility",
            "Everybody sees it again, unless it is private.",
            lambda who, reason, at: service.show_again(who, lora.id, reason, at),
        )
    if lora.proof_state in {proofs.MISSING, proofs.DIFFERS}:
        st.button(
            "Prove its file again",
            icon=":material/verified:",
            key="so-lora-prove",
            help="The next run of the proof looks at it, within five minutes.",
            on_click=lora_doing.attempt,
            args=(
                PLACE,
                "Its file is looked at within five minutes.",
                lambda who, _: proofs.ask_again(who, lora.id),
            ),
        )


def _retrain(actor: Actor, lora: Lora) -> None:
    closed = (
        None
        if actor.may(Action.LAUNCH_TRAINING)
        else "Your role does not launch trainings. Ask an admin for the role product."
    )
    if st.button(
        "Train a new version",
        icon=":material/model_training:",
        key="so-lora-retrain",
        disabled=closed is not None,
        help=closed or "Opens the form with the same images and settings; nothing begins yet.",
    ):
        draft_id = uuid.uuid4()
        try:
            with st.spinner("Copying its images…"):
                service.begin_version(current_actor(), lora.id, draft_id, times.now())
                _copy_images(lora, draft_id)
            rows = trainings.runs(actor, Filter(lora_id=lora.id), times.now(), limit=1).rows
        except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
            errors.show(errors.describe(error, "new version"))
            return
        st.switch_page(
            "launch_training.py",
            query_params=version_address(actor, draft_id, lora, rows[0].id if rows else None),
        )


def _copy_images(lora: Lora, draft_id: uuid.UUID) -> None:
    """Its images into the draft; where they are no longer kept, the form asks for new ones."""
    try:
        drafts.copy_images(current_actor(), lora.id, draft_id, tools.current().dataset)
    except Conflict:
        st.toast("Its images are no longer kept. Add images of the character.")
