"""``endpoints list``: the project's endpoints and the state of their snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from endpoints_pipeline.cli.output import AsJson, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from endpoints_pipeline.catalog.records import Endpoint

_COLUMNS = ("name", "version", "active", "materialized", "frequency", "status", "rows", "bytes", "age", "error")


def list_endpoints(as_json: AsJson = False) -> None:
    """List the endpoints and their snapshots."""
    from endpoints_pipeline.cli.session import begin, opened_catalog
    from endpoints_pipeline.clock import utc_now

    settings = begin()
    with opened_catalog(settings) as catalog:
        found, _ = catalog.endpoints.list(settings.project_id)
    now = utc_now()
    if as_json:
        print_json([_facts(endpoint, now) for endpoint in found])
    elif not found:
        typer.echo(f"Project {settings.project_id} has no endpoints: publish one with `endpoints publish FILE`.")
    else:
        rows = (_cells(endpoint, now) for endpoint in found)
        print_table(_COLUMNS, rows, right=["version", "rows", "bytes", "age"], folding=["name", "error"])


def _facts(endpoint: Endpoint, now: datetime) -> Mapping[str, Any]:
    version = endpoint.version
    wish = version.materialization if version.is_materialized else None
    snapshot = version.snapshot if wish else None
    return {
        "name": endpoint.name,
        "version": version.version,
        "description": version.description,
        "is_active": endpoint.is_active and version.is_active,
        "is_materialized": version.is_materialized,
        "sync_frequency": wish.sync_frequency if wish else None,
        "status": wish.status if wish else None,
        "error": wish.error if wish else "",
        "rows": snapshot.rows if snapshot else None,
        "bytes": snapshot.bytes if snapshot else None,
        "snapshot_id": snapshot.id if snapshot else None,
        "snapshot_at": snapshot.published_at if snapshot else None,
        "age_seconds": round((now - snapshot.published_at).total_seconds(), 3) if snapshot else None,
        "target_seconds": version.data_freshness_seconds,
    }


def _cells(endpoint: Endpoint, now: datetime) -> list[str]:
    from endpoints_pipeline.cli.formats import age_text, bytes_text

    version = endpoint.version
    cells = [
        endpoint.name,
        f"v{version.version}",
        "yes" if endpoint.is_active and version.is_active else "no",
        "yes" if version.is_materialized else "no",
    ]
    wish, snapshot = version.materialization, version.snapshot
    if wish is None or not version.is_materialized:
        return [*cells, *[""] * (len(_COLUMNS) - len(cells))]
    size = (
        (f"{snapshot.rows:,}", bytes_text(snapshot.bytes), age_text(now - snapshot.published_at))
        if snapshot
        else ("", "", "")
    )
    return [*cells, wish.sync_frequency or "never", wish.status, *size, " ".join(wish.error.split())]
