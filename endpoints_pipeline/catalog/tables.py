"""The catalog's tables. ``records.py`` holds what the rest of the package sees of them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from endpoints_pipeline.catalog.database import UtcDateTime

Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


class JsonText(sa.TypeDecorator[Any]):
    """A JSON value kept as it is written.

    The databases' own types would read a number anew: JSONB makes 1e16 an integer, and SQLite makes a large integer a
    double.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    type_annotation_map = {
        datetime: UtcDateTime(),
        dict[str, Any]: Json,
        list[Any]: Json,
        int: sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        str: sa.Text(),
    }
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ProjectRow(Base):
    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    created_at: Mapped[datetime]


class UserRow(Base):
    """A person, as far as keys and authorship need one."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str] = mapped_column(unique=True)
    first_name: Mapped[str]
    last_name: Mapped[str]
    created_at: Mapped[datetime]


class ApiKeyRow(Base):
    """A key to the API. Only the hash of its secret is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    label: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    #: None: every project.
    project_id: Mapped[int | None] = mapped_column(sa.ForeignKey("projects.id"))
    scopes: Mapped[list[Any]]
    secret_hash: Mapped[str] = mapped_column(unique=True)
    mask: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    user: Mapped[UserRow | None] = relationship()


class VariableRow(Base):
    """A project's variable. A deleted one keeps its row: versions that were published with it go on working."""

    __tablename__ = "variables"
    __table_args__ = (
        sa.Index(
            "ix_variables_live_code_name",
            "project_id",
            "code_name",
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(sa.ForeignKey("projects.id"))
    name: Mapped[str]
    code_name: Mapped[str]
    type: Mapped[str]
    default_value: Mapped[Any | None] = mapped_column(JsonText)
    #: What a list offers to people; no run is held to it.
    options: Mapped[list[Any] | None] = mapped_column(JsonText)
    created_at: Mapped[datetime]
    created_by_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    deleted_at: Mapped[datetime | None]

    created_by: Mapped[UserRow | None] = relationship()


class EndpointRow(Base):
    __tablename__ = "endpoints"
    __table_args__ = (
        sa.Index(
            "ix_endpoints_live_name",
            "project_id",
            "name",
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(sa.ForeignKey("projects.id"))
    name: Mapped[str]
    is_active: Mapped[bool]
    current_version: Mapped[int]
    derived_from_insight: Mapped[str | None]
    display_name: Mapped[str]
    tags: Mapped[list[Any]]
    created_at: Mapped[datetime]
    created_by_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    created_by: Mapped[UserRow | None] = relationship()


class VersionRow(Base):
    __tablename__ = "versions"
    __table_args__ = (sa.UniqueConstraint("endpoint_id", "version"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(sa.ForeignKey("endpoints.id"), index=True)
    version: Mapped[int]
    query: Mapped[dict[str, Any]]
    sql: Mapped[str]
    description: Mapped[str]
    data_freshness_seconds: Mapped[int]
    cache_age_seconds: Mapped[int | None]
    #: The word as it was given; None where the freshness was given in seconds.
    sync_frequency: Mapped[str | None]
    bucket_overrides: Mapped[dict[str, Any] | None]
    optional_breakdown_properties: Mapped[list[Any]]
    is_active: Mapped[bool]
    columns: Mapped[list[Any]]
    #: What the query reads, found when it was saved.
    reads: Mapped[dict[str, Any]]
    #: Why no snapshot can answer all values of its variables, found when it was saved.
    variables_obstacle: Mapped[str | None]
    created_at: Mapped[datetime]
    created_by_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    updated_at: Mapped[datetime]

    created_by: Mapped[UserRow | None] = relationship()


class MaterializationRow(Base):
    """Desired state (``enabled``, ``sync_frequency``) beside actual state (``snapshot_id`` and the last attempt)."""

    __tablename__ = "materializations"

    version_id: Mapped[str] = mapped_column(sa.ForeignKey("versions.id"), primary_key=True)
    enabled: Mapped[bool] = mapped_column(index=True)
    sync_frequency: Mapped[str | None]
    snapshot_id: Mapped[str | None]
    sequence: Mapped[int]
    status: Mapped[str]
    error: Mapped[str]
    attempt_id: Mapped[str | None]
    attempt_at: Mapped[datetime | None]
    attempt_dagster_run_id: Mapped[str | None]
    updated_at: Mapped[datetime]


class SnapshotRow(Base):
    __tablename__ = "snapshots"
    __table_args__ = (sa.UniqueConstraint("version_id", "sequence"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[str] = mapped_column(sa.ForeignKey("versions.id"), index=True)
    sequence: Mapped[int]
    data_at: Mapped[datetime]
    published_at: Mapped[datetime]
    rows: Mapped[int]
    bytes: Mapped[int]
    columns: Mapped[list[Any]]
    #: How runs read it, where its query has variables.
    read_plan: Mapped[Any | None] = mapped_column(JsonText)
    query_hash: Mapped[str]
    engine_version: Mapped[str]
    dagster_run_id: Mapped[str | None]
    reason: Mapped[str]


class PartRow(Base):
    __tablename__ = "parts"

    snapshot_id: Mapped[str] = mapped_column(sa.ForeignKey("snapshots.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    rows: Mapped[int]
    bytes: Mapped[int]
    row_groups: Mapped[int]
    etag: Mapped[str]


class RefreshRequestRow(Base):
    __tablename__ = "refresh_requests"

    id: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[str] = mapped_column(sa.ForeignKey("versions.id"), index=True)
    reason: Mapped[str]
    requested_at: Mapped[datetime]
    launched_at: Mapped[datetime | None] = mapped_column(index=True)


class ExecutionRow(Base):
    __tablename__ = "executions"
    __table_args__ = (
        sa.Index("ix_executions_endpoint_id_started_at", "endpoint_id", "started_at"),
        sa.Index("ix_executions_started_at", "started_at"),
    )

    #: A caller's run: its execution id. A refresh: ``dagster run/asset/partition/outcome``, so that recording the same
    #: event twice keeps one row.
    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(sa.ForeignKey("endpoints.id"))
    version: Mapped[int]
    kind: Mapped[str]
    path: Mapped[str | None]
    outcome: Mapped[str]
    started_at: Mapped[datetime]
    duration_ms: Mapped[int | None]
    rows: Mapped[int | None]
    bytes: Mapped[int | None]
    error: Mapped[str | None]
    snapshot_id: Mapped[str | None]
    dagster_run_id: Mapped[str | None]


class LastExecutionRow(Base):
    """The newest execution of each version and kind: what is read instead of the whole log."""

    __tablename__ = "last_executions"

    endpoint_id: Mapped[str] = mapped_column(sa.ForeignKey("endpoints.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    execution_id: Mapped[str]


class LogEntryRow(Base):
    """A line of an endpoint's execution log (contract 1.14)."""

    __tablename__ = "log_entries"
    __table_args__ = (
        sa.Index("ix_log_entries_endpoint_id_timestamp", "endpoint_id", "timestamp"),
        sa.Index("ix_log_entries_timestamp", "timestamp"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(sa.ForeignKey("endpoints.id"))
    instance_id: Mapped[str]
    timestamp: Mapped[datetime]
    level: Mapped[str]
    message: Mapped[str]


class TrackedRunRow(Base):
    """A run whose state can be asked for and that can be cancelled while it goes on, by any process."""

    __tablename__ = "tracked_runs"

    project_id: Mapped[int] = mapped_column(sa.ForeignKey("projects.id"), primary_key=True, autoincrement=False)
    #: The caller's ``client_query_id``, or one that we made.
    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(sa.ForeignKey("endpoints.id"))
    execution_id: Mapped[str]
    is_async: Mapped[bool]
    state: Mapped[str] = mapped_column(index=True)
    error: Mapped[str | None]
    started_at: Mapped[datetime]
    picked_up_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    #: When its process last said that it is at it.
    heartbeat_at: Mapped[datetime]
    cancel_requested: Mapped[bool]
    rows_read: Mapped[int]
    bytes_read: Mapped[int]
    estimated_rows: Mapped[int]
    cpu_ms: Mapped[int]
    elapsed_ms: Mapped[int]
    #: Where its answer lies on S3.
    result_key: Mapped[str | None]


class ActivityRow(Base):
    """What was changed, by whom (contract 5.5)."""

    __tablename__ = "activities"
    __table_args__ = (
        sa.Index("ix_activities_project_id_scope_item_id", "project_id", "scope", "item_id"),
        sa.Index("ix_activities_created_at", "created_at"),
    )

    #: The order in which they were written: those of one update have the same time.
    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    project_id: Mapped[int] = mapped_column(sa.ForeignKey("projects.id"))
    scope: Mapped[str]
    item_id: Mapped[str]
    activity: Mapped[str]
    detail: Mapped[dict[str, Any]]
    #: None: the system did it.
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    created_at: Mapped[datetime]

    user: Mapped[UserRow | None] = relationship()


class RevisionRow(Base):
    """One row whose number grows with every change that Dagster's definitions depend on."""

    __tablename__ = "definitions_revision"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int]
