"""Refreshes: what is published, what stays when one fails, and what is left on S3."""

from __future__ import annotations

import io
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.catalog.records import RefreshStatus
from endpoints_pipeline.catalog.tables import VersionRow
from endpoints_pipeline.errors import (
    CatalogUnavailable,
    EndpointsError,
    EngineUnavailable,
    InvalidInput,
    NotFound,
    QueryError,
    RefreshSuperseded,
    SnapshotInvalid,
    StorageUnavailable,
)
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.snapshots.refresh import Refreshed
from tests.fixtures.catalog import FakeClock
from tests.fixtures.engine import EVENTS, MakeApplication
from tests.snapshots.builders import (
    NAME,
    PROJECT,
    STEPS,
    change,
    checked,
    create,
    current,
    direct_rows,
    keys,
    layout_of,
    refresh,
    rows,
    served,
    status,
)

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3Server

SQL = "SELECT id, name, amount FROM events ORDER BY id DESC"


class Boom(Exception):
    """Not an error that anybody expects."""


def at(step: str, action: Callable[[], None]) -> Callable[[str], None]:
    """An ``on_step`` that acts before one step."""
    return lambda now: action() if now == step else None


def fail(error: BaseException) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


class TestPublished:
    def test_the_rows_are_the_querys_in_its_order(self, application: Application) -> None:
        endpoint = create(application, SQL)
        refreshed = refresh(application, endpoint)
        assert rows(application, refreshed.snapshot) == direct_rows(application, SQL)
        assert refreshed.snapshot.rows == EVENTS
        assert served(application) == refreshed.snapshot
        assert status(application) == (RefreshStatus.COMPLETED, "")

    def test_the_steps_are_told_in_order(self, application: Application) -> None:
        told: list[str] = []
        refresh(application, create(application, SQL), told.append)
        assert tuple(told) == STEPS

    def test_the_snapshot_knows_where_it_comes_from(self, application: Application, clock: FakeClock) -> None:
        endpoint = create(application, SQL)
        began = clock()
        dagster_run = str(uuid.uuid4())
        snapshot = application.refresher.refresh(
            endpoint.version.id,
            reason="because",
            dagster_run_id=dagster_run,
            on_step=at("verify", lambda: clock.advance(timedelta(seconds=90)) and None),
        ).snapshot
        assert (snapshot.data_at, snapshot.published_at) == (began, began + timedelta(seconds=90))
        assert (snapshot.reason, snapshot.dagster_run_id) == ("because", dagster_run)
        assert snapshot.engine_version == application.engine.version
        assert snapshot.version_id == endpoint.version.id
        assert snapshot.columns == endpoint.version.columns
        assert snapshot.sequence == 1

    def test_the_part_is_what_lies_on_s3(self, application: Application) -> None:
        endpoint = create(application, SQL)
        snapshot = refresh(application, endpoint).snapshot
        [part] = snapshot.parts
        assert part.key == layout_of(application, endpoint).part(snapshot.id, 0)
        assert keys(application, "parts") == [part.key]
        found = application.bucket.read(part.key)
        assert found is not None
        body, etag = found
        assert (len(body), etag.strip('"')) == (part.bytes, part.etag)
        metadata = pq.read_metadata(io.BytesIO(body))
        assert (metadata.num_rows, metadata.num_row_groups) == (part.rows, part.row_groups) == (EVENTS, 1)
        assert snapshot.bytes == part.bytes

    def test_the_statistics_are_the_engines(self, application: Application) -> None:
        refreshed = refresh(application, create(application, SQL))
        assert (refreshed.statistics.written_rows, refreshed.statistics.read_rows) == (EVENTS, EVENTS)

    def test_no_rows_make_a_valid_snapshot(self, application: Application) -> None:
        sql = "SELECT id, name, toInt128(id) AS wide, NULL AS nothing FROM events WHERE 0"
        snapshot = refresh(application, create(application, sql)).snapshot
        assert (snapshot.rows, rows(application, snapshot)) == (0, b"")
        [part] = snapshot.parts
        found = application.bucket.read(part.key)
        assert found is not None
        table = pq.read_table(io.BytesIO(found[0]))
        assert (table.num_rows, table.schema.names) == (0, ["id", "name", "wide", "nothing"])
        assert snapshot.columns[2:] == (Column("wide", "Nullable(Int128)"), Column("nothing", "Nullable(Nothing)"))

    def test_a_later_snapshot_replaces_an_earlier_one(self, application: Application) -> None:
        endpoint = create(application, "SELECT now64(9) AS now, rand() AS any")
        first = refresh(application, endpoint).snapshot
        second = refresh(application, endpoint).snapshot
        assert served(application) == second
        assert (first.sequence, second.sequence) == (1, 2)
        assert len(keys(application, "parts")) == 2
        assert rows(application, first) != rows(application, second)

    def test_order_is_kept_over_many_row_groups(self, make_application: MakeApplication) -> None:
        application = make_application(parquet_row_group_rows=5000)
        sql = "SELECT number AS n, sipHash64(number) AS h, toString(number) AS s FROM numbers(200000) ORDER BY h"
        snapshot = refresh(application, create(application, sql)).snapshot
        assert snapshot.parts[0].row_groups > 10
        assert rows(application, snapshot) == direct_rows(application, sql)

    def test_every_version_has_its_own_snapshots(self, application: Application) -> None:
        first = create(application, "SELECT 1 AS n")
        refresh(application, first)
        second = change(application, query=checked(application, "SELECT 2 AS n"), is_materialized=True)
        assert served(application) is None
        refreshed = refresh(application, second)
        assert rows(application, refreshed.snapshot) == b"[2]"
        old = application.catalog.endpoints.get(PROJECT, NAME, 1).version.snapshot
        assert old is not None
        assert rows(application, old) == b"[1]"


