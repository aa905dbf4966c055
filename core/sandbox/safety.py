"""The sandbox never starts beside production: it would answer for services that cost money."""

from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import SettingsError
from core.settings import LOOPBACK, ROOT, Settings

KEY_PREFIX = "sandbox-"
DEFAULT_KEY = "sandbox-local-key"
# Whose key it is at the sandbox's Replicate and Hugging Face.
ACCOUNT = "studio-ops"


class OutsideServices(BaseSettings):
    """What reaches the real services that the sandbox stands in for, read only to refuse it."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, env_file=ROOT / ".env", hide_input_in_errors=True
    )

    supabase_url: SecretStr | None = None
    next_public_supabase_url: SecretStr | None = None
    vite_supabase_url: SecretStr | None = None
    supabase_service_role_key: SecretStr | None = None
    fal_queue_url: SecretStr | None = None
    fal_jwks_url: SecretStr | None = None
    fal_key: SecretStr | None = None
    fal_api_key: SecretStr | None = None
    replicate_base_url: SecretStr | None = None
    replicate_api_token: SecretStr | None = None
    runpod_base_url: SecretStr | None = None
    runpod_api_key: SecretStr | None = None
    hf_endpoint: SecretStr | None = None
    huggingface_api_token: SecretStr | None = None
    cloudflare_r2_endpoint: SecretStr | None = None
    cloudflare_r2_secret_access_key: SecretStr | None = None


def check_local(settings: Settings, outside: OutsideServices) -> None:
    """Raise SettingsError naming the first setting that belongs to production, and the remedy.

    URLs must point at this machine, keys must be the sandbox's own (they begin with `sandbox-`).
    """
    if settings.database_url and not _is_local(settings.database_url.get_secret_value()):
        raise _refusal("DATABASE_URL", "points at another machine")
    if "kie_base_url" in settings.model_fields_set and not _is_local(settings.kie_base_url):
        raise _refusal("KIE_BASE_URL", "points at another machine")
    if settings.kie_api_key and not _is_ours(settings.kie_api_key.get_secret_value()):
        raise _refusal("KIE_API_KEY", f"is not a sandbox key (those begin with '{KEY_PREFIX}')")
    for name in OutsideServices.model_fields:
        secret: SecretStr | None = getattr(outside, name)
        value = secret.get_secret_value() if secret else ""
        if value and not (_is_local(value) if name.endswith(("_url", "_endpoint")) else _is_ours(value)):
            raise _refusal(name.upper(), "belongs to a real service")


def key_of(settings: Settings) -> str:
    """The key that callers must send: KIE_API_KEY, or the sandbox's default."""
    return settings.kie_api_key.get_secret_value() if settings.kie_api_key else DEFAULT_KEY


def _refusal(name: str, fault: str) -> SettingsError:
    return SettingsError(f"The sandbox does not start: {name} {fault}. Unset {name} to use the sandbox.")


def _is_ours(key: str) -> bool:
    return key.startswith(KEY_PREFIX)


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    hosts = [host for text in parse_qs(parts.query).get("host", []) for host in text.split(",")]
    if parts.hostname or not hosts:
        hosts.append(parts.hostname or "")
    socket_ok = parts.scheme.startswith("postgres")
    return all(host in LOOPBACK or (socket_ok and (host == "" or host.startswith("/"))) for host in hosts)
