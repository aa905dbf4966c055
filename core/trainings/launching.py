"""Writing a training that may begin: every rule checked, then LoRA, run, reservation and job together."""

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from core import audit
from core.access import Actor
from core.budget import service as budget
from core.errors import Conflict, InvalidInput
from core.loras.accounts import account_of
from core.providers import training_registry
from core.providers.training import Trainer
from core.trainings import costs, dataset, launch_rules, moving, policy
from core.trainings.drawings import SQL as DRAWINGS
from core.trainings.launch_rules import Facts
from core.trainings.models import Event, EventKind, Launch, NameTaken, Run, Stage
from core.trainings.repository import SQL, add_event, find, say
from core.trainings.tools import Tools

# Pending LoRAs of other systems are begun for as long after they were written; older ones are nobody's wish.
FOREIGN_SINCE = timedelta(days=2)


@dataclass(frozen=True)
class Creator:
    """Whose LoRA it is: names and quota go by `key`; staff without a user's account have no `user_id`. What
    they made until they had one counts with it afterwards, and stays as it was written."""

    key: str
    user_id: UUID | None
    name: str | None


def creator_of(connection: Connection, actor: Actor) -> Creator:
    """The creator that an actor's own launches count for: staff's is their account, where they have one."""
    user_id = account_of(connection, actor)
    return of_user(user_id, actor.name) if user_id else Creator(f"staff:{actor.id}", None, actor.name)


def of_user(user_id: UUID, name: str | None = None) -> Creator:
    """A user as a creator."""
    return Creator(f"user:{user_id}", user_id, name)


def begin(connection: Connection, actor: Actor, creator: Creator, wanted: Launch, tools: Tools) -> Run:
    """Check every rule and write the run, with the creator's lock held. Raises the refusals of `launch`."""
    now = tools.clock()
    found = SQL["creators_loras"].one(
        connection,
        user_id=creator.user_id,
        creator_key=creator.key,
        name=wanted.name,
        except_id=wanted.draft_id,
        month=policy.month_of(now),
    )
    trainer = tools.trainers.get(wanted.trainer)
    images, problems = _pictures(connection, wanted, trainer)
    facts = Facts(
        images=images,
        problems=problems,
        bounds=trainer.bounds if trainer else None,
        missing=tools.missing.get(wanted.trainer, ""),
        names=found["names"],
        used=found["used"],
        now=now,
        publisher=tools.publisher is not None,
        pictures=tools.images is not None,
    )
    launch_rules.check_can_launch(wanted, facts, label=training_registry.label(wanted.trainer))
    run_id = uuid.uuid4()
    quote = costs.quote(connection, wanted.trainer, wanted.steps, now)
    amount = quote.total_usd
    usually = costs.expected(quote, wanted.trainer, costs.own_p50(connection, wanted.trainer))
    _write_lora(connection, creator, wanted, tools)
    _write_run(connection, run_id, creator, with_usual(wanted, trainer), images, amount, usually, tools)
    run = find(connection, run_id)
    assert run is not None
    budget.reserve(connection, costs.reservation(costs.key_of(run_id, 1), amount, run, quote.note), now)
    _note_launch(connection, actor, run, amount, tools)
    return run


def with_usual(wanted: Launch, trainer: Trainer | None) -> Launch:
    """The wish with our own usual figures where it leaves one open: a trainer's defaults are other ones."""
    bounds = trainer.bounds if trainer else None
    rate, rank = wanted.learning_rate, wanted.rank
    if rate is None and bounds and bounds.learning_rate:
        rate = launch_rules.USUAL_LEARNING_RATE
    if rank is None and bounds and bounds.rank:
        rank = launch_rules.USUAL_RANK
    return replace(wanted, learning_rate=rate, rank=rank)


