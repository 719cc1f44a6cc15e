"""Who may do what: every route against every kind of key (contract 5.1, 10.16)."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
import structlog.testing
from fastapi import FastAPI

from endpoints_pipeline.api.auth import SCOPES
from endpoints_pipeline.catalog.records import KeyKind
from endpoints_pipeline.errors import CatalogUnavailable
from endpoints_pipeline.serving.application import Application
from tests.api.callers import JSON, NOT_FOUND, Caller, TestClient, flat, ok, says

PROJECT = "/api/projects/{project_id}"
READ, WRITE = "endpoint:read", "endpoint:write"

#: What the contract asks for, route by route (1.0, 5.1): a new route must be entered here.
NEEDED = {
    f"GET {PROJECT}/endpoints": READ,
    f"POST {PROJECT}/endpoints": WRITE,
    f"GET {PROJECT}/endpoints/{{name}}": READ,
    f"PUT {PROJECT}/endpoints/{{name}}": WRITE,
    f"PATCH {PROJECT}/endpoints/{{name}}": WRITE,
    f"DELETE {PROJECT}/endpoints/{{name}}": WRITE,
    f"GET {PROJECT}/endpoints/{{name}}/run": READ,
    f"POST {PROJECT}/endpoints/{{name}}/run": READ,
    f"GET {PROJECT}/endpoints/{{name}}/explain": READ,
    f"POST {PROJECT}/endpoints/{{name}}/explain": READ,
    f"GET {PROJECT}/endpoints/{{name}}/versions": READ,
    f"GET {PROJECT}/endpoints/{{name}}/versions/{{number}}": READ,
    f"PUT {PROJECT}/endpoints/{{name}}/versions/{{number}}": WRITE,
    f"PATCH {PROJECT}/endpoints/{{name}}/versions/{{number}}": WRITE,
    f"POST {PROJECT}/endpoints/last_execution_times": READ,
    f"GET {PROJECT}/endpoints/{{name}}/openapi.json": READ,
    f"GET {PROJECT}/endpoints/{{name}}/materialization_status": READ,
    f"POST {PROJECT}/endpoints/{{name}}/materialization_preview": READ,
    f"GET {PROJECT}/endpoints/materialization_conditions": READ,
    f"GET {PROJECT}/endpoints/{{name}}/logs": READ,
    f"POST {PROJECT}/endpoints/{{name}}/refresh": WRITE,
    f"POST {PROJECT}/endpoints/bulk_update_tags": WRITE,
    f"GET {PROJECT}/query/{{query_id}}": READ,
    f"DELETE {PROJECT}/query/{{query_id}}": READ,
    f"GET {PROJECT}/insight_variables": "insight_variable:read",
    f"POST {PROJECT}/insight_variables": "insight_variable:write",
    f"GET {PROJECT}/insight_variables/{{id}}": "insight_variable:read",
    f"PUT {PROJECT}/insight_variables/{{id}}": "insight_variable:write",
    f"PATCH {PROJECT}/insight_variables/{{id}}": "insight_variable:write",
    f"DELETE {PROJECT}/insight_variables/{{id}}": "insight_variable:write",
    f"GET {PROJECT}/activity_log": "activity_log:read",
}
#: These are about the key itself, and need no scope.
ACCOUNT = {
    "GET /api/personal_api_keys/@current",
    "GET /api/users/@me",
    "GET /api/organizations/{organization_id}",
    "GET /api/projects",
    f"GET {PROJECT}",
}
OPEN = {"GET /livez", "GET /readyz"}
#: What a project secret key may do.
RUNS = {route for route in NEEDED if route.endswith(("/run", "/explain")) or "/query/" in route}
GUARDED = sorted([*NEEDED, *ACCOUNT])
OF_A_PROJECT = sorted([*NEEDED, f"GET {PROJECT}"])

NOT_AUTHENTICATED = flat("authentication_error", "not_authenticated", "Authentication credentials were not provided.")
FAILED = flat(
    "authentication_error", "authentication_failed", "API key found in request Authorization header is invalid."
)
ELSEWHERE = "does not have access to the requested project"


def denied(detail: str) -> tuple[int, dict[str, Any]]:
    return 403, flat("authentication_error", "permission_denied", detail)


def ask(caller: Caller, route: str, project: object | None = None, **more: Any) -> Any:
    """Ask a route, in the caller's project or another, in a way that would be refused for its name or its body."""
    method, template = route.split(" ")
    fields = {"name": "no such name!", "number": "one", "id": "!", "query_id": "!", "organization_id": "!"}
    path = template.format(project_id=caller.project if project is None else project, **fields)
    body = {} if method in ("GET", "DELETE") else {"content": b"{not json", "headers": JSON}
    return caller.client.request(method, path, **body, **more)


@pytest.fixture(scope="module")
def served(web: FastAPI) -> dict[str, Any]:
    """What the OpenAPI document says of each route."""
    return {
        f"{method.upper()} {path}": operation
        for path, operations in web.openapi()["paths"].items()
        for method, operation in operations.items()
    }


