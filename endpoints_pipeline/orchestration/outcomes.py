"""What the events of an ended Dagster run tell of its refreshes, as executions. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import ValidationError

from endpoints_pipeline.catalog.records import Attempt, Execution, ExecutionKind, MaterializedVersion, Outcome
from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.orchestration.metadata import EndpointMetadataSet

#: The events that ``finished`` and ``cut_off`` look at.
TELLING = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
}
_ENDED_EARLY = "The Dagster run ended before the refresh did."
_CANCELLED = "The Dagster run was cancelled."


def finished(events: Iterable[dg.EventLogEntry]) -> Iterator[Execution]:
    """The refreshes that events of ours tell of: snapshots published, and failures."""
    for event in events:
        metadata, error = _told(event)
        found = _extract(metadata)
        if found is None or found.endpoint_id is None or found.version is None or found.began_at is None:
            continue
        rows = metadata.get("dagster/row_count")
        yield Execution(
            id=_id(event.run_id, found.version_id),
            endpoint_id=found.endpoint_id,
            version=found.version,
            kind=ExecutionKind.REFRESH,
            outcome=Outcome.SUCCESS if error is None else Outcome.ERROR,
            started_at=_time(found.began_at),
            duration_ms=round((event.timestamp - found.began_at) * 1000),
            rows=rows.value if isinstance(rows, dg.IntMetadataValue) else None,
            bytes=found.bytes,
            error=error,
            snapshot_id=found.snapshot_id,
            dagster_run_id=event.run_id,
        )


def cut_off(
    events: Iterable[dg.EventLogEntry], steps: Mapping[str, MaterializedVersion], ended: dg.EventLogRecord
) -> Iterator[Execution]:
    """The refreshes whose step began and was cancelled, killed, or broken by an error that isn't ours.

    Args:
        events: The run's events.
        steps: What each step refreshes: Dagster's own events don't tell.
        ended: The event by which the run ended.
    """
    began: dict[str, float] = {}
    errors: dict[str, str] = {}
    for event in events:
        happened, step_key = event.dagster_event, event.step_key
        if happened is None or step_key is None or step_key not in steps:
            continue
        if happened.event_type is dg.DagsterEventType.STEP_START:
            began.setdefault(step_key, event.timestamp)
        elif happened.is_step_failure:
            errors[step_key] = _cause(happened.step_failure_data.error)
        else:
            began.pop(step_key, None)
    for step_key, began_at in began.items():
        version = steps[step_key]
        error = error_of(ended) if was_cancelled(ended) else errors.get(step_key) or error_of(ended)
        yield _failed(ended, version.endpoint_id, version.version_id, version.version, _time(began_at), error)


def unfinished(attempt: Attempt, ended: dg.EventLogRecord) -> Execution:
    """The execution of an attempt that the catalog believes to be under way, though its run has ended."""
    return _failed(ended, attempt.endpoint_id, attempt.version_id, attempt.version, attempt.began_at, error_of(ended))


def held_up(
    events: Iterable[dg.EventLogEntry],
    steps: Mapping[str, MaterializedVersion],
    upstream: Mapping[dg.AssetKey, Collection[dg.AssetKey]],
    selected: Collection[dg.AssetKey],
) -> Iterator[MaterializedVersion]:
    """The versions whose step never began, in a run that was to refresh what they read before them.

    Dagster leaves a step out when one before it fails, or ends without a materialization.
    """
    began = {event.step_key for event in events if event.dagster_event_type is dg.DagsterEventType.STEP_START}
    for step_key, version in steps.items():
        key = naming.asset_key(version)
        if key in selected and step_key not in began and any(read in selected for read in upstream.get(key, ())):
            yield version


def was_cancelled(ended: dg.EventLogRecord) -> bool:
    return ended.event_log_entry.dagster_event_type is dg.DagsterEventType.RUN_CANCELED


def error_of(ended: dg.EventLogRecord) -> str:
    """Why a refresh failed of which only its run's end is known."""
    return _CANCELLED if was_cancelled(ended) else _ENDED_EARLY


def ended_at(ended: dg.EventLogRecord) -> datetime:
    return _time(ended.timestamp)


def _failed(
    ended: dg.EventLogRecord, endpoint_id: str, version_id: str, version: int, started_at: datetime, error: str
) -> Execution:
    return Execution(
        id=_id(ended.run_id, version_id),
        endpoint_id=endpoint_id,
        version=version,
        kind=ExecutionKind.REFRESH,
        outcome=Outcome.ERROR,
        started_at=started_at,
        duration_ms=round((ended_at(ended) - started_at).total_seconds() * 1000),
        error=error,
        dagster_run_id=ended.run_id,
    )


def _told(event: dg.EventLogEntry) -> tuple[Mapping[str, Any], str | None]:
    """An event's metadata, and the error if it tells of one."""
    if event.asset_materialization is not None:
        return event.asset_materialization.metadata, None
    if event.dagster_event is not None and event.dagster_event.is_step_failure:
        failure = event.dagster_event.step_failure_data.user_failure_data
        return (failure.metadata, failure.description or "") if failure else ({}, "")
    return {}, None


def _extract(metadata: Mapping[str, Any]) -> EndpointMetadataSet | None:
    try:
        return EndpointMetadataSet.extract(metadata)
    except ValidationError:  # someone else's values under our keys
        return None


def _cause(error: Any) -> str:
    """The message of what was raised, below the errors that Dagster wraps around it."""
    while error is not None and (error.cls_name or "").startswith(("Dagster", "RetryRequested")):
        error = error.cause
    return str(error.message).strip() if error is not None else ""


def _time(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def _id(run_id: str, version_id: str | None) -> str:
    return f"{run_id}/{version_id}"
