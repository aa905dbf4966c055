"""Publishing to a Hub on loopback: what lies there afterwards, and what each refusal means."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from core.errors import ErrorCategory, InvalidInput, ProviderError, SettingsError
from core.providers.hugging_face import Publisher, from_settings, repo_name_of
from core.settings import load
from tests.providers.hub import TOKEN, Hub, running

CARD = "---\nlicense: other\n---\n\n# A LoRA\n"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running() as found:
        yield found
    close_session()


@pytest.fixture
def publisher(hub: Hub) -> Publisher:
    return Publisher(TOKEN, owner="studio-ops", endpoint=f"{hub.url}/")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    weights, image = tmp_path / "a.safetensors", tmp_path / "one.jpg"
    weights.write_bytes(b"\x00weights" * 100)
    image.write_bytes(b"\xff\xd8image")
    return {"anna.safetensors": weights, "samples/1.jpg": image}


@pytest.mark.parametrize("lfs", [False, True], ids=["regular", "lfs"])
def test_published_and_published_again(
    hub: Hub, publisher: Publisher, files: dict[str, Path], lfs: bool
) -> None:
    hub.lfs = lfs
    first = publisher.publish("anna-7", CARD, files, private=True)
    assert (first.repo_id, first.url) == ("studio-ops/anna-7", f"{hub.url}/studio-ops/anna-7")
    assert first.commit == hub.commit_id(first.repo_id)
    assert hub.repos[first.repo_id] == {
        "README.md": CARD.encode(),
        **{path: file.read_bytes() for path, file in files.items()},
    }
    assert hub.private == {"studio-ops/anna-7": True}
    assert publisher.publish("anna-7", CARD, files, private=True) == first
    assert hub.commits == 1
    again = publisher.publish("anna-7", f"{CARD}more\n", files, private=True)
    assert (hub.commits, again.commit == first.commit) == (2, False)


def test_nothing_beside_the_documented_calls(hub: Hub, publisher: Publisher, files: dict[str, Path]) -> None:
    publisher.publish("anna-7", CARD, files, private=False)
    assert hub.calls == [
        "GET /api/models/studio-ops/anna-7",
        "POST /api/repos/create",
        "POST /api/validate-yaml",
        "POST /api/models/studio-ops/anna-7/preupload/main",
        "POST /api/models/studio-ops/anna-7/commit/main",
    ]
    assert constants.HF_HUB_DISABLE_XET
    assert constants.HF_HUB_DISABLE_TELEMETRY
    assert all("StudioOps/" in agent for agent in hub.agents)


def test_a_private_lora_never_goes_to_a_public_repository(
    hub: Hub, publisher: Publisher, files: dict[str, Path]
) -> None:
    publisher.publish("anna-7", CARD, {}, private=False)
    with pytest.raises(ProviderError, match="there already and public") as caught:
        publisher.publish("anna-7", CARD, files, private=True)
    assert not caught.value.retryable
    assert set(hub.repos["studio-ops/anna-7"]) == {"README.md"}


FAILS: list[tuple[str, int, str, ErrorCategory, bool]] = [
    ("create", 403, "You don't have the rights", ErrorCategory.AUTHENTICATION, False),
    ("commit", 401, "Invalid token", ErrorCategory.AUTHENTICATION, False),
    ("commit", 429, "Too many requests", ErrorCategory.RATE_LIMIT, True),
    ("commit", 500, "Internal Error - We're working hard", ErrorCategory.SERVICE_ERROR, True),
    ("commit", 413, "Payload too large", ErrorCategory.VALIDATION, False),
    ("preupload", 400, "Bad request", ErrorCategory.VALIDATION, False),
    ("create", 402, "Storage limit reached", ErrorCategory.AUTHENTICATION, False),
]


@pytest.mark.parametrize(("call", "status", "words", "category", "retryable"), FAILS)
def test_refusals(
    hub: Hub,
    publisher: Publisher,
    files: dict[str, Path],
    call: str,
    status: int,
    words: str,
    category: ErrorCategory,
    retryable: bool,
) -> None:
    hub.fails[call] = (status, {}, {"error": f"{words} {TOKEN}"})
    with pytest.raises(ProviderError) as caught:
        publisher.publish("anna-7", CARD, files, private=True)
    error = caught.value
    assert (error.category, error.retryable, error.status) == (category, retryable, status)
    assert words in error.words
    assert TOKEN not in error.message + error.words
    hub.fails.clear()
    assert publisher.publish("anna-7", CARD, files, private=True).commit


def test_a_wrong_token(hub: Hub) -> None:
    """The Hub's 401 comes as "repository not found", which must not read as "there is none yet"."""
    publisher = Publisher("hf_another0123456789", owner="studio-ops", endpoint=hub.url)
    with pytest.raises(ProviderError, match="Check HUGGINGFACE_API_TOKEN") as caught:
        publisher.publish("anna-7", CARD, {}, private=True)
    assert caught.value.category is ErrorCategory.AUTHENTICATION
    with pytest.raises(ProviderError, match="Check HUGGINGFACE_API_TOKEN"):
        publisher.check_key()
    assert not any("create" in call for call in hub.calls)


