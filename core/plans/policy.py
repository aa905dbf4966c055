"""What a plan may do with a generation, and what may be done with a plan: pure decisions."""

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from core.deliveries import policy as deliveries
from core.deliveries.models import ACTIVE, DeliveryState, EventKind, Generation
from core.deliveries.windows import Filter
from core.errors import Conflict, InvalidInput
from core.plans.models import Group, ItemState, Judged, Plan, PlanState, Source
from core.providers import registry
from core.providers.contract import ProviderState, TaskRecord
from core.providers.registry import name_of

# A plan of more would run for longer than half an hour at KIE's limit: two are better to watch than one.
MOST_ITEMS = 20_000
MOST_NAMES = 2_000
LONGEST_NAME, LONGEST_PLAN_NAME, LONGEST_REASON = 200, 120, 500
# Above so many the number has to be typed.
TYPED_ABOVE = 20
# A dry run shows what was so; an older one is made anew.
DRAFT_GOOD_FOR = timedelta(hours=1)
# How long an item belongs to the worker that took it, and a plan to the run that works on it. An item's
# outlasts the lease of its generation, so that a dead worker's item is taken up when its row is free.
ITEM_LEASE, PLAN_LEASE = timedelta(seconds=60), timedelta(seconds=20)

S = DeliveryState
_WORDS = {
    "failed": "failed",
    "lost": "lost",
    "needs_attention": "need attention",
    "open": "begun and still in flight",
    "in_flight": "in flight",
    "stuck": "stuck",
    "rescue": "finished at KIE and not stored",
    "finished": "finished",
    "delivered": "delivered",
    "begun": "begun",
    "timed": "delivered",
    "missed": "failed or lost, as an alert counted them",
    "lost_lately": "lost, as an alert counted them",
    "expiring": "soon deleted at KIE, as an alert counted them",
    "refused": "refused by storage, as an alert counted them",
}
_WINDOWS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}


def judge(
    generation: Generation,
    now: datetime,
    providers: Collection[str],
    *,
    user_id: UUID | None = None,
    begun: bool = False,
) -> Judged:
    """What this generation is to a plan. `user_id`: only that customer's are meant; `begun`: the plan has
    begun with it before, and the worker that did is dead."""
    name, state = name_of(generation.provider), generation.delivery_state
    if user_id is not None and generation.user_id != user_id:
        return Judged(Group.NOT_YOURS, "It belongs to another customer than the one that was chosen.")
    if state is None or generation.provider.lower() not in registry.PROVIDERS:
        word = (generation.status or "empty")[:40]
        return Judged(
            Group.NOT_YOURS,
            f"It is another system's: its provider is “{generation.provider[:40]}”, its status “{word}”.",
        )
    if state is S.DELIVERED:
        return Judged(Group.DELIVERED, "It is delivered; there is nothing to fetch.")
    if generation.lease_until is not None and generation.lease_until > now:
        return Judged(Group.IN_FLIGHT, "An attempt is working on it now.")
    if state is S.INTENT:
        return Judged(Group.IN_FLIGHT, f"It waits to be sent to {name}, which happens by itself.")
    if state is S.SENDING:
        return Judged(Group.IN_FLIGHT, f"It was sent, and {name}'s answer is looked for by itself.")
    if generation.provider.lower() not in providers:
        return Judged(Group.UNKNOWN, f"{name} cannot be asked from here: its key is not set.")
    return _with_task(generation, name, now, begun=begun)


