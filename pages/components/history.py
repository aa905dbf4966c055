"""The gallery of earlier generations, newest first, a page at a time."""

from datetime import datetime, tzinfo
from html import escape
from uuid import UUID

import streamlit as st

from core.access import Actor
from core.deliveries import views
from core.deliveries.models import ACTIVE, Generation
from pages.components import errors, formats, look, media, times
from pages.components.actor import current_actor
from pages.components.chosen import choose, chosen
from pages.components.states import look_of, pill_html

PER_PAGE = 8
REFRESH_S = 3
TESTS, ALL = "Tests", "All"
# Where each page begins: a moment and an id, newest page first.
_STARTS = "so-history-starts"
_LAST_ID = UUID(int=2**128 - 1)


def to_newest() -> None:
    """Begin again at the newest; those that appear later wait until somebody asks for them."""
    st.session_state[_STARTS] = [(times.now(), _LAST_ID)]


def _older(before: tuple[datetime, UUID]) -> None:
    st.session_state[_STARTS] = [*st.session_state[_STARTS], before]


def _newer() -> None:
    st.session_state[_STARTS] = st.session_state[_STARTS][:-1]


def show(actor: Actor) -> None:
    """The gallery with its switch between tests and everything."""
    if _STARTS not in st.session_state:
        to_newest()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.section("Earlier generations")
        which = st.segmented_control(
            "Which generations",
            [TESTS, ALL],
            default=TESTS,
            required=True,
            key="show",
            bind="query-params",
            on_change=to_newest,
            label_visibility="collapsed",
            help="Tests were made here. All includes those of the company's application.",
        )
    page = _read(actor, which)
    moving = any(generation.delivery_state in ACTIVE for generation in page.generations)
    st.fragment(_gallery, run_every=REFRESH_S if moving else None)(which)


def _read(actor: Actor | None, which: str | None) -> views.Page:
    return views.recent(actor, limit=PER_PAGE, tests_only=which != ALL, before=st.session_state[_STARTS][-1])


def _gallery(which: str | None) -> None:
    with errors.guarded("history"):
        page = _read(current_actor(), which)
        if not page.generations:
            _nothing(which)
        at, zone, open_one = times.now(), times.viewer_zone(), chosen()
        with st.grid("auto", min_column_width=150, gap="small"):
            for generation in page.generations:
                _card(generation, at, zone, open_one=generation.id == open_one)
        _turn(page, which)


def _nothing(which: str | None) -> None:
    if which == ALL:
        st.html(look.empty_html("photo_library", "No generation yet", "The first one will appear here."))
    else:
        st.html(
            look.empty_html(
                "photo_library",
                "No test yet",
                "Press one of the two test buttons above; the result stays here for later.",
            )
        )


def _card(generation: Generation, at: datetime, zone: tzinfo, *, open_one: bool) -> None:
    state = look_of(generation)
    said = formats.excerpt(generation.prompt or "No prompt", 80)
    with st.container(key=f"so-card-{generation.id}", gap=None):
        st.html(
            media.thumbnail_html(media.of_generation(generation), state.icon)
            + f'<div class="so-card-text"><div class="so-what">{escape(said)}</div>'
            f'<div class="so-line">{pill_html(state)}</div>'
            f'<div class="so-line">{times.ago_html(generation.created_at, at, zone)}</div></div>'
        )
        if open_one:
            st.html(
                f"<style>.st-key-so-card-{generation.id} {{ outline: 2px solid var(--so-link); }}</style>"
            )
        if st.button(
            f"Open the generation of {times.exact(generation.created_at, zone)}",
            key=f"so-open-{generation.id}",
        ):
            choose(generation.id)
            st.rerun()


def _turn(page: views.Page, which: str | None) -> None:
    """To older, newer and, when there are some that came meanwhile, to the newest ones."""
    starts = st.session_state[_STARTS]
    came = views.recent(current_actor(), limit=1, tests_only=which != ALL).generations
    new_ones = bool(came) and came[0].created_at > starts[0][0]
    with st.container(horizontal=True, horizontal_alignment="center"):
        if new_ones:
            st.button("New ones", icon=":material/fiber_new:", on_click=to_newest, key="so-newest")
        if len(starts) > 1:
            st.button("Newer", icon=":material/arrow_back:", on_click=_newer, key="so-newer")
        if page.next_before is not None:
            st.button(
                "Older",
                icon=":material/arrow_forward:",
                icon_position="right",
                on_click=_older,
                args=(page.next_before,),
                key="so-older",
            )
