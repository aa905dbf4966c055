"""The fetcher over real sockets (the sandbox's exception) and over a recorded network (public hosts)."""

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpcore
import pytest

from core.errors import ErrorCategory
from core.providers.fetch import Fetcher, FetchFailed, from_settings
from core.providers.fetch_rules import FetchRefused, RefusalReason, rules_for
from core.settings import load

HOST, OTHER = "tempfile.aiquickdraw.com", "static.aiquickdraw.com"
PUBLIC, PUBLIC_2, PRIVATE = "93.184.216.34", "93.184.216.35", "10.0.0.7"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: Image/JPEG; q=1\r\nContent-Length: 5\r\n\r\nhello"


def redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


class _Stream(httpcore.MockStream):
    """Remembers the name that TLS is asked to prove, and what is sent."""

    def __init__(self, answer: bytes, network: "Network") -> None:
        super().__init__([answer])
        self._network = network

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self._network.proven.append(server_hostname)
        assert ssl_context.verify_mode is ssl.CERT_REQUIRED
        assert ssl_context.check_hostname
        return self

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._network.sent += buffer


class Network(httpcore.NetworkBackend):
    """The internet: an answer by address; an address without one refuses the connection."""

    def __init__(self, answers: dict[str, list[bytes]]) -> None:
        self.answers = answers
        self.connected: list[tuple[str, int]] = []
        self.proven: list[str | None] = []
        self.sent = b""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        self.connected.append((host, port))
        if not self.answers.get(host):
            raise httpcore.ConnectError("connection refused")
        return _Stream(self.answers[host].pop(0), self)


