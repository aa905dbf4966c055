"""What a pasted text may name."""

from uuid import UUID

import pytest

from core.diagnosis import places
from core.errors import InvalidInput
from core.storage.own_path import within_bucket

ONE, OTHER = "11111111-2222-4333-8444-555555555555", "aaaaaaaa-2222-4333-8444-555555555555"
HEX = ONE.replace("-", "")


@pytest.mark.parametrize(
    ("pasted", "text", "ids"),
    [
        (ONE, ONE, [ONE]),
        (f'  "{ONE}",\n', ONE, [ONE]),
        (HEX, HEX, [ONE]),
        (f"{ONE}, {OTHER} {ONE}", f"{ONE}, {OTHER} {ONE}", [ONE, OTHER]),
        ("https://cdn.example.com/a,b;c.png", None, []),
        ("task_0123", "task_0123", []),
        (f"/files/generations/{OTHER}/image/{ONE}_17.jpg?sig=x", None, [ONE]),
        (f"https://x.supabase.co/storage/v1/object/public/generations/u/image/{ONE}_1.png", None, [ONE]),
        ("https://tempfile.aiquickdraw.com/f/abc.png", None, []),
        ("http://[broken/x", None, []),
    ],
)
def test_ids_and_addresses(pasted: str, text: str | None, ids: list[str]) -> None:
    wanted = places.read(pasted)
    assert wanted is not None
    assert wanted.ids == tuple(UUID(one) for one in ids)
    assert wanted.is_address is (text is None)
    assert text in {None, wanted.text}


@pytest.mark.parametrize("pasted", ["", "   ", '""', "<>", "\n"])
def test_nothing_at_all(pasted: str) -> None:
    assert places.read(pasted) is None


@pytest.mark.parametrize(
    ("pasted", "sentence"),
    [
        ("x" * 10_000, "a text of 10,000 characters"),
        ("where is my picture", "several words"),
        (f"{ONE} task_1", "several words"),
        ("task\x00_1", "control characters"),
        ("task\u202e1", "control characters"),
        ("<b>task</b>", "No"),
        ("a' OR 1=1 --", "several words"),
        ("task_é", "no id and no address"),
        ("t" * 201, "no id and no address"),
    ],
)
def test_what_can_be_nothing_is_refused_with_a_sentence(pasted: str, sentence: str) -> None:
    if pasted.startswith("<b>"):
        wanted = places.read(pasted)
        assert wanted is not None
        assert wanted.is_address
        return
    with pytest.raises(InvalidInput, match=sentence):
        places.read(pasted)


def test_the_forms_of_an_address() -> None:
    base = "http://127.0.0.1:8501"
    forms = places.addresses(f"{base}/files/generations/a.jpg?sig=s", base)
    assert "/files/generations/a.jpg?sig=s" in forms
    elsewhere = places.addresses("https://ops.example.com/files/generations/a.jpg?sig=s", base)
    assert "/files/generations/a.jpg?sig=s" in elsewhere
    assert (
        places.addresses("https://cdn.example.com/a.png?token=1", base)[-1] == "https://cdn.example.com/a.png"
    )


def test_the_places_that_an_address_may_stand_for() -> None:
    supabase = "https://x.supabase.co/storage/v1/object/sign/generations/u/image/a%20b.png?token=t"
    assert within_bucket(supabase, "generations") == "u/image/a b.png"
    assert places.paths_of(supabase, "generations")[0] == "u/image/a b.png"
    assert "u/image/a.png" in places.paths_of("https://cdn.example.com/x/u/image/a.png", "generations")
    assert len(places.paths_of("https://h/" + "a/" * 500, "generations")) <= 8
    assert within_bucket("https://h/a.png", "generations") is None