class TestRefused:
    def test_two_columns_of_one_name(self, application: Application) -> None:
        endpoint = create(application, SQL)
        refresh(application, endpoint)
        with application.catalog.database.write() as session:
            row = session.get(VersionRow, endpoint.version.id)
            assert row is not None
            row.sql = "SELECT id, name, id FROM events"
        with pytest.raises(InvalidInput, match="more than one column named 'id'"):
            refresh(application, endpoint)
        assert status(application)[0] is RefreshStatus.FAILED

    def test_columns_that_could_not_be_read_back(self, application: Application) -> None:
        """Found by reading the part before it is published: Parquet's readers take a dot for a field of a tuple."""
        endpoint = create(application, "SELECT 1 AS `a.b`, tuple(3)::Tuple(b UInt8) AS a")
        with pytest.raises(SnapshotInvalid, match=r"can't be read back: .*a\.b.*It was not published\.$"):
            refresh(application, endpoint)
        assert served(application) is None
        assert keys(application) == []

    def test_a_query_that_broke_since_it_was_published(
        self, application: Application, tmp_path_factory: pytest.TempPathFactory, make_application: MakeApplication
    ) -> None:
        folder = tmp_path_factory.mktemp("broken")
        name = f"t_{uuid.uuid4().hex}"
        pq.write_table(pa.table({"a": [1]}), folder / f"{name}.parquet")
        application = make_application(warehouse=str(folder))
        endpoint = create(application, f"SELECT a FROM {name}")
        first = refresh(application, endpoint).snapshot
        pq.write_table(pa.table({"b": [1]}), folder / f"{name}.parquet")
        with pytest.raises(QueryError, match="`a`"):
            refresh(application, endpoint)
        assert served(application) == first
        kind, error = status(application)
        assert kind is RefreshStatus.FAILED
        assert "`a`" in error

    def test_a_version_that_is_not_materialized(self, application: Application) -> None:
        endpoint = create(application, SQL, is_materialized=False)
        with pytest.raises(NotFound, match="no longer materialized"):
            refresh(application, endpoint)

    def test_a_version_whose_endpoint_is_deleted(self, application: Application) -> None:
        endpoint = create(application, SQL)
        application.catalog.endpoints.delete(PROJECT, NAME, application.clock())
        with pytest.raises(NotFound, match="gone"):
            refresh(application, endpoint)

    def test_a_version_that_is_inactive(self, application: Application) -> None:
        endpoint = create(application, SQL)
        change(application, is_active=False)
        with pytest.raises(NotFound):
            refresh(application, endpoint)

    def test_a_version_that_never_was(self, application: Application) -> None:
        with pytest.raises(NotFound):
            application.refresher.refresh(str(uuid.uuid4()), reason="x", dagster_run_id="x")


