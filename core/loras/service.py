"""What is done to a LoRA of the library. Nothing here deletes one, and nothing can."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import IntegrityError

from core import access, audit, database
from core.access import Action, Actor
from core.errors import Conflict, NotFound
from core.loras import accounts, policy
from core.loras.models import Reason, Way
from core.loras.repository import SQL


def rate(actor: Actor | None, lora_id: UUID, stars: int, now: datetime) -> None:
    """Give a completed LoRA 1 to 5 stars; a second rating of the same person replaces the first."""
    actor = access.check(actor, Action.RATE_LORA)
    policy.check_stars(stars)
    with database.transaction() as connection:
        row = _held(connection, actor, lora_id)
        if row["training_status"] != "completed":
            raise Conflict("It can be rated once it is completed.")
        SQL["rate"].run(connection, id=lora_id, by=_key(actor), stars=stars, now=now)
        _note(connection, actor, "lora.rate", lora_id, after={"stars": stars})


def take_rating_back(actor: Actor | None, lora_id: UUID) -> None:
    """Forget the actor's own rating."""
    actor = access.check(actor, Action.RATE_LORA)
    with database.transaction() as connection:
        _held(connection, actor, lora_id)
        if SQL["take_rating_back"].run(connection, id=lora_id, by=_key(actor)):
            _note(connection, actor, "lora.take_rating_back", lora_id)


def describe(actor: Actor | None, lora_id: UUID, name: str, description: str | None, now: datetime) -> None:
    """Change a LoRA's name and description. Raises Conflict when its creator has another one of that name."""
    actor = access.check(actor, Action.BROWSE_LORAS)
    name, description = policy.check_words(name, description)
    with database.transaction() as connection:
        row = _held(connection, actor, lora_id)
        policy.check(policy.why_not_edit(actor, _owns(connection, actor, row)))
        try:
            with connection.begin_nested():
                SQL["describe"].run(connection, id=lora_id, name=name, description=description, now=now)
        except IntegrityError:
            raise Conflict(f"Its creator has a LoRA named “{name}” already. Choose another name.") from None
        before = {"name": row["name"], "description": row["description"]}
        after = {"name": name, "description": description}
        _note(connection, actor, "lora.describe", lora_id, before=before, after=after)


