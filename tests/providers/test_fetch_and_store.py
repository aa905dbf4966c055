"""A result's way from the sandbox into storage over real HTTP, with each fault that its files can have."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import ErrorCategory
from core.providers.fetch import Fetcher, FetchFailed
from core.providers.fetch_rules import FetchRefused, RefusalReason, rules_for
from core.providers.kie import KieClient
from core.storage.file_types import FileType
from core.storage.mover import StoredObject, UnusableFile, store_stream
from core.storage.objects import LocalStorage
from tests.conftest import SANDBOX_KEY, Sandbox
from tests.unit.storage_samples import storage_in

IMAGE, VIDEO = "flux-2/pro-text-to-image", "kling-2.6/text-to-video"
INPUTS: dict[str, dict[str, Any]] = {
    IMAGE: {"aspect_ratio": "1:1", "resolution": "1K"},
    VIDEO: {"aspect_ratio": "1:1", "sound": False, "duration": "5"},
}


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return storage_in(tmp_path)


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[KieClient]:
    sandbox.put("settings", image_seconds=0, video_seconds=0)
    client = KieClient(SANDBOX_KEY, base_url=sandbox.url)
    yield client
    client.close()


@pytest.fixture
def deliver(sandbox: Sandbox, storage: LocalStorage) -> Iterator[Callable[[str], StoredObject]]:
    fetcher = Fetcher(rules_for((), ("127.0.0.1", int(sandbox.url.rpartition(":")[2]))))

    def key(file_type: FileType) -> str:
        return f"u/{file_type.kind}/g_1.{file_type.extension}"

    def run(url: str) -> StoredObject:
        with fetcher.open_stream(url) as stream:
            return store_stream(stream.chunks, stream.content_length, storage, "generations", key)

    yield run
    fetcher.close()


def result(client: KieClient, prompt: str = "a lake", model: str = IMAGE) -> str:
    """The URL of a finished task's first file."""
    task_id = client.create(model, {**INPUTS[model], "prompt": prompt}, None).id
    deadline = time.monotonic() + 10
    while not (record := client.record(task_id)).result_urls:
        assert time.monotonic() < deadline, record
        time.sleep(0.01)
    return record.result_urls[0]


@pytest.mark.parametrize(("model", "kinds"), [(IMAGE, {"image/jpeg", "image/png"}), (VIDEO, {"video/mp4"})])
def test_a_result_is_stored_as_it_is(
    client: KieClient,
    storage: LocalStorage,
    deliver: Callable[[str], StoredObject],
    model: str,
    kinds: set[str],
) -> None:
    stored = deliver(result(client, model=model))
    assert stored.content_type in kinds
    info = storage.stat("generations", stored.path)
    assert info is not None
    assert (info.bytes, info.content_type) == (stored.bytes, stored.content_type)
    assert stored.bytes > 10_000


@pytest.mark.parametrize("marker", ["[[fault:no_content_length]]", "[[fault:file_size=3000000]]"])
def test_odd_files_that_are_whole(
    client: KieClient, deliver: Callable[[str], StoredObject], marker: str
) -> None:
    assert deliver(result(client, marker)).bytes > 10_000


@pytest.mark.parametrize(
    ("marker", "error", "retryable"),
    [
        ("[[fault:truncated_file]]", FetchFailed, True),
        ("[[fault:short_file_ok]]", UnusableFile, True),
        ("[[fault:html_as_jpg]]", UnusableFile, True),
        ("[[fault:server_error@file=503]]", FetchFailed, True),
        ("[[fault:dead@file]]", FetchFailed, True),
        ("[[fault:expired_url=403]]", FetchFailed, False),
        ("[[fault:expired_url=404]]", FetchFailed, False),
        ("[[fault:expired_url=410]]", FetchFailed, False),
        ("[[fault:redirect_private]]", FetchRefused, False),
    ],
)
@pytest.mark.parametrize("model", [IMAGE, VIDEO])
def test_files_that_cannot_be_used_leave_nothing(
    client: KieClient,
    storage: LocalStorage,
    deliver: Callable[[str], StoredObject],
    marker: str,
    error: type[FetchFailed | FetchRefused | UnusableFile],
    retryable: bool,
    model: str,
) -> None:
    with pytest.raises(error) as caught:
        deliver(result(client, "a lake " + marker, model))
    fault = caught.value
    assert isinstance(fault, FetchFailed | FetchRefused | UnusableFile)
    assert fault.retryable is retryable
    assert storage.find("generations", "") == []
    if isinstance(fault, FetchFailed):
        assert fault.gone is ("expired" in marker)
    elif isinstance(fault, FetchRefused):
        assert (fault.reason, fault.host) == (RefusalReason.SCHEME, "169.254.169.254")
    else:
        assert fault.category is ErrorCategory.FILE_ERROR


def test_a_fresh_url_brings_the_same_file(client: KieClient, deliver: Callable[[str], StoredObject]) -> None:
    url = result(client)
    assert deliver(client.fresh_url(url)).sha256 == deliver(url).sha256
