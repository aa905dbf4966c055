"""What a delivery needs of the outside: the provider, the fetch guard, storage and the time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote
from uuid import UUID

from core import database, settings
from core.providers import fetch, registry
from core.providers.contract import GenerationProvider
from core.settings import Settings
from core.storage.backend import from_settings as storage_from_settings
from core.storage.contract import Storage

BUCKET = "generations"
MAX_FILE_BYTES = 500 * 1024 * 1024


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Tools:
    """The outside, passed in; `callback_base` is our callback URL without the generation."""

    kie: GenerationProvider
    fetch: fetch.Fetcher
    storage: Storage
    callback_base: str
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    max_file_bytes: int = MAX_FILE_BYTES

    def close(self) -> None:
        """Give every connection back."""
        self.kie.close()
        self.fetch.close()
        self.storage.close()

    def callback_url(self, generation_id: UUID) -> str:
        """The URL that KIE calls for this generation."""
        joint = "&" if "?" in self.callback_base else "?"
        return f"{self.callback_base}{joint}generation={generation_id}"


def from_settings(of: Settings) -> Tools:
    """The tools that these settings describe; a missing setting is an error that names it."""
    base = f"{of.public_base_url.rstrip('/')}/api/kie/callback"
    if of.kie_callback_secret:
        base += f"?secret={quote(of.kie_callback_secret.get_secret_value(), safe='')}"
    return Tools(
        kie=registry.build("kie", of),
        fetch=fetch.from_settings(of),
        storage=storage_from_settings(of),
        callback_base=base,
        clock=database.now,
    )


@lru_cache(maxsize=1)
def current() -> Tools:
    """This process's tools, made once from its settings."""
    return from_settings(settings.current())
