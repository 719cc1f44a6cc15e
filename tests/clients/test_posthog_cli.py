"""Every endpoint tool of PostHog's own agent CLI against a live server (contract 9); what it sends is its business."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.clients.posthog_cli import Cli, Said, fetch
from tests.clients.server import LiveServer, Project

pytestmark = pytest.mark.timeout(600)  # each call starts a Node that reads 8 MB of source

NAMES = "SELECT name, count() AS n FROM events GROUP BY name ORDER BY name"
NAMES_ROWS = [["buy", 100], ["click", 200]]
OF_NAME = "SELECT count() AS n FROM events WHERE name = {variables.event_name}"


@pytest.fixture(scope="module")
def shop(live: LiveServer) -> Project:
    """A project with an endpoint ``counts``, materialized, and ``of-name``, with a variable without a default."""
    project = live.project()
    project.create("counts", NAMES, is_materialized=True)
    project.materialize("counts")
    project.variable("Event name", "String")
    project.create("of-name", OF_NAME)
    return project


@pytest.fixture(scope="module")
def cli(shop: Project, pytestconfig: pytest.Config) -> Cli:
    return Cli(fetch(pytestconfig.cache.mkdir("posthog-cli")), shop, shop.secret)


def hogql(sql: str) -> dict[str, str]:
    return {"kind": "HogQLQuery", "query": sql}


def complaint(said: Said) -> str:
    """What the CLI says of an error body before it exits with 1: it has words of its own for those it understands."""
    assert said.code == 1, said.out
    return said.err.split("Error: ", 1)[1].rstrip()


def test_an_endpoint_lives_and_dies(cli: Cli, shop: Project) -> None:
    fields = {"description": "By name", "data_freshness_seconds": 3600, "is_materialized": True, "tags": ["a", "b"]}
    created = cli.call("endpoint-create", {"name": "life", "query": hogql(NAMES), **fields}).body
    assert {key: created[key] for key in ("name", "description", "data_freshness_seconds", "tags")} == {
        "name": "life",
        "description": "By name",
        "data_freshness_seconds": 3600,
        "tags": ["a", "b"],
    }
    assert created["materialization"]["enabled"] is True
    assert created["created_by"]["email"] == shop.user.email

    listed = cli.call("endpoints-get-all", {"is_active": True, "limit": 10, "offset": 0}).body
    assert [endpoint["name"] for endpoint in listed["results"]] == ["counts", "life", "of-name"]

    changes = {"query": hogql("SELECT 1 AS one"), "is_materialized": False, "tags": []}
    updated = cli.call("endpoint-update", {"name": "life", **changes}).body
    assert (updated["current_version"], updated["tags"]) == (2, [])
    older = cli.call("endpoint-update", {"name": "life", "version": 1, "description": "The first"}).body
    assert (older["version"], older["description"]) == (1, "The first")

    seen = cli.call("endpoint-get", {"name": "life"}).body
    assert (seen["query"]["query"], seen["columns"]) == ("SELECT 1 AS one", [{"name": "one", "type": "integer"}])
    versions = cli.call("endpoint-versions", {"name": "life"}).body["results"]
    assert [(one["version"], one["query"]["query"]) for one in versions] == [(2, "SELECT 1 AS one"), (1, NAMES)]

    deleted = cli.call("endpoint-delete", {"name": "life"}, "--confirm").body
    assert deleted["success"] is True
    assert shop.call("GET", "/life").status_code == 404


def test_a_materialized_endpoint_is_run_and_told_of(cli: Cli, shop: Project) -> None:
    whole = cli.call("endpoint-run", {"name": "counts"}).body
    assert whole["results"] == NAMES_ROWS
    assert whole["columns"] == ["name", "n"]
    assert whole["endpoint_materialized"] is True
    page = cli.call("endpoint-run", {"name": "counts", "limit": 1, "offset": 1, "refresh": "force"}).body
    assert (page["results"], page["hasMore"]) == (NAMES_ROWS[1:], False)

    status = cli.call("endpoint-materialization-status", {"name": "counts"}).body
    assert (status["name"], status["status"], status["ready"]) == ("counts", "Completed", True)
    preview = cli.call("endpoints-materialization-preview", {"name": "counts", "version": 1}).body
    assert (preview["can_materialize"], preview["range_pairs"]) == (True, [])
    spec = cli.call("endpoint-openapi-spec", {"name": "counts", "version": 1}).body
    assert list(spec["paths"]) == [f"/api/projects/{shop.id}/endpoints/counts/run"]

    arguments = {"name": "counts", "limit": 50, "level": "INFO", "search": "PATH=", "after": "2026-01-01T00:00:00Z"}
    logs = cli.call("endpoint-logs", arguments).body
    assert [entry["instance_id"] for entry in logs["results"]] == [page["execution_id"], whole["execution_id"]]
    times = cli.call("endpoints-last-execution-times", {"names": ["counts", "nobody"]}).body["query_status"]
    assert [name for name, _ in times["results"]] == ["counts"]


def test_variables_are_made_used_changed_and_deleted(cli: Cli, shop: Project) -> None:
    new = {"name": "Least id", "type": "Number", "default_value": 290}
    made = cli.call("sql-variables-create", new).body
    assert (made["code_name"], made["default_value"]) == ("least_id", 290)
    shop.create("least", "SELECT id FROM events WHERE id >= {variables.least_id} ORDER BY id")
    assert len(cli.call("endpoint-run", {"name": "least"}).body["results"]) == 10
    given = cli.call("endpoint-run", {"name": "least", "variables": {"least_id": 298}}).body
    assert given["results"] == [[298], [299]]
    wrong = complaint(cli.call("endpoint-run", {"name": "least", "variables": {"least_id": "many"}}))
    assert wrong.startswith("Validation error: ")
    assert wrong.endswith(" (field: variables)")

    changed = cli.call("sql-variables-update", {"id": made["id"], "default_value": 295}).body
    assert changed["default_value"] == 295
    assert cli.call("sql-variables-delete", {"id": made["id"]}, "--confirm").code == 0
    gone = shop.call("POST", "", {"name": "more", "query": hogql("SELECT {variables.least_id}")})
    assert gone.json()["detail"].startswith("Query references undefined variable(s): least_id")


@pytest.mark.parametrize(
    ("tool", "arguments", "detail"),
    [
        (
            "endpoint-create",
            {"name": "bad", "query": hogql("SELECT nothing FROM nowhere")},
            "Invalid HogQL query: Unknown table 'nowhere'. Known tables: events, users. A materialized endpoint can be "
            "read by its name, too (field: query)",
        ),
        (
            "endpoint-run",
            {"name": "counts", "variables": {"who": 1}},
            "Unknown variable(s): who (field: variables)",
        ),
        (
            "endpoint-update",
            {"name": "counts", "version": 9, "description": "x"},
            "Version 9 not found for this endpoint. (field: version)",
        ),
    ],
    ids=["bad query", "unknown variable", "unknown version to change"],
)
def test_what_the_server_finds_wrong_is_told(cli: Cli, tool: str, arguments: dict[str, Any], detail: str) -> None:
    assert complaint(cli.call(tool, arguments)) == f"Validation error: {detail}"


@pytest.mark.parametrize(
    ("tool", "arguments", "body"),
    [
        (
            "endpoint-run",
            {"name": "nobody"},
            {"type": "invalid_request", "code": "not_found", "detail": "Not found.", "attr": None},
        ),
        ("endpoint-openapi-spec", {"name": "counts", "version": 9}, {"error": "Version 9 not found"}),
    ],
    ids=["unknown endpoint", "unknown version"],
)
def test_what_is_not_there_is_printed_as_the_server_says_it(
    cli: Cli, tool: str, arguments: dict[str, Any], body: dict[str, Any]
) -> None:
    said = complaint(cli.call(tool, arguments))
    assert "Status Code: 404" in said
    assert json.loads(said.split("Error Message: ")[1]) == body


def test_what_the_key_may_not_do_is_refused_by_the_server(cli: Cli, shop: Project) -> None:
    reader = cli.using(shop.key("endpoint:read"))
    assert reader.call("endpoint-run", {"name": "counts"}).body["results"] == NAMES_ROWS
    said = reader.call("endpoint-create", {"name": "mine", "query": hogql("SELECT 1")})
    assert complaint(said) == "Missing PostHog API scope: 'endpoint:write'"
    assert "[API] Permission denied on POST" in said.err
    assert shop.call("GET", "/mine").status_code == 404


def test_an_unknown_key_is_refused(cli: Cli) -> None:
    said = complaint(cli.using("phx_unknown").call("endpoint-run", {"name": "counts"}))
    assert said.startswith("INVALID_API_KEY: API key found in request Authorization header is invalid.")
