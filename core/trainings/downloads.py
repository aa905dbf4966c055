"""How downloads of images go, by the way that they took: counted as they end, shown against the target."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core import access, database, queries
from core.access import Action, Actor
from core.trainings.fetching import FetchedImage, Way

TARGET = 0.99
_SQL = queries.load("training_images")


@dataclass(frozen=True)
class WayRate:
    """Images that were had this way, and that were not; `rate` is None without any."""

    way: Way
    succeeded: int
    failed: int

    @property
    def rate(self) -> float | None:
        return _rate(self.succeeded, self.failed)


@dataclass(frozen=True)
class DownloadRates:
    """All downloads since a time: each way by itself, and how many images came by any of them."""

    ways: tuple[WayRate, ...]
    succeeded: int
    lost: int
    target: float = TARGET

    @property
    def rate(self) -> float | None:
        """Images that came at all, by all that were wanted; None without any."""
        return _rate(self.succeeded, self.lost)


def rates(actor: Actor | None, since: datetime) -> DownloadRates:
    """The success of image downloads since `since`, whole hours, split by way."""
    access.check(actor, Action.VIEW)
    with database.reading() as connection:
        rows = {row["way"]: row for row in _SQL["downloads"].all(connection, since=since)}
    ways = tuple(
        WayRate(way, rows[way]["succeeded"], rows[way]["failed"]) if way in rows else WayRate(way, 0, 0)
        for way in Way
    )
    lost = sum(row["lost"] for row in rows.values())
    return DownloadRates(ways, sum(way.succeeded for way in ways), lost)


def count(connection: Connection, fetched: Iterable[FetchedImage], now: datetime) -> None:
    """Add what became of these; what our own guard refused is no download."""
    succeeded: Counter[Way] = Counter()
    failed: Counter[Way] = Counter()
    lost: Counter[Way] = Counter()
    for image in fetched:
        failed.update(image.failed)
        if image.way is not None:
            succeeded[image.way] += 1
        elif image.failed:
            lost[image.failed[-1]] += 1
    counts = [
        {"way": way, "succeeded": succeeded[way], "failed": failed[way], "lost": lost[way]}
        for way in Way
        if succeeded[way] or failed[way]
    ]
    if counts:
        _SQL["count_downloads"].run(connection, counts=json.dumps(counts), now=now)


def _rate(good: int, bad: int) -> float | None:
    return good / (good + bad) if good + bad else None
