"""What to do next with a delivery: pure decisions over a row, the provider's record and the time."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from core.deliveries.models import ENDED, DeliveryState, Generation
from core.errors import Conflict, ErrorCategory, ProviderError
from core.providers import catalogue
from core.providers.contract import ProviderState, TaskRecord
from core.providers.registry import name_of

# How long a row belongs to the worker that took it; it renews while a file moves. With the sweep, what a
# killed worker held is taken up by another within a minute.
LEASE = timedelta(seconds=40)
WATCHED_POLL = timedelta(seconds=3)
# For so long after it was sent a first frame is asked for that often, whether or not its webhook comes.
FRAME_HASTE = timedelta(minutes=2)
SLOWEST_POLL = timedelta(seconds=60)
# KIE may not know a task for a moment after it made it; later it is a finding.
UNKNOWN_GRACE = timedelta(minutes=2)
# An answer that was lost is known again only by its callback: neither KIE nor fal has
# a list that names it or an idempotency key.
LOST_ANSWER_WAIT = timedelta(minutes=30)
# Nothing generates for a day: from here on a person decides.
GIVE_UP = timedelta(hours=24)
# KIE's documents give 24 hours in one place and 14 days in another. Results are rescued as if it
# were the former and given up only after the latter.
RESULT_KEPT = timedelta(days=14)
EMPTY_RESULT_GRACE = timedelta(minutes=10)
# About eight minutes of doubling pauses.
BAD_FILE_TRIES = 8


@dataclass(frozen=True)
class PollAt:
    """Read the record again at `at`."""

    at: datetime
    status: str | None = None


@dataclass(frozen=True)
class Deliver:
    """The provider has finished: fetch these files."""

    urls: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True)
class Fail:
    """The provider failed, in its own code and words."""

    code: str
    message: str


@dataclass(frozen=True)
class Lost:
    """The provider finished, and its files are gone for good."""

    reason: str


@dataclass(frozen=True)
class Attention:
    """No rule can decide; a person must. `reason` is a sentence."""

    reason: str


@dataclass(frozen=True)
class RetryAt:
    """Try the download again at `at`."""

    at: datetime


Decision = PollAt | Deliver | Fail | Lost | Attention


def stuck_after(generation: Generation) -> timedelta:
    """How long a generation of this model and kind may take before it counts as stuck."""
    return timedelta(minutes=catalogue.timing(generation.model or "", generation.kind).stuck_minutes)


def _holds_another_up(generation: Generation, now: datetime) -> bool:
    """Whether a generation waits for this first frame, which is then asked for often for a while."""
    return generation.frame_for is not None and now - generation.begun_at < FRAME_HASTE


def first_poll_after(generation: Generation, own_p50_s: float | None) -> timedelta:
    """When to look for the first time: at the model's own median once known, else at its table's figure."""
    if generation.frame_for is not None:
        return WATCHED_POLL
    usual = catalogue.timing(generation.model or "", generation.kind).p50_seconds
    return max(WATCHED_POLL, timedelta(seconds=usual if own_p50_s is None else own_p50_s))


def poll_interval(generation: Generation, now: datetime) -> timedelta:
    """The pause before the next look: 3 s while a person or another generation waits for it, else growing
    with age up to a minute."""
    watched = generation.watched_until is not None and generation.watched_until > now
    if watched or _holds_another_up(generation, now):
        return WATCHED_POLL
    age = max(now - generation.begun_at, timedelta())
    if age > stuck_after(generation):
        return 5 * SLOWEST_POLL
    return min(max(WATCHED_POLL, age / 4), SLOWEST_POLL)


def next_step(generation: Generation, record: TaskRecord, now: datetime) -> Decision:
    """What the provider's record means for this delivery."""
    name = name_of(generation.provider)
    age = now - generation.begun_at
    again = now + poll_interval(generation, now)
    match record.state:
        case ProviderState.SUCCESS:
            return _finished(name, record, now)
        case ProviderState.FAIL:
            return Fail(record.fail_code or "", record.fail_message or f"{name} gave no reason.")
        case ProviderState.WAITING | ProviderState.QUEUED | ProviderState.GENERATING if age > GIVE_UP:
            return Attention(
                f"{name} has been working on it for a day. Ask {name}, or start a new generation."
            )
        case ProviderState.GENERATING:
            return PollAt(again, "generating")
        case ProviderState.WAITING | ProviderState.QUEUED:
            return PollAt(again, "queued")
        case ProviderState.NOT_FOUND if age > RESULT_KEPT:
            return Lost(f"{name} has forgotten the task, and its result was never stored.")
        case ProviderState.NOT_FOUND if age > max(UNKNOWN_GRACE, stuck_after(generation)):
            return Attention(f"{name} does not know this task. Start a new generation.")
        case ProviderState.NOT_FOUND:
            return PollAt(min(again, now + timedelta(seconds=10)))
        case ProviderState.UNKNOWN if age > GIVE_UP:
            return Attention(f"{name} calls its state “{record.state_word}”, which nobody here knows.")
        case ProviderState.UNKNOWN:
            return PollAt(again)
    assert_never(record.state)