def test_the_matrix_has_every_route(served: dict[str, Any]) -> None:
    assert set(served) == {*NEEDED, *ACCOUNT, *OPEN}


def test_the_document_says_which_routes_need_a_key(web: FastAPI, served: dict[str, Any]) -> None:
    secured = {route for route, operation in served.items() if operation.get("security") == [{"PersonalAPIKey": []}]}
    assert secured == set(GUARDED)
    scheme = web.openapi()["components"]["securitySchemes"]["PersonalAPIKey"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


@pytest.mark.parametrize("route", sorted(OPEN))
def test_health_needs_no_key(api: Caller, route: str) -> None:
    assert ask(api.using(None), route).status_code == 200


@pytest.mark.parametrize("route", GUARDED)
def test_without_a_key_every_route_is_closed(api: Caller, route: str) -> None:
    nobody = api.using(None)
    for project in (api.project, 999_999_999, "nowhere"):
        answer = ask(nobody, route, project)
        assert says(answer) == (401, NOT_AUTHENTICATED)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", GUARDED)
def test_unknown_revoked_and_expired_keys_are_told_the_same(api: Caller, route: str) -> None:
    revoked, revoked_secret = api.make_key()
    api.application.catalog.keys.revoke(revoked.id, api.clock())
    _, expired_secret = api.make_key(expires_at=api.clock() + timedelta(seconds=1))
    api.clock.advance(timedelta(seconds=1))
    for secret in ("phx_unknown", revoked_secret, expired_secret):
        answer = ask(api.using(secret), route)
        assert says(answer) == (401, FAILED)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", sorted(NEEDED))
def test_a_key_without_the_scope_is_refused_by_its_name(api: Caller, route: str) -> None:
    enough = {"*", NEEDED[route], NEEDED[route].replace(":read", ":write")}
    if route == f"GET {PROJECT}/query/{{query_id}}":
        enough.add("query:read")
    rest = [scope for scope in SCOPES if scope not in enough]
    assert says(ask(api.keyed(*rest), route)) == denied(f"API key missing required scope '{NEEDED[route]}'")
    for scope in enough & set(SCOPES):
        assert ask(api.keyed(scope), route).status_code not in (401, 403), scope


@pytest.mark.parametrize("route", sorted(ACCOUNT))
def test_any_scope_will_do_to_ask_about_the_key(api: Caller, route: str) -> None:
    assert ask(api.keyed("query:read"), route).status_code not in (401, 403)


@pytest.mark.parametrize("route", OF_A_PROJECT)
def test_a_key_of_another_project_is_refused(api: Caller, stranger: Caller, route: str) -> None:
    assert says(ask(stranger, route, api.project)) == denied(f"API key {ELSEWHERE}")


@pytest.mark.parametrize("route", OF_A_PROJECT)
def test_a_key_for_all_projects_opens_each(api: Caller, stranger: Caller, route: str) -> None:
    everywhere = api.keyed(project_id=None)
    for project in (api.project, stranger.project):
        assert ask(everywhere, route, project).status_code not in (401, 403)


@pytest.mark.parametrize("route", OF_A_PROJECT)
def test_an_unknown_project_is_not_found_by_any_key(api: Caller, route: str) -> None:
    # whatever the key may do: that comes after
    for caller in (api, api.keyed("user:read"), api.keyed(project_id=None)):
        for project in (999_999_999, -1, 2**63, "nowhere"):
            assert says(ask(caller, route, project)) == NOT_FOUND


@pytest.mark.parametrize("route", GUARDED)
def test_a_project_secret_key_runs_and_nothing_else(api: Caller, route: str) -> None:
    robot = api.keyed(kind=KeyKind.PROJECT_SECRET)
    if route in RUNS:
        assert ask(robot, route).status_code not in (401, 403)
    else:
        assert says(ask(robot, route)) == denied("This action does not support project secret API key")


@pytest.mark.parametrize("route", sorted(RUNS))
def test_a_project_secret_key_needs_the_scope_and_the_project(api: Caller, stranger: Caller, route: str) -> None:
    robot = api.keyed("endpoint:read", kind=KeyKind.PROJECT_SECRET)
    assert ask(robot, route).status_code not in (401, 403)
    assert says(ask(robot, route, stranger.project)) == denied(f"Project secret API key {ELSEWHERE}")
    poor = api.keyed("activity_log:read", kind=KeyKind.PROJECT_SECRET)
    assert says(ask(poor, route)) == denied("API key missing required scope 'endpoint:read'")


def test_both_kinds_of_key_run_an_endpoint(api: Caller) -> None:
    api.created()
    robot = api.keyed("endpoint:read", kind=KeyKind.PROJECT_SECRET)
    person = api.keyed("endpoint:read")
    everything = ok(api.run())["results"]
    for caller in (robot, person):
        assert ok(caller.run())["results"] == everything
        assert ok(caller.get("/daily/run"))["results"] == everything
    assert says(person.create("another")) == denied("API key missing required scope 'endpoint:write'")
    assert ok(api.keyed("endpoint:write").get())["count"] == 1


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic {}", "Token {}", "{}", "bearer\t{}", "Bearer: {}", "Basic Bearer {}"]
)
def test_only_a_bearer_header_holds_a_key(api: Caller, header: str) -> None:
    answer = api.using(None).get(headers={"Authorization": header.format(api.secret)})
    assert says(answer) == (401, NOT_AUTHENTICATED)


