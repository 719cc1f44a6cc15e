"""``endpoints demo``: the main job end to end on real data, proved and then stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from endpoints_pipeline.catalog.records import Endpoint
    from endpoints_pipeline.cli.client import ApiClient

_PAGE = 50_000


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one example; ``fault`` is empty when it was served as it should be."""

    name: str
    expected: str
    rows: int
    fault: str


def demo() -> None:
    """Load flights, publish examples/, materialize them through Dagster, and compare each with its direct query."""
    from rich.console import Console

    from endpoints_pipeline.cli.client import ApiClient
    from endpoints_pipeline.cli.definition_files import load
    from endpoints_pipeline.cli.example_data import load_flights
    from endpoints_pipeline.cli.examples import examples_folder, publish, wait_for_snapshots
    from endpoints_pipeline.cli.keys import own_key
    from endpoints_pipeline.cli.stack import LocalStack
    from endpoints_pipeline.settings import load_settings

    settings = load_settings()
    console = Console()
    stack = LocalStack(settings)
    files = load([examples_folder(settings)])
    load_flights(settings)
    console.print(f"Starting the stack; its logs go to {stack.log_folder()}", highlight=False)
    checked: list[Checked] = []

    def say(text: str) -> None:
        console.print(f"  {text}", highlight=False)

    def ready() -> None:
        with own_key(settings) as key:
            client = ApiClient(settings, key)
            publish(client, files, say)
            endpoints = wait_for_snapshots(settings, [file.name for file in files], say)
            checked.extend(check_examples(client, endpoints))
        stack.stop()

    stack.run(ready)
    _print(checked)
    raise typer.Exit(0 if checked and not any(example.fault for example in checked) else 1)


def check_examples(client: ApiClient, endpoints: Sequence[Endpoint]) -> list[Checked]:
    """Run every example over HTTP, from its snapshot and from its source, and compare all rows."""
    return [_check(client, endpoint) for endpoint in endpoints]


def _check(client: ApiClient, endpoint: Endpoint) -> Checked:
    from endpoints_pipeline.cli.client import ApiRefused

    if not endpoint.is_active:
        try:
            client.run(endpoint.name)
        except ApiRefused as refused:
            fault = "" if refused.status == 404 else str(refused)
            return Checked(endpoint.name, "inactive: refused", 0, fault)
        return Checked(endpoint.name, "inactive: refused", 0, "it was served")
    if endpoint.version.snapshot is None:
        answer = client.run(endpoint.name, **_variables(endpoint))
        path = answer["served"]["path"]
        rows = len(answer["results"])
        return Checked(endpoint.name, "not materialized: inline", rows, "" if path == "inline" else f"path {path}")
    return _compare(client, endpoint)


def _compare(client: ApiClient, endpoint: Endpoint) -> Checked:
    name, expected, rows = endpoint.name, "materialized: equal to direct", 0
    while True:
        request: dict[str, Any] = {"limit": _PAGE, "offset": rows, **_variables(endpoint)}
        served = client.run(name, **request)
        direct = client.run(name, **request, refresh="direct")
        if served["served"]["path"] != "materialized":
            return Checked(name, expected, rows, f"path {served['served']['path']}: {served['served']['detail']}")
        for key in ("types", "results", "hasMore"):
            if served[key] != direct[key]:
                return Checked(name, expected, rows, f"{key} differ from the direct query's at row {rows}")
        rows += len(served["results"])
        if not served["hasMore"]:
            return Checked(name, expected, rows, "")


def _variables(endpoint: Endpoint) -> dict[str, Any]:
    """Their defaults, said aloud: what has a snapshot wants a value for each."""
    entries = (endpoint.version.query.get("variables") or {}).values()
    values = {entry["code_name"]: entry["value"] for entry in entries}
    return {"variables": values} if values else {}


def _print(checked: Sequence[Checked]) -> None:
    from endpoints_pipeline.cli.output import print_table

    columns = ("endpoint", "expected", "rows", "result")
    rows = [(one.name, one.expected, f"{one.rows:,}", one.fault or "as expected") for one in checked]
    print_table(columns, rows, right=["rows"], folding=["result"])