def _finished(name: str, record: TaskRecord, now: datetime) -> Decision:
    finished_at = record.completed_at or now
    if record.result_urls:
        return Deliver(record.result_urls, finished_at + RESULT_KEPT)
    if now - finished_at < EMPTY_RESULT_GRACE and record.completed_at is not None:
        return PollAt(now + timedelta(seconds=20), "generating")
    return Attention(
        f"{name} says it finished but names no file ({record.result_problem or 'empty result'})."
    )


def after_read_error(generation: Generation, error: ProviderError, now: datetime) -> PollAt | Attention:
    """The record could not be read: look again, slower when a person has to mend something first."""
    if now - generation.begun_at > GIVE_UP + RESULT_KEPT:
        return Attention(f"{name_of(generation.provider)} could not be asked about it for two weeks.")
    pause = poll_interval(generation, now) if error.retryable else 5 * SLOWEST_POLL
    return PollAt(now + pause)


def download_pause(tries: int) -> timedelta:
    """The pause after the n-th failed download: 2 s, doubling, at most nine minutes, so that what somebody
    mends is noticed within ten.
    """
    return min(timedelta(seconds=2 ** min(tries, 10)), timedelta(minutes=9))


def after_download_error(
    generation: Generation, tries: int, *, gone: bool, unusable: bool, permanent: bool, now: datetime
) -> RetryAt | Lost | Attention:
    """A file could not be fetched or stored, for the `tries`-th time in a row.

    `gone`: the provider answers 403, 404 or 410; it has been asked for a fresh link once. `unusable`:
    what arrived is no whole picture or video. `permanent`: no retry can help (a private address, a file
    over the cap). Everything else, a storage that refuses the file included, is retried until the
    provider deletes the file.
    """
    name = name_of(generation.provider)
    expires_at = generation.result_expires_at or generation.begun_at + RESULT_KEPT
    if permanent:
        return Attention("The result cannot be fetched.")
    if now >= expires_at:
        return Lost(
            f"{name} has deleted the result." if gone else f"{name}'s time to keep the result has run out."
        )
    if unusable and tries >= BAD_FILE_TRIES:
        return Attention(f"{name}'s file cannot be opened as a picture or video.")
    return RetryAt(min(now + download_pause(tries), expires_at))


# Faults of a first frame that another try may not meet; each says for certain that nothing was made or paid.
_MAY_PASS = frozenset(
    {
        ErrorCategory.NETWORK,
        ErrorCategory.RATE_LIMIT,
        ErrorCategory.SERVICE_ERROR,
        ErrorCategory.TIMEOUT,
        # Its only file are the LoRA's weights, which were out of reach.
        ErrorCategory.FILE_ERROR,
    }
)


