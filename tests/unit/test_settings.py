"""Settings: what is read, what stops the start, and that no error shows a value."""

from pathlib import Path

import pytest

from core.access import Role
from core.door import KEY_ROLES
from core.errors import SettingsError
from core.settings import ROOT, Settings, load

LOCAL = {
    "STUDIO_OPS_LOCAL_STACK": "http://127.0.0.1:9010",
    "DATABASE_URL": "postgresql://u:secret-password@127.0.0.1:5432/x",
    "KIE_BASE_URL": "http://127.0.0.1:9010",
}


def test_nothing_at_all_is_the_local_profile() -> None:
    found = load({})
    assert (found.profile, found.storage_backend, found.kie_base_url) == (
        "local",
        "local",
        "https://api.kie.ai",
    )
    assert found.data_path == ROOT / ".data"
    assert found.fetch_loopback is None


@pytest.mark.parametrize(
    ("environment", "profile"),
    [
        pytest.param({}, "local", id="nothing"),
        pytest.param(LOCAL, "local", id="the local stack's own"),
        pytest.param({"DATABASE_URL": "postgresql://u@db.example.com/x"}, "configured", id="a database"),
        pytest.param({"DATABASE_URL": "postgresql://u@127.0.0.1/x"}, "configured", id="a database here"),
    ],
)
def test_the_profile(environment: dict[str, str], profile: str) -> None:
    assert load(environment).profile == profile


def test_an_empty_value_counts_as_none() -> None:
    assert load({"DATABASE_URL": "", "KIE_API_KEY": ""}).database_url is None


def test_several_api_keys_allow_rotation() -> None:
    found = load({"OPS_API_KEY": " new , old ,, "}).api_keys
    assert [key.key.get_secret_value() for key in found] == ["new", "old"]
    assert load({}).api_keys == ()


@pytest.mark.parametrize(
    ("given", "name", "role", "key"),
    [
        ("plain-key", None, "operations", "plain-key"),
        ("app:abc", "app", "operations", "abc"),
        ("app:viewer:abc", "app", "viewer", "abc"),
        ("app:support:a:b=", "app", "support", "a:b="),
        ("Not A Name:abc", None, "operations", "Not A Name:abc"),
        ("app:", None, "operations", "app:"),
        ("app:viewer:", "app", "operations", "viewer:"),
    ],
)
def test_an_api_key_may_have_a_name_and_a_role(given: str, name: str | None, role: str, key: str) -> None:
    [found] = load({"OPS_API_KEY": given}).api_keys
    assert (found.name, found.role, found.key.get_secret_value()) == (name, role, key)


def test_an_api_key_with_a_role_that_there_is_not_stops_the_start_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="the key named app has a role that does not exist") as refused:
        load({"OPS_API_KEY": "app:boss:very-secret-key"})
    assert "very-secret-key" not in refused.value.message
    assert set(KEY_ROLES) == set(Role)


SIGN_IN = {
    "OIDC_METADATA_URL": "https://login.example.com/.well-known/openid-configuration",
    "OIDC_CLIENT_ID": "studio-ops",
    "OIDC_CLIENT_SECRET": "client-secret",
    "SESSION_SECRET": "s" * 32,
    "PUBLIC_BASE_URL": "https://ops.example.com",
}


