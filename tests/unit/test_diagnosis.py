"""The diagnosis: each rule fits what it is made for, and the first that fits wins."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.deliveries.models import DeliveryState
from core.diagnosis.checks import RULES, Snapshot, diagnose
from core.providers.contract import ProviderState
from tests.unit.generations import NOW, generation, record

S, P = DeliveryState, ProviderState
URLS = ("https://tempfile.aiquickdraw.com/1.jpg",)


def seen(kie: ProviderState | None = None, *, row: dict[str, Any] | None = None, **more: Any) -> Snapshot:
    """What is known a minute after the start; `kie` None: its record cannot be read."""
    said = more.pop("said", {})
    snapshot = Snapshot(
        at=NOW + timedelta(minutes=1),
        generation=generation(**(row or {})),
        twins=1,
        record=record(kie, **said) if kie else None,
        record_problem=None if kie else "KIE is away.",
        callbacks=0,
        stored_files=0,
        file_found=None,
    )
    return replace(snapshot, **more)


DONE: dict[str, Any] = {"said": {"result_urls": URLS}}
LATER: dict[str, Any] = {"at": NOW + timedelta(hours=1)}
WAITING: dict[str, Any] = {"delivery_state": S.AWAITING_DELIVERY}


def state(of: DeliveryState, **more: Any) -> dict[str, Any]:
    return {"delivery_state": of, **more}


CASES: list[tuple[str, str, Snapshot]] = [
    ("two-rows", "before anything else", seen(P.SUCCESS, row=state(S.DELIVERED), twins=2)),
    (
        "file-missing",
        "delivered, the file is gone",
        seen(P.SUCCESS, row=state(S.DELIVERED), file_found=False),
    ),
    ("delivered-elsewhere", "delivered by another system", seen(P.SUCCESS, row=state(S.DELIVERED))),
    ("all-well", "delivered, the file is there", seen(row=state(S.DELIVERED), file_found=True)),
    ("answer-lost", "sent, no answer", seen(row=state(S.SENDING, task_id=None))),
    ("answer-lost", "sent, no answer, given up", seen(row=state(S.NEEDS_ATTENTION, task_id=None))),
    ("not-sent", "not sent", seen(row=state(S.INTENT, task_id=None))),
    ("lost", "the result is gone, KIE still says success", seen(P.SUCCESS, row=state(S.LOST), **DONE)),
    ("provider-failed", "KIE failed", seen(P.FAIL, row=state(S.FAILED))),
    ("provider-failed", "KIE failed and we do not know yet", seen(P.FAIL)),
    ("no-result-named", "finished without a file", seen(P.SUCCESS)),
    ("not-delivered", "finished, called back, not stored", seen(P.SUCCESS, row=WAITING, callbacks=1, **DONE)),
    ("callback-never-arrived", "finished, no callback", seen(P.SUCCESS, **DONE)),
    ("callback-never-arrived", "failed here, a success there", seen(P.SUCCESS, row=state(S.FAILED), **DONE)),
    ("not-recorded", "stored and not recorded", seen(P.SUCCESS, row=WAITING, stored_files=1, **DONE)),
    ("unknown-at-kie", "KIE does not know it", seen(P.NOT_FOUND)),
    ("unknown-state", "a word of nobody", seen(P.UNKNOWN)),
    ("stuck", "generating for an hour", seen(P.GENERATING, **LATER)),
    ("stuck", "in the queue for an hour", seen(P.QUEUED, **LATER)),
    ("in-flight", "generating", seen(P.GENERATING)),
    ("in-flight", "waiting", seen(P.WAITING)),
    ("in-flight", "queued", seen(P.QUEUED)),
    ("kie-unreadable", "KIE is away", seen()),
    ("kie-unreadable", "KIE is away for an hour", seen(**LATER)),
]


@pytest.mark.parametrize(("rule", "snapshot"), [pytest.param(r, s, id=why) for r, why, s in CASES])
def test_the_rule_that_fits(rule: str, snapshot: Snapshot) -> None:
    assert diagnose(snapshot).rule == rule


def test_every_rule_has_a_case_and_a_name_of_its_own() -> None:
    names = [rule.id for rule in RULES]
    assert len(names) == len(set(names))
    assert set(names) == {rule for rule, _, _ in CASES}


def test_a_finding_is_a_sentence_and_a_next_action() -> None:
    for rule in RULES:
        assert rule.sentence.endswith(".")
        assert rule.action.endswith(".")
        assert rule.sentence[0].isupper()


@pytest.mark.parametrize("kie", [None, *ProviderState])
@pytest.mark.parametrize("where", [None, *DeliveryState])
def test_whatever_is_seen_something_is_said(kie: ProviderState | None, where: DeliveryState | None) -> None:
    finding = diagnose(seen(kie, row={"delivery_state": where}))
    assert finding.rule != "unexplained"
    assert finding.sentence
    assert finding.action


def test_where_no_rule_fits_the_last_resort_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.diagnosis.checks.RULES", ())
    assert diagnose(seen(P.GENERATING)).rule == "unexplained"
