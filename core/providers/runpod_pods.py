"""What a pod of ours is made of, what it tells of itself, and how both are read.

A pod is made of the public image of ostris' ai-toolkit. It gets its work by environment and runs
`runpod_bootstrap.sh`, which writes what it has to tell to a signed address; nothing in either is trusted to
be well-formed.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID

from core.providers.api import Api, id_of, moment_of
from core.providers.http import MAX_WORDS
from core.providers.training import LogLine, TrainingRequest, TrainingState
from core.providers.training_logs import MAX_LINE, MAX_LINES, lines_of

NAME_PREFIX = "studio-ops-"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME = re.compile(rf"{NAME_PREFIX}(?P<run>{_UUID})(?:-(?P<mark>\w+))?")
# On Docker Hub without the hyphen of the repository's name.
IMAGE = "ostris/aitoolkit:latest"
BASE_MODEL = "black-forest-labs/FLUX.1-dev"
GPU = "NVIDIA A100 80GB PCIe"
DISK_GB = 120
LEARNING_RATE, RANK = Decimal("0.0001"), 16
_BOOTSTRAP = Path(__file__).with_name("runpod_bootstrap.sh")

# The words of `state` in a pod's progress, ours first.
_PROGRESS = {
    "starting": TrainingState.STARTING,
    "preparing": TrainingState.STARTING,
    "downloading": TrainingState.STARTING,
    "training": TrainingState.RUNNING,
    "running": TrainingState.RUNNING,
    "uploading": TrainingState.RUNNING,
    "done": TrainingState.SUCCEEDED,
    "completed": TrainingState.SUCCEEDED,
    "succeeded": TrainingState.SUCCEEDED,
    "failed": TrainingState.FAILED,
    "error": TrainingState.FAILED,
}


@dataclass(frozen=True)
class Pod:
    """A pod at RunPod whose name says that it is ours. `mark` says whose of several installations with one
    account; `usd_per_hour` is 0 once it has ended."""

    id: str
    name: str
    run_id: UUID | None
    status: str
    mark: str = ""
    usd_per_hour: Decimal | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None


@dataclass(frozen=True)
class Told:
    """What a pod has written of itself; `state` is None when it has written nothing that can be read."""

    state: TrainingState | None = None
    word: str = ""
    percent: int | None = None
    error: str = ""
    at: datetime | None = None
    log: tuple[LogLine, ...] = ()


def name_of(run_id: UUID, mark: str = "") -> str:
    """A run's pod is found by this name alone; `mark` is the installation's."""
    return f"{NAME_PREFIX}{run_id}" + (f"-{mark}" if mark else "")


def run_of(name: str) -> UUID | None:
    """The run that a pod's name carries."""
    found = _NAME.fullmatch(name)
    return UUID(found["run"]) if found else None


def mark_of(name: str) -> str:
    """The mark of the installation that made a pod, empty where its name carries none."""
    found = _NAME.fullmatch(name)
    return (found["mark"] or "") if found else ""


def order(request: TrainingRequest, hub_token: str, mark: str = "") -> dict[str, Any]:
    """The body that asks RunPod for the pod of `request`. `hub_token` reads the gated FLUX.1-dev."""
    assert request.push is not None
    script = base64.b64encode(_BOOTSTRAP.read_bytes()).decode("ascii")
    environment = {
        "STUDIO_OPS_RUN_ID": str(request.run_id),
        "STUDIO_OPS_DATASET_URL": request.dataset_url,
        "STUDIO_OPS_WEIGHTS_URL": request.push.weights_url,
        "STUDIO_OPS_PROGRESS_URL": request.push.progress_url,
        "STUDIO_OPS_CONFIG": json.dumps(toolkit_config(request)),
    }
    if hub_token:
        environment["HF_TOKEN"] = hub_token
    return {
        "name": name_of(request.run_id, mark),
        "image": IMAGE,
        "gpu": {"id": GPU, "count": 1},
        "cloud": "SECURE",
        "disk": DISK_GB,
        "env": environment,
        # One string, taken apart like a shell's; in base64 there is nothing in it to be taken apart wrongly.
        "args": f"bash -c 'echo {script} | base64 -d > /tmp/studio-ops.sh; exec bash /tmp/studio-ops.sh'",
    }


