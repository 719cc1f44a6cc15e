"""The OpenAPI document of an endpoint (contract 1.10): its shape, and a client that is generated from it."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest

from endpoints_pipeline.api.openapi_document import row_schema
from endpoints_pipeline.query.columns import Column
from tests.api.callers import DAILY, DAILY_ROWS, NOT_FOUND, Caller, hogql, invalid, ok, says

EVERY_TYPE = (
    "SELECT {variables.word} AS word, {variables.number} AS number, {variables.flag} AS flag, "
    "{variables.words} AS words, {variables.numbers} AS numbers, toDate({variables.day}) AS day"
)


def declare(api: Caller, name: str, type_: str, default: Any = None) -> None:
    body = {"name": name, "type": type_, "default_value": default}
    ok(api.client.post(f"/api/projects/{api.project}/insight_variables", json=body), 201)


@pytest.fixture
def typed(api: Caller) -> Caller:
    """``every``: an endpoint with a variable of each type; ``word`` alone has no default."""
    declare(api, "word", "String")
    declare(api, "number", "Number", 1.5)
    declare(api, "flag", "Boolean", False)
    declare(api, "words", "List", ["a", "b"])
    declare(api, "numbers", "List", [1, 2])
    declare(api, "day", "Date", "2026-03-01")
    api.created("every", EVERY_TYPE)
    return api


def spec(api: Caller, name: str = "daily", **params: Any) -> dict[str, Any]:
    return ok(api.get(f"/{name}/openapi.json", params=params))


def test_1_10_the_document_has_one_path_and_one_operation(api: Caller) -> None:
    api.created("daily-totals", description="Totals of each day")
    document = spec(api, "daily-totals")
    assert document["openapi"] == "3.0.3"
    assert document["info"] == {"title": "daily-totals", "description": "Totals of each day", "version": "1"}
    assert document["servers"] == [{"url": "https://endpoints.example"}]
    path = f"/api/projects/{api.project}/endpoints/daily-totals/run"
    assert {key: list(value) for key, value in document["paths"].items()} == {path: ["post"]}
    operation = document["paths"][path]["post"]
    assert operation["operationId"] == "run_daily_totals"
    assert operation["security"] == [{"PersonalAPIKey": []}]
    assert document["components"]["securitySchemes"] == {"PersonalAPIKey": {"type": "http", "scheme": "bearer"}}
    assert list(operation["responses"]) == ["200", "400", "401", "404"]
    assert operation["requestBody"]["required"] is False
    assert ok(api.get("/daily-totals/openapi.json/")) == document


def test_1_10_without_a_description_there_is_a_default_one(api: Caller) -> None:
    api.created()
    assert spec(api)["info"]["description"] == "PostHog Endpoint: daily"


def test_1_10_a_request_without_variables(api: Caller) -> None:
    api.created()
    schemas = spec(api)["components"]["schemas"]
    assert set(schemas) == {
        "EndpointRunRequest",
        "DashboardFilter",
        "PropertyFilter",
        "EndpointRunResponse",
        "Error",
    }
    request = schemas["EndpointRunRequest"]
    assert set(request["properties"]) == {
        "client_query_id",
        "filters_override",
        "refresh",
        "version",
        "limit",
        "offset",
        "debug",
    }
    assert request["properties"]["refresh"] == {
        "type": "string",
        "enum": ["cache", "force", "direct"],
        "default": "cache",
    }
    assert request["properties"]["limit"]["minimum"] == 1
    assert "required" not in request


def test_1_10_variables_have_their_declared_types(typed: Caller) -> None:
    document = spec(typed, "every")
    assert document["components"]["schemas"]["Variables"] == {
        "type": "object",
        "description": "Values of the query's variables.",
        "properties": {
            "word": {"type": "string"},
            "number": {"type": "number", "example": 1.5},
            "flag": {"type": "boolean", "example": False},
            "words": {"type": "array", "items": {"type": "string"}, "example": ["a", "b"]},
            "numbers": {"type": "array", "items": {"type": "number"}, "example": [1, 2]},
            "day": {"type": "string", "format": "date", "example": "2026-03-01"},
        },
        "required": ["word"],
        "additionalProperties": False,
    }
    request = document["components"]["schemas"]["EndpointRunRequest"]
    assert request["properties"]["variables"] == {"$ref": "#/components/schemas/Variables"}
    assert request["required"] == ["variables"]
    (operation,) = [path["post"] for path in document["paths"].values()]
    assert operation["requestBody"]["required"] is True


def test_1_10_variables_that_all_have_defaults_are_not_required(api: Caller) -> None:
    declare(api, "n", "Number", 3)
    api.created(sql="SELECT {variables.n} AS n")
    document = spec(api)
    assert "required" not in document["components"]["schemas"]["Variables"]
    assert "required" not in document["components"]["schemas"]["EndpointRunRequest"]
    (operation,) = [path["post"] for path in document["paths"].values()]
    assert operation["requestBody"]["required"] is False


def test_1_10_the_document_is_of_the_version_asked_for(api: Caller) -> None:
    api.created()
    api.patched(query=hogql("SELECT 1 AS n"), description="two")
    assert spec(api)["info"] == {"title": "daily", "description": "two", "version": "2"}
    assert spec(api, version=1)["info"]["version"] == "1"
    rows = spec(api, version=1)["components"]["schemas"]["EndpointRunResponse"]["properties"]["results"]["items"]
    assert [column["name"] for column in rows["x-columns"]] == ["day", "total"]
    assert says(api.get("/daily/openapi.json", params={"version": 9})) == (404, {"error": "Version 9 not found"})
    assert says(api.get("/daily/openapi.json", params={"version": "x"})) == invalid(
        "Must be an integer, got: x", "version"
    )
    assert says(api.get("/absent/openapi.json", params={"version": "x"})) == NOT_FOUND


def test_a_row_is_as_long_as_there_are_columns_and_says_whose_type_is_whose() -> None:
    columns = [Column("day", "Date"), Column("total", "Nullable(UInt64)"), Column("share", "Float64")]
    row = row_schema(columns)
    assert (row["type"], row["minItems"], row["maxItems"]) == ("array", 3, 3)
    assert row["items"] == {
        "anyOf": [
            {"type": "string", "format": "date"},
            {"type": "integer", "nullable": True},
            {"type": "number", "nullable": True},
        ]
    }
    assert row["x-columns"] == [
        {"name": "day", "type": "Date", "schema": {"type": "string", "format": "date"}},
        {"name": "total", "type": "Nullable(UInt64)", "schema": {"type": "integer", "nullable": True}},
        {"name": "share", "type": "Float64", "schema": {"type": "number", "nullable": True}},
    ]
    assert "2. `total`: Nullable(UInt64)" in row["description"]


@pytest.mark.parametrize(
    ("types", "items"),
    [
        (["UInt8", "Nullable(UInt64)", "Int32"], {"type": "integer", "nullable": True}),
        (["String"], {"type": "string"}),
        # where the place tells nothing, a text that looks like a date is none
        (["Date", "String"], {"type": "string"}),
        (["Date", "DateTime"], {"type": "string"}),
        (["Array(Date)", "UUID"], {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
        (["Date", "Nullable(Date32)"], {"type": "string", "format": "date", "nullable": True}),
        (["UInt8", "Dynamic"], {}),
        (
            ["Tuple(format String, day Date)"],
            {
                "type": "object",
                "properties": {"format": {"type": "string"}, "day": {"type": "string"}},
                "required": ["format", "day"],
            },
        ),
    ],
)
def test_values_of_a_row_fit_any_of_its_columns(types: list[str], items: dict[str, Any]) -> None:
    columns = [Column(f"c{place}", type_) for place, type_ in enumerate(types)]
    assert row_schema(columns)["items"] == items


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a client of a document with openapi-python-client, and imports its only operation."""

    def make(document: Mapping[str, Any], operation: str) -> ModuleType:
        # a name of its own: Python keeps imported modules
        file, package = tmp_path / "openapi.json", f"client_{uuid4().hex}"
        file.write_text(json.dumps(document))
        argv = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(file), "--meta", "none"]
        made = subprocess.run(
            [*argv, "--output-path", str(tmp_path / package), "--fail-on-warning"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},  # for ruff
        )
        assert made.returncode == 0, made.stdout + made.stderr
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(f"{package}.api.default.{operation}")

    return make


