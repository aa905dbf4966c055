"""Every trainer of LoRAs, one line each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from core.errors import NotFound
from core.providers import fal, replicate, runpod
from core.providers.runpod import ProgressReader
from core.providers.training import Trainer
from core.settings import Settings


def _unread(_: UUID) -> None:
    return None


class Account(Trainer, Protocol):
    """A trainer, and whether its account lets us in."""

    def check_key(self) -> str:
        """That the key is good, as a sentence. Idempotent, free. Raises ProviderError where it is not."""
        ...


@dataclass(frozen=True)
class Entry:
    """`build` makes the client from the settings, or raises SettingsError that names what is missing.
    `weights_hosts` are the hosts that its files may be downloaded from, `needs` the settings that it cannot
    do without, `minutes` what a training of 1,000 steps takes from and to, until our own history tells."""

    label: str
    build: Callable[[Settings, ProgressReader], Account]
    weights_hosts: tuple[str, ...]
    needs: tuple[str, ...]
    minutes: tuple[int, int]


TRAINERS: dict[str, Entry] = {
    "fal": Entry("fal", lambda of, _: fal.from_settings(of), fal.RESULT_HOSTS, ("FAL_KEY",), (5, 10)),
    "replicate": Entry(
        "Replicate",
        lambda of, _: replicate.from_settings(of),
        replicate.RESULT_HOSTS,
        ("REPLICATE_API_TOKEN", "REPLICATE_OWNER"),
        (30, 60),
    ),
    # Its weights come by push, from no host. FLUX.1-dev is gated: the pod reads it with our token.
    "runpod": Entry(
        "RunPod", runpod.from_settings, (), ("RUNPOD_API_KEY", "HUGGINGFACE_API_TOKEN"), (30, 60)
    ),
}


def entry(name: str) -> Entry:
    """The trainer `name`. Raises NotFound with the names that there are."""
    found = TRAINERS.get(name)
    if found is None:
        raise NotFound(f"There is no trainer {name[:80]!r}. There are: {', '.join(TRAINERS)}.")
    return found


def label(name: str) -> str:
    """What people call the trainer; its own name where there is none such."""
    found = TRAINERS.get(name)
    return found.label if found else name


def build(name: str, settings: Settings, progress: ProgressReader = _unread) -> Account:
    """The client of the trainer `name`. Raises NotFound, or SettingsError for a missing setting.

    `progress` reads what a pod of ours pushed; only a trainer on pods asks it.
    """
    found = entry(name)
    for needed in found.needs:
        settings.require(needed)
    return found.build(settings, progress)


def configured(settings: Settings) -> tuple[str, ...]:
    """The trainers whose settings are all there, the default one first."""
    ready = [name for name, found in TRAINERS.items() if all(settings.has(needed) for needed in found.needs)]
    return tuple(sorted(ready, key=lambda name: name != settings.default_trainer))


def weights_hosts() -> tuple[str, ...]:
    """The hosts of every trainer's files."""
    return tuple(host for found in TRAINERS.values() for host in found.weights_hosts)
