"""CSV of every generation that a filter matches, streamed; by a signed link of a page, or with a key.

The link is made for somebody who may look, covers the whole filter, and is good for an hour or two; it
carries no right to anything else.
"""

import csv
import hashlib
import hmac
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from core import access, database, settings
from core.access import Action, Actor
from core.deliveries import health_rows, windows
from core.deliveries.models import Generation
from core.deliveries.windows import Filter
from core.errors import InvalidInput, NotSignedIn
from core.web.auth import actor_of
from core.web.openapi import SCHEMES, refusals

router = APIRouter(tags=["Deliveries"])
LINK_GOOD_FOR = timedelta(hours=1)
LINES_AT_ONCE = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "id", "created_at", "kind", "model", "delivery_state", "status", "delivered_at", "task_id", "user_id",
    "failure_category", "failure_code", "failure_message", "result_expires_at", "asset_url", "prompt",
)  # fmt: skip


def link(actor: Actor | None, chosen: Filter, now: datetime) -> str | None:
    """Where `actor` gets the CSV; the same for the rest of the hour. None where no key signs links."""
    access.check(actor, Action.VIEW)
    end = windows.hour_of(now) + windows.HOUR + LINK_GOOD_FOR
    given = {**chosen.query(), "exp": str(int(end.timestamp()))}
    signature = _sign(given)
    return None if signature is None else f"/api/deliveries.csv?{urlencode({**given, 'sig': signature})}"


def _sign(given: Mapping[str, str]) -> str | None:
    key = settings.current().files_signing_key
    if key is None:
        return None
    text = "\n".join(("deliveries.csv", urlencode(sorted(given.items()))))
    return hmac.new(key.get_secret_value().encode(), text.encode(), hashlib.sha256).hexdigest()


def _looker(request: Request, given: dict[str, str], now: datetime) -> Actor:
    """Who asks: the holder of a page's link, or of a key. NotSignedIn says what to do."""
    signature = given.pop("sig", None)
    if signature is None:
        return actor_of(request)
    expected, expires = _sign(given), given.get("exp", "")
    if expected is None or not hmac.compare_digest(expected.encode(), signature.encode()):
        raise NotSignedIn("This link is not one of ours. Press the page's CSV button again.")
    if not expires.isdigit() or int(expires) <= now.timestamp():
        raise NotSignedIn("This link has expired. Reload the page and press its CSV button again.")
    return Actor("person", "csv-link", "Holder of a CSV link", frozenset({access.Role.VIEWER}), "page")


@router.get(
    "/deliveries.csv",
    response_class=StreamingResponse,
    responses=refusals(400, 401, 403),
    openapi_extra={"security": [{}, *SCHEMES]},
)
def deliveries_csv(request: Request) -> StreamingResponse:
    """Every generation that the filter matches, newest first; each as it was when its line was written."""
    given, now = dict(request.query_params), database.now()
    actor = access.check(_looker(request, given, now), Action.VIEW)
    chosen, faults = windows.read(given)
    if faults:
        raise InvalidInput("filter", " ".join(faults))
    name = f"deliveries-{chosen.window}-{now.astimezone(UTC):%Y%m%d-%H%M}.csv"
    lines = _lines(health_rows.every_row(actor, chosen, now))
    first = next(lines)
    return StreamingResponse(
        itertools.chain([first], lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _lines(rows: Iterator[Generation]) -> Iterator[str]:
    """The head, then some hundred lines at a time."""
    yield _text([_COLUMNS])
    while batch := list(itertools.islice(rows, LINES_AT_ONCE)):
        yield _text([[cell(getattr(generation, name)) for name in _COLUMNS] for generation in batch])


def _text(rows: Sequence[Sequence[str]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


def cell(value: Any) -> str:
    """A value as a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
