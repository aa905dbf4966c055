"""The API of LoRAs as its document promises it: to users alone, by page, once a key, and never a word of what
is private or hidden."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from core.web.lora_events import HUB
from tests.conftest import free_port
from tests.journeys.lora_users import ADA, LORAS, Configure, ids, lora
from tests.journeys.training_world import Trainings
from tests.journeys.users import JWT_SECRET, customer, is_error, token
from tests.journeys.world import World, until
from tests.unit.image_host import image_host

# Who may.

FOR_EVER = {"sub": ADA, "aud": "authenticated", "exp": 9e9}

NO_USER: list[tuple[str, str | None, int, str]] = [
    ("nothing", None, 401, "not_signed_in"),
    ("an API key", "ops-key-of-the-tests", 403, "not_allowed"),
    ("expired", token(ADA, exp=time.time() - 5), 401, "not_signed_in"),
    ("another audience", token(ADA, aud="anon"), 401, "not_signed_in"),
    ("another key", token(ADA, secret="another-secret-of-the-tests-0123456789"), 401, "not_signed_in"),
    ("no algorithm", jwt.encode(FOR_EVER, "", "none"), 401, "not_signed_in"),
    ("no uuid", token("ada"), 401, "not_signed_in"),
    ("no subject", token(ADA, sub=None), 401, "not_signed_in"),
]


@pytest.mark.parametrize(("name", "given", "status", "code"), NO_USER, ids=[one[0] for one in NO_USER])
@pytest.mark.parametrize("path", ["", f"/{ADA}", f"/{ADA}/status", f"/{ADA}/events"])
def test_only_users_are_answered(
    api: World, name: str, given: str | None, status: int, code: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {given}"} if given else {}
    url = f"{api.environment['PUBLIC_BASE_URL']}{LORAS}{path}"
    assert is_error(httpx.get(url, headers=headers), status, code), name


def test_a_token_signed_with_a_published_key(api: World, configure: Configure) -> None:
    private, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key()))
    published = {"keys": [{**key, "kid": "k1", "alg": "ES256", "use": "sig"}, {"kty": "odd"}]}
    with image_host() as host:
        url = host.gives("/jwks.json", json.dumps(published).encode(), "application/json")
        configure(SUPABASE_JWKS_URL=url, SUPABASE_JWT_SECRET=JWT_SECRET)
        claims = {"sub": ADA, "aud": "authenticated", "exp": time.time() + 60}

        def asked(signed: str) -> int:
            with customer(api, signed) as client:
                return client.get(LORAS).status_code

        assert asked(jwt.encode(claims, private, "ES256", headers={"kid": "k1"})) == 200
        assert asked(token(ADA)) == 200
        assert asked(jwt.encode(claims, stranger, "ES256", headers={"kid": "k1"})) == 401
        assert asked(jwt.encode(claims, private, "ES256", headers={"kid": "k2"})) == 401
        assert asked(jwt.encode(claims, private, "ES256")) == 401
        # The public key is public: nobody may sign with it as if it were a shared secret.
        assert asked(signed_by_hand({"alg": "HS256", "kid": "k1"}, claims, json.dumps(key))) == 401


def signed_by_hand(header: dict[str, str], claims: dict[str, Any], secret: str) -> str:
    """A token that PyJWT itself refuses to make."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    mac = hmac.digest(secret.encode(), b".".join(parts), "sha256")
    return b".".join((*parts, base64.urlsafe_b64encode(mac).rstrip(b"="))).decode()


def test_keys_that_cannot_be_had_are_no_refusal(api: World, configure: Configure) -> None:
    configure(SUPABASE_JWKS_URL=f"http://127.0.0.1:{free_port()}/jwks.json")
    key = ec.generate_private_key(ec.SECP256R1())
    claims = {"sub": ADA, "aud": "authenticated", "exp": time.time() + 60}
    with customer(api, jwt.encode(claims, key, "ES256", headers={"kid": "k1"})) as client:
        answer = client.get(LORAS)
    assert is_error(answer, 503, "busy")
    assert answer.headers["retry-after"] == "5"


# The list.


