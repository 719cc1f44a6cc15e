"""Both prefixes and both spellings of the end mean the same, without a redirect (contract 1, 10.19)."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints_pipeline.api.paths import canonical
from tests.api.callers import DAILY, DAILY_ROWS, JSON, NOT_FOUND, Caller, flat, hogql, says

prefixes = pytest.mark.parametrize("prefix", ["projects", "environments"])
slashes = pytest.mark.parametrize("slash", ["", "/"], ids=["bare", "slash"])


def test_every_spelling_has_one_canonical_form() -> None:
    spellings = {
        "/api/environments/1/endpoints/": "/api/projects/1/endpoints",
        "/api/environments/1/endpoints/a/run": "/api/projects/1/endpoints/a/run",
        "/api/projects/1/endpoints/a/run/": "/api/projects/1/endpoints/a/run",
        "/api/projects/1/endpoints/a/run//": "/api/projects/1/endpoints/a/run/",
        "/api/projects/1/endpoints/api/environments/": "/api/projects/1/endpoints/api/environments",
        "/": "/",
    }
    assert {path: canonical(path) for path in spellings} == spellings


@prefixes
@slashes
def test_an_endpoint_lives_its_life_under_every_spelling(api: Caller, prefix: str, slash: str) -> None:
    base = f"/api/{prefix}/{api.project}/endpoints"

    def call(method: str, path: str, body: Any = None) -> Any:
        return api.client.request(method, f"{base}{path}{slash}", json=body, follow_redirects=False)

    assert call("POST", "", {"name": "daily", "query": hogql(DAILY), "is_materialized": True}).status_code == 201
    assert [endpoint["name"] for endpoint in call("GET", "").json()["results"]] == ["daily"]
    assert call("GET", "/daily").json()["name"] == "daily"
    assert call("GET", "/daily/versions/1").json()["version"] == 1
    assert call("PATCH", "/daily/versions/1", {}).json()["version"] == 1
    assert call("PUT", "/daily/versions/1", {}).json()["version"] == 1
    assert call("GET", "/daily/versions").json()["count"] == 1
    assert call("GET", "/daily/openapi.json").json()["openapi"] == "3.0.3"
    assert call("GET", "/daily/materialization_status").json()["enabled"] is True
    assert call("POST", "/daily/materialization_preview", {}).json()["can_materialize"] is True
    assert call("GET", "/materialization_conditions").status_code == 200
    assert call("GET", "/daily/logs").json()["count"] == 0
    assert call("POST", "/bulk_update_tags", {}).status_code == 405
    assert call("POST", "/daily/materialization_suggestion", {}).status_code == 404
    assert call("PATCH", "/daily", {"description": "one"}).json()["description"] == "one"
    assert call("PUT", "/daily", {"description": "two"}).json()["description"] == "two"
    assert call("GET", "/daily/run").json()["results"] == DAILY_ROWS
    assert call("POST", "/daily/run").json()["results"] == DAILY_ROWS
    assert call("POST", "/daily/refresh").status_code == 202
    times = call("POST", "/last_execution_times", {"names": ["daily"]}).json()
    assert times["query_status"]["results"] == [["daily", "2026-03-01T12:00:00Z"]]
    assert call("DELETE", "/daily").status_code == 204
    assert says(call("GET", "/daily")) == NOT_FOUND


@slashes
def test_health_answers_under_both_spellings(api: Caller, slash: str) -> None:
    assert api.client.get(f"/livez{slash}", follow_redirects=False).status_code == 200
    assert api.client.get(f"/readyz{slash}", follow_redirects=False).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/project", "/api/projects/{}/endpoints/daily/run//", "/api/teams/{}/endpoints"]
)
def test_a_path_that_is_nowhere_is_a_flat_404(api: Caller, path: str) -> None:
    api.created()
    assert says(api.client.get(path.format(api.project))) == NOT_FOUND


@pytest.mark.parametrize("project", ["abc", "-1", "0", "1.5", "99999", "9" * 19, "9" * 5000, "%00"])
def test_a_project_that_is_not_there_is_a_404(api: Caller, project: str) -> None:
    base = f"/api/projects/{project}/endpoints"
    new = {"name": "daily", "query": hogql(DAILY)}
    assert says(api.client.get(base)) == NOT_FOUND
    assert says(api.client.post(base, json=new)) == NOT_FOUND
    assert says(api.client.get(f"{base}/daily")) == NOT_FOUND
    assert says(api.client.patch(f"{base}/daily", json={})) == NOT_FOUND
    assert says(api.client.delete(f"{base}/daily")) == NOT_FOUND
    assert says(api.client.post(f"{base}/daily/run", json={})) == NOT_FOUND
    assert says(api.client.post(f"{base}/daily/refresh", json={})) == NOT_FOUND
    assert says(api.client.post(f"{base}/last_execution_times", json={"names": ["daily"]})) == NOT_FOUND


@pytest.mark.parametrize("name", ["absent", "1st", "a%00b", "a%20b", "%C3%A9", "a" * 129, "a.b"])
def test_an_endpoint_that_is_not_there_is_a_404_whatever_the_request_says(api: Caller, name: str) -> None:
    assert says(api.get(f"/{name}")) == NOT_FOUND
    assert says(api.get(f"/{name}", params={"version": 1})) == NOT_FOUND
    assert says(api.patch(f"/{name}", {"nonsense": 1})) == NOT_FOUND
    assert says(api.delete(f"/{name}")) == NOT_FOUND
    assert says(api.run(name, {"nonsense": 1})) == NOT_FOUND
    assert says(api.post_text(f"/{name}/run", "{")) == NOT_FOUND
    assert says(api.get(f"/{name}/run", params={"limit": "x"})) == NOT_FOUND
    assert says(api.post(f"/{name}/refresh", {"nonsense": 1})) == NOT_FOUND
    assert says(api.get(f"/{name}/versions", params={"limit": "x"})) == NOT_FOUND
    assert says(api.get(f"/{name}/openapi.json", params={"version": "x"})) == NOT_FOUND
    assert says(api.get(f"/{name}/materialization_status", params={"version": "x"})) == NOT_FOUND
    assert says(api.post(f"/{name}/materialization_preview", {"nonsense": 1})) == NOT_FOUND
    assert says(api.get(f"/{name}/logs", params={"limit": "x"})) == NOT_FOUND


def test_another_projects_endpoint_is_a_404(api: Caller, stranger: Caller) -> None:
    api.created()
    assert says(stranger.get("/daily")) == NOT_FOUND
    assert says(stranger.run()) == NOT_FOUND
    assert says(stranger.patch("/daily", {"description": "mine"})) == NOT_FOUND
    assert says(stranger.delete("/daily")) == NOT_FOUND
    assert stranger.get().json()["results"] == []
    assert api.seen()["description"] == ""


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "", "GET, POST"),
        ("POST", "/daily", "GET, PUT, PATCH, DELETE"),
        ("DELETE", "/daily/run", "GET, POST"),
        ("GET", "/daily/refresh", "POST"),
    ],
)
def test_a_wrong_verb_is_a_405_that_names_the_right_ones(api: Caller, method: str, path: str, allowed: str) -> None:
    answer = api.client.request(method, api.base + path, content=b"{}", headers=JSON)
    assert says(answer) == (405, flat("invalid_request", "method_not_allowed", f'Method "{method}" not allowed.'))
    assert answer.headers["allow"] == allowed


def test_an_endpoint_may_have_a_name_that_is_also_a_route(api: Caller) -> None:
    api.created("last_execution_times")
    assert api.seen("last_execution_times")["name"] == "last_execution_times"
    assert api.answered("last_execution_times")["results"] == DAILY_ROWS
