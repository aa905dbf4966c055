"""Who a request comes from: keys in constant time, tokens by signature, audience and expiry."""

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from fastapi import Request

from core import settings
from core.errors import NotSignedIn
from core.web import auth

KEY, SECRET = "key-of-the-tests", "jwt-secret-of-the-tests-0123456789abcdef"


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPS_API_KEY", f"{KEY},older-key")
    monkeypatch.setenv("SUPABASE_JWT_SECRET", SECRET)
    settings.current.cache_clear()
    yield
    settings.current.cache_clear()


def request(**headers: str) -> Request:
    pairs = [(name.lower().replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs})


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    given = {"sub": "user-1", "aud": "authenticated", "exp": time.time() + 3600, **claims}
    return jwt.encode({name: value for name, value in given.items() if value is not None}, secret, algorithm)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"authorization": f"Bearer  {KEY} "},
        {"authorization": "Bearer older-key"},
        {"x_api_key": KEY},
        {"authorization": "Basic abc", "x_api_key": KEY},
    ],
)
def test_a_key(headers: dict[str, str]) -> None:
    actor = auth.actor_of(request(**headers))
    assert (actor.kind, actor.source) == ("key", "api")
    assert KEY not in actor.name


def test_keys_are_told_apart_by_a_hash() -> None:
    first = auth.actor_of(request(x_api_key=KEY))
    second = auth.actor_of(request(x_api_key="older-key"))
    assert first.name != second.name
    assert auth.actor_of(request(x_api_key=KEY)).name == first.name


def test_a_customers_token() -> None:
    actor = auth.actor_of(request(authorization=f"Bearer {token()}"))
    assert (actor.kind, actor.id, actor.roles) == ("customer", "user-1", frozenset())


def test_a_good_token_is_not_checked_again_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    given, checked = request(authorization=f"Bearer {token(exp=1_000_030)}"), []
    decode = jwt.decode

    def counted(*arguments: Any, **options: Any) -> Any:
        checked.append(arguments[0])
        return decode(*arguments, **options | {"options": {**options["options"], "verify_exp": False}})

    monkeypatch.setattr(jwt, "decode", counted)
    for now, times in ((1_000_000, 1), (1_000_029, 1), (1_000_031, 2)):
        monkeypatch.setattr(time, "time", lambda now=now: float(now))
        assert auth.actor_of(given).id == "user-1"
        assert len(checked) == times


def test_a_token_is_checked_anew_with_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = request(authorization=f"Bearer {token()}")
    assert auth.actor_of(given).id == "user-1"
    monkeypatch.setenv("SUPABASE_JWT_SECRET", SECRET[::-1])
    settings.current.cache_clear()
    with pytest.raises(NotSignedIn):
        auth.actor_of(given)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        pytest.param({}, "Send an API key", id="nothing"),
        pytest.param({"authorization": ""}, "Send an API key", id="empty"),
        pytest.param({"authorization": "Bearer"}, "Send an API key", id="no credential"),
        pytest.param({"authorization": f"Basic {KEY}"}, "Send an API key", id="another scheme"),
        pytest.param({"authorization": "Bearer " + "x" * 9000}, "Send an API key", id="endless"),
        pytest.param({"x_api_key": "wrong"}, "not known", id="a wrong key"),
        pytest.param({"x_api_key": KEY + "x"}, "not known", id="a longer key"),
        pytest.param({"x_api_key": f"{KEY},older-key"}, "not known", id="the whole setting"),
        pytest.param({"authorization": "Bearer a.b.c"}, "not valid", id="no token"),
        pytest.param({"authorization": f"Bearer {token(exp=1)}"}, "expired", id="expired"),
        pytest.param({"authorization": f"Bearer {token(exp=None)}"}, "not valid", id="no expiry"),
        pytest.param({"authorization": f"Bearer {token(sub=None)}"}, "not valid", id="no subject"),
        pytest.param({"authorization": f"Bearer {token(aud='anon')}"}, "not valid", id="audience"),
        pytest.param({"authorization": f"Bearer {token('x' * 40)}"}, "not valid", id="another secret"),
        pytest.param(
            {"authorization": f"Bearer {token(SECRET * 2, 'HS512')}"}, "not valid", id="another algorithm"
        ),
        pytest.param({"authorization": f"Bearer {token('', 'none')}"}, "not valid", id="unsigned"),
    ],
)
def test_nobody(headers: dict[str, str], says: str) -> None:
    with pytest.raises(NotSignedIn, match=says) as refused:
        auth.actor_of(request(**headers))
    assert KEY not in refused.value.message


def test_without_a_jwt_secret_no_token_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_JWT_SECRET")
    settings.current.cache_clear()
    with pytest.raises(NotSignedIn, match="not known"):
        auth.actor_of(request(authorization=f"Bearer {token()}"))


def test_without_keys_none_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPS_API_KEY")
    settings.current.cache_clear()
    for given in (KEY, ",", "None", "**********"):
        with pytest.raises(NotSignedIn):
            auth.actor_of(request(x_api_key=given))
