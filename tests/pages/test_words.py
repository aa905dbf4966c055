"""States, reasons and steps: every one has its word, and nothing from outside is HTML or a script."""

import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any
from uuid import UUID

import pytest

from core.deliveries.models import DeliveryState, EventKind, Generation, Status
from core.deliveries.views import TimelineStep
from core.errors import ErrorCategory
from core.settings import ROOT
from pages.components import failures, media, states, timeline, training_words

NOW = datetime(2026, 11, 20, 17, 35, 10, tzinfo=UTC)
GENERATION = Generation(
    id=UUID("5c54a19c-7849-43b1-8476-0d7bcb8a378a"),
    user_id=None,
    provider="kie",
    kind="image",
    model="flux-2/pro-text-to-image",
    prompt="A fox",
    input={},
    status="queued",
    delivery_state=DeliveryState.INTENT,
    task_id="task_1",
    result_urls=(),
    asset_url=None,
    preview_url=None,
    created_at=NOW,
    submitted_at=NOW,
    delivered_at=None,
    next_attempt_at=None,
    attempt_priority=2,
    attempt=0,
    lease_until=None,
    lease_token=None,
    provider_state=None,
    provider_read_at=None,
    result_expires_at=None,
    failure_category=None,
    failure_code=None,
    failure_message=None,
    watched_until=None,
)


def step(kind: EventKind, at_s: float = 0, **fields: Any) -> TimelineStep:
    known: dict[str, Any] = {
        "attempt": None,
        "duration_ms": None,
        "bytes": None,
        "error_category": None,
        "words": None,
        "detail": {},
        "request_id": None,
    }
    return TimelineStep(at=NOW + timedelta(seconds=at_s), kind=kind, **(known | fields))


def test_every_state_has_a_look_of_its_own() -> None:
    assert set(states.LOOKS) == set(DeliveryState)
    assert set(states.LEGACY_LOOKS) == set(Status)
    words = [look.word for look in states.LOOKS.values()]
    assert len(set(words)) == len(words)
    ended = [look for look in states.LOOKS.values() if look.station is None or look.station == 3]
    assert all(one.tone != other.tone for one, other in combinations(ended, 2))


@pytest.mark.parametrize(
    ("state", "status", "word"),
    [
        (DeliveryState.AWAITING_PROVIDER, "queued", "Queued at KIE"),
        (DeliveryState.AWAITING_PROVIDER, "generating", "Generating"),
        (DeliveryState.AWAITING_PROVIDER, None, "Generating"),
        (DeliveryState.DELIVERED, "success", "Delivered"),
        (None, "success", "Success"),
        (None, "archived", "Unknown"),
        (None, None, "Unknown"),
    ],
)
def test_the_word_of_a_row(state: DeliveryState | None, status: str | None, word: str) -> None:
    assert states.look_of(replace(GENERATION, delivery_state=state, status=status)).word == word


def test_a_word_of_another_system_stays_text() -> None:
    strange = states.look_of(replace(GENERATION, delivery_state=None, status='<b onclick="x">'))
    assert "<b" not in states.pill_html(strange)


def test_every_category_has_a_reason() -> None:
    assert set(failures.REASONS) == set(ErrorCategory)


@pytest.mark.parametrize(
    ("state", "category", "message", "reason", "words"),
    [
        (
            DeliveryState.FAILED,
            "validation",
            "flagged",
            failures.REASONS[ErrorCategory.VALIDATION],
            "400: flagged",
        ),
        (DeliveryState.FAILED, "no such", "odd", failures.UNKNOWN_REASON, "400: odd"),
        (DeliveryState.FAILED, None, None, failures.UNKNOWN_REASON, None),
        (
            DeliveryState.LOST,
            "file_error",
            "KIE has deleted the result.",
            "KIE has deleted the result.",
            None,
        ),
        (DeliveryState.NEEDS_ATTENTION, None, "Ask KIE.", "Ask KIE.", None),
    ],
)
def test_why_there_is_no_file(
    state: DeliveryState, category: str | None, message: str | None, reason: str, words: str | None
) -> None:
    row = replace(
        GENERATION,
        delivery_state=state,
        failure_category=category,
        failure_code="400",
        failure_message=message,
    )
    assert failures.reason(row) == reason
    assert failures.provider_words(row) == words


def test_every_kind_of_step_is_told() -> None:
    assert set(timeline.TOLD) == set(EventKind)
    for kind in EventKind:
        line = timeline.line_html(timeline.Line(step(kind), NOW), NOW, UTC)
        assert timeline.TOLD[kind].sentence({}) in line.replace("&#x27;", "'")


def test_a_step_tells_its_figures() -> None:
    stored = step(EventKind.STORED, 12, duration_ms=210, bytes=234_567, attempt=2)
    told = timeline.line_html(timeline.Line(stored, stored.at), NOW, UTC).replace("\u00a0", " ")
    assert "File fetched and stored" in told
    assert "after 12 s · took 0.2 s · 235 KB · attempt 2" in told


