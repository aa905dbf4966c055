"""Rules of the library, as tables."""

import uuid
from decimal import Decimal

import pytest

from core.access import Actor, Role
from core.errors import Conflict, InvalidInput, NotAllowed
from core.loras import cursors, policy
from core.loras.models import InvalidCursor, Place, Search, Sort

OWN = uuid.UUID("a0000000-0000-4000-8000-000000000001")


def person(*roles: Role, key: str = "p1") -> Actor:
    return Actor("person", key, "Ada", frozenset(roles), "page")


CUSTOMER = Actor("customer", str(OWN), "c", frozenset(), "api")


@pytest.mark.parametrize(
    ("total", "library", "collected"),
    [
        pytest.param(10_001, 1_000_000, False, id="more than are counted"),
        pytest.param(10_000, 1_000_000, True, id="few of very many, which may all stand at the end"),
        pytest.param(4_000, 20_000, False, id="one in five: its order fills a page at once"),
        pytest.param(300, 20_000, True, id="few of some"),
        pytest.param(4_000, 0, True, id="nobody knows how many there are"),
        pytest.param(4_000, -1, True, id="never counted"),
        pytest.param(0, 20_000, True, id="none"),
    ],
)
def test_few_are_collected_and_many_read_in_their_order(total: int, library: int, collected: bool) -> None:
    assert policy.is_collected(total, library, 50) is collected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ada", ("ada",)),
        ("Ada  LIGHT", ("Ada", "LIGHT")),
        ("it's a 100% \\ _trap_", ("it", "s", "a", "100", "trap")),
        ("';DROP", ("DROP",)),
        ("%_", ()),
        ("", ()),
        ("\x00\ud800", ()),
        ("é日本", ("é日本",)),
        ("a b c d e f g h i j", tuple("abcdefgh")),
        ("x" * 500, ("x" * 60,)),
    ],
)
def test_the_words_of_a_search(text: str, words: tuple[str, ...]) -> None:
    assert policy.words_of(text) == words


@pytest.mark.parametrize(
    ("words", "known", "query"),
    [
        ((), {}, None),
        (("ada",), {}, "'ada':*"),
        (("ada",), {"ada": ["ada", "adam"]}, "('ada' | 'adam')"),
        (("ada", "li"), {"ada": ["ada"], "li": [str(n) for n in range(21)]}, "('ada') & 'li':*"),
        (("o",), {"o": ["o'x", "o\\y"]}, "('o''x' | 'o\\\\y')"),
    ],
)
def test_what_postgres_is_asked(
    words: tuple[str, ...], known: dict[str, list[str]], query: str | None
) -> None:
    assert policy.query_of(words, known) == query


def test_a_creators_name_is_no_pattern() -> None:
    assert policy.prefix_pattern("a%b_c\\") == "a\\%b\\_c\\\\%"


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Search(text="x" * 201), "search"),
        (Search(creator="x" * 201), "creator"),
        (Search(tag="x" * 201), "tag"),
        (Search(status="done"), "status"),
        (Search(rating=Decimal(0)), "rating"),
        (Search(rating=Decimal(6)), "rating"),
    ],
)
def test_a_search_that_cannot_be_asked_names_its_field(wanted: Search, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy.check_search(wanted)
    assert refused.value.field == field


def test_a_tag_is_looked_for_as_it_is_kept() -> None:
    assert policy.check_search(Search(tag=" Portrait ")).tag == "portrait"


def test_an_order_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(InvalidInput, match="popular, recent, name, rating, least_used"):
        policy.sort_of("price")


def test_tags_are_tidied() -> None:
    assert policy.tidy_tags([" Portrait", "portrait ", "", "Sea"]) == ("portrait", "sea")


@pytest.mark.parametrize("tags", [[str(n) for n in range(21)], ["x" * 41]])
def test_too_many_or_too_long_tags(tags: list[str]) -> None:
    with pytest.raises(InvalidInput, match="at most"):
        policy.tidy_tags(tags)


@pytest.mark.parametrize("stars", [0, 6, -1, True, 2.5, "3"])
def test_what_is_no_rating(stars: object) -> None:
    with pytest.raises(InvalidInput, match="1 to 5 stars"):
        policy.check_stars(stars)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("actor", "owner", "edits", "restricts"),
    [
        (person(Role.VIEWER), False, False, False),
        (person(Role.VIEWER), True, True, True),
        (person(Role.SUPPORT), False, False, False),
        (person(Role.PRODUCT), False, True, False),
        (person(Role.OPERATIONS), False, True, True),
        (person(Role.ADMIN), False, True, True),
        (CUSTOMER, False, False, False),
        (CUSTOMER, True, True, True),
    ],
)
def test_who_changes_a_lora(actor: Actor, owner: bool, edits: bool, restricts: bool) -> None:
    assert (policy.why_not_edit(actor, owner) is None) is edits
    assert (policy.why_not_restrict(actor, owner) is None) is restricts
    if not edits:
        with pytest.raises(NotAllowed, match="Only its creator"):
            policy.check(policy.why_not_edit(actor, owner))


