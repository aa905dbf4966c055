"""The fetch guard's rules as tables: every spelling that has led a fetcher astray, and the reason."""

import ipaddress

import pytest

from core.errors import SettingsError
from core.providers.fetch_rules import FetchRefused, RefusalReason, is_public, rules_for

RULES = rules_for(("tempfile.aiquickdraw.com", "*.example.org"))
LOCAL = rules_for(("tempfile.aiquickdraw.com",), loopback=("127.0.0.1", 8765))

ADMITTED = [
    ("https://tempfile.aiquickdraw.com/a.jpg", "https://tempfile.aiquickdraw.com/a.jpg"),
    ("https://tempfile.aiquickdraw.com:443/a.jpg", "https://tempfile.aiquickdraw.com/a.jpg"),
    ("HTTPS://TempFile.AIQuickDraw.com/A.jpg", "https://tempfile.aiquickdraw.com/A.jpg"),
    ("https://tempfile.aiquickdraw.com", "https://tempfile.aiquickdraw.com/"),
    ("https://tempfile.aiquickdraw.com/a?b=c%2Fd&e=f#frag", "https://tempfile.aiquickdraw.com/a?b=c%2Fd&e=f"),
    ("https://tempfile.aiquickdraw.com/кот.jpg", "https://tempfile.aiquickdraw.com/%D0%BA%D0%BE%D1%82.jpg"),
    ("https://a.example.org/x", "https://a.example.org/x"),
    ("https://b.a.example.org/x", "https://b.a.example.org/x"),
]


@pytest.mark.parametrize(("url", "fetched"), ADMITTED)
def test_admitted(url: str, fetched: str) -> None:
    assert RULES.check_url(url).url == fetched


HOST, SCHEME, PORT = RefusalReason.HOST, RefusalReason.SCHEME, RefusalReason.PORT
MALFORMED, USER = RefusalReason.MALFORMED, RefusalReason.USER_INFO

REFUSED = [
    ("", MALFORMED),
    ("https://tempfile.aiquickdraw.com/a b", MALFORMED),
    ("https://tempfile.aiquickdraw.com/\ud800", MALFORMED),
    ("https://tempfile.aiquickdraw.com/\u3000", MALFORMED),
    (" https://tempfile.aiquickdraw.com/", MALFORMED),
    ("https://tempfile.aiquickdraw.com/\r\nHost: evil", MALFORMED),
    ("https://tempfile.aiquickdraw.com\t.evil.com/", MALFORMED),
    ("https://evil.com\\@tempfile.aiquickdraw.com/", MALFORMED),
    ("https://tempfile.aiquickdraw.com/" + "x" * 4096, MALFORMED),
    ("https://tempfile.aiquickdraw.com:99999/", MALFORMED),
    ("https://[::1/", MALFORMED),
    ("http://tempfile.aiquickdraw.com/a.jpg", SCHEME),
    ("ftp://tempfile.aiquickdraw.com/a.jpg", SCHEME),
    ("file:///etc/passwd", SCHEME),
    ("gopher://127.0.0.1:6379/_x", SCHEME),
    ("//tempfile.aiquickdraw.com/a.jpg", SCHEME),
    ("/files/generations/a.jpg", SCHEME),
    ("data:image/png;base64,AAAA", SCHEME),
    ("https://user@tempfile.aiquickdraw.com/", USER),
    ("https://user:pw@tempfile.aiquickdraw.com/", USER),
    ("https://tempfile.aiquickdraw.com@evil.com/", USER),
    ("https://@tempfile.aiquickdraw.com/", USER),
    ("https://tempfile.aiquickdraw.com:8443/", PORT),
    ("https://tempfile.aiquickdraw.com:80/", PORT),
    ("https://tempfile.aiquickdraw.com:0/", PORT),
    ("https://evil.com/", HOST),
    ("https://aiquickdraw.com/", HOST),
    ("https://x.tempfile.aiquickdraw.com/", HOST),
    ("https://tempfile.aiquickdraw.com.evil.com/", HOST),
    ("https://eviltempfile.aiquickdraw.com/", HOST),
    ("https://tempfile.aiquickdraw.com./", HOST),
    ("https://tempfile.aiquickdraw.com%00.evil.com/", HOST),
    ("https://tempfile.aiquickdraw.com%2eevil.com/", HOST),
    ("https://tеmpfile.aiquickdraw.com/", HOST),  # a Cyrillic е
    ("https://example.org/", HOST),
    ("https://evilexample.org/", HOST),
    ("https://-a.example.org/", HOST),
    ("https://.example.org/", HOST),
    ("https:///a.jpg", HOST),
    ("https://localhost/", HOST),
    ("https://127.0.0.1/", HOST),
    ("https://127.1/", HOST),
    ("https://2130706433/", HOST),
    ("https://0x7f000001/", HOST),
    ("https://0x7f.0.0.1/", HOST),
    ("https://017700000001/", HOST),
    ("https://0177.0.0.1/", HOST),
    ("https://[::1]/", HOST),
    ("https://[::ffff:127.0.0.1]/", HOST),
    ("https://169.254.169.254/latest/meta-data/", HOST),
    ("https://metadata.google.internal/", HOST),
]


