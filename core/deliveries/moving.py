"""From the provider's temporary file to our storage, and the one statement that makes it final."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection

from core import database, log
from core.deliveries import policy
from core.deliveries.models import (
    RESULT_GONE,
    STATUS_OF,
    STORAGE_FAILED,
    STORAGE_REFUSED,
    TRANSITIONS,
    DeliveryState,
    Event,
    EventKind,
    Generation,
    StoredFile,
)
from core.deliveries.repository import SQL, add_event, events_json, files_json
from core.deliveries.tools import BUCKET, Tools
from core.errors import ErrorCategory, ProviderError, StorageError
from core.providers.fetch import FetchFailed
from core.providers.fetch_rules import FetchRefused
from core.storage.file_types import FileType
from core.storage.mover import UnusableFile, store_stream
from core.storage.own_path import own_path
from core.storage.rules import content_type_of
from core.work import limiter
from core.work.limiter import Priority

RENEW_EVERY = timedelta(seconds=10)

_log = log.get(__name__)


class LeaseLostError(Exception):
    """Another worker has taken the row over; whatever this one still does must not be recorded."""


def deliver(generation: Generation, tools: Tools) -> bool:
    """Fetch every result file of a leased row, store it and record it; True when it is delivered.

    Steps: 1. each file streams from the provider to its deterministic path; 2. one guarded
    statement sets `asset_url`, the files, the event. Repeating it stores the same bytes at the
    same path; only the holder of the lease records them. A failure is an event and a next attempt.
    """
    lease = _Lease(generation, tools)
    started = tools.clock()
    try:
        files = [_move(generation, n, url, lease, tools) for n, url in enumerate(generation.result_urls)]
    except LeaseLostError:
        _log.warning("delivery.lease_lost", generation_id=str(generation.id))
        return False
    except (ProviderError, StorageError, FetchRefused, UnusableFile) as error:
        _failed(generation, error, started, tools)
        return False
    return _record(generation, files, tools)


class _Lease:
    """Renews the row's lease while its files stream."""

    def __init__(self, generation: Generation, tools: Tools) -> None:
        self._generation = generation
        self._tools = tools
        self._renewed = tools.clock()

    def renewed_by(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """`chunks`, each of which renews the lease when it is time: a slow file keeps its row too."""
        for chunk in chunks:
            self.renew()
            yield chunk

    def renew(self) -> None:
        """Renew when it is time; LeaseLostError when another worker has taken over."""
        now = self._tools.clock()
        if now - self._renewed < RENEW_EVERY:
            return
        with database.statement() as connection:
            kept = SQL["renew_lease"].first(
                connection,
                id=self._generation.id,
                token=self._generation.lease_token,
                lease_until=now + policy.LEASE,
            )
        if kept is None:
            raise LeaseLostError
        self._renewed = now


class GoneForNow(FetchFailed):
    """The file is not there, and the provider has had its last word on a fresh link: only time can bring it
    back."""

    def __init__(self, failure: FetchFailed) -> None:
        super().__init__(
            failure.message,
            category=failure.category,
            retryable=failure.retryable,
            words=failure.words,
            status=failure.status,
        )


def _move(generation: Generation, n: int, url: str, lease: _Lease, tools: Tools) -> tuple[StoredFile, int]:
    """One file, by a fresh link when the provider says that the first is gone; with its milliseconds."""
    started = tools.clock()
    try:
        stored = _stream(generation, n, url, lease, tools)
    except FetchFailed as failure:
        if not failure.gone or generation.link_renewed_at is not None:
            raise
        stored = _by_fresh_link(generation, n, url, failure, lease, tools)
    return stored, int((tools.clock() - started).total_seconds() * 1000)


def _by_fresh_link(
    generation: Generation, n: int, url: str, failure: FetchFailed, lease: _Lease, tools: Tools
) -> StoredFile:
    """The file by a link that the provider makes anew, which is asked for once.

    Once is enough when it refuses, or the fresh link says "gone" too. A link that could not be asked
    for, or broke off, has settled nothing: the next attempt asks again.
    """
    places = limiter.reserve(
        limiter.READS[generation.provider.lower()], 1, Priority(generation.attempt_priority)
    )
    if not places:
        raise failure
    tools.sleep(places.delays_s[0])
    try:
        return _stream(generation, n, tools.provider(generation).fresh_url(url), lease, tools)
    except FetchFailed as again:
        if again.gone:
            raise GoneForNow(again) from again
        raise
    except FetchRefused:
        raise
    except ProviderError as error:
        if error.refused:
            raise GoneForNow(failure) from error
        raise


def _stream(generation: Generation, n: int, url: str, lease: _Lease, tools: Tools) -> StoredFile:
    with tools.fetch.open_stream(url) as source:
        stored = store_stream(
            lease.renewed_by(source.chunks),
            source.content_length,
            tools.storage,
            BUCKET,
            lambda file_type: _place(generation, n, file_type, tools),
            max_bytes=tools.max_file_bytes,
            progress=lease.renew,
        )
    return StoredFile(
        bucket=stored.bucket,
        path=stored.path,
        n=n,
        bytes=stored.bytes,
        sha256=stored.sha256,
        content_type=stored.content_type,
        url=stored.url,
    )


def _place(generation: Generation, n: int, file_type: FileType, tools: Tools) -> str:
    """Where the file is kept: where it was, when the customer has an address already; else by our rule.

    What another system stored lies under a path of its own making. A file that is there and does not carry
    the generation's id may be another's, and is left alone.
    """
    known = None
    if n == 0 and generation.task_number == 0:
        known = own_path(tools.storage, BUCKET, generation.asset_url)
    if known is None or content_type_of(known) != file_type.content_type:
        return policy.storage_path(generation, n, file_type.extension)
    if str(generation.id) in known or tools.storage.stat(BUCKET, known) is None:
        return known
    return policy.storage_path(generation, n, file_type.extension)


def _record(generation: Generation, moved: list[tuple[StoredFile, int]], tools: Tools) -> bool:
    now = tools.clock()
    waited_ms = int((now - generation.begun_at).total_seconds() * 1000)
    end = Event(EventKind.DELIVERED, attempt=generation.attempt + 1, duration_ms=waited_ms)
    with database.statement() as connection:
        row = SQL["delivered"].first(
            connection,
            id=generation.id,
            token=generation.lease_token,
            now=now,
            asset_url=moved[0][0].url,
            files=files_json([file for file, _ in moved]),
            events=events_json(*(_stored(file, duration_ms) for file, duration_ms in moved), end),
            request_id=log.request_id(),
        )
    return row is not None


def _stored(file: StoredFile, duration_ms: int) -> Event:
    detail = {"path": file.path, "content_type": file.content_type, "sha256": file.sha256}
    return Event(EventKind.STORED, bytes=file.bytes, duration_ms=duration_ms, detail=detail)


def _failed(
    generation: Generation,
    error: ProviderError | StorageError | FetchRefused | UnusableFile,
    started: datetime,
    tools: Tools,
) -> None:
    now = tools.clock()
    tries = generation.attempt + 1
    gone = isinstance(error, FetchFailed) and error.gone
    decision = policy.after_download_error(
        generation,
        tries,
        gone=gone,
        unusable=isinstance(error, UnusableFile),
        permanent=isinstance(error, FetchRefused | UnusableFile) and not getattr(error, "retryable", False),
        now=now,
    )
    category = getattr(error, "category", ErrorCategory.FILE_ERROR)
    code = _code(error)
    event = Event(
        EventKind.DOWNLOAD_FAILED,
        attempt=tries,
        duration_ms=int((now - started).total_seconds() * 1000),
        error_category=category,
        words=error.message,
        detail={"http_status": getattr(error, "status", None)},
    )
    if isinstance(decision, policy.RetryAt):
        with database.transaction() as connection:
            kept = SQL["retry_download"].first(
                connection,
                id=generation.id,
                token=generation.lease_token,
                now=now,
                next_attempt_at=decision.at,
                category=category,
                code=code,
                message=error.message,
                link_renewed=isinstance(error, GoneForNow),
            )
            if kept is not None:
                add_event(connection, generation.id, now, event)
        return
    lost = isinstance(decision, policy.Lost)
    state = DeliveryState.LOST if lost else DeliveryState.NEEDS_ATTENTION
    message = f"{decision.reason} {error.message}"
    end(generation, state, event, tools, category=category, code=code, message=message)


def _code(error: ProviderError | StorageError | FetchRefused | UnusableFile) -> str:
    """A word of ours for what stood in the way, by which alerts are grouped."""
    if isinstance(error, StorageError):
        return STORAGE_FAILED if error.retryable else STORAGE_REFUSED
    if isinstance(error, FetchFailed) and error.gone:
        return RESULT_GONE
    return error.code


def release(
    connection: Connection, generation: Generation, next_attempt_at: datetime | None, now: datetime
) -> None:
    """Give a leased row back, due at `next_attempt_at`, or sooner when somebody hurried it meanwhile."""
    SQL["release"].run(
        connection,
        id=generation.id,
        token=generation.lease_token,
        now=now,
        next_attempt_at=next_attempt_at,
        seen_next_attempt_at=generation.next_attempt_at,
    )


def end(
    generation: Generation,
    state: DeliveryState,
    event: Event,
    tools: Tools,
    *,
    category: str | None = None,
    code: str | None = None,
    message: str | None = None,
    costs: str | None = None,
) -> bool:
    """End a leased delivery without a file, with the event that says why; `costs` where it is paid for all
    the same, as `costs.cost_json` writes them.

    False when the lease was lost, or a callback came since it was taken: the row is then looked at again.
    """
    now = tools.clock()
    with database.transaction() as connection:
        row = SQL["end"].first(
            connection,
            id=generation.id,
            token=generation.lease_token,
            now=now,
            state=state,
            status=STATUS_OF[state],
            provider_state=event.detail.get("says"),
            category=category,
            code=code,
            message=message,
            from_states=[origin for origin, targets in TRANSITIONS.items() if state in targets],
            seen_next_attempt_at=generation.next_attempt_at,
        )
        if row is None:
            release(connection, generation, now, now)
            return False
        add_event(connection, generation.id, now, event)
        if costs is not None:
            SQL["charge"].run(connection, id=generation.id, costs=costs, now=now)
        SQL["handle_callbacks"].run(connection, generation_id=generation.id, now=now, outcome=state)
    _log.warning("delivery.ended", generation_id=str(generation.id), state=state, category=category)
    return True
