"""Which of our files an address names."""

from urllib.parse import unquote, urlsplit

from core.errors import InvalidInput
from core.storage.contract import Storage


def address_path(address: str) -> str:
    """The path of an address, without its escapes; empty for one that is none."""
    try:
        return unquote(urlsplit(address).path)
    except ValueError:
        return ""


def within_bucket(address: str, bucket: str) -> str | None:
    """The path within `bucket` that an address of one of our storages names: what follows the bucket."""
    _, found, after = address_path(address).partition(f"/{bucket}/")
    return after if found and after else None


def own_path(storage: Storage, bucket: str, address: str | None) -> str | None:
    """The path of the file to which `storage` itself gives this very address; None for any other address.

    Raises StorageError when the bucket is private.
    """
    path = within_bucket(address or "", bucket)
    if path is None:
        return None
    try:
        return path if storage.url(bucket, path) == address else None
    except InvalidInput:
        return None
