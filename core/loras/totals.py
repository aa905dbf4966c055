"""How many LoRAs fit a search: counted each time, except where they are far more than are ever told."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from core import queries
from core.loras import policy

SQL = queries.load("loras")
# That more fit than are counted is taken for true so long; it makes “10,000+” late, and no number wrong.
KEPT_S = 60.0
REMEMBERED = 1_000
_NOBODY = {"sees_all": False, "viewer": None, "viewer_key": ""}

_many: dict[tuple[Any, ...], tuple[float, int]] = {}
_guard = threading.Lock()


def forget() -> None:
    """Count everything anew."""
    with _guard:
        _many.clear()


def count(connection: Connection, values: Mapping[str, Any]) -> tuple[int, int]:
    """How many LoRAs fit, up to one more than the limit, and about how many there are in all.

    Only what everybody may see is remembered, so that nobody's own LoRAs show in another one's total.
    """
    if values["mine"] or values["restricted"] or values["near"] is not None or values["among"] is not None:
        return _counted(connection, values)
    key = (
        connection.engine,
        policy.COUNTED_TO,
        *(values[name] for name in sorted(values) if name not in _NOBODY),
    )
    now = time.monotonic()
    known = _many.get(key)
    if known is not None and now < known[0]:
        return policy.COUNTED_TO + 1, known[1]
    found, library = _counted(connection, values)
    if found > policy.COUNTED_TO and _counted(connection, {**values, **_NOBODY})[0] > policy.COUNTED_TO:
        with _guard:
            if len(_many) >= REMEMBERED:
                _many.clear()
            _many[key] = (now + KEPT_S, library)
    return found, library


def _counted(connection: Connection, values: Mapping[str, Any]) -> tuple[int, int]:
    row = SQL["count"].one(connection, **values, most=policy.COUNTED_TO + 1)
    return int(row["n"]), int(row["library"])
