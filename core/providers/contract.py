"""What a provider of paid generations does for us, and what it promises.

A provider speaks one vendor's wire protocol. It makes one call at a time, never sleeps, never
repeats, and knows no table of ours: when to call is policy, calling again is a job's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from core.errors import ErrorCategory


class ProviderState(StrEnum):
    """How far a task is, in our words; `TaskRecord.state_word` keeps the provider's own."""

    WAITING = "waiting"
    QUEUED = "queued"
    GENERATING = "generating"
    SUCCESS = "success"
    FAIL = "fail"
    # The provider answers that it knows no such task. Right after a create this passes by itself.
    NOT_FOUND = "not_found"
    # A word that nobody here knows: something to find out, never taken for "running".
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        return self in {ProviderState.SUCCESS, ProviderState.FAIL}


@dataclass(frozen=True)
class TaskRecord:
    """One task as the provider tells it at this moment.

    Times are aware UTC, `credits_consumed` is in the provider's credits, `progress` in percent.
    A malformed part never raises: it is None, and a result that cannot be used is named by
    `result_problem` (only ever set when `state` is SUCCESS).
    """

    task_id: str
    state: ProviderState
    state_word: str = ""
    model: str | None = None
    result_urls: tuple[str, ...] = ()
    result_problem: str | None = None
    fail_code: str | None = None
    fail_message: str | None = None
    fail_category: ErrorCategory | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    credits_consumed: Decimal | None = None
    # How long the provider worked on it, where it tells no times; else see `took_ms`.
    worked_ms: int | None = None
    # A failure that is paid for all the same.
    charged: bool = False
    progress: int | None = None
    # As it was sent to the provider, its secret included, so that it can be compared with ours.
    callback_url: str | None = field(default=None, repr=False)
    # The provider's whole answer with every secret masked; JSON values only.
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def took_ms(self) -> int | None:
        """From its creation to its end by the provider's own clock, in milliseconds; None when not told."""
        if self.worked_ms is not None:
            return self.worked_ms
        if self.created_at is None or self.completed_at is None or self.completed_at < self.created_at:
            return None
        return int((self.completed_at - self.created_at).total_seconds() * 1000)


@dataclass(frozen=True)
class Task:
    """A task that a provider has accepted. `addresses`: where it is to be asked about, as the provider
    gave them; empty where the id is enough."""

    id: str
    addresses: Mapping[str, str] = field(default_factory=dict)


class GenerationProvider(Protocol):
    """One vendor of generations. Safe to share between threads.

    Every method raises `core.errors.ProviderError` and nothing else of the network's: `category`,
    `retryable`, a sentence for people, the provider's own redacted `words`, `sent` and `refused`.
    """

    def create(self, model: str, model_input: Mapping[str, Any], callback_url: str | None) -> Task:
        """Begin one paid generation and return the provider's task.

        Steps: 1. one POST with the input exactly as given (validating is the caller's);
        2. the task from the answer.

        NOT idempotent: every call may cost money, so the caller owns the one attempt.
        Errors: `sent=False` is certain not to have reached the provider; `refused=True` is a definite
        no, nothing was begun. In both cases `retryable` says whether the same request makes sense
        again later. Anything else is an unknown outcome, never retryable: the task may exist, and
        only looking it up can tell.
        """
        ...

    def record(self, task_id: str, model: str = "", addresses: Mapping[str, str] | None = None) -> TaskRecord:
        """The task as it stands now; `model` and `addresses` as it was begun with, where they are known.

        Steps: 1. one GET, and where the provider keeps the result apart one more; 2. the answer into a
        TaskRecord. Idempotent, without effect.
        A task that the provider does not know is a record with NOT_FOUND, not an error.
        Errors: as for every call; InvalidInput for an id that no provider could have given.
        """
        ...

    def fresh_url(self, url: str) -> str:
        """A new download URL, valid for minutes, for a result URL of this provider's own.

        Steps: 1. one call; 2. the URL from the answer. Idempotent, free.
        Errors: a URL that the provider did not make, or no longer has, is `refused`; so is every one where
        the provider makes no fresh URLs.
        """
        ...

    def check_key(self) -> str:
        """Whether the account's key is good, as a sentence of what is known of the account. Free."""
        ...

    def close(self) -> None:
        """Give the connections back. Idempotent."""
        ...
