"""A small HTTP server that answers as Dagster's webserver does, or as it shouldn't."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def mutation_answer(typename: str, message: str | None = None) -> dict[str, Any]:
    """What Dagster answers to ``refreshComponentState``."""
    result = {"__typename": typename, **({"message": message} if message else {})}
    return {"data": {"refreshComponentState": result}}


class Webserver:
    """Listens on loopback from its creation to ``stop``; ``asked`` holds the path and body of each request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._body: bytes = b""
        self._status = 200
        self._stopping = threading.Event()
        self._delay = 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.answer(mutation_answer("RefreshComponentStateSuccess"))

    def answer(self, body: Any, *, status: int = 200, delay: float = 0.0) -> None:
        """Answer every request from now on with this; ``bytes`` are sent as they are, all else as JSON."""
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._status, self._delay = status, delay

    def stop(self) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webserver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webserver.asked.append((self.path, json.loads(body)))
                if webserver._delay:
                    webserver._stopping.wait(webserver._delay)
                    return
                self.send_response(webserver._status)
                self.send_header("Content-Length", str(len(webserver._body)))
                self.end_headers()
                self.wfile.write(webserver._body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
