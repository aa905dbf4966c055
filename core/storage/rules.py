"""What every backend refuses alike: files that a bucket does not take, and buckets that do not exist."""

from collections.abc import Mapping

from core.errors import StorageError
from core.storage.buckets import Bucket

# What a path's ending stands for; anything else is bytes.
CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "zip": "application/zip",
    "tar": "application/x-tar",
    "json": "application/json",
}
UNKNOWN_TYPE = "application/octet-stream"


def content_type_of(path: str) -> str:
    """The content type that a file at `path` is served with."""
    return CONTENT_TYPES.get(path.rpartition(".")[2].lower(), UNKNOWN_TYPE)


def known(buckets: Mapping[str, Bucket], name: str) -> Bucket:
    """The bucket of that name. Raises StorageError that names those that there are."""
    if name not in buckets:
        raise StorageError(
            f"There is no bucket {name[:80]!r}. There are: {', '.join(buckets)}.", retryable=False
        )
    return buckets[name]


def check_rules(bucket: Bucket, path: str, content_type: str, size: int) -> None:
    """Refuse what the bucket does not take, as Supabase does, and a path whose ending says otherwise."""
    if content_type not in bucket.content_types:
        raise StorageError(
            f"The bucket {bucket.name} takes no {content_type}; it takes: {', '.join(bucket.content_types)}.",
            retryable=False,
        )
    if size > bucket.max_bytes:
        raise StorageError(
            f"The bucket {bucket.name} takes at most {bucket.max_bytes / 1024 / 1024:,.0f} MB a file; "
            f"this one has {size / 1024 / 1024:,.1f} MB.",
            retryable=False,
        )
    if content_type_of(path) != content_type:
        raise StorageError(
            f"A file of type {content_type} cannot be stored under {path}: by its ending it would be "
            f"served as {content_type_of(path)}.",
            retryable=False,
        )
