"""A trained LoRA on Hugging Face, where that was chosen at the launch."""

import json
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection

from core.errors import ErrorCategory, NotFound, ProviderError, StorageError
from core.providers import hugging_face_card
from core.providers.hugging_face import repo_name_of
from core.providers.hugging_face_card import Facts, Sample
from core.trainings import calls, moving, policy, storing
from core.trainings.models import Event, EventKind, Run, Trouble
from core.trainings.repository import SQL, say
from core.trainings.tools import Tools

WEIGHTS_FILE, CONFIG_FILE = "lora.safetensors", "config.json"


def advance(run: Run, tools: Tools) -> None:
    """The step of a leased run whose weights are stored and are to be published. Idempotent at the Hub."""
    if tools.publisher is None:
        moving.try_again(run, _not_configured(), tools, after=policy.SLOW_POLL)
        return
    try:
        with moving.kept(run, tools), storing.local_copy(run, tools) as file:
            name = repo_name(run)
            files = {WEIGHTS_FILE: file, CONFIG_FILE: config_of(run, file.parent)}
            card = card_of(run, tools.publisher.repo_id(name))
            published = tools.publisher.publish(name, card, files, private=False)
    except ProviderError as error:
        moving.try_again(run, calls.trouble_of(error), tools)
        return
    except (StorageError, NotFound) as error:
        moving.try_again(run, _no_file(error), tools)
        return

    def also(connection: Connection) -> None:
        now = tools.clock()
        SQL["set_published"].run(
            connection, lora_id=run.lora_id, url=published.url, commit=published.commit, now=now
        )
        say(connection, run, now, f"published: {published.url}")

    detail = {"repo": published.repo_id, "url": published.url, "commit": published.commit}
    moving.finish_stage(run, tools, Event(EventKind.PUBLISHED, detail=detail), also)


def repo_name(run: Run) -> str:
    """The repository's name: the LoRA's, as far as the Hub allows it, and eight digits of its id."""
    return f"{repo_name_of(run.lora_name)[:60].rstrip('-')}-{str(run.lora_id)[:8]}"


def parameters(run: Run) -> dict[str, str | int]:
    """What the LoRA was trained with, for its card and its config."""
    known: dict[str, str | int | None] = {
        "trainer": run.trainer,
        "steps": run.steps,
        "learning rate": f"{run.learning_rate:f}" if run.learning_rate is not None else None,
        "rank": run.rank,
        "images": run.images,
    }
    return {name: value for name, value in known.items() if value is not None}


def card_of(run: Run, repo_id: str, samples: Sequence[Sample] = ()) -> str:
    """The model's card, with test images once there are some."""
    return hugging_face_card.card(
        Facts(
            name=run.lora_name,
            trigger_word=run.trigger_word,
            repo_id=repo_id,
            weights=WEIGHTS_FILE,
            description=run.description or "",
            parameters=parameters(run),
            samples=samples,
        )
    )


def config_of(run: Run, folder: Path) -> Path:
    """What the weights are and how they were made, as a file beside them."""
    file = folder / "config.json"
    told = {
        "base_model": hugging_face_card.BASE_MODEL,
        "trigger_word": run.trigger_word,
        "weights_sha256": run.weights_sha256,
        "parameters": parameters(run),
    }
    file.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return file


def _not_configured() -> Trouble:
    return Trouble(
        "HUGGINGFACE_API_TOKEN or HUGGINGFACE_USERNAME is not set.",
        ErrorCategory.AUTHENTICATION,
        retryable=True,
        next_action="Set them; the training itself is kept.",
    )


def _no_file(error: StorageError | NotFound) -> Trouble:
    return Trouble(
        f"The weights could not be read from our storage: {error.message}",
        ErrorCategory.FILE_ERROR,
        retryable=isinstance(error, StorageError) and error.retryable,
        next_action="See that the file is in storage, then start it again.",
    )
