"""The next seconds of a bulk resync's plan."""

from uuid import UUID

from core.deliveries import tools
from core.plans import running


def run(plan_id: str) -> None:
    """Bring the plan on; nothing when another worker does."""
    running.run(UUID(plan_id), tools.current())
