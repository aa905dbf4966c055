"""The table of rules: when each fits, what it says, what to do, and which evidence does not fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from core.deliveries.models import ACTIVE, DeliveryState, EventKind
from core.diagnosis import signs
from core.diagnosis.findings import Cell, Remedy, Tone
from core.diagnosis.snapshot import Snapshot
from core.providers.contract import ProviderState

S, P, C, R, T = DeliveryState, ProviderState, Cell, Remedy, Tone
Words = str | Callable[[Snapshot], str]
# A request that has not been sent by then is worth a click.
UNSENT_FOR = timedelta(minutes=1)

_ALONE = "It goes on by itself; nothing need be done."
_SYNC = "Fetch it now: KIE is asked, its file is stored and given to the customer. Nothing is paid."
_ASK = "Ask KIE once more. Nothing is paid."
_NEW = "Make it again: a new generation for the same customer, which is paid."
_WAIT_KIE = "Look again in a minute. If it says authentication, have KIE_API_KEY checked."


@dataclass(frozen=True)
class Rule:
    """A rule. `needs`: the answers that must be there before it can be told; `remedies`: the best first."""

    id: str
    tone: Tone
    fits: signs.Test
    sentence: Words
    action: str
    remedies: tuple[Remedy, ...] = ()
    mismatches: frozenset[Cell] = frozenset()
    needs: frozenset[Cell] = frozenset()


_BOTH, _KIE, _STORAGE = frozenset({C.KIE, C.STORAGE}), frozenset({C.KIE}), frozenset({C.STORAGE})


RULES: Sequence[Rule] = (
    Rule(
        "two-rows",
        T.ATTENTION,
        lambda seen: seen.twins > 1 and not seen.picked,
        "More than one row has this task id; the newest is shown.",
        "Choose the row that is meant by its generation's id; have the others looked at.",
        mismatches=frozenset({C.DATABASE}),
    ),
    Rule(
        "other-provider",
        T.ATTENTION,
        signs.other_provider,
        signs.other,
        "Ask whoever runs the application that made it.",
        mismatches=frozenset({C.DATABASE}),
    ),
    Rule(
        "unsent-elsewhere",
        T.ATTENTION,
        lambda seen: (
            seen.generation.delivery_state is None
            and signs.no_task(seen)
            and seen.generation.status in {"queued", "generating"}
        ),
        "The company's application wrote it and has not sent it: it has no task at KIE.",
        f"Ask whoever runs that application, or: {_NEW[0].lower()}{_NEW[1:]}",
        (R.MAKE_AGAIN,),
        frozenset({C.DATABASE}),
    ),
    Rule(
        "unknown-status",
        T.ATTENTION,
        lambda seen: seen.generation.delivery_state is None,
        signs.odd_status,
        "Ask whoever wrote the row what that status means.",
        mismatches=frozenset({C.DATABASE}),
    ),
    # Delivered: the storage decides.
    Rule(
        "storage-unreadable",
        T.ATTENTION,
        signs.every(
            signs.stands_at(S.DELIVERED),
            lambda seen: seen.storage is not None and seen.storage.problem is not None,
        ),
        lambda seen: (
            f"It was delivered, and our storage cannot be asked: {seen.storage and seen.storage.problem}"
        ),
        "Look again in a minute.",
        needs=_STORAGE,
    ),
    Rule(
        "file-missing",
        T.BAD,
        signs.every(signs.stands_at(S.DELIVERED), signs.missing, signs.kie_has_it),
        "It was recorded as delivered, and its file is not in our storage. KIE still names it.",
        "Fetch it again from KIE; the customer's address stays the same.",
        (R.FETCH_AGAIN, R.MAKE_AGAIN),
        frozenset({C.STORAGE, C.DATABASE}),
        _BOTH,
    ),
    Rule(
        "file-missing-kie-silent",
        T.BAD,
        signs.every(signs.stands_at(S.DELIVERED), signs.missing, lambda seen: seen.record is None),
        "It was recorded as delivered, and its file is not in our storage. KIE cannot be asked just now.",
        "Fetch it again from KIE: it is tried until KIE answers.",
        (R.FETCH_AGAIN, R.MAKE_AGAIN),
        frozenset({C.STORAGE, C.DATABASE}),
        _BOTH,
    ),
    Rule(
        "file-gone",
        T.BAD,
        signs.every(signs.stands_at(S.DELIVERED), signs.missing),
        "It was recorded as delivered, its file is not in our storage, and KIE no longer has it.",
        f"Restore it from a backup, or: {_NEW[0].lower()}{_NEW[1:]}",
        (R.MAKE_AGAIN,),
        frozenset({C.STORAGE, C.DATABASE, C.KIE}),
        _BOTH,
    ),
    Rule(
        "delivered-elsewhere",
        T.GOOD,
        signs.every(
            signs.stands_at(S.DELIVERED), lambda seen: seen.storage is not None and not seen.storage.files
        ),
        "Another system delivered it; its file is not in our storage, so it cannot be looked at from here.",
        "Open its address. If that fails, ask whoever runs that system.",
        needs=_STORAGE,
    ),
    Rule(
        "all-well",
        T.GOOD,
        signs.stands_at(S.DELIVERED),
        "It was delivered and the file is there.",
        "Nothing to do.",
        needs=_STORAGE,
    ),
    # No task at KIE yet: nobody outside can say anything.
    Rule(
        "not-sent",
        T.ATTENTION,
        signs.every(
            signs.stands_at(S.INTENT), lambda seen: seen.at - seen.generation.created_at > UNSENT_FOR
        ),
        "It was asked for and has not been sent to KIE yet.",
        "Send it now: this is the one paid request that was asked for.",
        (R.SYNC,),
        frozenset({C.DATABASE, C.TIMELINE}),
    ),
    Rule(
        "being-sent",
        T.WORKING,
        lambda seen: signs.stands_at(S.INTENT)(seen) or (signs.stands_at(S.SENDING)(seen) and seen.in_work),
        "It is being sent to KIE.",
        _ALONE,
    ),
    Rule(
        "answer-lost",
        T.ATTENTION,
        signs.every(signs.stands_at(S.SENDING), signs.no_task),
        "It was sent, and KIE's answer was lost; its callback will name the task. It is never sent again.",
        "Look for it now: tasks that callbacks have named are looked up at KIE. Nothing is paid.",
        (R.SYNC,),
        frozenset({C.DATABASE, C.CALLBACKS, C.TIMELINE}),
    ),
    Rule(
        "answer-lost-for-good",
        T.BAD,
        signs.every(signs.stands_at(S.NEEDS_ATTENTION), signs.no_task),
        "It was sent, KIE's answer was lost and no callback came, so nobody knows whether KIE took it.",
        f"Look into KIE's own log first: it may have been paid. Then: {_NEW[0].lower()}{_NEW[1:]}",
        (R.MAKE_AGAIN, R.SYNC),
        frozenset({C.DATABASE, C.CALLBACKS, C.TIMELINE}),
    ),
    Rule(
        "refused",
        T.BAD,
        signs.every(signs.stands_at(S.FAILED), signs.no_task),
        signs.refused,
        "Mend the cause that it names, then make it again: a new generation for the same customer, paid.",
        (R.MAKE_AGAIN,),
        frozenset({C.DATABASE, C.TIMELINE}),
    ),
    # The rest is between KIE's record and our row.
    Rule(
        "kie-unreadable",
        T.ATTENTION,
        lambda seen: seen.record is None and not signs.stands_at(S.FAILED, S.LOST, S.AWAITING_DELIVERY)(seen),
        lambda seen: f"KIE's record cannot be read: {(seen.kie and seen.kie.problem) or 'no answer'}",
        _WAIT_KIE,
        needs=_KIE,
    ),
    Rule(
        "not-recorded",
        T.ATTENTION,
        lambda seen: seen.storage is not None and seen.storage.unrecorded > 0 and signs.kie_has_it(seen),
        "The file was downloaded, and the generation was never marked as delivered.",
        _SYNC,
        (R.SYNC,),
        frozenset({C.STORAGE, C.DATABASE}),
        _BOTH,
    ),
    Rule(
        "result-expired",
        T.BAD,
        lambda seen: (
            (signs.stands_at(S.LOST)(seen) or signs.expired(seen))
            and seen.count(EventKind.LOST) < 2
            and not signs.at_kie(P.FAIL)(seen)
        ),
        "KIE made it, and no longer has the file: it was not stored in time.",
        "Ask KIE once more for a fresh link, free of charge; if that fails, make it again, which is paid.",
        (R.SYNC, R.MAKE_AGAIN),
        frozenset({C.KIE, C.STORAGE}),
        _KIE,
    ),
    Rule(
        "result-gone",
        T.BAD,
        signs.every(signs.stands_at(S.LOST), lambda seen: not signs.at_kie(P.FAIL)(seen)),
        "KIE made it, and the file is gone for good: KIE was asked for a fresh link and has none.",
        _NEW,
        (R.MAKE_AGAIN, R.SYNC),
        frozenset({C.KIE, C.STORAGE}),
        _KIE,
    ),
    Rule(
        "failed-unrecorded",
        T.ATTENTION,
        signs.every(signs.at_kie(P.FAIL), lambda seen: not signs.stands_at(S.FAILED)(seen)),
        lambda seen: (
            f"KIE failed to make it, and our row does not say so yet. KIE's words: {signs.kie_words(seen)}"
        ),
        "Record it now, so that the customer's page says so; then it can be made again.",
        (R.SYNC,),
        frozenset({C.KIE, C.DATABASE}),
        _KIE,
    ),
    Rule(
        "provider-failed",
        T.BAD,
        signs.every(
            signs.stands_at(S.FAILED), lambda seen: seen.record is None or signs.at_kie(P.FAIL)(seen)
        ),
        lambda seen: f"KIE failed to make it. KIE's words: {signs.kie_words(seen)}",
        _NEW,
        (R.MAKE_AGAIN,),
        needs=_KIE,
    ),
    Rule(
        "no-result-named",
        T.BAD,
        lambda seen: signs.at_kie(P.SUCCESS)(seen) and not signs.finished_with_files(seen),
        signs.without_file,
        "Ask KIE once more; if it stays so, make it again, which is paid, and report the task to KIE.",
        (R.SYNC, R.MAKE_AGAIN),
        frozenset({C.KIE}),
        _KIE,
    ),
    Rule(
        "file-unusable",
        T.BAD,
        signs.every(signs.stands_at(S.NEEDS_ATTENTION), signs.finished_with_files),
        signs.reason,
        "Fetch it once more; if it stays so, make it again, which is paid.",
        (R.SYNC, R.MAKE_AGAIN),
        frozenset({C.KIE, C.STORAGE}),
        _KIE,
    ),
    Rule(
        "failed-here-finished-there",
        T.ATTENTION,
        signs.every(signs.stands_at(S.FAILED), signs.finished_with_files),
        "We hold it for failed, and KIE has finished it.",
        _SYNC,
        (R.SYNC,),
        frozenset({C.DATABASE, C.STORAGE}),
        _KIE,
    ),
    Rule(
        "download-failing",
        T.ATTENTION,
        signs.every(signs.stands_at(S.AWAITING_DELIVERY), signs.failing),
        signs.download_fault,
        "It is tried again by itself. Fetch it now does not wait for that.",
        (R.SYNC,),
        frozenset({C.STORAGE, C.TIMELINE}),
        _KIE,
    ),
    Rule(
        "never-downloaded",
        T.ATTENTION,
        lambda seen: signs.finished_with_files(seen) and bool(seen.detail.callbacks),
        "KIE has finished it and called back, and its file has not been fetched yet.",
        _SYNC,
        (R.SYNC,),
        frozenset({C.STORAGE, C.DATABASE}),
        _KIE,
    ),
    Rule(
        "callback-never-arrived",
        T.ATTENTION,
        signs.finished_with_files,
        "KIE has finished it, its callback never arrived, and the file has not been fetched yet.",
        _SYNC,
        (R.SYNC,),
        frozenset({C.CALLBACKS, C.STORAGE, C.DATABASE}),
        _KIE,
    ),
    Rule(
        "kie-unreadable-while-storing",
        T.ATTENTION,
        lambda seen: seen.record is None,
        lambda seen: (
            "KIE has finished it and its file is on the way; KIE's record cannot be read just now:"
            f" {(seen.kie and seen.kie.problem) or 'no answer'}"
        ),
        _SYNC,
        (R.SYNC,),
        frozenset({C.STORAGE}),
        _KIE,
    ),
    Rule(
        "not-known-yet",
        T.WORKING,
        signs.every(signs.at_kie(P.NOT_FOUND), signs.young),
        "KIE does not know the task yet; right after the start that passes by itself.",
        _ALONE,
        needs=_KIE,
    ),
    Rule(
        "unknown-at-kie",
        T.BAD,
        signs.at_kie(P.NOT_FOUND),
        "KIE does not know this task.",
        "Check at KIE whether the account is the right one. Ask once more, or make it again, which is paid.",
        (R.SYNC, R.MAKE_AGAIN),
        frozenset({C.KIE}),
        _KIE,
    ),
    Rule(
        "unknown-state",
        T.ATTENTION,
        signs.at_kie(P.UNKNOWN),
        lambda seen: (
            f"KIE calls its state “{(seen.record.state_word if seen.record else '')[:60]}”,"
            " a word that nobody here knows."
        ),
        "It is asked about again by itself. If it stays so, ask KIE what it means.",
        (R.SYNC,),
        frozenset({C.KIE}),
        _KIE,
    ),
    Rule(
        "no-longer-followed",
        T.ATTENTION,
        lambda seen: seen.generation.delivery_state not in ACTIVE,
        "KIE is working on it, and nobody here follows it any more.",
        "Follow it again: it is delivered as soon as KIE has finished. Nothing is paid.",
        (R.SYNC,),
        frozenset({C.DATABASE}),
        _KIE,
    ),
    Rule(
        "stuck",
        T.ATTENTION,
        signs.stuck,
        signs.stuck_for,
        f"It is followed all the same. {_ASK} Or make it again, which is paid; both may then be delivered.",
        (R.SYNC, R.MAKE_AGAIN),
        frozenset({C.KIE, C.TIMELINE}),
        _KIE,
    ),
    Rule("in-flight", T.WORKING, lambda seen: True, "KIE is working on it.", _ALONE, needs=_KIE),
)
