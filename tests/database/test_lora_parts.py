"""Parts of words and misspelt names are found where pg_trgm is there, and words everywhere."""

from collections.abc import Iterator

import psycopg
import pytest

from core import access, database
from core.loras import views
from core.loras.models import Search
from tests.database.cluster import Cluster

STAFF = access.command_line("olga")
NAMES = ("Cyberpunk girl", "Lighthouse keeper", "100% cotton", "under_score", "Old man")


@pytest.fixture
def has_parts(every_cluster: Cluster) -> Iterator[bool]:
    """A library on each version of Postgres; whether that one has pg_trgm."""
    with every_cluster.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            there = connection.execute(
                "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'"
            ).fetchone()
            assert there is not None
            if there[0]:
                connection.execute("CREATE EXTENSION pg_trgm")
        database.migrate(url, local=True)
        with psycopg.connect(url, autocommit=True) as connection:
            for name in NAMES:
                connection.execute(
                    "INSERT INTO lora_models (name, training_status, description)"
                    " VALUES (%s, 'pending', 'by the harbour')",
                    (name,),
                )
        database.connect(url)
        yield there[0] > 0
        database.close()


def found(text: str) -> set[str]:
    return {card.name for card in views.search(STAFF, Search(text=text)).cards}


def test_parts_and_misspelt_names(has_parts: bool) -> None:
    for text, name in {
        "punk": "Cyberpunk girl",
        "cyberpnuk": "Cyberpunk girl",
        "ighth": "Lighthouse keeper",
        "lihgthouse": "Lighthouse keeper",
        "00%": "100% cotton",
        "er_sc": "under_score",
    }.items():
        assert found(text) == ({name} if has_parts else set()), text
    assert found("arbour") == (set(NAMES) if has_parts else set())
    assert found("harb") == set(NAMES)
    assert found("cyber gi") == {"Cyberpunk girl"}
    assert found("%%%") == found("___") == found("zebra") == set()


def test_the_extension_may_come_later(every_cluster: Cluster) -> None:
    with every_cluster.database() as url:
        database.migrate(url, local=True)
        with psycopg.connect(url, autocommit=True) as connection:
            made = connection.execute("SELECT studio_ops_find_parts()").fetchone()
            assert made == (False,)
            near = connection.execute("SELECT studio_ops_loras_near('punk', 5)").fetchone()
            assert near == ([],)
