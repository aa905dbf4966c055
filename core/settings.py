"""Every setting, read from the environment here and nowhere else.

A missing or malformed setting stops the start with its name and the remedy.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, model_validator

from core.door import LOOPBACK as LOOPBACK
from core.door import Door
from core.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent

# What each storage backend cannot do without.
STORAGE_NEEDS = {
    "local": (),
    "supabase": ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"),
    "r2": (
        "CLOUDFLARE_R2_ACCESS_KEY_ID",
        "CLOUDFLARE_R2_SECRET_ACCESS_KEY",
        "CLOUDFLARE_R2_BUCKET",
        "CLOUDFLARE_R2_ENDPOINT",
        "CLOUDFLARE_R2_PUBLIC_URL",
    ),
}

# Names that the company's other systems use for the same thing.
ALIASES = {
    "NEXT_PUBLIC_BASE_URL": "PUBLIC_BASE_URL",
    "NEXT_PUBLIC_SUPABASE_URL": "SUPABASE_URL",
    "VITE_SUPABASE_URL": "SUPABASE_URL",
    "FAL_API_KEY": "FAL_KEY",
}

# The outside services of the trainings: where each one's API is, and where the sandbox answers for it.
SERVICE_URLS = {
    "fal_queue_url": ("https://queue.fal.run", "/fal"),
    # Also served at rest.fal.ai, which fal's newer code names.
    "fal_jwks_url": ("https://rest.alpha.fal.ai/.well-known/jwks.json", "/fal/.well-known/jwks.json"),
    "replicate_base_url": ("https://api.replicate.com/v1", "/replicate/v1"),
    "runpod_base_url": ("https://api.runpod.io/v2", "/runpod/v2"),
    "hf_endpoint": ("https://huggingface.co", "/hf"),
}
# The sandbox has one key for all of them.
SERVICE_KEYS = ("fal_key", "replicate_api_token", "runpod_api_key", "huggingface_api_token")
LOCAL_OWNER = "studio-ops"
SERVICE_OWNERS = ("replicate_owner", "huggingface_username")


class Settings(Door):
    """The product's settings; `.env.example` says what each one is for."""

    database_url: SecretStr | None = None
    data_dir: Path = Field(default=Path(".data"), validation_alias="STUDIO_OPS_DATA_DIR")
    supabase_jwt_secret: SecretStr | None = None
    supabase_jwks_url: str = ""
    storage_backend: Literal["local", "supabase", "r2"] = "local"
    supabase_url: str = ""
    supabase_service_role_key: SecretStr | None = None
    cloudflare_r2_access_key_id: SecretStr | None = None
    cloudflare_r2_secret_access_key: SecretStr | None = None
    cloudflare_r2_bucket: str = ""
    cloudflare_r2_endpoint: str = ""
    cloudflare_r2_public_url: str = ""
    kie_api_key: SecretStr | None = None
    kie_base_url: str = "https://api.kie.ai"
    kie_callback_secret: SecretStr | None = None
    kie_webhook_hmac_key: SecretStr | None = None
    fal_key: SecretStr | None = None
    fal_queue_url: str = SERVICE_URLS["fal_queue_url"][0]
    fal_jwks_url: str = SERVICE_URLS["fal_jwks_url"][0]
    replicate_api_token: SecretStr | None = None
    replicate_base_url: str = SERVICE_URLS["replicate_base_url"][0]
    replicate_owner: str = ""
    replicate_trainer_version: str = ""
    replicate_webhook_secret: SecretStr | None = None
    runpod_api_key: SecretStr | None = None
    runpod_base_url: str = SERVICE_URLS["runpod_base_url"][0]
    huggingface_api_token: SecretStr | None = None
    huggingface_username: str = ""
    hf_endpoint: str = SERVICE_URLS["hf_endpoint"][0]
    default_trainer: Literal["fal", "replicate", "runpod"] = "fal"
    allowed_fetch_hosts: str = ""
    allowed_origins: str = ""
    image_proxy_url: str = ""
    use_local_zip_storage: bool = False
    files_signing_key: SecretStr | None = None
    alert_urls: SecretStr = SecretStr("")
    # For how many days what is over is kept; see retention.py of deliveries and trainings, and core/alerts.
    keep_events_days: int = Field(default=90, ge=1, le=36_500)
    keep_callbacks_days: int = Field(default=90, ge=1, le=36_500)
    keep_alerts_days: int = Field(default=365, ge=1, le=36_500)
    keep_training_logs_days: int = Field(default=365, ge=1, le=36_500)
    keep_drafts_days: int = Field(default=30, ge=1, le=36_500)
    # Set by the one-command stack for itself and its children: the URL of its sandbox.
    local_stack: str | None = Field(default=None, validation_alias="STUDIO_OPS_LOCAL_STACK")

    @property
    def profile(self) -> Literal["local", "configured"]:
        """`local` is the one-command stack on this machine; everything else is `configured`."""
        return "local" if self.local_stack or self.database_url is None else "configured"

    @property
    def alert_addresses(self) -> tuple[str, ...]:
        """Where alerts are told, each an address of apprise with its secrets in it."""
        given = re.split(
            r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]{0,20}://)", self.alert_urls.get_secret_value().strip(" ,\t\n")
        )
        return tuple(address for address in given if address)

    @property
    def alerts_stay_here(self) -> bool:
        """Whether no alert would leave this machine."""
        return all(map(_is_on_this_machine, self.alert_addresses))

    @property
    def fetch_hosts(self) -> tuple[str, ...]:
        """Hosts, besides the providers' own, that results may be downloaded from."""
        return tuple(host for part in self.allowed_fetch_hosts.split(",") if (host := part.strip().lower()))

    @property
    def origins(self) -> tuple[str, ...]:
        """Other sites whose pages may read the API's answers in a browser."""
        return tuple(
            origin for part in self.allowed_origins.split(",") if (origin := part.strip().rstrip("/").lower())
        )

    @property
    def zips_to_r2(self) -> bool:
        """Whether the ZIPs of trainings go to R2: wherever it is set up, unless they are to stay here."""
        return not self.use_local_zip_storage and all(self.has(name) for name in STORAGE_NEEDS["r2"])

    @property
    def data_path(self) -> Path:
        """The data folder, absolute; a relative one lies in the product's folder."""
        return (ROOT / self.data_dir.expanduser()).resolve()

    @property
    def fetch_loopback(self) -> tuple[str, int] | None:
        """The sandbox's host and port, the only loopback address that the local profile may fetch from."""
        if not self.local_stack:
            return None
        parts = urlsplit(self.local_stack)
        return (parts.hostname or "", parts.port or 80)

    @property
    def storage_origins(self) -> tuple[str, ...]:
        """Where stored files are served from besides this product itself: `https://host[:port]` each."""
        urls = {
            "local": (),
            "supabase": (self.supabase_url,),
            "r2": (self.cloudflare_r2_public_url, with_scheme(self.cloudflare_r2_endpoint)),
        }[self.storage_backend]
        return tuple(dict.fromkeys(f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, urls)))

    @model_validator(mode="before")
    @classmethod
    def _the_sandbox_answers_for_all(cls, given: Any) -> Any:
        """In the local stack the services of the trainings are the sandbox's, with its key, unless named."""
        sandbox = given.get("STUDIO_OPS_LOCAL_STACK")
        if not sandbox:
            return given
        key = given.get("kie_api_key")
        return {
            **{name: f"{sandbox.rstrip('/')}{path}" for name, (_, path) in SERVICE_URLS.items()},
            **(dict.fromkeys(SERVICE_KEYS, key) if key else {}),
            **dict.fromkeys(SERVICE_OWNERS, LOCAL_OWNER),
            **given,
        }

    @model_validator(mode="after")
    def _storage_is_complete(self) -> Self:
        missing = [name for name in STORAGE_NEEDS[self.storage_backend] if not self.has(name)]
        if missing:
            raise ValueError(
                f"STORAGE_BACKEND={self.storage_backend} needs {', '.join(missing)}, see .env.example"
            )
        used = (*STORAGE_NEEDS[self.storage_backend], *(STORAGE_NEEDS["r2"] if self.zips_to_r2 else ()))
        for name in ("SUPABASE_URL", "CLOUDFLARE_R2_ENDPOINT", "CLOUDFLARE_R2_PUBLIC_URL"):
            if name in used:
                self._check_storage_url(name)
        return self

    @model_validator(mode="after")
    def _image_proxy_is_a_url(self) -> Self:
        if not self.image_proxy_url:
            return self
        parts = urlsplit(self.image_proxy_url)
        host = parts.hostname or ""
        if parts.scheme not in {"http", "https"} or not host or parts.username:
            raise ValueError("IMAGE_PROXY_URL must be a URL such as https://app.example.com/api/image-proxy")
        if host not in LOOPBACK and (parts.scheme == "http" or parts.port not in {None, 443}):
            raise ValueError("IMAGE_PROXY_URL must begin with https:// and name no port")
        if self.local_stack and host not in LOOPBACK:
            raise ValueError("IMAGE_PROXY_URL must point at this machine in the local profile; unset it")
        return self

    @model_validator(mode="after")
    def _origins_are_origins(self) -> Self:
        for origin in self.origins:
            parts = urlsplit(origin)
            safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
            named = re.fullmatch(r"[a-z0-9.:\[\]-]+", parts.netloc)
            if not safe or not named or f"{parts.scheme}://{parts.netloc}" != origin:
                raise ValueError(
                    "ALLOWED_ORIGINS must name sites such as https://app.example.com, separated by commas;"
                    " * is not taken"
                )
        return self

    @model_validator(mode="after")
    def _jwks_is_a_url(self) -> Self:
        if not self.supabase_jwks_url:
            return self
        parts = urlsplit(self.supabase_jwks_url)
        on_loopback = parts.hostname in LOOPBACK
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise ValueError(
                "SUPABASE_JWKS_URL must be a URL such as"
                " https://PROJECT.supabase.co/auth/v1/.well-known/jwks.json"
            )
        if parts.scheme == "http" and not on_loopback:
            raise ValueError("SUPABASE_JWKS_URL must begin with https://; tokens are judged by what it says")
        if self.local_stack and not on_loopback:
            raise ValueError("SUPABASE_JWKS_URL must point at this machine in the local profile; unset it")
        return self

    def _check_storage_url(self, name: str) -> None:
        value = getattr(self, name.lower())
        parts = urlsplit(with_scheme(value) if name == "CLOUDFLARE_R2_ENDPOINT" else value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise ValueError(f"{name} must be a URL such as https://files.example.com")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError(f"{name} must begin with https://; files and keys would travel in the open")
        if self.local_stack and parts.hostname not in LOOPBACK:
            raise ValueError(f"{name} must point at this machine in the local profile; unset it")

    @model_validator(mode="after")
    def _local_stays_local(self) -> Self:
        if not self.local_stack:
            return self
        for name, value in (
            ("DATABASE_URL", self.database_url.get_secret_value() if self.database_url else ""),
            ("KIE_BASE_URL", self.kie_base_url),
            *((name.upper(), getattr(self, name)) for name in SERVICE_URLS),
        ):
            if urlsplit(value).hostname not in LOOPBACK:
                raise ValueError(f"{name} must point at this machine in the local profile; unset it")
        if not self.alerts_stay_here:
            raise ValueError("ALERT_URLS must point at this machine in the local profile; unset it")
        return self

    @model_validator(mode="after")
    def _urls_are_urls(self) -> Self:
        for name in ("public_base_url", "kie_base_url"):
            parts = urlsplit(getattr(self, name))
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError(f"{name.upper()} must be a URL such as https://ops.example.com")
        for name, (usual, _) in SERVICE_URLS.items():
            parts = urlsplit(getattr(self, name))
            safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
            if not safe or not parts.hostname or parts.username or parts.query:
                raise ValueError(f"{name.upper()} must be a URL such as {usual}; keys travel there")
        return self


def _is_on_this_machine(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


def with_scheme(address: str) -> str:
    """An address as a URL; without a scheme it is https."""
    return address if "://" in address else f"https://{address}"


def _resolve_aliases(environment: dict[str, str]) -> dict[str, str]:
    """Fold the other systems' names into ours; two different values are an error."""
    resolved = dict(environment)
    for alias, name in ALIASES.items():
        value = environment.get(alias)
        if not value:
            continue
        if environment.get(name, value) != value:
            raise SettingsError(f"{alias} and {name} are both set and differ. Keep {name}, remove {alias}.")
        resolved[name] = value
    return resolved


def _dotenv() -> dict[str, str]:
    return {key: value for key, value in dotenv_values(ROOT / ".env").items() if value}


def load(environment: dict[str, str] | None = None) -> Settings:
    """Settings from `environment` (default: .env, overridden by the process's environment)."""
    values = _resolve_aliases({**_dotenv(), **os.environ} if environment is None else environment)
    by_name = {
        str(field.validation_alias or name).upper(): str(field.validation_alias or name)
        for name, field in Settings.model_fields.items()
    }
    known = {by_name[key]: value for key, value in values.items() if key in by_name and value}
    try:
        return Settings.model_validate(known)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    """One sentence a fault: the setting's name and what is wrong, never its value."""
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        where = "_".join(str(part) for part in fault["loc"]).upper()
        message = fault["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {message}" if where else message)
    return "; ".join(lines)


@lru_cache(maxsize=1)
def current() -> Settings:
    """This process's settings, read once. Tests and the local stack call `current.cache_clear()`."""
    return load()
