"""How a studio's weeks go: when people make pictures, what they ask for, and what breaks.

Everything is drawn from a seed; nothing here knows the database.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from core.deliveries.models import DeliveryState as S
from core.deliveries.models import EventKind
from core.errors import ErrorCategory as C
from core.providers import catalogue, kie_models

# Share of a day's work by its hour, UTC: a studio in Europe with customers further west.
_BY_HOUR = (3, 2, 1, 1, 1, 2, 4, 7, 11, 14, 15, 14, 12, 14, 16, 17, 16, 13, 11, 9, 8, 7, 6, 4)
_BY_WEEKDAY = (1.0, 1.08, 1.1, 1.12, 0.95, 0.45, 0.4)
# The last days of a month: campaigns are finished and the budget is looked at.
_MONTH_END = 1.35
# Of what is asked for, so much fails in a good hour, and so much while KIE is down.
QUIET_FAILS, OUTAGE_FAILS = 0.014, 0.42
# Nothing of the history is younger: what is newer is in flight, and that is real.
NEWEST = timedelta(minutes=4)


@dataclass(frozen=True)
class Hour:
    """An hour of the history: its first generation's number, how many begin in it, what part fails.

    `span_s` is shorter for the hour under way; `slow` stretches what the provider takes.
    """

    start: datetime
    first: int
    count: int
    span_s: float
    fails: float
    slow: float
    outage: bool

    def row(self) -> dict[str, Any]:
        """The hour for the statement that fills it."""
        return {
            "start": self.start.isoformat(),
            "first": self.first,
            "n": self.count,
            "span_s": self.span_s,
            "fails": self.fails,
            "slow": self.slow,
            "outage": self.outage,
        }


def hours(now: datetime, *, days: int, generations: int, seed: int) -> list[Hour]:
    """The hours of `days` until now, with `generations` spread over them as people would."""
    drawn = random.Random(seed)  # noqa: S311 - a rehearsal is no secret
    last = now.astimezone(UTC) - NEWEST
    first_hour = (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    starts = []
    start = first_hour
    while start < last:
        starts.append(start)
        start += timedelta(hours=1)
    outages = _outages(len(starts), drawn)
    spans = [min((last - start).total_seconds(), 3600.0) for start in starts]
    weights = [
        _weight(start, n / len(starts), drawn) * span / 3600
        for n, (start, span) in enumerate(zip(starts, spans, strict=True))
    ]
    total, made, owed = sum(weights), 0, 0.0
    found = []
    for n, (start, weight) in enumerate(zip(starts, weights, strict=True)):
        owed += generations * weight / total
        count = round(owed) - made
        if count > 0:
            down = n in outages
            fails = OUTAGE_FAILS if down else QUIET_FAILS * drawn.uniform(0.5, 1.5)
            slow = 2.4 if down else drawn.uniform(0.9, 1.15)
            found.append(Hour(start, made, count, spans[n], fails, slow, down))
            made += count
    return found


def _weight(start: datetime, part: float, drawn: random.Random) -> float:
    weight = _BY_HOUR[start.hour] * _BY_WEEKDAY[start.weekday()] * drawn.uniform(0.75, 1.25)
    if (start + timedelta(days=2)).month != start.month:
        weight *= _MONTH_END
    return weight * (0.7 + 0.6 * part)  # the studio grows


def _outages(count: int, drawn: random.Random) -> frozenset[int]:
    """KIE is down for an evening in the history, and briefly within the last day."""
    long_ago = min(max(round(count * 0.62), 0), max(count - 30, 0))
    down = set(range(long_ago, min(long_ago + 4, count)))
    if count > 12:
        down.add(count - drawn.randint(7, 10))
    return frozenset(down)


@dataclass(frozen=True)
class Variant:
    """A model with one choice of its inputs, and what it costs."""

    model: str
    kind: str
    input: Mapping[str, Any]
    usd: Decimal
    p50_s: float
    extension: str


_REFERENCE = "https://static.aiquickdraw.com/references/lookbook-07.jpg"
# How often each model is asked for, with which inputs.
_ASKED: tuple[tuple[float, str, Mapping[str, Any]], ...] = (
    (30, "flux-2/pro-text-to-image", {"aspect_ratio": "4:3", "resolution": "1K"}),
    (14, "flux-2/pro-text-to-image", {"aspect_ratio": "1:1", "resolution": "1K"}),
    (10, "flux-2/pro-text-to-image", {"aspect_ratio": "9:16", "resolution": "2K"}),
    (
        14,
        "flux-2/pro-image-to-image",
        {"aspect_ratio": "3:4", "resolution": "1K", "input_urls": [_REFERENCE]},
    ),
    (6, "flux-2/pro-image-to-image", {"aspect_ratio": "1:1", "resolution": "2K", "input_urls": [_REFERENCE]}),
    (11, "kling-2.6/text-to-video", {"aspect_ratio": "16:9", "duration": "5", "sound": False}),
    (4, "kling-2.6/text-to-video", {"aspect_ratio": "9:16", "duration": "10", "sound": True}),
    (8, "kling-2.6/image-to-video", {"image_urls": [_REFERENCE], "duration": "5", "sound": False}),
    (3, "kling-2.6/image-to-video", {"image_urls": [_REFERENCE], "duration": "10", "sound": True}),
)
PROMPTS = (
    "A lighthouse on a cliff at dusk, long exposure",
    "Portrait of a violinist, window light, 85 mm",
    "Neon street in the rain, reflections, film grain",
    "A mountain lake at dawn, mist over the water",
    "Perfume bottle on wet slate, soft rim light",
    "A red vintage car on a coastal road, golden hour",
    "Fashion editorial in a brutalist stairwell",
    "An old library with dust in the sunbeams",
    "Bowl of ramen from above, steam, dark table",
    "A fox in fresh snow, shallow depth of field",
    "City skyline at night from a rooftop bar",
    "Ceramic cups on linen, morning light",
    "A sailing boat in a storm, dramatic clouds",
    "A greenhouse full of ferns, soft overcast light",
    "Runner on a bridge at sunrise, motion blur",
    "Desert road, lone gas station, wide angle",
)


def variants() -> list[tuple[float, Variant]]:
    """Each model and input with its share, from the table of models."""
    found = []
    for share, model_id, chosen in _ASKED:
        model = catalogue.require(model_id)
        usd = catalogue.estimate_usd(model_id, {"prompt": "a prompt", **chosen})
        video = model.kind == "video"
        extension = "mp4" if video else "png" if "input_urls" in chosen else "jpg"
        found.append((share, Variant(model.id, model.kind, chosen, usd, model.p50_seconds, extension)))
    return found


@dataclass(frozen=True)
class Ending:
    """A way not to arrive. `refused`: KIE never took it; `paid`: KIE made it and charged for it.

    `message` is what KIE said, or where nobody there said anything, our own sentence.
    """

    share: float
    state: S
    status: str
    event: EventKind
    category: C
    code: str | None
    message: str
    refused: bool = False
    paid: bool = False


def _fails(share: float, category: C, code: str, message: str) -> Ending:
    return Ending(share, S.FAILED, "failed", EventKind.PROVIDER_FAILED, category, code, message)


def _refuses(share: float, category: C, code: str, message: str) -> Ending:
    return Ending(share, S.FAILED, "failed", EventKind.REFUSED, category, code, message, refused=True)


_POLICY = "Your content was flagged as violating our content policies."
_GONE = "KIE has deleted the result. The result answers 404."
UNKNOWN = (
    "KIE's answer was lost and no callback came, so it is unknown whether KIE took the request."
    " Nothing was sent twice. Check KIE's own log, then start a new generation."
)
QUIET = (
    _fails(26, C.VALIDATION, "400", _POLICY),
    _fails(12, C.VALIDATION, "422", "The input image could not be read. Please check the image URL."),
    _fails(18, C.SERVICE_ERROR, "501", "Generation failed, please try again."),
    _fails(12, C.SERVICE_ERROR, "500", "Internal Error, Please try again later."),
    _fails(8, C.TIMEOUT, "408", "The upstream model gave no result within 10 minutes."),
    _refuses(7, C.VALIDATION, "422", "aspect_ratio is not within the range of allowed options"),
    _refuses(6, C.RATE_LIMIT, "429", "Rate limit exceeded"),
    _refuses(2, C.AUTHENTICATION, "402", "Credits insufficient"),
    Ending(4, S.LOST, "failed", EventKind.LOST, C.FILE_ERROR, None, _GONE, paid=True),
    Ending(3, S.NEEDS_ATTENTION, "queued", EventKind.NEEDS_ATTENTION, C.NETWORK, None, UNKNOWN, refused=True),
    Ending(
        2,
        S.NEEDS_ATTENTION,
        "generating",
        EventKind.NEEDS_ATTENTION,
        C.FILE_ERROR,
        None,
        "KIE's file cannot be opened as a picture or video.",
        paid=True,
    ),
)
OUTAGE = (
    _fails(55, C.SERVICE_ERROR, "500", "Internal Error, Please try again later."),
    _fails(20, C.TIMEOUT, "408", "The upstream model gave no result within 10 minutes."),
    _refuses(15, C.SERVICE_ERROR, "455", "The service is under maintenance, please try again later"),
    _refuses(9, C.RATE_LIMIT, "429", "Rate limit exceeded"),
    Ending(1, S.NEEDS_ATTENTION, "queued", EventKind.NEEDS_ATTENTION, C.NETWORK, None, UNKNOWN, refused=True),
)


def one_of_each_failure() -> list[Ending]:
    """A failure of each category, the first that the table has."""
    failed = [ending for ending in QUIET if ending.state is S.FAILED]
    return [
        ending for n, ending in enumerate(failed) if ending.category not in {e.category for e in failed[:n]}
    ]


def variants_json() -> str:
    """The variants for the statement that fills, each with the part of the draw that means it."""
    rows = [
        {
            "model": one.model,
            "kind": one.kind,
            "input": dict(one.input),
            "usd": str(one.usd),
            "credits": str(one.usd / kie_models.USD_PER_CREDIT),
            "p50_s": one.p50_s,
            "extension": one.extension,
        }
        for _, one in variants()
    ]
    return json.dumps(_spread(rows, [share for share, _ in variants()]))


def endings_json() -> str:
    """Both tables of endings, likewise."""
    rows = []
    for outage, table in ((False, QUIET), (True, OUTAGE)):
        told = [
            {
                "outage": outage,
                "state": one.state,
                "status": one.status,
                "event": one.event,
                "category": one.category,
                "code": one.code,
                "message": one.message,
                "refused": one.refused,
                "paid": one.paid,
            }
            for one in table
        ]
        rows += _spread(told, [one.share for one in table])
    return json.dumps(rows)


def _spread(rows: Sequence[dict[str, Any]], shares: Sequence[float]) -> list[dict[str, Any]]:
    """The rows with `above` and `below`: the part of 0 to 1 that falls to each."""
    total, at = sum(shares), 0.0
    found = []
    for row, share in zip(rows, shares, strict=True):
        found.append({**row, "above": at / total, "below": (at + share) / total})
        at += share
    found[-1]["below"] = 1.0
    return found
