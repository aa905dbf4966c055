"""Signed links to files that this product serves itself: `/files/{bucket}/{path}?sig=…[&exp=…]`.

The signature covers bucket, path and expiry, so that none of them can be changed, and a link that
expires cannot be turned into one that does not. Links are relative: they outlive a change of port.
"""

import base64
import hashlib
import hmac
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from core.storage.contract import check_key

PREFIX = "/files"


class LinkState(StrEnum):
    GOOD = "good"
    FORGED = "forged"
    EXPIRED = "expired"


def link(key: bytes, bucket: str, path: str, expires_at: datetime | None = None) -> str:
    """The link to a file, for good or until `expires_at` (aware, whole seconds)."""
    expires = None if expires_at is None else str(int(expires_at.timestamp()))
    signature = sign(key, bucket, check_key(path), expires)
    expiry = "" if expires is None else f"&exp={expires}"
    return f"{PREFIX}/{quote(bucket)}/{quote(path)}?sig={signature}{expiry}"


def check_link(
    key: bytes, bucket: str, path: str, signature: str, expires: str | None, now: datetime
) -> LinkState:
    """Whether a link's parts belong together and are still good; takes as long for any signature."""
    if expires is not None and not (expires.isascii() and expires.isdigit()):
        return LinkState.FORGED
    expected = sign(key, bucket, path, expires)
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        return LinkState.FORGED
    return LinkState.EXPIRED if expires is not None and int(expires) <= now.timestamp() else LinkState.GOOD


def sign(key: bytes, bucket: str, path: str, expires: str | None) -> str:
    """Base64url HMAC-SHA256. A newline is in no bucket, path or expiry, so no two triples are one text."""
    text = "\n".join(("files", bucket, path, "forever" if expires is None else expires))
    digest = hmac.new(key, text.encode("utf-8", "replace"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