def _with_task(generation: Generation, name: str, now: datetime, *, begun: bool) -> Judged:
    state, gone_at = generation.delivery_state, generation.result_expires_at
    if state is S.LOST or (gone_at is not None and gone_at <= now):
        return Judged(Group.EXPIRED, f"{name} has deleted its result.")
    if generation.begun_at + deliveries.RESULT_KEPT <= now:
        return Judged(Group.EXPIRED, f"{name} keeps results for 14 days, and this one is older.")
    if generation.task_id is None:
        if state is S.NEEDS_ATTENTION:
            said = f"{name}'s answer was lost: what callbacks have named is looked up."
            return Judged(Group.ELIGIBLE, said, calls=1)
        return Judged(Group.UNKNOWN, f"It has no task at {name} to ask about. It can only be made again.")
    stuck = now - generation.begun_at > deliveries.stuck_after(generation)
    if state is S.AWAITING_DELIVERY:
        if begun or stuck or generation.attempt > 0:
            calls = 0 if generation.result_urls else 1
            return Judged(Group.ELIGIBLE, f"Its file is fetched from {name} now.", calls)
        return Judged(Group.IN_FLIGHT, "Its file is on its way to our storage.")
    if state is S.AWAITING_PROVIDER and not (begun or stuck):
        return Judged(Group.IN_FLIGHT, f"{name} is working on it, within the usual time.")
    return Judged(Group.ELIGIBLE, f"{name}'s record is read; a file that it names is fetched.", calls=1)