@pytest.mark.parametrize("header", ["Bearer {} ", "Bearer  {}", "bearer {}", "BEARER {}"])
def test_the_words_case_and_blanks_dont_matter(api: Caller, header: str) -> None:
    assert api.using(None).get(headers={"Authorization": header.format(api.secret)}).status_code == 200


@pytest.mark.parametrize("header", ["Bearer {}x", "Bearer x{}", "Bearer {0} {0}", "Bearer {0},{0}", "Bearer \xe9\xff"])
def test_a_secret_is_compared_as_a_whole(api: Caller, header: str) -> None:
    answer = api.using(None).get(headers={b"Authorization": header.format(api.secret).encode("latin-1")})
    assert says(answer) == (401, FAILED)


@pytest.mark.parametrize("name", ["personal_api_key", "secret_api_key", "project_secret_api_key", "api_key", "token"])
def test_a_key_in_the_query_string_or_the_body_is_none(api: Caller, name: str) -> None:
    nobody = api.using(None)
    assert says(nobody.get(params={name: api.secret})) == (401, NOT_AUTHENTICATED)
    assert says(nobody.run("daily", {name: api.secret})) == (401, NOT_AUTHENTICATED)
    assert says(nobody.client.get(f"{api.base}/daily/run", headers={"Cookie": f"{name}={api.secret}"})) == (
        401,
        NOT_AUTHENTICATED,
    )


def test_the_hash_of_a_secret_opens_nothing(api: Caller) -> None:
    stolen = hashlib.sha256(str(api.secret).encode()).hexdigest()
    assert says(api.using(stolen).get()) == (401, FAILED)


def test_both_prefixes_and_the_slash_are_guarded_alike(api: Caller, stranger: Caller) -> None:
    for base in (f"/api/projects/{api.project}", f"/api/environments/{api.project}"):
        for path in (f"{base}/endpoints", f"{base}/endpoints/"):
            assert says(api.using(None).client.get(path)) == (401, NOT_AUTHENTICATED)
            assert says(stranger.client.get(path)) == denied(f"API key {ELSEWHERE}")
            assert api.client.get(path).status_code == 200


def test_a_revoked_key_is_refused_at_once(api: Caller) -> None:
    key, secret = api.make_key()
    caller = api.using(secret)
    assert caller.get().status_code == 200
    api.application.catalog.keys.revoke(key.id, api.clock())
    assert says(caller.get()) == (401, FAILED)


def test_the_use_of_a_key_is_noted_to_ten_minutes(api: Caller) -> None:
    key, secret = api.make_key()
    caller = api.using(secret)

    def last_used() -> Any:
        return next(one for one in api.application.catalog.keys.list() if one.id == key.id).last_used_at

    assert last_used() is None
    first = api.clock()
    caller.get()
    assert last_used() == first
    api.clock.advance(timedelta(minutes=9, seconds=59))
    caller.get()
    assert last_used() == first
    api.clock.advance(timedelta(seconds=1))
    caller.get("/no-such-endpoint")
    assert last_used() == api.clock()


def test_a_use_that_cant_be_noted_stops_nobody(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> None:
        raise CatalogUnavailable("The catalog stayed locked.")

    monkeypatch.setattr(api.application.catalog.keys, "touch", locked)
    with structlog.testing.capture_logs() as log:
        assert api.keyed().get().status_code == 200
    assert [entry["log_level"] for entry in log] == ["warning"]


def test_no_secret_is_logged_or_answered(api: Caller, stranger: Caller, caplog: pytest.LogCaptureFixture) -> None:
    secrets = [str(api.secret), str(stranger.secret), "phx_nobody-has-this-one"]
    with structlog.testing.capture_logs() as log:
        for secret in secrets:
            for route in GUARDED:
                answer = ask(api.using(secret), route)
                assert not [one for one in secrets if one in answer.text + str(answer.headers)]
    assert not [one for one in secrets if one in str(log) + caplog.text]


def test_the_pages_of_the_documentation_need_no_key(client: TestClient) -> None:
    assert client.get("/docs").status_code == 200
    assert client.get("/openapi.json").status_code == 200


def test_a_path_that_leads_nowhere_says_so_to_everybody(client: TestClient, api_application: Application) -> None:
    assert says(client.get("/api/nothing/here")) == NOT_FOUND