def tag(
    actor: Actor | None,
    lora_ids: Sequence[UUID],
    now: datetime,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> int:
    """Put tags on LoRAs and take others off, all of them or none; how many changed."""
    actor = access.check(actor, Action.BROWSE_LORAS)
    added, removed = policy.tidy_tags(add), set(policy.tidy_tags(remove))
    changed = 0
    with database.transaction() as connection:
        for lora_id in sorted(set(lora_ids)):
            row = _held(connection, actor, lora_id)
            policy.check(policy.why_not_edit(actor, _owns(connection, actor, row)))
            kept = [one for one in row["tags"] if one not in removed]
            tags = policy.tidy_tags([*kept, *added])
            if list(tags) == list(row["tags"]):
                continue
            SQL["set_tags"].run(connection, id=lora_id, tags=list(tags), now=now)
            before, after = {"tags": list(row["tags"])}, {"tags": list(tags)}
            _note(connection, actor, "lora.tag", lora_id, before=before, after=after)
            changed += 1
    return changed


def set_private(actor: Actor | None, lora_id: UUID, now: datetime, *, private: bool) -> None:
    """Keep a LoRA to its creator and operations, or share it with everybody."""
    actor = access.check(actor, Action.BROWSE_LORAS)
    with database.transaction() as connection:
        row = _held(connection, actor, lora_id)
        policy.check(policy.why_not_restrict(actor, _owns(connection, actor, row)))
        if SQL["set_private"].run(connection, id=lora_id, private=private, now=now):
            before, after = {"private": row["is_private"]}, {"private": private}
            _note(connection, actor, "lora.set_private", lora_id, before=before, after=after)


def report(actor: Actor | None, lora_id: UUID, reason: Reason, note: str, now: datetime) -> None:
    """Say what is wrong with a LoRA; it waits in the moderation queue. Conflict while an own report waits."""
    actor = access.check(actor, Action.RATE_LORA)
    note = policy.check_reason(note) if reason is Reason.OTHER or note.strip() else ""
    with database.transaction() as connection:
        _held(connection, actor, lora_id)
        row = SQL["report"].first(
            connection,
            id=lora_id,
            by=_key(actor),
            by_name=actor.name,
            reason=reason,
            note=note or None,
            now=now,
        )
        if row is None:
            raise Conflict("Your earlier report of it still waits for a decision.")
        _note(connection, actor, "lora.report", lora_id, after={"reason": reason, "note": note})


def hide(actor: Actor | None, lora_id: UUID, reason: str, now: datetime) -> None:
    """Take a LoRA out of everybody's sight but its creator's and operations'; its reports are decided."""
    _moderate(actor, lora_id, reason, now, hidden=True)


def show_again(actor: Actor | None, lora_id: UUID, reason: str, now: datetime) -> None:
    """Undo `hide`."""
    _moderate(actor, lora_id, reason, now, hidden=False)


def _moderate(actor: Actor | None, lora_id: UUID, reason: str, now: datetime, *, hidden: bool) -> None:
    actor = access.check(actor, Action.MODERATE_LORA)
    reason = policy.check_reason(reason)
    with database.transaction() as connection:
        _held(connection, actor, lora_id)
        if not SQL["set_hidden"].run(connection, id=lora_id, at=now if hidden else None, now=now):
            raise Conflict("It is hidden already." if hidden else "It is not hidden.")
        SQL["note_hidden"].run(connection, id=lora_id, **_kept(actor, reason if hidden else None))
        if hidden:
            _decide(connection, actor, lora_id, "hidden", reason, now)
        _note(connection, actor, "lora.hide" if hidden else "lora.show_again", lora_id, reason=reason)


def _kept(actor: Actor, reason: str | None) -> dict[str, str | None]:
    """What is kept of who took a LoRA away, and why; nothing once it is back."""
    if reason is None:
        return {"reason": None, "by": None, "by_id": None}
    return {"reason": reason, "by": actor.name, "by_id": actor.id}


def dismiss_reports(actor: Actor | None, lora_id: UUID, reason: str, now: datetime) -> None:
    """Decide that nothing is wrong with a reported LoRA. Conflict when no report waits."""
    actor = access.check(actor, Action.MODERATE_LORA)
    reason = policy.check_reason(reason)
    with database.transaction() as connection:
        _held(connection, actor, lora_id)
        if not _decide(connection, actor, lora_id, "dismissed", reason, now):
            raise Conflict("No report of it waits any more.")
        _note(connection, actor, "lora.dismiss_reports", lora_id, reason=reason)


def _decide(
    connection: Connection, actor: Actor, lora_id: UUID, outcome: str, note: str, now: datetime
) -> int:
    return SQL["decide_reports"].run(
        connection, id=lora_id, outcome=outcome, by=actor.name, note=note, now=now
    )


def archive(actor: Actor | None, lora_id: UUID, reason: str, now: datetime) -> None:
    """Take a LoRA out of use: no list offers it unless asked for archived ones. Its file stays."""
    _archive(actor, lora_id, reason, now, archived=True)


def unarchive(actor: Actor | None, lora_id: UUID, reason: str, now: datetime) -> None:
    """Undo `archive`."""
    _archive(actor, lora_id, reason, now, archived=False)


def _archive(actor: Actor | None, lora_id: UUID, reason: str, now: datetime, *, archived: bool) -> None:
    actor = access.check(actor, Action.ARCHIVE_LORA)
    reason = policy.check_reason(reason)
    with database.transaction() as connection:
        _held(connection, actor, lora_id)
        if not SQL["set_archived"].run(connection, id=lora_id, at=now if archived else None, now=now):
            raise Conflict("It is archived already." if archived else "It is not archived.")
        SQL["note_archived"].run(connection, id=lora_id, **_kept(actor, reason if archived else None))
        _note(connection, actor, "lora.archive" if archived else "lora.unarchive", lora_id, reason=reason)


def begin_version(actor: Actor | None, lora_id: UUID, draft_id: UUID, now: datetime) -> None:
    """Note that the draft of a training is to become a new version of this LoRA's character."""
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    with database.transaction() as connection:
        _held(connection, actor, lora_id)
        SQL["add_version"].run(connection, parent_id=lora_id, draft_id=draft_id, by=actor.name, now=now)
        _note(connection, actor, "lora.begin_version", lora_id, after={"draft": str(draft_id)})


def use(
    connection: Connection,
    actor: Actor,
    lora_id: UUID,
    generation_id: UUID,
    way: Way,
    now: datetime,
    *,
    user_id: UUID | None = None,
) -> bool:
    """Note in the caller's transaction that a generation is made with a LoRA; False when that is known.

    Each generation counts once; `user_id` is whose it is. Raises Conflict for a LoRA that cannot be used,
    with the reason.
    """
    held = _held(connection, actor, lora_id)
    own = _owns(connection, actor, held) or (user_id is not None and user_id == held["user_id"])
    # Its references take its place while it cannot be used itself.
    ready = way is Way.REFERENCES or policy.has_usable_weights(held["training_status"], own=own)
    policy.check_usable(
        held["name"],
        "completed" if ready else held["training_status"],
        hidden=held["hidden_at"] is not None,
        archived=held["archived_at"] is not None,
    )
    row = SQL["use"].first(
        connection, id=lora_id, generation_id=generation_id, way=way, by=actor.name, now=now
    )
    return row is not None


def _held(connection: Connection, actor: Actor, lora_id: UUID) -> RowMapping:
    """The LoRA's row, held; NotFound also for one that the actor may not see."""
    row = SQL["hold"].first(connection, id=lora_id)
    sight = accounts.sight_of(connection, actor)
    listed = row is not None and not row["is_private"] and row["hidden_at"] is None
    if row is None or not (listed or sight.sees_all or sight.owns(row["user_id"], row["creator_key"])):
        raise NotFound(f"There is no LoRA {lora_id}.")
    return row


def _owns(connection: Connection, actor: Actor, row: RowMapping) -> bool:
    return accounts.sight_of(connection, actor).owns(row["user_id"], row["creator_key"])


def _key(actor: Actor) -> str:
    return policy.sight_of(actor).viewer_key


def _note(
    connection: Connection,
    actor: Actor,
    action: str,
    lora_id: UUID,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    audit.record(
        connection, actor, action, "lora_model", str(lora_id), before=before, after=after, reason=reason
    )
