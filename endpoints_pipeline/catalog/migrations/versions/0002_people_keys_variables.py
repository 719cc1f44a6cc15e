"""People, keys, variables, the activity log, log entries and tracked runs; executions of each version"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from endpoints_pipeline.catalog.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_TIME = UtcDateTime(timezone=True)
_IS_LIVE = sa.text("deleted_at IS NULL")

# The word that follows from a freshness, as it was when this migration was written.
_FREQUENCY_OF_FRESHNESS = """
    CASE WHEN versions.data_freshness_seconds < 900 THEN '5min'
         WHEN versions.data_freshness_seconds < 1800 THEN '15min'
         WHEN versions.data_freshness_seconds < 3600 THEN '30min'
         WHEN versions.data_freshness_seconds < 7200 THEN '1hour'
         WHEN versions.data_freshness_seconds < 14400 THEN '2hour'
         WHEN versions.data_freshness_seconds < 21600 THEN '4hour'
         WHEN versions.data_freshness_seconds < 43200 THEN '6hour'
         WHEN versions.data_freshness_seconds < 86400 THEN '12hour'
         WHEN versions.data_freshness_seconds < 604800 THEN '24hour'
         WHEN versions.data_freshness_seconds < 2592000 THEN '7day'
         ELSE '30day' END
"""


def upgrade() -> None:
    _create_people_and_keys()
    _create_variables()
    _create_activities()
    _create_log_entries()
    _create_tracked_runs()
    _extend_endpoints_and_versions()
    _rebuild_last_executions()


def downgrade() -> None:
    raise NotImplementedError("revision 0001 has no place for what 0002 holds: go back to a copy of the database")


def _create_people_and_keys() -> None:
    op.create_table(
        "users",
        sa.Column("id", _INTEGER, nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint("uuid", name=op.f("uq_users_uuid")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("user_id", _INTEGER, nullable=True),
        sa.Column("project_id", _INTEGER, nullable=True),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("mask", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_api_keys_project_id_projects")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_keys_secret_hash")),
    )


def _create_variables() -> None:
    op.create_table(
        "variables",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", _INTEGER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("code_name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("default_value", sa.Text(), nullable=True),
        sa.Column("options", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by_id", _INTEGER, nullable=True),
        sa.Column("deleted_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["created_by_id"], ["users.id"], name=op.f("fk_variables_created_by_id_users")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_variables_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_variables")),
    )
    op.create_index(
        "ix_variables_live_code_name",
        "variables",
        ["project_id", "code_name"],
        unique=True,
        sqlite_where=_IS_LIVE,
        postgresql_where=_IS_LIVE,
    )


def _create_activities() -> None:
    op.create_table(
        "activities",
        sa.Column("number", _INTEGER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", _INTEGER, nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("activity", sa.Text(), nullable=False),
        sa.Column("detail", _JSON, nullable=False),
        sa.Column("user_id", _INTEGER, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_activities_project_id_projects")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_activities_user_id_users")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_activities")),
        sa.UniqueConstraint("id", name=op.f("uq_activities_id")),
    )
    op.create_index("ix_activities_created_at", "activities", ["created_at"])
    op.create_index("ix_activities_project_id_scope_item_id", "activities", ["project_id", "scope", "item_id"])


def _create_log_entries() -> None:
    op.create_table(
        "log_entries",
        sa.Column("id", _INTEGER, nullable=False),
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name=op.f("fk_log_entries_endpoint_id_endpoints")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_entries")),
    )
    op.create_index("ix_log_entries_endpoint_id_timestamp", "log_entries", ["endpoint_id", "timestamp"])
    op.create_index("ix_log_entries_timestamp", "log_entries", ["timestamp"])


def _create_tracked_runs() -> None:
    op.create_table(
        "tracked_runs",
        sa.Column("project_id", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("is_async", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("picked_up_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("heartbeat_at", _TIME, nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("rows_read", _INTEGER, nullable=False),
        sa.Column("bytes_read", _INTEGER, nullable=False),
        sa.Column("estimated_rows", _INTEGER, nullable=False),
        sa.Column("cpu_ms", _INTEGER, nullable=False),
        sa.Column("elapsed_ms", _INTEGER, nullable=False),
        sa.Column("result_key", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name=op.f("fk_tracked_runs_endpoint_id_endpoints")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_tracked_runs_project_id_projects")),
        sa.PrimaryKeyConstraint("project_id", "id", name=op.f("pk_tracked_runs")),
    )
    op.create_index("ix_tracked_runs_expires_at", "tracked_runs", ["expires_at"])
    op.create_index("ix_tracked_runs_state", "tracked_runs", ["state"])


def _extend_endpoints_and_versions() -> None:
    """Only ADD COLUMN: SQLite changes a table otherwise by making it anew, which its foreign keys don't let happen."""
    op.add_column("endpoints", sa.Column("display_name", sa.Text(), nullable=False, server_default=""))
    op.add_column("endpoints", sa.Column("tags", _JSON, nullable=False, server_default=sa.text("'[]'")))
    op.add_column("versions", sa.Column("sync_frequency", sa.Text(), nullable=True))
    op.add_column("versions", sa.Column("bucket_overrides", _JSON, nullable=True))
    op.add_column(
        "versions", sa.Column("optional_breakdown_properties", _JSON, nullable=False, server_default=sa.text("'[]'"))
    )
    integer = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    for table in ("endpoints", "versions"):
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN created_by_id {integer} "
            f"CONSTRAINT fk_{table}_created_by_id_users REFERENCES users (id)"
        )
    # A schedule that doesn't follow from the freshness was asked for by its word.
    op.execute(
        "UPDATE versions SET sync_frequency = ("
        "SELECT sync_frequency FROM materializations WHERE version_id = versions.id AND enabled "
        f"AND sync_frequency <> {_FREQUENCY_OF_FRESHNESS})"
    )


def _rebuild_last_executions() -> None:
    """The version is part of the key now: the noted execution's or, if its record was dropped, the current one."""
    op.execute(
        "CREATE TABLE last_executions_0001 AS "
        "SELECT last.endpoint_id, coalesce(executions.version, endpoints.current_version) AS version, last.kind, "
        "last.started_at, last.execution_id FROM last_executions AS last "
        "JOIN endpoints ON endpoints.id = last.endpoint_id LEFT JOIN executions ON executions.id = last.execution_id"
    )
    op.drop_table("last_executions")
    op.create_table(
        "last_executions",
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("version", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["endpoints.id"], name=op.f("fk_last_executions_endpoint_id_endpoints")
        ),
        sa.PrimaryKeyConstraint("endpoint_id", "version", "kind", name=op.f("pk_last_executions")),
    )
    op.execute(
        "INSERT INTO last_executions (endpoint_id, version, kind, started_at, execution_id) "
        "SELECT endpoint_id, version, kind, started_at, execution_id FROM last_executions_0001"
    )
    op.execute("DROP TABLE last_executions_0001")
