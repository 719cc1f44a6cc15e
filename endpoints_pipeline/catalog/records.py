"""What the catalog hands out: immutable records, one for each word of the glossary. Times are aware, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from endpoints_pipeline.query.columns import Column


class RefreshStatus(StrEnum):
    """State of a version's newest refresh, in the contract's words (1.18)."""

    UNKNOWN = "Unknown"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class ExecutionKind(StrEnum):
    RUN = "run"
    REFRESH = "refresh"


class Outcome(StrEnum):
    SUCCESS = "success"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet object of a snapshot; ``key`` is relative to the bucket."""

    key: str
    rows: int
    bytes: int
    row_groups: int
    etag: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable published result.

    ``data_at`` is when its query began, so the data is at least that new; ``published_at`` when it became visible.
    """

    id: str
    version_id: str
    sequence: int
    data_at: datetime
    published_at: datetime
    rows: int
    bytes: int
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    query_hash: str
    engine_version: str
    dagster_run_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Materialization:
    """The wish to keep a version as a snapshot, and how far that has come."""

    version_id: str
    enabled: bool
    sync_frequency: str | None
    snapshot_id: str | None
    status: RefreshStatus
    error: str
    attempt_id: str | None
    attempt_at: datetime | None
    attempt_dagster_run_id: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable query text of an endpoint with its own settings."""

    id: str
    endpoint_id: str
    version: int
    query: Mapping[str, Any]
    sql: str
    description: str
    data_freshness_seconds: int
    cache_age_seconds: int | None
    is_active: bool
    columns: tuple[Column, ...]
    created_at: datetime
    updated_at: datetime
    materialization: Materialization | None
    snapshot: Snapshot | None

    @property
    def is_materialized(self) -> bool:
        """Desired state: someone wants a snapshot of this version."""
        return self.materialization is not None and self.materialization.enabled


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A named query of a project, with the version it was asked for (the current one unless said otherwise)."""

    id: str
    project_id: int
    name: str
    is_active: bool
    current_version: int
    derived_from_insight: str | None
    created_at: datetime
    updated_at: datetime
    version: Version
    last_executed_at: datetime | None


@dataclass(frozen=True, slots=True)
class MaterializedVersion:
    """All that Dagster needs to know of one version that it keeps as a snapshot."""

    project_id: int
    endpoint_id: str
    name: str
    version_id: str
    version: int
    is_current: bool
    sql: str
    description: str
    sync_frequency: str | None
    data_freshness_seconds: int
    query_hash: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A refresh that has begun: what to compute, and the pointer that must not have moved when it publishes."""

    id: str
    project_id: int
    endpoint_id: str
    name: str
    version_id: str
    version: int
    sql: str
    query_hash: str
    expected_snapshot_id: str | None
    began_at: datetime
    dagster_run_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    id: str
    version_id: str
    reason: str
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class Execution:
    """The record that a run or a refresh happened."""

    id: str
    endpoint_id: str
    version: int
    kind: ExecutionKind
    outcome: Outcome
    started_at: datetime
    duration_ms: int | None = None
    rows: int | None = None
    bytes: int | None = None
    path: str | None = None
    error: str | None = None
    snapshot_id: str | None = None
    dagster_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class LastExecution:
    """The newest execution of an endpoint, and whether a caller's run or a refresh it was."""

    name: str
    started_at: datetime
    kind: ExecutionKind
