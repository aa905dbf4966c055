"""The one input of Debug & sync, and the list to choose from where it means several.

What is looked for stands in the address as `q`, so that it can be reloaded, shared and linked to.
"""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor
from core.deliveries.models import Generation
from core.deliveries.windows import Filter
from core.diagnosis import places, search
from core.diagnosis.search import By, Found
from core.errors import InvalidInput
from core.plans.models import Source
from pages.components import formats, generation_facts, ids, look, openers, resync_all, times
from pages.components.states import look_of, pill_html

KEY = "q"


def box() -> str:
    """The input; what stands in it."""
    pasted = st.text_input(
        "Task id, generation id, file address, or customer id",
        key=KEY,
        bind="query-params",
        max_chars=places.LONGEST,
        icon=":material/search:",
        placeholder="Paste a task id, a generation id, the address of a file, or a customer's id",
        help="An address may be the customer's, our storage's, or KIE's temporary one. The ids of several"
        " generations, with commas between them, are listed.",
    )
    return str(pasted or "")


def look_for(text: str) -> None:
    """Look for this; for a button's `on_click`."""
    st.session_state[KEY] = text


def find(actor: Actor, pasted: str) -> Found | None:
    """What the text names; None, and a sentence on the page, when it names nothing."""
    try:
        found = search.find(actor, pasted)
    except InvalidInput as refusal:
        st.html(look.notice_html("attention", "search_off", "Nothing to look for", escape(refusal.message)))
        return None
    if found.sentence is not None:
        st.html(look.notice_html("attention", "search_off", "Not found", escape(found.sentence)))
        return None
    return found


def choose(actor: Actor, found: Found) -> None:
    """Several to choose from, newest first; a customer's, and those named one by one, as a plan too."""
    if not found.generations:
        st.html(
            look.empty_html(
                "manage_search", "No generation yet", "Once there is one, paste any id of it above."
            )
        )
        return
    now, zone = times.now(), times.viewer_zone()
    lines = openers.lines_html(_line_html(generation, now, zone) for generation in found.generations)
    if found.by is By.NEWEST:
        head = f'<h2 class="so-section">{escape(_headline(found))}</h2>'
        st.html(f'<section class="so-panel">{head}{lines}</section>')
        return
    with st.container(border=True, gap="small", key="so-found-list"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            look.section(_headline(found))
            _resync(actor, found)
        if found.by is By.TASK:
            st.html(
                look.notice_html(
                    "attention",
                    "content_copy",
                    f"{len(found.generations)} rows have this task id",
                    "One task belongs to one row. Each of them is followed and delivered by itself;"
                    " choose the one that the customer means.",
                )
            )
        st.html(lines)
        if found.more:
            st.caption(f"Only the newest {search.MOST} are listed.")


def _resync(actor: Actor, found: Found) -> None:
    user = found.generations[0].user_id
    if found.by is By.CUSTOMER and user is not None:
        source = Source(Filter(window="30d", state="begun"), user_id=user)
        resync_all.button(actor, f"customer-{user}", source, None, "this customer's of 30 days")
    elif found.by is By.GENERATION:
        names = tuple(str(one.id) for one in found.generations)
        resync_all.button(actor, look.safe_key(str(names)), Source(names=names), len(names), "these")


def _headline(found: Found) -> str:
    if found.by is By.GENERATION:
        return f"These {len(found.generations)}"
    return {
        By.NEWEST: f"The newest {len(found.generations)}",
        By.CUSTOMER: "The customer's latest tasks",
    }.get(found.by, "Which one is it?")


def _line_html(generation: Generation, now: datetime, zone: tzinfo) -> str:
    what = formats.excerpt(generation.prompt or "No prompt", 90)
    task = (
        f' · task <code title="{escape(generation.task_id)}">{escape(ids.short(generation.task_id))}</code>'
        if generation.task_id
        else ""
    )
    return openers.link_html(
        openers.address({KEY: str(generation.id)}),
        f'{pill_html(look_of(generation))}<div class="so-what">{escape(what)}</div>'
        f'<div class="so-quiet so-small">{escape(generation_facts.label(generation))} ·'
        f" {times.ago_html(generation.created_at, now, zone)}{task}</div>",
        "so-found so-opens",
    )
