"""The sandbox's hub, called by `huggingface_hub` itself."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from core.sandbox.safety import ACCOUNT
from tests.providers.sandbox_rig import Rig, rig

REPO = f"{ACCOUNT}/lora-mia"
CARD = "---\nlicense: other\ntags:\n- lora\n---\n# Mia\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture
def hub(house: Rig) -> Rig:
    house.reset()
    return house


@pytest.fixture
def api(hub: Rig) -> HfApi:
    return HfApi(endpoint=f"{hub.url}/hf", token=hub.kie.headers["Authorization"].split()[1])


def publish(api: HfApi, **files: bytes) -> str:
    operations = [CommitOperationAdd(name.replace("__", "."), content) for name, content in files.items()]
    return str(api.create_commit(REPO, operations, commit_message="A LoRA").oid)


def test_a_repository_is_made_filled_and_read(hub: Rig, api: HfApi) -> None:
    assert api.whoami()["name"] == ACCOUNT
    assert not api.repo_exists(REPO)
    api.create_repo(REPO, private=True)
    api.create_repo(REPO, private=True, exist_ok=True)
    assert api.repo_exists(REPO)
    first = api.model_info(REPO).sha
    commit = publish(api, lora__safetensors=b"w" * 1000, README__md=CARD.encode())
    info = api.model_info(REPO)
    assert first != info.sha == commit
    assert info.private
    assert sorted(one.rfilename for one in info.siblings or []) == ["README.md", "lora.safetensors"]
    assert api.file_exists(REPO, "lora.safetensors")
    assert not api.file_exists(REPO, "other.safetensors")
    assert hub.log(kind="hub_commit")[0]["task"] == REPO


def test_the_same_again_makes_no_commit(hub: Rig, api: HfApi) -> None:
    api.create_repo(REPO)
    commit = publish(api, lora__safetensors=b"w" * 1000)
    assert publish(api, lora__safetensors=b"w" * 1000) == commit
    assert len(hub.log(kind="hub_commit")) == 1
    assert publish(api, lora__safetensors=b"x" * 1000) != commit


def test_a_file_is_downloaded_whole_and_a_private_one_by_its_owner_alone(
    hub: Rig, api: HfApi, tmp_path: Path
) -> None:
    api.create_repo(REPO)
    publish(api, lora__safetensors=b"weights")
    url = f"{hub.url}/hf/{REPO}/resolve/main/lora.safetensors"
    head = httpx.head(url, trust_env=False)
    assert {"x-repo-commit", "etag", "content-length"} <= set(head.headers)
    assert httpx.get(url, trust_env=False).content == b"weights"
    path = api.hf_hub_download(REPO, "lora.safetensors", cache_dir=tmp_path)
    assert Path(path).read_bytes() == b"weights"
    api.delete_repo(REPO)
    api.create_repo(REPO, private=True)
    publish(api, lora__safetensors=b"weights")
    assert httpx.get(url, trust_env=False).status_code == 401


def test_a_model_card_is_checked_and_pushed(hub: Rig, api: HfApi) -> None:
    api.create_repo(REPO)
    checked = httpx.post(
        f"{hub.url}/hf/api/validate-yaml", json={"content": CARD, "repoType": "model"}, trust_env=False
    )
    assert checked.json() == {"errors": [], "warnings": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.repocard.constants.ENDPOINT", f"{hub.url}/hf")
        ModelCard(CARD).validate()
    broken = {"content": "---\nno yaml here\n---\n", "repoType": "model"}
    answer = httpx.post(f"{hub.url}/hf/api/validate-yaml", json=broken, trust_env=False)
    assert (answer.status_code, len(answer.json()["errors"])) == (400, 1)


def test_a_wrong_token_and_a_missing_repository_are_refused(hub: Rig, api: HfApi) -> None:
    with pytest.raises(RepositoryNotFoundError):
        publish(api, lora__safetensors=b"w")
    api.create_repo(REPO)
    with pytest.raises(HfHubHTTPError) as raised:
        HfApi(endpoint=f"{hub.url}/hf", token="hf_wrong").create_repo(REPO)
    assert raised.value.response.status_code == 401


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"key":"file","value":{"path":"a","content":"YQ=="}}', b"[1]"]
)
def test_what_is_no_commit_is_a_400(hub: Rig, api: HfApi, content: bytes) -> None:
    api.create_repo(REPO)
    answer = hub.kie.post(f"/hf/api/models/{REPO}/commit/main", content=content)
    assert answer.status_code == 400
