"""Whether a training may begin: a row for each refusal, in the order in which they are told."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core.errors import InvalidInput, StudioOpsError
from core.providers.training import Bounds
from core.trainings.launch_rules import Facts, SettingsNeeded, check_can_launch
from core.trainings.models import Launch, NameTaken, QuotaExceeded

BOUNDS = Bounds(
    images=(4, 12),
    steps=(100, 6_000),
    learning_rate=(Decimal("0.00001"), Decimal("0.002")),
    rank=(1, 128),
)
WISH = Launch(
    request_key="0123456789",
    draft_id=UUID(int=1),
    name="Ada",
    trigger_word="ada_v1",
    trainer="fal",
    steps=1000,
)
FACTS = Facts(
    images=6,
    problems=(),
    bounds=BOUNDS,
    missing="",
    names=0,
    used=0,
    now=datetime(2026, 12, 31, 23, 59, tzinfo=UTC),
    publisher=True,
    pictures=True,
)


@pytest.mark.parametrize(
    ("reason", "wish"),
    [
        ("a short name", {"name": "A"}),
        ("the longest name", {"name": "n" * 255}),
        ("a name in another script", {"name": "アダ"}),
        ("a name with quotes", {"name": 'O\'Hara “the” "keeper" <b>&;--'}),
        ("a name with an emoji", {"name": "Ada 🗼"}),
        ("a name with an emoji of several", {"name": "Ada 👩‍🚀 and 👨‍👩‍👧"}),
        ("a name with an Arabic ligature", {"name": "می‌خواهم"}),
        ("a short trigger word", {"trigger_word": "TO"}),
        ("fewest steps", {"steps": 100}),
        ("most steps", {"steps": 6000}),
        ("a learning rate and a rank", {"learning_rate": Decimal("0.0001"), "rank": 16}),
        ("published", {"publish": True}),
        ("described", {"description": "d" * 2000}),
    ],
)
def test_what_may_begin(reason: str, wish: dict[str, Any]) -> None:
    check_can_launch(replace(WISH, **wish), FACTS, label="fal")


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], type[StudioOpsError], int, str]] = [
    ("no name", {"name": ""}, {}, InvalidInput, 400, "1 to 255"),
    ("a blank name", {"name": "  "}, {}, InvalidInput, 400, "1 to 255"),
    ("a name that is too long", {"name": "n" * 256}, {}, InvalidInput, 400, "1 to 255"),
    ("a name of 300", {"name": "n" * 300}, {}, InvalidInput, 400, "1 to 255"),
    ("a name that turns what is read", {"name": "Ada\u202egpj"}, {}, InvalidInput, 400, "nothing invisible"),
    ("a name that no database takes", {"name": "A\x00B"}, {}, InvalidInput, 400, "nothing invisible"),
    ("half a character", {"name": "A\ud83d"}, {}, InvalidInput, 400, "nothing invisible"),
    ("a name with a line break", {"name": "A\nB"}, {}, InvalidInput, 400, "no line breaks"),
    ("blanks around the name", {"name": " Ada"}, {}, InvalidInput, 400, "no blanks"),
    ("no trigger word", {"trigger_word": ""}, {}, InvalidInput, 400, "one word"),
    ("two trigger words", {"trigger_word": "ada lo"}, {}, InvalidInput, 400, "one word"),
    ("a letter", {"trigger_word": "a"}, {}, InvalidInput, 400, "one word"),
    ("too long a word", {"trigger_word": "a" * 31}, {}, InvalidInput, 400, "one word"),
    ("a word of every prompt", {"trigger_word": "Woman"}, {}, InvalidInput, 400, "ordinary prompts"),
    ("a short request key", {"request_key": "1234567"}, {}, InvalidInput, 400, "request_key"),
    ("too much said", {"description": "d" * 2001}, {}, InvalidInput, 400, "description"),
    ("too few steps", {"steps": 99}, {}, InvalidInput, 400, "100 to 6,000"),
    ("too many steps", {"steps": 6001}, {}, InvalidInput, 400, "100 to 6,000"),
    ("too fast", {"learning_rate": Decimal("0.01")}, {}, InvalidInput, 400, "learning rate"),
    ("too high a rank", {"rank": 129}, {}, InvalidInput, 400, "rank"),
    (
        "a rank that it does not take",
        {"rank": 16},
        {"bounds": Bounds((4, 12), (1, 9000))},
        InvalidInput,
        400,
        "no rank",
    ),
    ("no trainer", {}, {"bounds": None, "missing": "FAL_KEY is not set."}, SettingsNeeded, 409, "FAL_KEY"),
    ("no test pictures", {}, {"pictures": False}, SettingsNeeded, 409, "FAL_KEY"),
    ("no hub", {"publish": True}, {"publisher": False}, SettingsNeeded, 409, "HUGGINGFACE_API_TOKEN"),
    ("a bad picture", {}, {"problems": ("1 image is too few.",)}, InvalidInput, 400, "too few"),
    ("too few pictures", {}, {"images": 3}, InvalidInput, 400, "at least 4"),
    ("too many pictures", {}, {"images": 13}, InvalidInput, 400, "at most 12"),
    ("the name is taken", {}, {"names": 1}, NameTaken, 409, "another name"),
    ("the month is used up", {}, {"used": 5}, QuotaExceeded, 429, "1 January"),
    ("and more than used up", {}, {"used": 9}, QuotaExceeded, 429, "9 of 5"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wish", "facts", "kind", "status", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_is_refused(
    wish: dict[str, Any], facts: dict[str, Any], kind: type[StudioOpsError], status: int, says: str
) -> None:
    with pytest.raises(kind, match=says) as refused:
        check_can_launch(replace(WISH, **wish), replace(FACTS, **facts), label="fal")
    assert refused.value.http_status == status


def test_four_used_leave_one() -> None:
    check_can_launch(WISH, replace(FACTS, used=4), label="fal")