def test_the_token_is_checked_for_free(hub: Hub, publisher: Publisher) -> None:
    assert publisher.check_key() == "the token is accepted, publishing as studio-ops"
    assert len(hub.calls) == 1


def test_nobody_there() -> None:
    publisher = Publisher(TOKEN, owner="studio-ops", endpoint="http://127.0.0.1:1")
    with pytest.raises(ProviderError) as caught:
        publisher.publish("anna-7", CARD, {}, private=True)
    assert (caught.value.category, caught.value.retryable) == (ErrorCategory.NETWORK, True)
    close_session()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "a--b", "a.git", "-a", "ä", "x" * 97])
def test_names_that_the_hub_does_not_take(hub: Hub, publisher: Publisher, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        publisher.publish(name, CARD, {}, private=True)
    assert (refused.value.field, hub.calls) == ("repo_name", [])


@pytest.mark.parametrize("path", ["README.md", "../x", "a//b", "/a", ".git/config", "a\nb", ""])
def test_paths_that_no_file_gets(hub: Hub, publisher: Publisher, files: dict[str, Path], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        publisher.publish("anna-7", CARD, {path: files["samples/1.jpg"]}, private=True)
    assert (refused.value.field, hub.calls) == ("files", [])


def test_a_file_that_is_gone(hub: Hub, publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.jpg is not there"):
        publisher.publish("anna-7", CARD, {"a.jpg": tmp_path / "gone.jpg"}, private=True)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Anna (red hair)", "anna-red-hair"),
        ("  ", "lora"),
        ("Jörg_7.git", "j-rg-7-git"),
        ("x" * 200, "x" * 90),
        ("漢字", "lora"),
    ],
)
def test_a_name_for_the_repository(name: str, slug: str) -> None:
    assert repo_name_of(name) == slug


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"HUGGINGFACE_API_TOKEN": ""}, "HUGGINGFACE_API_TOKEN is not set"),
        ({"HUGGINGFACE_USERNAME": ""}, "HUGGINGFACE_USERNAME is not set"),
        ({"HUGGINGFACE_USERNAME": "a/b"}, "HUGGINGFACE_USERNAME must be"),
        ({"HUGGINGFACE_API_TOKEN": "two words"}, "HUGGINGFACE_API_TOKEN must be one word"),
    ],
)
def test_settings_that_stop_it(changes: dict[str, str], says: str) -> None:
    given = {"HUGGINGFACE_API_TOKEN": TOKEN, "HUGGINGFACE_USERNAME": "studio-ops", **changes}
    with pytest.raises(SettingsError, match=says):
        from_settings(load(given))
