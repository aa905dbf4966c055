"""Brings the schema and the storage buckets up to date."""

from core.settings import Settings
from core.upgrade import upgrade


def run(settings: Settings) -> list[str]:
    """Apply what is missing; one line for each thing done or refused."""
    return upgrade(settings.require("DATABASE_URL"), local=settings.profile == "local")
