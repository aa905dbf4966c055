"""The table of trainers: who can be built, and what is missing where not."""

import pytest

from core.errors import NotFound, SettingsError
from core.providers import fetch, training_registry
from core.providers.training_registry import TRAINERS
from core.settings import Settings, load

STACK = {
    "STUDIO_OPS_LOCAL_STACK": "http://127.0.0.1:9010",
    "DATABASE_URL": "postgresql://u@127.0.0.1:5432/x",
    "KIE_BASE_URL": "http://127.0.0.1:9010",
    "KIE_API_KEY": "sandbox-key-1",
}
ALL = {name: "k" * 12 for found in TRAINERS.values() for name in found.needs}


def test_the_trainers() -> None:
    assert set(TRAINERS) == set(Settings.model_fields["default_trainer"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", TRAINERS)
def test_each_is_built_from_its_settings_alone(name: str) -> None:
    needed = {setting: ALL[setting] for setting in TRAINERS[name].needs}
    trainer = training_registry.build(name, load(needed))
    low, high = trainer.bounds.images
    assert low <= 6 <= 10 <= high
    assert trainer.bounds.steps[0] <= 1000 <= trainer.bounds.steps[1]
    assert trainer.ceiling.total_seconds() > TRAINERS[name].minutes[1] * 60
    trainer.close()
    trainer.close()


@pytest.mark.parametrize(
    ("name", "missing"), [(name, missing) for name in TRAINERS for missing in TRAINERS[name].needs]
)
def test_a_missing_setting_is_named(name: str, missing: str) -> None:
    without = {setting: value for setting, value in ALL.items() if setting != missing}
    with pytest.raises(SettingsError, match=f"{missing} is not set"):
        training_registry.build(name, load(without))
    assert name not in training_registry.configured(load(without))


def test_an_unknown_trainer() -> None:
    with pytest.raises(NotFound, match="There are: fal"):
        training_registry.build("civitai", load({}))


def test_who_is_configured_the_default_first() -> None:
    assert training_registry.configured(load({})) == ()
    everybody = training_registry.configured(load({**ALL, "DEFAULT_TRAINER": list(TRAINERS)[-1]}))
    assert set(everybody) == set(TRAINERS)
    assert everybody[0] == list(TRAINERS)[-1]
    assert set(training_registry.configured(load(STACK))) == set(TRAINERS)


def test_their_files_may_be_fetched() -> None:
    rules = fetch.from_settings(load({}))._rules
    assert "fal.media" in rules.hosts
    assert "fal.media" in rules.parents
