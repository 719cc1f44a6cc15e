"""What is said of the API is true: docs/compatibility.md, and the OpenAPI document with its models and examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from endpoints_pipeline.api import activity, execution_times, logs, materialization, models, people, variables
from endpoints_pipeline.api.pages import Page
from endpoints_pipeline.api.representation import MaterializationObject, VersionObject
from endpoints_pipeline.api.run import RunErrorObject
from endpoints_pipeline.api.run_answer import RunAnswer
from endpoints_pipeline.api.run_body import RunBody
from tests.api.callers import DAILY, Caller, TestClient, hogql

DOCS = Path(__file__).parents[2] / "docs" / "compatibility.md"
PROJECT = "/api/projects/{project_id}"
OTHER_REQUESTS = {
    "last_execution_times": models.ExecutionTimesBody,
    "materialization_preview": models.PreviewBody,
    "retrieve": models.VersionBody,
    "refresh": models.RefreshBody,
}
OTHER_ANSWERS = {
    "page": Page,
    "version in a run's 404": RunErrorObject,
    "preview": materialization.PreviewObject,
    "conditions": materialization.ConditionsObject,
    "log entry": logs.LogObject,
    "activity": activity.ActivityObject,
    "activity's detail": activity.DetailObject,
    "change": activity.ChangeObject,
    "variable": variables.VariableObject,
    "person": people.UserObject,
    "execution times": execution_times.ExecutionTimes,
}


def table(title: str) -> list[list[str]]:
    """The cells of the first table under a heading of the documentation."""
    section = DOCS.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\|(.+)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def operations(web: FastAPI) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in web.openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_route_is_documented(web: FastAPI) -> None:
    documented = [(method, path.strip("`")) for method, path, *_ in table("Routes")]
    assert sorted(documented) == sorted((method, path) for method, path, _ in operations(web))
    assert {row[2] for row in table("Routes")} <= {"all", "S", "M", "C", "S M", "M C", "+"}


def test_every_parameter_of_a_query_string_is_documented(web: FastAPI) -> None:
    served: dict[str, set[str]] = {}
    for _, path, operation in operations(web):
        names = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
        if names:
            served.setdefault(path.replace(PROJECT + "/", "…/"), set()).update(names)
    assert {path.strip("`"): set(quoted(names)) for path, names, _ in table("Query strings")} == served


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("Fields of create and update", models.EndpointBody),
        ("Fields of a run", RunBody),
        ("Fields of a variable", models.VariableBody),
        ("Keys of endpoints and versions", VersionObject),
        ("Keys of materialization", MaterializationObject),
        ("Keys of a run's answer", RunAnswer),
    ],
)
def test_every_field_is_documented(title: str, model: type[BaseModel]) -> None:
    documented = [row[0].strip("`") for row in table(title)]
    assert sorted(documented) == sorted(model.model_fields)
    assert {row[1] for row in table(title)} <= {"all", "S", "M", "C", "S M", "M C", "+"}


@pytest.mark.parametrize(
    ("title", "wanted"), [("Fields of other requests", OTHER_REQUESTS), ("Keys of other answers", OTHER_ANSWERS)]
)
def test_every_other_field_is_documented(title: str, wanted: dict[str, type[BaseModel]]) -> None:
    documented = {row[0].strip("`"): set(quoted(row[1])) for row in table(title)}
    assert documented == {name: set(model.model_fields) for name, model in wanted.items()}


def test_operations_have_readable_ids_tags_and_words(web: FastAPI) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(web)]
    assert len(ids) == len(set(ids))
    assert [id_ for id_ in ids if not re.fullmatch(r"[a-z_]+", id_) or "api_projects" in id_] == []
    for method, path, operation in operations(web):
        assert len(operation["tags"]) == 1, (method, path)
        assert operation["description"], (method, path)


def test_everything_but_health_needs_a_key(web: FastAPI) -> None:
    open_routes = {path for _, path, operation in operations(web) if not operation.get("security")}
    assert open_routes == {"/livez", "/readyz"}
    assert web.openapi()["components"]["securitySchemes"]["PersonalAPIKey"]["scheme"] == "bearer"


def test_every_route_tells_its_errors_in_the_shapes_that_it_answers(web: FastAPI) -> None:
    for method, path, operation in operations(web):
        told = operation["responses"]
        assert "422" not in told, (method, path)
        assert "default" in told, (method, path)
        if not operation.get("security"):
            continue
        assert {"401", "403", "429"} <= told.keys(), (method, path)
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= told.keys(), (method, path)
        for status, answer in told.items():
            if status == "default" or int(status) < 400 or (path.endswith("bulk_update_tags") and status == "405"):
                continue
            schema = str(answer["content"]["application/json"]["schema"])
            assert "ErrorObject" in schema, (method, path, status)


def test_every_good_answer_has_a_model(web: FastAPI) -> None:
    for method, path, operation in operations(web):
        for status, answer in operation["responses"].items():
            if status[0] == "2" and status != "204":
                schema = answer["content"]["application/json"]["schema"]
                assert schema.keys() & {"$ref", "anyOf"} or path.endswith("openapi.json"), (method, path, status)


def resolved(web: FastAPI, schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to."""
    return {**schema, "components": web.openapi()["components"]}


