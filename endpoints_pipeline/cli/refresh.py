"""``endpoints refresh``: ask for a new snapshot, and wait for it if wanted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from endpoints_pipeline.cli.output import AsJson, print_json
from endpoints_pipeline.errors import DagsterUnavailable, EndpointsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from endpoints_pipeline.catalog.records import Endpoint, Materialization, Snapshot

_TICK = 0.5


class RefreshFailed(EndpointsError):
    """The refresh that was asked for failed; what was published before is still served."""


def refresh(
    name: Annotated[str, typer.Argument(help="The endpoint's name.")],
    version: Annotated[int | None, typer.Option(min=1, help="Refresh this version instead of the current one.")] = None,
    wait: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Wait for the new snapshot, this long at most.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask Dagster for a new snapshot of an endpoint.

    It begins as soon as Dagster can. Should it fail while we wait, the exit code is 1; Dagster may try again.
    """
    from endpoints_pipeline.cli.session import begin, opened_catalog
    from endpoints_pipeline.clock import utc_now

    settings = begin()
    with opened_catalog(settings) as catalog:
        before = catalog.endpoints.get(settings.project_id, name, version)

        def look() -> Endpoint:
            return catalog.endpoints.get(settings.project_id, name, before.version.version)

        catalog.refreshes.request(before.version.id, "requested", utc_now())
        snapshot = None if wait is None else wait_for_snapshot(look, before, wait)
    if as_json:
        print_json({"name": name, "version": before.version.version, "snapshot": _facts(snapshot)})
    elif snapshot is None:
        typer.echo(f"Requested: a new snapshot of '{name}' version {before.version.version}.")
    else:
        typer.echo(f"'{name}' version {before.version.version} has a new snapshot of {snapshot.rows:,} rows.")


def wait_for_snapshot(
    look: Callable[[], Endpoint],
    before: Endpoint,
    timeout: float,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Snapshot:
    """Look until a newer snapshot than before is published.

    Args:
        look: Gives the endpoint as it is now.
        before: The endpoint as it was before the refresh was asked for.
        timeout: Seconds.
        monotonic: Seconds on a clock that never goes back.
        sleep: Waits for a number of seconds.

    Raises:
        RefreshFailed: An attempt that began since then failed.
        DagsterUnavailable: There was no newer snapshot in time.
    """
    deadline = monotonic() + timeout
    while True:
        now = look().version
        if now.snapshot is not None and now.snapshot != before.version.snapshot:
            return now.snapshot
        if not now.is_materialized:
            raise RefreshFailed(f"'{before.name}' is no longer materialized.")
        has_begun = _attempt(now.materialization) != _attempt(before.version.materialization)
        if has_begun and now.materialization is not None and now.materialization.status in ("Failed", "Cancelled"):
            wish = now.materialization
            raise RefreshFailed(f"The refresh of '{before.name}' {wish.status.lower()}: {wish.error}")
        if monotonic() >= deadline:
            reason = "it is still under way" if has_begun else "Dagster hasn't begun it, is it running?"
            raise DagsterUnavailable(f"No new snapshot of '{before.name}' within {timeout:g} s: {reason}")
        sleep(_TICK)


def _attempt(materialization: Materialization | None) -> str | None:
    return materialization.attempt_id if materialization else None


def _facts(snapshot: Snapshot | None) -> dict[str, object] | None:
    if snapshot is None:
        return None
    return {"id": snapshot.id, "published_at": snapshot.published_at, "rows": snapshot.rows, "bytes": snapshot.bytes}
