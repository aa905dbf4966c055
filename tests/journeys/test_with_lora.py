"""Generations with a LoRA, over HTTP from the row to the file: directly, by a first frame, by references."""

import json
import uuid
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from core import access
from core.access import Actor, Role
from core.deliveries import frames, sending, service, tools, views
from core.deliveries.models import Generation
from core.errors import Conflict, InvalidInput, NotFound
from core.loras import views as library
from tests.journeys import loras
from tests.journeys.world import World, until

KLING, KLING_IMAGE = "kling-2.6/text-to-video", "kling-2.6/image-to-video"
KLING_21 = "fal-ai/kling-video/v2.1/standard/image-to-video"
FLUX, FLUX_IMAGES = "flux-2/pro-text-to-image", "flux-2/pro-image-to-image"
FLUX_LORA = "fal-ai/flux-lora"
ACTOR = access.job("test")
PROMPT = "ada_v1 walks through a city at dusk"
REFERENCES = ("https://cdn.example.com/1.jpg", "https://cdn.example.com/2.jpg")


def begin(lora_id: UUID, model: str, prompt: str = PROMPT, actor: Actor = ACTOR, **more: Any) -> Generation:
    key = more.pop("request_key", uuid.uuid4().hex)
    wanted = service.NewGeneration(model, {"prompt": prompt, **more}, request_key=key, lora_id=lora_id)
    return service.create(actor, wanted, tools.current())


def at_fal(world: World, generation: UUID | None) -> list[Any]:
    """What fal has accepted, and so been paid for, of this generation."""
    return [one for one in world.sandbox.get("trainings")["trainings"] if one["run"] == str(generation)]


def sent_to_kie(world: World, row: Generation) -> Any:
    """The input that KIE was sent for it."""
    return json.loads(world.sandbox.get(f"tasks/{row.task_id}")["record"]["param"])["input"]


