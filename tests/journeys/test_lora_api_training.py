"""A LoRA trained through the API: from files, once a key, or refused with the reason."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from core.budget.policy import month_of
from tests.journeys.lora_users import ADA, LORAS, files, ids, lora
from tests.journeys.users import is_error
from tests.journeys.world import World


def test_a_lora_is_trained_from_files_once_a_key(api: World, ada: httpx.Client, bo: httpx.Client) -> None:
    key = {"Idempotency-Key": "form-1"}
    first = ada.post(LORAS, data={"name": "Ada of the sea"}, files=files(), headers=key)
    assert first.status_code == 201, first.text
    body = first.json()
    assert (body["status"], first.headers["location"]) == ("pending", f"{LORAS}/{body['lora_id']}")
    assert "Ada of the sea" in body["message"]
    again = ada.post(LORAS, data={"name": "Ada of the sea"}, files=files(), headers=key)
    assert (again.status_code, again.json()) == (201, body)
    assert again.headers["idempotency-replayed"] == "true"
    other = ada.post(LORAS, data={"name": "Another"}, files=files(), headers=key)
    assert is_error(other, 409, "idempotency_key_reused")
    assert api.sql("SELECT count(*) FROM lora_training_jobs")[0][0] == 1
    assert ada.get(f"{LORAS}/{body['lora_id']}/status").json()["training_status"] == "pending"
    assert ids(ada.get(LORAS, params={"mine": True})) == [body["lora_id"]]
    theirs = bo.post(LORAS, data={"name": "Ada of the sea"}, files=files(), headers=key)
    assert theirs.status_code == 201
    assert theirs.json()["lora_id"] != body["lora_id"]


def test_addresses_that_lead_to_no_image_are_named(api: World, ada: httpx.Client) -> None:
    urls = [f"{api.sandbox.url}/nowhere/{n}.jpg" for n in range(4)]
    refused = ada.post(LORAS, json={"name": "From afar", "character_images": urls})
    assert is_error(refused, 422, "unusable_images")
    assert "0.jpg" in refused.json()["error"]["message"]


JSON = {"content-type": "application/json"}
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no name": ({"json": {}}, 400, "invalid_input"),
    "an empty name": ({"json": {"name": ""}}, 400, "invalid_input"),
    "a blank name": ({"json": {"name": "  "}}, 400, "invalid_input"),
    "a long name": ({"json": {"name": "x" * 256}}, 400, "invalid_input"),
    "a name of two lines": ({"json": {"name": "a\nb"}}, 400, "invalid_input"),
    "a broken name": ({"content": b'{"name": "\\ud800"}', "headers": JSON}, 400, "invalid_input"),
    "an unknown field": ({"json": {"name": "Ada", "steps": 9}}, 400, "invalid_input"),
    "no JSON": ({"content": "{", "headers": JSON}, 400, "invalid_input"),
    "a list": ({"json": []}, 400, "invalid_input"),
    "another type": (
        {"content": "name=Ada", "headers": {"content-type": "text/plain"}},
        400,
        "invalid_input",
    ),
    "a form without its boundary": (
        {"content": "x", "headers": {"content-type": "multipart/form-data"}},
        400,
        "invalid_input",
    ),
    "a common trigger word": ({"json": {"name": "Ada", "trigger_word": "woman"}}, 400, "invalid_input"),
    "no images": ({"json": {"name": "Ada"}}, 422, "unusable_images"),
    "too few images": ({"data": {"name": "Ada"}, "files": files(2)}, 422, "unusable_images"),
    "no images at all": (
        {"data": {"name": "Ada"}, "files": [("character_images", ("a.jpg", b"no image", "image/jpeg"))] * 4},
        422,
        "unusable_images",
    ),
    "a bad key": ({"json": {"name": "Ada"}, "headers": {"Idempotency-Key": "x" * 201}}, 400, "invalid_input"),
    "a body of 100 MB": ({"content": b"0" * (100 * 1024 * 1024), "headers": JSON}, 413, "too_large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_trained(api: World, ada: httpx.Client, name: str) -> None:
    given, status, code = REFUSED[name]
    answer = ada.post(LORAS, **given)
    assert is_error(answer, status, code), answer.text
    assert api.sql("SELECT count(*) FROM lora_training_jobs")[0][0] == 0


def test_names_quota_and_budget_have_their_own_answers(api: World, ada: httpx.Client) -> None:
    lora(api, name="Taken", created_at="2020-01-01")
    assert is_error(ada.post(LORAS, data={"name": "Taken"}, files=files()), 409, "name_taken")
    api.sql(
        "INSERT INTO budget_totals (scope, month, settled_usd)"
        " VALUES ('trainings', date_trunc('month', now() AT TIME ZONE 'UTC'), 199)"
    )
    assert is_error(ada.post(LORAS, data={"name": "Dear"}, files=files()), 402, "budget_exceeded")
    for _ in range(5):
        lora(api)
    answer = ada.post(LORAS, data={"name": "Sixth"}, files=files())
    assert is_error(answer, 429, "quota_exceeded")
    assert "5 of 5 LoRAs of this month" in answer.json()["error"]["message"]


def test_who_asks_before_the_job_brings_the_companys_count_into_its_month(
    api: World, ada: httpx.Client
) -> None:
    lora(api, name="Taken")
    api.sql(
        "INSERT INTO user_training_limits (user_id, loras_created_this_month, month_reset_date)"
        " VALUES (%s, 5, '2026-01-01')",
        ADA,
    )
    assert is_error(ada.post(LORAS, data={"name": "Taken"}, files=files()), 409, "name_taken")
    [row] = api.sql("SELECT * FROM user_training_limits")
    assert (row.loras_created_this_month, row.month_reset_date) == (1, month_of(datetime.now(UTC)))


def test_three_or_four_images_are_trained_alone_only_when_somebody_says_so(
    api: World, ada: httpx.Client
) -> None:
    """Nobody is there to approve generated ones, with which the dashboard fills them up."""
    refused = ada.post(LORAS, data={"name": "Few"}, files=files(4))
    assert is_error(refused, 422, "unusable_images")
    assert "Send 1 more, or own_images_only = true" in refused.json()["error"]["message"]
    assert api.sql("SELECT count(*) FROM lora_training_jobs")[0][0] == 0
    alone = ada.post(LORAS, data={"name": "Few", "own_images_only": "true"}, files=files(4))
    assert alone.status_code == 201, alone.text
    [run] = api.sql("SELECT images FROM lora_training_jobs")
    assert run.images == 4
