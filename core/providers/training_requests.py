"""What every trainer asks of a request before it sends anything."""

from decimal import Decimal

from core.errors import InvalidInput
from core.providers.training import Bounds, TrainingRequest

# Where a trainer takes any learning rate: beyond these no LoRA of FLUX has come to anything.
LEARNING_RATES = (Decimal("0.00001"), Decimal("0.002"))


def check(request: TrainingRequest, bounds: Bounds, vendor: str) -> None:
    """Raise InvalidInput with a sentence if `vendor`'s trainer does not take `request`; nothing was sent."""
    # A list of addresses here once made every training fail: the trainers take one address of one ZIP.
    if not isinstance(request.dataset_url, str) or "://" not in request.dataset_url:
        raise InvalidInput("dataset_url", f"{vendor}'s trainer takes one address of one ZIP.")
    if not request.trigger_word.strip():
        raise InvalidInput("trigger_word", "A training needs a trigger word.")
    low, high = bounds.images
    if not low <= request.images <= high:
        raise InvalidInput(
            "images", f"{vendor}'s trainer takes {low} to {high} images, not {request.images}."
        )
    low, high = bounds.steps
    if not low <= request.steps <= high:
        raise InvalidInput(
            "steps", f"{vendor}'s trainer takes {low:,} to {high:,} steps, not {request.steps:,}."
        )
    for field, named, given, limits in (
        ("learning_rate", "learning rate", request.learning_rate, bounds.learning_rate),
        ("rank", "rank", request.rank, bounds.rank),
    ):
        if given is None:
            continue
        if limits is None:
            raise InvalidInput(field, f"{vendor}'s trainer takes no {named}.")
        if not limits[0] <= given <= limits[1]:
            raise InvalidInput(
                field, f"{vendor}'s trainer takes a {named} of {limits[0]} to {limits[1]}, not {given}."
            )
