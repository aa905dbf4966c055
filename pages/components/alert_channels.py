"""By which channels alerts are told, whether they arrive, and who wants mail about own trainings."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Action, Actor
from core.notifications import service
from core.notifications.service import Standing
from pages.components import errors, look, times
from pages.components.actor import current_actor
from pages.components.states import Look, pill_html

_TESTED, _MAIL = "so-channel-tested", "so-mail"
WELL = Look("Works", "check_circle", "good", "It has taken its newest message.")
BROKEN = Look("Broken", "error", "bad", "Nothing arrives by it.")
UNTRIED = Look("Not tried yet", "help", "waiting", "No message was sent by it so far.")
TRYING = Look("Tried again", "hourglass_top", "attention", "Its newest message was not taken yet.")


def show(actor: Actor, now: datetime, zone: tzinfo) -> None:
    """The channels with a test button each, and one's own mail."""
    with st.container(border=True, gap="small"):
        look.section("Who is told")
        found = service.standings()
        if not found:
            st.html(
                '<div class="so-quiet">Nobody: alerts stand on this page alone. Set <code>ALERT_URLS</code>'
                " to addresses of Slack, mail or a webhook, and restart web, clock and workers.</div>"
            )
        for one in found:
            _channel(actor, one, now, zone)
        _own_mail(actor)


def _look(one: Standing) -> Look:
    if one.problem is not None:
        return BROKEN
    if one.last is None:
        return UNTRIED
    return WELL if one.last.state == "sent" else TRYING


def _channel(actor: Actor, one: Standing, now: datetime, zone: tzinfo) -> None:
    said = one.problem or ""
    if not said and one.last is not None and one.last.state == "sent":
        said = f"took its newest message {times.ago(one.last.ended_at, now)}"
    elif not said and one.last is not None:
        said = one.last.error or ""
    with st.container(horizontal=True, vertical_alignment="center", key=f"so-channel-{one.channel.id}"):
        st.html(
            f'<div class="so-row">{pill_html(_look(one))}<b>{escape(one.channel.label)}</b>'
            f'<span class="so-quiet">{escape(said)}</span></div>',
            width="stretch",
        )
        may = actor.may(Action.TEST_ALERTS)
        st.button(
            "Send a test",
            icon=":material/send:",
            key=f"so-test-{one.channel.id}",
            disabled=not may or one.channel.fault is not None,
            help=None if may else "Your role does not send test messages. Ask operations.",
            on_click=_test,
            args=(one.channel.id,),
        )
    tested = st.session_state.get(f"{_TESTED}-{one.channel.id}")
    if tested is not None:
        _test_outcome(actor, str(tested))


def _test(channel_id: str) -> None:
    with errors.guarded("test message"):
        st.session_state[f"{_TESTED}-{channel_id}"] = service.test(current_actor(), channel_id, times.now())


def _test_outcome(actor: Actor, key: str) -> None:
    for one in service.outcomes(actor, [key]).get(key, ()):
        if one.state == "sent":
            st.html(
                look.notice_html(
                    "good", "check_circle", "The test message was taken", "Look whether it arrived."
                )
            )
        elif one.attempts:
            st.html(
                look.notice_html("bad", "error", "The test message was not taken", escape(one.error or ""))
            )
        else:
            st.html(look.notice_html("waiting", "hourglass_top", "The test message is on its way"))


def _own_mail(actor: Actor) -> None:
    """Opt-in: the end of one's own trainings by mail."""
    if not actor.may(Action.LAUNCH_TRAINING):
        return
    chosen = service.chosen_mail(actor)
    said = f"on, to {chosen}" if chosen else "off"
    with st.popover(f"Mail about my own trainings: {said}", icon=":material/mail:"):
        st.html(
            '<div class="so-popover-words">One mail when a training that you launched has ended, however it'
            " did.</div>"
        )
        st.text_input("Your address; empty for none", value=chosen or "", key=f"{_MAIL}-email", max_chars=254)
        failure = st.session_state.get(f"{_MAIL}-failure")
        if isinstance(failure, errors.Failure):
            st.html(look.field_error_html(failure.sentence))
        st.button("Keep it", type="primary", key="so-mail-do", on_click=_choose)


def _choose() -> None:
    st.session_state.pop(f"{_MAIL}-failure", None)
    try:
        service.choose_mail(current_actor(), str(st.session_state.get(f"{_MAIL}-email") or ""), times.now())
        st.toast("Kept.", icon=":material/check:")
    except Exception as error:  # noqa: BLE001 - `describe` logs it with its traceback
        st.session_state[f"{_MAIL}-failure"] = errors.describe(error, "mail")
