"""The sandbox beside production settings."""

import pytest

from core.errors import SettingsError
from core.sandbox.callbacks import callable_url
from core.sandbox.safety import DEFAULT_KEY, OutsideServices, check_local, key_of
from core.settings import load

NOTHING = OutsideServices(_env_file=None)


def _outside(**values: str) -> OutsideServices:
    return OutsideServices(_env_file=None, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"DATABASE_URL": "postgresql://u:p@127.0.0.1:5432/studio"},
        {"DATABASE_URL": "postgresql://u:p@localhost/studio"},
        {"DATABASE_URL": "postgresql:///studio?host=/run/postgresql"},
        {"KIE_BASE_URL": "http://127.0.0.1:9010", "KIE_API_KEY": "sandbox-abc"},
    ],
)
def test_local_settings_may_start(environment: dict[str, str]) -> None:
    check_local(load(environment), NOTHING)


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"DATABASE_URL": "postgresql://u:p@db.example.com/studio"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:p@127.0.0.1,db.example.com/studio"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql:///studio?host=db.example.com"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://127.0.0.1/studio?host=db.example.com"}, "DATABASE_URL"),
        ({"KIE_BASE_URL": "https://api.kie.ai"}, "KIE_BASE_URL"),
        ({"KIE_API_KEY": "b7c1f0e2d3"}, "KIE_API_KEY"),
    ],
)
def test_production_settings_stop_the_start(environment: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name) as raised:
        check_local(load(environment), NOTHING)
    assert f"Unset {name}" in str(raised.value)
    assert not any(value in str(raised.value) for value in environment.values())


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"supabase_url": "https://abc.supabase.co"}, "SUPABASE_URL"),
        ({"vite_supabase_url": "https://abc.supabase.co"}, "VITE_SUPABASE_URL"),
        ({"supabase_service_role_key": "sb_secret_1"}, "SUPABASE_SERVICE_ROLE_KEY"),
        ({"fal_key": "id:secret"}, "FAL_KEY"),
        ({"fal_queue_url": "https://queue.fal.run"}, "FAL_QUEUE_URL"),
        ({"runpod_base_url": "https://api.runpod.io/v2"}, "RUNPOD_BASE_URL"),
        ({"hf_endpoint": "https://huggingface.co"}, "HF_ENDPOINT"),
        ({"replicate_api_token": "r8_1"}, "REPLICATE_API_TOKEN"),
        ({"runpod_api_key": "rpa_1"}, "RUNPOD_API_KEY"),
        ({"huggingface_api_token": "hf_1"}, "HUGGINGFACE_API_TOKEN"),
        ({"cloudflare_r2_endpoint": "https://x.r2.cloudflarestorage.com"}, "CLOUDFLARE_R2_ENDPOINT"),
    ],
)
def test_real_services_stop_the_start(values: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=f"Unset {name}") as raised:
        check_local(load({}), _outside(**values))
    assert not any(value in str(raised.value) for value in values.values())


def test_local_stand_ins_may_start() -> None:
    check_local(load({}), _outside(supabase_url="http://127.0.0.1:54321", fal_key="sandbox-fal"))


def test_the_key_is_the_settings_or_the_default() -> None:
    assert key_of(load({})) == DEFAULT_KEY
    assert key_of(load({"KIE_API_KEY": "sandbox-abc"})) == "sandbox-abc"


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("http://127.0.0.1:8501/api/kie/callback?secret=a", True),
        ("http://localhost/cb", True),
        ("http://[::1]:80/cb", True),
        ("http://127.9.9.9/cb", True),
        ("https://127.0.0.1/cb", False),
        ("http://192.168.0.1/cb", False),
        ("http://example.com/cb", False),
        ("http://localhost.example.com/cb", False),
        ("http://127.0.0.1@example.com/cb", False),
        ("http://0.0.0.0/cb", False),
        ("http://127.0.0.1:99999/cb", False),
        ("http://127.0.0.1/cb\r\nX: y", False),
        ("http://[bad/cb", False),
        ("not a url", False),
    ],
)
def test_callbacks_go_to_this_machine_only(url: str, may: bool) -> None:
    assert callable_url(url) is may
