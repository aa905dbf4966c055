"""One task's evidence as the API and the command tell it."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from core import access, log
from core.access import Action, Actor
from core.deliveries import service
from core.deliveries.models import Generation
from core.deliveries.tools import BUCKET, Tools
from core.diagnosis import remedies, search, snapshot
from core.diagnosis.checks import diagnose
from core.diagnosis.findings import Finding
from core.diagnosis.snapshot import Snapshot
from core.errors import NotFound


def newest(actor: Actor | None) -> Sequence[Generation]:
    """The newest ten generations."""
    return search.find(actor, "").generations


def look(actor: Actor | None, generation_id: UUID, tools: Tools, *, picked: bool = True) -> Snapshot:
    """Everything known of one generation. KIE and the storage are asked here and now: it waits for both."""
    seen = snapshot.of_rows(actor, generation_id, tools, picked=picked)
    storage = snapshot.ask_storage(seen.detail, tools)
    kie = snapshot.ask_kie(seen.generation, tools)
    return replace(seen, at=tools.clock(), kie=kie, storage=storage)


def named(text: str, actor: Actor | None = None) -> tuple[Generation, bool]:
    """The newest generation with this task id, or the one with this id or file address, and whether
    it was named by more than its task; for a customer among theirs. Raises NotFound."""
    if "/" in text:
        found = search.find(actor, text)
        if found.only is None:
            raise NotFound(found.sentence or "Several generations have this address. Name one by its id.")
        return found.only, True
    try:
        own = UUID(text)
    except ValueError:
        own = None
    if own is not None and (generation := service.by_id(own, actor)) is not None:
        return generation, True
    return service.newest_by_task(text, actor), False


def of_task(actor: Actor | None, text: str, tools: Tools) -> dict[str, Any]:
    """Everything known of one task, with the diagnosis and what can be done; secrets masked.

    `text` is a task id, or a generation's own. Changes nothing. NotFound when no row has the id.
    """
    actor = access.check(actor, Action.DEBUG_GENERATION)
    generation, picked = named(text)
    seen = look(actor, generation.id, tools, picked=picked)
    finding = diagnose(seen)
    return {"taskId": generation.task_id or text, **told(actor, seen, finding)}


def told(actor: Actor, seen: Snapshot, finding: Finding) -> dict[str, Any]:
    """The diagnosis and the evidence as JSON-like values, secrets masked."""
    record, detail, storage = seen.record, seen.detail, seen.storage
    files = storage.files if storage else ()
    evidence = {
        "asOf": seen.at,
        **verdict(actor, seen, finding),
        "database": asdict(detail.generation),
        "kie": dict(record.raw) if record else {"problem": seen.kie.problem if seen.kie else None},
        "storage": {
            "bucket": BUCKET,
            "files": [asdict(file) for file in detail.files],
            "found": [file.found is not None for file in files],
            "problem": storage.problem if storage else None,
        },
        "callbacks": [asdict(item) for item in detail.callbacks],
        "timeline": [asdict(step) for step in detail.timeline],
        "costs": [asdict(line) for line in detail.costs],
    }
    return dict(log.redact(evidence))


def verdict(actor: Actor, seen: Snapshot, finding: Finding) -> dict[str, Any]:
    """The diagnosis alone, and what can be done about it."""
    return {
        "generationId": seen.generation.id,
        "diagnosis": {
            "rule": finding.rule,
            "sentence": finding.sentence,
            "mismatches": sorted(finding.mismatches),
            "warnings": list(finding.warnings),
        },
        "suggestedAction": finding.action,
        "remedies": [
            {
                "remedy": offer.remedy,
                "label": offer.label,
                "effect": offer.effect,
                "priceUsd": offer.price,
                "whyNot": offer.why_not,
            }
            for offer in remedies.offers(actor, seen, finding)
        ],
        "remadeAs": seen.remade_as,
    }
