"""The images that it was trained on beside the test images of the LoRA, and a person's word on each."""

from collections.abc import Sequence
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Actor
from core.trainings import dataset, policy, service, tools
from core.trainings import detail as run_detail
from core.trainings.detail import Detail, Picture
from core.trainings.models import CallState, RunState
from pages.components import dataset_sheet, errors, formats, look, media, openers, training_actions, who
from pages.components.actor import current_actor, the_actor
from pages.components.states import Look, icon_html, pill_html
from pages.components.training_words import drawn_as

SHOWS = Look("Shows the character", "check_circle", "good", "A person has said so.")
SHOWS_NOT = Look("Does not", "cancel", "bad", "A person has said that it does not show the character.")
OPEN = Look("Not judged yet", "rate_review", "attention", "A person says whether it shows the character.")
MADE = Look("Being made", "autorenew", "working", "fal is making it.")
NOT_MADE = Look("Not made", "cancel", "bad", "It could not be made.")


def show(actor: Actor, detail: Detail, drawn: tuple[object, ...], *, run_every: float | None) -> None:
    """References at the left, test images at the right."""
    with st.container(border=True, gap="small"):
        # Without pictures there is nothing to lay the images beside.
        references, pictures = (
            st.columns([1, 3], gap="medium") if detail.pictures else (st.container(), st.container())
        )
        with references:
            _references(actor, detail.row.lora_id)
        with pictures:
            look.section("Test images")
            st.fragment(_pictures, run_every=run_every)(detail.row.id, drawn)


def _references(actor: Actor, lora_id: UUID) -> None:
    """The dataset; it stands since the launch, so it is not drawn anew."""
    used = dataset.sheet(actor, lora_id).used
    look.section(formats.counted(len(used), "image", "images") if used else "Its images")
    if not used:
        st.html('<div class="so-quiet so-small">They are no longer kept.</div>')
        return
    shown = "".join(dataset_sheet.image_html(actor, image, "image") for image in used)
    st.html(f'<div class="so-references">{shown}</div>')


def _pictures(run_id: UUID, drawn: tuple[object, ...]) -> None:
    with errors.guarded("test images"):
        actor = the_actor()
        detail = run_detail.of_run(actor, run_id, tools.current())
        if drawn_as(detail) != drawn:
            st.rerun(scope="app")
        if not detail.pictures:
            _none_yet(detail)
            return
        with st.grid(policy.PICTURES, min_column_width=130, gap="small"):
            for picture in detail.pictures:
                _picture(actor, detail, picture)
        if detail.row.state is RunState.AWAITING_VERDICT:
            _all_at_once(actor, run_id, detail.pictures)


def _none_yet(detail: Detail) -> None:
    if detail.row.state in {RunState.FAILED, RunState.CANCELLED}:
        headline, body = "No test image", "It ended before any was made."
    else:
        headline = "No test image yet"
        body = f"{policy.PICTURES} appear here once the weights are stored."
    st.html(look.empty_html("imagesmode", headline, body))


def verdict_of(picture: Picture) -> Look:
    """What is known of it: judged, waiting for it, being made, or not made."""
    if picture.shows is not None:
        return SHOWS if picture.shows else SHOWS_NOT
    if picture.url is not None:
        return OPEN
    return NOT_MADE if CallState(picture.state).is_over else MADE


def _picture(actor: Actor, detail: Detail, picture: Picture) -> None:
    state, url = verdict_of(picture), media.safe_url(picture.url)
    judged = who.html(picture.judged_by, picture.judged_by_id)
    by = f'<div class="so-quiet so-small">by {judged}</div>' if judged else ""
    problem = f'<div class="so-small">{escape(picture.problem)}</div>' if picture.problem else ""
    prompt, whole = formats.excerpt(picture.prompt, 120), escape(picture.prompt)
    with st.container(key=f"so-picture-{picture.index}", gap="small"):
        st.html(
            thumbnail_html(url, prompt, state)
            + f'<div class="so-card-text"><div>{pill_html(state)}</div>{by}'
            f'<div class="so-quiet so-small so-clip-2" title="{whole}">{escape(prompt)}</div>'
            f"{problem}</div>"
        )
        if detail.row.state is RunState.AWAITING_VERDICT and url is not None:
            closed = training_actions.why_not(actor)
            for shows, words, icon in (
                (True, "Shows the character", "thumb_up"),
                (False, "Does not", "thumb_down"),
            ):
                st.button(
                    openers.named(words, f"image {picture.index + 1}"),
                    icon=f":material/{icon}:",
                    key=f"so-judge-{picture.index}-{'yes' if shows else 'no'}",
                    type="primary" if picture.shows is shows else "secondary",
                    width="stretch",
                    disabled=closed is not None,
                    help=closed,
                    on_click=_judge,
                    args=(detail.row.id, (picture.index,)),
                    kwargs={"shows": shows},
                )


def thumbnail_html(url: str | None, prompt: str, state: Look) -> str:
    """The picture, which opens in full; its icon while there is none."""
    if url is None:
        return f'<div class="so-thumb so-square so-{state.tone}">{icon_html(state.icon)}</div>'
    return (
        f'<a class="so-thumb so-square" href="{escape(url)}" target="_blank" title="Open in full">'
        f'<img src="{escape(url)}" alt="{escape(prompt)}"></a>'
    )


def _all_at_once(actor: Actor, run_id: UUID, pictures: Sequence[Picture]) -> None:
    left = tuple(picture.index for picture in pictures if picture.shows is None)
    if not left:
        return
    closed = training_actions.why_not(actor)
    which = "all three" if len(left) == policy.PICTURES else f"the other {'two' if len(left) == 2 else 'one'}"
    with st.container(horizontal=True):
        for shows, words, icon in ((True, "Approve", "done_all"), (False, "Reject", "remove_done")):
            st.button(
                f"{words} {which}",
                icon=f":material/{icon}:",
                key=f"so-judge-all-{'yes' if shows else 'no'}",
                type="primary" if shows else "secondary",
                disabled=closed is not None,
                help=closed,
                on_click=_judge,
                args=(run_id, left),
                kwargs={"shows": shows},
            )


def _judge(run_id: UUID, indices: Sequence[int], *, shows: bool) -> None:
    for index in indices:
        training_actions.attempt(
            "judge",
            lambda index=index: service.judge(current_actor(), run_id, index, tools.current(), shows=shows),  # type: ignore[misc]
        )
