"""What a pod of ours pushes: its weights, and how far it is, each to a signed address of its own."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from core import database
from core.errors import InvalidInput, NotFound, NotSignedIn
from core.providers.training import PushTargets
from core.trainings import moving
from core.trainings.repository import SQL
from core.trainings.tools import WEIGHTS, Tools
from core.work import queue

# The folder of weights that nobody has checked yet.
INCOMING = "incoming/"
WEIGHTS_PART, PROGRESS_PART = "weights", "progress"
_ENDED = {"done", "completed", "succeeded", "failed", "error"}


def targets(call_id: UUID, tools: Tools) -> PushTargets:
    """The two addresses of a call; nobody without our key can make them up."""
    base = f"{tools.base_url}/api/trainings/{call_id}"
    weights, progress = (
        f"{base}/{part}?sig={sign(call_id, part, tools)}" for part in (WEIGHTS_PART, PROGRESS_PART)
    )
    return PushTargets(weights, progress)


def sign(call_id: UUID, part: str, tools: Tools) -> str:
    """The signature of one address of a call."""
    return hmac.new(tools.signing_key, f"push\n{call_id}\n{part}".encode(), hashlib.sha256).hexdigest()


def check(call_id: UUID, part: str, signature: str, tools: Tools) -> None:
    """Raise NotSignedIn for an address that is none of ours."""
    if not hmac.compare_digest(sign(call_id, part, tools), signature.encode("ascii", "replace").decode()):
        raise NotSignedIn("This address was not signed by us.")


def incoming_path(call_id: UUID) -> str:
    """Where a pod's weights lie until they are checked."""
    return f"{INCOMING}{call_id}.safetensors"


def check_open(call_id: UUID) -> None:
    """Raise NotFound unless the call is under way: what has ended takes no more weights."""
    with database.reading() as connection:
        row = SQL["call"].first(connection, id=call_id)
    if row is None or row["state"] not in {"sending", "accepted", "unknown"}:
        raise NotFound("No training of ours is under way here.")


def progress(call_id: UUID, body: bytes, tools: Tools) -> None:
    """Keep what a pod tells of itself; its end makes the run due now. NotFound when none is under way."""
    told = _object(body)
    with database.transaction() as connection:
        call = SQL["call"].first(connection, id=call_id)
        if call is not None and str(told.get("state", "")).lower() in _ENDED:
            # The run before its call, as whoever follows it takes them: else the two wait for each other.
            SQL["hurry"].first(connection, id=call["run_id"], now=tools.clock())
            moving.enqueue(connection, call["run_id"], queue.URGENT)
        if not SQL["push"].run(connection, id=call_id, pushed=json.dumps(told), now=tools.clock()):
            raise NotFound("No training of ours is under way here.")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body.replace(b"\\u0000", b""))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise InvalidInput("body", "Progress is a JSON object.")
    return told


def is_here(call_id: UUID, tools: Tools) -> bool:
    """Whether a pod's weights have arrived."""
    return tools.storage.stat(WEIGHTS, incoming_path(call_id)) is not None
