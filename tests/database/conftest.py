"""Real Postgres servers and databases for the tests of this folder."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from core import database
from tests.database.cluster import Cluster, versions
from tests.database.shared import shared_database

VERSIONS = versions()
NEWEST = max(VERSIONS, key=int)

Clusters = Callable[..., Cluster]


@pytest.fixture(scope="module")
def _connected(postgres_server: str) -> Iterator[None]:
    """This process, connected to a database that files of this folder share; each empties what it needs."""
    with shared_database(postgres_server):
        yield


@pytest.fixture(scope="session")
def clusters() -> Iterator[Clusters]:
    """Servers by version, started on first use; those named `bare` know none of Supabase's roles."""
    running: dict[tuple[str, str], Cluster] = {}

    def get(version: str, name: str = "") -> Cluster:
        if (version, name) not in running:
            running[version, name] = Cluster(VERSIONS[version])
        return running[version, name]

    yield get
    for cluster in running.values():
        cluster.stop()


@pytest.fixture(scope="session")
def cluster(clusters: Clusters) -> Cluster:
    """A server of the newest version."""
    return clusters(NEWEST)


@pytest.fixture(scope="session", params=VERSIONS)
def every_version(request: pytest.FixtureRequest) -> str:
    """Each version in turn."""
    version: str = request.param
    return version


@pytest.fixture(scope="session")
def every_cluster(every_version: str, clusters: Clusters) -> Cluster:
    """A server of each version in turn."""
    return clusters(every_version)


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[str]:
    """The URL of an empty database."""
    with cluster.database() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(cluster: Cluster) -> str:
    """The name of a migrated database, local bootstrap included; to copy, or to use and leave as it was."""
    name = cluster.create()
    database.migrate(cluster.url(name), local=True)
    return name


@pytest.fixture
def migrated_database(cluster: Cluster, migrated_template: str) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    with cluster.database(migrated_template) as url:
        yield url


@pytest.fixture
def connection(cluster: Cluster, migrated_template: str) -> Iterator[psycopg.Connection]:
    """A superuser's transaction on a migrated database, rolled back at the end."""
    with psycopg.connect(cluster.url(migrated_template)) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def writer(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of another system, to the database that this process uses."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection
