"""How many images are enough, which are doubtful, and which characters a job has: tables of pure rules."""

import json
import uuid
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from core.errors import InvalidInput
from core.providers.training import Bounds
from core.trainings.images import Verdict
from core.trainings.references import Character, group
from core.trainings.sheet import (
    Composition,
    Sheet,
    SheetImage,
    assess,
    composition,
    to_generate,
    wants_filling_up,
)

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


# Generated images.


def generated(n: int, *, approved: bool = True) -> SheetImage:
    return replace(image(n), source="generated", approved=approved)


def mixed(own: int, approved: int = 0, waiting: int = 0, *, drawn: int = 0) -> Sheet:
    images = [image(n) for n in range(own)]
    images += [generated(20 + n) for n in range(approved)]
    images += [generated(30 + n, approved=False) for n in range(waiting)]
    return assess(DRAFT, images, drawn=drawn)


@pytest.mark.parametrize(
    ("own", "approved", "waiting", "more"),
    [
        (0, 0, 0, 6),
        (0, 2, 3, 1),
        (0, 6, 0, 0),
        (3, 0, 0, 2),
        (3, 1, 0, 1),
        (3, 0, 2, 0),
        (4, 0, 0, 1),
        (4, 1, 0, 0),
        (5, 0, 0, 0),
        (7, 2, 0, 0),
    ],
)
def test_how_many_are_still_to_be_generated(own: int, approved: int, waiting: int, more: int) -> None:
    assert to_generate(mixed(own, approved, waiting)) == more


@pytest.mark.parametrize(
    ("own", "approved", "waiting", "drawn", "problem"),
    [
        (3, 2, 0, 0, None),
        (4, 1, 0, 0, None),
        (0, 6, 0, 0, None),
        (3, 0, 0, 0, None),  # the rule of composition is the launch's, for those who ask for it
        (3, 0, 1, 0, "1 generated image waits for your word. Approve it, or throw it away."),
        (3, 0, 2, 0, "2 generated images wait for your word. Approve each, or throw it away."),
        (4, 0, 0, 1, "1 image is still being generated. Wait for it, then approve it or throw it away."),
        (
            0,
            0,
            0,
            6,
            "6 images are still being generated. Wait for them, then approve each or throw it away.",
        ),
        (5, 1, 0, 0, "5 images of your own are enough, and stand alone. Throw the generated ones away."),
        (
            1,
            6,
            0,
            0,
            "1 image of your own is too few beside generated ones. Add 2 more, or take your own away.",
        ),
        (2, 6, 0, 0, "2 images of your own are too few beside generated ones. Add 1 more, or take your own"),
    ],
)
def test_generated_images_beside_ones_own(
    own: int, approved: int, waiting: int, drawn: int, problem: str | None
) -> None:
    found = mixed(own, approved, waiting, drawn=drawn).problems
    assert (found == ()) if problem is None else (len(found) == 1 and found[0].startswith(problem))


@pytest.mark.parametrize(
    ("own", "approved", "sentence"),
    [
        (0, 6, None),
        (3, 0, "3 images of your own are filled up with 2 generated ones. Generate them"),
        (3, 1, None),
        (4, 0, "4 images of your own are filled up with 1 generated one. Generate it"),
        (5, 0, None),
    ],
)
def test_when_ones_own_do_not_stand_alone(own: int, approved: int, sentence: str | None) -> None:
    found = wants_filling_up(mixed(own, approved))
    assert found is None if sentence is None else str(found).startswith(sentence)


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


@pytest.mark.parametrize(
    ("character", "word", "n", "expected"),
    [
        ("mara", "heist", 1, "heist_mara"),
        ("Mara Lind", "heist", 1, "heist_mara_lind"),
        ("char-1", "heist", 1, "heist_char_1"),
        ("марта", "heist", 2, "heist_2"),
        ("mara", "a" * 30, 1, f"{'a' * 25}_mara"),
        ("mara", "", 1, ""),
    ],
)
def test_each_character_has_a_trigger_word_of_its_own(
    character: str, word: str, n: int, expected: str
) -> None:
    assert Character(character, ()).trigger_word(word, n) == expected
    assert len(expected) <= 30
