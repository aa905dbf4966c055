"""LoRAs that the company's other systems want trained: found pending, checked by the same rules, begun."""

import uuid
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from core import access, database, log
from core.access import Actor
from core.errors import StudioOpsError
from core.trainings import dataset, launch_rules, launching
from core.trainings.launching import Creator
from core.trainings.models import Launch, Status
from core.trainings.repository import SQL
from core.trainings.tools import Tools

# Their row and its pictures may come in several steps.
GRACE = timedelta(seconds=10)
TRIGGER = "TOK"
_log = log.get(__name__)


def adopt(tools: Tools, trainer: str, limit: int = 20) -> int:
    """Begin or refuse the LoRAs that wait for a run of anybody's; how many.

    What has waited for longer than two days is refused: nobody expects it to be paid for now unasked.
    """
    now = tools.clock()
    with database.reading() as connection:
        stale = SQL["foreign_stale"].all(connection, before=now - launching.FOREIGN_SINCE, limit=limit)
        rows = SQL["foreign_pending"].all(
            connection,
            since=now - launching.FOREIGN_SINCE,
            until=now - GRACE,
            limit=limit,
        )
    for row in rows:
        _one(row, trainer, tools)
    for row in stale:
        _too_late(row, trainer, tools)
    return len(rows) + len(stale)


def _too_late(row: RowMapping, trainer: str, tools: Tools) -> None:
    since = f"since {row['created_at']:%d %B %Y}" if row["created_at"] else "for an unknown time"
    reason = (
        f"It was pending {since}, and is not begun by itself after more than two days. Start it again if it"
        " is still wanted."
    )
    with database.transaction() as connection:
        wanted = _wanted(row, trainer)
        _refuse(connection, access.job("adopt_trainings"), _creator(row), wanted, reason, tools)


def _wanted(row: RowMapping, trainer: str) -> Launch:
    return Launch(
        request_key=f"lora:{row['id']}",
        draft_id=row["id"],
        name=row["name"] or "",
        trigger_word=row["trigger_word"] or TRIGGER,
        trainer=trainer,
        steps=launch_rules.USUAL_STEPS,
        description=row["description"],
    )


def _one(row: RowMapping, trainer: str, tools: Tools) -> None:
    actor = access.job("adopt_trainings")
    wanted = _wanted(row, trainer)
    creator = _creator(row)
    notes: tuple[str, ...] = ()
    try:
        notes = bring(actor, row, tools)
        with database.transaction() as connection:
            SQL["lock_creator"].run(connection, creator_key=creator.key)
            launching.begin(connection, actor, creator, wanted, tools)
    except StudioOpsError as refusal:
        if getattr(refusal, "retryable", False):
            _log.warning("training.not_adopted_yet", lora_id=str(row["id"]), reason=refusal.message)
            return
        with database.transaction() as connection:
            reason = " ".join((refusal.message, *notes))
            _refuse(connection, actor, creator, wanted, reason, tools)


def bring(actor: Actor, row: RowMapping, tools: Tools) -> tuple[str, ...]:
    """Fetch the images that a LoRA's row names and that are not here yet; a sentence for each missed one."""
    named = [url for url in row["reference_image_urls"] or () if isinstance(url, str)]
    urls = list(dict.fromkeys(named))[: dataset.MAX_AT_ONCE]
    if len(dataset.sheet(actor, row["id"]).images) >= len(urls):
        return ()
    return dataset.add_urls(
        actor, row["id"], urls, tools.dataset, user_id=row["user_id"], source="reference"
    ).notes


def _creator(row: RowMapping) -> Creator:
    user_id: UUID | None = row["user_id"]
    if user_id is not None:
        return launching.of_user(user_id, row["creator_name"])
    return Creator(row["creator_key"] or "other systems", None, row["creator_name"])


def _refuse(
    connection: Connection, actor: Actor, creator: Creator, wanted: Launch, reason: str, tools: Tools
) -> None:
    """The LoRA has failed before anything was paid; its run says why."""
    now = tools.clock()
    SQL["insert_refused"].first(
        connection,
        id=uuid.uuid4(),
        lora_id=wanted.draft_id,
        user_id=creator.user_id,
        creator_key=creator.key,
        creator_name=creator.name,
        trainer=wanted.trainer,
        steps=wanted.steps,
        trigger_word=wanted.trigger_word,
        error_message=reason,
        next_action="Mend what it names, then start it again.",
        request_key=wanted.request_key,
        now=now,
    )
    SQL["set_status"].run(connection, lora_id=wanted.draft_id, status=Status.FAILED, now=now)
    _log.warning("training.refused", lora_id=str(wanted.draft_id), reason=reason, by=actor.name)
