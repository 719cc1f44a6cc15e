"""One schedule for each ``sync_frequency`` in use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import dagster as dg

from endpoints_pipeline.frequency import PERIODS
from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.orchestration.due import busy_assets, cron_of, is_due, run_requests
from endpoints_pipeline.orchestration.resources import process_catalog
from endpoints_pipeline.orchestration.state import CatalogState
from endpoints_pipeline.settings import Settings


def build_schedules(state: CatalogState, settings: Settings) -> Sequence[dg.ScheduleDefinition]:
    """The schedules, each over the assets that these definitions tag with its frequency.

    The catalog may have moved a version to another frequency since: the watcher's reload brings it to that schedule.
    """
    keys: dict[str, dict[str, dg.AssetKey]] = {}
    for version in state.versions:
        if version.sync_frequency in PERIODS:
            keys.setdefault(version.sync_frequency, {})[version.version_id] = naming.asset_key(version)
    upstream = state.upstream()
    return [_schedule(frequency, keys[frequency], upstream, settings) for frequency in PERIODS if frequency in keys]


def _schedule(
    frequency: str,
    keys: Mapping[str, dg.AssetKey],
    upstream: Mapping[dg.AssetKey, Collection[dg.AssetKey]],
    settings: Settings,
) -> dg.ScheduleDefinition:
    spread = settings.schedule_spread

    @dg.schedule(
        name=f"refresh_{frequency}",
        cron_schedule=cron_of(frequency, spread=spread),
        execution_timezone="UTC",
        target=dg.AssetSelection.tag(naming.TAG_SYNC_FREQUENCY, frequency),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Refreshes the endpoints with sync_frequency {frequency} that are due and not being refreshed.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        tick = context.scheduled_execution_time
        due = [
            keys[materialization.version_id]
            for materialization in process_catalog().refreshes.materializations(frequency)
            if materialization.version_id in keys and is_due(materialization, frequency, tick, spread=spread)
        ]
        if not due:
            yield dg.SkipReason("No endpoint is due.")
            return
        busy = busy_assets(context.instance)
        ready = [key for key in due if key not in busy]
        if not ready:
            yield dg.SkipReason(f"Each of the {len(due)} endpoints that are due is being refreshed already.")
            return
        yield from run_requests(
            ready,
            upstream=upstream,
            endpoints_per_run=settings.endpoints_per_run,
            run_key=f"{frequency}:{tick.isoformat()}",
            reason="schedule",
            tags={naming.TAG_SYNC_FREQUENCY: frequency},
        )

    return schedule
