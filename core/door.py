"""The settings of the door: where the product is, which keys open the API, how people sign in."""

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from core.errors import SettingsError

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# Where people come back from their sign-in provider; the path is Streamlit's own.
CALLBACK = "/oauth2callback"

# What sign-in cannot do without.
SIGN_IN_NEEDS = ("OIDC_METADATA_URL", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "SESSION_SECRET")
SHORTEST_SECRET = 32
KEY_ROLES = ("viewer", "support", "product", "operations", "admin")
_ADDRESS = re.compile(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+")
_KEY_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


class ApiKey(BaseModel):
    """A key of the HTTP API: what it is called (None: by its hash), and the role of who holds it."""

    model_config = ConfigDict(frozen=True)

    name: str | None
    role: str
    key: SecretStr


class Door(BaseModel):
    """The settings of who comes in, and where."""

    model_config = ConfigDict(frozen=True)

    public_base_url: str = "http://127.0.0.1:8501"
    ops_api_key: SecretStr = SecretStr("")
    oidc_metadata_url: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr | None = None
    session_secret: SecretStr | None = None
    session_hours: float = Field(default=8, ge=0.25, le=72)
    session_idle_minutes: float = Field(default=60, ge=5, le=1440)
    staff_domains: str = ""
    first_admin: str = ""

    @property
    def api_keys(self) -> tuple[ApiKey, ...]:
        """The accepted API keys; several at once allow rotation."""
        parts = (part.strip() for part in self.ops_api_key.get_secret_value().split(","))
        return tuple(map(_api_key, filter(None, parts)))

    @property
    def signs_in(self) -> bool:
        """Whether people can sign in at a provider."""
        return all(map(self.has, SIGN_IN_NEEDS))

    @property
    def redirect_uri(self) -> str:
        """The address that the sign-in provider has to know, to the letter."""
        return f"{self.public_base_url.rstrip('/')}{CALLBACK}"

    @property
    def behind_tls(self) -> bool:
        """Whether people reach the pages by https."""
        return urlsplit(self.public_base_url).scheme == "https"

    @property
    def allowed_domains(self) -> tuple[str, ...]:
        """The domains whose addresses may be let in; none means every domain."""
        parts = (part.strip().lower().removeprefix("@") for part in self.staff_domains.split(","))
        return tuple(filter(None, parts))

    @property
    def first_admin_email(self) -> str:
        """Who becomes the first admin, in lower case; empty for nobody."""
        return self.first_admin.strip().lower()

    def has(self, name: str) -> bool:
        """Whether the setting `name` has a value."""
        value = getattr(self, name.lower())
        return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)

    def require(self, name: str) -> str:
        """The value of the setting `name`, or SettingsError that says how to set it."""
        value = getattr(self, name.lower())
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if not value:
            raise SettingsError(
                f"{name} is not set. Set it in the environment or in .env (see .env.example)."
            )
        return str(value)

    def require_sign_in(self) -> None:
        """SettingsError that names what is missing, unless people can sign in."""
        missing = [name for name in SIGN_IN_NEEDS if not self.has(name)]
        if missing:
            raise SettingsError(
                f"The pages of a configured Studio Ops need sign-in, and {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not set. See .env.example, or serve the HTTP API"
                " alone: uvicorn core.web.app:app"
            )

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        missing = [name for name in SIGN_IN_NEEDS if not self.has(name)]
        if missing and len(missing) < len(SIGN_IN_NEEDS):
            raise ValueError(f"sign-in needs {', '.join(missing)} too, see .env.example")
        if not missing:
            self._check_sign_in()
        if self.first_admin and not _ADDRESS.fullmatch(self.first_admin_email):
            raise ValueError("FIRST_ADMIN must be one mail address such as ada@example.com")
        if self.session_idle_minutes > self.session_hours * 60:
            raise ValueError("SESSION_IDLE_MINUTES must be no longer than SESSION_HOURS")
        return self

    def _check_sign_in(self) -> None:
        parts = urlsplit(self.oidc_metadata_url)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not safe or not parts.hostname or parts.username:
            raise ValueError(
                "OIDC_METADATA_URL must be a URL such as"
                " https://accounts.google.com/.well-known/openid-configuration"
            )
        if len(self.require("SESSION_SECRET")) < SHORTEST_SECRET:
            raise ValueError(
                f"SESSION_SECRET must have {SHORTEST_SECRET} characters or more: openssl rand -hex 32"
            )
        if not self.behind_tls and urlsplit(self.public_base_url).hostname not in LOOPBACK:
            raise ValueError("PUBLIC_BASE_URL must begin with https:// where people sign in")

    @model_validator(mode="after")
    def _api_keys_have_roles(self) -> Self:
        for key in self.api_keys:
            if key.role not in KEY_ROLES:
                raise ValueError(
                    f"OPS_API_KEY: the key named {key.name} has a role that does not exist; there are"
                    f" {', '.join(KEY_ROLES)}. A key is written KEY, NAME:KEY or NAME:ROLE:KEY"
                )
        return self


def _api_key(given: str) -> ApiKey:
    """KEY, NAME:KEY or NAME:ROLE:KEY; without a role its holder does what operations do."""
    name, _, rest = given.partition(":")
    if not rest or not _KEY_NAME.fullmatch(name):
        return ApiKey(name=None, role="operations", key=SecretStr(given))
    role, _, key = rest.partition(":")
    if key:
        return ApiKey(name=name, role=role, key=SecretStr(key))
    return ApiKey(name=name, role="operations", key=SecretStr(rest))
