"""Images that are generated to fill a training's own up: asked for with their price, and watched."""

from collections.abc import Callable
from html import escape
from uuid import UUID

import streamlit as st

from core import log
from core.access import Actor
from core.trainings import filling_up, tools
from core.trainings.drawings import Drawing
from core.trainings.filling_up import FillUp
from core.trainings.sheet import ENOUGH_OWN, LEAST, Sheet
from pages.components import errors, formats, look
from pages.components.actor import current_actor, the_actor
from pages.components.states import Look, icon_html, pill_html

REFRESH_S = 2.0
# Stands in the address, so that a reload keeps the choice.
ALONE = "alone"
_FAILED = "so-generate-failed"
_SURE = "so-generate-nothing-there"
COMING = Look("Generating", "autorenew", "working", "KIE draws it; it appears here by itself.")
NOT_MADE = Look("Not made", "cancel", "bad", "It could not be made, and the reason stands below.")
IN_DOUBT = Look("In doubt", "front_hand", "lost", "Only a person gets it on; see above.")


def refused(draft_id: UUID) -> errors.Failure | None:
    """Why the last wish for images was refused."""
    of, failure = st.session_state.get(_FAILED, (None, None))
    return failure if of == draft_id and isinstance(failure, errors.Failure) else None


def stands_alone(sheet: Sheet, fill_up: FillUp) -> bool:
    """Whether the images of one's own are to be trained on without generated ones."""
    return fill_up.why_not is not None or (_may_stand_alone(sheet) and bool(st.session_state.get(ALONE)))


def show(actor: Actor, sheet: Sheet, fill_up: FillUp, closed: str | None) -> None:
    """What the rule of composition asks of this draft, with its price and one button; nothing while it
    asks for nothing, or images are still to come. `closed` says why this person may not."""
    if fill_up.missing and not fill_up.under_way:
        _offer(sheet, fill_up, closed)
    if fill_up.stuck:
        _in_doubt(sheet.draft_id, fill_up, closed)
    failure = refused(sheet.draft_id)
    if failure is not None and failure.field != "description":
        errors.show(failure)
    st.fragment(_watch, run_every=REFRESH_S if fill_up.under_way else None)(sheet.draft_id, fill_up)


def _may_stand_alone(sheet: Sheet) -> bool:
    return LEAST <= sheet.own < ENOUGH_OWN and len(sheet.used) == sheet.own


def _offer(sheet: Sheet, fill_up: FillUp, closed: str | None) -> None:
    many = formats.counted(fill_up.missing, "image", "images")
    with st.container(border=True, gap="small", key="so-generate"):
        st.html(
            f'<div class="so-row">{icon_html("auto_awesome")}<b>{escape(_headline(sheet, fill_up))}</b></div>'
            f'<div class="so-small so-quiet">{escape(_how(fill_up))}</div>'
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            why = closed or fill_up.why_not
            st.button(
                formats.in_label(f"Generate {many} for {formats.money(fill_up.ahead_usd)}"),
                icon=":material/auto_awesome:",
                key="so-generate-ask",
                disabled=why is not None,
                help=formats.in_label(why) if why else None,
                on_click=_ask,
                args=(sheet.draft_id, fill_up.batches),
            )
            if _may_stand_alone(sheet) and fill_up.why_not is None:
                st.toggle(f"Train on my {formats.count(sheet.own)} alone", key=ALONE, bind="query-params")
        if fill_up.why_not:
            st.html(f'<div class="so-small so-quiet">{escape(fill_up.why_not)}</div>')


def _headline(sheet: Sheet, fill_up: FillUp) -> str:
    many = formats.counted(fill_up.missing, "more is", "more are")
    if sheet.own:
        return f"{formats.count(sheet.own)} images of your own are few: {many} generated to fill them up"
    if sheet.used:
        return f"{many} to be generated, from those that you approved"
    return "No images at hand? They can be generated from the description"


def _how(fill_up: FillUp) -> str:
    if fill_up.by_words:
        by = (
            f"{fill_up.model} at KIE.ai draws the first from the description in the form, the others from it."
        )
    else:
        by = f"{fill_up.model.partition(',')[0]} at KIE.ai draws them from these images and the description."
    return f"{by} Each waits on the contact sheet until you approve it or throw it away."


def _ask(draft_id: UUID, seen_batches: int) -> None:
    words = str(st.session_state.get("about") or "")
    _attempt(
        draft_id,
        lambda: filling_up.ask(current_actor(), draft_id, words, seen_batches, tools.current()),
    )


def _attempt(draft_id: UUID, act: Callable[[], object]) -> None:
    """Do it; what is refused is kept for the run that shows it."""
    log.new_request_id()
    st.session_state.pop(_FAILED, None)
    try:
        act()
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILED] = (draft_id, errors.describe(error, "generate images"))


