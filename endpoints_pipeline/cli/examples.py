"""The examples: flights of 1 year as source tables, published endpoints over them, and their first snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from endpoints_pipeline.catalog import Catalog, open_catalog
from endpoints_pipeline.catalog.records import Endpoint, RefreshStatus
from endpoints_pipeline.cli.client import ApiClient, ApiRefused
from endpoints_pipeline.cli.definition_files import DefinitionFile, listed_variables
from endpoints_pipeline.errors import LocalStackError
from endpoints_pipeline.settings import Settings

MATERIALIZE_TIMEOUT = 180.0
_TICK = 0.5


def examples_folder(settings: Settings) -> Path:
    return settings.dagster_home_path.parent / "examples"


def publish(client: ApiClient, files: Sequence[DefinitionFile], say: Callable[[str], None]) -> None:
    """Publish the definitions through the API: the variables that they list, then one after the other.

    One that is refused is tried again after the others: it may read what they make.

    Raises:
        ApiRefused: The API refused one; the message says which and why.
    """
    variables = client.publish_variables([variable.to_body() for variable in listed_variables(files).values()])
    for name, outcome in variables.items():
        say(f"{outcome} variable {name}")
    waiting = list(files)
    while waiting:
        refused: dict[str, ApiRefused] = {}
        for file in waiting:
            try:
                say(f"{client.publish(file.to_body())} {file.name}")
            except ApiRefused as refusal:
                refused[file.name] = refusal
        if len(refused) == len(waiting):
            raise next(iter(refused.values()))
        waiting = [file for file in waiting if file.name in refused]


def wait_for_snapshots(settings: Settings, names: Sequence[str], say: Callable[[str], None]) -> Sequence[Endpoint]:
    """Return the endpoints when each that is materialized has a snapshot of its own.

    Raises:
        LocalStackError: A refresh failed, or they weren't all there in time; the message names the endpoints.
    """
    catalog = open_catalog(settings.resolved_catalog_dsn, timeout=settings.catalog_timeout, auto_migrate=False)
    try:
        return _wait(catalog, settings.project_id, names, say)
    finally:
        catalog.close()


def _wait(catalog: Catalog, project_id: int, names: Sequence[str], say: Callable[[str], None]) -> Sequence[Endpoint]:
    deadline = time.monotonic() + MATERIALIZE_TIMEOUT
    ready: set[str] = set()
    while True:
        endpoints = [catalog.endpoints.get(project_id, name) for name in names]
        wanted = [endpoint for endpoint in endpoints if endpoint.version.is_materialized]
        if failed := [endpoint for endpoint in wanted if _failed(endpoint)]:
            raise LocalStackError("\n".join(f"{endpoint.name} failed: {_error(endpoint)}" for endpoint in failed))
        for endpoint in wanted:
            if endpoint.version.snapshot is not None and endpoint.name not in ready:
                ready.add(endpoint.name)
                say(f"materialized {endpoint.name} ({len(ready)} of {len(wanted)})")
        if len(ready) == len(wanted):
            return endpoints
        if time.monotonic() > deadline:
            missing = ", ".join(endpoint.name for endpoint in wanted if endpoint.name not in ready)
            raise LocalStackError(
                f"Not materialized within {MATERIALIZE_TIMEOUT:g} s: {missing}. Look at the runs in the Dagster UI."
            )
        time.sleep(_TICK)


def _failed(endpoint: Endpoint) -> bool:
    materialization = endpoint.version.materialization
    return (
        materialization is not None
        and materialization.status is RefreshStatus.FAILED
        and endpoint.version.snapshot is None
    )


def _error(endpoint: Endpoint) -> str:
    return endpoint.version.materialization.error if endpoint.version.materialization else ""
