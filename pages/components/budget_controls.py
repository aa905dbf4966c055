"""What operations decide on the page: an override, the limit, a price. Each refusal stands at its field."""

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from html import escape
from typing import Any

import streamlit as st

from core.access import Actor
from core.budget import controls, prices, views
from core.budget.models import Override
from core.budget.policy import end_of, month_of
from core.budget.views import Board
from pages.components import errors, formats, look, openers, times, who
from pages.components.actor import current_actor
from pages.components.budget_ledger import decimal_of, why_not
from pages.components.budget_parts import SCOPE_NAMES

_OVERRIDE, _LIMIT, _PRICE = "so-override", "so-limit", "so-price"


def show(actor: Actor, board: Board, now: datetime, zone: tzinfo) -> None:
    """The buttons, and the overrides that there are."""
    closed = why_not(actor)
    with st.container(horizontal=True, vertical_alignment="center", key="so-budget-actions"):
        if board.position.month == month_of(now):
            _override(board, now, closed)
            _limit(board, closed)
        _prices(actor, now, zone, closed)
    if board.overrides:
        with st.container(border=True, gap="small", key="so-overrides"):
            look.section("Overrides")
            for one in board.overrides:
                _override_line(one, now, zone, closed)


def _form(key: str, fields: dict[str, Any], act: Callable[[], object], done: str) -> None:
    """Do it; what is refused is kept for its field, what went well empties the form."""
    st.session_state.pop(f"{key}-failure", None)
    try:
        act()
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[f"{key}-failure"] = errors.describe(error, key)
        return
    for name in fields:
        st.session_state.pop(f"{key}-{name}", None)
    st.session_state.pop(f"{key}-nonce", None)
    st.toast(done, icon=":material/check:")


def _refusal(key: str, field: str | None) -> None:
    """The refusal of this field; with None whatever belongs to no field of the form."""
    failure = st.session_state.get(f"{key}-failure")
    if isinstance(failure, errors.Failure) and failure.field == field:
        st.html(look.field_error_html(failure.sentence))


def _value(key: str, name: str) -> str:
    return str(st.session_state.get(f"{key}-{name}") or "")


def _override(board: Board, now: datetime, closed: str | None) -> None:
    position = board.position
    why = closed or (None if position.has_limit else "Nothing limits it, so nothing has to be overridden.")
    st.session_state.setdefault(f"{_OVERRIDE}-nonce", str(uuid.uuid4()))
    with st.popover("Override", icon=":material/add_card:", disabled=why is not None, help=why):
        last = end_of(position.month).date() - timedelta(days=1)
        st.html(
            f'<div class="so-popover-words">More money for {position.month:%B} alone. It ends on the day you'
            f" choose, on {last.day} {last:%B} (UTC) at the latest.</div>"
        )
        st.text_input("How much more, in dollars", key=f"{_OVERRIDE}-amount_usd", placeholder="20.00")
        _refusal(_OVERRIDE, "amount_usd")
        st.date_input(
            "Until the end of",
            value=min(now.date() + timedelta(days=2), last),
            min_value=now.date(),
            max_value=last,
            key=f"{_OVERRIDE}-expires_at",
        )  # fmt: skip
        _refusal(_OVERRIDE, "expires_at")
        st.text_input("Why? It stands in the audit log.", key=f"{_OVERRIDE}-reason", max_chars=500)
        _refusal(_OVERRIDE, "reason")
        st.button(
            "Allow it", type="primary", key="so-override-do", on_click=_do_override, args=(position.scope,)
        )
        _refusal(_OVERRIDE, None)


def _do_override(scope: str) -> None:
    until = st.session_state.get(f"{_OVERRIDE}-expires_at")
    day = until if isinstance(until, date) else times.now().date()
    expires = datetime.combine(day, time(), UTC) + timedelta(days=1)
    one = uuid.UUID(_value(_OVERRIDE, "nonce") or str(uuid.uuid4()))
    amount, reason = decimal_of(_value(_OVERRIDE, "amount_usd")), _value(_OVERRIDE, "reason")
    _form(
        _OVERRIDE,
        dict.fromkeys(("amount_usd", "reason")),
        lambda: controls.override(current_actor(), one, scope, amount, reason, expires, times.now()),
        "Allowed: launches go on within it.",
    )


def _override_line(one: Override, now: datetime, zone: tzinfo, closed: str | None) -> None:
    holds = one.holds(now)
    if holds:
        state = f"ends {times.ago_html(one.expires_at, now, zone)}"
    elif one.ended_at is not None:
        ended_by = who.html(one.ended_by, one.ended_by_id)
        state = f"ended {times.ago_html(one.ended_at, now, zone)} by {ended_by}"
    else:
        state = f"ended {times.ago_html(one.expires_at, now, zone)}"
    words, button = st.columns([10, 1.4], vertical_alignment="center")
    by = who.html(one.approved_by, one.approved_by_id)
    words.html(
        f"<div><b>{formats.money(one.amount_usd)}</b> more, by {by} · {state}"
        f'<div class="so-quiet so-small">{escape(one.reason)}</div></div>'
    )
    if holds:
        button.button(
            openers.named("End it", f"{formats.money(one.amount_usd)} more: {one.reason}"),
            key=f"so-end-{one.id}",
            disabled=closed is not None,
            help=closed,
            on_click=_do_end,
            args=(one.id,),
        )


