"""What a training needs of the outside: trainers, pictures, publishing, fetches, storage and the time."""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin
from uuid import UUID

from core import database, queries, settings
from core.errors import SettingsError
from core.loras.models import WEIGHTS_BUCKET
from core.providers import fal_images, fetch, hugging_face, registry, training_registry
from core.providers.contract import GenerationProvider
from core.providers.fal_images import FalImages
from core.providers.hugging_face import Publisher
from core.providers.training import Trainer
from core.settings import Settings
from core.storage.backend import from_settings as storage_from_settings
from core.storage.contract import Storage
from core.trainings import dataset_tools
from core.trainings.dataset_tools import DatasetTools

_SQL = queries.load("trainings")
WEIGHTS = WEIGHTS_BUCKET
PICTURES = "lora-validation"
# A provider may begin to fetch what it was given hours after it took the request.
LINKS_LAST = timedelta(hours=24)
MAX_WEIGHTS = 2048 * 1024 * 1024
MAX_PICTURE = 20 * 1024 * 1024


@dataclass(frozen=True)
class Tools:
    """The outside, passed in. `missing` says of a trainer that is not configured what is wanting."""

    trainers: Mapping[str, Trainer]
    missing: Mapping[str, str]
    dataset: DatasetTools
    images: FalImages | None
    publisher: Publisher | None
    fetch: fetch.Fetcher
    storage: Storage
    base_url: str
    signing_key: bytes = field(repr=False)
    folder: Path = field(repr=False)
    fallbacks: Mapping[str, str] = field(default_factory=dict)
    # Draws the images that fill a draft up; None without a key.
    kie: GenerationProvider | None = None
    kie_secret: str = field(default="", repr=False)
    clock: Callable[[], datetime] = database.now
    sleep: Callable[[float], None] = time.sleep

    def close(self) -> None:
        """Give every connection back."""
        for trainer in self.trainers.values():
            trainer.close()
        if self.images is not None:
            self.images.close()
        if self.kie is not None:
            self.kie.close()
        self.dataset.close()
        self.fetch.close()
        self.storage.close()

    def webhook_url(self, provider: str, call_id: UUID) -> str:
        """The address that a provider reports to, with the call's id; of a run's first training the run's."""
        return f"{self.base_url}/api/{provider}/webhook?run={call_id}"

    def drawing_callback_url(self, drawing_id: UUID) -> str:
        """The address that KIE reports a drawing to."""
        secret = f"secret={quote(self.kie_secret, safe='')}&" if self.kie_secret else ""
        return f"{self.base_url}/api/kie/images/callback?{secret}image={drawing_id}"

    def link(self, bucket: str, path: str) -> str:
        """An address of one of our files that a provider can fetch."""
        return self.absolute(self.storage.signed_url(bucket, path, LINKS_LAST))

    def zip_link(self, bucket: str, path: str) -> str:
        """An address of a ZIP, which may lie in another storage than our other files."""
        return self.absolute(self.dataset.zip_link(bucket, path, LINKS_LAST))

    def absolute(self, url: str) -> str:
        """An address of ours as the outside sees it; the local storage's are relative."""
        return urljoin(f"{self.base_url}/", url)


def from_settings(of: Settings) -> Tools:
    """The tools that these settings describe; what is not configured is left out, and named."""
    trainers: dict[str, Trainer] = {}
    missing: dict[str, str] = {}
    for name in training_registry.TRAINERS:
        try:
            trainers[name] = training_registry.build(name, of, pushed)
        except SettingsError as error:
            missing[name] = error.message
    return Tools(
        trainers=trainers,
        missing=missing,
        dataset=dataset_tools.from_settings(of),
        images=fal_images.from_settings(of) if "fal" in trainers else None,
        publisher=_publisher(of),
        fetch=fetch.from_settings(of),
        storage=storage_from_settings(of),
        base_url=of.public_base_url.rstrip("/"),
        signing_key=_signing_key(of),
        folder=of.data_path / "trainings",
        fallbacks={"runpod": "replicate"} if "replicate" in trainers else {},
        kie=registry.build("kie", of) if of.has("KIE_API_KEY") else None,
        kie_secret=of.kie_callback_secret.get_secret_value() if of.kie_callback_secret else "",
    )


def _signing_key(of: Settings) -> bytes:
    """The key of the addresses that pods push to: FILES_SIGNING_KEY, else made of RunPod's own key."""
    for name in ("FILES_SIGNING_KEY", "RUNPOD_API_KEY"):
        if of.has(name):
            return hashlib.sha256(f"push:{of.require(name)}".encode()).digest()
    return secrets.token_bytes(32)


def _publisher(of: Settings) -> Publisher | None:
    try:
        return hugging_face.from_settings(of)
    except SettingsError:
        return None


def pushed(call_id: UUID) -> Mapping[str, Any] | None:
    """What a pod of ours has written to its progress address last; None when nothing."""
    with database.reading() as connection:
        row = _SQL["pushed"].first(connection, id=call_id)
    return row["pushed"] if row else None


@lru_cache(maxsize=1)
def current() -> Tools:
    """This process's tools, made once from its settings."""
    return from_settings(settings.current())