@pytest.mark.parametrize(
    ("actor", "sees_all", "key"),
    [
        (person(Role.VIEWER), False, "staff:p1"),
        (person(Role.PRODUCT), False, "staff:p1"),
        (person(Role.OPERATIONS), True, "staff:p1"),
        (CUSTOMER, False, f"user:{OWN}"),
    ],
)
def test_who_sees_what(actor: Actor, sees_all: bool, key: str) -> None:
    sight = policy.sight_of(actor)
    assert (sight.sees_all, sight.viewer_key) == (sees_all, key)
    assert sight.owns(None, key)
    assert not sight.owns(None, None)
    assert sight.owns(OWN, None) is (actor is CUSTOMER)


@pytest.mark.parametrize(
    ("status", "hidden", "archived", "says"),
    [
        ("training", False, False, "once it is completed"),
        ("completed", True, False, "hidden"),
        ("completed", False, True, "archived"),
    ],
)
def test_what_cannot_be_used(status: str, hidden: bool, archived: bool, says: str) -> None:
    with pytest.raises(Conflict, match=says):
        policy.check_usable("Ada", status, hidden=hidden, archived=archived)


def test_a_month_of_storage() -> None:
    assert policy.monthly_cost(500_000_000, Decimal("0.021")) == Decimal("0.0105")
    assert policy.monthly_cost(None, Decimal("0.021")) == 0


PLACES = {
    Sort.POPULAR: "12",
    Sort.LEAST_USED: "0",
    Sort.RATING: "3.33333",
    Sort.NAME: "ada “the” 日本",
    Sort.RECENT: "2026-11-20T10:00:00.123456+00:00",
}


@pytest.mark.parametrize("sort", Sort)
def test_a_cursor_comes_back_as_the_place_it_was(sort: Sort) -> None:
    wanted = Search(text="ada", sort=sort)
    place = Place(PLACES[sort], uuid.uuid4())
    assert cursors.place_of(cursors.cursor_of(place, wanted), wanted) == place


@pytest.mark.parametrize("sort", Sort)
def test_a_cursor_is_good_for_its_own_list_alone(sort: Sort) -> None:
    wanted = Search(sort=sort)
    given = cursors.cursor_of(Place(PLACES[sort], uuid.uuid4()), wanted)
    with pytest.raises(InvalidCursor, match="other filters"):
        cursors.place_of(given, Search(sort=sort, status="failed"))
    with pytest.raises(InvalidCursor):
        cursors.place_of(given[:-4] + "AAAA", wanted)


@pytest.mark.parametrize(
    "cursor", ["x", "", "AAAA", "é", "!!", "x" * 3000, "bm90IGpzb24", "eyJhIjogMX0", "\x00", "W1tbW1tb" * 200]
)
def test_a_forged_cursor(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.place_of(cursor, Search())
