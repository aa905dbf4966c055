"""Where the web process answers, as the server that runs it says."""

from dataclasses import dataclass
from ipaddress import ip_address

import click

from core.errors import LocalStackError
from core.local.postgres import free_port
from core.settings import LOOPBACK


@dataclass(frozen=True)
class WebAddress:
    """The web process's own address.

    `wanted` is the port that was asked for and `port` the one it has; they differ when a server moved
    to the next one because the first was taken. `bound` says whether the port is held already.
    `command` is how the process was started, to say in an error how to choose another port.
    """

    host: str
    port: int
    wanted: int
    bound: bool
    command: str

    @property
    def url(self) -> str:
        """The base URL for a browser on this machine."""
        return f"http://127.0.0.1:{self.port}"


def from_uvicorn() -> WebAddress | None:
    """The address of a process started by uvicorn's command line; None under any other server."""
    context = click.get_current_context(silent=True)
    if context is None or not {"app", "host", "port", "lifespan"} <= context.params.keys():
        return None
    host, port = str(context.params["host"]), int(context.params["port"])
    if port == 0:
        raise LocalStackError("The local stack has to know its port; name one: uvicorn app:app --port 8501")
    return WebAddress(host, port, port, bound=False, command="uvicorn app:app --port {port}")


def check(address: WebAddress) -> None:
    """LocalStackError unless the address is this machine's own and its port can be had."""
    if not _is_loopback(address.host):
        raise LocalStackError(
            f"The local stack answers on this machine alone, but the address asked for is {address.host}."
            " Remove that option, or set DATABASE_URL to run Studio Ops configured."
        )
    taken = address.port != address.wanted if address.bound else free_port(address.port) != address.port
    if taken:
        another = address.command.format(port=address.wanted + 1)
        raise LocalStackError(
            f"Port {address.wanted} is in use by another program, and nothing was started."
            f" Choose another port: {another}"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host in LOOPBACK or ip_address(host).is_loopback
    except ValueError:
        return False
