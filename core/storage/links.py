"""Signed links to files that this product serves itself: `/files/{bucket}/{path}?sig=…[&exp=…][&session=…]`.

The signature covers all of them, so that none can be changed, and a link that expires, or that was made for
a sign-in, cannot be turned into one that does not. Links are relative: they outlive a change of port.
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


def link(
    key: bytes, bucket: str, path: str, expires_at: datetime | None = None, session: str | None = None
) -> str:
    """The link to a file, for good or until `expires_at` (aware, whole seconds); with `session` it is good
    only while that sign-in counts, which whoever serves the file has to ask."""
    expires = None if expires_at is None else str(int(expires_at.timestamp()))
    signature = sign(key, bucket, check_key(path), expires, session)
    expiry = "" if expires is None else f"&exp={expires}"
    bound = "" if session is None else f"&session={quote(session, safe='')}"
    return f"{PREFIX}/{quote(bucket)}/{quote(path)}?sig={signature}{expiry}{bound}"


def check_link(
    key: bytes,
    bucket: str,
    path: str,
    signature: str,
    expires: str | None,
    now: datetime,
    session: str | None = None,
) -> LinkState:
    """Whether a link's parts belong together and are still good; takes as long for any signature."""
    if expires is not None and not (expires.isascii() and expires.isdigit()):
        return LinkState.FORGED
    expected = sign(key, bucket, path, expires, session)
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        return LinkState.FORGED
    return LinkState.EXPIRED if expires is not None and int(expires) <= now.timestamp() else LinkState.GOOD


def sign(key: bytes, bucket: str, path: str, expires: str | None, session: str | None = None) -> str:
    """Base64url HMAC-SHA256. No part has a newline, and no expiry begins like a sign-in's line, so that no
    two links are one text."""
    bound = () if session is None else (f"session {session}",)
    text = "\n".join(("files", bucket, path, "forever" if expires is None else expires, *bound))
    digest = hmac.new(key, text.encode("utf-8", "replace"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