class Names:
    """A resolver whose answers change from one question to the next, as a rebinding host's do."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): list(lists) for name, lists in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        lists = self.answers[host]
        return lists.pop(0) if len(lists) > 1 else lists[0]


@contextmanager
def fetching(network: Network, names: Callable[[str, int], list[str]]) -> Iterator[Fetcher]:
    fetcher = Fetcher(rules_for((HOST, OTHER)), resolve=names, network=network)
    try:
        yield fetcher
    finally:
        fetcher.close()


def read(fetcher: Fetcher, url: str) -> bytes:
    with fetcher.open_stream(url) as stream:
        return b"".join(stream.chunks)


def test_connects_to_the_checked_address_under_the_name() -> None:
    network, names = Network({PUBLIC: [OK]}), Names(tempfile_aiquickdraw_com=[[PUBLIC]])
    with fetching(network, names) as fetcher, fetcher.open_stream(f"https://{HOST}/a.jpg?x=1") as stream:
        assert (stream.status, stream.content_type, stream.content_length) == (200, "image/jpeg", 5)
        assert b"".join(stream.chunks) == b"hello"
    assert (network.connected, network.proven) == ([(PUBLIC, 443)], [HOST])
    head = network.sent.decode().lower()
    assert head.startswith("get /a.jpg?x=1 http/1.1\r\n")
    assert f"host: {HOST}\r\n" in head
    assert "user-agent: studioops/" in head
    assert "authorization" not in head


def test_a_second_dns_answer_is_never_asked_for() -> None:
    network, names = Network({PUBLIC: [OK]}), Names(tempfile_aiquickdraw_com=[[PUBLIC], [PRIVATE]])
    with fetching(network, names) as fetcher:
        assert read(fetcher, f"https://{HOST}/a.jpg") == b"hello"
    assert (names.asked, network.connected) == ([HOST], [(PUBLIC, 443)])


def test_a_name_that_turns_private_is_refused_at_the_next_connection() -> None:
    network = Network({PUBLIC: [redirect(f"https://{OTHER}/b.jpg")]})
    names = Names(tempfile_aiquickdraw_com=[[PUBLIC]], static_aiquickdraw_com=[[PRIVATE]])
    with fetching(network, names) as fetcher, pytest.raises(FetchRefused) as caught:
        read(fetcher, f"https://{HOST}/a.jpg")
    assert caught.value.reason is RefusalReason.ADDRESS
    assert network.connected == [(PUBLIC, 443)]


@pytest.mark.parametrize("address", [PRIVATE, "127.0.0.1", "::1", "::ffff:10.0.0.7", "169.254.169.254"])
def test_a_name_that_leads_inside_is_refused_without_a_connection(address: str) -> None:
    network, names = Network({address: [OK]}), Names(tempfile_aiquickdraw_com=[[PUBLIC, address]])
    with fetching(network, names) as fetcher, pytest.raises(FetchRefused) as caught:
        read(fetcher, f"https://{HOST}/a.jpg")
    assert (caught.value.reason, network.connected) == (RefusalReason.ADDRESS, [])


def test_the_next_address_is_tried_when_one_is_down() -> None:
    network, names = Network({PUBLIC_2: [OK]}), Names(tempfile_aiquickdraw_com=[[PUBLIC, PUBLIC_2]])
    with fetching(network, names) as fetcher:
        assert read(fetcher, f"https://{HOST}/a.jpg") == b"hello"
    assert [address for address, _ in network.connected] == [PUBLIC, PUBLIC_2]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", RefusalReason.SCHEME),
        ("https://169.254.169.254/", RefusalReason.HOST),
        ("https://[::ffff:127.0.0.1]/", RefusalReason.HOST),
        ("https://evil.example/a.jpg", RefusalReason.HOST),
        ("//evil.example/a.jpg", RefusalReason.HOST),
        (f"http://{HOST}/a.jpg", RefusalReason.SCHEME),
        (f"https://u:p@{HOST}/a.jpg", RefusalReason.USER_INFO),
        (f"https://{HOST}:8443/a.jpg", RefusalReason.PORT),
        ("file:///etc/passwd", RefusalReason.SCHEME),
        ("/again", RefusalReason.REDIRECTS),
    ],
)
def test_each_redirect_is_checked(location: str, reason: RefusalReason) -> None:
    network, names = Network({PUBLIC: [redirect(location)] * 6}), Names(tempfile_aiquickdraw_com=[[PUBLIC]])
    with fetching(network, names) as fetcher, pytest.raises(FetchRefused) as caught:
        read(fetcher, f"https://{HOST}/a.jpg")
    assert caught.value.reason is reason
    assert len(network.connected) == (6 if reason is RefusalReason.REDIRECTS else 1)


def test_an_admitted_redirect_is_followed() -> None:
    network = Network({PUBLIC: [redirect(f"https://{OTHER}/b.jpg")], PUBLIC_2: [OK]})
    names = Names(tempfile_aiquickdraw_com=[[PUBLIC]], static_aiquickdraw_com=[[PUBLIC_2]])
    with fetching(network, names) as fetcher:
        assert read(fetcher, f"https://{HOST}/a.jpg") == b"hello"
    assert network.proven == [HOST, OTHER]


STATUSES = [
    (403, True, False, ErrorCategory.FILE_ERROR),
    (404, True, False, ErrorCategory.FILE_ERROR),
    (410, True, False, ErrorCategory.FILE_ERROR),
    (401, False, False, ErrorCategory.FILE_ERROR),
    (429, False, True, ErrorCategory.RATE_LIMIT),
    (408, False, True, ErrorCategory.SERVICE_ERROR),
    (500, False, True, ErrorCategory.SERVICE_ERROR),
    (503, False, True, ErrorCategory.SERVICE_ERROR),
    (206, False, True, ErrorCategory.FILE_ERROR),
    (302, False, False, ErrorCategory.FILE_ERROR),
]


@pytest.mark.parametrize(("status", "gone", "retryable", "category"), STATUSES)
def test_answers_that_are_no_file(status: int, gone: bool, retryable: bool, category: ErrorCategory) -> None:
    answer = f"HTTP/1.1 {status} X\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n".encode()
    network, names = Network({PUBLIC: [answer]}), Names(tempfile_aiquickdraw_com=[[PUBLIC]])
    with fetching(network, names) as fetcher, pytest.raises(FetchFailed) as caught:
        read(fetcher, f"https://{HOST}/a.jpg")
    error = caught.value
    assert (error.gone, error.retryable, error.category, error.status) == (gone, retryable, category, status)
    assert error.retry_after == 3.0


BROKEN = {
    "ends early": OK.replace(b"Length: 5", b"Length: 500"),
    "closes at once": b"",
    "is no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "has two lengths": OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 7\r\n\r\n"),
    "is compressed unasked": OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_answer_is_retryable(fault: str) -> None:
    network, names = Network({PUBLIC: [BROKEN[fault]]}), Names(tempfile_aiquickdraw_com=[[PUBLIC]])
    with fetching(network, names) as fetcher, pytest.raises(FetchFailed) as caught:
        read(fetcher, f"https://{HOST}/a.jpg")
    assert (caught.value.retryable, caught.value.gone, caught.value.sent) == (True, False, True)


def test_a_name_without_address_was_never_sent_to() -> None:
    def no_such_name(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with fetching(Network({}), no_such_name) as fetcher, pytest.raises(FetchFailed) as caught:
        read(fetcher, f"https://{HOST}/a.jpg")
    assert (caught.value.sent, caught.value.category) == (False, ErrorCategory.NETWORK)


def test_what_the_reader_raises_inside_passes_unchanged() -> None:
    network, names = Network({PUBLIC: [OK]}), Names(tempfile_aiquickdraw_com=[[PUBLIC]])
    with (
        fetching(network, names) as fetcher,
        pytest.raises(httpcore.ReadTimeout, match="mine"),
        fetcher.open_stream(f"https://{HOST}/a.jpg"),
    ):
        raise httpcore.ReadTimeout("mine")


class _Door(BaseHTTPRequestHandler):
    """A real server on this machine: /ok, /to?URL, /slow (a byte at a time)."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.send_response(302 if path == "/to" else 200)
        if path == "/to":
            self.send_header("Location", query)
        self.send_header("Content-Length", "0" if path == "/to" else "5")
        self.end_headers()
        if path != "/to":
            pieces = [b"h", b"e", b"l", b"l", b"o"] if path == "/slow" else [b"hello"]
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()
                self.server.pause.wait(0.1 if path == "/slow" else 0)  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def door() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
    server.pause = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1]
    server.pause.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def local(port: int, **options: Any) -> Fetcher:
    return Fetcher(rules_for((HOST,), ("127.0.0.1", port)), **options)


