"""``endpoints up``: the whole product on this machine, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from endpoints_pipeline.catalog.records import Endpoint
    from endpoints_pipeline.settings import Settings

_KEY_HEADER = '-H "Authorization: Bearer $ENDPOINTS_API_KEY"'


def up(
    examples: Annotated[
        bool, typer.Option("--examples", help="Load a year of flights, publish examples/ and materialize them.")
    ] = False,
) -> None:
    """Start the local S3, the API and Dagster, wait until each is healthy, and stay until Ctrl-C."""
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
    files = load([examples_folder(settings)]) if examples else []
    if examples:
        load_flights(settings)
    console.print(f"Starting the stack; its logs go to {stack.log_folder()}", highlight=False)

    def ready() -> None:
        console.print("Healthy.")
        if files:
            with own_key(settings) as key:
                publish(ApiClient(settings, key), files, _teller(console))
        endpoints = wait_for_snapshots(settings, [file.name for file in files], _teller(console))
        if endpoints:
            print_endpoints(endpoints)
        print_addresses(console, settings, endpoints)

    code = stack.run(ready)
    console.print("Stopped.")
    raise typer.Exit(code)


def print_endpoints(endpoints: Sequence[Endpoint]) -> None:
    from endpoints_pipeline.cli.output import print_table
    from endpoints_pipeline.clock import utc_now

    columns = ("endpoint", "frequency", "rows", "bytes", "duration", "age", "address")
    now = utc_now()
    print_table(columns, [_cells(endpoint, now) for endpoint in endpoints], right=columns[2:6])


def _cells(endpoint: Endpoint, now: datetime) -> Sequence[str]:
    from endpoints_pipeline.cli.formats import age_text, bytes_text, duration_text

    snapshot = endpoint.version.snapshot
    materialization = endpoint.version.materialization
    frequency = "not materialized" if endpoint.is_active else "inactive"
    if materialization is not None and materialization.enabled:
        frequency = materialization.sync_frequency or "never"
    address = f"/api/projects/{endpoint.project_id}/endpoints/{endpoint.name}/run"
    if snapshot is None:
        return (endpoint.name, frequency, "", "", "", "", address)
    return (
        endpoint.name,
        frequency,
        f"{snapshot.rows:,}",
        bytes_text(snapshot.bytes),
        duration_text(snapshot.published_at - snapshot.data_at),
        age_text(now - snapshot.published_at),
        address,
    )


def print_addresses(console: Console, settings: Settings, endpoints: Sequence[Endpoint]) -> None:
    base = f"{settings.resolved_public_url}/api/projects/{settings.project_id}/endpoints"
    served = next((endpoint.name for endpoint in endpoints if endpoint.version.snapshot is not None), None)
    lines = [
        f"API      {settings.resolved_public_url}/docs",
        f"Dagster  {settings.resolved_dagster_url}",
        f"S3       {settings.s3_endpoint_url}/{settings.s3_bucket}",
        "",
        key_line(settings),
        f"curl {_KEY_HEADER} '{base}/{served}/run?limit=3'" if served else f"curl {_KEY_HEADER} '{base}'",
        f"curl {_KEY_HEADER} -X POST '{base}/last_execution_times' -H 'Content-Type: application/json' "
        f'-d \'{{"names": ["{served or "NAME"}"]}}\'',
        "",
        "Ctrl-C stops everything.",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def key_line(settings: Settings) -> str:
    """The shell's line that sets ``ENDPOINTS_API_KEY``; on the very first start, to a key that is made for it."""
    from endpoints_pipeline.cli.keys import first_key
    from endpoints_pipeline.cli.session import opened_catalog
    from endpoints_pipeline.clock import utc_now

    with opened_catalog(settings) as catalog:
        secret = first_key(catalog, utc_now())
    if secret:
        return f"export ENDPOINTS_API_KEY={secret}   # shown this once: keep it"
    if settings.api_key.get_secret_value():
        return "# ENDPOINTS_API_KEY is set"
    return "export ENDPOINTS_API_KEY=$(endpoints keys create)   # a new key"


def _teller(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(f"  {text}", highlight=False)
