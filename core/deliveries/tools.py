"""What a delivery needs of the outside: the providers, the fetch guard, storage and the time."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, urljoin
from uuid import UUID

from core import database, settings
from core.deliveries.models import Generation
from core.errors import Conflict
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
    """The outside, passed in. `providers` are those whose key is set, by their name in the registry;
    `callback_bases` are our callback URLs without the generation."""

    providers: Mapping[str, GenerationProvider]
    fetch: fetch.Fetcher
    storage: Storage
    callback_bases: Mapping[str, str]
    base_url: str
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    max_file_bytes: int = MAX_FILE_BYTES

    def close(self) -> None:
        """Give every connection back."""
        for provider in self.providers.values():
            provider.close()
        self.fetch.close()
        self.storage.close()

    def absolute(self, url: str) -> str:
        """An address of ours as the outside sees it; the local storage's are relative."""
        return urljoin(f"{self.base_url}/", url)

    def provider(self, generation: Generation) -> GenerationProvider:
        """Who makes this generation. Raises Conflict where its key is not set here."""
        return self.provider_named(generation.provider.lower())

    def provider_named(self, name: str) -> GenerationProvider:
        """The provider of that name in the registry. Raises Conflict where its key is not set here."""
        found = self.providers.get(name)
        if found is None:
            entry = registry.PROVIDERS.get(name)
            remedy = f"Set {entry.needs}." if entry else "It is none of ours."
            raise Conflict(f"{registry.name_of(name)} cannot be asked from here. {remedy}")
        return found

    def callback_url(self, generation_id: UUID, provider: str = "kie") -> str:
        """The URL that the provider calls for this generation."""
        base = self.callback_bases[provider.lower()]
        return f"{base}{'&' if '?' in base else '?'}generation={generation_id}"


def from_settings(of: Settings) -> Tools:
    """The tools that these settings describe; a missing setting is an error that names it."""
    base = of.public_base_url.rstrip("/")
    bases = {name: f"{base}{entry.callback_path}" for name, entry in registry.PROVIDERS.items()}
    if of.kie_callback_secret:
        bases["kie"] += f"?secret={quote(of.kie_callback_secret.get_secret_value(), safe='')}"
    return Tools(
        providers={
            name: registry.build(name, of)
            for name, entry in registry.PROVIDERS.items()
            # Without KIE's key the product has no use: its builder says what is missing.
            if name == "kie" or of.has(entry.needs)
        },
        fetch=fetch.from_settings(of),
        storage=storage_from_settings(of),
        callback_bases=bases,
        base_url=base,
        clock=database.now,
    )


@lru_cache(maxsize=1)
def current() -> Tools:
    """This process's tools, made once from its settings."""
    return from_settings(settings.current())
