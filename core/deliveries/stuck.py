"""Since when a generation on its way is stuck, as the queries that tell need it."""

from datetime import datetime, timedelta
from typing import Any

from core.providers import catalogue


def late(now: datetime) -> dict[str, Any]:
    """Since when one of each model, or else of each kind, is stuck."""
    named = [(name, one.stuck_minutes) for one in catalogue.MODELS for name in (one.id, *one.aliases)]
    return {
        "models": [name for name, _ in named],
        "late": [now - timedelta(minutes=minutes) for _, minutes in named],
        "image_late": now - timedelta(minutes=catalogue.timing("", "image").stuck_minutes),
        "video_late": now - timedelta(minutes=catalogue.timing("", "video").stuck_minutes),
    }
