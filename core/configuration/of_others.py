"""What others have to be asked: storage, providers, trainers, alert channels, our own public address."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

import httpx

from core.configuration.models import Verdict
from core.errors import StudioOpsError
from core.notifications import channels
from core.providers import http, registry, training_registry
from core.settings import Settings
from core.storage.backend import from_settings
from core.storage.condition import examine

REACHED_WITHIN_S = 10.0


def storage(settings: Settings, _: datetime) -> Iterator[Verdict]:
    """Each bucket: whether it is there, public or not, what it takes, and whether it can be written."""
    try:
        opened = from_settings(settings)
    except StudioOpsError as error:
        yield Verdict("storage", good=False, message=error.message)
        return
    for found in examine(opened):
        mendable = found.bucket if found.mendable else None
        yield Verdict(f"bucket {found.bucket}", found.good, found.message, found.warning, mendable)
    opened.close()


def providers(settings: Settings, _: datetime) -> Iterator[Verdict]:
    """KIE, which is needed, and the others where their key is set."""
    yield _try(f"KIE at {settings.kie_base_url}", partial(_key_of, "kie", settings))
    for name, entry in registry.PROVIDERS.items():
        if name != "kie" and settings.has(entry.needs):
            yield _try(f"{entry.name}'s generations", partial(_key_of, name, settings))


def _key_of(name: str, settings: Settings) -> str:
    with closing(registry.build(name, settings)) as provider:
        return provider.check_key()


def trainers(settings: Settings, _: datetime) -> Iterator[Verdict]:
    """Each account of the trainings whose key is set, by a call that costs nothing."""
    ready = training_registry.configured(settings)
    for name in ready:
        yield _try(f"{training_registry.TRAINERS[name].label}'s trainer", partial(_trainer, name, settings))
    default = training_registry.entry(settings.default_trainer)
    if settings.default_trainer not in ready:
        told = f"{' and '.join(default.needs)} must be set before {default.label} can train."
        yield Verdict("DEFAULT_TRAINER", good=True, message=told, warning=True)
    if settings.has("HUGGINGFACE_API_TOKEN"):
        yield _try("Hugging Face", partial(_publisher, settings))


def _publisher(settings: Settings) -> str:
    # Its package takes most of a second to import, which no other command should pay.
    from core.providers import hugging_face

    return hugging_face.from_settings(settings).check_key()


def _trainer(name: str, settings: Settings) -> str:
    with closing(training_registry.build(name, settings)) as trainer:
        return trainer.check_key()


def alert_channels(settings: Settings, _: datetime) -> Iterator[Verdict]:
    """The channels that alerts are told by; nothing is sent."""
    found = channels.of(settings)
    if not found:
        told = "is not set: alerts stand on the page alone, and nobody is told of them."
        yield Verdict("ALERT_URLS", good=True, message=told, warning=settings.profile == "configured")
    for one in found:
        told = one.fault or "its address is good; the page Alerts sends a test message by it"
        yield Verdict(f"channel {one.label}", good=one.fault is None, message=told)


def _try(name: str, what: Callable[[], str]) -> Verdict:
    try:
        return Verdict(name, good=True, message=what())
    except StudioOpsError as error:
        return Verdict(name, good=False, message=error.message)


def webhooks(settings: Settings, _: datetime) -> Iterator[Verdict]:
    """Whether our public address leads here, tried with a callback that has no secret and is refused."""
    if settings.profile == "local":
        told = "in the local profile the sandbox calls back on this machine"
        yield Verdict("webhooks", good=True, message=told)
        return
    address = f"{settings.public_base_url.rstrip('/')}/api/kie/callback"
    try:
        answer = httpx.post(
            address,
            json={},
            timeout=REACHED_WITHIN_S,
            headers={"User-Agent": http.USER_AGENT},
            trust_env=False,
            verify=http.tls(),
        )
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        host = urlsplit(address).hostname
        told = (
            f"{host} does not answer from here ({type(fault).__name__}), so callbacks may not arrive either;"
            " results then come by asking alone. Check the name, the proxy and PUBLIC_BASE_URL."
        )
        yield Verdict("webhooks", good=False, message=told)
        return
    yield _ours(answer)


def _ours(answer: httpx.Response) -> Verdict:
    """Only we refuse a callback without a secret in our own words."""
    try:
        code = answer.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = None
    if answer.status_code == 401 and code == "not_signed_in":
        told = "the public address leads here; a callback without the secret was refused"
        return Verdict("webhooks", good=True, message=told)
    told = (
        f"something else answers at PUBLIC_BASE_URL (HTTP {answer.status_code}), so callbacks do not arrive."
        " Lead its path /api to this product, or correct PUBLIC_BASE_URL."
    )
    return Verdict("webhooks", good=False, message=told)
