"""Since when a generation on its way is stuck, as the queries that tell need it."""

from datetime import datetime, timedelta
from typing import Any

from core.providers import kie_models


def late(now: datetime) -> dict[str, Any]:
    """Since when one of each model, or else of each kind, is stuck."""
    models = kie_models.MODELS
    return {
        "models": [model.id for model in models],
        "late": [now - timedelta(minutes=model.stuck_minutes) for model in models],
        "image_late": now - timedelta(minutes=kie_models.timing("", "image").stuck_minutes),
        "video_late": now - timedelta(minutes=kie_models.timing("", "video").stuck_minutes),
    }