def generated_client(api: Caller, module: ModuleType) -> Any:
    package = importlib.import_module(module.__name__.split(".")[0])
    client = package.AuthenticatedClient(
        base_url="http://testserver", token=api.secret, raise_on_unexpected_status=True
    )
    return client.set_httpx_client(
        httpx.Client(
            transport=api.client._transport,
            base_url="http://testserver",
            headers={"Authorization": f"Bearer {api.secret}"},
        )
    )


def models(module: ModuleType) -> ModuleType:
    return importlib.import_module(f"{module.__name__.split('.')[0]}.models")


def test_a_generated_client_runs_the_endpoint_and_types_its_rows(api: Caller, generate: Any) -> None:
    api.created()
    module = generate(spec(api), "run_daily")
    answer = module.sync(client=generated_client(api, module), body=models(module).EndpointRunRequest(limit=2))
    assert answer.results == [[datetime.date.fromisoformat(day), total] for day, total in DAILY_ROWS[:2]]
    assert (answer.columns, answer.has_more, answer.name, answer.limit) == (["day", "total"], True, "daily", 2)


def test_a_generated_client_sends_variables_of_every_type(typed: Caller, generate: Any) -> None:
    module = generate(spec(typed, "every"), "run_every")
    made = models(module)
    variables = made.Variables(
        word="hi", number=2.5, flag=True, words=["x"], numbers=[3, 4], day=datetime.date(2026, 5, 6)
    )
    body = made.EndpointRunRequest(variables=variables, refresh=made.EndpointRunRequestRefresh.FORCE)
    answer = module.sync(client=generated_client(typed, module), body=body)
    assert answer.results == [["hi", 2.5, True, ["x"], [3, 4], "2026-05-06"]]
    assert models(module).EndpointRunRequest(variables=made.Variables(word="hi")).to_dict() == {
        "variables": {"word": "hi"},
        "refresh": "cache",
        "debug": False,
    }


