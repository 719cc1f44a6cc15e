"""A server that clients reach over HTTP: uvicorn, on a thread of its own, over a real application."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import requests
import uvicorn
from fastapi import FastAPI

from endpoints_pipeline.api.app import create_app
from endpoints_pipeline.catalog.records import KeyKind, User
from endpoints_pipeline.serving.application import Application, open_application
from endpoints_pipeline.settings import Settings

_PROJECTS = count(1000)
_START_SECONDS = 30


@dataclass(frozen=True)
class Project:
    """A project of its own on a live server, with a person in it and a key that may do everything there."""

    server: LiveServer
    id: int
    user: User
    secret: str

    @property
    def base(self) -> str:
        return f"{self.server.url}/api/projects/{self.id}/endpoints"

    def key(self, *scopes: str, kind: KeyKind = KeyKind.PERSONAL) -> str:
        """The secret of another key of the project."""
        application = self.server.application
        return application.catalog.keys.create(
            kind=kind,
            label="another key",
            project_id=self.id,
            scopes=scopes,
            user_id=self.user.id if kind is KeyKind.PERSONAL else None,
            now=application.clock(),
        )[1]

    def call(self, method: str, path: str = "", body: Any = None, **more: Any) -> requests.Response:
        """A request below the project's ``endpoints``."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        return requests.request(method, self.base + path, json=body, headers=headers, timeout=60, **more)

    def ok(self, method: str, path: str = "", body: Any = None, **more: Any) -> Any:
        """The body of an answer that is no error."""
        answer = self.call(method, path, body, **more)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def create(self, name: str, sql: str, **fields: Any) -> Any:
        return self.ok("POST", "", {"name": name, "query": {"kind": "HogQLQuery", "query": sql}, **fields})

    def variable(self, name: str, type_: str, default: Any = None) -> Any:
        path = f"{self.server.url}/api/projects/{self.id}/insight_variables"
        answer = requests.post(
            path,
            json={"name": name, "type": type_, "default_value": default},
            headers={"Authorization": f"Bearer {self.secret}"},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def materialize(self, name: str) -> None:
        """What Dagster would do: make a snapshot and publish it."""
        application = self.server.application
        version = application.catalog.endpoints.get(self.id, name).version
        application.refresher.refresh(version.id, reason="test", dagster_run_id="test-run")


@dataclass(frozen=True)
class LiveServer:
    url: str
    web: FastAPI
    application: Application

    def project(self) -> Project:
        """A new project."""
        number, keys, now = next(_PROJECTS), self.application.catalog.keys, self.application.clock()
        self.application.catalog.projects.ensure(number, f"project {number}", now)
        user = keys.ensure_user(f"ada{number}@example.com", first_name="Ada", last_name="Lovelace", now=now)
        _, secret = keys.create(
            kind=KeyKind.PERSONAL, label="everything", project_id=number, scopes=["*"], user_id=user.id, now=now
        )
        return Project(self, number, user, secret)


@contextmanager
def serving(settings: dict[str, Any]) -> Iterator[LiveServer]:
    """A live server with these settings on a port that was free; it knows its own address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        application = open_application(Settings(**settings, api_port=port))
        web = create_app(application)  # the server closes the application when it stops
        server = uvicorn.Server(uvicorn.Config(web, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="live-server", daemon=True)
        thread.start()
        try:
            _await_start(server, thread)
            yield LiveServer(f"http://127.0.0.1:{port}", web, application)
        finally:
            server.should_exit = True
            thread.join(_START_SECONDS)


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        assert thread.is_alive(), "the server died while it started"
        assert time.monotonic() < deadline, "the server doesn't start"
        time.sleep(0.02)
