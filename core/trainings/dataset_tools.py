"""What putting a dataset together needs of the outside: the fetch guard, storage, the disk and the time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from core import database, settings
from core.providers.fetch import Fetcher
from core.settings import Settings
from core.storage.backend import from_settings as storage_from_settings
from core.storage.backend import local_from_settings, r2_from_settings
from core.storage.contract import Storage
from core.trainings.fetching import Proxy, fetcher_for, proxy_for


@dataclass(frozen=True)
class DatasetTools:
    """The outside, passed in. `zips` is where ZIPs go, which may be another storage than the images';
    `folder` lies on a disk, for files on their way."""

    storage: Storage
    zips: Storage
    fetch: Fetcher
    folder: Path = field(repr=False)
    proxy: Proxy | None = None
    clock: Callable[[], datetime] = database.now
    sleep: Callable[[float], None] = time.sleep

    def zip_link(self, bucket: str, path: str, good_for: timedelta) -> str:
        """An address at which a trainer fetches a ZIP; relative to the product's own with local storage."""
        return self.zips.signed_url(bucket, path, good_for)

    def close(self) -> None:
        """Give every connection back."""
        self.fetch.close()
        if self.proxy is not None:
            self.proxy.fetcher.close()
        self.zips.close()
        self.storage.close()


def from_settings(of: Settings) -> DatasetTools:
    """The tools that these settings describe; a missing setting is an error that names it."""
    storage = storage_from_settings(of)
    return DatasetTools(
        storage=storage,
        zips=_zips(of, storage),
        fetch=fetcher_for(of),
        folder=of.data_path / "datasets",
        proxy=proxy_for(of),
    )


def _zips(of: Settings, storage: Storage) -> Storage:
    """This machine's folder when it is asked for, else R2 wherever it is set up, else the storage."""
    if of.use_local_zip_storage:
        return storage if storage.kind == "local" else local_from_settings(of)
    if of.zips_to_r2 and storage.kind != "r2":
        return r2_from_settings(of)
    return storage


@lru_cache(maxsize=1)
def current() -> DatasetTools:
    """This process's tools, made once from its settings."""
    return from_settings(settings.current())
