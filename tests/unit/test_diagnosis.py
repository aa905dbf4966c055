"""The diagnosis: each rule fits what it is made for, and the first that fits wins."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from core import access
from core.access import Actor, Role
from core.deliveries.models import RESULT_GONE, DeliveryState, EventKind, StoredFile
from core.deliveries.views import Detail, SeenCallback, TimelineStep
from core.diagnosis import remedies
from core.diagnosis.checks import LOOKING, diagnose
from core.diagnosis.findings import Cell, Mark, Remedy
from core.diagnosis.rules import RULES
from core.diagnosis.snapshot import KieAnswer, SeenFile, Snapshot, StorageAnswer
from core.providers.contract import ProviderState
from core.storage.contract import ObjectInfo
from tests.unit.generations import NOW, generation, record

S, P = DeliveryState, ProviderState
URLS = ("https://tempfile.aiquickdraw.com/1.jpg",)
PATH = "studio-ops/image/1.jpg"
FILE = StoredFile("generations", PATH, 0, 9, "ab", "image/jpeg", "/files/generations/1.jpg")
THERE = ObjectInfo("generations", PATH, 9, "image/jpeg", '"1"', NOW)
STAFF = access.command_line("ada")


def callback(task_id: str = "task_1") -> SeenCallback:
    return SeenCallback(task_id, NOW, False, None, None, 0, {})


def step(kind: EventKind, after_s: float = 0, **detail: Any) -> TimelineStep:
    at = NOW + timedelta(seconds=after_s)
    return TimelineStep(at, kind, None, None, None, None, None, detail, None)


def seen(
    kie: ProviderState | None = None,
    *,
    row: dict[str, Any] | None = None,
    said: dict[str, Any] | None = None,
    files: str = "",
    callbacks: int = 0,
    steps: tuple[TimelineStep, ...] = (),
    open_question: bool = False,
    **more: Any,
) -> Snapshot:
    """What is known a minute after the start. `kie` None: its record cannot be read. `files`: recorded
    and `there` or `missing`, or `unrecorded`. `open_question`: KIE is still being asked."""
    found = {
        "there": SeenFile("generations", PATH, True, THERE),
        "missing": SeenFile("generations", PATH, True, None),
        "unrecorded": SeenFile("generations", PATH, False, THERE),
    }
    answer = record(kie, **(said or {})) if kie else None
    recorded = (FILE,) if files in {"there", "missing"} else ()
    snapshot = Snapshot(
        at=NOW + timedelta(minutes=1),
        detail=Detail(generation(**(row or {})), recorded, steps, (callback(),) * callbacks, ()),
        kie=None if open_question else KieAnswer(NOW, answer, None if kie else "KIE is away."),
        storage=StorageAnswer(NOW, (found[files],) if files else ()),
    )
    return replace(snapshot, **more)


DONE: dict[str, Any] = {"said": {"result_urls": URLS}}
LATER: dict[str, Any] = {"at": NOW + timedelta(hours=1)}
LONG_AFTER: dict[str, Any] = {"at": NOW + timedelta(days=20)}


def state(of: DeliveryState | None, **more: Any) -> dict[str, Any]:
    return {"delivery_state": of, **more}


UNUSABLE = state(S.NEEDS_ATTENTION, failure_message="KIE's file cannot be opened.")
FAILING = state(S.AWAITING_DELIVERY, attempt=3, failure_message="The connection broke.")
GONE = state(S.AWAITING_DELIVERY, attempt=3, failure_code=RESULT_GONE, link_renewed_at=NOW)
LEASED = state(S.SENDING, task_id=None, lease_until=NOW + timedelta(minutes=2))
TWICE = (step(EventKind.LOST), step(EventKind.SYNC_REQUESTED), step(EventKind.LOST))

CASES: list[tuple[str, str, Snapshot]] = [
    ("two-rows", "before anything else", seen(P.SUCCESS, row=state(S.DELIVERED), twins=2, picked=False)),
    ("all-well", "two rows, one of them chosen", seen(row=state(S.DELIVERED), twins=2, files="there")),
    ("other-provider", "a task of fal", seen(row=state(None, provider="fal"))),
    (
        "unsent-elsewhere",
        "the application has not sent it",
        seen(row=state(None, task_id=None, status="queued")),
    ),
    ("unknown-status", "a word of nobody", seen(row=state(None, status="zombie"))),
    ("unknown-status", "no word at all", seen(row=state(None, status=None, task_id=None))),
    (
        "storage-unreadable",
        "delivered, storage is away",
        seen(row=state(S.DELIVERED), storage=StorageAnswer(NOW, problem="The disk is gone.")),
    ),
    (
        "file-missing",
        "delivered, gone, KIE has it",
        seen(P.SUCCESS, row=state(S.DELIVERED), files="missing", **DONE),
    ),
    (
        "file-missing-kie-silent",
        "delivered, gone, KIE is away",
        seen(row=state(S.DELIVERED), files="missing"),
    ),
    (
        "file-gone",
        "delivered, gone, KIE forgot it",
        seen(P.NOT_FOUND, row=state(S.DELIVERED), files="missing"),
    ),
    (
        "file-gone",
        "delivered, gone, past KIE's time",
        seen(P.SUCCESS, row=state(S.DELIVERED), files="missing", **DONE, **LONG_AFTER),
    ),
    ("delivered-elsewhere", "delivered by another system", seen(P.SUCCESS, row=state(S.DELIVERED))),
    ("all-well", "delivered, the file is there", seen(row=state(S.DELIVERED), files="there")),
    ("not-sent", "waits to be sent for an hour", seen(row=state(S.INTENT, task_id=None), **LATER)),
    ("being-sent", "has just been asked for", seen(row=state(S.INTENT, task_id=None))),
    ("being-sent", "is being sent", seen(row=LEASED)),
    ("answer-lost", "sent, no answer", seen(row=state(S.SENDING, task_id=None))),
    ("answer-lost-for-good", "sent, no answer, given up", seen(row=state(S.NEEDS_ATTENTION, task_id=None))),
    ("refused", "KIE refused it", seen(row=state(S.FAILED, task_id=None, failure_message="no credits"))),
    ("kie-unreadable", "KIE is away", seen()),
    ("kie-unreadable", "KIE is away for an hour", seen(**LATER)),
    (
        "not-recorded",
        "stored and not recorded",
        seen(P.SUCCESS, row=state(S.AWAITING_DELIVERY), files="unrecorded", **DONE),
    ),
    ("result-expired", "lost, KIE still says success", seen(P.SUCCESS, row=state(S.LOST), **DONE)),
    ("result-expired", "not delivered, past KIE's time", seen(P.SUCCESS, **DONE, **LONG_AFTER)),
    ("result-expired", "the fresh link is gone too", seen(P.SUCCESS, row=GONE, **DONE)),
    ("result-expired", "lost, KIE forgot it", seen(P.NOT_FOUND, row=state(S.LOST))),
    ("result-gone", "lost a second time", seen(P.SUCCESS, row=state(S.LOST), steps=TWICE, **DONE)),
    ("failed-unrecorded", "KIE failed and we do not know yet", seen(P.FAIL)),
    ("provider-failed", "KIE failed", seen(P.FAIL, row=state(S.FAILED))),
    ("provider-failed", "KIE failed and is away now", seen(row=state(S.FAILED, failure_message="nsfw"))),
    ("no-result-named", "finished without a file", seen(P.SUCCESS)),
    ("file-unusable", "finished, and no picture came", seen(P.SUCCESS, row=UNUSABLE, **DONE)),
    (
        "failed-here-finished-there",
        "failed here, a success there",
        seen(P.SUCCESS, row=state(S.FAILED), **DONE),
    ),
    ("download-failing", "the download breaks off", seen(P.SUCCESS, row=FAILING, **DONE)),
    ("download-failing", "the download breaks off, KIE is away", seen(row=FAILING)),
    ("never-downloaded", "finished, called back, not fetched", seen(P.SUCCESS, callbacks=1, **DONE)),
    ("callback-never-arrived", "finished, no callback", seen(P.SUCCESS, **DONE)),
    ("kie-unreadable-while-storing", "on its way, KIE is away", seen(row=state(S.AWAITING_DELIVERY))),
    ("not-known-yet", "KIE does not know it yet", seen(P.NOT_FOUND)),
    ("unknown-at-kie", "KIE does not know it", seen(P.NOT_FOUND, **LATER)),
    ("unknown-state", "a word of nobody", seen(P.UNKNOWN)),
    ("no-longer-followed", "given up, KIE works on it", seen(P.GENERATING, row=state(S.NEEDS_ATTENTION))),
    ("stuck", "generating for an hour", seen(P.GENERATING, **LATER)),
    ("stuck", "in the queue for an hour", seen(P.QUEUED, **LATER)),
    ("in-flight", "generating", seen(P.GENERATING)),
    ("in-flight", "waiting", seen(P.WAITING)),
    ("in-flight", "queued", seen(P.QUEUED)),
]


@pytest.mark.parametrize(("rule", "snapshot"), [pytest.param(r, s, id=why) for r, why, s in CASES])
def test_the_rule_that_fits(rule: str, snapshot: Snapshot) -> None:
    finding = diagnose(snapshot)
    assert finding.rule == rule
    for sentence in (finding.sentence, finding.action):
        assert sentence[0].isupper() or sentence.startswith("KIE")
        assert sentence.rstrip().endswith((".", "gone", "reason", "credits", "nsfw", "broke"))


def test_every_rule_has_a_case_and_a_name_of_its_own() -> None:
    names = [rule.id for rule in RULES]
    assert len(names) == len(set(names))
    assert set(names) == {rule for rule, _, _ in CASES}


@pytest.mark.parametrize("kie", [None, *ProviderState])
@pytest.mark.parametrize("where", [None, *DeliveryState])
@pytest.mark.parametrize("files", ["", "there", "missing", "unrecorded"])
def test_whatever_is_seen_something_is_said(
    kie: ProviderState | None, where: DeliveryState | None, files: str
) -> None:
    finding = diagnose(seen(kie, row={"delivery_state": where}, files=files))
    assert finding.rule != LOOKING
    assert finding.sentence
    assert finding.action
    assert set(finding.marks) == set(Cell)


@pytest.mark.parametrize(
    ("told", "snapshot"),
    [
        (LOOKING, seen(open_question=True)),
        (LOOKING, seen(row=state(S.DELIVERED), open_question=True, storage=None)),
        (LOOKING, seen(row=state(S.DELIVERED), open_question=True, files="missing")),
        ("all-well", seen(row=state(S.DELIVERED), open_question=True, files="there")),
        ("refused", seen(row=state(S.FAILED, task_id=None), open_question=True, storage=None)),
        ("other-provider", seen(row=state(None, provider="fal"), open_question=True, storage=None)),
    ],
)
def test_no_verdict_before_the_answers_that_it_hangs_on(told: str, snapshot: Snapshot) -> None:
    assert diagnose(snapshot).rule == told


def test_marks_say_what_fits_and_what_is_being_asked() -> None:
    marks = diagnose(seen(P.SUCCESS, **DONE)).marks
    assert {cell for cell, mark in marks.items() if mark is Mark.MISMATCH} == {
        Cell.CALLBACKS,
        Cell.STORAGE,
        Cell.DATABASE,
    }
    marks = diagnose(seen(open_question=True, storage=None)).marks
    assert marks[Cell.KIE] is marks[Cell.STORAGE] is Mark.BEING_ASKED
    assert diagnose(seen()).marks[Cell.KIE] is Mark.UNKNOWN


def test_a_chosen_row_of_two_is_told_with_a_warning() -> None:
    assert "2 rows have this task id" in diagnose(seen(P.SUCCESS, twins=2, **DONE)).warnings[0]
    other = seen(P.SUCCESS, **DONE)
    other = replace(other, detail=replace(other.detail, callbacks=(callback("task_2"),)))
    assert "another task" in diagnose(other).warnings[0]


def offered(snapshot: Snapshot, actor: Actor = STAFF) -> list[tuple[Remedy, bool]]:
    found = remedies.offers(actor, snapshot, diagnose(snapshot))
    return [(offer.remedy, offer.why_not is None) for offer in found]


@pytest.mark.parametrize(
    ("snapshot", "buttons"),
    [
        (seen(P.SUCCESS, **DONE), [(Remedy.SYNC, True)]),
        (seen(P.SUCCESS, row={"lease_until": NOW + timedelta(hours=1)}, **DONE), [(Remedy.SYNC, False)]),
        (
            seen(P.SUCCESS, steps=(step(EventKind.SYNC_REQUESTED, 55, by="Bo"),), **DONE),
            [(Remedy.SYNC, False)],
        ),
        (seen(P.SUCCESS, steps=(step(EventKind.SYNC_REQUESTED, 5, by="Bo"),), **DONE), [(Remedy.SYNC, True)]),
        (seen(P.FAIL, row=state(S.FAILED)), [(Remedy.MAKE_AGAIN, True)]),
        (seen(P.FAIL, row=state(S.FAILED), remade_as=uuid4()), []),
        (seen(P.FAIL, row=state(S.FAILED, input={})), []),
        (seen(P.FAIL, row=state(S.FAILED, model="somebody/else")), []),
        (
            seen(P.SUCCESS, row=state(S.DELIVERED), files="missing", **DONE),
            [(Remedy.FETCH_AGAIN, True), (Remedy.MAKE_AGAIN, True)],
        ),
        (seen(row=state(S.DELIVERED), files="there"), []),
    ],
)
def test_the_buttons_that_are_offered(snapshot: Snapshot, buttons: list[tuple[Remedy, bool]]) -> None:
    assert offered(snapshot) == buttons


def test_a_role_closes_what_it_may_not_press() -> None:
    support = Actor("person", "x", "X", frozenset({Role.SUPPORT}), "page")
    viewer = Actor("person", "y", "Y", frozenset({Role.VIEWER}), "page")
    lost = seen(P.SUCCESS, row=state(S.LOST), **DONE)
    assert offered(lost, support) == [(Remedy.SYNC, True), (Remedy.MAKE_AGAIN, False)]
    assert offered(lost, viewer) == [(Remedy.SYNC, False), (Remedy.MAKE_AGAIN, False)]
