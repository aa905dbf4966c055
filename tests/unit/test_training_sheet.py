"""How many images are enough, which are doubtful, and which characters a job has: tables of pure rules."""

import json
import uuid
from typing import Any
from uuid import UUID

import pytest

from core.errors import InvalidInput
from core.providers.training import Bounds
from core.trainings.images import Verdict
from core.trainings.references import Character, group
from core.trainings.sheet import Composition, SheetImage, assess, composition

DRAFT = UUID("11111111-2222-4333-8444-555555555555")
FAL = Bounds(images=(4, 1000), steps=(1, 2))


def image(n: int, verdict: Verdict = Verdict.FITS, size: int = 1000, phash: str | None = None) -> SheetImage:
    digits = f"{(n * 0x9E3779B97F4A7C15) % 2**64:016x}" if phash is None else phash
    return SheetImage(n, "file", f"{n}.jpg", "jpg", 640, 640, size, "", digits, verdict, (), approved=True)


def sheet_of(count: int, bounds: Bounds | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = assess(DRAFT, [image(n) for n in range(1, count + 1)], bounds)
    assert found.ready is not bool(found.problems)
    return found.problems, found.advice


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (0, Composition(0, 6)),
        (3, Composition(3, 2)),
        (4, Composition(4, 1)),
        (5, Composition(5, 0)),
        (12, Composition(12, 0)),
    ],
)
def test_the_composition(own: int, expected: Composition) -> None:
    assert composition(own) == expected


@pytest.mark.parametrize(("own", "more"), [(1, 2), (2, 1)])
def test_too_few_to_fill_up(own: int, more: int) -> None:
    with pytest.raises(InvalidInput, match=f"a training takes 3 to 12. Add {more} more"):
        composition(own)


@pytest.mark.parametrize(
    ("count", "bounds", "problems", "advice"),
    [
        (0, None, ("There is no image yet: a training takes 3 to 12. Add 3 more.",), ()),
        (1, None, ("1 image is too few: a training takes 3 to 12. Add 2 more.",), ()),
        (2, None, ("2 images are too few: a training takes 3 to 12. Add 1 more.",), ()),
        (3, None, (), ("6 to 10 images give the best likeness.",)),
        (3, FAL, ("3 images are too few: a training takes 4 to 12. Add 1 more.",), ()),
        (4, FAL, (), ("6 to 10 images give the best likeness.",)),
        (6, None, (), ()),
        (10, FAL, (), ()),
        (12, None, (), ("6 to 10 images give the best likeness.",)),
        (13, None, ("13 images are too many: a training takes 3 to 12. Take 1 away.",), ()),
    ],
)
def test_the_count(
    count: int, bounds: Bounds | None, problems: tuple[str, ...], advice: tuple[str, ...]
) -> None:
    assert sheet_of(count, bounds) == (problems, advice)


def test_what_is_left_out_does_not_count_and_says_so() -> None:
    images = [image(n) for n in range(1, 7)] + [image(7, Verdict.REFUSED, phash="")]
    found = assess(DRAFT, images)
    assert found.ready
    assert found.advice == ("1 file is left out of the training, for the reason beside it.",)
    assert [one.n for one in found.used] == [1, 2, 3, 4, 5, 6]
    assert [one.word for one in found.images][-2:] == ["Fits", "Left out"]


def test_51_mb_are_too_many_and_the_largest_is_named() -> None:
    images = [image(n, size=9_000_000) for n in (1, 2, 3, 4)] + [image(9, size=15_500_000)]
    assert assess(DRAFT, images).ready
    found = assess(DRAFT, [*images, image(10, size=2_000_000)])
    assert found.bytes > 52_428_800
    assert "may have 52.4 MB. Take some away, the largest first (image 9 has 15.5 MB)" in found.problems[0]


def test_doubles_are_doubtful_but_stand_in_nobodys_way() -> None:
    images = [*(image(n) for n in range(1, 6)), image(6, phash=image(2).phash)]
    found = assess(DRAFT, images)
    assert found.ready
    assert (found.images[5].verdict, found.images[5].word) == (Verdict.WARNED, "Doubtful")
    assert found.images[5].reasons == (
        "It looks nearly the same as image 2; another pose or light teaches more.",
    )
    assert found.images[1].verdict is Verdict.FITS


# Character references.


def entries(**counts: int) -> list[dict[str, Any]]:
    return [
        {"character_id": name, "image_url": f"https://x.example/{name}/{n}.jpg", "variation": n}
        for name, count in counts.items()
        for n in range(count)
    ]


LISTED = entries(mara=3, tom=4)
RECORDS: list[tuple[str, dict[str, Any]]] = [
    ("a column of that name", {"id": "1", "character_references": LISTED}),
    ("within another column", {"reference_images": {"character_references": LISTED}, "status": "done"}),
    ("deep within", {"data": {"stages": [{"output": {"character_references": LISTED}}]}}),
    ("a column of JSON text", {"character_references": json.dumps(LISTED)}),
    ("text of a whole record", {"result": json.dumps({"character_references": LISTED})}),
    ("each twice", {"a": {"character_references": LISTED}, "b": {"character_references": LISTED}}),
    ("rubbish around", {"character_references": [None, 7, "x", {}, {"character_id": "mara"}, *LISTED]}),
]


@pytest.mark.parametrize("record", [pytest.param(record, id=name) for name, record in RECORDS])
def test_references_are_found_wherever_they_stand(record: dict[str, Any]) -> None:
    found = group(record)
    assert [(one.id, len(one.urls)) for one in found.characters] == [("mara", 3), ("tom", 4)]
    assert found.skipped == ()


@pytest.mark.parametrize(
    "record",
    [{}, {"character_references": None}, {"character_references": "{"}, {"character_references": {"a": 1}}],
)
def test_a_record_without_any_has_none(record: dict[str, Any]) -> None:
    assert group(record) == group({})


def test_a_character_with_too_few_is_skipped_with_a_sentence() -> None:
    found = group({"character_references": entries(mara=3, tom=2, una=1)})
    assert [one.id for one in found.characters] == ["mara"]
    assert [line.split(",")[0] for line in found.skipped] == [
        "tom is skipped: it has 2 images",
        "una is skipped: it has 1 image",
    ]
    assert all("Add images of it by hand" in line for line in found.skipped)


def test_one_lora_a_character_under_one_name_and_one_draft() -> None:
    mara, tom = Character("mara", ()), Character("tom", ())
    assert mara.lora_name("Heist") == "Heist · mara"
    assert len(mara.lora_name("x" * 300)) == 255
    assert mara.draft_id(DRAFT) == mara.draft_id(DRAFT) != tom.draft_id(DRAFT)
    assert mara.draft_id(uuid.uuid4()) != mara.draft_id(DRAFT)
