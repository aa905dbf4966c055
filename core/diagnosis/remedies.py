"""What a click does: the buttons that a finding offers, and the one way in which each is carried out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from core import database
from core.access import Action, Actor
from core.deliveries import following, service, views, with_lora
from core.deliveries.models import DeliveryState, EventKind, Generation
from core.deliveries.tools import Tools
from core.diagnosis import asking, snapshot
from core.diagnosis.findings import Finding, Offer, Remedy
from core.diagnosis.snapshot import Snapshot, remake_key
from core.errors import Conflict, InvalidInput
from core.providers import catalogue, model_inputs
from core.work import runs
from core.work.limiter import Priority

# Somebody has just asked: a worker begins within this time, or none is there.
JUST_ASKED = timedelta(seconds=15)


@dataclass(frozen=True)
class _Words:
    label: str
    effect: str


_FETCH = _Words(
    "Fetch it now",
    "Asks KIE, downloads its file, stores it and gives it to the customer. Nothing is paid;"
    " what was tried before stays in the timeline.",
)
_SYNC: dict[str, _Words] = {
    "not-sent": _Words("Send it now", "Sends the paid request that was asked for, once."),
    "answer-lost": _Words("Look for it now", "Looks up at KIE what callbacks have named. Nothing is paid."),
    "answer-lost-for-good": _Words(
        "Look for it once more", "Looks up at KIE what callbacks have named. Nothing is paid."
    ),
    "result-expired": _Words(
        "Try KIE once more", "Asks KIE for a fresh link and fetches the file by it. Nothing is paid."
    ),
    "result-gone": _Words(
        "Try KIE once more", "Asks KIE for a fresh link and fetches the file by it. Nothing is paid."
    ),
    "failed-unrecorded": _Words("Record it now", "Reads KIE's record and writes its failure into our row."),
    "no-longer-followed": _Words(
        "Follow it again", "KIE is asked from now on, and the file is delivered once it is there."
    ),
    "no-result-named": _Words("Ask KIE again", "Reads KIE's record; a file that it names is fetched."),
    "unknown-at-kie": _Words("Ask KIE again", "Reads KIE's record; a file that it names is fetched."),
    "unknown-state": _Words("Ask KIE again", "Reads KIE's record; a file that it names is fetched."),
    "stuck": _Words("Ask KIE now", "Reads KIE's record; a file that it names is fetched. Nothing is paid."),
    "file-unusable": _Words("Fetch it once more", _FETCH.effect),
    "download-failing": _Words("Fetch it now", _FETCH.effect),
}
_FETCH_AGAIN = _Words(
    "Fetch it again from KIE",
    "The delivery goes back to KIE's file, which is stored where it was: the customer's address stays the"
    " same. Nothing is paid.",
)
_AGAIN = _Words(
    "Make it again",
    "A new generation with the same model and input for the same customer. It is paid, once, however many"
    " people press; this one stays as it is.",
)


def offers(actor: Actor, seen: Snapshot, finding: Finding) -> Sequence[Offer]:
    """The buttons for this actor, the best first; a closed one says why."""
    return [
        offer for remedy in finding.remedies if (offer := _offer(actor, seen, finding, remedy)) is not None
    ]


def _offer(actor: Actor, seen: Snapshot, finding: Finding, remedy: Remedy) -> Offer | None:
    match remedy:
        case Remedy.SYNC:
            words = _SYNC.get(finding.rule, _FETCH)
            return Offer(remedy, words.label, words.effect, why_not=_why_no_sync(actor, seen))
        case Remedy.FETCH_AGAIN:
            return Offer(remedy, _FETCH_AGAIN.label, _FETCH_AGAIN.effect, why_not=_why_no_sync(actor, seen))
        case Remedy.MAKE_AGAIN:
            price = price_of(seen.generation)
            if price is None or seen.remade_as is not None:
                return None
            why_not = None if actor.may(Action.CREATE_GENERATION) else _MAY_NOT_MAKE
            return Offer(remedy, _AGAIN.label, _AGAIN.effect, price, why_not)


_MAY_NOT_MAKE = "Your role does not start generations. Ask somebody of product or operations to press it."
_MAY_NOT_SYNC = "Your role does not repair generations. Ask somebody of support."


def _why_no_sync(actor: Actor, seen: Snapshot) -> str | None:
    if not actor.may(Action.SYNC_GENERATION):
        return _MAY_NOT_SYNC
    if seen.generation.delivery_state is not DeliveryState.DELIVERED:
        closed = views.why_not_check(seen.generation, seen.at)
        if closed is not None:
            return closed
    return just_asked(seen)


def just_asked(seen: Snapshot) -> str | None:
    """That somebody asked for it a moment ago and the outcome is near, as a sentence; else None."""
    steps = seen.detail.timeline
    if not steps or steps[-1].kind is not EventKind.SYNC_REQUESTED:
        return None
    if seen.at - steps[-1].at > JUST_ASKED:
        return None
    return f"{steps[-1].detail.get('by', 'Somebody')} has just asked for it; what comes of it shows here."


def price_of(generation: Generation) -> Decimal | None:
    """What the same once more costs; None when its model or input is not known here."""
    model = catalogue.find(generation.model or "")
    if model is None or not generation.input:
        return None
    added = model.picture_field if generation.lora_id else None
    try:
        model_inputs.validate(model, with_lora.asked_input(generation), later=added.name if added else None)
    except InvalidInput:
        return None
    return with_lora.again_usd(generation)


def carry_out(actor: Actor | None, remedy: Remedy, generation_id: UUID, tools: Tools) -> Generation:
    """Carry a free remedy out here and now; the row as it stands afterwards. It waits for KIE."""
    asked = _ask(actor, remedy, generation_id, tools, later=False)
    return following.advance(asked.id, tools, Priority.SYNC) or asked


def _ask(
    actor: Actor | None, remedy: Remedy, generation_id: UUID, tools: Tools, *, later: bool
) -> Generation:
    match remedy:
        case Remedy.SYNC:
            return service.request_sync(actor, generation_id, tools, later=later)
        case Remedy.FETCH_AGAIN:
            return service.fetch_again(actor, generation_id, tools, later=later)
        case Remedy.MAKE_AGAIN:
            raise Conflict("Making it again is no repair of this one.")


def make_again(actor: Actor | None, generation: Generation, tools: Tools) -> Generation:
    """Begin a generation in place of one that cannot be rescued; once, whoever asks and how often."""
    return service.make_again(actor, generation.id, remake_key(generation.id), tools)


def worker_alive(now: datetime | None = None) -> bool:
    """Whether a worker would take up what is asked of it."""
    return "worker" not in runs.liveness(now or database.now()).missing


def press(actor: Actor | None, remedy: Remedy, generation_id: UUID, tools: Tools) -> Generation:
    """What a button on a page does: it never waits for KIE. The row, or the new one that was begun.

    A worker carries it out; while none is alive, this process does, beside the page. Raises Conflict with
    the reason when somebody has just asked for the same, or an attempt is under way.
    """
    seen = snapshot.of_rows(actor, generation_id, tools)
    asking.forget(seen.detail)
    if remedy is Remedy.MAKE_AGAIN:
        return make_again(actor, seen.generation, tools)
    busy = just_asked(seen)
    if busy is not None:
        raise Conflict(busy)
    alive = worker_alive(seen.at)
    asked = _ask(actor, remedy, generation_id, tools, later=alive)
    if not alive:
        asking.beside(following.step, asked.id, tools)
    return asked