def costs(world: World, *generations: UUID | None) -> list[tuple[str, str]]:
    rows = world.sql(
        "SELECT provider, amount_usd::text FROM job_costs WHERE generation_id = ANY(%s::uuid[])"
        " ORDER BY occurred_at",
        [str(one) for one in generations],
    )
    return [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize(
    ("model", "sent", "more", "size", "usd"),
    [
        (KLING, KLING_IMAGE, {"aspect_ratio": "9:16"}, "portrait_16_9", ("kie", "0.2750")),
        (KLING_IMAGE, KLING_IMAGE, {}, "landscape_16_9", ("kie", "0.2750")),
        (FLUX, FLUX_IMAGES, {"aspect_ratio": "4:3"}, "landscape_4_3", ("kie", "0.0250")),
    ],
)
def test_a_first_frame_is_made_and_handed_over(
    world: World, model: str, sent: str, more: dict[str, Any], size: str, usd: tuple[str, str]
) -> None:
    ada = loras.completed(world)
    made = begin(ada, model, **more)
    assert (made.model, made.lora_id, made.lora_way, made.waits_for_frame) == (sent, ada, "first_frame", True)
    row = world.settle(str(made.id), {"delivered"})
    frame = world.row(str(made.frame_id))
    assert (frame.model, frame.frame_for, frame.delivery_state) == (FLUX_LORA, made.id, "delivered")
    assert frame.input == {"prompt": PROMPT, "image_size": size}
    field = "image_urls" if "kling" in sent else "input_urls"
    assert row.input[field] == [tools.current().absolute(frame.asset_url or "")]
    assert sent_to_kie(world, row)[field] == row.input[field]
    assert len(at_fal(world, frame.id)) == 1
    assert world.paid(str(made.id)) == 1
    assert costs(world, frame.id, row.id) == [("fal", "0.0350"), usd]
    assert loras.uses(world, ada) == (1, [(str(made.id), "first_frame")])
    assert world.events(str(made.id))[:3] == ["created", "frame_ready", "submitted"]


def test_a_first_frame_costs_what_the_table_of_prices_says(world: World) -> None:
    ada = loras.completed(world)
    world.sql(
        "INSERT INTO prices (provider, service, unit, unit_usd, valid_from, source)"
        " VALUES ('fal', 'flux-lora', 'megapixel', 0.05, now(), 'a test')"
    )
    try:
        quote = views.quote(ACTOR, KLING, {"prompt": PROMPT}, library.get(ACTOR, ada))
        made = begin(ada, KLING)
        world.settle(str(made.id), {"delivered"})
    finally:
        world.sql("DELETE FROM prices WHERE source = 'a test'")
    assert str(quote.frame_usd) == "0.050000"
    assert costs(world, made.frame_id) == [("fal", "0.0500")]


def test_a_film_at_fal_starts_from_the_frame_too(world: World) -> None:
    ada = loras.completed(world)
    made = begin(ada, KLING_21)
    row = world.settle(str(made.id), {"delivered"})
    frame = world.row(str(made.frame_id))
    assert row.input["image_url"] == tools.current().absolute(frame.asset_url or "")
    assert (len(at_fal(world, frame.id)), len(at_fal(world, row.id))) == (1, 1)
    assert costs(world, frame.id, row.id) == [("fal", "0.0350"), ("fal", "0.2800")]


def test_a_model_that_takes_weights_gets_them_by_a_link_that_no_row_keeps(world: World) -> None:
    ada = loras.completed(world)
    made = begin(ada, FLUX_LORA, seed=7)
    row = world.settle(str(made.id), {"delivered"})
    assert (row.frame_id, row.lora_way) == (None, "direct")
    assert row.input == {"prompt": PROMPT, "image_size": "landscape_4_3", "seed": 7}
    [one] = at_fal(world, made.id)
    assert one["stage"] == "succeeded"
    assert loras.uses(world, ada) == (1, [(str(made.id), "direct")])


@pytest.mark.parametrize(
    ("model", "field", "sent"),
    [
        (FLUX, "input_urls", list(REFERENCES)),
        (FLUX_IMAGES, "input_urls", list(REFERENCES)),
        (KLING, "image_urls", [REFERENCES[0]]),
    ],
)
def test_while_it_is_trained_its_references_are_used(
    world: World, model: str, field: str, sent: list[str]
) -> None:
    ada = loras.training(world, REFERENCES)
    made = begin(ada, model)
    row = world.settle(str(made.id), {"delivered"})
    assert (row.frame_id, row.lora_way) == (None, "references")
    assert sent_to_kie(world, row)[field] == sent
    assert field not in row.input
    assert loras.uses(world, ada) == (1, [(str(made.id), "references")])
    assert views.to_make_with_lora(ACTOR, tools.current().clock()) == []


def test_its_creator_uses_a_lora_that_waits_for_its_verdict(world: World) -> None:
    judged = {
        "training_status": "validating",
        "creator_key": "staff:ada",
        "reference_image_urls": [*REFERENCES],
    }
    ada = loras.completed(world, **judged)
    owner = Actor("person", "ada", "Ada", frozenset({Role.PRODUCT}), "page")
    stranger = Actor("person", "eve", "Eve", frozenset({Role.PRODUCT}), "page")
    with pytest.raises(Conflict, match="still validating"):
        begin(ada, FLUX_LORA, actor=stranger)
    assert begin(ada, KLING, actor=stranger).lora_way == "references"
    made = begin(ada, FLUX_LORA, actor=owner)
    assert made.lora_way == "direct"
    world.settle(str(made.id), {"delivered"})
    assert len(at_fal(world, made.id)) == 1
    assert (str(made.id), "direct") in loras.uses(world, ada)[1]


def test_what_is_made_for_the_creator_of_a_lora_that_waits_uses_it_too(world: World) -> None:
    who = uuid.uuid4()
    world.sql("INSERT INTO auth.users (id, email) VALUES (%s, 'ada@example.com')", str(who))
    ada = loras.completed(world, training_status="validating", user_id=str(who))
    key = access.api_key("key-1")
    wanted = service.NewGeneration(FLUX_LORA, {"prompt": PROMPT}, uuid.uuid4().hex, lora_id=ada)
    with pytest.raises(Conflict, match="still validating"):
        service.create(key, wanted, tools.current())
    assert service.create(key, replace(wanted, user_id=who), tools.current()).lora_way == "direct"


def test_when_it_is_completed_the_generation_is_offered_again_once(world: World) -> None:
    ada = loras.training(world, REFERENCES)
    made = begin(ada, KLING)
    world.settle(str(made.id), {"delivered"})
    loras.finish(world, ada)
    assert [one.id for one in views.to_make_with_lora(ACTOR, tools.current().clock())] == [made.id]
    again = [service.make_with_lora(ACTOR, made.id, tools.current()) for _ in range(2)]
    assert again[0].id == again[1].id != made.id
    assert again[0].lora_way == "first_frame"
    assert views.to_make_with_lora(ACTOR, tools.current().clock()) == []
    world.settle(str(again[0].id), {"delivered"})
    assert loras.uses(world, ada)[0] == 2


def test_the_frames_failure_fails_the_generation_before_anything_else_is_paid(world: World) -> None:
    ada = loras.completed(world)
    made = begin(ada, KLING, f"{PROMPT} [[fault:training_fails@fal_image]]")
    row = world.settle(str(made.id), {"failed"})
    assert row.failure_code == frames.FRAME_FAILED
    assert row.failure_message is not None
    assert row.failure_message.startswith("Its first frame could not be made: ")
    assert row.failure_message.endswith(". Make it again later, or choose no LoRA.")
    assert row.frame_id != made.frame_id
    assert len(at_fal(world, made.frame_id)) == len(at_fal(world, row.frame_id)) == 1
    assert (world.paid(str(made.id)), costs(world, made.id, made.frame_id, row.frame_id)) == (0, [])
    assert world.events(str(made.id)) == ["created", "frame_again", "frame_failed"]


def test_a_frame_whose_prompt_is_refused_is_not_made_again(world: World) -> None:
    ada = loras.completed(world)
    made = begin(ada, KLING, f"{PROMPT} [[fault:validation_image_fails]]")
    row = world.settle(str(made.id), {"failed"})
    assert row.failure_message is not None
    assert row.failure_message.endswith("Change the prompt, or choose no LoRA.")
    assert (row.frame_id, world.events(str(made.id))) == (made.frame_id, ["created", "frame_failed"])


def test_a_frame_that_failed_for_certain_is_made_once_more(world: World) -> None:
    ada = loras.completed(world)
    world.sandbox.put("faults", training_fails={"at": ["fal_image"], "times": 1})
    made = begin(ada, KLING, aspect_ratio="9:16")
    row = world.settle(str(made.id), {"delivered"})
    world.sandbox.put("faults")
    first, second = world.row(str(made.frame_id)), world.row(str(row.frame_id))
    assert (first.delivery_state, second.delivery_state) == ("failed", "delivered")
    assert second.input == first.input == {"prompt": PROMPT, "image_size": "portrait_16_9"}
    assert row.input["image_urls"] == [tools.current().absolute(second.asset_url or "")]
    assert costs(world, first.id, second.id, row.id) == [("fal", "0.0350"), ("kie", "0.2750")]
    assert world.events(str(made.id))[:3] == ["created", "frame_again", "frame_ready"]
    assert loras.uses(world, ada)[0] == 1


def test_a_frame_that_nobody_knows_of_is_not_made_again(world: World) -> None:
    """It may have been paid: a person decides."""
    ada = loras.completed(world)
    made = begin(ada, KLING)
    world.sql(
        "UPDATE generations SET delivery_state = 'needs_attention', failure_category = 'timeout',"
        " failure_message = 'fal''s answer was lost' WHERE id = %s",
        made.frame_id,
    )
    row = world.settle(str(made.id), {"failed"})
    assert row.frame_id == made.frame_id
    assert world.events(str(made.id)) == ["created", "frame_failed"]


def test_the_shape_of_the_first_frame_outlives_the_references(world: World) -> None:
    ada = loras.training(world, REFERENCES)
    made = begin(ada, KLING, aspect_ratio="9:16")
    world.settle(str(made.id), {"delivered"})
    loras.finish(world, ada)
    again = service.make_with_lora(ACTOR, made.id, tools.current())
    assert world.row(str(again.frame_id)).input["image_size"] == "portrait_16_9"
    world.settle(str(again.id), {"delivered"})


def test_nothing_is_sent_before_the_frame_is_there(world: World) -> None:
    ada = loras.completed(world)
    made = begin(ada, KLING)
    after = sending.submit(made.id, tools.current())
    assert after is not None
    assert (after.delivery_state, world.calls("create")) == ("intent", [])
    world.due(str(made.id))
    assert world.advance(str(made.id)).delivery_state == "intent"
    assert world.row(str(made.id)).next_attempt_at is not None
    world.settle(str(made.id), {"delivered"})
    assert world.paid(str(made.id)) == 1


def test_a_frame_whose_worker_died_before_it_woke_anybody_is_found(world: World) -> None:
    ada = loras.completed(world)
    made = begin(ada, KLING)
    world.sql("DELETE FROM procrastinate_jobs")
    world.settle(str(made.frame_id), {"delivered"})
    world.sql("DELETE FROM procrastinate_jobs")
    assert world.row(str(made.id)).delivery_state in {"intent", "awaiting_provider"}
    world.settle(str(made.id), {"delivered"})
    assert world.paid(str(made.id)) == 1


def test_a_double_click_makes_one_frame_and_one_generation(world: World) -> None:
    ada = loras.completed(world)
    first = begin(ada, KLING, request_key="the-same-nonce")
    assert begin(ada, KLING, request_key="the-same-nonce").id == first.id
    world.settle(str(first.id), {"delivered"})
    assert begin(ada, KLING, request_key="the-same-nonce").id == first.id
    with pytest.raises(Conflict):
        begin(loras.completed(world), KLING, request_key="the-same-nonce")
    assert (len(at_fal(world, first.frame_id)), world.paid(str(first.id))) == (1, 1)
    assert loras.uses(world, ada)[0] == 1


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"hidden_at": "2026-01-01"}, "is hidden"),
        ({"archived_at": "2026-01-01"}, "is archived"),
        ({"training_status": "failed"}, "failed, so it cannot be used"),
        ({"base_model": "SDXL"}, "was trained for SDXL"),
    ],
)
def test_a_lora_that_cannot_be_used(world: World, columns: dict[str, object], said: str) -> None:
    ada = loras.completed(world, **columns)
    with pytest.raises(Conflict, match=said):
        begin(ada, KLING)
    assert world.sql("SELECT count(*) FROM generations")[0][0] == 0
    assert loras.uses(world, ada) == (0, [])


