"""The channels of ALERT_URLS: what they are called, whether their address is good, and sending through one.

https://appriseit.com/services/ lists the addresses. An address is a secret: what leaves this module names a
channel by its kind and place, never by its address.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from core import log
from core.errors import ErrorCategory, InvalidInput, ProviderError
from core.settings import Settings

# Whose host is a place and no key of the account.
_NAMED_BY_HOST = {"mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms"}
_MAIL = {"mailto", "mailtos"}
LONGEST_WORDS = 300
_ADDRESS = re.compile(r"[^@\s,;<>\"']{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Channel:
    """One address of ALERT_URLS. `id` tells it from others, `label` is what people call it; `fault` is why
    nothing can be sent through it, as a sentence."""

    id: str
    label: str
    is_mail: bool
    fault: str | None
    url: str = field(repr=False)


def of(settings: Settings) -> tuple[Channel, ...]:
    """Every channel that is set up, in its order; the same address twice is one."""
    found: dict[str, Channel] = {}
    for n, url in enumerate(settings.alert_addresses, start=1):
        channel = _channel(n, url)
        found.setdefault(channel.id, channel)
    return tuple(found.values())


def _channel(n: int, url: str) -> Channel:
    schema = url.split("://", 1)[0].lower() if "://" in url else ""
    plugin = _plugin(url)
    name = str(plugin.service_name) if plugin is not None else "unknown"
    fault = (
        None
        if plugin is not None
        else (
            f"Address {n} of ALERT_URLS is none that can be written to. Compare it with https://appriseit.com/services/."
        )
    )
    host = _host(url) if schema in _NAMED_BY_HOST else ""
    label = f"{name}, {host}" if host else f"{name}, address {n}"
    return Channel(hashlib.sha256(url.encode()).hexdigest()[:16], label, schema in _MAIL, fault, url)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _plugin(url: str):  # type: ignore[no-untyped-def]
    """Apprise's object for an address; None for one that it does not know. Importing it takes a third of a
    second, which only those pay who send."""
    import apprise

    with apprise.LogCapture(level=apprise.logging.CRITICAL):  # type: ignore[no-untyped-call]
        return apprise.Apprise.instantiate(url, suppress_exceptions=True)


def mail_channel(channels: Sequence[Channel]) -> Channel | None:
    """The channel by which a mail can be sent to somebody; None when there is none."""
    return next((one for one in channels if one.is_mail and one.fault is None), None)


def address(text: str) -> str:
    """A mail address as it is kept. InvalidInput for what is none."""
    given = text.strip()
    if len(given) > 254 or not _ADDRESS.fullmatch(given) or ".." in given:
        raise InvalidInput("email", "This is no mail address. Write one, such as ada@example.com.")
    return given


def send(channel: Channel, title: str, body: str, recipient: str | None = None) -> None:
    """Send one message, once; `recipient` in place of those whom a mail channel names.

    Raises ProviderError with what the other side said, its secrets taken out.
    """
    import apprise

    if channel.fault is not None:
        raise _failed(channel, channel.fault, retryable=False)
    plugin = _plugin(channel.url)
    if recipient is not None:
        if not channel.is_mail:
            raise _failed(channel, "It sends no mail to single addresses.", retryable=False)
        plugin.targets = [(False, recipient)]
    with apprise.LogCapture(level=apprise.logging.WARNING) as said:  # type: ignore[no-untyped-call]
        try:
            good = bool(plugin.notify(body=body, title=title, body_format="text"))
        except (OSError, TypeError, ValueError) as error:
            raise _failed(channel, type(error).__name__, retryable=True) from None
        words = said.getvalue()
    if not good:
        raise _failed(channel, words, retryable=True)


def _failed(channel: Channel, words: str, *, retryable: bool) -> ProviderError:
    said = clean(words, channel.url) or "It gave no reason."
    return ProviderError(
        f"{channel.label} did not take the message: {said}",
        category=ErrorCategory.SERVICE_ERROR,
        retryable=retryable,
        words=said,
    )


def clean(words: str, url: str) -> str:
    """What was said, without any part of the address that could be a key."""
    rest = url.split("://", 1)[-1]
    for part in sorted(set(re.split(r"[/:@?&=,#]+", rest)), key=len, reverse=True):
        if len(part) >= 4 and part != _host(url) and not part.isdigit():
            words = words.replace(part, log.MASK)
    lines = [re.sub(r"^[\d-]+ [\d:,]+ - \w+ - ", "", line) for line in words.splitlines()]
    return str(log.redact(" ".join(" ".join(lines).split())))[:LONGEST_WORDS]
