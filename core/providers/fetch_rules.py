"""What may be fetched from outside: which URLs, and which addresses behind their names.

Pure; `core.providers.fetch` opens the connections. A URL passes when it is https, on the standard
port, without user info, and its host is on the list. An address passes when it is public. The local
profile adds exactly one exception: plain http to the sandbox's host and port on this machine.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlsplit

from core.errors import ErrorCategory, ProviderError, SettingsError

MAX_URL = 4096
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The last label begins with a letter, so that no spelling of an address (127.1, 0x7f.1, 2130706433) fits.
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusalReason(StrEnum):
    MALFORMED = "malformed"
    SCHEME = "scheme"
    USER_INFO = "user_info"
    PORT = "port"
    HOST = "host"
    ADDRESS = "address"
    REDIRECTS = "redirects"


class FetchRefused(ProviderError):
    """Our own guard forbids this fetch; nothing was sent there. `host` is the refused URL's host."""

    code = "fetch_refused"
    http_status = 400

    def __init__(self, reason: RefusalReason, host: str, message: str) -> None:
        super().__init__(
            message, category=ErrorCategory.VALIDATION, retryable=False, sent=False, refused=True
        )
        self.reason = reason
        self.host = host


@dataclass(frozen=True)
class Target:
    """A URL that passed, taken apart; the parts, never the text, are what is connected to."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"


@dataclass(frozen=True)
class FetchRules:
    """`hosts` are admitted as they stand, each name in `parents` with all that lies below it (not the
    name itself); `loopback` is the one host and port on this machine, None outside the local profile."""

    hosts: frozenset[str]
    parents: frozenset[str] = frozenset()
    loopback: tuple[str, int] | None = None

    def check_url(self, url: str) -> Target:
        """The parts of `url`. Raises FetchRefused with the reason and the remedy."""
        if not 0 < len(url) <= MAX_URL or not url.isprintable() or " " in url or "\\" in url:
            raise FetchRefused(
                RefusalReason.MALFORMED, "", "The URL is empty, too long or has characters no URL has."
            )
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or ""), parts.port
        except ValueError:
            raise FetchRefused(RefusalReason.MALFORMED, "", "The URL is malformed.") from None
        if parts.username is not None or parts.password is not None:
            raise FetchRefused(RefusalReason.USER_INFO, host, "The URL carries a user name or password.")
        path = _encoded(parts.path or "/", parts.query)
        if self.loopback and parts.scheme == "http" and (host, port or 80) == self.loopback:
            return Target("http", host, self.loopback[1], path)
        if parts.scheme != "https":
            raise FetchRefused(RefusalReason.SCHEME, host, "Only https URLs are fetched.")
        if not self._admits(host):
            raise FetchRefused(
                RefusalReason.HOST,
                host,
                f"Downloads from {host[:100]!r} are not allowed. If this host is right, add it to "
                "ALLOWED_FETCH_HOSTS.",
            )
        if port not in {None, 443}:
            raise FetchRefused(RefusalReason.PORT, host, f"Port {port} is not allowed; only 443 is.")
        return Target("https", host, 443, path)

    def check_addresses(self, host: str, port: int, addresses: Sequence[str]) -> tuple[str, ...]:
        """`addresses`, what `host` resolves to, if a connection to every one of them is allowed.

        One address that is not makes all of them suspect. Raises FetchRefused.
        """
        to_sandbox = self.loopback == (host, port)
        for text in addresses:
            address = ipaddress.ip_address(text.partition("%")[0])
            allowed = address.is_loopback if to_sandbox else is_public(address)
            if not allowed or "%" in text:
                raise FetchRefused(
                    RefusalReason.ADDRESS,
                    host,
                    f"{host} resolves to {address}, which is not a public address. Nothing was sent.",
                )
        return tuple(addresses)

    def _admits(self, host: str) -> bool:
        if not _HOST_NAME.fullmatch(host):
            return False
        above = host.split(".")
        return host in self.hosts or any(
            ".".join(above[start:]) in self.parents for start in range(1, len(above))
        )


def rules_for(entries: Iterable[str], loopback: tuple[str, int] | None = None) -> FetchRules:
    """Rules from host entries: `files.example.com` admits that host alone, `*.example.com` every host
    below example.com and not example.com itself. Raises SettingsError for any other form."""
    hosts: set[str] = set()
    parents: set[str] = set()
    for entry in entries:
        name = entry.strip().lower()
        is_parent = name.startswith("*.")
        if not _HOST_NAME.fullmatch(name.removeprefix("*.")):
            raise SettingsError(
                f"ALLOWED_FETCH_HOSTS: {entry[:100]!r} is not a host. Write files.example.com, or "
                "*.example.com for all hosts below it; addresses, ports and schemes are not accepted."
            )
        (parents if is_parent else hosts).add(name.removeprefix("*."))
    return FetchRules(frozenset(hosts), frozenset(parents), loopback)


def is_public(address: IPAddress) -> bool:
    """Whether the address is an ordinary public one, also after unwrapping an IPv4 address in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    # Mapped (::ffff:0:0/96), 6to4 and Teredo addresses lead to an IPv4 address of the sender's choice.
    if address.ipv4_mapped or address.sixtofour or address.teredo:
        return False
    return address in _GLOBAL_UNICAST and address.is_global and not address.is_multicast


def _encoded(path: str, query: str) -> str:
    """Path and query in ASCII; what is encoded already stays as it is."""
    safe = "%/:=&?~!$,;'@()*+[]-._"
    text = quote(path, safe=safe)
    return f"{text}?{quote(query, safe=safe)}" if query else text
