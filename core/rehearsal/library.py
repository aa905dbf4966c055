"""What people have done with a rehearsal's LoRAs: ratings, versions, uses, reports, and what was put away."""

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from core.loras.models import Reason
from core.rehearsal.models import CUSTOMER, numbered_id
from core.rehearsal.repository import MARKED, SQL
from core.rehearsal.training_endings import COMPLETED
from core.rehearsal.trainings_course import Training

_STARS = (3, 4, 4, 5, 5, 5, 2)
# Who rates: the first customers, who make most pictures.
RATERS = 12
# So many of the newest generations are made with a LoRA, of a small history at most this share.
USES, USED_SHARE = 400, 0.12
USES_SINCE = timedelta(days=26)
_REASONS = {
    "private": "",
    "hidden": "It shows a trademark.",
    "archived": "A newer take has replaced it.",
    "reported": Reason.REAL_PERSON,
}


def fill(
    connection: Connection, found: Sequence[Training], now: datetime, *, seed: int, generations: int
) -> None:
    """Write it for these trainings, whose LoRAs and the history's `generations` are there."""
    drawn = random.Random(f"{seed} library")  # noqa: S311 - a rehearsal is no secret
    done = [one for one in found if one.ending is COMPLETED]
    ratings: list[dict[str, Any]] = [
        {
            "lora_id": one.lora_id,
            "user_id": numbered_id(CUSTOMER, person),
            "stars": drawn.choice(_STARS),
            "at": one.stopped_at + timedelta(hours=drawn.uniform(1, 9)),
        }
        for one in done
        for person in drawn.sample(range(RATERS), drawn.choice((0, 1, 2, 3, 5, 8)))
    ]
    versions = [
        {
            "lora_id": one.lora_id,
            "parent_id": one.parent,
            "character_id": one.character,
            "user_id": one.user_id,
            "at": one.launched_at,
        }
        for one in found
        if one.parent is not None
    ]
    _run(connection, "fill_standing", _standing(done))
    _run(connection, "fill_versions", versions)
    share = min(USED_SHARE, 2 * USES / generations)
    SQL["fill_uses"].run(connection, seed=seed, since=now - USES_SINCE, share=share, **MARKED)
    _run(connection, "fill_ratings", [row for row in ratings if row["at"] < now])


def _standing(done: Sequence[Training]) -> list[dict[str, Any]]:
    """The third to the sixth, as far as there are so many."""
    return [
        {
            "lora_id": one.lora_id,
            "what": what,
            "why": why,
            "who": "Lena Berg",
            "at": one.stopped_at + timedelta(minutes=30),
        }
        for one, (what, why) in zip(done[2:], _REASONS.items(), strict=False)
    ]


def _run(connection: Connection, name: str, rows: Sequence[dict[str, Any]]) -> None:
    SQL[name].run(connection, rows=json.dumps(rows, default=str))