def test_a_generated_client_understands_errors(api: Caller, generate: Any) -> None:
    api.created()
    module = generate(spec(api), "run_daily")
    client = generated_client(api, module)
    request = models(module).EndpointRunRequest
    assert module.sync(client=client, body=request(version=9)).error == "Version 9 not found for endpoint 'daily'"
    refused = module.sync(client=client, body=request(refresh=models(module).EndpointRunRequestRefresh.DIRECT))
    assert (refused.code, refused.attr) == ("invalid_input", "refresh")


def test_a_generated_client_reads_every_type_of_column(api: Caller, generate: Any) -> None:
    sql = """
        SELECT 1::UInt64 AS i, 1.5 AS f, nan AS n, '1'::UInt128 AS w, 1::Decimal(9, 2) AS d, true AS b,
            toDate('2026-03-01') AS day, toDateTime64('2026-03-01 10:00:00', 3, 'UTC') AS t, [1, 2] AS a,
            map('k', 1) AS m, (1, 'x') AS p, CAST((1, 'x'), 'Tuple(a UInt8, b String)') AS o, [[(1, 'a')]] AS deep,
            '{"a": 1}'::JSON AS j
    """
    api.created("wide", sql)
    module = generate(spec(api, "wide"), "run_wide")
    answer = module.sync(client=generated_client(api, module), body=models(module).EndpointRunRequest())
    raw = api.answered("wide")["results"]
    (row,) = answer.results
    assert [value.to_dict() if hasattr(value, "to_dict") else value for value in row] == raw[0]


def test_the_document_needs_no_more_than_reading(api: Caller) -> None:
    api.created(sql=DAILY)
    assert api.keyed("endpoint:read").get("/daily/openapi.json").status_code == 200
    assert api.keyed("insight_variable:read").get("/daily/openapi.json").status_code == 403
