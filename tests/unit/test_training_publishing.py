"""What of a run goes to Hugging Face beside its weights, and what a launch leaves open."""

import json
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from core.providers.training import Bounds, Trainer
from core.trainings import launching, publishing
from core.trainings.models import Launch
from tests.unit.training_runs import run

ID = UUID("0f0e0d0c-0000-4000-8000-000000000000")
RATES = (Decimal("0.00001"), Decimal("0.002"))


def test_the_card_names_licence_base_model_trigger_word_and_parameters() -> None:
    of = run(
        lora_id=ID, trigger_word="ada_v1", steps=1200, learning_rate=Decimal("0.0001"), rank=16, images=8
    )
    card = publishing.card_of(of, "us/ada-0f0e0d0c")
    for words in (
        'license_name: "flux-1-dev-non-commercial-license"',
        'base_model: "black-forest-labs/FLUX.1-dev"',
        'instance_prompt: "ada_v1"',
        "| steps | 1200 |",
        "| learning rate | 0.0001 |",
        "| rank | 16 |",
        "| images | 8 |",
        'load_lora_weights("us/ada-0f0e0d0c", weight_name="lora.safetensors")',
    ):
        assert words in card


def test_what_a_trainer_does_not_take_stands_on_no_card() -> None:
    assert set(publishing.parameters(run(learning_rate=None, rank=None))) == {"trainer", "steps", "images"}


def test_the_config_tells_the_weights_hash(tmp_path: Path) -> None:
    told = json.loads(publishing.config_of(run(weights_sha256="ab" * 32), tmp_path).read_text())
    assert (told["weights_sha256"], told["base_model"]) == ("ab" * 32, "black-forest-labs/FLUX.1-dev")


@pytest.mark.parametrize(
    ("name", "repo"),
    [("Ada, the Lighthouse", "ada-the-lighthouse-0f0e0d0c"), ("漢字", "lora-0f0e0d0c"), ("x" * 255, None)],
)
def test_the_repository_is_the_loras_alone(name: str, repo: str | None) -> None:
    found = publishing.repo_name(run(lora_id=ID, lora_name=name))
    assert found == repo if repo else len(found) <= 96


@pytest.mark.parametrize(
    ("taken", "given", "used"),
    [
        ({}, {}, (None, None)),
        ({"learning_rate": RATES, "rank": (1, 128)}, {}, (Decimal("0.0001"), 16)),
        ({"learning_rate": RATES, "rank": (1, 128)}, {"rank": 64}, (Decimal("0.0001"), 64)),
        ({"learning_rate": RATES}, {"learning_rate": Decimal("0.001")}, (Decimal("0.001"), None)),
    ],
)
def test_what_a_launch_leaves_open_is_our_usual_figure_and_never_the_trainers(
    taken: dict[str, Any], given: dict[str, Any], used: tuple[Decimal | None, int | None]
) -> None:
    wanted = Launch("request-key", ID, "Ada", "ada_v1", "replicate", 1000, **given)
    trainer = cast(Trainer, SimpleNamespace(bounds=Bounds((3, 12), (1, 6000), **taken)))
    full = launching.with_usual(wanted, trainer)
    assert (full.learning_rate, full.rank) == used
