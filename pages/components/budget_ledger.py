"""The lines behind a number of the budget: filtered, their CSV, and one of them corrected."""

import uuid
from datetime import datetime, tzinfo
from decimal import Decimal, InvalidOperation

import streamlit as st

from core.access import Action, Actor
from core.budget import ledger, service
from core.budget.ledger import Counted, Filter, Page
from core.budget.models import Kind, Line
from core.web import export
from pages.components import chips, errors, formats, keyset_table, look, times
from pages.components.actor import current_actor
from pages.components.budget_parts import SCOPE_NAMES, STAGES, go, provider_name, service_name
from pages.components.keyset_table import Column, Row, Slice

KINDS = {
    Kind.SETTLE: "Settled",
    Kind.RESERVE: "Reserved",
    Kind.RELEASE: "Given back",
    Kind.CORRECT: "Corrected",
}
COLUMNS = {
    "when": Column("When", 128, "time"),
    "what": Column("What", 88),
    "amount": Column("Amount", 78),
    "provider": Column("Provider", 78),
    "model": Column("Model or service", 150),
    "stage": Column("Stage", 90),
    "quantity": Column("Quantity", 152),
    "for": Column("For", 84, "link", help="Opens what it paid"),
    "note": Column("Note", 220),
}
_FAILURE, _NONCE = "so-correct-failure", "so-correct-nonce"


def table_key(wanted: Filter) -> str:
    """The table's key: another filter is another table, which begins at its newest lines."""
    return f"ledger-{look.safe_key(str(wanted))}"


def page_of(actor: Actor, wanted: Filter) -> tuple[Page, Counted | None]:
    """The lines that the table shows, and what all of the filter come to."""
    key = table_key(wanted)
    shown = keyset_table.at_once(key, whole=not wanted.narrowed, more=ledger.PAGE)
    return ledger.lines(actor, wanted, keyset_table.place(key), shown), ledger.counted(actor, wanted)


def show(
    actor: Actor, wanted: Filter, found: tuple[Page, Counted | None], now: datetime, zone: tzinfo
) -> None:
    """How many lines, the filter, the table, the CSV of all of them, and a correction."""
    page, counted = found
    st.html(keyset_table.head_html(_headline(wanted, counted), export.ledger_link(actor, wanted, now)))
    _kinds(wanted)
    _chips(wanted)
    if not page.lines and keyset_table.place(table_key(wanted)) is None:
        if wanted.narrowed:
            keyset_table.nothing("No such line", "Choose another month, or take a filter away.")
        else:
            keyset_table.nothing(
                "No line in this month", "Whatever is reserved or paid stands here a moment later."
            )
        return
    rows = tuple(_row(line, zone) for line in page.lines)
    fresh = Slice(rows, page.next_before, counted.lines if counted else None, now)
    picked = keyset_table.show(table_key(wanted), fresh, COLUMNS, lambda at: times.clock_time(at, zone))
    if len(picked) == 1:
        line = next((one for one in page.lines if one.id == picked[0].id), None)
        if line is not None:
            _correct(actor, line)


def _headline(wanted: Filter, counted: Counted | None) -> str:
    if wanted.run is not None:
        return "The ledger's lines of one run"
    if counted is None:
        return f"The ledger's lines of {wanted.month:%B %Y}"
    said = formats.counted(counted.lines, "line", "lines")
    reserved = f", {formats.total(counted.reserved_usd)} reserved" if counted.reserved_usd else ""
    return f"Ledger: {said} of {wanted.month:%B %Y}, {formats.total(counted.settled_usd)} settled{reserved}"


def _kinds(wanted: Filter) -> None:
    with st.container(horizontal=True, gap="small", key="so-ledger-kinds"):
        for kind, words in ((None, "All"), *KINDS.items()):
            st.button(
                words,
                key=f"ledger-kind-{kind}",
                type="primary" if wanted.kind == kind else "secondary",
                on_click=go,
                args=(wanted.but(kind=str(kind) if kind else None),),
            )
        st.button(
            "Flagged",
            key="ledger-flagged",
            icon=":material/flag:",
            help="Lines whose price was not known, or whose amount is an estimate",
            type="primary" if wanted.flagged else "secondary",
            on_click=go,
            args=(wanted.but(flagged=not wanted.flagged),),
        )


