"""Markers, rules and the draw, without a server."""

import pytest

from core.sandbox.fault import Place
from core.sandbox.fault_table import FAULTS, METADATA_URL
from core.sandbox.faults import BadFault, Choice, FaultBook, Rule, markers, rule_choices


class Counter:
    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}

    def use(self, subject: str, fault: str) -> int:
        before = self.counts.get((subject, fault), 0)
        self.counts[subject, fault] = before + 1
        return before


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a lake", ()),
        ("a [[thing]] and [fault:dead]", ()),
        ("x [[fault:callback_lost]]", (Choice("callback_lost", (Place.TASK,), None),)),
        ("[[fault:callback_late=3]]", (Choice("callback_late", (Place.TASK,), 3.0),)),
        ("[[fault:latency@read=0.5]]", (Choice("latency", (Place.READ,), 0.5),)),
        ("[[fault:truncated_file*1]]", (Choice("truncated_file", (Place.FILE,), None, 1),)),
        (
            "[[fault:server_error@create,read=503*2]]",
            (Choice("server_error", (Place.CREATE, Place.READ), 503, 2),),
        ),
        (
            "[[fault:rate_limited@all]]",
            (Choice("rate_limited", (Place.CREATE, Place.READ, Place.OTHER), None),),
        ),
        (
            "[[fault:redirect_private]] [[fault:redirect_private=http://10.0.0.1/a?b=c]]",
            (
                Choice("redirect_private", (Place.FILE,), METADATA_URL),
                Choice("redirect_private", (Place.FILE,), "http://10.0.0.1/a?b=c"),
            ),
        ),
    ],
)
def test_markers(prompt: str, expected: tuple[Choice, ...]) -> None:
    assert markers(prompt) == expected


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("[[fault:calback_lost]]", "Known: latency, dead"),
        ("[[fault:]]", "is not of the form"),
        ("[[fault:latency=soon]]", "takes seconds between 0 and 86400"),
        ("[[fault:latency=-1]]", "takes seconds"),
        ("[[fault:latency=nan]]", "takes seconds"),
        ("[[fault:multi_result=0]]", "between 1 and 20"),
        ("[[fault:stuck=3]]", "takes no value"),
        ("[[fault:stuck@read]]", "strikes at: task"),
        ("[[fault:server_error=200]]", "between 400 and 599"),
        ("[[fault:\ud800]]", "is not of the form"),
    ],
)
def test_a_marker_that_cannot_be_meant_says_what_can(marker: str, words: str) -> None:
    with pytest.raises(BadFault, match=r"(?i)sandbox fault") as raised:
        markers(marker)
    assert words in str(raised.value)
    str(raised.value).encode()


def test_every_row_explains_itself_and_its_default_is_valid() -> None:
    for fault in FAULTS.values():
        assert fault.line
        assert set(fault.usual) <= set(fault.places)
        assert (fault.default is None) == (fault.argument == "")
        rule_choices({fault.name: Rule(value=fault.default)})


def test_a_mark_outranks_a_rule_and_strikes_only_at_its_place() -> None:
    book = FaultBook(Counter(), "salt", rule_choices({"latency": Rule(value=9), "dead": Rule(at=["file"])}))
    marks = markers("[[fault:latency@read=1]]")
    assert book.strike(Place.READ, "task_1", marks) == {"latency": 1.0}
    assert book.strike(Place.FILE, "task_1", marks) == {"latency": 9.0, "dead": None}


def test_times_end_a_fault_for_each_task_apart() -> None:
    book = FaultBook(Counter(), "salt")
    marks = markers("[[fault:truncated_file*2]]")
    struck = [bool(book.strike(Place.FILE, "task_1", marks)) for _ in range(4)]
    assert struck == [True, True, False, False]
    assert book.strike(Place.FILE, "task_2", marks)


def test_times_of_a_rule_are_counted_over_all_tasks() -> None:
    book = FaultBook(Counter(), "salt", rule_choices({"truncated_file": Rule(times=2)}))
    struck = [bool(book.strike(Place.FILE, f"task_{n}", ())) for n in range(3)]
    assert struck == [True, True, False]


def test_a_rate_is_kept_and_repeats_with_the_same_salt() -> None:
    def draws(salt: str) -> list[bool]:
        book = FaultBook(Counter(), salt, rule_choices({"callback_lost": Rule(rate=0.3)}))
        return [bool(book.strike(Place.TASK, f"task_{n}", ())) for n in range(2000)]

    first = draws("seed 7")
    assert 500 < sum(first) < 700
    assert draws("seed 7") == first
    assert draws("seed 8") != first


def test_a_sticky_fault_is_drawn_once_a_task_and_another_at_each_request() -> None:
    rules = {"expired_url": Rule(rate=0.5), "truncated_file": Rule(rate=0.5)}
    book = FaultBook(Counter(), "salt", rule_choices(rules))
    seen = [book.strike(Place.FILE, "task_1", ()) for _ in range(40)]
    assert len({"expired_url" in struck for struck in seen}) == 1
    assert len({"truncated_file" in struck for struck in seen}) == 2
