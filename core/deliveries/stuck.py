"""Since when a generation on its way is stuck, as the queries that tell need it."""

from datetime import datetime, timedelta
from typing import Any

from core.providers import catalogue


def late(now: datetime) -> dict[str, Any]:
    """Since when one of each model, or else of each kind, is stuck."""
    models = catalogue.MODELS
    return {
        "models": [model.id for model in models],
        "late": [now - timedelta(minutes=model.stuck_minutes) for model in models],
        "image_late": now - timedelta(minutes=catalogue.timing("", "image").stuck_minutes),
        "video_late": now - timedelta(minutes=catalogue.timing("", "video").stuck_minutes),
    }