def test_a_private_lora_is_nobody_elses(world: World) -> None:
    ada = loras.completed(world, is_private=True, creator_key="staff:ada")
    stranger = Actor("person", "eve", "Eve", frozenset({Role.PRODUCT}), "page")
    with pytest.raises(NotFound):
        begin(ada, KLING, actor=stranger)
    owner = Actor("person", "ada", "Ada", frozenset({Role.PRODUCT}), "page")
    assert begin(ada, KLING, actor=owner).lora_id == ada


def test_weights_are_waited_for_where_pictures_are_of_no_use(world: World) -> None:
    ada = loras.training(world, REFERENCES)
    with pytest.raises(Conflict, match="needs its finished weights"):
        begin(ada, FLUX_LORA)
    nameless = loras.training(world)
    with pytest.raises(Conflict, match="has no reference images"):
        begin(nameless, KLING)


def test_a_first_frame_of_ones_own_beside_a_lora_is_refused_at_its_field(world: World) -> None:
    ada = loras.completed(world)
    with pytest.raises(InvalidInput) as refused:
        begin(ada, KLING_IMAGE, image_urls=[REFERENCES[0]])
    assert refused.value.field == "image_urls"


def test_ones_own_pictures_stand_behind_the_frame(world: World) -> None:
    ada = loras.completed(world)
    made = begin(ada, FLUX_IMAGES, input_urls=list(REFERENCES))
    row = world.settle(str(made.id), {"delivered"})
    frame = world.row(str(made.frame_id))
    assert row.input["input_urls"] == [tools.current().absolute(frame.asset_url or ""), *REFERENCES]


