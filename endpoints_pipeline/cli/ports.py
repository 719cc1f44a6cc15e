"""Ports on loopback: is one free, which are, and does somebody answer there."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

from endpoints_pipeline.errors import PortTaken

LOOPBACK = "127.0.0.1"
_ANSWER_TIMEOUT = 0.5


def require_free(port: int, *, wanted_by: str, variable: str, host: str = LOOPBACK) -> None:
    """Return if ``wanted_by`` can listen on the port; the caller then starts it at once.

    Raises:
        PortTaken: Something else has the port. The message names the port, who wants it, and the variable that
            moves it.
    """
    if _is_free(port, host):
        return
    raise PortTaken(
        f"Port {port} on {host} is taken, and {wanted_by} needs it: stop what listens there, or set {variable}"
    )


def find_free(count: int = 1) -> list[int]:
    """Return different ports of loopback that were free a moment ago.

    All are held until the last is found, so one call never returns a port twice. Between two processes there is a
    small gap until the port is used: whoever loses the race fails to start and must ask again.
    """
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            probe.bind((LOOPBACK, 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


def answers_http(url: str, *, timeout: float = 2.0) -> Callable[[], bool]:
    """Make a health check: does a GET of the URL succeed?

    It asks directly, whatever proxy the environment names. The check raises ``OSError`` when nobody listens.
    """
    address = urlsplit(url)

    def check() -> bool:
        with closing(http.client.HTTPConnection(address.hostname or LOOPBACK, address.port, timeout=timeout)) as asked:
            try:
                asked.request("GET", address.path or "/")
                return asked.getresponse().status == http.HTTPStatus.OK
            except http.client.HTTPException:
                return False

    return check


def _is_free(port: int, host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Without this, connections that a stopped server left behind would count as taken for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    # macOS lets us bind beside a listener on all addresses, so ask whether somebody answers, too.
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_TIMEOUT)
        return probe.connect_ex((host, port)) != 0
