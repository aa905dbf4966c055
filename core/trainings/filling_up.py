"""Generated images that fill a draft up: asked for once a click, their money reserved, or in doubt."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from core import access, audit, database
from core.access import Action, Actor
from core.budget import service as budget
from core.budget.models import Reservation
from core.errors import Conflict, InvalidInput
from core.providers import catalogue
from core.trainings import drawings, launch_rules
from core.trainings.adding import hold_open, owner_of
from core.trainings.dataset import sheet_of
from core.trainings.drawing_moves import close_batch, hold_batch
from core.trainings.drawings import SQL, Drawing
from core.trainings.launch_rules import SettingsNeeded
from core.trainings.sheet import Sheet, to_generate
from core.trainings.tools import Tools

NO_KEY = "Images are generated at KIE.ai: KIE_API_KEY is not set. Set it, or add images of your own."


@dataclass(frozen=True)
class FillUp:
    """What the rule of composition asks of a draft, and how far its generated images are.

    `missing` images are still to be generated for `ahead_usd`; `spent_usd` is paid or reserved for those that
    were asked for; `why_not` says in a sentence why they cannot
    be, `by_words` that they are drawn from the description alone. `drawings` are those whose image is not in
    the draft, of the failed ones only the newest batch's. `batches` is the nonce of the next.
    """

    missing: int
    ahead_usd: Decimal
    spent_usd: Decimal
    why_not: str | None
    by_words: bool
    model: str
    drawings: tuple[Drawing, ...]
    batches: int

    @property
    def under_way(self) -> int:
        """How many images may come by themselves."""
        return sum(drawing.under_way for drawing in self.drawings)

    @property
    def stuck(self) -> tuple[Drawing, ...]:
        """Those that only a person gets on."""
        return tuple(drawing for drawing in self.drawings if drawing.is_stuck)

    @property
    def failed(self) -> tuple[Drawing, ...]:
        return tuple(drawing for drawing in self.drawings if drawing.failed)


def of(actor: Actor | None, draft_id: UUID, tools: Tools) -> FillUp:
    """How a draft stands by the rule of composition."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        sheet = sheet_of(connection, draft_id)
        known = drawings.of_draft(connection, draft_id)
        price = drawings.price(connection, tools.clock())
        paid = SQL["paid"].one(connection, draft_id=draft_id)["usd"]
    missing, why = _missing(sheet, known, tools)
    newest = max((drawing.batch for drawing in known), default=0)
    by_words = not sheet.used
    return FillUp(
        missing=missing,
        ahead_usd=missing * price.unit_usd,
        spent_usd=paid + sum(drawing.may_cost for drawing in known) * price.unit_usd,
        why_not=why,
        by_words=by_words,
        model=catalogue.require(drawings.FROM_WORDS if by_words else drawings.FROM_IMAGES).label,
        drawings=tuple(
            drawing for drawing in known if drawing.is_open or (drawing.failed and drawing.batch == newest)
        ),
        batches=newest,
    )


def _missing(sheet: Sheet, known: list[Drawing], tools: Tools) -> tuple[int, str | None]:
    """How many images are still to be generated, and why they cannot be."""
    try:
        missing = max(to_generate(sheet) - sum(drawing.is_open for drawing in known), 0)
    except InvalidInput as refusal:
        return 0, refusal.message
    if missing and tools.kie is None:
        return missing, NO_KEY
    return missing, None


def ask(
    actor: Actor | None,
    draft_id: UUID,
    description: str,
    seen_batches: int,
    tools: Tools,
    *,
    user_id: UUID | None = None,
) -> int:
    """Have the images that a draft lacks by the rule generated; how many.

    The money is reserved and each image's row written before anything is sent. `seen_batches` is what the
    person had before them (`FillUp.batches`): a second click with the same figure changes nothing. Raises
    InvalidInput, BudgetExceeded or Conflict with the sentence for people; nothing was begun or paid then.
    """
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    if tools.kie is None:
        raise SettingsNeeded(NO_KEY)
    if len(description) > launch_rules.MAX_DESCRIPTION:
        raise InvalidInput(
            "description", f"A description has at most {launch_rules.MAX_DESCRIPTION:,} characters."
        )
    with database.transaction() as connection:
        hold_open(connection, draft_id)
        known = drawings.of_draft(connection, draft_id)
        if any(drawing.batch > seen_batches for drawing in known):
            return 0
        if any(drawing.is_open for drawing in known):
            raise Conflict("Images of this draft are being generated already. Wait until they are here.")
        sheet = sheet_of(connection, draft_id)
        count = to_generate(sheet)
        if not count:
            raise Conflict("Nothing is to be generated: the images that are there suffice.")
        if not sheet.used and len(description.strip()) < drawings.SHORTEST_DESCRIPTION:
            raise InvalidInput(
                "description",
                "Describe the character in a sentence: without images of your own, the description is all"
                " that the model draws by.",
            )
        _write(connection, actor, sheet, description, count, len(known), seen_batches + 1, user_id, tools)
        return count