@pytest.mark.parametrize(("url", "reason"), REFUSED)
def test_refused(url: str, reason: RefusalReason) -> None:
    with pytest.raises(FetchRefused) as caught:
        RULES.check_url(url)
    assert caught.value.reason is reason
    assert (caught.value.retryable, caught.value.sent) == (False, False)


def test_a_refused_host_is_named_with_the_remedy() -> None:
    with pytest.raises(FetchRefused, match=r"'cdn\.new-host\.com'.*ALLOWED_FETCH_HOSTS") as caught:
        RULES.check_url("https://cdn.new-host.com/a.jpg?token=abc")
    assert caught.value.host == "cdn.new-host.com"
    assert "token" not in caught.value.message


def test_the_local_profile_admits_exactly_the_sandbox() -> None:
    assert LOCAL.check_url("http://127.0.0.1:8765/f/a.jpg?x=1").url == "http://127.0.0.1:8765/f/a.jpg?x=1"
    assert LOCAL.check_url("https://tempfile.aiquickdraw.com/a.jpg").port == 443


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8766/",
        "http://127.0.0.1/",
        "http://127.0.0.2:8765/",
        "http://localhost:8765/",
        "http://127.1:8765/",
        "http://[::1]:8765/",
        "http://[::ffff:127.0.0.1]:8765/",
        "https://127.0.0.1:8765/",
        "http://user@127.0.0.1:8765/",
        "http://10.0.0.1:8765/",
    ],
)
def test_the_local_profile_admits_no_other_door_of_this_machine(url: str) -> None:
    with pytest.raises(FetchRefused):
        LOCAL.check_url(url)


def test_outside_the_local_profile_the_sandbox_is_refused() -> None:
    with pytest.raises(FetchRefused):
        RULES.check_url("http://127.0.0.1:8765/f/a.jpg")


PUBLIC = [
    "93.184.216.34",
    "8.8.8.8",
    "2606:2800:220:1:248:1893:25c8:1946",
    "2a00:1450:4001::1",
    "64:ff9b::808:808",
]
NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - an address to refuse, not one to listen on
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


def test_one_private_address_among_public_ones_spoils_them_all() -> None:
    with pytest.raises(FetchRefused) as caught:
        RULES.check_addresses("tempfile.aiquickdraw.com", 443, ["93.184.216.34", "10.0.0.1"])
    assert caught.value.reason is RefusalReason.ADDRESS


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:2800:220::1%eth0"])
def test_an_address_with_a_zone_is_not_public(address: str) -> None:
    with pytest.raises(FetchRefused):
        RULES.check_addresses("tempfile.aiquickdraw.com", 443, [address])


def test_the_sandbox_must_be_on_this_machine_and_others_must_not() -> None:
    assert LOCAL.check_addresses("127.0.0.1", 8765, ["127.0.0.1"]) == ("127.0.0.1",)
    with pytest.raises(FetchRefused):
        LOCAL.check_addresses("127.0.0.1", 8765, ["93.184.216.34"])
    with pytest.raises(FetchRefused):
        LOCAL.check_addresses("tempfile.aiquickdraw.com", 443, ["127.0.0.1"])


@pytest.mark.parametrize(
    "entry",
    [
        *("", "*", "*.", "*.com.", "*com", "a.*.example", "a..example"),
        *("https://a.example", "a.example:8443", "a.example/x", "user@a.example"),
        *("127.0.0.1", "[::1]", "0x7f.0.0.1", "localhost"),
    ],
)
def test_a_malformed_entry_stops_the_start(entry: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_FETCH_HOSTS"):
        rules_for((entry,))
