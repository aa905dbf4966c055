"""Signed links: what a changed part, a moved expiry or a guess is worth."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from core.errors import InvalidInput
from core.storage.links import LinkState, check_link, link

KEY = b"a-signing-key-for-tests"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PATH = "user-1/image/gen-1_1763651170000.jpg"


def parts(url: str) -> tuple[str, str, str, str | None]:
    """bucket, path, signature and expiry of a link, as a server takes it apart."""
    split = urlsplit(url)
    _, files, bucket, path = unquote(split.path).split("/", 3)
    assert files == "files"
    query = parse_qs(split.query)
    return bucket, path, query["sig"][0], query.get("exp", [None])[0]


def state(url: str, now: datetime = NOW, key: bytes = KEY) -> LinkState:
    return check_link(key, *parts(url), now)


def test_a_permanent_link_is_relative_and_never_expires() -> None:
    url = link(KEY, "generations", PATH)
    assert url.startswith(f"/files/generations/{PATH}?sig=")
    assert "exp" not in url
    assert state(url) is LinkState.GOOD
    assert state(url, NOW + timedelta(days=36_500)) is LinkState.GOOD
    assert link(KEY, "generations", PATH) == url


def test_an_expiring_link() -> None:
    url = link(KEY, "generations", PATH, NOW + timedelta(minutes=5))
    assert state(url) is LinkState.GOOD
    assert state(url, NOW + timedelta(minutes=4, seconds=59)) is LinkState.GOOD
    assert state(url, NOW + timedelta(minutes=5)) is LinkState.EXPIRED


def test_every_character_of_a_key_survives_the_link() -> None:
    path = "a b/(c)'d'!*$@=;:+,?&.png"
    url = link(KEY, "generations", path)
    assert parts(url)[1] == path
    assert state(url) is LinkState.GOOD


def test_a_changed_part_makes_a_forgery() -> None:
    bucket, path, signature, _ = parts(link(KEY, "generations", PATH))
    for forged in [
        ("lora-models", path, signature, None),
        (bucket, path + "x", signature, None),
        (bucket, path.upper(), signature, None),
        (bucket, "../" + path, signature, None),
        (bucket + "/user-1", path.removeprefix("user-1/"), signature, None),
        (bucket, path, signature[:-1], None),
        (bucket, path, signature + "=", None),
        (bucket, path, "", None),
        (bucket, path, "\ud800é", None),
        (bucket, path, signature, "9999999999"),
        (bucket, path, signature, "forever"),
        (bucket, path, signature, ""),
        (bucket, path, signature, "٩"),
        (bucket, path + "\nforever", signature, None),
        ("generations\n" + path, "forever", signature, None),
    ]:
        assert check_link(KEY, *forged, NOW) is LinkState.FORGED


def test_an_expiring_link_cannot_be_made_longer_or_permanent() -> None:
    bucket, path, signature, expires = parts(link(KEY, "generations", PATH, NOW))
    assert expires is not None
    for changed in (None, str(int(expires) + 1), "0" + expires, expires + "0"):
        assert check_link(KEY, bucket, path, signature, changed, NOW) is LinkState.FORGED


def test_another_key_signs_nothing_of_ours() -> None:
    assert state(link(b"another", "generations", PATH)) is LinkState.FORGED


@pytest.mark.parametrize("path", ["", "../x", "a//b", "/a"])
def test_no_link_is_made_to_a_path_that_cannot_be(path: str) -> None:
    with pytest.raises(InvalidInput):
        link(KEY, "generations", path)


def test_a_link_of_a_sign_in_is_no_other_link() -> None:
    bound = link(KEY, "generations", PATH, NOW + timedelta(minutes=5), "one")
    bucket, path, signature, expires = parts(bound)
    assert bound.endswith("&session=one")

    def with_session(session: str | None) -> LinkState:
        return check_link(KEY, bucket, path, signature, expires, NOW, session)

    assert with_session("one") is LinkState.GOOD
    assert {with_session(other) for other in (None, "", "two", "one\n", "one ")} == {LinkState.FORGED}
    assert state(link(KEY, "generations", PATH, NOW + timedelta(minutes=5))) is LinkState.GOOD
    longer = check_link(KEY, bucket, f"{path}\n{expires}", signature, "session one", NOW)
    assert longer is LinkState.FORGED
