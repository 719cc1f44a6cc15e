"""The sensor that turns refresh requests of the catalog into Dagster runs.

A request waits in the catalog until a refresh of its version begins, so a run that never got that far is asked for
again. To repair: nothing has to be reset; the cursor only spaces out repeated tries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg

from endpoints_pipeline.clock import Clock, utc_now
from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.orchestration.due import busy_assets, run_requests
from endpoints_pipeline.orchestration.resources import process_catalog
from endpoints_pipeline.orchestration.state import CatalogState
from endpoints_pipeline.settings import Settings

_TRY_AGAIN_SECONDS = 60.0


def build_requests_sensor(state: CatalogState, settings: Settings, *, clock: Clock = utc_now) -> dg.SensorDefinition:
    keys = {version.version_id: naming.asset_key(version) for version in state.versions}
    upstream = state.upstream()

    @dg.sensor(
        name="refresh_requests",
        target=dg.AssetSelection.assets(*keys.values()),
        minimum_interval_seconds=settings.sensor_interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs refreshes that someone asked for: first materializations, `endpoints refresh`, the API.",
    )
    def refresh_requests(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        waiting = [request for request in process_catalog().refreshes.waiting_requests() if request.version_id in keys]
        now = clock().timestamp()
        tried: dict[str, float] = json.loads(context.cursor or "{}")
        tried = {request.id: tried[request.id] for request in waiting if request.id in tried}
        busy = busy_assets(context.instance) if waiting else set()
        idle = [request for request in waiting if keys[request.version_id] not in busy]
        ready = [request for request in idle if now - tried.get(request.id, 0.0) >= _TRY_AGAIN_SECONDS]
        context.update_cursor(json.dumps({**tried, **{request.id: now for request in ready}}))
        if not ready:
            yield dg.SkipReason(
                f"{len(waiting)} requests wait: {len(waiting) - len(idle)} for a Dagster run of their endpoint under "
                f"way, {len(idle)} were tried less than a minute ago."
                if waiting
                else "No request waits."
            )
            return
        for reason in sorted({request.reason for request in ready}):
            yield from run_requests(
                list(dict.fromkeys(keys[request.version_id] for request in ready if request.reason == reason)),
                upstream=upstream,
                endpoints_per_run=settings.endpoints_per_run,
                run_key=f"request:{now}:{reason}",
                reason=reason,
                tags={},
            )

    return refresh_requests
