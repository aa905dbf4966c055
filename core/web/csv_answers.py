"""What every CSV has in common: whose link it is, its lines, and cells that are no formulas.

A link is made for somebody who may look, covers the whole filter, and is good for an hour or two, but no
longer than the sign-in of who it was made for; it carries no right to anything else.
"""

import csv
import hashlib
import hmac
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import StreamingResponse

from core import access, settings
from core.access import Action, Actor, Role
from core.deliveries import windows
from core.errors import NotSignedIn
from core.web import link_holders
from core.web.auth import actor_of

LINK_GOOD_FOR = timedelta(hours=1)
LINES_AT_ONCE = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def link(actor: Actor, file: str, filters: Mapping[str, str], now: datetime) -> str | None:
    """Where `actor` has the CSV `file`; the same for the rest of the hour. None where no key signs links."""
    end = windows.hour_of(now) + windows.HOUR + LINK_GOOD_FOR
    given = {**filters, "exp": str(int(end.timestamp()))}
    if actor.session is not None:
        given["session"] = actor.session
    signature = _sign(file, given)
    return None if signature is None else f"/api/{file}?{urlencode({**given, 'sig': signature})}"


def _sign(file: str, given: Mapping[str, str]) -> str | None:
    key = settings.current().files_signing_key
    if key is None:
        return None
    text = "\n".join((file, urlencode(sorted(given.items()))))
    return hmac.new(key.get_secret_value().encode(), text.encode(), hashlib.sha256).hexdigest()


def looker(
    file: str,
    request: Request,
    given: dict[str, str],
    now: datetime,
    action: Action = Action.VIEW,
    holder: Role = Role.VIEWER,
) -> Actor:
    """Who asks, and may do `action`: the person that a page's link was made for, whoever holds one that was
    made for nobody who signs in, as `holder`, or a key. NotSignedIn and NotAllowed say what to do."""
    signature = given.pop("sig", None)
    if signature is None:
        return access.check(actor_of(request), action)
    expected, expires = _sign(file, given), given.get("exp", "")
    if expected is None or not hmac.compare_digest(expected.encode(), signature.encode()):
        raise NotSignedIn("This link is not one of ours. Press the page's CSV button again.")
    if not expires.isdigit() or int(expires) <= now.timestamp():
        raise NotSignedIn("This link has expired. Reload the page and press its CSV button again.")
    session = given.pop("session", None)
    if session is not None:
        return link_holders.of(session, action)
    return access.check(
        Actor("person", "csv-link", "Holder of a CSV link", frozenset({holder}), "page"), action
    )


def answer(name: str, head: Sequence[str], rows: Iterator[Sequence[Any]], now: datetime) -> StreamingResponse:
    """The rows as a file `{name}-{date}.csv`, streamed. What the first of them raises gives no file."""
    lines = _lines(head, rows)
    first = list(itertools.islice(lines, 2))
    dated = f"{name}-{now.astimezone(UTC):%Y%m%d-%H%M}.csv"
    return StreamingResponse(
        itertools.chain(first, lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{dated}"', "Cache-Control": "no-store"},
    )


def _lines(head: Sequence[str], rows: Iterator[Sequence[Any]]) -> Iterator[str]:
    """The head, then some hundred lines at a time."""
    yield _text([head])
    while batch := list(itertools.islice(rows, LINES_AT_ONCE)):
        yield _text([[cell(value) for value in row] for row in batch])


def _text(rows: Sequence[Sequence[str]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


def cell(value: Any) -> str:
    """A value as a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
