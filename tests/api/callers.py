"""A caller of the API, and the error bodies that a caller expects."""

from __future__ import annotations

import warnings
from typing import Any

from fastapi import FastAPI

from endpoints_pipeline.catalog.records import ApiKey, Endpoint, KeyKind, User
from endpoints_pipeline.serving.application import Application
from tests.fixtures.catalog import FakeClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2
    from starlette.testclient import TestClient

DAILY = "SELECT day, sum(amount) AS total FROM api_events GROUP BY day ORDER BY day"
DAILY_ROWS = [["2026-01-01", 30], ["2026-01-02", 34], ["2026-01-03", 38], ["2026-01-04", 42], ["2026-01-05", 46]]
JSON = {"content-type": "application/json"}


class Caller:
    """A caller of one project's endpoints. Paths are relative to the project's ``endpoints``.

    ``client`` sends the caller's key with whatever it asks; a caller without a secret sends none.
    """

    def __init__(
        self,
        web: FastAPI,
        application: Application,
        clock: FakeClock,
        project: int,
        user: User,
        secret: str | None,
    ) -> None:
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        self.client = TestClient(web, raise_server_exceptions=False, headers=headers)
        self.web = web
        self.application = application
        self.clock = clock
        self.project = project
        self.user = user
        self.secret = secret
        self.base = f"/api/projects/{project}/endpoints"

    def using(self, secret: str | None) -> Caller:
        """Someone else in the same project: with another key, or without one."""
        return Caller(self.web, self.application, self.clock, self.project, self.user, secret)

    def keyed(self, *scopes: str, **more: Any) -> Caller:
        """The same person with another personal key of the project."""
        return self.using(self.make_key(*scopes, **more)[1])

    def make_key(self, *scopes: str, kind: KeyKind = KeyKind.PERSONAL, **more: Any) -> tuple[ApiKey, str]:
        """A key and its secret; of this person and project and with every scope, unless said otherwise."""
        fields: dict[str, Any] = {
            "kind": kind,
            "label": "another key",
            "project_id": self.project,
            "scopes": scopes or ["*"],
            "user_id": self.user.id if kind is KeyKind.PERSONAL else None,
            "now": self.clock(),
        }
        return self.application.catalog.keys.create(**(fields | more))

    def get(self, path: str = "", **more: Any) -> Any:
        return self.client.get(self.base + path, **more)

    def post(self, path: str = "", body: Any = None, **more: Any) -> Any:
        return self.client.post(self.base + path, json=body, **more)

    def post_text(self, path: str, text: str | bytes) -> Any:
        return self.client.post(self.base + path, content=text, headers=JSON)

    def patch(self, path: str, body: Any, **more: Any) -> Any:
        return self.client.patch(self.base + path, json=body, **more)

    def delete(self, path: str) -> Any:
        return self.client.delete(self.base + path)

    def create(self, name: str = "daily", sql: str = DAILY, **fields: Any) -> Any:
        return self.post("", {"name": name, "query": hogql(sql), **fields})

    def created(self, name: str = "daily", sql: str = DAILY, **fields: Any) -> dict[str, Any]:
        return ok(self.create(name, sql, **fields), 201)

    def patched(self, name: str = "daily", /, **fields: Any) -> dict[str, Any]:
        return ok(self.patch(f"/{name}", fields))

    def seen(self, name: str = "daily", version: int | None = None) -> dict[str, Any]:
        return ok(self.get(f"/{name}", params={} if version is None else {"version": version}))

    def run(self, name: str = "daily", body: Any = None, **more: Any) -> Any:
        return self.post(f"/{name}/run", body, **more)

    def answered(self, name: str = "daily", body: Any = None, **more: Any) -> dict[str, Any]:
        return ok(self.run(name, body, **more))

    def record(self, name: str = "daily", version: int | None = None) -> Endpoint:
        return self.application.catalog.endpoints.get(self.project, name, version)

    def materialize(self, name: str = "daily", version: int | None = None) -> None:
        """What Dagster would do: make a snapshot and publish it."""
        self.application.refresher.refresh(
            self.record(name, version).version.id, reason="test", dagster_run_id="test-run"
        )


def hogql(sql: str) -> dict[str, str]:
    return {"kind": "HogQLQuery", "query": sql}


def ok(answer: Any, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def says(answer: Any) -> tuple[int, Any]:
    """Status and body, to be compared whole."""
    return answer.status_code, answer.json()


def flat(type_: str, code: str, detail: str, attr: str | None = None) -> dict[str, Any]:
    """An error body of the flat family."""
    return {"type": type_, "code": code, "detail": detail, "attr": attr}


def invalid(detail: str, attr: str | None = None, code: str = "invalid_input") -> tuple[int, dict[str, Any]]:
    return 400, flat("validation_error", code, detail, attr)


def malformed(reason: str) -> tuple[int, dict[str, Any]]:
    return 400, flat("invalid_request", "parse_error", f"JSON parse error - {reason}")


NOT_FOUND = (404, flat("invalid_request", "not_found", "Not found."))
