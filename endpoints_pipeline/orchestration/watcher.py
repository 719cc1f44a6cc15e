"""The sensor that brings catalog changes into the running code location, by itself.

It compares the catalog's revision with the one that these definitions were built from and, when they differ, asks
Dagster's webserver to refresh the component's state; Dagster then reloads the location.

To repair: reset the sensor's cursor in the Dagster UI. It then takes the catalog as it is, also one that went back to
an earlier revision (restored from a backup, or emptied on purpose).
"""

from __future__ import annotations

import dagster as dg

from endpoints_pipeline.clock import Clock, utc_now
from endpoints_pipeline.errors import DagsterUnavailable
from endpoints_pipeline.orchestration.dagster_client import DagsterClient
from endpoints_pipeline.orchestration.resources import process_catalog
from endpoints_pipeline.orchestration.state import CatalogState
from endpoints_pipeline.settings import Settings

_TRY_AGAIN_SECONDS = 30.0


def build_watcher_sensor(
    state: CatalogState, state_key: str, settings: Settings, *, clock: Clock = utc_now
) -> dg.SensorDefinition:
    @dg.sensor(
        name="catalog_watcher",
        minimum_interval_seconds=settings.sensor_interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reloads this code location when endpoints were added, changed or removed.",
    )
    def catalog_watcher(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        revision = process_catalog().refreshes.revision()
        if revision == state.revision:
            context.update_cursor(f"{revision}:0")
            return dg.SkipReason(f"The definitions are those of catalog revision {revision}.")
        now = clock().timestamp()
        asked, asked_at = _parse(context.cursor)
        if asked == revision and now - asked_at < _TRY_AGAIN_SECONDS:
            return dg.SkipReason(f"Waiting for Dagster to load catalog revision {revision}.")
        if revision < state.revision and context.cursor:
            return dg.SkipReason(
                f"The catalog is at revision {revision}, behind the definitions' {state.revision}: it was restored or "
                "emptied, so the assets stay as they are. If that is what you want, reset this sensor's cursor."
            )
        try:
            DagsterClient(settings).refresh_component_state(state_key)
        except DagsterUnavailable as error:
            stays = f"The definitions stay at catalog revision {state.revision}."
            return dg.SkipReason(f"{str(error).rstrip('.')}. {stays}")
        context.update_cursor(f"{revision}:{now}")
        return dg.SkipReason(f"Asked Dagster to load catalog revision {revision}.")

    return catalog_watcher


def _parse(cursor: str | None) -> tuple[int, float]:
    revision, _, asked_at = (cursor or "-1:0").partition(":")
    return int(revision), float(asked_at or 0)