def _do_end(override_id: uuid.UUID) -> None:
    with errors.guarded("override"):
        controls.end_override(current_actor(), override_id, times.now())


def _limit(board: Board, closed: str | None) -> None:
    position = board.position
    with st.popover("Limit", icon=":material/tune:", disabled=closed is not None, help=closed):
        st.html(
            f'<div class="so-popover-words">What a month of {SCOPE_NAMES[position.scope].lower()} may cost,'
            " from now on. What was allowed before stays in the list below.</div>"
        )
        limit = f"{position.limit_usd - position.override_usd:.2f}" if position.has_limit else ""
        alert = f"{position.alert_usd:.2f}" if position.alert_usd.is_finite() else ""
        st.text_input("Limit a month, in dollars", value=limit, key=f"{_LIMIT}-limit_usd")
        _refusal(_LIMIT, "limit_usd")
        st.text_input("Alert from, in dollars", value=alert, key=f"{_LIMIT}-alert_usd")
        _refusal(_LIMIT, "alert_usd")
        st.text_input("Why? It stands in the audit log.", key=f"{_LIMIT}-reason", max_chars=500)
        _refusal(_LIMIT, "reason")
        st.button("Change it", type="primary", key="so-limit-do", on_click=_do_limit, args=(position.scope,))
        _refusal(_LIMIT, None)
        for one in board.limits:
            why = f" · {escape(one.reason)}" if one.reason else ""
            st.html(
                f'<div class="so-quiet so-small">{formats.money(one.limit_usd)}, alert from'
                f" {formats.money(one.alert_usd)}, since {one.valid_from:%d %b %Y} ·"
                f" {who.html(one.set_by, one.set_by_id)}{why}</div>"
            )


def _do_limit(scope: str) -> None:
    limit, alert = decimal_of(_value(_LIMIT, "limit_usd")), decimal_of(_value(_LIMIT, "alert_usd"))
    reason = _value(_LIMIT, "reason")
    _form(
        _LIMIT,
        dict.fromkeys(("limit_usd", "alert_usd", "reason")),
        lambda: controls.set_limit(current_actor(), scope, limit, alert, reason, times.now()),
        "Changed: it holds from now on.",
    )


def _prices(actor: Actor, now: datetime, zone: tzinfo, closed: str | None) -> None:
    with st.popover("Prices", icon=":material/sell:"):
        lines = "".join(
            f"<tr class='{'' if line.holds else 'so-quiet'}'><td>{escape(line.price.provider)}</td>"
            f"<td>{escape(line.price.service)}</td>"
            f"<td>${line.price.unit_usd.normalize():f} a {escape(line.price.unit)}</td>"
            f"<td>{line.price.valid_from:%d %b %Y}</td><td>{escape(line.price.source)}"
            f"{' · ' + who.html(line.set_by, line.set_by_id) if line.set_by else ''}</td></tr>"
            for line in views.prices(actor, now)
        )
        st.html(
            '<div class="so-table-scroll"><table class="so-table so-prices"><thead><tr><th>Provider</th>'
            f"<th>Service</th><th>Price</th><th>Since</th><th>Source</th></tr></thead><tbody>{lines}</tbody></table></div>"
        )
        if closed is not None:
            st.caption(closed)
            return
        st.html(
            '<div class="so-popover-words">A price is never changed: a further one holds from now on.</div>'
        )
        columns = st.columns(4)
        for column, (name, label) in zip(
            columns,
            (
                ("provider", "Provider"),
                ("service", "Service or model"),
                ("unit", "Unit"),
                ("unit_usd", "Dollars a unit"),
            ),
            strict=True,
        ):
            with column:
                st.text_input(label, key=f"{_PRICE}-{name}", max_chars=120)
                _refusal(_PRICE, name)
        st.text_input("Where the price comes from", key=f"{_PRICE}-source", max_chars=300)
        _refusal(_PRICE, "source")
        st.button("Add the price", type="primary", key="so-price-do", on_click=_do_price)
        _refusal(_PRICE, None)


def _do_price() -> None:
    given = {name: _value(_PRICE, name) for name in ("provider", "service", "unit", "source")}
    each = decimal_of(_value(_PRICE, "unit_usd"))
    _form(
        _PRICE,
        dict.fromkeys((*given, "unit_usd")),
        lambda: prices.set_price(current_actor(), **given, unit_usd=each, now=times.now()),
        "Added: it holds from now on.",
    )