def test_examples_fit_their_models(web: FastAPI) -> None:
    found = 0
    for name, schema in web.openapi()["components"]["schemas"].items():
        for example in schema.get("examples", []):
            found += 1
            jsonschema_rs.validate(resolved(web, {"$ref": f"#/components/schemas/{name}"}), example)
    for _, _, operation in operations(web):
        content = operation.get("requestBody", {}).get("content", {})
        for media in content.values():
            for example in media["schema"].get("examples", []):
                found += 1
                jsonschema_rs.validate(resolved(web, media["schema"]), example)
        for answer in operation["responses"].values():
            for media in answer.get("content", {}).values():
                if "example" in media:
                    found += 1
                    jsonschema_rs.validate(resolved(web, media["schema"]), media["example"])
    assert found > 50


def test_endpoints_and_versions_have_examples_of_their_own(web: FastAPI) -> None:
    schemas = web.openapi()["components"]["schemas"]
    assert "version_id" in schemas["VersionObject"]["examples"][0]
    assert "version_id" not in schemas["EndpointObject"]["examples"][0]


CALLS: list[tuple[str, str, Any, int]] = [
    ("GET", "/endpoints", None, 200),
    ("GET", "/endpoints?created_by=x", None, 400),
    ("GET", "/endpoints/{name}", None, 200),
    ("GET", "/endpoints/{name}?version=1", None, 200),
    ("GET", "/endpoints/{name}?version=9", None, 404),
    ("PATCH", "/endpoints/{name}", {"description": "x"}, 200),
    ("PATCH", "/endpoints/{name}", {"version": 1, "description": "x"}, 200),
    ("PATCH", "/endpoints/{name}", {"version": 9}, 400),
    ("PUT", "/endpoints/{name}", {"nonsense": 1}, 400),
    ("GET", "/endpoints/{name}/versions", None, 200),
    ("GET", "/endpoints/{name}/versions/{number}", None, 200),
    ("PATCH", "/endpoints/{name}/versions/{number}", {}, 200),
    ("POST", "/endpoints/{name}/run", {}, 200),
    ("POST", "/endpoints/{name}/run", {"limit": 1, "debug": True}, 200),
    ("POST", "/endpoints/{name}/run", {"limit": 0}, 400),
    ("POST", "/endpoints/{name}/run", {"version": 9}, 404),
    ("POST", "/endpoints/{name}/run", {"refresh": "force_cache"}, 200),
    ("GET", "/endpoints/{name}/run", None, 200),
    ("POST", "/endpoints/last_execution_times", {"names": ["daily"]}, 200),
    ("POST", "/endpoints/last_execution_times", {}, 400),
    ("GET", "/endpoints/{name}/openapi.json", None, 200),
    ("GET", "/endpoints/{name}/materialization_status", None, 200),
    ("POST", "/endpoints/{name}/materialization_preview", {}, 200),
    ("GET", "/endpoints/materialization_conditions", None, 200),
    ("GET", "/endpoints/{name}/logs", None, 200),
    ("POST", "/endpoints/{name}/refresh", {}, 202),
    ("GET", "/insight_variables", None, 200),
    ("POST", "/insight_variables", {"name": "a", "type": "List", "default_value": [1]}, 201),
    ("POST", "/insight_variables", {"name": "a"}, 400),
    ("GET", "/activity_log", None, 200),
]


def shown(path: str) -> str:
    return path.format(name="daily", number=1)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"), CALLS, ids=lambda value: str(value) if isinstance(value, str) else None
)
def test_answers_fit_their_documented_models(
    api: Caller, web: FastAPI, method: str, path: str, body: Any, status: int
) -> None:
    api.created(is_materialized=True, bucket_overrides={"day": "week"})
    api.answered()
    api.materialize()
    answer = api.client.request(method, f"/api/projects/{api.project}{shown(path)}", json=body)
    assert answer.status_code == status, answer.text
    operation = web.openapi()["paths"][PROJECT + path.split("?")[0]][method.lower()]
    schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    jsonschema_rs.validate(resolved(web, schema), answer.json())


def test_answers_of_refused_callers_fit_their_documented_models(api: Caller, web: FastAPI) -> None:
    for caller, status in ((api.using(None), 401), (api.keyed("endpoint:read"), 403)):
        answer = caller.post("", {"name": "daily", "query": hogql(DAILY)})
        assert answer.status_code == status
        operation = web.openapi()["paths"][f"{PROJECT}/endpoints"]["post"]
        schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
        jsonschema_rs.validate(resolved(web, schema), answer.json())


def test_the_documentation_pages_answer_without_a_key(client: TestClient) -> None:
    assert client.get("/docs").status_code == 200
    assert client.get("/docs/").status_code == 200
    assert client.get("/openapi.json").json()["info"]["title"] == "Endpoints"
