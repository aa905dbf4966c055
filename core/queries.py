"""Named SQL: `sql/queries/<domain>.sql`, each query under its name and one line of description."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, RowMapping, TextClause, text

from core.settings import ROOT

_HEAD = re.compile(r"^-- name: (\w+)\n-- (.+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Query:
    """One named query; its parameters are bound by name and never formatted into the text."""

    name: str
    description: str
    sql: str
    clause: TextClause = field(repr=False, compare=False)

    def all(self, connection: Connection, **parameters: Any) -> Sequence[RowMapping]:
        """Every row, as mappings."""
        return connection.execute(self.clause, parameters).mappings().all()

    def rows(self, connection: Connection, **parameters: Any) -> Sequence[Sequence[Any]]:
        """Every row as a tuple, in the order of the query's columns: for many rows at once."""
        return connection.execute(self.clause, parameters).all()

    def first(self, connection: Connection, **parameters: Any) -> RowMapping | None:
        """The first row, or None."""
        return connection.execute(self.clause, parameters).mappings().first()

    def one(self, connection: Connection, **parameters: Any) -> RowMapping:
        """The only row; anything else is a bug."""
        return connection.execute(self.clause, parameters).mappings().one()

    def run(self, connection: Connection, **parameters: Any) -> int:
        """Execute a statement; the number of rows it touched."""
        return connection.execute(self.clause, parameters).rowcount


@dataclass(frozen=True)
class Figure:
    """A number that pages show: what it means, and the SQL that counts it."""

    meaning: str
    sql: str


@cache
def load(domain: str) -> dict[str, Query]:
    """The queries of `sql/queries/<domain>.sql` by name."""
    source = (ROOT / "sql" / "queries" / f"{domain}.sql").read_text()
    heads = list(_HEAD.finditer(source))
    found: dict[str, Query] = {}
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        body = source[head.end() : following.start() if following else len(source)].strip().rstrip(";")
        if head[1] in found:
            raise ValueError(f"sql/queries/{domain}.sql names {head[1]} twice")
        found[head[1]] = Query(head[1], head[2], body, text(body))
    return found
