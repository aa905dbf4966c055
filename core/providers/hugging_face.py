"""Publishing LoRAs to the Hugging Face Hub through its own package: https://huggingface.co/docs/huggingface_hub.

The package reads its environment when it is imported and has one client for the whole process; so the
address is named in every call, and what it would do beside the calls is switched off here.
Uploading is free and may be repeated: files that are there already make no new commit.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, constants, set_client_factory
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from core.errors import ErrorCategory, InvalidInput, ProviderError, SettingsError
from core.providers.api import Vendor
from core.providers.http import USER_AGENT, clean, tls
from core.settings import Settings

HUGGING_FACE = Vendor("Hugging Face", "HUGGINGFACE_API_TOKEN", "HF_ENDPOINT")
CARD = "README.md"
# Weights go through the Hub's ordinary upload; xet would start threads and a cache of its own.
constants.HF_HUB_DISABLE_XET = True
constants.HF_HUB_DISABLE_TELEMETRY = True
disable_progress_bars()
# What it would warn of, such as files that are there already, is nothing to us.
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
_CONNECT_S, _SILENCE_S = 5.0, 60.0


@dataclass(frozen=True)
class Published:
    """Where a LoRA was published: `commit` is the revision that holds exactly these files."""

    repo_id: str
    url: str
    commit: str


def _client() -> httpx2.Client:
    """The package's own has no time limit at all."""
    return httpx2.Client(
        timeout=httpx2.Timeout(_SILENCE_S, connect=_CONNECT_S),
        follow_redirects=True,
        trust_env=False,
        verify=tls(),
    )


# Once, here: it closes the client that another thread may be uploading with.
set_client_factory(_client)


class Publisher:
    """Publishes under `owner`, an account or organisation. Safe to share between threads."""

    def __init__(self, token: str, *, owner: str, endpoint: str = "https://huggingface.co") -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise SettingsError(
                "HUGGINGFACE_API_TOKEN must be one word of printable ASCII characters. Copy it again."
            )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,95}", owner):
            raise SettingsError("HUGGINGFACE_USERNAME must be the name of an account or organisation there.")
        self._owner, self._endpoint, self._token = owner, endpoint.rstrip("/"), token
        self._api = HfApi(endpoint=self._endpoint, token=token, user_agent=USER_AGENT)

    def repo_id(self, repo_name: str) -> str:
        """The repository of ours with that name. Raises InvalidInput for one that the Hub would not take."""
        return f"{self._owner}/{_checked(repo_name)}"

    def publish(self, repo_name: str, card: str, files: Mapping[str, Path], private: bool) -> Published:
        """The repository with the card and `files`, by the path that each has in it.

        Steps: 1. the repository, if there is none; 2. one commit of what differs. Idempotent.
        Errors: ProviderError, which may be tried again wherever it is `retryable`; InvalidInput for a name
        or a file that the Hub would not take, before anything is sent.
        """
        repo_id = self.repo_id(repo_name)
        operations = [CommitOperationAdd(CARD, card.encode())]
        for path, file in files.items():
            operations.append(CommitOperationAdd(_checked_path(path), _checked_file(file)))
        with self._errors():
            self._make(repo_id, private)
            done = self._api.create_commit(repo_id, operations, commit_message="Publish this LoRA")
        return Published(repo_id, f"{self._endpoint}/{repo_id}", done.oid)

    def check_key(self) -> str:
        """Whether the token is good, as a sentence. Asks for a repository that need not be there. Free."""
        with self._errors():
            self._private("studio-ops-is-the-token-good")
        return f"the token is accepted, publishing as {self._owner}"

    def _make(self, repo_id: str, private: bool) -> None:
        is_private = self._private(repo_id.rpartition("/")[2])
        if is_private is None:
            self._api.create_repo(repo_id, private=private, exist_ok=True)
        elif private and not is_private:
            raise ProviderError(
                f"{repo_id} is there already and public, and this LoRA is to be private. Make the repository"
                " private at Hugging Face, or publish under another name.",
                category=ErrorCategory.VALIDATION,
                retryable=False,
            )

    def _private(self, repo_name: str) -> bool | None:
        """Whether the repository is private; None when there is none."""
        try:
            return bool(self._api.repo_info(f"{self._owner}/{repo_name}").private)
        except RepositoryNotFoundError as error:
            # The Hub's 401 for a wrong token comes under the same name.
            if error.response.status_code == 401:
                raise
            return None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (HfHubHTTPError, httpx2.HTTPError) as error:
            raise self._told(error) from error
        except RuntimeError as error:
            # What stopped the upload of a large file comes wrapped in one of these.
            raise self._told(error.__cause__ or error) from error
        except (HFValidationError, ValueError) as error:
            raise ProviderError(
                f"Hugging Face does not take this: {self._clean(str(error))}",
                category=ErrorCategory.VALIDATION,
                retryable=False,
                words=self._clean(str(error)),
            ) from error

    def _told(self, error: BaseException) -> ProviderError:
        if isinstance(error, HfHubHTTPError):
            return self._refused(error)
        return self._unreachable(error)

    def _refused(self, error: HfHubHTTPError) -> ProviderError:
        status = error.response.status_code
        fault = HUGGING_FACE.fault(status)
        words = self._clean(error.server_message or "") or f"HTTP {status}"
        return ProviderError(
            f"{fault.sentence} Hugging Face's words: {words}",
            category=fault.category,
            retryable=fault.retryable,
            words=words,
            status=status,
            provider_code=error.response.headers.get("X-Error-Code") or str(status),
            refused=fault.refuses,
        )

    def _unreachable(self, error: BaseException) -> ProviderError:
        never_sent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
        late = isinstance(error, httpx2.TimeoutException)
        words = self._clean(str(error)) or type(error).__name__
        return ProviderError(
            f"Hugging Face did not answer: {words}. Publishing goes on where it stopped.",
            category=ErrorCategory.TIMEOUT if late else ErrorCategory.NETWORK,
            retryable=True,
            words=words,
            sent=not never_sent,
        )

    def _clean(self, text: str) -> str:
        return clean(text, (self._token,))


def repo_name_of(name: str) -> str:
    """A repository's name made from a LoRA's: what the Hub does not take becomes a hyphen."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
    return slug[:90].rstrip("-") or "lora"


def _checked(repo_name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", repo_name) or re.search(
        r"\.\.|--|\.git$|[.-]$", repo_name
    ):
        raise InvalidInput("repo_name", f"{repo_name[:100]!r} is no name of a repository at Hugging Face.")
    return repo_name


def _checked_path(path: str) -> str:
    parts = path.split("/")
    if path == CARD or any(part in {"", ".", "..", ".git"} or not part.isprintable() for part in parts):
        raise InvalidInput("files", f"{path[:100]!r} is no path for a file in the repository.")
    return path


def _checked_file(file: Path) -> Path:
    if not file.is_file():
        raise InvalidInput("files", f"{file.name} is not there to be published.")
    return file


def from_settings(settings: Settings) -> Publisher:
    """The publisher for the configured account. Raises SettingsError for what is missing."""
    return Publisher(
        settings.require("HUGGINGFACE_API_TOKEN"),
        owner=settings.require("HUGGINGFACE_USERNAME"),
        endpoint=settings.hf_endpoint,
    )