def _write(
    connection: Connection,
    actor: Actor,
    sheet: Sheet,
    description: str,
    count: int,
    known: int,
    batch: int,
    user_id: UUID | None,
    tools: Tools,
) -> None:
    """The reservation, then a row for each image. Without images the first is drawn by words alone and the
    others from it, so that all show the same character."""
    now, draft_id = tools.clock(), sheet.draft_id
    price = drawings.price(connection, now)
    key = drawings.key_of(draft_id, batch)
    amount = count * price.unit_usd
    budget.reserve(connection, _reservation(key, amount, draft_id, user_id), now)
    references = [image.n for image in sheet.used if image.bucket][: drawings.MOST_REFERENCES]
    ids = [uuid.uuid4() for _ in range(count)]
    owner = owner_of(connection, actor, user_id)
    for n, view in enumerate(drawings.views_for(count, known)):
        from_images = bool(references) or n > 0
        SQL["insert"].first(
            connection,
            id=ids[n],
            draft_id=draft_id,
            batch=batch,
            n=n,
            owner=owner,
            asked_by=actor.name,
            provider=drawings.PROVIDER,
            model=drawings.FROM_IMAGES if from_images else drawings.FROM_WORDS,
            view=view.name,
            prompt=drawings.prompt_of(description, view, from_images=from_images),
            from_images=references,
            after_id=ids[0] if n and not references else None,
            reservation_key=key,
            now=now,
        )
    after = {"images": count, "reserved_usd": str(amount), "from_images": references}
    audit.record(connection, actor, "training.images_asked", "lora_model", str(draft_id), after=after)


def _reservation(key: str, amount: Decimal, draft_id: UUID, user_id: UUID | None) -> Reservation:
    return Reservation(
        source_key=key,
        amount_usd=amount,
        provider=drawings.PROVIDER,
        service=drawings.SERVICE,
        user_id=user_id,
        lora_model_id=draft_id,
        stage="generated",
    )


def look_again(actor: Actor | None, draft_id: UUID, tools: Tools) -> int:
    """Have what is in doubt looked for once more, and what could not be stored fetched again; how many.

    Nothing is sent or paid.
    """
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    with database.transaction() as connection:
        found = SQL["look_again"].all(connection, draft_id=draft_id, now=tools.clock())
        if found:
            audit.record(connection, actor, "training.images_look_again", "lora_model", str(draft_id))
    return len(found)


def give_up(actor: Actor | None, draft_id: UUID, tools: Tools) -> int:
    """A person's word that KIE has none of the images whose answer was lost: their money is given back.

    Images that are paid and cannot be fetched or kept are given up with them. How many.
    """
    actor = access.check(actor, Action.LAUNCH_TRAINING)
    now = tools.clock()
    with database.transaction() as connection:
        keys = sorted({drawing.reservation_key for drawing in drawings.of_draft(connection, draft_id)})
        for key in keys:
            hold_batch(connection, key)
        found = [
            *SQL["declare_unsent"].all(connection, draft_id=draft_id, now=now),
            *SQL["forget_unstored"].all(connection, draft_id=draft_id),
        ]
        for key in keys:
            close_batch(connection, key, now)
        if found:
            after = {"images": len(found)}
            audit.record(
                connection, actor, "training.images_given_up", "lora_model", str(draft_id), after=after
            )
    return len(found)


@dataclass(frozen=True)
class Doubt:
    """A draft with images of which nobody knows whether KIE has taken them, since when the oldest."""

    draft_id: UUID
    drawings: int
    since: datetime


def in_doubt(actor: Actor | None, limit: int = 5) -> tuple[Doubt, ...]:
    """Drafts whose images only a person gets on, the longest waiting first."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        return tuple(Doubt(**row) for row in SQL["in_doubt"].all(connection, limit=limit))
