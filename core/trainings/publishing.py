"""A trained LoRA on Hugging Face, where that was chosen at the launch."""

import re

from sqlalchemy import Connection

from core.errors import ErrorCategory, NotFound, ProviderError, StorageError
from core.trainings import calls, moving, policy, storing
from core.trainings.models import Event, EventKind, Run, Trouble
from core.trainings.repository import SQL, say
from core.trainings.tools import Tools


def advance(run: Run, tools: Tools) -> None:
    """The step of a leased run whose weights are stored and are to be published. Idempotent at the Hub."""
    if tools.publisher is None:
        moving.try_again(run, _not_configured(), tools, after=policy.SLOW_POLL)
        return
    try:
        with moving.kept(run, tools), storing.local_copy(run, tools) as file:
            published = tools.publisher.publish(
                repo_name(run), card(run), {"lora.safetensors": file}, private=False
            )
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
    plain = re.sub(r"[^A-Za-z0-9]+", "-", run.lora_name).strip("-")[:60] or "lora"
    return f"{plain}-{str(run.lora_id)[:8]}"


def card(run: Run) -> str:
    """The model's card: what it is, and the word that calls it up."""
    about = " ".join((run.description or "").split())
    return "\n".join(
        (
            "---",
            "base_model: black-forest-labs/FLUX.1-dev",
            "tags:",
            "- flux",
            "- lora",
            "- diffusers",
            "- text-to-image",
            f"instance_prompt: {run.trigger_word}",
            "---",
            "",
            f"# {_escaped(run.lora_name)}",
            "",
            f"{_escaped(about)}\n" if about else "",
            f"Trigger word: `{run.trigger_word}`",
            "",
            f"{run.steps:,} steps, {run.images or 0} images.",
            "",
        )
    )


def _escaped(text: str) -> str:
    """Text that means nothing to Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", text)


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