def makes_frame_again(frame: Generation | None, *, is_second: bool) -> bool:
    """Whether a first frame that ended without a picture is made once more: it failed for certain, not for
    what was asked, and for the first time. One that is lost or that nobody knows of may have been paid."""
    if frame is None or is_second or frame.delivery_state is not DeliveryState.FAILED:
        return False
    return frame.failure_category in _MAY_PASS


def after_lost_answer(generation: Generation, now: datetime) -> PollAt | Attention:
    """Nobody knows whether the provider took the request: wait for its callback, never send again."""
    name = name_of(generation.provider)
    deadline = generation.begun_at + LOST_ANSWER_WAIT
    if now >= deadline:
        return Attention(
            f"{name}'s answer was lost and no callback came, so it is unknown whether {name} took the"
            f" request. Nothing was sent twice. Check {name}'s own log, then start a new generation."
        )
    return PollAt(min(now + timedelta(seconds=30), deadline))


def prove_again_at(generation: Generation, now: datetime) -> datetime | None:
    """When to ask again about a task that a callback named and whose record could not be read; None for a
    generation so old that a person has long decided."""
    return now + SLOWEST_POLL if now - generation.begun_at < GIVE_UP else None


def names_our_callback(record: TaskRecord, generation_id: str, our_callback: str) -> bool:
    """Whether the provider's record proves that the task was created for this generation by us."""
    if not record.callback_url:
        return False
    return record.callback_url.split("?")[0] == our_callback.split("?")[0] and (
        f"generation={generation_id}" in record.callback_url.split("?", 1)[-1].split("&")
    )


def check_can_sync(generation: Generation, now: datetime) -> None:
    """Raise Conflict with the reason: another attempt is in flight, or nothing is followed here."""
    if generation.delivery_state is None:
        raise Conflict(
            f"This generation is not followed here: its provider is {generation.provider[:40]!r}, its status"
            f" {(generation.status or 'empty')[:40]!r}. Only KIE's tasks with a known status are."
        )
    if generation.lease_until is not None and generation.lease_until > now:
        seconds = int((generation.lease_until - now).total_seconds()) + 1
        raise Conflict(f"Another attempt is working on it now; it is free again in at most {seconds} s.")


def was_just_seen_to(generation: Generation, now: datetime) -> bool:
    """Whether another look would find nothing new: a worker has the row, or read its record a moment ago."""
    in_work = generation.lease_until is not None and generation.lease_until > now
    read_at = generation.provider_read_at
    enough = SLOWEST_POLL if generation.delivery_state in ENDED else WATCHED_POLL
    return in_work or (read_at is not None and now - read_at < enough)


def user_folder(generation: Generation) -> str:
    """The first part of a storage path: the customer's id, or ours for generations without one."""
    return str(generation.user_id) if generation.user_id else "studio-ops"


def storage_path(generation: Generation, n: int, extension: str) -> str:
    """`{user}/{kind}/{generation}_{created}.{ext}`, further files `…_{n}`; created in Unix ms.

    Where another task has taken the place of a generation's first, its files are told apart by eight
    hex digits of that task's id: the first one's may be here already, under an address that caches keep.
    """
    created = int(generation.created_at.timestamp() * 1000)
    suffix = f"_{n}" if n else ""
    if generation.task_number:
        suffix = f"_{hashlib.sha256((generation.task_id or '').encode()).hexdigest()[:8]}{suffix}"
    # The company's application may write any word there; a storage key takes only some characters.
    kind = generation.kind if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", generation.kind) else "other"
    return f"{user_folder(generation)}/{kind}/{generation.id}_{created}{suffix}.{extension}"


def urls_in_order(urls: Sequence[str]) -> tuple[str, ...]:
    """The result URLs without repeats, in the provider's order."""
    return tuple(dict.fromkeys(urls))
