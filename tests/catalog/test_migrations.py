"""Each migration keeps what was in the database before it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from endpoints_pipeline.catalog import Catalog, migrate, open_catalog
from endpoints_pipeline.catalog.database import Database
from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.records import Execution, ExecutionKind, LastExecution, Outcome, RefreshStatus
from endpoints_pipeline.frequency import PERIODS, frequency_of
from endpoints_pipeline.query.columns import Column
from tests.catalog.builders import PROJECT, execution, person, refresh

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUERY = {"kind": "HogQLQuery", "query": "SELECT 1 AS n", "variables": {"a": [1, None, "é"]}}

#: Every table of revision 0001 has rows here.
ROWS: dict[str, Sequence[Mapping[str, Any]]] = {
    "projects": [{"id": PROJECT, "name": "Søl 日", "created_at": NOON}],
    "endpoints": [
        {
            "id": id_,
            "project_id": PROJECT,
            "name": name,
            "is_active": True,
            "current_version": current,
            "derived_from_insight": "abc" if id_ == "e1" else None,
            "created_at": NOON,
            "updated_at": NOON + HOUR,
            "deleted_at": deleted_at,
        }
        for id_, name, current, deleted_at in [
            ("e1", "daily", 2, None),
            ("e2", "idle", 1, None),
            ("e3", "gone", 1, NOON),
            ("e4", "gone", 1, None),
        ]
    ],
    "versions": [
        {
            "id": f"{endpoint}v{number}",
            "endpoint_id": endpoint,
            "version": number,
            "query": QUERY,
            "sql": "SELECT 1 AS n",
            "description": "words",
            "data_freshness_seconds": freshness,
            "cache_age_seconds": 300,
            "is_active": True,
            "columns": [["n", "UInt8"]],
            "created_at": NOON,
            "updated_at": NOON,
        }
        for endpoint, number, freshness in [
            ("e1", 1, 3600),
            ("e1", 2, 21600),
            ("e2", 1, 86400),
            ("e3", 1, 900),
            ("e4", 1, 604800),
        ]
    ],
    "materializations": [
        {
            "version_id": version_id,
            "enabled": enabled,
            "sync_frequency": word,
            "snapshot_id": "s1" if version_id == "e1v1" else None,
            "sequence": 1,
            "status": "Completed",
            "error": "",
            "attempt_id": "s1",
            "attempt_at": NOON,
            "attempt_dagster_run_id": "run",
            "updated_at": NOON,
        }
        for version_id, enabled, word in [
            ("e1v1", True, "1hour"),  # what follows from its freshness
            ("e1v2", True, "2hour"),  # a word of its own
            ("e2v1", True, "never"),
            ("e4v1", False, "5min"),  # of before it was switched off
        ]
    ],
    "snapshots": [
        {
            "id": "s1",
            "version_id": "e1v1",
            "sequence": 1,
            "data_at": NOON,
            "published_at": NOON + HOUR,
            "rows": 2**40,
            "bytes": 7,
            "columns": [["n", "UInt8"]],
            "query_hash": "hash",
            "engine_version": "26.9",
            "dagster_run_id": "run",
            "reason": "schedule",
        }
    ],
    "parts": [
        {"snapshot_id": "s1", "position": 0, "key": "a/0.parquet", "rows": 3, "bytes": 7, "row_groups": 1, "etag": "x"}
    ],
    "refresh_requests": [
        {"id": "r1", "version_id": "e1v2", "reason": "refresh now", "requested_at": NOON, "launched_at": None}
    ],
    "executions": [
        {
            "id": id_,
            "endpoint_id": "e1",
            "version": version,
            "kind": kind,
            "path": "inline",
            "outcome": "error",
            "started_at": at,
            "duration_ms": 5,
            "rows": 6,
            "bytes": 7,
            "error": "words",
            "snapshot_id": "s1",
            "dagster_run_id": "run",
        }
        for id_, version, kind, at in [("x1", 1, "run", NOON + HOUR), ("x2", 2, "refresh", NOON)]
    ],
    "last_executions": [
        {"endpoint_id": "e1", "kind": "run", "started_at": NOON + HOUR, "execution_id": "x1"},
        {"endpoint_id": "e1", "kind": "refresh", "started_at": NOON, "execution_id": "x2"},
        # its execution was dropped, as old ones are
        {"endpoint_id": "e4", "kind": "run", "started_at": NOON, "execution_id": "dropped"},
    ],
}


def _migrate(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with database.engine.execution_options(endpoints_writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@pytest.fixture
def old_catalog_dsn(empty_catalog_dsn: str) -> str:
    """The DSN of a catalog at revision 0001, with rows in every table, of each kind of database in turn."""
    database = Database(empty_catalog_dsn, 10)
    _migrate(database, "0001")
    tables = sa.MetaData()
    tables.reflect(database.engine)
    assert set(tables.tables) == {*ROWS, "alembic_version", "definitions_revision"}
    with database.write() as session:
        for name, rows in ROWS.items():
            session.execute(sa.insert(tables.tables[name]), list(rows))
        session.execute(sa.update(tables.tables["definitions_revision"]).values(revision=41))
    database.close()
    return empty_catalog_dsn


@pytest.fixture
def migrated(old_catalog_dsn: str) -> Iterator[Catalog]:
    catalog = open_catalog(old_catalog_dsn, timeout=10, auto_migrate=True)
    yield catalog
    catalog.close()


class TestFrom0001:
    def test_every_row_survives_as_it_was(self, migrated: Catalog) -> None:
        found = sa.MetaData()
        found.reflect(migrated.database.engine)
        for name, rows in ROWS.items():
            table = found.tables[name]
            columns = [table.c[column] for column in rows[0]]
            with migrated.database.read() as session:
                kept = [_comparable(dict(row._mapping)) for row in session.execute(sa.select(*columns))]
            assert sorted(kept, key=str) == sorted(map(_comparable, rows), key=str), name
        assert migrated.refreshes.revision() == 41

    def test_what_was_published_reads_as_before(self, migrated: Catalog) -> None:
        endpoint = migrated.endpoints.get(PROJECT, "daily", 1)

        assert (endpoint.id, endpoint.current_version, endpoint.derived_from_insight) == ("e1", 2, "abc")
        assert (endpoint.created_at, endpoint.updated_at) == (NOON, NOON + HOUR)
        version, snapshot = endpoint.version, endpoint.version.snapshot
        assert (version.query, version.columns) == (QUERY, (Column("n", "UInt8"),))
        assert version.materialization is not None
        assert version.materialization.status is RefreshStatus.COMPLETED
        assert snapshot is not None
        assert (snapshot.rows, snapshot.parts[0].key) == (2**40, "a/0.parquet")
        assert [found.name for found in migrated.endpoints.list(PROJECT)[0]] == ["daily", "gone", "idle"]
        assert [request.id for request in migrated.refreshes.waiting_requests()] == ["r1"]
        assert migrated.projects.get(PROJECT).name == "Søl 日"
        assert migrated.executions.list("e1")[0] == Execution(
            "x1", "e1", 1, ExecutionKind.RUN, Outcome.ERROR, NOON + HOUR, 5, 6, 7, "inline", "words", "s1", "run"
        )

    def test_new_fields_have_the_contracts_defaults(self, migrated: Catalog) -> None:
        for endpoint in migrated.endpoints.list(PROJECT)[0]:
            assert (endpoint.tags, endpoint.display_name, endpoint.created_by) == ((), "", None)
            version = endpoint.version
            assert (version.bucket_overrides, version.optional_breakdown_properties) == (None, ())
            assert version.created_by is None

    def test_a_schedule_asked_for_by_its_word_keeps_the_word(self, migrated: Catalog) -> None:
        words = {
            (name, version): migrated.endpoints.get(PROJECT, name, version).version.sync_frequency
            for name, version in [("daily", 1), ("daily", 2), ("idle", 1), ("gone", 1)]
        }
        assert words == {("daily", 1): None, ("daily", 2): "2hour", ("idle", 1): "never", ("gone", 1): None}

        for name in ("daily", "idle"):  # no schedule moves because an endpoint is touched
            migrated.endpoints.update(PROJECT, name, EndpointChange(description="new"), NOON + 2 * HOUR)
        migrated.endpoints.update(PROJECT, "daily", EndpointChange(version=1, description="new"), NOON + 2 * HOUR)
        assert [(one.name, one.version, one.sync_frequency) for one in migrated.refreshes.materialized_versions()] == [
            ("daily", 1, "1hour"),
            ("daily", 2, "2hour"),
            ("idle", 1, "never"),
        ]

    def test_it_knows_what_follows_from_a_freshness(self, sqlite_catalog: Catalog) -> None:
        migration = importlib.import_module("endpoints_pipeline.catalog.migrations.versions.0002_people_keys_variables")
        periods = [round(period.total_seconds()) for period in PERIODS.values()]
        for seconds in (1, *(period + more for period in periods for more in (-1, 0, 1))):
            word = sa.text(
                f"SELECT {migration._FREQUENCY_OF_FRESHNESS} FROM (SELECT {seconds} AS data_freshness_seconds) versions"
            )
            with sqlite_catalog.database.read() as session:
                assert session.scalar(word) == frequency_of(seconds), seconds

    def test_times_of_executions_belong_to_versions(self, migrated: Catalog) -> None:
        times = {
            (name, version): migrated.endpoints.get(PROJECT, name, version).version.last_executed_at
            for name, version in [("daily", 1), ("daily", 2), ("idle", 1), ("gone", 1)]
        }
        assert times == {("daily", 1): NOON + HOUR, ("daily", 2): NOON, ("idle", 1): None, ("gone", 1): NOON}
        assert migrated.endpoints.get(PROJECT, "daily").last_executed_at == NOON + HOUR
        assert migrated.executions.last(PROJECT, ["daily", "idle"], NOON) == [
            LastExecution("daily", NOON + HOUR, ExecutionKind.RUN)
        ]

    def test_the_catalog_goes_on_working(self, migrated: Catalog) -> None:
        later = NOON + 5 * HOUR
        user = person(migrated, later)
        changed = migrated.endpoints.update(PROJECT, "daily", EndpointChange(tags=["b", "a"]), later, by=user.id)
        refresh(migrated, "e1v2", later)
        migrated.executions.record([execution("e1", later, version=2)])
        migrated.endpoints.delete(PROJECT, "idle", later)

        assert changed.tags == ("a", "b")
        found = migrated.endpoints.get(PROJECT, "daily")
        assert found.last_executed_at == found.version.last_executed_at == later
        assert found.version.snapshot is not None
        assert [one.user for one in migrated.activities.list(PROJECT, item_id="e1")[0]] == [user]

    def test_the_foreign_keys_hold(self, migrated: Catalog) -> None:
        with pytest.raises(sa.exc.IntegrityError), migrated.database.write() as session:
            session.execute(sa.text("UPDATE endpoints SET created_by_id = 99"))
        with pytest.raises(sa.exc.IntegrityError), migrated.database.write() as session:
            session.execute(sa.text("DELETE FROM projects"))
        if migrated.database.engine.dialect.name == "sqlite":
            with migrated.database.read() as session:
                assert session.execute(sa.text("PRAGMA foreign_key_check")).all() == []

    def test_a_migration_that_fails_leaves_the_old_schema_with_its_rows(self, old_catalog_dsn: str) -> None:
        database = Database(old_catalog_dsn, 10)
        with database.write() as session:  # in its way: the last table that the migration makes
            session.execute(sa.text("CREATE TABLE last_executions_0001 (id INTEGER)"))

        with pytest.raises(Exception, match="last_executions_0001"):
            open_catalog(old_catalog_dsn, timeout=10, auto_migrate=True)

        tables = set(sa.inspect(database.engine).get_table_names())
        assert tables == {*ROWS, "alembic_version", "definitions_revision", "last_executions_0001"}
        assert migrate.current_revision(database) == "0001"
        with database.read() as session:
            assert session.scalar(sa.text("SELECT count(*) FROM last_executions")) == 3
        database.close()


def _comparable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its times in UTC: SQLite keeps them so, without saying."""
    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
        for name, value in row.items()
    }