def test_a_list_tells_what_the_document_says(api: World, ada: httpx.Client) -> None:
    known = lora(api, name="Cyberpunk girl", description="Neon", usage_count=7)
    answer = ada.get(LORAS, params={"search": "cyber"})
    body = answer.json()
    assert (body["total"], body["total_is_exact"], body["total_text"]) == (1, True, "1")
    assert (body["limit"], body["offset"], body["next_cursor"]) == (50, 0, None)
    [one] = body["lora_models"]
    assert one["id"] == known
    assert (one["name"], one["description"], one["usage_count"]) == ("Cyberpunk girl", "Neon", 7)
    assert (one["training_status"], one["created_by"], one["created_by_id"]) == ("completed", "ada@x.de", ADA)
    schemas = api.web.get("/api/openapi.json").json()["components"]["schemas"]
    assert set(one) == set(schemas["LoraInList"]["properties"])


ODD_COLUMNS: list[dict[str, Any]] = [
    {},
    {
        "name": 'A "quoted" \\ name \u2028 \U0001f984 </script>',
        "description": "a\tb\nc\x01",
        "tags": ["s", "ü'"],
    },
    {"creator_name": "", "user_id": None, "trigger_word": "", "usage_count": None, "is_private": False},
    {
        "created_at": "2024-02-29 23:59:59.123456+02",
        "base_model": "FLUX.1",
        "huggingface_url": "https://h.co/a",
    },
]


@pytest.mark.parametrize("columns", ODD_COLUMNS)
def test_a_list_tells_of_a_lora_what_its_detail_tells(
    api: World, ada: httpx.Client, columns: dict[str, Any]
) -> None:
    known = lora(api, **columns)
    for stars, by in ((5, "user:a"), (4, "user:b"), (4, "user:c")):
        api.sql("INSERT INTO lora_ratings VALUES (%s, %s, %s, now())", known, by, stars)
    [one] = ada.get(LORAS).json()["lora_models"]
    detail = ada.get(f"{LORAS}/{known}").json()
    assert datetime.fromisoformat(one.pop("created_at")) == datetime.fromisoformat(detail["created_at"])
    assert one == {name: detail[name] for name in one}
    assert one["rating"] == {"average": pytest.approx(4.33, abs=0.01), "count": 3}


@pytest.mark.parametrize("made", ["infinity", "20000-01-01", "0044-03-15 BC"])
def test_a_time_that_no_calendar_of_ours_holds_breaks_no_list(
    api: World, ada: httpx.Client, made: str
) -> None:
    known = lora(api, created_at=made)
    [one] = ada.get(LORAS).json()["lora_models"]
    assert (one["id"], one["created_at"]) == (known, None)


def test_pages_by_cursor_and_by_offset_are_the_same(api: World, ada: httpx.Client) -> None:
    made = {lora(api) for _ in range(7)}
    by_cursor: list[str] = []
    cursor = None
    while True:
        answer = ada.get(LORAS, params={"limit": 3, "sort": "name", **({"cursor": cursor} if cursor else {})})
        by_cursor += ids(answer)
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
    by_offset = [
        one
        for offset in (0, 3, 6)
        for one in ids(ada.get(LORAS, params={"limit": 3, "sort": "name", "offset": offset}))
    ]
    assert by_cursor == by_offset
    assert set(by_cursor) == made
    assert ids(ada.get(LORAS, params={"offset": 9_000})) == []


BAD: list[tuple[dict[str, Any], str, str | None]] = [
    ({"limit": 0}, "invalid_input", "limit"),
    ({"limit": -1}, "invalid_input", "limit"),
    ({"limit": 101}, "invalid_input", "limit"),
    ({"limit": "ten"}, "invalid_input", "limit"),
    ({"offset": -1}, "invalid_input", "offset"),
    ({"offset": 10_001}, "offset_too_large", None),
    ({"cursor": "forged"}, "invalid_cursor", None),
    ({"cursor": "eyJhIjoxfQ"}, "invalid_cursor", None),
    ({"cursor": "x" * 3_000}, "invalid_input", "cursor"),
    ({"search": "x" * 10_240}, "invalid_input", "search"),
    ({"sort": "price"}, "invalid_input", "sort"),
    ({"status": "done"}, "invalid_input", "status"),
    ({"rating": 6}, "invalid_input", "rating"),
    ({"rating": "NaN"}, "invalid_input", "rating"),
    ({"since": "yesterday"}, "invalid_input", "since"),
    ({"since": "0001-01-01T00:00:00Z"}, "invalid_input", "since"),
    ({"published": "perhaps"}, "invalid_input", "published"),
]


