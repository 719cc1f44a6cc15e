"""Clients that openapi-python-client makes of our documents: they compile, and run against a live server."""

from __future__ import annotations

import compileall
import importlib
import json
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from tests.clients.server import LiveServer, Project

#: A column of each JSON kind, and a variable of each type. The rows depend on every variable.
TYPED = """
SELECT id, toInt8(-1) AS small, score, amount, toUInt256(id) AS wide, name, at, toDate(at) AS day, id % 2 = 0 AS even,
       toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS uuid, tags, map('a', id) AS counts,
       CAST((1, 'x'), 'Tuple(number UInt8, word String)') AS pair, (1.5, 2.5) AS point,
       CAST('b', 'Enum(\\'b\\')') AS kind
FROM events
WHERE name = {variables.event_name} AND id >= {variables.least} AND (id % 2 = 0) = {variables.even}
  AND at < parseDateTimeBestEffort({variables.before}) AND has({variables.users}, toString(user_id))
ORDER BY id
"""


def generated(package: str, document: Path | str, folder: Path) -> ModuleType:
    """The package made of a document (a file, or an address), compiled and imported; a warning is a failure."""
    where = ["--url", document] if isinstance(document, str) else ["--path", str(document)]
    config = folder / f"{package}.json"
    config.write_text(json.dumps({"post_hooks": [], "literal_enums": False}))
    command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", *where]
    command += ["--meta", "none", "--output-path", str(folder / package), "--config", str(config), "--fail-on-warning"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr, done.stdout
    assert compileall.compile_dir(folder / package, quiet=1)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(package)
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def shop(live: LiveServer) -> Project:
    return live.project()


@pytest.fixture(scope="module")
def whole(live: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The client of the whole API."""
    return generated("whole_client", f"{live.url}/openapi.json", tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def one(shop: Project, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The client of one endpoint, ``typed-rows``."""
    shop.variable("Event name", "String", "buy")
    shop.variable("Least", "Number")
    shop.variable("Even", "Boolean", True)
    shop.variable("Before", "Date")
    shop.variable("Users", "List")
    shop.create("typed-rows", TYPED)
    folder = tmp_path_factory.mktemp("one")
    document = folder / "openapi.json"
    document.write_text(shop.call("GET", "/typed-rows/openapi.json").text)
    return generated("one_client", document, folder)


def keyed(package: ModuleType, shop: Project, secret: str | None = None) -> Any:
    token = secret or shop.secret
    return package.AuthenticatedClient(base_url=shop.server.url, token=token, raise_on_unexpected_status=True)


def part(package: ModuleType, path: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{path}")


def test_the_client_of_the_whole_api_has_every_operation(whole: ModuleType, live: LiveServer) -> None:
    document = requests.get(f"{live.url}/openapi.json", timeout=30).json()
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    folder = Path(str(whole.__file__)).parent
    made = [file.stem for file in (folder / "api").rglob("*.py") if file.stem != "__init__"]
    assert sorted(made) == sorted(operations)


def test_the_client_of_the_whole_api_publishes_lists_and_runs(whole: ModuleType, shop: Project) -> None:
    client, models = keyed(whole, shop), part(whole, "models")
    query = {"kind": "HogQLQuery", "query": "SELECT id, at FROM events ORDER BY id LIMIT 2"}
    body = models.EndpointsCreateEndpointBody.from_dict({"name": "generated", "query": query, "tags": ["a"]})
    made = part(whole, "api.endpoints.endpoints_create").sync(shop.id, client=client, body=body)
    assert isinstance(made, models.EndpointObject)
    assert [(column.name, column.type_) for column in made.columns] == [("id", "integer"), ("at", "datetime")]
    assert made.created_at.tzinfo is not None
    assert made.created_by.email == shop.user.email

    listed = part(whole, "api.endpoints.endpoints_list").sync(shop.id, client=client, limit=10, is_active=True)
    assert isinstance(listed, models.EndpointPage)
    assert [endpoint.name for endpoint in listed.results if endpoint.name == "generated"] == ["generated"]

    run = part(whole, "api.run.endpoints_run_create")
    answer = run.sync(shop.id, "generated", client=client, body=models.EndpointsRunCreateRunBody(limit=1))
    assert isinstance(answer, models.RunAnswer)
    assert (answer.results, answer.has_more) == ([[0, "2026-01-01T00:00:00.000Z"]], True)
    assert answer.types == [["id", "Nullable(UInt64)"], ["at", "Nullable(DateTime64(3, 'UTC'))"]]
    assert (answer.served.path, answer.served.reason) == (models.Path.INLINE, models.Reason.NOT_MATERIALIZED)
    by_get = part(whole, "api.run.endpoints_run").sync(shop.id, "generated", client=client, limit=1)
    assert by_get.results == answer.results

    times_body = models.EndpointsLastExecutionTimesCreateExecutionTimesBody(names=["generated"])
    times = part(whole, "api.endpoints.endpoints_last_execution_times_create")
    [(name, at)] = times.sync(shop.id, client=client, body=times_body).query_status.results
    assert (name, isinstance(at, datetime)) == ("generated", True)

    gone = part(whole, "api.endpoints.endpoints_destroy").sync_detailed(shop.id, "generated", client=client)
    assert gone.status_code == 204


def test_errors_are_typed_too(whole: ModuleType, shop: Project) -> None:
    models, retrieve = part(whole, "models"), part(whole, "api.endpoints.endpoints_retrieve")
    missing = retrieve.sync(shop.id, "nobody", client=keyed(whole, shop))
    assert isinstance(missing, models.ErrorObject)
    assert missing.code == "not_found"
    create = part(whole, "api.endpoints.endpoints_create")
    reader = keyed(whole, shop, shop.key("endpoint:read"))
    refused = create.sync(shop.id, client=reader, body=models.EndpointsCreateEndpointBody(name="x"))
    assert isinstance(refused, models.ErrorObject)
    assert refused.detail == "API key missing required scope 'endpoint:write'"


def test_the_client_of_one_endpoint_gives_variables_and_gets_typed_rows(one: ModuleType, shop: Project) -> None:
    models, run = part(one, "models"), part(one, "api.default.run_typed_rows")
    variables = models.Variables(least=6, before=date(2026, 1, 2), users=["6", "12"], even=True)
    answer = run.sync(client=keyed(one, shop), body=models.EndpointRunRequest(variables=variables))
    assert isinstance(answer, models.EndpointRunResponse)
    first, second = answer.results
    row = dict(zip(answer.columns, first, strict=True))
    counts, pair = row.pop("counts"), row.pop("pair")
    assert row == {
        "id": 6,
        "small": -1,
        "score": pytest.approx(6 / 7),
        "amount": "0.06",
        "wide": "6",
        "name": "buy",
        "at": "2026-01-01T06:00:00.000Z",
        "day": "2026-01-01",
        "even": 1,
        "uuid": "61f0c404-5cb3-11e7-907b-a6006ad3dba0",
        "tags": [],
        "point": [1.5, 2.5],
        "kind": "b",
    }
    assert (counts.to_dict(), pair.to_dict()) == ({"a": 6}, {"number": 1, "word": "x"})
    assert second[0] == 12
    assert answer.endpoint_version_created_at.tzinfo is not None


def test_the_client_of_one_endpoint_is_told_of_a_value_that_does_not_fit(one: ModuleType, shop: Project) -> None:
    models, run = part(one, "models"), part(one, "api.default.run_typed_rows")
    variables = models.Variables(least="six", before=date(2026, 1, 2), users=[])
    refused = run.sync(client=keyed(one, shop), body=models.EndpointRunRequest(variables=variables))
    assert isinstance(refused, models.Error)
    assert (refused.type_, refused.attr) == ("validation_error", "variables")
