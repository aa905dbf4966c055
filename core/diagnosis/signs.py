"""What can be seen in a snapshot, and how it is put into words: the vocabulary of the rules."""

from collections.abc import Callable

from core.deliveries import policy
from core.deliveries.models import RESULT_GONE, DeliveryState
from core.diagnosis.snapshot import Snapshot
from core.providers.contract import ProviderState

P = ProviderState
Test = Callable[[Snapshot], bool]


def stands_at(*states: DeliveryState) -> Test:
    """Whether our row stands at one of these."""
    return lambda seen: seen.generation.delivery_state in states


def at_kie(*states: ProviderState) -> Test:
    """Whether KIE's record says one of these."""
    return lambda seen: seen.record is not None and seen.record.state in states


def every(*tests: Test) -> Test:
    """Whether all of these hold."""
    return lambda seen: all(test(seen) for test in tests)


def no_task(seen: Snapshot) -> bool:
    """Whether no task at KIE is known."""
    return not (seen.generation.task_id or "").strip()


def missing(seen: Snapshot) -> bool:
    """Whether a recorded file is not in storage."""
    return seen.storage is not None and seen.storage.missing > 0


def kie_has_it(seen: Snapshot) -> bool:
    """Whether KIE names files, and is not past the time for which it keeps them."""
    record = seen.record
    if record is None or record.state is not P.SUCCESS or not record.result_urls:
        return False
    return seen.at < (record.completed_at or seen.generation.begun_at) + policy.RESULT_KEPT


def finished_with_files(seen: Snapshot) -> bool:
    """Whether KIE has finished and names files."""
    return at_kie(P.SUCCESS)(seen) and bool(seen.record and seen.record.result_urls)


def expired(seen: Snapshot) -> bool:
    """Whether KIE's file is gone: it said so for a fresh link too, or its time has run out."""
    gone = seen.generation.failure_code == RESULT_GONE and seen.generation.link_renewed_at is not None
    return gone or (finished_with_files(seen) and not kie_has_it(seen))


def stuck(seen: Snapshot) -> bool:
    """Whether it has taken longer than its model and kind may."""
    return seen.at - seen.generation.begun_at > policy.stuck_after(seen.generation)


def young(seen: Snapshot) -> bool:
    """Whether KIE may not know the task yet."""
    return seen.at - seen.generation.begun_at <= policy.UNKNOWN_GRACE


def other_provider(seen: Snapshot) -> bool:
    """Whether another provider's row is not followed here."""
    return seen.generation.delivery_state is None and seen.generation.provider.lower() != "kie"


def failing(seen: Snapshot) -> bool:
    """Whether fetching or storing the file has failed last."""
    return seen.generation.attempt > 0 and seen.generation.failure_message is not None


def kie_words(seen: Snapshot) -> str:
    """KIE's code and words."""
    code = (seen.record.fail_code if seen.record else None) or seen.generation.failure_code
    words = (seen.record.fail_message if seen.record else None) or seen.generation.failure_message
    return f"{f'{code}: ' if code else ''}{(words or 'it gave no reason')[:300]}"


def without_file(seen: Snapshot) -> str:
    """That KIE finished without a file, and what is wrong with its result."""
    problem = (seen.record.result_problem if seen.record else None) or "It names no file."
    return f"KIE says that it has finished, and there is no file to fetch. {problem}"


def refused(seen: Snapshot) -> str:
    """That the request was not taken."""
    return f"The request was not taken, so KIE has no task of it. In its words: {kie_words(seen)}"


def other(seen: Snapshot) -> str:
    """Whose task it is."""
    return f"It was made at {seen.generation.provider[:40]}; only KIE's tasks are followed here."


def odd_status(seen: Snapshot) -> str:
    """Which status nobody knows."""
    word = (seen.generation.status or "")[:40]
    said = f"Its status is “{word}”, a word that nobody here knows" if word else "It has no status"
    return f"{said}, so it is not followed."


def stuck_for(seen: Snapshot) -> str:
    """How long it may take, and what KIE does with it."""
    minutes = int(policy.stuck_after(seen.generation).total_seconds() // 60)
    doing = "left it in its queue" if at_kie(P.WAITING, P.QUEUED)(seen) else "been working on it"
    return f"KIE has {doing} for longer than the {minutes} minutes that this model may take."


def download_fault(seen: Snapshot) -> str:
    """What stands in the way of the file."""
    return f"KIE has finished it, and fetching or storing its file fails: {seen.generation.failure_message}"


def reason(seen: Snapshot) -> str:
    """Why the file cannot be used."""
    return (
        f"KIE has finished it, and its file cannot be used. {seen.generation.failure_message or ''}".strip()
    )