def test_sign_in_as_a_whole() -> None:
    found = load(
        {**SIGN_IN, "STAFF_DOMAINS": " @Example.com, studio.example ,", "FIRST_ADMIN": " Ada@X.Com "}
    )
    assert found.signs_in
    assert found.behind_tls
    assert found.allowed_domains == ("example.com", "studio.example")
    assert found.first_admin_email == "ada@x.com"
    assert (found.session_hours, found.session_idle_minutes) == (8, 60)
    found.require_sign_in()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"OIDC_CLIENT_SECRET": ""}, "sign-in needs OIDC_CLIENT_SECRET too"),
        ({"SESSION_SECRET": "", "OIDC_CLIENT_ID": ""}, "sign-in needs OIDC_CLIENT_ID, SESSION_SECRET too"),
        ({"SESSION_SECRET": "short-secret"}, "SESSION_SECRET must have 32 characters"),
        ({"OIDC_METADATA_URL": "http://login.example.com/x"}, "OIDC_METADATA_URL must be a URL such as"),
        ({"OIDC_METADATA_URL": "nothing"}, "OIDC_METADATA_URL must be a URL such as"),
        ({"PUBLIC_BASE_URL": "http://ops.example.com"}, "PUBLIC_BASE_URL must begin with https://"),
        ({"FIRST_ADMIN": "ada"}, "FIRST_ADMIN must be one mail address"),
        ({"FIRST_ADMIN": "a@x.com,b@x.com"}, "FIRST_ADMIN must be one mail address"),
        ({"SESSION_HOURS": "1", "SESSION_IDLE_MINUTES": "90"}, "must be no longer than SESSION_HOURS"),
        ({"SESSION_IDLE_MINUTES": "0"}, "SESSION_IDLE_MINUTES"),
    ],
)
def test_half_a_sign_in_stops_the_start(change: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        load({**SIGN_IN, **change})
    assert "short-secret" not in refused.value.message


def test_pages_without_sign_in_name_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="OIDC_METADATA_URL, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, SESSION"):
        load({"DATABASE_URL": "postgresql://u@db.example.com/x"}).require_sign_in()


def test_fetch_hosts_and_the_sandboxs_address() -> None:
    found = load({**LOCAL, "ALLOWED_FETCH_HOSTS": "Files.example.com, *.cdn.example.com"})
    assert found.fetch_hosts == ("files.example.com", "*.cdn.example.com")
    assert found.fetch_loopback == ("127.0.0.1", 9010)


@pytest.mark.parametrize(
    ("data_dir", "path"),
    [
        ("/var/lib/studio-ops", Path("/var/lib/studio-ops")),
        ("data", ROOT / "data"),
        ("~/x", Path.home() / "x"),
    ],
)
def test_the_data_folder_is_absolute(data_dir: str, path: Path) -> None:
    assert load({"STUDIO_OPS_DATA_DIR": data_dir}).data_path == path


def test_the_local_stacks_services_are_the_sandboxs_with_its_key() -> None:
    found = load({**LOCAL, "KIE_API_KEY": "sandbox-key"})
    assert found.fal_queue_url == "http://127.0.0.1:9010/fal"
    assert found.fal_jwks_url == "http://127.0.0.1:9010/fal/.well-known/jwks.json"
    assert found.replicate_base_url == "http://127.0.0.1:9010/replicate/v1"
    assert found.runpod_base_url == "http://127.0.0.1:9010/runpod/v2"
    assert found.hf_endpoint == "http://127.0.0.1:9010/hf"
    keys = ("FAL_KEY", "REPLICATE_API_TOKEN", "RUNPOD_API_KEY", "HUGGINGFACE_API_TOKEN")
    assert {found.require(name) for name in keys} == {"sandbox-key"}
    assert load({**LOCAL, "KIE_API_KEY": "k", "FAL_KEY": "other"}).require("FAL_KEY") == "other"
    assert not load({**LOCAL}).has("FAL_KEY")


def test_elsewhere_the_services_are_the_real_ones() -> None:
    found = load({"DATABASE_URL": "postgresql://u@db.example.com/x", "KIE_API_KEY": "k"})
    assert found.fal_queue_url == "https://queue.fal.run"
    assert found.runpod_base_url == "https://api.runpod.io/v2"
    assert found.hf_endpoint == "https://huggingface.co"
    assert not found.has("FAL_KEY")
    assert found.default_trainer == "fal"


def test_the_companys_other_names_are_read() -> None:
    assert load({"FAL_API_KEY": "k"}).require("FAL_KEY") == "k"
    assert load({"NEXT_PUBLIC_BASE_URL": "https://a.example.com"}).public_base_url == "https://a.example.com"
    same = {"NEXT_PUBLIC_BASE_URL": "https://a.example.com", "PUBLIC_BASE_URL": "https://a.example.com"}
    assert load(same).public_base_url == "https://a.example.com"