def test_without_fals_key_no_frame_can_be_made(world: World) -> None:
    ada = loras.completed(world)
    kie_alone = replace(tools.current(), providers={"kie": tools.current().providers["kie"]})
    wanted = service.NewGeneration(KLING, {"prompt": PROMPT}, request_key=uuid.uuid4().hex, lora_id=ada)
    with pytest.raises(Conflict, match="Set FAL_KEY"):
        service.create(ACTOR, wanted, kie_alone)
    assert loras.uses(world, ada) == (0, [])


def test_frames_stand_in_no_gallery_and_their_times_are_known(world: World) -> None:
    ada = loras.completed(world)
    made = begin(ada, KLING)
    world.settle(str(made.id), {"delivered"})
    assert [one.id for one in views.recent(ACTOR, tests_only=True).generations] == [made.id]
    found = views.frame_times(ACTOR)
    assert found.samples == 1
    assert found.p50_s is not None
    assert found.ours_p50_s is not None
    assert 0 <= found.ours_p50_s <= found.p50_s


def test_the_lost_answer_of_a_frame_is_never_paid_twice(world: World) -> None:
    ada = loras.completed(world)
    made = begin(ada, KLING, f"{PROMPT} [[fault:trainer_answer_lost@fal_submit]]")
    until(lambda: world.step(str(made.frame_id)).task_id is not None)
    world.settle(str(made.id), {"delivered"})
    assert (len(at_fal(world, made.frame_id)), world.paid(str(made.id))) == (1, 1)
