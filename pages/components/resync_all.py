"""The way from a list to a plan: one button that tries the whole list dry and opens what came of it."""

import uuid

import streamlit as st

from core import log
from core.access import Action, Actor
from core.deliveries import tools
from core.plans import service
from core.plans.models import Plan, Source
from pages.components import chosen_plan, errors, formats
from pages.components.actor import current_actor

# Lists of these are worth a plan; the others are delivered, or everything.
WORTH = frozenset({"failed", "lost", "needs_attention", "open", "in_flight", "stuck", "rescue", "finished"})


def button(
    actor: Actor,
    key: str,
    source: Source,
    total: int | None,
    words: str = "this list",
    *,
    name: str = "",
) -> None:
    """`Resync all N of this list…`: opens its dry run, of that name, which a person then starts or leaves.
    Nothing is shown to those who may not, and for an empty list."""
    if not actor.may(Action.RUN_PLAN) or total == 0:
        return
    many = "all" if total is None else f"all {formats.count(total)}"
    if st.button(
        f"Resync {many} of {words}…",
        icon=":material/sync:",
        key=f"so-resync-{key}",
        help="Tries it dry: what can be resynced, how long it takes. Nothing happens before you start it.",
    ):
        open_dry_run(key, source, name)


def open_dry_run(key: str, source: Source, name: str) -> None:
    """Try the list dry and open the plan; a refusal is shown here."""
    try:
        with st.spinner("Sorting the list…"):
            plan = try_dry(key, source, name)
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        errors.show(errors.describe(error, "dry run"))
        return
    st.switch_page("bulk_resync.py", query_params={chosen_plan.PARAMETER: str(plan.id)})


def try_dry(key: str, source: Source, name: str = "") -> Plan:
    """The dry run of this list; a second press of the same button gets the same one."""
    log.new_request_id()
    place = f"so-resync-nonce-{key}"
    nonce = str(st.session_state.setdefault(place, uuid.uuid4().hex))
    plan = service.prepare(current_actor(), source, tools.current(), request_key=nonce, name=name)
    st.session_state.pop(place, None)
    return plan
