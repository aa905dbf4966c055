"""Settings about files and their project that can't all be meant, as far as the settings alone show it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from core.settings import STORAGE_NEEDS, Settings
from core.storage.supabase_key import project_of_key

_SUPABASE_HOST = re.compile(r"([a-z0-9]{8,})\.supabase\.co")
_DATABASE_HOST = re.compile(r"db\.([a-z0-9]{8,})\.supabase\.co")


@dataclass(frozen=True)
class Contradiction:
    """Which setting, what about it and the remedy; `harmless` when everything works all the same."""

    name: str
    words: str
    harmless: bool


def found_in(settings: Settings) -> Iterator[Contradiction]:
    """Each of them, in the order of the settings."""
    yield from _unused(settings)
    project = _project_of_url(settings.supabase_url)
    if project:
        yield from _other_projects(settings, project)
    if settings.storage_backend == "r2":
        host = urlsplit(settings.cloudflare_r2_public_url).hostname or ""
        if host.endswith(".r2.cloudflarestorage.com"):
            yield Contradiction(
                "CLOUDFLARE_R2_PUBLIC_URL",
                "is the S3 endpoint, where nothing opens without keys. Set it to the bucket's r2.dev address"
                " or to the domain that is connected to it.",
                harmless=False,
            )


def _unused(settings: Settings) -> Iterator[Contradiction]:
    """Keys of a storage that is not the chosen one: somebody may believe that files go there."""
    for backend, name in (
        ("supabase", "SUPABASE_SERVICE_ROLE_KEY"),
        ("r2", "CLOUDFLARE_R2_SECRET_ACCESS_KEY"),
    ):
        if backend == "r2" and settings.zips_to_r2:
            continue
        if settings.storage_backend != backend and _is_set(settings, name):
            yield Contradiction(
                "STORAGE_BACKEND",
                f"is {settings.storage_backend} although {name} is set: files do not go there. Set"
                f" STORAGE_BACKEND={backend} if they should, else unset {', '.join(STORAGE_NEEDS[backend])}.",
                harmless=True,
            )


def _other_projects(settings: Settings, project: str) -> Iterator[Contradiction]:
    key = settings.supabase_service_role_key
    of_key = project_of_key(key.get_secret_value()) if key else None
    if of_key and of_key != project:
        yield Contradiction(
            "SUPABASE_SERVICE_ROLE_KEY",
            f"belongs to the project {of_key}, SUPABASE_URL to {project}. Take both from one project.",
            harmless=False,
        )
    of_database = _project_of_database(settings)
    if of_database and of_database != project:
        yield Contradiction(
            "SUPABASE_URL",
            f"is the project {project}, DATABASE_URL the project {of_database}. Take both from one project.",
            harmless=False,
        )


def _project_of_url(url: str) -> str | None:
    found = _SUPABASE_HOST.fullmatch(urlsplit(url).hostname or "")
    return found[1] if found else None


def _project_of_database(settings: Settings) -> str | None:
    """The project that a database of Supabase's belongs to: in its host, or at a pooler in the user."""
    if settings.database_url is None:
        return None
    parts = urlsplit(settings.database_url.get_secret_value())
    host = parts.hostname or ""
    found = _DATABASE_HOST.fullmatch(host)
    if found:
        return found[1]
    return (parts.username or "").partition(".")[2] or None if host.endswith(".pooler.supabase.com") else None


def _is_set(settings: Settings, name: str) -> bool:
    value = getattr(settings, name.lower())
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)
