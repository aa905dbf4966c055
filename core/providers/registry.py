"""Every provider of generations, one line each."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import NotFound
from core.providers import fal_generations, kie
from core.providers.contract import GenerationProvider
from core.settings import Settings


@dataclass(frozen=True)
class Entry:
    """`build` makes the client from the settings, or raises SettingsError that names what is missing.
    `result_hosts` are the hosts that its results may be downloaded from. `name` is how sentences call it,
    `needs` the setting without which it cannot be used. `callback_path` is where it calls back on our API.
    `callbacks_prove`: the callback's signature covers its body, so that it proves by itself which task it
    speaks of."""

    label: str
    name: str
    build: Callable[[Settings], GenerationProvider]
    result_hosts: tuple[str, ...]
    needs: str
    callback_path: str
    callbacks_prove: bool = False


PROVIDERS: dict[str, Entry] = {
    "kie": Entry(
        "KIE.ai",
        "KIE",
        kie.from_settings,
        kie.RESULT_HOSTS,
        needs="KIE_API_KEY",
        callback_path="/api/kie/callback",
    ),
    "fal": Entry(
        "fal.ai",
        "fal",
        fal_generations.from_settings,
        fal_generations.RESULT_HOSTS,
        needs="FAL_KEY",
        callback_path="/api/fal/webhook",
        callbacks_prove=True,
    ),
}


def name_of(provider: str) -> str:
    """How sentences call a provider; one that is not ours by its own word."""
    entry = PROVIDERS.get(provider.lower())
    return entry.name if entry else provider[:40]


def worded(text: str, provider: str) -> str:
    """A sentence that speaks of KIE, for a generation of another provider: with that one's name and key."""
    entry = PROVIDERS.get(provider.lower())
    if entry is None or entry is PROVIDERS["kie"]:
        return text
    return re.sub(r"\bKIE\b", entry.name, text.replace(PROVIDERS["kie"].needs, entry.needs))


def build(name: str, settings: Settings) -> GenerationProvider:
    """The client of the provider `name`. Raises NotFound, or SettingsError for a missing setting."""
    entry = PROVIDERS.get(name)
    if entry is None:
        raise NotFound(f"There is no provider {name[:80]!r}. There are: {', '.join(PROVIDERS)}.")
    return entry.build(settings)


def result_hosts() -> tuple[str, ...]:
    """The hosts of every provider's results."""
    return tuple(host for entry in PROVIDERS.values() for host in entry.result_hosts)