def _in_doubt(draft_id: UUID, fill_up: FillUp, closed: str | None) -> None:
    """Those that only a person gets on: looked for once more, or known not to be at KIE."""
    lost = [drawing for drawing in fill_up.stuck if drawing.remote_id is None]
    if lost:
        many = formats.counted(len(lost), "image", "images")
        headline = f"KIE's answer to {many} was lost, and no callback has told of {_them(len(lost))}"
        body = (
            "Nothing was sent twice, and the money stays reserved. Look at KIE's own log: what runs there"
            " is found by looking again; what does not can be given up."
        )
    else:
        headline = "A generated image could not be fetched or kept"
        body = (
            escape(str(fill_up.stuck[0].failure_words or ""))
            + " It is paid already: fetch it again, or do without it."
        )
    st.html(look.notice_html("lost", "front_hand", headline, body))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Look again",
            icon=":material/visibility:",
            key="so-generate-look",
            disabled=closed is not None,
            help=closed or "Nothing is sent or paid.",
            on_click=_look_again,
            args=(draft_id,),
        )
        sure = not lost or st.checkbox("I have looked at KIE's log: nothing of it is there.", key=_SURE)
        st.button(
            f"Give {_them(len(fill_up.stuck))} up",
            key="so-generate-give-up",
            disabled=closed is not None or not sure,
            on_click=_give_up,
            args=(draft_id,),
        )


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _look_again(draft_id: UUID) -> None:
    _attempt(draft_id, lambda: filling_up.look_again(current_actor(), draft_id, tools.current()))


def _give_up(draft_id: UUID) -> None:
    _attempt(draft_id, lambda: filling_up.give_up(current_actor(), draft_id, tools.current()))


def _watch(draft_id: UUID, drawn: FillUp) -> None:
    """Has the page drawn anew once an image has come or failed; nothing else of it moves meanwhile."""
    with errors.guarded("generated images"):
        seen = filling_up.of(the_actor(), draft_id, tools.current())
        if _stands(seen) != _stands(drawn):
            st.rerun(scope="app")


def _stands(fill_up: FillUp) -> tuple[object, ...]:
    return (
        fill_up.missing,
        *((one.id, one.under_way, one.is_stuck, one.failed) for one in fill_up.drawings),
    )


def cards(fill_up: FillUp) -> None:
    """A card for each image that is not on the sheet: on its way, in doubt, or not made."""
    for drawing in fill_up.drawings:
        with st.container(key=f"so-drawing-{drawing.id}", gap=None, height="stretch"):
            st.html(_card_html(drawing))


def _card_html(drawing: Drawing) -> str:
    state = COMING if drawing.under_way else IN_DOUBT if drawing.is_stuck else NOT_MADE
    words = escape(formats.excerpt(drawing.failure_words or "", 160))
    return (
        f'<div class="so-thumb so-square so-{state.tone}">{icon_html(state.icon)}</div>'
        f'<div class="so-card-text">{pill_html(state)}'
        f'<div class="so-small so-clip">{escape(drawing.view)}</div>'
        f'<div class="so-small so-reasons">{words}</div></div>'
    )
