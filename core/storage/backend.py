"""The storage that the settings choose."""

from core.settings import Settings
from core.storage.buckets import BUCKETS
from core.storage.contract import Storage
from core.storage.objects import LocalStorage


def from_settings(settings: Settings) -> Storage:
    """The configured backend. Raises SettingsError that names what is missing."""
    return local_from_settings(settings)


def local_from_settings(settings: Settings) -> LocalStorage:
    """The folder's storage, whose files this product serves itself under `/files`."""
    return LocalStorage(
        settings.data_path / "files",
        settings.require("FILES_SIGNING_KEY").encode(),
        {bucket.name: bucket for bucket in BUCKETS},
    )
