"""Images that a model draws to fill up a draft's own: what is asked for, their rows, their price."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from core import queries
from core.budget import prices
from core.budget.models import CostLine, Price
from core.providers import kie_models
from core.providers.contract import TaskRecord
from core.trainings.models import CallState

SQL = queries.load("drawings")
PROVIDER, SERVICE = "kie", "flux-2-pro"
FROM_WORDS, FROM_IMAGES = "flux-2/pro-text-to-image", "flux-2/pro-image-to-image"
# Square, about a megapixel: what trainers scale images to.
SIZE = {"aspect_ratio": "1:1", "resolution": "1K"}
# So many images may be shown to the model beside its prompt.
MOST_REFERENCES = 8
# With less the model would draw anybody.
SHORTEST_DESCRIPTION = 10
_UNDER_WAY = frozenset({CallState.INTENT, CallState.SENDING, CallState.ACCEPTED})


@dataclass(frozen=True)
class View:
    """One view of a character, in a word or two for people and as the prompt has it."""

    name: str
    prompt: str


# Near, far and from the side, in several lights and clothes: what a LoRA has to learn of a character.
VIEWS = (
    View("close-up", "Close-up portrait, looking into the camera, soft daylight, plain background"),
    View("half length", "Half-length, three-quarter view from the left, outdoors on a cloudy day"),
    View("full length", "Full-length, walking along a street in the evening light"),
    View("profile", "Profile from the right, in a studio with a plain grey background"),
    View("indoors", "Half-length, sitting at a table in warm indoor light, in other clothes"),
    View("smiling", "Close-up, smiling, from slightly above, in bright sunlight"),
    View("from behind", "Half-length, looking back over the shoulder, in a garden"),
    View("standing", "Full-length, standing in front of a wall, even light, in other clothes"),
)


@dataclass(frozen=True)
class Drawing:
    """One row of `training_drawings`: an image that is paid for, sent once. Times are aware."""

    id: UUID
    lora_model_id: UUID
    batch: int
    n: int
    owner: str
    asked_by: str
    provider: str
    model: str
    view: str
    prompt: str
    from_images: tuple[int, ...]
    after_id: UUID | None
    reservation_key: str
    state: CallState
    tries: int
    attempt: int
    remote_id: str | None
    created_at: datetime
    submitted_at: datetime | None
    accepted_at: datetime | None
    next_attempt_at: datetime | None
    lease_token: UUID | None
    result_url: str | None = field(repr=False)
    image_n: int | None
    failure_words: str | None
    cost_usd: Decimal | None

    @property
    def begun_at(self) -> datetime:
        """When the provider's clock started, as far as we know."""
        return self.accepted_at or self.submitted_at or self.created_at

    @property
    def under_way(self) -> bool:
        """Whether something happens to it by itself, so that its image may still come."""
        to_be_stored = self.state is CallState.SUCCEEDED and self.image_n is None
        return self.state in _UNDER_WAY or (to_be_stored and self.next_attempt_at is not None)

    @property
    def is_open(self) -> bool:
        """Whether its image is not in the draft, and neither is it certain that it never will be."""
        return self.under_way or self.is_stuck

    @property
    def is_stuck(self) -> bool:
        """Whether only a person gets it on: its answer was lost, or its image cannot be stored."""
        unstored = self.state is CallState.SUCCEEDED and self.image_n is None and self.next_attempt_at is None
        return self.state is CallState.UNKNOWN or unstored

    @property
    def may_cost(self) -> bool:
        """Whether money is reserved for it."""
        return self.state in _UNDER_WAY or self.state is CallState.UNKNOWN

    @property
    def failed(self) -> bool:
        return self.state in {CallState.FAILED, CallState.NOT_SENT, CallState.CANCELLED}


def to_drawing(row: RowMapping) -> Drawing:
    """A row of `training_drawings`."""
    values = {name: row[name] for name in Drawing.__match_args__}
    return Drawing(
        **values | {"state": CallState(row["state"]), "from_images": tuple(row["from_images"] or ())}
    )


def of_draft(connection: Connection, draft_id: UUID) -> list[Drawing]:
    """A draft's drawings in the order that they were asked for."""
    return [to_drawing(row) for row in SQL["of_draft"].all(connection, draft_id=draft_id)]


def key_of(draft_id: UUID, batch: int) -> str:
    """The name of the money that is reserved for one press of the button."""
    return f"training-images:{draft_id}:{batch}"


def prompt_of(description: str, view: View, *, from_images: bool) -> str:
    """What the model is asked for. An image that others are there for shows the same character."""
    said = description.strip().rstrip(".")
    if not from_images:
        return f"{said}. {view.prompt}. One character alone, the face clear."
    who = "The same character as in the reference images, alone, the face clear, in the same style"
    return f"{view.prompt}. {who}{f': {said}' if said else ''}."


def views_for(count: int, known: int) -> Sequence[View]:
    """So many views, those that were not asked for yet first."""
    return [VIEWS[(known + n) % len(VIEWS)] for n in range(count)]


def price(connection: Connection, now: datetime) -> Price:
    """What one image costs. Raises NotFound."""
    return prices.current(connection, PROVIDER, SERVICE, now)


def cost(connection: Connection, drawing: Drawing, record: TaskRecord | None, now: datetime) -> CostLine:
    """What an image has cost: KIE's own credits where its record names them, else by the table's price."""
    listed = price(connection, drawing.submitted_at or drawing.created_at)
    quantity, unit, each, version = Decimal(1), listed.unit, listed.unit_usd, listed.version
    if record is not None and record.credits_consumed is not None:
        quantity, unit, each = record.credits_consumed, "credit", kie_models.USD_PER_CREDIT
        version = kie_models.PRICE_VERSION
    return CostLine(
        source_key=f"training-drawing:{drawing.id}",
        provider=PROVIDER,
        service=SERVICE,
        model=drawing.model,
        quantity=quantity,
        unit=unit,
        unit_price=each,
        price_version=version,
        stage="generated",
        occurred_at=now,
    )