def _pictures(connection: Connection, wanted: Launch, trainer: Trainer | None) -> tuple[int, tuple[str, ...]]:
    """How many images of the draft go into the training, and what stands in the way; the draft is held."""
    if trainer is None:
        return 0, ()
    try:
        ready = dataset.check_ready(connection, wanted.draft_id, trainer.bounds, filled_up=wanted.filled_up)
        return len(ready.used), ()
    except InvalidInput as problem:
        return 0, (problem.message,)


def _write_lora(connection: Connection, creator: Creator, wanted: Launch, tools: Tools) -> None:
    """The LoRA's row: a new one, or one that is pending and has no run yet."""
    now = tools.clock()
    try:
        row = SQL["insert_lora"].first(
            connection,
            id=wanted.draft_id,
            user_id=creator.user_id,
            creator_key=creator.key,
            creator_name=creator.name,
            name=wanted.name,
            description=wanted.description,
            trigger_word=wanted.trigger_word,
            job_id=wanted.job_id,
            reference_urls=dataset.used_addresses(connection, wanted.draft_id, wanted.reference_urls) or None,
            now=now,
        )
    except IntegrityError:
        raise NameTaken(f"You have a LoRA named “{wanted.name}” already. Choose another name.") from None
    if row is None and not _may_begin(connection, wanted.draft_id, tools):
        raise Conflict("These images belong to a training already. Begin with a new draft.")
    if row is None:
        SQL["count_lora"].run(
            connection,
            id=wanted.draft_id,
            creator_key=creator.key,
            trigger_word=wanted.trigger_word,
            now=now,
        )
    drawn = DRAWINGS["paid"].one(connection, draft_id=wanted.draft_id)["usd"]
    if drawn > 0:
        SQL["add_cost"].run(connection, lora_id=wanted.draft_id, amount=drawn, now=now)


def _may_begin(connection: Connection, lora_id: UUID, tools: Tools) -> bool:
    now = tools.clock()
    rows = SQL["foreign_pending"].all(connection, since=now - FOREIGN_SINCE, until=now, limit=1000)
    return any(row["id"] == lora_id for row in rows)


def _write_run(
    connection: Connection,
    run_id: UUID,
    creator: Creator,
    wanted: Launch,
    images: int,
    amount: Decimal,
    usually: Decimal,
    tools: Tools,
) -> None:
    SQL["insert_run"].one(
        connection,
        id=run_id,
        lora_id=wanted.draft_id,
        user_id=creator.user_id,
        creator_key=creator.key,
        creator_name=creator.name,
        trainer=wanted.trainer,
        steps=wanted.steps,
        learning_rate=wanted.learning_rate,
        rank=wanted.rank,
        trigger_word=wanted.trigger_word,
        publish=wanted.publish,
        images=images,
        request_key=wanted.request_key,
        quoted_usd=amount,
        expected_usd=usually,
        reservation_key=costs.key_of(run_id, 1),
        time_left=policy.time_left(
            Stage.INITIALIZING,
            wanted.trainer,
            publish=wanted.publish,
            progress=None,
            elapsed=timedelta(),
        ),
        now=tools.clock(),
    )


def _note_launch(connection: Connection, actor: Actor, run: Run, amount: Decimal, tools: Tools) -> None:
    now = tools.clock()
    moving.begin_stage(connection, run.id, Stage.INITIALIZING, now)
    detail = {"by": actor.name, "trainer": run.trainer, "steps": run.steps, "reserved_usd": str(amount)}
    add_event(connection, run, now, Event(EventKind.LAUNCHED, detail=detail))
    say(
        connection,
        run,
        now,
        f"launched by {actor.name}: {run.steps:,} steps at {training_registry.label(run.trainer)}",
    )
    audit.record(
        connection, actor, "training.launch", "training", str(run.id), after={"name": run.lora_name, **detail}
    )
    if run.user_id is not None:
        SQL["count_month"].run(connection, user_id=run.user_id, month=policy.month_of(now), now=now)
    moving.enqueue(connection, run.id)
