"""Streamlit's own way out, by its signed cookies: it ends sign-ins as ours does, or says that it cannot."""

import asyncio
import json
import random
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit import config
from streamlit.auth_util import set_cookie_with_chunks
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from core import access, database, settings, standing
from core.access import Action, Actor, Role
from core.errors import NotSignedIn
from core.staff import policy, service
from core.web import sign_in
from pages.components.leaving import LOGOUT, Leaving, login_of
from tests.database.ledger import sql

SECRET = "session-secret-of-the-tests-0123456789"
BOSS = Actor("person", "boss", "The boss", frozenset({Role.ADMIN}), "command")
# What does not fit into one cookie, however it is packed.
PICTURE = random.Random(7).randbytes(6_000).hex()
CLAIMS = {
    "iss": "https://login.studio.example",
    "sub": "bo",
    "email": "bo@studio.example",
    "email_verified": True,
    "name": "Bo",
}


async def streamlit(request: Request) -> Response:
    """As Streamlit: its cookie is cleared, and the provider's own way out opened."""
    if "late" in request.query_params:
        await asyncio.sleep(30)
    answer = RedirectResponse("https://login.studio.example/end", 302)
    answer.delete_cookie("_streamlit_user")
    return answer


@pytest.fixture
def client(_connected: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    for name, value in {
        "OIDC_METADATA_URL": "https://login.studio.example/x",
        "OIDC_CLIENT_ID": "studio-ops",
        "OIDC_CLIENT_SECRET": "client-secret-of-the-tests",
        "SESSION_SECRET": SECRET,
    }.items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    before = config.get_option("server.cookieSecret")
    config.set_option("server.cookieSecret", SECRET)
    sql("TRUNCATE staff_sessions, staff")
    standing.forget()
    service.add(BOSS, "bo@studio.example", "Bo", ["viewer"], database.now())
    app = Starlette(routes=[Route(LOGOUT, streamlit)], middleware=[Middleware(Leaving)])
    with TestClient(app, base_url="https://ops.example.com", follow_redirects=False) as found:
        yield found
    config.set_option("server.cookieSecret", before)
    settings.current.cache_clear()


def bo(nonce: str = "1") -> Actor:
    now = database.now()
    return service.enter(policy.identity_of({**CLAIMS, "nonce": nonce, "iat": now.timestamp()}), None, now)


def cookies(secret: str = SECRET, **more: Any) -> dict[str, str]:
    """The cookies of Bo's login, as Streamlit signs and cuts them."""
    kept: dict[str, str] = {}

    def signed(name: str, value: str) -> bytes:
        return create_signed_value(secret, name, value)

    def keep(name: str, value: str) -> None:
        kept[name] = signed(name, value).decode()

    said = {**CLAIMS, "nonce": "1", **more}
    set_cookie_with_chunks(keep, signed, "_streamlit_user", said, cookie_attr_size=100)
    return kept


def lines() -> list[Any]:
    return sql(
        "SELECT actor_id, after FROM audit_log WHERE action = 'staff.sign_out'"
        " AND at > (SELECT added_at FROM staff) ORDER BY id"
    )


def leave(client: TestClient, cookies: dict[str, str], site: str = "none", path: str = LOGOUT) -> Any:
    given = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return client.get(path, headers={"cookie": given, "sec-fetch-site": site})


@pytest.mark.parametrize("more", [{}, {"picture": PICTURE}], ids=["one cookie", "cut into pieces"])
def test_it_ends_every_sign_in_once(client: TestClient, more: dict[str, str]) -> None:
    here, elsewhere = bo(), bo("2")
    assert (len(cookies(**more)) > 1) is bool(more)
    for _ in range(2):
        answer = leave(client, cookies(**more))
        assert (answer.status_code, answer.headers["location"]) == (302, "https://login.studio.example/end")
        assert "_streamlit_user=" in answer.headers["set-cookie"]
    for one in (here, elsewhere):
        with pytest.raises(NotSignedIn, match="You have signed out"):
            access.check(one, Action.VIEW)
    assert [tuple(line) for line in lines()] == [("bo@studio.example", {"sign_ins_ended": 2})]


@pytest.mark.parametrize(
    "given",
    [
        {},
        cookies("another-secret-of-the-tests-0123456789"),
        {"_streamlit_user": "odd"},
        {"_streamlit_user": create_signed_value(SECRET, "_streamlit_user", "[1]").decode()},
        {"_streamlit_user": create_signed_value(SECRET, "_streamlit_user", "no JSON").decode()},
        {"_streamlit_user": create_signed_value(SECRET, "_streamlit_user", json.dumps({"sub": 1})).decode()},
        cookies(nonce="never begun"),
    ],
    ids=["none", "forged", "odd", "no object", "no JSON", "of nobody", "never begun"],
)
def test_a_login_that_is_none_ends_nothing(client: TestClient, given: dict[str, str]) -> None:
    here = bo()
    assert leave(client, given).status_code == 302
    assert access.check(here, Action.VIEW)
    assert lines() == []


def test_another_site_signs_nobody_out(client: TestClient) -> None:
    here = bo()
    for site in ("cross-site", "same-site"):
        answer = leave(client, cookies(), site)
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
        assert "set-cookie" not in answer.headers
    assert access.check(here, Action.VIEW)
    leave(client, cookies(), "same-origin")
    with pytest.raises(NotSignedIn):
        access.check(here, Action.VIEW)


def test_a_sign_in_that_cannot_be_ended_is_said_and_keeps_its_cookie(client: TestClient) -> None:
    bo()
    url = database.engine().url.render_as_string(hide_password=False)
    standing.forget()
    database.connect("postgresql://postgres:hunter2@127.0.0.1:1/nowhere")
    try:
        answer = leave(client, cookies())
    finally:
        database.connect(url)
    text = unescape(answer.text)
    assert (answer.status_code, "You could not be signed out" in text) == (503, True)
    assert "it still counts" in text
    assert f"<code>{answer.headers['x-request-id']}</code>" in text
    assert f'<a href="{LOGOUT}">Try again</a>' in answer.text
    assert "set-cookie" not in answer.headers
    assert "hunter2" not in text


def test_a_provider_that_keeps_the_way_out_waiting_holds_nobody_up(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bo()
    monkeypatch.setattr(sign_in, "PATIENCE_S", 0.05)
    answer = leave(client, cookies(), path=f"{LOGOUT}?late=1")
    assert (answer.status_code, answer.headers["location"]) == (302, "/")
    with pytest.raises(NotSignedIn):
        access.check(here, Action.VIEW)


def test_where_nobody_signs_in_it_is_streamlits_alone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = bo()
    for name in ("OIDC_METADATA_URL", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "SESSION_SECRET"):
        monkeypatch.delenv(name)
    settings.current.cache_clear()
    assert leave(client, cookies()).headers["location"] == "https://login.studio.example/end"
    assert access.check(here, Action.VIEW)


def test_what_a_cookie_says() -> None:
    config.set_option("server.cookieSecret", SECRET)
    assert login_of(cookies())["sub"] == "bo"
    assert login_of(cookies(picture=PICTURE))["picture"] == PICTURE
