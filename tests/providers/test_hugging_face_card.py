"""The model card: what the Hub reads, and that nobody's words break out of their place."""

import json
import re
from typing import Any

from core.providers.hugging_face_card import Facts, Sample, card

FACTS = Facts(
    name="Anna",
    trigger_word="ohwx woman",
    repo_id="studio-ops/anna-7",
    weights="anna.safetensors",
    description="A woman with red hair.",
    parameters={"steps": 1000, "learning rate": "1e-4", "trainer": "fal"},
    samples=(Sample("samples/1.jpg", "ohwx woman in a forest"),),
)


def front(text: str) -> dict[str, Any]:
    """The card's head: a JSON value after each name, which is YAML as well."""
    _, head, _ = text.split("---\n", 2)
    return {
        name: json.loads(value) for name, _, value in (line.partition(": ") for line in head.splitlines())
    }


def test_what_the_hub_reads() -> None:
    head = front(card(FACTS))
    assert (head["base_model"], head["instance_prompt"]) == ("black-forest-labs/FLUX.1-dev", "ohwx woman")
    assert (head["license"], head["license_name"]) == ("other", "flux-1-dev-non-commercial-license")
    assert head["widget"] == [{"text": "ohwx woman in a forest", "output": {"url": "samples/1.jpg"}}]
    assert {"lora", "flux", "text-to-image"} <= set(head["tags"])


def test_what_people_read() -> None:
    text = card(FACTS)
    for line in (
        "# Anna",
        "A woman with red hair.",
        "Use `ohwx woman` in the prompt",
        "| steps | 1000 |",
        "| learning rate | 1e-4 |",
        "![ohwx woman in a forest](samples/1.jpg)",
        'pipeline.load_lora_weights("studio-ops/anna-7", weight_name="anna.safetensors")',
        "## Licence",
    ):
        assert line in text


def test_the_least() -> None:
    text = card(Facts("Anna", "ohwx", "studio-ops/anna", "a.safetensors"))
    assert "widget" not in front(text)
    assert "## Training" not in text


def test_nobodys_words_break_out() -> None:
    evil = 'x"\n---\nlicense: mit\n# <script>alert(1)</script> | `y` [a](javascript:b)'
    text = card(
        Facts(evil, evil, "studio-ops/a", "a.safetensors", evil, {evil: evil}, (Sample("1.jpg", evil),))
    )
    head = front(text)
    assert (head["license"], head["instance_prompt"]) == ("other", evil)
    assert head["widget"][0]["text"] == evil
    body = re.sub(r"`[^`]*`", "", text.split("---\n", 2)[2].replace("\\`", ""))
    assert "<script>" not in body
    assert "\n---\n" not in body
    assert "[a](javascript" not in body.replace("\\[a\\](javascript", "")
