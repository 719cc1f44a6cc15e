"""The sensor that records executions: every refresh that ended, from Dagster's event log into the catalog.

It pages through ended runs with cursors of its own, writes idempotently, and moves the cursors only after the write, so
nothing is lost when it is interrupted. To repair: reset the sensor's cursor in the Dagster UI; it then reads the whole
log again, and what is recorded already stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Execution, ExecutionKind, Outcome
from endpoints_pipeline.clock import Clock, utc_now
from endpoints_pipeline.orchestration.metadata import EndpointMetadataSet
from endpoints_pipeline.orchestration.resources import process_catalog
from endpoints_pipeline.settings import Settings

_ENDED = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
_RUNS_PER_TICK = 100
_EVENTS_PER_PAGE = 500


def build_recorder_sensor(settings: Settings, *, clock: Clock = utc_now) -> dg.SensorDefinition:
    @dg.sensor(
        name="execution_recorder",
        minimum_interval_seconds=settings.sensor_interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records the time, duration, rows and outcome of every refresh; backs last_execution_times.",
    )
    def execution_recorder(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        catalog = process_catalog()
        cursors: dict[str, str | None] = json.loads(context.cursor or "{}")
        recorded = 0
        for ended in _ENDED:
            page = context.instance.fetch_run_status_changes(
                ended, limit=_RUNS_PER_TICK, cursor=cursors.get(ended.value), ascending=True
            )
            for record in page.records:
                recorded += record_run(context.instance, catalog, record.run_id, clock())
            cursors[ended.value] = page.cursor
        context.update_cursor(json.dumps(cursors))
        return dg.SkipReason(f"Recorded {recorded} executions." if recorded else "No refresh ended since.")

    return execution_recorder


def record_run(instance: dg.DagsterInstance, catalog: Catalog, run_id: str, now: datetime) -> int:
    """Record the refreshes of an ended Dagster run; returns how many executions that are."""
    executions = [
        execution for event in _events(instance, run_id) if (execution := _execution(event, run_id)) is not None
    ]
    for attempt in catalog.refreshes.running_of(run_id):
        # the process died: no event tells of it, only the catalog still believes in the attempt
        error = "The Dagster run ended before the refresh did."
        executions.append(
            Execution(
                id=f"{run_id}/{attempt.version_id}",
                endpoint_id=attempt.endpoint_id,
                version=attempt.version,
                kind=ExecutionKind.REFRESH,
                outcome=Outcome.ERROR,
                started_at=attempt.began_at,
                duration_ms=round((now - attempt.began_at).total_seconds() * 1000),
                error=error,
                dagster_run_id=run_id,
            )
        )
        catalog.refreshes.fail(attempt.version_id, run_id, error=error, cancelled=False, now=now)
    catalog.executions.record(executions)
    return len(executions)


def _events(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.EventLogEntry]:
    wanted = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.STEP_FAILURE}
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=wanted, limit=_EVENTS_PER_PAGE)
        yield from (record.event_log_entry for record in page.records)
        if not page.has_more:
            return
        cursor = page.cursor


def _execution(event: dg.EventLogEntry, run_id: str) -> Execution | None:
    """The execution that an event tells of; None for assets that aren't ours."""
    happened = event.dagster_event
    if happened is None:
        return None
    if happened.event_type is dg.DagsterEventType.STEP_FAILURE:
        failure = happened.step_failure_data.user_failure_data
        values = _plain(failure.metadata) if failure else {}
        error = failure.description if failure else None
    else:
        materialization = event.asset_materialization
        values = _plain(materialization.metadata) if materialization else {}
        error = None
    found = EndpointMetadataSet.extract(values)
    if found.endpoint_id is None or found.version is None or found.began_at is None:
        return None
    ended_at = event.timestamp
    return Execution(
        id=f"{run_id}/{found.version_id}",
        endpoint_id=found.endpoint_id,
        version=found.version,
        kind=ExecutionKind.REFRESH,
        outcome=Outcome.ERROR if happened.event_type is dg.DagsterEventType.STEP_FAILURE else Outcome.SUCCESS,
        started_at=datetime.fromtimestamp(found.began_at, UTC),
        duration_ms=round((ended_at - found.began_at) * 1000),
        rows=values.get("dagster/row_count"),
        bytes=found.bytes,
        error=error,
        snapshot_id=found.snapshot_id,
        dagster_run_id=run_id,
    )


def _plain(metadata: Any) -> dict[str, Any]:
    return {key: value.value for key, value in metadata.items()}