def toolkit_config(request: TrainingRequest) -> dict[str, Any]:
    """ai-toolkit's configuration; JSON is read there like YAML. @FOLDER@ is filled in by the bootstrap."""
    rank = request.rank or RANK
    process = {
        "type": "sd_trainer",
        "training_folder": "@FOLDER@/output",
        "device": "cuda:0",
        "trigger_word": request.trigger_word,
        "network": {"type": "lora", "linear": rank, "linear_alpha": rank},
        "save": {"dtype": "float16", "save_every": request.steps, "max_step_saves_to_keep": 1},
        "datasets": [
            {
                "folder_path": "@FOLDER@/dataset",
                "caption_ext": "txt",
                "caption_dropout_rate": 0.05,
                "cache_latents_to_disk": True,
                "resolution": [512, 768, 1024],
            }
        ],
        "train": {
            "batch_size": 1,
            "steps": request.steps,
            "gradient_accumulation_steps": 1,
            "train_unet": True,
            "train_text_encoder": False,
            "gradient_checkpointing": True,
            "noise_scheduler": "flowmatch",
            "optimizer": "adamw8bit",
            "lr": float(request.learning_rate or LEARNING_RATE),
            "dtype": "bf16",
            "skip_first_sample": True,
            "disable_sampling": True,
        },
        "model": {"name_or_path": BASE_MODEL, "is_flux": True, "quantize": True},
    }
    return {
        "job": "extension",
        "config": {"name": "lora", "process": [process]},
        "meta": {"name": "[name]", "version": "1.0"},
    }


def pod_from(body: Any) -> Pod | None:
    """The pod in RunPod's answer; None for what is no pod."""
    pod_id = id_of(body.get("id")) if isinstance(body, Mapping) else None
    if pod_id is None:
        return None
    name, status = str(body.get("name") or ""), str(body.get("status") or "")
    return Pod(
        pod_id,
        name[:200],
        run_of(name),
        status.strip().upper()[:50],
        mark_of(name),
        dollars_of(body.get("cost")),
        moment_of(body.get("createdAt")),
        moment_of(body.get("startedAt")),
    )


def told_by(progress: Mapping[str, Any] | None, api: Api) -> Told:
    """What a pod's progress says; half-written or foreign ones say nothing."""
    if not isinstance(progress, Mapping):
        return Told()
    word = progress.get("state") or progress.get("status")
    state = _PROGRESS.get(word.strip().lower()) if isinstance(word, str) else None
    error, lines = progress.get("error"), progress.get("log")
    log = [
        LogLine(api.clean(line)[:MAX_LINE])
        for text in (lines if isinstance(lines, list) else [])[-MAX_LINES:]
        if isinstance(text, str)
        for line in lines_of(text)
    ]
    return Told(
        state,
        word[:50] if isinstance(word, str) else "",
        100 if state is TrainingState.SUCCEEDED else _percent_in(progress),
        api.clean(error)[:MAX_WORDS] if isinstance(error, str) else "",
        moment_of(progress.get("at")),
        tuple(log),
    )


def _percent_in(progress: Mapping[str, Any]) -> int | None:
    step, steps, percent = (_count(progress.get(part)) for part in ("step", "steps", "progress"))
    if step is not None and steps and step <= steps:
        return int(step * 100 // steps)
    return int(percent) if percent is not None and percent <= 100 else None


def _count(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return value if good else None


def dollars_of(value: Any) -> Decimal | None:
    """An amount as RunPod tells it; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < 10_000 else None