def version(generation: Generation) -> str:
    """Which version of the row this is: another one may be judged otherwise."""
    facts = (
        generation.delivery_state,
        generation.task_id,
        generation.attempt,
        generation.next_attempt_at,
        generation.lease_token,
        generation.provider_read_at,
        generation.failure_code,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def moved_on(stood: str, judged: Judged, generation: Generation) -> str:
    """Why an item is skipped whose row has changed since the plan was made."""
    now_at = (generation.delivery_state or "not followed").replace("_", " ")
    if stood == generation.delivery_state:
        return f"Skipped: {_lower(judged.sentence)}"
    return f"Skipped: it was {stood.replace('_', ' ')} in the dry run and is {now_at} now. {judged.sentence}"


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def moves(generation: Generation, record: TaskRecord, decision: deliveries.Decision) -> bool:
    """Whether what its provider says now moves a generation that has ended."""
    match decision:
        case deliveries.PollAt():
            return record.state not in {ProviderState.NOT_FOUND, ProviderState.UNKNOWN}
        case deliveries.Deliver():
            return True
        case deliveries.Fail():
            return generation.delivery_state is not S.FAILED
        case deliveries.Lost():
            return generation.delivery_state is S.NEEDS_ATTENTION
        case deliveries.Attention():
            return False
    assert_never(decision)


def stays(generation: Generation, decision: deliveries.Decision) -> tuple[ItemState, str]:
    """What became of an item whose generation has ended and stays as it was."""
    name = name_of(generation.provider)
    if isinstance(decision, deliveries.Fail):
        return ItemState.ANSWERED, f"{name} says that it failed: {decision.message}"
    why = f"{name} does not know this task."
    if isinstance(decision, deliveries.Attention | deliveries.Lost):
        why = decision.reason
    stands = (generation.delivery_state or "").replace("_", " ")
    return ItemState.ANSWERED, f"{why} It stays as it was: {stands}."


def result_of(after: Generation | None, step: EventKind | None, words: str | None) -> tuple[ItemState, str]:
    """What became of an item: its row afterwards, the last step of its timeline since the item was begun,
    and that step's words."""
    if after is None:
        return ItemState.FAILED, "Its row is not there any more."
    name, said = name_of(after.provider), (words or after.failure_message or "").strip()
    if after.delivery_state is S.DELIVERED:
        return ItemState.DELIVERED, "Delivered: its file is in our storage."
    if step is EventKind.POLL_FAILED:
        return ItemState.FAILED, f"{name} could not be asked: {said or 'no reason given.'}"
    if step is EventKind.DOWNLOAD_FAILED and after.delivery_state in ACTIVE:
        said_so = f"{name} has finished; its file could not be fetched: {said} It is tried on."
        return ItemState.FAILED, said_so
    if after.delivery_state is S.FAILED:
        return ItemState.ANSWERED, f"{name} says that it failed: {said or 'it gave no reason.'}"
    if after.delivery_state is S.LOST:
        return ItemState.ANSWERED, f"Lost: {said or f'{name} has deleted the result.'}"
    if after.delivery_state is S.NEEDS_ATTENTION:
        return ItemState.ANSWERED, f"It needs a person: {said or 'no rule can decide it.'}"
    if after.delivery_state is S.AWAITING_DELIVERY:
        return ItemState.ANSWERED, f"{name} has finished; its file is being stored by another worker."
    return ItemState.ANSWERED, f"{name} is still working on it; it is followed on by itself."


def names_in(pasted: str) -> tuple[str, ...]:
    """The ids that a text names, each once. Raises InvalidInput with a sentence."""
    found = tuple(dict.fromkeys(part for part in re.split(r"[\s,;\"'`<>()\[\]{}]+", pasted) if part))
    if len(found) > MOST_NAMES:
        raise InvalidInput(
            "ids", f"These are {len(found):,} ids; paste at most {MOST_NAMES:,} at once, or use a filter."
        )
    for one in found:
        if not re.fullmatch(rf"[A-Za-z0-9._:-]{{1,{LONGEST_NAME}}}", one):
            cut = "".join(c if c.isprintable() else "�" for c in one[:40])
            raise InvalidInput("ids", f"“{cut}” is no id of a task or a generation. Paste ids alone.")
    return found


def check_source(source: Source) -> None:
    """Raise InvalidInput for a list that names everything, or nothing."""
    if source.names or source.failed_of is not None or source.user_id is not None:
        return
    wanted = source.filter
    if wanted is None or (wanted.state in {None, "begun"} and wanted.signature is None):
        raise InvalidInput(
            "filter",
            "That is every generation there is. Say which of them: those that failed, are stuck or need"
            " attention, a failure group, a customer's, or their ids.",
        )


def check_size(found: int) -> None:
    """Raise InvalidInput for more than one plan may have."""
    if found > MOST_ITEMS:
        raise InvalidInput(
            "filter",
            f"That list has more than {MOST_ITEMS:,} generations, which is the most for one plan. Choose a"
            " shorter window, one model, or one failure group.",
        )


def check_can_start(plan: Plan, typed: int | None, now: datetime) -> None:
    """Raise Conflict or InvalidInput with the reason why this draft cannot be started like this."""
    if plan.state is not PlanState.DRAFT:
        raise Conflict(f"{plan.started_by or 'Somebody'} has started it already; it is {plan.state} now.")
    if plan.eligible == 0:
        raise Conflict("Nothing in this plan can be resynced, so there is nothing to start.")
    if now - plan.created_at > DRAFT_GOOD_FOR:
        raise Conflict("This dry run is older than an hour. Make it anew, so that you see what is so now.")
    if plan.eligible > TYPED_ABOVE and typed != plan.eligible:
        raise InvalidInput("typed", f"Type {plan.eligible} to confirm that many resyncs.")


def expected_s(items: Mapping[str, int], per_second: Mapping[str, float]) -> float:
    """How long the providers' limits make it take at least, in seconds; providers work side by side."""
    return max((n / per_second[provider] for provider, n in items.items()), default=0.0)


def words(source: Source) -> str:
    """The list in a few words, as a plan is called by itself."""
    if source.failed_of is not None:
        return "What failed in an earlier plan"
    of = f" of customer {str(source.user_id)[:8]}" if source.user_id else ""
    if source.names:
        return f"{len(source.names):,} pasted {'id' if len(source.names) == 1 else 'ids'}{of}"
    wanted = source.filter or Filter()
    said = _WORDS[wanted.state or "begun"]
    if wanted.signature is not None:
        said = f"failure group {wanted.signature}"
    parts = [f"{said[0].upper()}{said[1:]}{of}"]
    if not wanted.of_this_moment and not wanted.counted_by_alert:
        parts.append(f"last {_WINDOWS[wanted.window]}")
    parts += [part for part in (wanted.model, wanted.kind) if part]
    return ", ".join(parts)[:LONGEST_PLAN_NAME]
