"""What became of a measured load, told by those who can know it: database, sandbox and storage each apart."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.rig import Rig, until
from tests.bench.seeding import Finished
from tests.bench.storage_log import StorageLog

DRAINS_AT_LEAST = 15.0  # deliveries a second; slower than this is a hang, not a figure


@dataclass(frozen=True)
class Outcome:
    """`delivered_at` holds Unix times in the order of the generations. `lost` and `twice` are sentences that
    name what should not be; none of them is the promise."""

    delivered_at: tuple[float, ...]
    lost: tuple[str, ...]
    twice: tuple[str, ...]


def wait_until_delivered(rig: Rig, made: Sequence[Finished]) -> None:
    """Return once each of them has ended; TimeoutError with the number still open."""
    ids = [one.generation_id for one in made]
    still_open = "SELECT count(*) FROM generations WHERE id = ANY(%s::uuid[]) AND delivered_at IS NULL"
    seconds = 30 + len(made) / DRAINS_AT_LEAST
    until(lambda: rig.sql(still_open, ids)[0][0] == 0, seconds, f"the delivery of {len(made)} generations")


def of(rig: Rig, made: Sequence[Finished], storage: StorageLog) -> Outcome:
    """Count every generation's callbacks, deliveries, downloads and stored files."""
    ids = [one.generation_id for one in made]
    at = dict(
        rig.sql("SELECT id::text, extract(epoch FROM delivered_at)::float8 FROM generations"
                " WHERE id = ANY(%s::uuid[])", ids)
    )  # fmt: skip
    recorded = _count(rig, "SELECT generation_id::text, count(*) FROM callback_inbox GROUP BY 1")
    delivered = _count(
        rig, "SELECT generation_id::text, count(*) FROM delivery_events WHERE kind = 'delivered' GROUP BY 1"
    )
    fetched = _downloads(rig)
    written: Counter[str] = Counter()
    for name, times in storage.counts().items():
        written[name.split("_")[0]] += times
    lost, twice = [], []
    for what, counts in (
        ("callbacks recorded", recorded),
        ("deliveries", delivered),
        ("downloads at the sandbox", fetched),
        ("files written by the storage", written),
    ):
        missing = sum(1 for one in ids if not counts[one])
        doubled = sum(1 for one in ids if counts[one] > 1)
        if missing:
            lost.append(f"{what}: {missing} of {len(ids)} missing")
        if doubled:
            twice.append(f"{what}: {doubled} of {len(ids)} more than once")
    return Outcome(tuple(at[one] for one in ids), tuple(lost), tuple(twice))


def _count(rig: Rig, statement: str) -> Counter[str]:
    return Counter(dict(rig.sql(statement)))


def _downloads(rig: Rig) -> Counter[str]:
    """Whole files that the sandbox sent, by generation."""
    counts: Counter[str] = Counter()
    after: int | None = 0
    while after is not None:
        page = rig.sandbox("GET", f"log?kind=file&after={after}&limit=10000")
        counts.update(row["generation"] for row in page["rows"] if row["status"] == 200)
        after = page["next"]
    return counts
