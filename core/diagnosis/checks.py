"""The diagnosis: pure, over one snapshot; the first rule that fits wins."""

from collections.abc import Iterator, Mapping

from core.deliveries.models import DeliveryState
from core.diagnosis.findings import Cell, Finding, Mark, Tone
from core.diagnosis.rules import RULES, Rule
from core.diagnosis.snapshot import Snapshot, asks_kie
from core.providers.registry import worded

LOOKING = "looking"


def diagnose(seen: Snapshot) -> Finding:
    """What holds of the snapshot. While KIE or the storage is still being asked and the verdict hangs on
    the answer, the finding says just that."""
    for rule in RULES:
        if _waits(rule, seen):
            return _finding(seen, rule=LOOKING)
        if rule.fits(seen):
            return _finding(seen, rule=rule)
    return _finding(seen, rule=LOOKING)


def _waits(rule: Rule, seen: Snapshot) -> bool:
    """Whether the rule hangs on an answer that is still awaited; of a delivered generation the storage
    decides, and KIE only where a file is missing."""
    kie_open, storage_open = seen.kie is None, seen.storage is None
    if not (kie_open and Cell.KIE in rule.needs) and not (storage_open and Cell.STORAGE in rule.needs):
        return False
    if seen.generation.delivery_state is not DeliveryState.DELIVERED:
        return rule.id not in _OF_DELIVERED
    return storage_open or bool(seen.storage and seen.storage.missing)


_OF_DELIVERED = {
    "storage-unreadable",
    "file-missing",
    "file-missing-kie-silent",
    "file-gone",
    "delivered-elsewhere",
    "all-well",
}


def _finding(seen: Snapshot, rule: Rule | str) -> Finding:
    provider = seen.generation.provider
    if isinstance(rule, str):
        return Finding(
            LOOKING,
            Tone.WORKING,
            worded("KIE and our storage are being asked.", provider),
            "This takes a few seconds at most.",
            warnings=tuple(_warnings(seen)),
            marks=_marks(seen, frozenset()),
        )
    sentence = rule.sentence if isinstance(rule.sentence, str) else rule.sentence(seen)
    return Finding(
        rule.id,
        rule.tone,
        worded(sentence, provider),
        worded(rule.action, provider),
        rule.remedies,
        rule.mismatches,
        tuple(_warnings(seen)),
        _marks(seen, rule.mismatches),
    )


def _warnings(seen: Snapshot) -> Iterator[str]:
    """What a person should know beside the verdict."""
    if seen.twins > 1 and seen.picked:
        yield f"{seen.twins} rows have this task id; each is followed and delivered by itself."
    known = seen.detail.generation.task_id
    others = {callback.task_id for callback in seen.detail.callbacks} - {known, None}
    if known and others:
        yield "A callback named another task for this generation; only the one in the row counts."


def _marks(seen: Snapshot, mismatches: frozenset[Cell]) -> Mapping[Cell, Mark]:
    marks = {cell: Mark.MISMATCH if cell in mismatches else Mark.FITS for cell in Cell}
    if seen.kie is None and asks_kie(seen.generation):
        marks[Cell.KIE] = Mark.BEING_ASKED
    elif seen.record is None:
        marks[Cell.KIE] = Mark.UNKNOWN
    if seen.storage is None:
        marks[Cell.STORAGE] = Mark.BEING_ASKED
    elif seen.storage.problem is not None:
        marks[Cell.STORAGE] = Mark.UNKNOWN
    return marks
