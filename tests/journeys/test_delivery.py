"""From a request to a file that opens, over HTTP."""

import io

from PIL import Image

from tests.journeys.world import World


def test_a_generation_is_created_finished_stored_and_shown(world: World) -> None:
    world.sandbox.put("settings", file_bytes=0)
    made = world.create()
    assert made["taskId"]
    assert made["status"] == "queued"
    row = world.settle(made["generationId"], {"delivered"})
    assert row.status == "success"
    assert row.asset_url is not None
    assert row.asset_url.startswith("/files/generations/studio-ops/image/")
    picture = world.web.get(row.asset_url)
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).size[0] >= 512
    kinds = world.events(made["generationId"])
    assert kinds[:3] == ["created", "submitted", "accepted"]
    assert kinds[-2:] == ["stored", "delivered"]
    assert kinds.count("delivered") == 1
    assert world.sandbox.get("stats")["paid_by_generation"] == {made["generationId"]: 1}
    assert [path.suffix for path in world.files()] == [".jpg"]