@pytest.mark.parametrize(("query", "code", "field"), BAD, ids=[str(one[0])[:40] for one in BAD])
def test_what_cannot_be_asked(ada: httpx.Client, query: dict[str, Any], code: str, field: str | None) -> None:
    answer = ada.get(LORAS, params=query)
    assert is_error(answer, 400, code)
    assert answer.json()["error"].get("field") == field


ODD = ["'", '"', "%", "_", "\\", "🦄", "a' OR 1=1 --", ":*", "&|!()", "\u0000", "ü", "a" * 200]


@pytest.mark.parametrize("text", ODD)
def test_a_search_is_words_and_nothing_else(api: World, ada: httpx.Client, text: str) -> None:
    lora(api, name="Plain")
    answer = ada.get(LORAS, params={"search": text})
    assert ids(answer) == []


@pytest.mark.parametrize("path", ["no-id", "1", "%00", f"{ADA}x"])
def test_ids_that_are_none(ada: httpx.Client, path: str) -> None:
    for tail in ("", "/status", "/events"):
        assert is_error(ada.get(f"{LORAS}/{path}{tail}"), 400, "invalid_input")


# What others may not know.


@pytest.mark.parametrize("column", ["is_private", "hidden_at"])
def test_what_is_private_or_hidden_is_nowhere(
    api: World, ada: httpx.Client, bo: httpx.Client, column: str
) -> None:
    out_of_sight: dict[str, Any] = {column: True if column == "is_private" else "2026-01-01"}
    known = lora(api, name="Secret knight", **out_of_sight)
    shown = lora(api, name="Secret sea")
    for query in ({}, {"search": "secret"}, {"search": "knight"}, {"status": "completed"}, {"sort": "name"}):
        found = bo.get(LORAS, params=query)
        assert known not in ids(found)
        assert found.json()["total"] == (0 if query == {"search": "knight"} else 1)
    for tail in ("", "/status", "/events"):
        assert is_error(bo.get(f"{LORAS}/{known}{tail}"), 404, "not_found")
        assert bo.get(f"{LORAS}/{known}{tail}").json()["error"]["message"] == (f"There is no LoRA {known}.")
    assert set(ids(ada.get(LORAS))) == {known, shown}
    assert ada.get(f"{LORAS}/{known}").status_code == 200


def test_a_listener_hears_no_more_once_it_is_private(api: World, bo: httpx.Client) -> None:
    known = lora(api, training_status="training")
    with bo.stream("GET", f"{LORAS}/{known}/events") as answer:
        said = answer.iter_lines()
        assert any("training" in next(said) for _ in range(6))
        changed = "UPDATE lora_models SET is_private = true, training_status = 'completed' WHERE id = %s"
        api.sql(changed, known)
        assert "completed" not in "".join(said)


# Detail, status, events.


def test_an_unchanged_answer_is_not_sent_again(api: World, ada: httpx.Client) -> None:
    known = lora(api)
    for tail in ("", "/status"):
        first = ada.get(f"{LORAS}/{known}{tail}")
        tag = first.headers["etag"]
        for given in (tag, f'"x", W/{tag}', "*"):
            again = ada.get(f"{LORAS}/{known}{tail}", headers={"If-None-Match": given})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert ada.get(f"{LORAS}/{known}{tail}", headers={"If-None-Match": '"other"'}).status_code == 200
    before = ada.get(f"{LORAS}/{known}").headers["etag"]
    api.sql("UPDATE lora_models SET description = 'new' WHERE id = %s", known)
    assert ada.get(f"{LORAS}/{known}", headers={"If-None-Match": before}).status_code == 200


def test_a_detail_leads_to_the_file(api: World, trainings: Trainings, ada: httpx.Client) -> None:
    with trainings.tools.storage.upload("lora-models") as upload:
        upload.write(b"weights")
        upload.commit("a/real.safetensors", "application/octet-stream")
    known = lora(api, storage_path="a/real.safetensors")
    url = ada.get(f"{LORAS}/{known}").json()["storage_url"]
    assert httpx.get(url).content == b"weights"
    assert ada.get(f"{LORAS}/{lora(api, training_status='pending')}").json()["storage_url"] is None


def test_weights_that_wait_for_a_verdict_are_their_creators_alone(
    api: World, trainings: Trainings, ada: httpx.Client, bo: httpx.Client
) -> None:
    path = "ada/waits.safetensors"
    with trainings.tools.storage.upload("lora-models") as upload:
        upload.write(b"weights")
        upload.commit(path, "application/octet-stream")
    waits = lora(api, training_status="validating", storage_path=path)
    assert ada.get(f"{LORAS}/{waits}").json()["storage_url"]
    assert bo.get(f"{LORAS}/{waits}").json()["storage_url"] is None
    api.sql("UPDATE lora_models SET training_status = 'completed' WHERE id = %s", waits)
    assert bo.get(f"{LORAS}/{waits}").json()["storage_url"]


def test_a_status_tells_progress_and_time_left(api: World, ada: httpx.Client) -> None:
    known = lora(api, training_status="training")
    api.sql(
        "INSERT INTO lora_training_jobs (lora_model_id, user_id, training_progress, estimated_remaining)"
        " VALUES (%s, %s, 40, 600)",
        known,
        ADA,
    )
    assert ada.get(f"{LORAS}/{known}/status").json() == {
        "id": known,
        "training_status": "training",
        "progress": 40,
        "estimated_remaining": 600,
        "error": None,
    }


def events(answer: httpx.Response) -> Iterator[dict[str, str]]:
    """Events of a stream, as an EventSource reads them."""
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if not line:
            if "data" in found:
                yield found
            found = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            found[name] = value


def test_events_tell_each_change_and_go_on_after_a_dropped_connection(api: World, ada: httpx.Client) -> None:
    known = lora(api, training_status="pending")
    url = f"{LORAS}/{known}/events"
    with ada.stream("GET", url) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        first = next(events(answer))
        assert json.loads(first["data"])["training_status"] == "pending"
    with ada.stream("GET", url, headers={"Last-Event-ID": first["id"]}) as answer:
        said = events(answer)
        api.sql("UPDATE lora_models SET training_status = 'training' WHERE id = %s", known)
        second = next(said)
        assert json.loads(second["data"])["training_status"] == "training"
        assert second["id"] != first["id"]
    # While nobody listened it went on; what came between is not missed.
    api.sql("UPDATE lora_models SET training_status = 'failed' WHERE id = %s", known)
    with ada.stream("GET", url, headers={"Last-Event-ID": second["id"]}) as answer:
        heard = list(events(answer))
    assert [json.loads(one["data"])["training_status"] for one in heard] == ["failed"]
    again = ada.get(url, headers={"Last-Event-ID": heard[0]["id"]})
    assert (again.status_code, again.content) == (204, b"")


def test_many_listeners_are_one_question(api: World, ada: httpx.Client) -> None:
    known = [lora(api, training_status="training") for _ in range(3)]
    with httpx.Client(
        base_url=str(ada.base_url), headers=ada.headers, timeout=30, limits=httpx.Limits(max_connections=60)
    ) as client:
        open_ones = [client.stream("GET", f"{LORAS}/{known[n % 3]}/events") for n in range(30)]
        answers = [one.__enter__() for one in open_ones]
        streams = [events(answer) for answer in answers]
        assert {json.loads(next(said)["data"])["id"] for said in streams} == set(known)
        assert len(HUB) == 30
        asked = HUB.questions
        done = "UPDATE lora_models SET training_status = 'completed' WHERE id = ANY(%s::uuid[])"
        api.sql(done, known)
        assert all(json.loads(next(said)["data"])["progress"] == 100 for said in streams)
        assert HUB.questions - asked <= 3
        for one in open_ones:
            one.__exit__(None, None, None)
    until(lambda: len(HUB) == 0)


def test_each_user_has_a_pace_of_their_own(api: World, ada: httpx.Client, bo: httpx.Client) -> None:
    # However slowly they come: each takes more from the allowance than grows meanwhile.
    answers = (ada.get(f"{LORAS}/{ADA}/status") for _ in range(5_000))
    slow = next(one for one in answers if one.status_code == 429)
    assert is_error(slow, 429, "rate_limited")
    assert slow.headers["retry-after"] == "1"
    assert bo.get(LORAS).status_code == 200
