"""Lets the sandbox have the local folder fail, in the local profile alone."""

import errno
import http.client
import json
import os
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlsplit

TIMEOUT_S = 2.0
_FAULTS = {"storage_full": errno.ENOSPC, "storage_error": errno.EIO}


def asked(sandbox_url: str) -> Callable[[str], None]:
    """What raises the operating system's own error when the sandbox says that keeping `path` fails.

    A sandbox that does not answer lets every file through.
    """
    place = urlsplit(sandbox_url)

    def ask(path: str) -> None:
        try:
            fault = _fault(place.hostname or "", place.port or 80, path)
        except (OSError, http.client.HTTPException, ValueError):
            return
        if number := _FAULTS.get(str(fault)):
            raise OSError(number, os.strerror(number))

    return ask


def _fault(host: str, port: int, path: str) -> object:
    """One connection a call: the wire stays as plain as the question."""
    with closing(http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)) as connection:
        headers = {"X-Sandbox": "1", "Content-Type": "application/json"}
        connection.request("POST", "/_sandbox/store", json.dumps({"path": path}), headers)
        answer = json.loads(connection.getresponse().read())
    return answer.get("fault") if isinstance(answer, dict) else None
