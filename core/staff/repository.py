"""Rows of people and sign-ins as dataclasses."""

from sqlalchemy import RowMapping

from core import queries
from core.access import Role
from core.staff.models import Person, Session

SQL = queries.load("staff")


def to_person(row: RowMapping) -> Person:
    """A row of the list of people."""
    return Person(**{**row, "roles": frozenset(map(Role, row["roles"]))})


def to_session(row: RowMapping) -> Session:
    """A row of a sign-in."""
    return Session(**row)
