"""What would refuse a launch in any case, asked before images are fetched and stored for it."""

from uuid import UUID

from core import access, database
from core.access import Action, Actor
from core.providers.training import Bounds
from core.trainings import dataset, launch_rules, launching, policy, spending
from core.trainings.models import Launch, NameTaken
from core.trainings.repository import SQL
from core.trainings.sheet import to_generate, wants_filling_up
from core.trainings.tools import Tools


def is_launched(actor: Actor | None, wanted: Launch) -> bool:
    """Whether this request key has begun its training already."""
    access.check(actor, Action.LAUNCH_TRAINING)
    with database.reading() as connection:
        return SQL["by_request_key"].first(connection, request_key=wanted.request_key) is not None


def check(actor: Actor | None, wanted: Launch, tools: Tools) -> None:
    """Raise what `launch` would refuse whatever the images: text, name, quota, a trainer not set up here."""
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    launch_rules.check_text(wanted)
    now = tools.clock()
    with database.reading() as connection:
        creator = launching.creator_of(connection, actor)
        found = SQL["creators_loras"].one(
            connection,
            user_id=creator.user_id,
            creator_key=creator.key,
            name=wanted.name,
            except_id=wanted.draft_id,
            month=policy.month_of(now),
        )
    if creator.user_id is not None:
        spending.keep_count(creator.user_id, now)
    if found["names"]:
        raise NameTaken(f"You have a LoRA named “{wanted.name}” already. Choose another name.")
    launch_rules.check_quota(found["used"], now)
    if wanted.trainer not in tools.trainers:
        missing = tools.missing.get(wanted.trainer, "")
        raise launch_rules.SettingsNeeded(missing or f"{wanted.trainer} is not configured here.")


def lacking(actor: Actor | None, draft_id: UUID) -> int:
    """How many images the rule of composition would have generated beside three or four of somebody's own."""
    access.check(actor, Action.LAUNCH_TRAINING)
    with database.reading() as connection:
        found = dataset.sheet_of(connection, draft_id)
    return to_generate(found) if wants_filling_up(found) else 0


def problems(actor: Actor | None, draft_id: UUID, bounds: Bounds | None) -> tuple[str, ...]:
    """What stands in the way of a launch with the draft's images, a sentence each."""
    access.check(actor, Action.LAUNCH_TRAINING)
    with database.reading() as connection:
        return dataset.problems_of(connection, draft_id, bounds)