def _chips(wanted: Filter) -> None:
    """What narrows the lines, each to be taken away."""
    named = {
        "provider": provider_name(wanted.provider) if wanted.provider is not None else None,
        "stage": STAGES.get(wanted.stage, wanted.stage) if wanted.stage is not None else None,
        "model": service_name(wanted.model) if wanted.model is not None else None,
        "user": f"person …{str(wanted.user)[-8:]}" if wanted.user else None,
        "run": f"run …{str(wanted.run)[-8:]}" if wanted.run else None,
        "runs": "runs that failed or were cancelled" if wanted.runs else None,
    }
    chips.show("ledger", named, wanted, go)


def _row(line: Line, zone: tzinfo) -> Row:
    where = ""
    if line.run_id is not None:
        where = f"/training_runs?run={line.run_id}"
    elif line.generation_id is not None:
        where = f"/debug_sync?q={line.generation_id}"
    paid = line.model or line.service
    return Row(
        line.id,
        str(line.amount_usd),
        {
            "when": line.occurred_at.astimezone(zone).replace(tzinfo=None),
            "what": KINDS.get(line.kind, SCOPE_NAMES["other"]) if line.kind else "Other system",  # type: ignore[call-overload]
            "amount": formats.money(line.amount_usd),
            "provider": provider_name(line.provider) if line.provider else "",
            "model": service_name(paid)[:120] if paid else "",
            "stage": STAGES.get(line.stage or "", line.stage) if line.stage else "",
            "quantity": _quantity(line),
            "for": where or None,
            "note": ("⚑ " if line.flagged else "") + formats.excerpt(line.note or "", 200),
        },
    )


def _quantity(line: Line) -> str:
    if line.quantity is None or line.unit is None:
        return ""
    each = f" at {formats.money(line.unit_price)}" if line.unit_price is not None else ""
    return f"{line.quantity.normalize():f} {line.unit}{'' if line.quantity == 1 else 's'}{each}"


def why_not(actor: Actor) -> str | None:
    """Why this person may not change anything here, as a sentence; None when they may."""
    if actor.may(Action.MANAGE_BUDGET):
        return None
    return "Your role does not change budgets. Ask operations."


def _correct(actor: Actor, line: Line) -> None:
    """The form that puts a line right; it writes a further line."""
    if not line.can_be_corrected:
        st.caption("A promise or a correction is not corrected itself.")
        return
    if (closed := why_not(actor)) is not None:
        st.caption(closed)
        return
    nonce = st.session_state.setdefault(f"{_NONCE}-{line.id}", uuid.uuid4().hex)
    with st.popover("Correct this line", icon=":material/edit:"):
        st.html(
            '<div class="so-popover-words">The line stays as it is. A further one in the same month says what'
            " is added or taken away, and why.</div>"
        )
        amount = st.text_input(
            "What it should be, in dollars",
            value=f"{line.amount_usd or 0:f}",
            key=f"so-correct-amount-{line.id}",
        )
        reason = st.text_input(
            "Why? It stands in the audit log.", key=f"so-correct-why-{line.id}", max_chars=500
        )
        st.button(
            "Write the correction",
            type="primary",
            key=f"so-correct-{line.id}",
            on_click=_do_correct,
            args=(line.id, amount, reason, nonce),
        )
        failure = st.session_state.pop(_FAILURE, None)
        if isinstance(failure, errors.Failure):
            st.html(look.field_error_html(failure.sentence))


def _do_correct(line_id: uuid.UUID, amount: str, reason: str, nonce: str) -> None:
    try:
        service.correct(current_actor(), line_id, decimal_of(amount), reason, times.now(), nonce)
        st.session_state.pop(f"{_NONCE}-{line_id}", None)
        st.toast("Written: the ledger has a further line.", icon=":material/check:")
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[_FAILURE] = errors.describe(error, "correction")


def decimal_of(text: str) -> Decimal:
    """What was typed as an amount; NaN, which every service refuses with its sentence, for what is none."""
    try:
        return Decimal(text.strip().removeprefix("$").replace(",", ""))
    except InvalidOperation:
        return Decimal("NaN")
