"""The sensor that records executions: every refresh that ended, from Dagster's event log into the catalog.

It pages through ended runs with cursors of its own, writes idempotently, and moves the cursors only after the write, so
nothing is lost when it is interrupted. To repair: reset the sensor's cursor in the Dagster UI; it then reads the whole
log again, and what is recorded already stays as it is.

A refresh whose process was killed is asked for again, once; one that a run left out, since an endpoint that it reads
failed there, is asked for alone, so that it keeps to its schedule. Every hour it drops executions and their log entries
that are older than ``execution_retention_days``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import MaterializedVersion
from endpoints_pipeline.clock import Clock, utc_now
from endpoints_pipeline.errors import InvalidInput, NotFound
from endpoints_pipeline.orchestration import naming, outcomes
from endpoints_pipeline.orchestration.resources import process_catalog
from endpoints_pipeline.orchestration.state import CatalogState
from endpoints_pipeline.orchestration.upstream import REASON_UPSTREAM
from endpoints_pipeline.settings import Settings

_ENDED = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
_RUNS_PER_TICK = 100
_EVENTS_PER_PAGE = 500
_DROP_EVERY_SECONDS = 3600.0

#: Why a refresh is asked for again after its process died.
REASON_KILLED = "again after a killed run"
#: Why a refresh is asked for that its run left out because one that it reads failed: it is due all the same.
REASON_HELD_UP = "alone after a failure upstream"


def build_recorder_sensor(state: CatalogState, settings: Settings, *, clock: Clock = utc_now) -> dg.SensorDefinition:
    steps = {naming.step_name(version): version for version in state.versions}
    upstream = state.upstream()

    @dg.sensor(
        name="execution_recorder",
        minimum_interval_seconds=settings.sensor_interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records the time, duration, rows and outcome of every refresh; backs last_execution_times.",
    )
    def execution_recorder(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        catalog = process_catalog()
        cursors: dict[str, Any] = json.loads(context.cursor or "{}")
        runs = executions = 0
        for ended in _ENDED:
            cursor: dict[str, str] = cursors.get(ended.value, {})
            page = context.instance.fetch_run_status_changes(
                ended, limit=_RUNS_PER_TICK, cursor=cursor.get("from"), ascending=True
            )
            for record in page.records:
                runs += 1
                executions += record_run(context.instance, catalog, record, steps, upstream)
            # At the log's end the newest page is read once more: PostgreSQL may show a later event before an earlier.
            begin = page.cursor if page.has_more else cursor.get("end")
            cursors[ended.value] = {**({"from": begin} if begin else {}), "end": page.cursor}
        now = clock()
        if now.timestamp() - cursors.get("dropped_at", 0.0) >= _DROP_EVERY_SECONDS:
            oldest = now - timedelta(days=settings.execution_retention_days)
            catalog.executions.drop_before(oldest)
            catalog.logs.drop_before(oldest)
            cursors["dropped_at"] = now.timestamp()
        context.update_cursor(json.dumps(cursors))
        return dg.SkipReason(
            f"Looked at {runs} ended runs, with {executions} refreshes." if runs else "No run ended since."
        )

    return execution_recorder


def record_run(
    instance: dg.DagsterInstance,
    catalog: Catalog,
    ended: dg.EventLogRecord,
    steps: Mapping[str, MaterializedVersion],
    upstream: Mapping[dg.AssetKey, Collection[dg.AssetKey]],
) -> int:
    """Record the refreshes of an ended Dagster run; returns how many there were.

    Args:
        instance: Where the run's events are.
        catalog: Where executions are kept.
        ended: The event by which the run ended.
        steps: What each step refreshes, for steps whose end no event of ours tells of.
        upstream: By asset, the assets of the endpoints that it reads.
    """
    events = list(_events(instance, ended.run_id))
    attempts = catalog.refreshes.running_of(ended.run_id)
    found = [
        *outcomes.cut_off(events, steps, ended),
        *(outcomes.unfinished(attempt, ended) for attempt in attempts),
        *outcomes.finished(events),
    ]
    executions = {execution.id: execution for execution in found}  # the later know better
    catalog.executions.record(list(executions.values()))
    run = instance.get_run_by_id(ended.run_id)
    reason = run.tags.get(naming.TAG_REASON) if run else None
    if run and reason not in (None, REASON_UPSTREAM) and not outcomes.was_cancelled(ended):
        for version in outcomes.held_up(events, steps, upstream, run.asset_selection or ()):
            _ask_alone(catalog, version, outcomes.ended_at(ended))
    # once: a refresh that kills its process, by its need of memory say, would do so for ever
    asks_again = not outcomes.was_cancelled(ended) and reason != REASON_KILLED
    for attempt in attempts:  # after the write: interrupted before, the next look must find them again
        if asks_again:
            catalog.refreshes.request(attempt.version_id, REASON_KILLED, outcomes.ended_at(ended))
        catalog.refreshes.fail(
            attempt.version_id,
            ended.run_id,
            error=outcomes.error_of(ended),
            cancelled=outcomes.was_cancelled(ended),
            now=outcomes.ended_at(ended),
        )
    return len(executions)


def _ask_alone(catalog: Catalog, version: MaterializedVersion, ended_at: datetime) -> None:
    """Ask for a refresh that its run left out, unless one has begun since: a run may be looked at twice."""
    try:
        found = catalog.endpoints.get(version.project_id, version.name, version.version).version
        if found.materialization and (found.materialization.attempt_at or ended_at) <= ended_at:
            catalog.refreshes.request(version.version_id, REASON_HELD_UP, ended_at)
    except (InvalidInput, NotFound):  # switched off since
        return


def _events(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.EventLogEntry]:
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=outcomes.TELLING, limit=_EVENTS_PER_PAGE)
        yield from (record.event_log_entry for record in page.records)
        if not page.has_more:
            return
        cursor = page.cursor
