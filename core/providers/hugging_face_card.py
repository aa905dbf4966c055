"""The model card of a LoRA, as Hugging Face reads it: https://huggingface.co/docs/hub/model-cards.

A LoRA of FLUX.1-dev is a derivative of it, so the licence is that one's, whoever made the LoRA.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BASE_MODEL = "black-forest-labs/FLUX.1-dev"
LICENCE = {
    "license": "other",
    "license_name": "flux-1-dev-non-commercial-license",
    "license_link": f"https://huggingface.co/{BASE_MODEL}/blob/main/LICENSE.md",
}


@dataclass(frozen=True)
class Sample:
    """An image in the repository that the LoRA made, and the prompt that it was made from."""

    path: str
    prompt: str


@dataclass(frozen=True)
class Facts:
    """What a card tells; `weights` is their file in the repository, `parameters` are shown in their order."""

    name: str
    trigger_word: str
    repo_id: str
    weights: str
    description: str = ""
    parameters: Mapping[str, str | int] = field(default_factory=dict)
    samples: Sequence[Sample] = ()


def card(facts: Facts) -> str:
    """The README.md: what the Hub reads by machine, then what people read."""
    head: dict[str, Any] = {
        **LICENCE,
        "base_model": BASE_MODEL,
        "base_model_relation": "adapter",
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["text-to-image", "diffusers", "lora", "flux"],
        "instance_prompt": facts.trigger_word,
    }
    if facts.samples:
        head["widget"] = [{"text": sample.prompt, "output": {"url": sample.path}} for sample in facts.samples]
    # JSON is YAML, and nobody's name or prompt can break out of a JSON string.
    front = "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items())
    return f"---\n{front}\n---\n\n{_body(facts)}"


def _body(facts: Facts) -> str:
    parts = [f"# {_plain(facts.name)}", _plain(facts.description)]
    parts.append(
        f"A LoRA for [FLUX.1-dev](https://huggingface.co/{BASE_MODEL})."
        f" Use `{_code(facts.trigger_word)}` in the prompt to call it up."
    )
    parts += [f"![{_plain(sample.prompt)}]({sample.path})" for sample in facts.samples]
    if facts.parameters:
        rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in facts.parameters.items()]
        parts.append("\n".join(("## Training", "", "| parameter | value |", "|---|---|", *rows)))
    loading = f"{json.dumps(facts.repo_id)}, weight_name={json.dumps(facts.weights)}"
    parts.append(
        "\n".join(
            (
                "## Use",
                "",
                "```python",
                "import torch",
                "from diffusers import FluxPipeline",
                "",
                f'pipeline = FluxPipeline.from_pretrained("{BASE_MODEL}", torch_dtype=torch.bfloat16)',
                f"pipeline.load_lora_weights({loading})",
                "```",
            )
        )
    )
    parts.append(
        f"## Licence\n\nA derivative of FLUX.1-dev, under its [{LICENCE['license_name']}]"
        f"({LICENCE['license_link']})."
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _plain(text: str) -> str:
    """A text of somebody's as one line that is text alone, neither markup nor HTML."""
    line = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", line)


def _code(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("`", "'")


def _cell(value: object) -> str:
    return _plain(str(value))