class TestFailing:
    @pytest.mark.parametrize("step", STEPS[:-1])
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (Boom("out of luck"), (RefreshStatus.FAILED, "out of luck")),
            (EngineUnavailable("it went away"), (RefreshStatus.FAILED, "it went away")),
            (KeyboardInterrupt(), (RefreshStatus.CANCELLED, "KeyboardInterrupt")),
        ],
        ids=["unexpected", "ours", "interrupt"],
    )
    def test_at_a_step_the_previous_snapshot_stays(
        self, application: Application, step: str, error: BaseException, expected: tuple[RefreshStatus, str]
    ) -> None:
        endpoint = create(application, SQL)
        first = refresh(application, endpoint).snapshot
        before = keys(application)
        with pytest.raises(type(error)):
            refresh(application, endpoint, at(step, fail(error)))
        assert served(application) == first
        assert status(application) == expected
        assert keys(application) == before
        assert rows(application, first) == direct_rows(application, SQL)

    def test_after_publishing_the_new_snapshot_is_served(self, application: Application) -> None:
        endpoint = create(application, SQL)
        first = refresh(application, endpoint).snapshot
        with pytest.raises(Boom):
            refresh(application, endpoint, at("manifest", fail(Boom("too late"))))
        second = served(application)
        assert second is not None
        assert second.id != first.id
        assert status(application) == (RefreshStatus.COMPLETED, "")
        assert rows(application, second) == direct_rows(application, SQL)

    def test_a_first_refresh_that_fails_leaves_nothing(self, application: Application) -> None:
        endpoint = create(application, SQL)
        with pytest.raises(Boom):
            refresh(application, endpoint, at("publish", fail(Boom("no"))))
        assert served(application) is None
        assert keys(application) == []

    def test_a_query_that_fails_half_way(self, application: Application) -> None:
        endpoint = create(application, "SELECT number, throwIf(number = 900000, 'it is broken') FROM numbers(1000000)")
        with pytest.raises(QueryError, match="it is broken"):
            refresh(application, endpoint)
        kind, error = status(application)
        assert kind is RefreshStatus.FAILED
        assert "it is broken" in error
        assert keys(application) == []

    def test_a_refresh_that_takes_too_long(self, make_application: MakeApplication) -> None:
        application = make_application(refresh_timeout=0.5)
        endpoint = create(application, "SELECT sum(sipHash64(number)) AS n FROM numbers(9000000000)")
        with pytest.raises(EndpointsError, match=r"Timeout exceeded"):
            refresh(application, endpoint)
        assert status(application)[0] is RefreshStatus.FAILED

    def test_the_next_one_may_succeed(self, application: Application) -> None:
        endpoint = create(application, SQL)
        with pytest.raises(Boom):
            refresh(application, endpoint, at("verify", fail(Boom("no"))))
        refreshed = refresh(application, endpoint)
        assert served(application) == refreshed.snapshot
        assert status(application) == (RefreshStatus.COMPLETED, "")

    def test_a_publication_of_unknown_outcome_keeps_its_parts(
        self, application: Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The catalog may have committed before its answer was lost: then the parts are a snapshot's."""
        endpoint = create(application, SQL)
        publish = application.catalog.refreshes.publish

        def commit_and_lose_the_answer(*args: object, **kwargs: object) -> None:
            publish(*args, **kwargs)  # type: ignore[arg-type]
            raise CatalogUnavailable("the connection broke")

        monkeypatch.setattr(application.catalog.refreshes, "publish", commit_and_lose_the_answer)
        with pytest.raises(CatalogUnavailable):
            refresh(application, endpoint)
        snapshot = served(application)
        assert snapshot is not None
        assert rows(application, snapshot) == direct_rows(application, SQL)
        assert status(application) == (RefreshStatus.COMPLETED, "")


class TestVerifying:
    """Whatever lies there instead of what the engine wrote is found before it is published."""

    @pytest.fixture
    def refresh_with(self, application: Application) -> Callable[[Callable[[bytes], bytes | None]], Refreshed]:
        endpoint = create(application, SQL)
        client, name = application.bucket._client, application.bucket.name

        def tamper(forge: Callable[[bytes], bytes | None]) -> None:
            [key] = keys(application, "parts")
            body = forge(client.get_object(Bucket=name, Key=key)["Body"].read())
            if body is None:
                client.delete_object(Bucket=name, Key=key)
            else:
                client.put_object(Bucket=name, Key=key, Body=body)

        return lambda forge: refresh(application, endpoint, at("verify", lambda: tamper(forge)))

    @pytest.mark.parametrize(
        ("forge", "reason"),
        [
            (
                lambda body: parquet(pq.read_table(io.BytesIO(body)).slice(1)),
                "holds 299 rows, but ClickHouse wrote 300",
            ),
            (lambda body: parquet(pq.read_table(io.BytesIO(body)).slice(0, 0)), "holds 0 rows, but ClickHouse wrote"),
            (lambda body: parquet(pq.read_table(io.BytesIO(body)).drop(["amount"])), "holds the columns"),
            (
                lambda body: parquet(pq.read_table(io.BytesIO(body)).select(["name", "id", "amount"])),
                "holds the columns",
            ),
            (lambda body: body[:-1], "isn't a readable Parquet file"),
            (lambda body: body[: len(body) // 2], "isn't a readable Parquet file"),
            (lambda body: body[:5], "isn't a readable Parquet file"),
            (lambda body: b"", "is missing or empty|isn't a readable Parquet file"),
            (lambda body: b"PAR1" * 100, "isn't a readable Parquet file"),
            (lambda body: None, "is missing or empty on S3"),
        ],
        ids=["a row less", "no rows", "a column less", "columns turned round", "one byte less", "half", "five bytes"]
        + ["empty", "garbage", "gone"],
    )
    def test_a_wrong_object_is_not_published(
        self,
        application: Application,
        refresh_with: Callable[[Callable[[bytes], bytes | None]], Refreshed],
        forge: Callable[[bytes], bytes | None],
        reason: str,
    ) -> None:
        with pytest.raises(SnapshotInvalid, match=reason) as failure:
            refresh_with(forge)
        assert not failure.value.transient
        assert served(application) is None
        assert status(application) == (RefreshStatus.FAILED, str(failure.value))
        assert keys(application) == []

    def test_a_wrong_body_behind_a_right_footer_is_found_by_reading(
        self, application: Application, refresh_with: Callable[[Callable[[bytes], bytes | None]], Refreshed]
    ) -> None:
        with pytest.raises(SnapshotInvalid, match="can't be read back"):
            refresh_with(lambda body: body[:4] + b"\xff" * 200 + body[204:])
        assert served(application) is None


def parquet(table: pa.Table) -> bytes:
    body = io.BytesIO()
    pq.write_table(table, body)
    return body.getvalue()


class TestTwoAtOnce:
    def test_one_wins_and_the_other_leaves_nothing(self, application: Application) -> None:
        endpoint = create(application, SQL)
        both_verified = threading.Barrier(2, timeout=30)

        def run(_: int) -> Refreshed | RefreshSuperseded:
            try:
                return refresh(application, endpoint, at("publish", lambda: both_verified.wait() and None))
            except RefreshSuperseded as error:
                return error

        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(run, range(2)))
        [winner] = [outcome for outcome in outcomes if isinstance(outcome, Refreshed)]
        [loser] = [outcome for outcome in outcomes if isinstance(outcome, RefreshSuperseded)]
        assert f"published snapshot {winner.snapshot.id} first" in str(loser)
        assert served(application) == winner.snapshot
        assert status(application) == (RefreshStatus.COMPLETED, "")
        assert keys(application, "parts") == [winner.snapshot.parts[0].key]
        assert keys(application, "manifests") == [winner.manifest_key]
        assert rows(application, winner.snapshot) == direct_rows(application, SQL)

    def test_one_that_is_overtaken_gives_way(self, application: Application) -> None:
        endpoint = create(application, SQL)
        overtaking: list[Refreshed] = []
        with pytest.raises(RefreshSuperseded):
            refresh(application, endpoint, at("verify", lambda: overtaking.append(refresh(application, endpoint))))
        assert served(application) == overtaking[0].snapshot
        assert keys(application, "parts") == [overtaking[0].snapshot.parts[0].key]

    @pytest.mark.parametrize("step", STEPS[:-1])
    def test_one_that_is_switched_off_meanwhile_gives_way(self, application: Application, step: str) -> None:
        endpoint = create(application, SQL)
        with pytest.raises(RefreshSuperseded, match="no longer materialized"):
            refresh(application, endpoint, at(step, lambda: change(application, is_materialized=False) and None))
        assert served(application) is None
        assert current(application).version.is_materialized is False
        assert keys(application) == []

    def test_one_whose_endpoint_is_deleted_meanwhile_gives_way(self, application: Application) -> None:
        endpoint = create(application, SQL)
        delete = lambda: application.catalog.endpoints.delete(PROJECT, NAME, application.clock())  # noqa: E731
        with pytest.raises(RefreshSuperseded):
            refresh(application, endpoint, at("publish", delete))
        assert keys(application) == []


class TestWithoutS3:
    @pytest.mark.parametrize("step", ["export", "verify"])
    def test_a_refresh_fails_and_a_later_one_succeeds(
        self, make_application: MakeApplication, s3_server: S3Server, step: str
    ) -> None:
        application = make_application(s3_timeout=3)
        endpoint = create(application, SQL)
        first = refresh(application, endpoint).snapshot
        try:
            with pytest.raises((EngineUnavailable, StorageUnavailable)) as failure:
                refresh(application, endpoint, at(step, s3_server.stop))
        finally:
            s3_server.stop()
            s3_server.start()
        assert failure.value.transient
        kind, error = status(application)
        assert kind is RefreshStatus.FAILED
        assert error == str(failure.value)
        assert application.settings.s3_secret_key.get_secret_value() not in error
        assert served(application) == first
        assert rows(application, first) == direct_rows(application, SQL)
        second = refresh(application, endpoint).snapshot
        assert served(application) == second

    def test_a_manifest_that_cant_be_written_takes_nothing_back(
        self, make_application: MakeApplication, s3_server: S3Server
    ) -> None:
        application = make_application(s3_timeout=3)
        endpoint = create(application, SQL)
        try:
            with pytest.raises(StorageUnavailable, match="S3 can't be reached"):
                refresh(application, endpoint, at("manifest", s3_server.stop))
        finally:
            s3_server.stop()
            s3_server.start()
        snapshot = served(application)
        assert snapshot is not None
        assert status(application) == (RefreshStatus.COMPLETED, "")
        assert rows(application, snapshot) == direct_rows(application, SQL)
