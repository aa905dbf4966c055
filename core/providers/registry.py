"""Every provider of generations, one line each."""

from collections.abc import Callable
from dataclasses import dataclass

from core.errors import NotFound
from core.providers import kie
from core.providers.contract import GenerationProvider
from core.settings import Settings


@dataclass(frozen=True)
class Entry:
    """`build` makes the client from the settings, or raises SettingsError that names what is missing.
    `result_hosts` are the hosts that its results may be downloaded from."""

    label: str
    build: Callable[[Settings], GenerationProvider]
    result_hosts: tuple[str, ...]


PROVIDERS: dict[str, Entry] = {
    "kie": Entry("KIE.ai", kie.from_settings, kie.RESULT_HOSTS),
}


def build(name: str, settings: Settings) -> GenerationProvider:
    """The client of the provider `name`. Raises NotFound, or SettingsError for a missing setting."""
    entry = PROVIDERS.get(name)
    if entry is None:
        raise NotFound(f"There is no provider {name[:80]!r}. There are: {', '.join(PROVIDERS)}.")
    return entry.build(settings)


def result_hosts() -> tuple[str, ...]:
    """The hosts of every provider's results."""
    return tuple(host for entry in PROVIDERS.values() for host in entry.result_hosts)
