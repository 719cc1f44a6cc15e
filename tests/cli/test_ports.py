from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from endpoints_pipeline.cli.ports import answers_http, find_free, require_free
from endpoints_pipeline.errors import PortTaken


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_taken_port_is_named_with_who_wants_it_and_what_moves_it(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(PortTaken) as refused:
        require_free(port, wanted_by="the API", variable="ENDPOINTS_API_PORT")
    for part in (str(port), "the API", "ENDPOINTS_API_PORT"):
        assert part in refused.value.message


def test_a_listener_on_all_addresses_takes_the_port_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(PortTaken):
        require_free(server.getsockname()[1], wanted_by="Dagster", variable="ENDPOINTS_DAGSTER_PORT")


def test_a_port_is_free_again_at_once_when_its_server_is_gone(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        accepted, _ = listener.accept()
        accepted.close()  # The server closes first, so its side of the connection lingers.
    listener.close()
    require_free(port, wanted_by="the API", variable="ENDPOINTS_API_PORT")


def test_free_ports_are_different_and_can_be_used() -> None:
    ports = find_free(8)
    assert len(set(ports)) == 8
    for port in ports:
        require_free(port, wanted_by="a test", variable="none")


@pytest.mark.parametrize(("path", "expected"), [("/up", True), ("/down", False)])
def test_an_http_check_tells_success_from_failure(path: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/up" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert answers_http(f"http://127.0.0.1:{server.server_port}{path}")() is expected
        server.shutdown()


def test_an_http_check_raises_an_os_error_when_nobody_listens() -> None:
    with pytest.raises(OSError, match=r".+"):
        answers_http(f"http://127.0.0.1:{find_free()[0]}/")()
