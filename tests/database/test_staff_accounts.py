"""The user of a verified address, on a database as Supabase makes it and on one with less."""

from uuid import UUID

import pytest

from core.database import migrate
from tests.database.cluster import Cluster
from tests.database.scenarios import as_user, make_supabase_like, query

ADA, BO, CY, DI = (UUID(int=n, version=4) for n in range(1, 5))


@pytest.fixture
def company(cluster: Cluster) -> str:
    """A migrated Supabase-like database."""
    url = cluster.url(cluster.create())
    make_supabase_like(url)
    query(url, "GRANT supabase_storage_admin TO company")
    migrate(as_user(url, "company"))
    return url


def user_of(url: str, address: str | None) -> UUID | None:
    [row] = query(as_user(url, "company"), "SELECT studio_ops_user_of_address(%s) AS id", address)
    found: UUID | None = row["id"]
    return found


def test_as_supabase_has_it(company: str) -> None:
    query(
        company,
        "ALTER TABLE auth.users ADD email_confirmed_at timestamptz, ADD deleted_at timestamptz,"
        " ADD is_sso_user boolean NOT NULL DEFAULT false",
    )
    query(
        company,
        "INSERT INTO auth.users (id, email, email_confirmed_at, deleted_at, is_sso_user) VALUES"
        " (%s, 'ada@example.com', now(), NULL, false), (%s, 'bo@example.com', NULL, NULL, false),"
        " (%s, 'cy@example.com', now(), now(), false), (%s, 'ada@example.com', now(), NULL, true)",
        ADA, BO, CY, DI,
    )  # fmt: skip
    assert user_of(company, "Ada@Example.com") == ADA
    assert user_of(company, "bo@example.com") is None, "never confirmed"
    assert user_of(company, "cy@example.com") is None, "deleted"
    assert [user_of(company, one) for one in ("nobody@example.com", "", None)] == [None] * 3


def test_with_less_than_that(company: str) -> None:
    query(company, "INSERT INTO auth.users (id, email) VALUES (%s, 'ada@example.com')", ADA)
    assert user_of(company, "ada@example.com") == ADA
    query(company, "REVOKE SELECT ON auth.users FROM company")
    assert user_of(company, "ada@example.com") is None, "what may not be read is nobody's"


def test_users_and_visitors_may_not_ask(company: str) -> None:
    for role in ("rls_user", "rls_visitor"):
        with pytest.raises(Exception, match="permission denied"):
            query(as_user(company, role), "SELECT studio_ops_user_of_address('ada@example.com')")
