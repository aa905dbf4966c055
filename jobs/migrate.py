"""Brings the schema and the storage buckets up to date."""

from core.settings import Settings
from core.storage.backend import from_settings
from core.upgrade import upgrade


def run(settings: Settings) -> list[str]:
    """Apply what is missing; one line for each thing done or refused."""
    url = settings.require("DATABASE_URL")
    storage = None if settings.storage_backend == "local" else from_settings(settings)
    return upgrade(url, local=settings.profile == "local", storage=storage)
