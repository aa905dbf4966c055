"""Rows of failure groups, as dataclasses."""

from sqlalchemy import Connection, RowMapping

from core import queries
from core.deliveries.models import DeliveryState
from core.errors import NotFound
from core.failures.models import FailureGroup, GroupState

SQL = queries.load("failures")


def to_group(row: RowMapping) -> FailureGroup:
    """A row of `failure_groups`."""
    known = {name: row[name] for name in FailureGroup.__match_args__}
    stands, state = DeliveryState(row["stands"]), GroupState(row["state"])
    return FailureGroup(**{**known, "stands": stands, "state": state, "days": tuple(row["days"])})


def find(connection: Connection, signature: str) -> FailureGroup:
    """The group. Raises NotFound."""
    row = SQL["get"].first(connection, signature=signature)
    if row is None:
        raise NotFound(f"There is no failure group {signature[:40]}. All of its generations may be repaired.")
    return to_group(row)
