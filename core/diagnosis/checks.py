"""The rules of the diagnosis: pure, over one snapshot, the first that fits wins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.deliveries import policy
from core.deliveries.models import DeliveryState, Generation
from core.providers.contract import ProviderState, TaskRecord


@dataclass(frozen=True)
class Snapshot:
    """Everything known of one task at `at`: our rows, the provider's record, the stored files."""

    at: datetime
    generation: Generation
    twins: int
    record: TaskRecord | None
    record_problem: str | None
    callbacks: int
    stored_files: int
    file_found: bool | None


@dataclass(frozen=True)
class Finding:
    """What a rule found: its id, a sentence, and the next action with its effect."""

    rule: str
    sentence: str
    action: str


@dataclass(frozen=True)
class Rule:
    """A rule: when it fits, what it says and what to do."""

    id: str
    fits: Callable[[Snapshot], bool]
    sentence: str
    action: str


def _at_kie(*states: ProviderState) -> Callable[[Snapshot], bool]:
    return lambda seen: seen.record is not None and seen.record.state in states


def _delivered(seen: Snapshot) -> bool:
    return seen.generation.delivery_state is DeliveryState.DELIVERED


def _stuck(seen: Snapshot) -> bool:
    return seen.at - seen.generation.begun_at > policy.stuck_after(seen.generation)


_SYNC = "Sync: KIE's record is read again and the file is fetched, stored and recorded."
_NEW = "Start a new generation. Nothing here is sent again by itself."
_WAIT = "Nothing to do. It is followed by itself; Sync looks at once."

RULES: Sequence[Rule] = (
    Rule(
        "two-rows",
        lambda seen: seen.twins > 1,
        "More than one row has this task id; the newest is shown.",
        "Have the older rows looked at by whoever wrote them.",
    ),
    Rule(
        "file-missing",
        lambda seen: _delivered(seen) and seen.file_found is False,
        "It was recorded as delivered, but the file is not in storage.",
        "Restore the file from a backup, or start a new generation.",
    ),
    Rule(
        "delivered-elsewhere",
        lambda seen: _delivered(seen) and seen.file_found is None,
        "Another system delivered it; its file is not in our storage, so it cannot be looked at here.",
        "Open its URL. If that fails, ask whoever runs that system.",
    ),
    Rule("all-well", _delivered, "It was delivered and the file is there.", "Nothing to do."),
    Rule(
        "answer-lost",
        lambda seen: (
            seen.generation.task_id is None
            and seen.generation.delivery_state in {DeliveryState.SENDING, DeliveryState.NEEDS_ATTENTION}
        ),
        "The request was sent and KIE's answer was lost; no callback has named the task yet.",
        f"Wait for KIE's callback, or look into KIE's own log. {_NEW}",
    ),
    Rule(
        "not-sent",
        lambda seen: seen.generation.delivery_state is DeliveryState.INTENT,
        "It has not been sent to KIE yet.",
        _WAIT,
    ),
    Rule(
        "lost",
        lambda seen: seen.generation.delivery_state is DeliveryState.LOST,
        "KIE finished it, and has deleted the result before it was stored.",
        _NEW,
    ),
    Rule("provider-failed", _at_kie(ProviderState.FAIL), "KIE failed to make it.", _NEW),
    Rule(
        "no-result-named",
        lambda seen: (
            _at_kie(ProviderState.SUCCESS)(seen) and bool(seen.record and not seen.record.result_urls)
        ),
        "KIE says that it finished, but names no file.",
        "Sync in a few minutes; if it stays so, ask KIE.",
    ),
    Rule(
        "not-delivered",
        lambda seen: _at_kie(ProviderState.SUCCESS)(seen) and seen.stored_files == 0 and seen.callbacks > 0,
        "KIE finished it and called back, but the file has not been stored yet.",
        _SYNC,
    ),
    Rule(
        "callback-never-arrived",
        lambda seen: _at_kie(ProviderState.SUCCESS)(seen) and seen.stored_files == 0,
        "KIE finished it, but its callback never arrived and the file has not been stored.",
        _SYNC,
    ),
    Rule(
        "not-recorded",
        lambda seen: _at_kie(ProviderState.SUCCESS)(seen) and seen.stored_files > 0,
        "The file was stored, but the generation was not marked as delivered.",
        _SYNC,
    ),
    Rule(
        "unknown-at-kie",
        _at_kie(ProviderState.NOT_FOUND),
        "KIE does not know this task.",
        "Check the id. Right after the start this passes by itself.",
    ),
    Rule(
        "unknown-state",
        _at_kie(ProviderState.UNKNOWN),
        "KIE calls its state by a word that is not known here.",
        "It is polled on; if it stays so, ask KIE.",
    ),
    Rule(
        "stuck",
        lambda seen: (
            _stuck(seen)
            and _at_kie(ProviderState.WAITING, ProviderState.QUEUED, ProviderState.GENERATING)(seen)
        ),
        "KIE has been working on it for longer than this kind should take.",
        "It is polled on. Ask KIE, or start a new generation.",
    ),
    Rule(
        "in-flight",
        _at_kie(ProviderState.WAITING, ProviderState.QUEUED, ProviderState.GENERATING),
        "KIE is working on it.",
        _WAIT,
    ),
    Rule(
        "kie-unreadable",
        lambda seen: seen.record is None,
        "KIE's record cannot be read at the moment.",
        "Try again in a minute. If it says authentication, check KIE_API_KEY.",
    ),
)


def diagnose(seen: Snapshot) -> Finding:
    """The first rule that fits; the last resort says that none does."""
    for rule in RULES:
        if rule.fits(seen):
            return Finding(rule.id, rule.sentence, rule.action)
    return Finding("unexplained", "No rule explains where this task stands.", _SYNC)
