"""The database under the catalog: transactions, failures that speak, times, and migrations."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from endpoints_pipeline.catalog import Catalog, open_catalog
from endpoints_pipeline.catalog.database import Database
from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.migrate import ensure_schema
from endpoints_pipeline.catalog.tables import Base, ProjectRow
from endpoints_pipeline.errors import CatalogError, CatalogUnavailable, InvalidInput
from tests.catalog.builders import PROJECT, at_once, checked, execution, materialized, new, publish
from tests.fixtures.catalog import FakeClock

SECRET = "s3cret-p4ssw0rd"


@contextmanager
def _locked(dsn: str) -> Iterator[None]:
    """Someone else is in the middle of a write, and stays there."""
    if dsn.startswith("sqlite"):
        connection = sqlite3.connect(dsn.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.close()
    else:
        engine = sa.create_engine(dsn.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as locker:
            for table in Base.metadata.sorted_tables:
                locker.execute(sa.text(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE"))
            yield
        engine.dispose()


def _read_side_by_side(database: Database, readers: int) -> None:
    with ExitStack() as held:
        for _ in range(readers):
            held.enter_context(database.read()).connection()


def _everything_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


class TestTransactions:
    def test_a_write_that_raises_leaves_nothing(self, catalog: Catalog, clock: FakeClock) -> None:
        def half_a_write() -> None:
            with catalog.database.write() as session:
                session.add(ProjectRow(id=9, name="half", created_at=clock()))
                session.flush()
                raise RuntimeError("the other half")

        with pytest.raises(RuntimeError, match="the other half"):
            half_a_write()

        with catalog.database.read() as session:
            assert session.get(ProjectRow, 9) is None

    def test_a_read_sees_one_state_from_its_first_look_to_its_last(self, catalog: Catalog, clock: FakeClock) -> None:
        count = sa.select(sa.func.count()).select_from(ProjectRow)
        with catalog.database.read() as session:
            before = session.scalar(count)
            catalog.projects.ensure(2, "Other", clock())
            assert session.scalar(count) == before
        with catalog.database.read() as session:
            assert session.scalar(count) == 2

    def test_readers_do_not_wait_for_a_writer(self, catalog: Catalog, catalog_dsn: str, clock: FakeClock) -> None:
        materialized(catalog, clock())

        with _locked(catalog_dsn):
            assert catalog.endpoints.list(PROJECT)[1] == 1
            assert catalog.refreshes.materialized_versions()[0].name == "daily"

    def test_a_writer_waits_for_its_turn(self, catalog: Catalog, catalog_dsn: str, clock: FakeClock) -> None:
        done = threading.Event()

        def create() -> None:
            catalog.endpoints.create(PROJECT, new(), clock())
            done.set()

        with _locked(catalog_dsn):
            thread = threading.Thread(target=create)
            thread.start()
            assert not done.wait(0.3)
        thread.join(10)
        assert done.is_set()

    def test_more_threads_than_connections_take_turns(self, catalog: Catalog, clock: FakeClock) -> None:
        materialized(catalog, clock())

        answers = at_once([partial(catalog.endpoints.get, PROJECT, "daily")] * 40)

        assert answers == [catalog.endpoints.get(PROJECT, "daily")] * 40


class TestUnavailable:
    def test_a_lock_that_stays_is_said_and_changes_nothing(self, catalog_dsn: str, clock: FakeClock) -> None:
        catalog = open_catalog(catalog_dsn, timeout=0.3, auto_migrate=True)
        catalog.projects.ensure(PROJECT, "Default", clock())
        before = materialized(catalog, clock())
        attempt = catalog.refreshes.begin(before.version.id, reason="test", dagster_run_id=None, now=clock())
        before = catalog.endpoints.get(PROJECT, "daily")

        writes: list[Callable[[], object]] = [
            partial(catalog.endpoints.create, PROJECT, new("other"), clock()),
            partial(catalog.endpoints.update, PROJECT, "daily", EndpointChange(query=checked("SELECT 2")), clock()),
            partial(catalog.endpoints.delete, PROJECT, "daily", clock()),
            partial(publish, catalog, attempt, clock()),
            partial(catalog.executions.record, [execution(before, clock())]),
        ]
        with _locked(catalog_dsn):
            for write in writes:
                started = time.monotonic()
                with pytest.raises(CatalogUnavailable) as refused:
                    write()
                assert time.monotonic() - started < 6
                assert refused.value.transient
                assert "The catalog can't be used right now" in str(refused.value)
                assert "lock" in str(refused.value)
                assert "nothing was changed" in str(refused.value)
                assert "SQL" not in str(refused.value)

        assert catalog.endpoints.list(PROJECT) == ([before], 1)
        publish(catalog, attempt, clock())
        catalog.close()

    def test_a_pool_without_a_free_connection_is_said(self, catalog_dsn: str) -> None:
        database = Database(catalog_dsn, 0.3)

        with pytest.raises(CatalogUnavailable, match="right now"):
            _read_side_by_side(database, 100)

        with database.read() as session:
            assert session.scalar(sa.text("SELECT 1")) == 1
        database.close()

    def test_a_postgresql_that_refuses_is_said_at_once(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        started = time.monotonic()

        with pytest.raises(CatalogUnavailable) as refused:
            open_catalog(f"postgresql://me:{SECRET}@127.0.0.1:{port}/catalog", timeout=60, auto_migrate=True)

        assert time.monotonic() - started < 6
        assert "refused" in str(refused.value)
        assert SECRET not in _everything_said(refused.value)

    def test_a_postgresql_that_never_answers_is_given_up_within_the_timeout(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            started = time.monotonic()

            with pytest.raises(CatalogUnavailable) as refused:
                open_catalog(
                    f"postgresql://me:{SECRET}@127.0.0.1:{server.getsockname()[1]}/catalog",
                    timeout=2,
                    auto_migrate=True,
                )

        assert time.monotonic() - started < 10
        assert "timeout" in str(refused.value)
        assert SECRET not in _everything_said(refused.value)

    def test_a_postgresql_that_drops_its_connections_is_found_again(
        self, postgresql_catalog: Catalog, postgresql_dsn: str, clock: FakeClock
    ) -> None:
        materialized(postgresql_catalog, clock())
        killer = sa.create_engine(postgresql_dsn.replace("postgresql:", "postgresql+psycopg:"))
        with killer.begin() as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        killer.dispose()

        assert postgresql_catalog.endpoints.get(PROJECT, "daily").name == "daily"


class TestDsn:
    @pytest.mark.parametrize(
        "dsn",
        [
            "",
            SECRET,
            f"mysql://me:{SECRET}@host/catalog",
            f"postgresql+nonsense://me:{SECRET}@host/catalog",
            f"postgresql://me:{SECRET}@host:port/catalog",
            f"postgresql://me:p@{SECRET}@127.0.0.1:1/catalog",
            f"postgresql://me:p@x/{SECRET}@127.0.0.1:1/catalog",
            f"postgresql://me:{SECRET}@127.0.0.1:1/catalog?no_such_option={SECRET}",
            f"postgresql://me:{SECRET}@127.0.0.1:1/catalog",
            "sqlite://",
            "sqlite:///:memory:",
        ],
    )
    def test_one_that_cannot_work_is_refused_without_repeating_its_password(self, dsn: str) -> None:
        with pytest.raises(CatalogError, match="ENDPOINTS_CATALOG_DSN") as refused:
            open_catalog(dsn, timeout=2, auto_migrate=True)

        assert SECRET not in _everything_said(refused.value)

    def test_an_unknown_database_is_named(self, postgresql_server: str) -> None:
        with pytest.raises(CatalogError, match='database "nowhere" does not exist'):
            open_catalog(postgresql_server.replace("/postgres?", "/nowhere?"), timeout=5, auto_migrate=True)

    def test_a_file_that_is_no_database_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("not a database, and dear to someone " * 100)
        before = path.read_bytes()

        with pytest.raises(CatalogError, match="not a database") as refused:
            open_catalog(f"sqlite:///{path}", timeout=1, auto_migrate=True)

        assert not refused.value.transient
        assert path.read_bytes() == before

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(CatalogError, match="file"):
            open_catalog(f"sqlite:///{tmp_path}/file/catalog.db", timeout=1, auto_migrate=True)

    def test_a_sqlite_folder_is_made(self, tmp_path: Path) -> None:
        open_catalog(f"sqlite:///{tmp_path}/a/b/catalog.db", timeout=1, auto_migrate=True).close()

        assert (tmp_path / "a" / "b" / "catalog.db").is_file()

    def test_options_of_a_postgresql_dsn_hold_beside_ours(self, empty_postgresql_dsn: str, clock: FakeClock) -> None:
        """Two catalogs may share a database, each in a schema of its own."""
        engine = sa.create_engine(empty_postgresql_dsn.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA apart"))
        engine.dispose()

        apart = open_catalog(f"{empty_postgresql_dsn}&options=-c%20search_path%3Dapart", timeout=7, auto_migrate=True)
        plain = open_catalog(empty_postgresql_dsn, timeout=7, auto_migrate=True)
        for catalog in (apart, plain):
            catalog.projects.ensure(PROJECT, "Default", clock())
        materialized(apart, clock())

        assert (apart.endpoints.list(PROJECT)[1], plain.endpoints.list(PROJECT)[1]) == (1, 0)
        with apart.database.read() as session:
            assert session.scalar(sa.text("SHOW lock_timeout")) == "7s"
        apart.close()
        plain.close()


class TestValues:
    def test_naive_times_are_refused_and_change_nothing(self, catalog: Catalog, clock: FakeClock) -> None:
        naive = datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001 - that's the point
        before = materialized(catalog, clock())

        for call in (
            partial(catalog.endpoints.create, PROJECT, new("other"), naive),
            partial(catalog.endpoints.update, PROJECT, "daily", EndpointChange(description="x"), naive),
            partial(catalog.endpoints.delete, PROJECT, "daily", naive),
            partial(catalog.executions.record, [execution(before, naive)]),
            partial(catalog.executions.last, PROJECT, ["daily"], naive),
            partial(catalog.executions.drop_before, naive),
        ):
            with pytest.raises((ValueError, sa.exc.StatementError), match="aware times only"):
                call()

        assert catalog.endpoints.list(PROJECT) == ([before], 1)

    def test_times_come_back_in_utc_to_the_microsecond(self, catalog: Catalog) -> None:
        kathmandu = datetime(2026, 3, 1, 0, 15, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45)))
        catalog.endpoints.create(PROJECT, new(), kathmandu)

        created_at = catalog.endpoints.get(PROJECT, "daily").created_at

        assert created_at == kathmandu
        assert created_at.isoformat() == "2026-02-28T18:30:00.123456+00:00"
        assert created_at.tzinfo is UTC

    @pytest.mark.parametrize(
        "change",
        [
            {"description": "lone \ud800 surrogate"},
            {"cache_age_seconds": 10**30},
            {"version": 10**30},
        ],
        ids=["text", "number", "version"],
    )
    def test_what_no_database_can_hold_is_the_callers_fault(
        self, catalog: Catalog, clock: FakeClock, change: dict[str, Any]
    ) -> None:
        before = catalog.endpoints.create(PROJECT, new(), clock())

        with pytest.raises(InvalidInput):
            catalog.endpoints.update(PROJECT, "daily", EndpointChange(**change), clock())
        with pytest.raises(InvalidInput):
            catalog.endpoints.list(PROJECT, limit=10**30)

        assert catalog.endpoints.get(PROJECT, "daily") == before

    @pytest.mark.parametrize(
        "change",
        [{"description": "a \x00 byte"}, {"query": checked(variables={"a": "a \x00 byte"})}],
        ids=["text", "json"],
    )
    def test_a_nul_is_refused_by_postgresql_and_kept_by_sqlite(
        self, catalog: Catalog, catalog_dsn: str, clock: FakeClock, change: dict[str, Any]
    ) -> None:
        catalog.endpoints.create(PROJECT, new(), clock())
        update = partial(catalog.endpoints.update, PROJECT, "daily", EndpointChange(**change), clock())

        if catalog_dsn.startswith("postgresql"):
            with pytest.raises(InvalidInput):
                update()
        else:
            assert catalog.endpoints.get(PROJECT, "daily") != update() == catalog.endpoints.get(PROJECT, "daily")


class TestMigrations:
    def test_an_empty_database_gets_the_whole_schema(self, empty_catalog_dsn: str, clock: FakeClock) -> None:
        catalog = open_catalog(empty_catalog_dsn, timeout=5, auto_migrate=True)

        catalog.projects.ensure(PROJECT, "Default", clock())
        assert catalog.refreshes.revision() == 0
        materialized(catalog, clock())
        assert catalog.refreshes.revision() > 0
        catalog.close()

    def test_opening_again_keeps_what_is_there(self, empty_catalog_dsn: str, clock: FakeClock) -> None:
        first = open_catalog(empty_catalog_dsn, timeout=5, auto_migrate=True)
        first.projects.ensure(PROJECT, "Default", clock())
        endpoint = materialized(first, clock())
        first.close()

        second = open_catalog(empty_catalog_dsn, timeout=5, auto_migrate=False)

        assert second.endpoints.get(PROJECT, "daily") == endpoint
        second.close()

    def test_the_migrated_schema_is_the_models(self, empty_catalog_dsn: str) -> None:
        database = Database(empty_catalog_dsn, 5)
        ensure_schema(database, auto_migrate=True)

        with database.engine.connect() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)

        assert differences == []
        database.close()

    def test_the_comparison_of_schemas_sees_a_difference(self, catalog: Catalog) -> None:
        with catalog.database.engine.connect() as connection:
            connection.execute(sa.text("ALTER TABLE projects ADD COLUMN surplus TEXT"))
            connection.execute(sa.text("DROP INDEX ix_endpoints_live_name"))
            differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)

        assert {difference[0] for difference in differences} == {"remove_column", "add_index"}

    def test_without_auto_migrate_an_empty_database_is_refused_and_left_empty(self, empty_catalog_dsn: str) -> None:
        with pytest.raises(CatalogError, match="endpoints migrate") as refused:
            open_catalog(empty_catalog_dsn, timeout=5, auto_migrate=False)

        assert not refused.value.transient
        database = Database(empty_catalog_dsn, 5)
        assert sa.inspect(database.engine).get_table_names() == []
        database.close()

    def test_a_schema_newer_than_the_package_is_refused_and_left_alone(self, empty_catalog_dsn: str) -> None:
        open_catalog(empty_catalog_dsn, timeout=5, auto_migrate=True).close()
        database = Database(empty_catalog_dsn, 5)
        with database.write() as session:
            session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

        for auto_migrate in (True, False):
            with pytest.raises(CatalogError, match=r"\(9999\) is newer than this package") as refused:
                open_catalog(empty_catalog_dsn, timeout=5, auto_migrate=auto_migrate)
            assert not refused.value.transient

        with database.read() as session:
            assert session.scalar(sa.text("SELECT version_num FROM alembic_version")) == "9999"
        database.close()

    def test_threads_that_migrate_at_the_same_time_all_succeed(self, empty_catalog_dsn: str) -> None:
        answers = at_once([partial(open_catalog, empty_catalog_dsn, timeout=10, auto_migrate=True)] * 4)

        assert all(isinstance(answer, Catalog) for answer in answers), answers
        for answer in answers:
            if isinstance(answer, Catalog):
                assert answer.refreshes.revision() == 0
                answer.close()

    def test_processes_that_migrate_at_the_same_time_all_succeed(
        self, empty_catalog_dsn: str, tmp_path: Path, clock: FakeClock
    ) -> None:
        go = tmp_path / "go"
        code = (
            "import sys, time, pathlib\n"
            "from endpoints_pipeline.catalog import open_catalog\n"
            "print('ready', flush=True)\n"
            "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.001)\n"
            "open_catalog(sys.argv[1], timeout=10, auto_migrate=True).close()\n"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code, empty_catalog_dsn, str(go)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        go.touch()

        assert [(process.communicate(timeout=30)[1], process.returncode) for process in processes] == [("", 0)] * 2
        catalog = open_catalog(empty_catalog_dsn, timeout=5, auto_migrate=False)
        catalog.projects.ensure(PROJECT, "Default", clock())
        assert catalog.refreshes.revision() == 0
        catalog.close()

    def test_one_that_is_refused_its_rights_says_so(self, empty_postgresql_dsn: str) -> None:
        engine = sa.create_engine(empty_postgresql_dsn.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(sa.text("DROP ROLE IF EXISTS reader"))
            connection.execute(sa.text("CREATE ROLE reader LOGIN"))
        engine.dispose()

        with pytest.raises(CatalogError, match="permission denied"):
            open_catalog(empty_postgresql_dsn.replace("postgres:@", "reader:@"), timeout=5, auto_migrate=True)