def test_equal_looks_at_the_provider_are_one_line() -> None:
    looks = [step(EventKind.POLLED, n, detail={"says": "generating"}) for n in range(5)]
    other = step(EventKind.POLLED, 6, detail={"says": "success"})
    lines = timeline.fold([step(EventKind.CREATED), *looks, other])
    assert [(line.step.kind, line.times) for line in lines] == [
        (EventKind.CREATED, 1),
        (EventKind.POLLED, 5),
        (EventKind.POLLED, 1),
    ]
    told = timeline.line_html(lines[1], NOW, UTC)
    later = timeline.line_html(lines[1], NOW - timedelta(days=15), UTC)
    assert re.search(rf">{NOW.day} {NOW:%b} \d\d:\d\d:\d\d</span>", later)
    assert re.search(r">\d\d:\d\d:\d\d</span>", told)
    assert "KIE was asked: generating, 5 times until 17:35:14" in told


def test_words_of_others_stay_text() -> None:
    hostile = "<script>alert(1)</script>"
    refused = step(EventKind.PROVIDER_FAILED, words=hostile, detail={"by": hostile, "says": hostile})
    asked = step(EventKind.SYNC_REQUESTED, detail={"by": hostile})
    for one in (refused, asked):
        assert "<script" not in timeline.line_html(timeline.Line(one, NOW), NOW, UTC)


@pytest.mark.parametrize(
    ("url", "harmless"),
    [
        ("/files/generations/a.jpg?sig=x", True),
        ("https://host/a.jpg", True),
        ("http://127.0.0.1:9/a.jpg", True),
        ("//host/a.jpg", False),
        ("/\\host/a.jpg", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https:///a.jpg", False),
        ("https://host/a b.jpg", False),
        ("https://[host/a.jpg", False),
        ("java\nscript:alert(1)", False),
        ("", False),
        (None, False),
    ],
)
def test_only_harmless_addresses_are_used(url: str | None, harmless: bool) -> None:
    assert media.safe_url(url) == (url if harmless else None)


def test_a_picture_of_ours_is_shown_and_others_are_linked(local_settings: dict[str, str]) -> None:
    ours = media.of_generation(replace(GENERATION, asset_url='/files/a"b.jpg?sig=<x>'))
    assert ours is not None
    assert '<img src="/files/a&quot;b.jpg?sig=&lt;x&gt;" alt="&lt;fox&gt;">' in media.full_html(ours, "<fox>")
    theirs = media.of_generation(replace(GENERATION, result_urls=("https://tempfile.example/x.png",)))
    assert theirs is not None
    assert "<img" not in media.full_html(theirs, "fox")
    assert "Open it at tempfile.example" in media.full_html(theirs, "fox")
    assert "<img" not in media.thumbnail_html(theirs, "image")


def test_a_film_plays_in_place(local_settings: dict[str, str]) -> None:
    shown = media.of_generation(replace(GENERATION, kind="video", asset_url="/files/a.mp4"))
    assert shown is not None
    assert '<video src="/files/a.mp4" controls playsinline preload="metadata"' in media.full_html(shown, "a")
    assert 'download="video_5c54a19c.mp4"' in media.download_html(shown)


def test_every_state_has_a_symbol_of_its_own_in_a_table() -> None:
    """Cells carry no colour, so two states that are told apart must differ in their symbols or words."""
    ours = [*states.LOOKS.values(), *states.LEGACY_LOOKS.values(), states.QUEUED_AT_KIE]
    trainings = [*training_words.LOOKS.values(), training_words.CRASHED, training_words.QUEUED]
    for look in (*ours, *trainings, states._unknown("x")):
        symbol, word = look.in_table.split(" ", 1)
        assert len(symbol) == 1
        assert word == look.word
    by_symbol = {look.in_table[0]: look.tone for look in ours}
    assert all(by_symbol[look.in_table[0]] == look.tone for look in ours)
    assert len(set(states.SYMBOLS.values())) == len(states.SYMBOLS)


# Looked at in Chromium: fonts that are everywhere (here DejaVu Sans) have each of them, so that none becomes
# a box. A further one is looked at before it comes in here.
DRAWN = set("↻⊘✕✓⌫↓☞↯?◔↗✎◷■⟳∅★⚑→↘−×±")


def test_every_symbol_of_a_table_is_one_that_fonts_have() -> None:
    assert set(states.SYMBOLS.values()) <= DRAWN
    for file in (ROOT / "pages").rglob("*.py"):
        drawn = {c for c in file.read_text() if unicodedata.category(c) in {"So", "Sm"} and not c.isascii()}
        assert drawn <= DRAWN | {"�"}, file.name