REFUSED = [
    (
        "two names that differ",
        {"NEXT_PUBLIC_BASE_URL": "https://a.example.com", "PUBLIC_BASE_URL": "https://b.example.com"},
        "NEXT_PUBLIC_BASE_URL and PUBLIC_BASE_URL are both set and differ",
    ),
    ("an unknown storage", {"STORAGE_BACKEND": "floppy"}, "STORAGE_BACKEND"),
    (
        "a public address that is no URL",
        {"PUBLIC_BASE_URL": "ops.example.com"},
        "PUBLIC_BASE_URL must be a URL",
    ),
    ("a provider's that is none", {"KIE_BASE_URL": "ftp://kie"}, "KIE_BASE_URL must be a URL"),
    (
        "a local stack with a far database",
        {**LOCAL, "DATABASE_URL": "postgresql://u:secret-password@db.example.com/x"},
        "DATABASE_URL must point at this machine",
    ),
    *(
        (
            f"a local stack with the real {name}",
            {**LOCAL, name: "https://api.example.com/v1"},
            f"{name} must point at this machine",
        )
        for name in ("FAL_QUEUE_URL", "FAL_JWKS_URL", "REPLICATE_BASE_URL", "RUNPOD_BASE_URL", "HF_ENDPOINT")
    ),
    (
        "a key in the open",
        {"FAL_QUEUE_URL": "http://queue.fal.run"},
        "FAL_QUEUE_URL must be a URL such as https://queue.fal.run",
    ),
    ("no URL at all", {"RUNPOD_BASE_URL": "api.runpod.io"}, "RUNPOD_BASE_URL must be a URL"),
    ("an unknown trainer", {"DEFAULT_TRAINER": "civitai"}, "DEFAULT_TRAINER"),
    (
        "two keys for fal",
        {"FAL_KEY": "secret-password", "FAL_API_KEY": "another"},
        "FAL_API_KEY and FAL_KEY are both set and differ",
    ),
    (
        "a local stack with the real KIE",
        {**LOCAL, "KIE_BASE_URL": "https://api.kie.ai"},
        "KIE_BASE_URL must point at this machine",
    ),
]


@pytest.mark.parametrize(
    ("environment", "says"), [pytest.param(env, says, id=why) for why, env, says in REFUSED]
)
def test_what_stops_the_start(environment: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environment)
    assert says in refused.value.message
    assert "secret-password" not in refused.value.message


def test_a_missing_setting_is_named_with_the_remedy() -> None:
    with pytest.raises(
        SettingsError, match=r"KIE_API_KEY is not set\. Set it in the environment or in \.env"
    ):
        load({}).require("KIE_API_KEY")
    assert load({"KIE_API_KEY": "k"}).require("KIE_API_KEY") == "k"
    with pytest.raises(SettingsError, match="OPS_API_KEY is not set"):
        load({}).require("OPS_API_KEY")


def test_no_secret_shows_itself() -> None:
    secrets = {
        name: f"hidden-{name}"
        for name in ("OPS_API_KEY", "KIE_API_KEY", "KIE_CALLBACK_SECRET", "FILES_SIGNING_KEY")
    }
    secrets |= {
        name: f"hidden-{name}"
        for name in (
            "FAL_KEY",
            "REPLICATE_API_TOKEN",
            "REPLICATE_WEBHOOK_SECRET",
            "RUNPOD_API_KEY",
            "HUGGINGFACE_API_TOKEN",
        )
    }
    secrets |= {"SUPABASE_JWT_SECRET": "hidden-jwt", "KIE_WEBHOOK_HMAC_KEY": "hidden-hmac"}
    shown = repr(load({**LOCAL, **secrets})) + str(load({**LOCAL, **secrets}).model_dump())
    assert "hidden-" not in shown
    assert "secret-password" not in shown


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load({}), "public_base_url", "x")  # noqa: B010 - the type checker refuses the plain form


def test_an_unknown_name_is_nobodys_business() -> None:
    assert isinstance(load({"PATH": "/bin", "SOMETHING_ELSE": "x"}), Settings)
