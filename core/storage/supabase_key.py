"""What a Supabase key says of itself, read before anything is asked with it."""

import base64
import binascii
import json
from datetime import datetime
from typing import Any

KEY_REMEDY = (
    "Check SUPABASE_SERVICE_ROLE_KEY: the service_role key or a secret key (sb_secret_…) of this very"
    " project (dashboard, Project Settings, API keys)."
)


def key_fault(key: str, now: datetime) -> str | None:
    """Why `key` cannot be a service key, or None; its signature is not looked at."""
    if key.startswith("sb_secret_"):
        return None
    if key.startswith("sb_publishable_"):
        return f"is a publishable key, which may write nothing. {KEY_REMEDY}"
    claims = _claims(key)
    if claims is None:
        return f"is neither a JWT nor a secret key (sb_secret_…). {KEY_REMEDY}"
    if claims.get("role") != "service_role":
        return f"is the key of the role {str(claims.get('role'))[:30]!r}, not of service_role. {KEY_REMEDY}"
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires < now.timestamp():
        return f"expired. {KEY_REMEDY}"
    return None


def project_of_key(key: str) -> str | None:
    """The project that a JWT names; a secret key names none."""
    found = (_claims(key) or {}).get("ref")
    return found if isinstance(found, str) else None


def _claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return None
    return found if len(parts) == 3 and isinstance(found, dict) else None
