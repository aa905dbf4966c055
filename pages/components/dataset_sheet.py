"""The images of a training: where they are dropped, and the contact sheet with the verdict on each."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from html import escape
from uuid import UUID

import streamlit as st

from core import log
from core.access import Action, Actor
from core.trainings import dataset, drafts, tools
from core.trainings.dataset import Added
from core.trainings.filling_up import FillUp
from core.trainings.sheet import LEAST, MOST, RECOMMENDED, Sheet, SheetImage
from pages.components import errors, formats, generated_images, look, media
from pages.components.actor import current_actor
from pages.components.states import Look, icon_html, pill_html
from pages.components.training_words import VERDICTS

_ROUND = "so-drop-round"
_TOLD = "so-dataset-told"
_FAILED = "so-dataset-failed"
_ADDRESSES = "so-dataset-addresses"
WAITS = Look("To approve", "rate_review", "attention", "Generated: approve it, or throw it away.")
GENERATED = Look("Generated", "auto_awesome", "waiting", "A model has drawn it for this training.")
GUIDE = (
    (
        "counter_6",
        f"{RECOMMENDED[0]} to {RECOMMENDED[1]} images",
        f"give the best likeness; {LEAST} are the least, {MOST} the most. fal takes 4 and more.",
    ),
    ("face", "One person, the same in all", "alone in the picture, the face clear and not covered."),
    ("switch_camera", "Different views", "near and far, front and side, several lights, clothes and places."),
    (
        "photo_size_select_large",
        "Sharp and large",
        "1,024 pixels and more; 512 on the shorter side is small.",
    ),
    (
        "filter_none",
        "No doubles",
        "no filters, no text, no collage: what repeats is learnt as part of the face.",
    ),
)


def why_not(actor: Actor) -> str | None:
    """Why this person may not launch a training, as a sentence; None when they may."""
    if actor.may(Action.LAUNCH_TRAINING):
        return None
    return "Your role does not launch trainings. Ask an admin for the role product."


def add(actor: Actor, draft_id: UUID) -> None:
    """The drop zone and the way by addresses; what is given is judged at once."""
    closed = why_not(actor)
    files = st.file_uploader(
        "Images of the character",
        accept_multiple_files=True,
        key=f"so-drop-{st.session_state.get(_ROUND, 0)}",
        disabled=closed is not None,
        help=closed or "JPEG, PNG or WebP. Each is judged by its content before anything is paid.",
    )
    if files and closed is None:
        with st.spinner(f"Looking at {formats.counted(len(files), 'image', 'images')}…", show_time=True):
            _take(draft_id, lambda: _add_files(actor, draft_id, files))
        st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
        st.rerun()
    with st.popover("Paste addresses instead", icon=":material/link:", disabled=closed is not None):
        st.text_area(
            "Addresses of images, one a line",
            key=_ADDRESSES,
            height=120,
            placeholder="https://example.com/ada-1.jpg",
            on_change="ignore",
        )
        if st.button("Fetch them", icon=":material/download:", type="primary", key="so-dataset-fetch"):
            urls = str(st.session_state.get(_ADDRESSES) or "").split()
            many = formats.counted(len(urls), "image", "images")
            with st.spinner(f"Fetching {many}, at most 30 s each…", show_time=True):
                _take(draft_id, lambda: dataset.add_urls(actor, draft_id, urls, tools.current().dataset))
            st.rerun()
    _told(draft_id)


def _add_files(
    actor: Actor, draft_id: UUID, files: Sequence[st.runtime.uploaded_file_manager.UploadedFile]
) -> Added:
    """All of them, so many at a time as one request takes."""
    numbers: list[int] = []
    notes: list[str] = []
    for first in range(0, len(files), dataset.MAX_AT_ONCE):
        given = [dataset.NewFile(one.name, one) for one in files[first : first + dataset.MAX_AT_ONCE]]
        added = dataset.add_files(actor, draft_id, given, tools.current().dataset)
        numbers.extend(added.images)
        notes.extend(added.notes)
    return Added(tuple(numbers), tuple(notes))


def _take(draft_id: UUID, adding: Callable[[], Added]) -> None:
    """What came of adding, kept for the run that shows it."""
    log.new_request_id()
    st.session_state.pop(_FAILED, None)
    st.session_state.pop(_TOLD, None)
    try:
        st.session_state[_TOLD] = (draft_id, adding().notes)
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILED] = (draft_id, errors.describe(error, "dataset"))


def _told(draft_id: UUID) -> None:
    """What there is to know of what was added last."""
    of, failure = st.session_state.get(_FAILED, (None, None))
    if of == draft_id and isinstance(failure, errors.Failure):
        errors.show(failure)
    of, notes = st.session_state.get(_TOLD, (None, ()))
    if of == draft_id and notes:
        body = "<br>".join(escape(note) for note in notes)
        st.html(look.notice_html("attention", "info", "Not everything was added", body))


def show(
    actor: Actor, sheet: Sheet, fill_up: FillUp | None = None, *, changeable: bool = True, mark: str = ""
) -> None:
    """Every image with its verdict, then those that are being generated, and whether they are enough.

    `mark` tells the sheets of one page apart.
    """
    if not sheet.images and not (fill_up and fill_up.drawings):
        return
    used, given = len(sheet.used), len(sheet.images)
    of = "" if used == given else f" of {formats.count(given)}"
    weight = f" · ZIP {formats.size(sheet.bytes)}" if used else ""
    st.html(
        '<div class="so-panel-head"><h2 class="so-section">Contact sheet</h2>'
        f'<span class="so-quiet"><b class="so-number">{formats.count(used)}</b>{of} go into the training'
        f"{weight}</span></div>"
    )
    for problem in sheet.problems:
        st.html(look.notice_html("attention", "photo_library", problem))
    if sheet.advice:
        st.html(
            f'<div class="so-quiet so-small">{icon_html("lightbulb")} {escape(" ".join(sheet.advice))}</div>'
        )
    if changeable and len(sheet.waiting) > 1:
        st.button(
            "Approve both" if len(sheet.waiting) == 2 else f"Approve all {formats.count(len(sheet.waiting))}",
            icon=":material/done_all:",
            key=f"so-approve-all{mark}",
            disabled=why_not(actor) is not None,
            on_click=_approve,
            args=(sheet.draft_id, tuple(image.n for image in sheet.waiting)),
        )
    with st.grid("auto", min_column_width=112, gap="small"):
        for image in sheet.images:
            _card(actor, sheet.draft_id, image, mark, changeable=changeable)
        if fill_up is not None:
            generated_images.cards(fill_up)


def _card(actor: Actor, draft_id: UUID, image: SheetImage, mark: str, *, changeable: bool) -> None:
    verdict = VERDICTS[image.verdict]
    reasons = "".join(f"<div>{escape(reason)}</div>" for reason in image.reasons)
    name = escape(image.name)
    size = f"{formats.count(image.width)} × {formats.count(image.height)}" if image.width else "no image"
    made = f"<div>{pill_html(WAITS if image.waits else GENERATED)}</div>" if image.generated else ""
    with st.container(key=f"so-image-{mark}{image.n}", gap=None, height="stretch"):
        st.html(
            image_html(actor, image, verdict.icon) + f'<div class="so-card-text">{made}{pill_html(verdict)}'
            f'<div class="so-clip so-small" title="{name}">{image.n} · {name}</div>'
            f'<div class="so-quiet so-small so-nowrap" title="{formats.size(image.bytes)}">{size}</div>'
            f'<div class="so-small so-reasons">{reasons}</div></div>'
        )
        if changeable and image.waits:
            st.button(
                "Approve",
                key=f"so-approve-{mark}{image.n}",
                icon=":material/check:",
                width="stretch",
                help=formats.in_label(f"Train on image {image.n}"),
                disabled=why_not(actor) is not None,
                on_click=_approve,
                args=(draft_id, (image.n,)),
            )
        if changeable:
            words = "Throw away" if image.generated else "Take away"
            st.button(
                words,
                key=f"so-away-{mark}{image.n}",
                icon=":material/close:",
                help=formats.in_label(f"{words.split()[0]} image {image.n} away"),
                disabled=why_not(actor) is not None,
                on_click=_take_away,
                args=(draft_id, image.n),
            )


def image_html(actor: Actor, image: SheetImage, icon: str) -> str:
    """The thumbnail, which opens the image in full."""
    if image.thumbnail is None:
        return f'<div class="so-thumb so-square">{icon_html(icon)}</div>'
    data = b64encode(image.thumbnail).decode()
    inner = f'<img src="data:image/jpeg;base64,{data}" alt="{escape(image.name)}">'
    url = media.safe_url(drafts.image_url(actor, image, tools.current().dataset))
    if url is None:
        return f'<div class="so-thumb so-square">{inner}</div>'
    return (
        f'<a class="so-thumb so-square" href="{escape(url)}" target="_blank" title="Open in full">{inner}</a>'
    )


def _take_away(draft_id: UUID, n: int) -> None:
    _change(draft_id, lambda: dataset.take_away(current_actor(), draft_id, n, tools.current().dataset))


def _approve(draft_id: UUID, numbers: Sequence[int]) -> None:
    def act() -> None:
        for n in numbers:
            dataset.approve(current_actor(), draft_id, n, tools.current().dataset)

    _change(draft_id, act)


def _change(draft_id: UUID, act: Callable[[], None]) -> None:
    """Do it; what goes wrong is kept for the run that shows it."""
    log.new_request_id()
    st.session_state.pop(_TOLD, None)
    st.session_state.pop(_FAILED, None)
    try:
        act()
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILED] = (draft_id, errors.describe(error, "dataset"))


def guide(*, folded: bool) -> None:
    """What makes good training images."""
    lines = "".join(
        f"<li>{icon_html(icon)}<div><b>{escape(what)}</b> {escape(more)}</div></li>"
        for icon, what, more in GUIDE
    )
    drawn = f'<ul class="so-gets so-guide">{lines}</ul>'
    if folded:
        with st.expander("What makes good training images", icon=":material/lightbulb:"):
            st.html(drawn)
        return
    with st.container(border=True):
        look.section("What makes good training images")
        st.html(drawn)
