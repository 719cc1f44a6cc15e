"""The status object of runs that can be followed, in the seed's shape (contract 4, 10.12)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from endpoints_pipeline.catalog.records import RunState, TrackedRun


class QueryProgress(BaseModel):
    active_cpu_time: int = Field(description="Microseconds.")
    bytes_read: int
    estimated_rows_total: int
    rows_read: int
    time_elapsed: float = Field(description="Seconds.")


class QueryStatus(BaseModel):
    """A run's state. Keys that are always null are there for the original's clients."""

    complete: bool = Field(description="Nothing more will happen.")
    dashboard_id: int | None = None
    end_time: datetime | None = None
    error: bool = Field(False, description="It failed, or was cancelled.")
    error_message: str | None = None
    expiration_time: datetime | None = Field(None, description="Until when the answer is kept.")
    id: str
    insight_id: int | None = None
    labels: list[str] | None = None
    pickup_time: datetime | None = Field(None, description="When computing began.")
    query_async: bool = True
    query_progress: QueryProgress | None = None
    results: Any = Field(None, description="The run's answer, once it is complete.")
    start_time: datetime | None = None
    task_id: str | None = None
    team_id: int


def query_status(run: TrackedRun) -> QueryStatus:
    """The status of a run, without its results."""
    progress = run.progress
    return QueryStatus(
        complete=run.state is not RunState.RUNNING,
        end_time=run.ended_at,
        error=run.state in (RunState.FAILED, RunState.CANCELLED),
        error_message=run.error,
        expiration_time=run.expires_at,
        id=run.id,
        pickup_time=run.picked_up_at,
        query_async=run.is_async,
        query_progress=QueryProgress(
            active_cpu_time=progress.cpu_ms * 1000,
            bytes_read=progress.bytes_read,
            estimated_rows_total=progress.estimated_rows,
            rows_read=progress.rows_read,
            time_elapsed=progress.elapsed_ms / 1000,
        ),
        start_time=run.started_at,
        team_id=run.project_id,
    )
