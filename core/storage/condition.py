"""Whether the storage can do its work: each bucket looked at and tried, each fault with its exact fix."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from core.errors import StudioOpsError
from core.storage.buckets import BUCKETS, Bucket
from core.storage.contract import Storage
from core.storage.r2 import R2Storage
from core.storage.supabase import SupabaseStorage, lacks
from core.storage.supabase_wire import NoBucket

_MB = 1024 * 1024


@dataclass(frozen=True)
class Condition:
    """What was seen of a bucket, in a sentence. `good` with `warning`: it works, and somebody should look.

    One that is `mendable` is set right by `prepare`.
    """

    bucket: str
    good: bool
    message: str
    warning: bool = False
    mendable: bool = False


def examine(storage: Storage) -> Iterator[Condition]:
    """Every bucket in turn. Writes a small file into each and removes it."""
    for bucket in BUCKETS:
        try:
            yield _examine(storage, bucket)
        except NoBucket as error:
            yield Condition(bucket.name, good=False, message=error.message, mendable=True)
        except StudioOpsError as error:
            yield Condition(bucket.name, good=False, message=error.message)


def _examine(storage: Storage, bucket: Bucket) -> Condition:
    well = partial(Condition, bucket.name, good=True)
    if isinstance(storage, SupabaseStorage):
        there = storage.describe(bucket.name)
        missing = lacks(there, bucket)
        if missing:
            told = f"{'; '.join(missing)}. Run: python -m jobs migrate, or in SQL: {opening(there, bucket)}"
            return Condition(bucket.name, good=False, message=told, mendable=True)
        storage.check(bucket.name)
        if there.public and not bucket.public:
            told = "writable, but public: whoever knows a file's address can read it. If nobody needs that:"
            return well(warning=True, message=f"{told} {_statement(bucket, ['public = false'])}")
        return well(message=f"writable, {'public' if there.public else 'private'}, {_limits(there)}")
    if isinstance(storage, R2Storage):
        return _examine_r2(storage, bucket)
    storage.check(bucket.name)
    return well(message="writable")


def _examine_r2(storage: R2Storage, bucket: Bucket) -> Condition:
    opened = storage.opens_to_anyone(bucket.name)
    if bucket.public and not opened.well:
        told = (
            f"a file just written does not open at {opened.url} ({opened.said}). In Cloudflare's dashboard:"
            f" R2, {storage.r2_bucket}, Settings, connect a domain or allow the r2.dev address; or correct"
            " CLOUDFLARE_R2_PUBLIC_URL."
        )
        return Condition(bucket.name, good=False, message=told)
    if not bucket.public and opened.well:
        told = (
            "writable, but its files open at the public address to whoever knows the path. In Cloudflare's"
            f" dashboard, the domain, Security, WAF, the rule: URI Path starts with /{bucket.name}/, Block."
        )
        return Condition(bucket.name, good=True, warning=True, message=told)
    return Condition(
        bucket.name, good=True, message=f"writable, {'public' if bucket.public else 'not public'}"
    )


def _limits(there: Bucket) -> str:
    size = f"{there.max_bytes / _MB:,.0f} MB a file" if there.max_bytes else "any size"
    return f"{size}, {len(there.content_types) or 'all'} types"


def opening(there: Bucket, wanted: Bucket) -> str:
    """The statement that opens a bucket as far as it lacks."""
    changes = []
    if wanted.public and not there.public:
        changes.append("public = true")
    if there.max_bytes and there.max_bytes < wanted.max_bytes:
        changes.append(f"file_size_limit = {wanted.max_bytes}")
    if there.content_types and not set(wanted.content_types) <= set(there.content_types):
        types = list(dict.fromkeys((*there.content_types, *wanted.content_types)))
        quoted = ", ".join("'" + one.replace("'", "''") + "'" for one in types)
        changes.append(f"allowed_mime_types = ARRAY[{quoted}]")
    return _statement(wanted, changes)


def _statement(bucket: Bucket, changes: Iterable[str]) -> str:
    """SQL for a person to read and run; nothing here executes it."""
    return f"UPDATE storage.buckets SET {', '.join(changes)} WHERE id = '{bucket.name}';"  # noqa: S608
