"""What the catalog hands out: immutable records, one for each word of the glossary. Times are aware, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.query.materialization import ReadPlan
from endpoints_pipeline.query.variables import VariableType


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


class KeyKind(StrEnum):
    """A personal key acts for a person; a project secret key belongs to a project and runs endpoints only."""

    PERSONAL = "personal"
    PROJECT_SECRET = "project_secret"  # noqa: S105 - a kind, not a secret


class RunState(StrEnum):
    """State of a tracked run."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    LOG = "LOG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Project:
    id: int
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    id: int
    uuid: str
    email: str
    first_name: str
    last_name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. ``project_id`` None: every project. ``user`` is the person of a personal key."""

    id: str
    kind: KeyKind
    label: str
    user: User | None
    project_id: int | None
    scopes: tuple[str, ...]
    mask: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Variable:
    """A project's variable: a named, typed parameter that queries use as ``{variables.code_name}``.

    ``values`` are what a list offers to people; no run is held to them.
    """

    id: str
    project_id: int
    name: str
    code_name: str
    type: VariableType
    default_value: Any
    values: tuple[Any, ...] | None
    created_at: datetime
    created_by: User | None
    deleted_at: datetime | None


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
    ``columns`` are those of its Parquet; where the query has variables, ``read_plan`` says how they answer a run.
    """

    id: str
    version_id: str
    sequence: int
    data_at: datetime
    published_at: datetime
    rows: int
    bytes: int
    columns: tuple[Column, ...]
    read_plan: ReadPlan | None
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
    sync_frequency: str | None
    bucket_overrides: Mapping[str, str] | None
    optional_breakdown_properties: tuple[str, ...]
    is_active: bool
    columns: tuple[Column, ...]
    reads: Reads
    variables_obstacle: str | None
    created_at: datetime
    created_by: User | None
    updated_at: datetime
    last_executed_at: datetime | None
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
    display_name: str
    tags: tuple[str, ...]
    created_at: datetime
    created_by: User | None
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
    reads: Reads


@dataclass(frozen=True, slots=True)
class Attempt:
    """A refresh that has begun: what to compute, and the pointer that must not have moved when it publishes.

    ``variables`` are the types of the query's variables by code name.
    """

    id: str
    project_id: int
    endpoint_id: str
    name: str
    version_id: str
    version: int
    sql: str
    variables: Mapping[str, VariableType]
    bucket_overrides: Mapping[str, str]
    reads: Reads
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


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line of an endpoint's log; ``instance_id`` is the execution's id. Never holds a variable's value."""

    endpoint_id: str
    instance_id: str
    timestamp: datetime
    level: LogLevel
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running query has come, by the engine's own count."""

    rows_read: int = 0
    bytes_read: int = 0
    estimated_rows: int = 0
    cpu_ms: int = 0
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run whose state can be asked for and that can be cancelled while it goes on, by any process.

    ``id`` is the caller's ``client_query_id`` or one of ours; ``result_key`` is where the answer of an asynchronous run
    lies on S3 once it is complete.
    """

    project_id: int
    id: str
    endpoint_id: str
    execution_id: str
    is_async: bool
    state: RunState
    error: str | None
    started_at: datetime
    picked_up_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime
    heartbeat_at: datetime
    cancel_requested: bool
    progress: Progress
    result_key: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One field's difference in an activity."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Activity:
    """What was changed, by whom; ``user`` None: the system did it (contract 5.5)."""

    id: str
    project_id: int
    scope: str
    item_id: str
    activity: str
    name: str
    changes: tuple[Change, ...]
    context: Mapping[str, Any]
    user: User | None
    created_at: datetime