def test_the_sandbox_is_fetched_from_for_real(door: int) -> None:
    fetcher = local(door)
    assert read(fetcher, f"http://127.0.0.1:{door}/ok") == b"hello"
    fetcher.close()


@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:1/x", "http://localhost:{door}/ok", "http://[::1]:{door}/ok"]
)
def test_the_sandbox_cannot_send_us_to_another_door(door: int, to: str) -> None:
    fetcher = local(door)
    with pytest.raises(FetchRefused):
        read(fetcher, f"http://127.0.0.1:{door}/to?" + to.format(door=door))
    fetcher.close()


def test_proxies_of_the_environment_are_ignored(door: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    fetcher = local(door)
    assert read(fetcher, f"http://127.0.0.1:{door}/ok") == b"hello"
    fetcher.close()


def test_a_file_that_drips_is_given_up(door: int) -> None:
    fetcher = local(door, total_timeout=0.15)
    with pytest.raises(FetchFailed) as caught:
        read(fetcher, f"http://127.0.0.1:{door}/slow")
    assert (caught.value.category, caught.value.retryable) == (ErrorCategory.TIMEOUT, True)
    fetcher.close()


def test_a_closed_port_is_a_network_fault() -> None:
    fetcher = local(1)
    with pytest.raises(FetchFailed) as caught:
        read(fetcher, "http://127.0.0.1:1/ok")
    assert (caught.value.sent, caught.value.retryable) == (False, True)
    fetcher.close()


def test_settings_give_the_rules(door: int) -> None:
    stack = {"STUDIO_OPS_LOCAL_STACK": f"http://127.0.0.1:{door}", "ALLOWED_FETCH_HOSTS": "a.example.com"}
    base = {
        **stack,
        "DATABASE_URL": "postgresql://u:p@127.0.0.1/x",
        "KIE_BASE_URL": f"http://127.0.0.1:{door}",
    }
    fetcher = from_settings(load(base))
    assert read(fetcher, f"http://127.0.0.1:{door}/ok") == b"hello"
    with pytest.raises(FetchRefused):
        read(fetcher, "https://b.example.com/x")
    fetcher.close()
