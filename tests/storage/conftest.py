"""Each backend in turn: a folder, Supabase on loopback, R2 played by moto's S3."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import stamina
from moto.server import ThreadedMotoServer

from core.settings import load
from core.storage.backend import from_settings
from core.storage.buckets import BUCKETS
from core.storage.contract import Storage
from tests.storage.addresses import KINDS, R2_BUCKET, environment
from tests.storage.fake_supabase import FakeSupabase, serving

_PUBLIC = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{R2_BUCKET}/*",
        }
    ],
}


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """As many attempts as ever, without the pauses between them."""
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture(scope="session")
def supabase_server() -> Iterator[FakeSupabase]:
    with serving() as server:
        yield server


@pytest.fixture
def supabase(supabase_server: FakeSupabase) -> FakeSupabase:
    """A project with our buckets and nothing in them."""
    supabase_server.reset()
    for bucket in BUCKETS:
        supabase_server.buckets[bucket.name] = {
            "id": bucket.name,
            "name": bucket.name,
            "public": bucket.public,
            "file_size_limit": bucket.max_bytes,
            "allowed_mime_types": list(bucket.content_types),
        }
    return supabase_server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of moto's S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str) -> str:
    """The URL of an S3 with one empty bucket, whose files are public."""
    httpx.post(f"{s3_server}/moto-api/reset").raise_for_status()
    httpx.put(f"{s3_server}/{R2_BUCKET}").raise_for_status()
    httpx.put(f"{s3_server}/{R2_BUCKET}?policy", json=_PUBLIC).raise_for_status()
    return s3_server


@dataclass(frozen=True)
class Backend:
    """One backend, ready for use; `make` gives another client of the same files."""

    kind: str
    storage: Storage
    settings: dict[str, str]
    make: Callable[[], Storage]


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Each backend in turn, empty."""
    fixture = {"supabase": "supabase", "r2": "s3"}.get(request.param)
    found = request.getfixturevalue(fixture) if fixture else ""
    address = found.url if isinstance(found, FakeSupabase) else found
    settings = environment(request.param, address, tmp_path)
    made: list[Storage] = []

    def make() -> Storage:
        made.append(from_settings(load(settings)))
        return made[-1]

    yield Backend(request.param, make(), settings, make)
    for storage in made:
        storage.close()


@pytest.fixture
def storage(backend: Backend) -> Storage:
    return backend.storage
