"""Who may call what, the one shape of errors, and what the product says of its own health."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from core.work import runs
from tests.journeys.conftest import OPS_KEY
from tests.journeys.users import JWT_SECRET, caller, customer, is_error, token
from tests.journeys.world import World

CREATE = {"model": "flux-2/pro-text-to-image", "input": {"prompt": "a lighthouse"}}

Call = Callable[[httpx.Client], httpx.Response]
CALLS: dict[str, Call] = {
    "create": lambda web: web.post("/api/kie/createTask", json=CREATE),
    "sync": lambda web: web.get("/api/kie/sync", params={"taskId": "task_1"}),
    "debug": lambda web: web.get("/api/debug/kie"),
    "debug of one": lambda web: web.get("/api/debug/kie", params={"taskId": "task_1"}),
    "deep health": lambda web: web.get("/api/health", params={"deep": "1"}),
    "plans": lambda web: web.get("/api/plans"),
    "a new plan": lambda web: web.post("/api/plans", json={"state": "failed"}),
    "metrics": lambda web: web.get("/metrics"),
    "image proxy": lambda web: web.get("/api/image-proxy", params={"url": "https://example.com/a.jpg"}),
}


NOBODY: list[tuple[str, dict[str, str]]] = [
    ("nothing", {}),
    ("an empty bearer", {"Authorization": "Bearer"}),
    ("another scheme", {"Authorization": f"Basic {OPS_KEY}"}),
    ("a wrong key", {"Authorization": "Bearer wrong-key"}),
    ("a key cut short", {"Authorization": f"Bearer {OPS_KEY[:-1]}"}),
    ("a wrong key in the other header", {"X-API-Key": "wrong-key"}),
    ("an endless key", {"Authorization": "Bearer " + "x" * 9_000}),
    ("a token when no secret is set", {"Authorization": f"Bearer {token('somebody')}"}),
]


@pytest.mark.parametrize("name", CALLS)
def test_without_a_good_credential_every_call_is_401(world: World, name: str) -> None:
    for reason, headers in NOBODY:
        with caller(world, **headers) as web:
            assert is_error(CALLS[name](web), 401, "not_signed_in"), reason
    assert world.sql("SELECT 1 FROM generations") == []
    assert world.calls("create") == []


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_a_key_opens_in_either_header_and_either_of_two_keys(
    world: World, configure: Callable[..., None], header: str
) -> None:
    configure(OPS_API_KEY="new-key-of-the-tests, old-key-of-the-tests")
    for key in ("new-key-of-the-tests", "old-key-of-the-tests"):
        value = f"Bearer {key}" if header == "Authorization" else key
        with caller(world, **{header: value}) as web:
            assert web.get("/api/debug/kie").status_code == 200
    with caller(world, Authorization=f"Bearer {OPS_KEY}") as web:
        assert is_error(web.get("/api/debug/kie"), 401, "not_signed_in")


def test_without_any_key_configured_nobody_is_let_in(world: World, configure: Callable[..., None]) -> None:
    configure(OPS_API_KEY="")
    for headers in ({"X-API-Key": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer ,"}):
        with caller(world, **headers) as web:
            assert is_error(web.get("/api/debug/kie"), 401, "not_signed_in")


def owned(world: World) -> tuple[str, str]:
    """A user and the task of a generation of theirs."""
    [(who,)] = world.sql(
        "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), %s) RETURNING id::text",
        f"{uuid.uuid4().hex}@example.com",
    )
    return who, world.create("owned", userId=who)["taskId"]


def test_a_customer_syncs_their_own_task_and_no_other(world: World, configure: Callable[..., None]) -> None:
    who, task = owned(world)
    other, others_task = owned(world)
    world.finished_at_kie(task)
    configure(SUPABASE_JWT_SECRET=JWT_SECRET)
    with customer(world, token(who)) as web:
        mine = web.get("/api/kie/sync", params={"taskId": task})
        assert (mine.status_code, mine.json()["status"]) == (200, "success")
        assert web.get(mine.json()["assetUrl"]).status_code == 200
        assert is_error(web.get("/api/kie/sync", params={"taskId": others_task}), 404, "not_found")
        theirs = web.get("/api/kie/sync", params={"taskId": others_task}).json()["error"]["message"]
        unknown = web.get("/api/kie/sync", params={"taskId": "task_unknown"})
        assert is_error(unknown, 404, "not_found")
        assert unknown.json()["error"]["message"] == theirs
        own_id = mine.json()["generationId"]
        assert web.get("/api/kie/sync", params={"taskId": own_id}).json()["taskId"] == task
    with customer(world, token(other)) as web:
        assert is_error(web.get("/api/kie/sync", params={"taskId": task}), 404, "not_found")
        assert is_error(web.get("/api/kie/sync", params={"taskId": own_id}), 404, "not_found")
    assert world.row(world.web.get("/api/kie/sync", params={"taskId": others_task}).json()["generationId"])


def test_a_customer_may_neither_create_nor_debug(world: World, configure: Callable[..., None]) -> None:
    who, task = owned(world)
    configure(SUPABASE_JWT_SECRET=JWT_SECRET)
    before = len(world.calls("create"))
    with customer(world, token(who)) as web:
        assert is_error(CALLS["create"](web), 403, "not_allowed")
        assert is_error(web.get("/api/debug/kie"), 403, "not_allowed")
        assert is_error(web.get("/api/debug/kie", params={"taskId": task}), 403, "not_allowed")
        assert is_error(CALLS["deep health"](web), 401, "not_signed_in")
    assert len(world.calls("create")) == before


def test_a_token_that_proves_nothing_is_401(world: World, configure: Callable[..., None]) -> None:
    who, task = owned(world)
    configure(SUPABASE_JWT_SECRET=JWT_SECRET)
    unsigned = jwt.encode({"sub": who, "aud": "authenticated", "exp": time.time() + 600}, "", "none")
    bad = {
        "another secret": token(who, "another-secret-of-the-tests-0123456789"),
        "expired": token(who, exp=time.time() - 60),
        "no expiry": token(who, exp=None),
        "another audience": token(who, aud="anon"),
        "no audience": token(who, aud=None),
        "no subject": token(who, sub=None),
        "not before tomorrow": token(who, nbf=time.time() + 86_400),
        "unsigned": unsigned,
        "changed": token(who)[:-2] + "AA",
        "no token": "a.b.c",
    }
    for reason, bearer in bad.items():
        with customer(world, bearer) as web:
            answer = web.get("/api/kie/sync", params={"taskId": task})
            assert is_error(answer, 401, "not_signed_in"), reason
            assert bearer not in answer.text


def test_a_customer_who_asks_every_moment_does_not_use_up_kies_limit(
    world: World, configure: Callable[..., None]
) -> None:
    """Customers' browsers poll sync: what was read a moment ago is answered from the row."""
    who, _ = owned(world)
    task = world.create("polled [[fault:stuck]]", userId=who)["taskId"]
    configure(SUPABASE_JWT_SECRET=JWT_SECRET)
    with customer(world, token(who)) as web:
        answers = [web.get("/api/kie/sync", params={"taskId": task}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len(world.calls("read", task=task)) == 1
    audit = "SELECT 1 FROM audit_log WHERE action = 'generation.sync' AND object_id = %s"
    assert world.sql(audit, answers[0].json()["generationId"]) == []


# The shape of answers.


def test_what_is_not_there_and_not_offered_is_an_error_of_the_one_shape(world: World) -> None:
    assert is_error(world.web.get("/api/nothing"), 404, "not_found")
    assert is_error(world.web.get("/api/kie"), 404, "not_found")
    assert is_error(world.web.get("/api/kie/createTask"), 405, "method_not_allowed")
    assert is_error(world.web.delete("/api/kie/sync"), 405, "method_not_allowed")
    for answer in (world.web.get("/api/nothing"), world.web.post("/api/health")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_api_describes_itself(world: World) -> None:
    described = httpx.get(f"{world.environment['PUBLIC_BASE_URL']}/api/openapi.json").json()
    assert set(described["paths"]) == {
        "/health",
        "/kie/createTask",
        "/kie/callback",
        "/kie/images/callback",
        "/kie/sync",
        "/debug/kie",
        "/audit.csv",
        "/deliveries.csv",
        "/ledger.csv",
        "/storage.csv",
        "/plan-items.csv",
        "/plans",
        "/plans/{plan_id}",
        "/plans/{plan_id}/start",
        "/plans/{plan_id}/pause",
        "/plans/{plan_id}/resume",
        "/plans/{plan_id}/abort",
        "/image-proxy",
        "/fal/webhook",
        "/replicate/webhook",
        "/trainings/{call_id}/progress",
        "/trainings/{call_id}/weights",
        "/v1/lora-models",
        "/v1/lora-models/{lora_id}",
        "/v1/lora-models/{lora_id}/status",
        "/v1/lora-models/{lora_id}/events",
    }
    assert described["servers"] == [{"url": "/api"}]


# Health.


def test_anyone_may_ask_whether_it_lives(world: World) -> None:
    answer = httpx.get(f"{world.environment['PUBLIC_BASE_URL']}/api/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def beats(world: World, role: str, age: timedelta) -> None:
    runs.beat(uuid.uuid4(), role, datetime.now(UTC) - age)


def test_a_deep_look_tells_each_part_and_is_503_without_a_worker(world: World) -> None:
    def look() -> tuple[int, Any]:
        answer = world.web.get("/api/health", params={"deep": "1"})
        return answer.status_code, answer.json()

    status, told = look()
    assert (status, told["status"], set(told["parts"])) == (
        503,
        "degraded",
        {"database", "storage", "clock", "worker"},
    )
    assert told["parts"]["worker"] == {"ok": False, "lag_s": None, "waiting_jobs": 0}
    beats(world, "clock", timedelta())
    beats(world, "worker", timedelta())
    status, told = look()
    assert (status, told["status"]) == (200, "ok")
    assert told["parts"]["worker"]["lag_s"] < 10
    world.sql("UPDATE process_heartbeats SET beat_at = now() - interval '5 min' WHERE role = 'worker'")
    status, told = look()
    assert (status, told["parts"]["worker"]["ok"], told["parts"]["clock"]["ok"]) == (503, False, True)
    assert told["parts"]["worker"]["lag_s"] > 290


def test_a_deep_look_counts_the_jobs_that_wait(world: World) -> None:
    one = world.create("waits")["generationId"]
    world.callback(one, {"data": {"taskId": world.row(one).task_id, "state": "generating"}})
    told = world.web.get("/api/health", params={"deep": "1"}).json()
    assert told["parts"]["worker"]["waiting_jobs"] >= 1


# Sync.


def test_sync_brings_a_task_up_to_date_now(world: World) -> None:
    made = world.create("now [[fault:callback_lost]]")
    world.finished_at_kie(made["taskId"])
    answer = world.web.get("/api/kie/sync", params={"taskId": made["taskId"]})
    told = answer.json()
    assert (answer.status_code, told["status"], told["deliveryState"]) == (200, "success", "delivered")
    assert told["assetUrl"] == told["url"]
    assert httpx.get(told["assetUrl"]).headers["cache-control"] == "public, max-age=31536000, immutable"
    again = world.web.get("/api/kie/sync", params={"taskId": made["taskId"]})
    assert (again.status_code, again.json()) == (200, told)
    assert world.events(made["generationId"]).count("sync_requested") == 1


def test_sync_while_another_attempt_is_under_way_is_409_with_the_reason(world: World) -> None:
    made = world.create()
    world.sql(
        "UPDATE generations SET lease_until = now() + interval '40 s' WHERE id = %s", made["generationId"]
    )
    answer = world.web.get("/api/kie/sync", params={"taskId": made["taskId"]})
    assert is_error(answer, 409, "conflict")
    assert "Another attempt is working on it now" in answer.json()["error"]["message"]
    assert world.calls("read") == []


def test_sync_takes_the_first_place_under_the_limit(world: World) -> None:
    """While the line for polls is full, a person still gets through."""
    made = world.create("first")
    world.finished_at_kie(made["taskId"])
    world.sql(
        "UPDATE provider_limits SET per_second = 9.5, next_free_at = now() + interval '2 s'"
        " WHERE key = 'kie:read'"
    )
    world.due(made["generationId"])
    assert world.poll() == 0
    answer = world.web.get("/api/kie/sync", params={"taskId": made["taskId"]})
    assert answer.json()["status"] == "success"


def test_debug_shows_every_side_and_what_to_do(world: World) -> None:
    made = world.create("evidence [[fault:callback_lost]]")
    world.finished_at_kie(made["taskId"])
    told = world.web.get("/api/debug/kie", params={"taskId": made["taskId"]}).json()
    assert told["diagnosis"]["rule"] == "callback-never-arrived"
    assert told["suggestedAction"].startswith("Fetch it now")
    assert told["diagnosis"]["mismatches"] == ["callbacks", "database", "storage"]
    assert told["remedies"][0]["label"] == "Fetch it now"
    assert told["kie"]["state"] == "success"
    assert told["database"]["delivery_state"] == "awaiting_provider"
    assert told["storage"] == {"bucket": "generations", "files": [], "found": [], "problem": None}
    assert world.row(made["generationId"]).delivery_state == "awaiting_provider"
    world.settle(made["generationId"], {"delivered"})
    told = world.web.get("/api/debug/kie", params={"taskId": made["taskId"]}).json()
    assert told["diagnosis"]["rule"] == "all-well"
    assert told["storage"]["found"] == [True]
    assert [step["kind"] for step in told["timeline"]] == world.events(made["generationId"])
    assert len(told["costs"]) == 1
    world.files()[0].unlink()
    told = world.web.get("/api/debug/kie", params={"taskId": made["taskId"]}).json()
    assert told["diagnosis"]["rule"] == "file-missing"
