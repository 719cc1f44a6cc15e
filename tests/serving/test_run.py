"""Runs: the path taken, the rows, the pages, and the record of each."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.catalog.records import Endpoint, Execution, ExecutionKind, Outcome
from endpoints_pipeline.engine import Role
from endpoints_pipeline.errors import (
    CatalogUnavailable,
    EngineBusy,
    InvalidInput,
    NotFound,
    QueryError,
    QueryLimitExceeded,
    VersionNotFound,
)
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.serving.answer import Answer
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.decision import Path, Reason
from endpoints_pipeline.serving.request import Refresh, RunRequest
from tests.fixtures.catalog import FakeClock
from tests.fixtures.engine import EVENTS, MakeApplication
from tests.snapshots.builders import NAME, PROJECT, change, checked, create, refresh

SQL = "SELECT id, name, amount, tags FROM events ORDER BY id DESC"
DAY = timedelta(days=1)


def run(application: Application, name: str = NAME, **request: object) -> Answer:
    return application.runner.run(PROJECT, name, RunRequest(**request))  # type: ignore[arg-type]


def parsed(answer: Answer) -> list[list[object]]:
    found: list[list[object]] = json.loads(b"[%b]" % answer.rows.data)
    return found


def executions(application: Application, endpoint: Endpoint) -> list[Execution]:
    return list(application.catalog.executions.list(endpoint.id))


class TestPaths:
    def test_not_materialized(self, application: Application) -> None:
        create(application, SQL, is_materialized=False)
        answer = run(application)
        assert (answer.served.path, answer.served.reason) == (Path.INLINE, Reason.NOT_MATERIALIZED)
        assert (answer.served.snapshot_id, answer.served.age_seconds, answer.served.target_seconds) == (
            None,
            None,
            None,
        )
        assert answer.snapshot is None
        assert (answer.rows.count, answer.has_more) == (EVENTS, False)
        assert parsed(answer)[0] == [299, "click", "2.99", ["t4", "all"]]

    def test_no_snapshot_yet(self, application: Application) -> None:
        create(application, SQL)
        answer = run(application)
        assert (answer.served.path, answer.served.reason) == (Path.INLINE, Reason.NO_SNAPSHOT_YET)
        assert (answer.served.snapshot_id, answer.served.target_seconds) == (None, 86400)

    def test_a_fresh_snapshot(self, application: Application, clock: FakeClock) -> None:
        endpoint = create(application, SQL)
        snapshot = refresh(application, endpoint).snapshot
        clock.advance(timedelta(seconds=90))
        answer = run(application)
        assert (answer.served.path, answer.served.reason) == (Path.MATERIALIZED, Reason.FRESH_SNAPSHOT)
        assert (answer.served.snapshot_id, answer.served.snapshot_at) == (snapshot.id, snapshot.published_at)
        assert (answer.served.age_seconds, answer.served.target_seconds, answer.served.version) == (90, 86400, 1)
        assert answer.snapshot == snapshot
        assert answer.columns == snapshot.columns
        assert answer.computed_at == clock()
        assert answer.rows.data == run(application, refresh=Refresh.DIRECT).rows.data

    def test_it_really_is_the_snapshot(self, application: Application) -> None:
        create(application, "SELECT rand64() AS n, now64(9) AS at")
        refresh(application, application.catalog.endpoints.get(PROJECT, NAME))
        assert parsed(run(application)) == parsed(run(application))
        assert parsed(run(application)) != parsed(run(application, refresh=Refresh.DIRECT))

    def test_a_stale_snapshot(self, application: Application, clock: FakeClock) -> None:
        snapshot = refresh(application, create(application, SQL)).snapshot
        clock.advance(DAY)
        answer = run(application)
        assert (answer.served.path, answer.served.reason) == (Path.INLINE, Reason.STALE_SNAPSHOT)
        assert (answer.served.snapshot_id, answer.served.age_seconds) == (snapshot.id, 86400)
        assert answer.snapshot is None
        assert answer.rows.count == EVENTS

    def test_the_source_was_asked_for(self, application: Application) -> None:
        snapshot = refresh(application, create(application, SQL)).snapshot
        answer = run(application, refresh=Refresh.DIRECT)
        assert (answer.served.path, answer.served.reason) == (Path.INLINE, Reason.DIRECT_REQUESTED)
        assert answer.served.snapshot_id == snapshot.id
        assert answer.snapshot is None

    def test_a_snapshot_whose_object_is_gone(self, application: Application) -> None:
        snapshot = refresh(application, create(application, SQL)).snapshot
        application.bucket.delete_folder(snapshot.parts[0].key)
        answer = run(application)
        assert (answer.served.path, answer.served.reason) == (Path.MATERIALIZED_FALLBACK, Reason.SNAPSHOT_UNREADABLE)
        assert answer.served.detail.startswith("The snapshot could not be read, the source was asked instead: ")
        assert application.settings.s3_secret_key.get_secret_value() not in answer.served.detail
        assert answer.served.snapshot_id == snapshot.id
        assert answer.snapshot is None
        assert answer.rows.count == EVENTS

    def test_a_snapshot_whose_object_was_replaced(self, application: Application) -> None:
        first = refresh(application, create(application, SQL)).snapshot
        other = refresh(
            application, create(application, "SELECT id, name, amount, tags FROM events LIMIT 5", "other")
        ).snapshot
        found = application.bucket.read(other.parts[0].key)
        assert found is not None
        application.bucket._client.put_object(Bucket=application.bucket.name, Key=first.parts[0].key, Body=found[0])
        answer = run(application)
        assert answer.served.reason is Reason.SNAPSHOT_UNREADABLE
        assert answer.rows.count == EVENTS

    def test_busy_handles_are_no_unreadable_snapshot(self, make_application: MakeApplication) -> None:
        application = make_application(engine_handles=1, engine_handle_timeout=0.1)
        endpoint = create(application, SQL)
        refresh(application, endpoint)
        with application.engine._handles.borrow(Role.READER), pytest.raises(EngineBusy):
            run(application)
        assert executions(application, endpoint)[0].path == Path.MATERIALIZED

    def test_a_version_of_its_own_choice(self, application: Application) -> None:
        create(application, "SELECT 'one' AS n")
        change(application, query=checked(application, "SELECT 'two' AS n"))
        assert parsed(run(application)) == [["two"]]
        answer = run(application, version=1)
        assert (parsed(answer), answer.served.version) == ([["one"]], 1)

    @pytest.mark.parametrize("home", ["embedded", "server"])
    def test_both_homes_answer_alike(
        self, make_application: MakeApplication, home: str, request: pytest.FixtureRequest
    ) -> None:
        dsn = "chdb://memory" if home == "embedded" else request.getfixturevalue("server_dsn")
        application = make_application(engine_dsn=dsn)
        refresh(application, create(application, SQL))
        materialized, direct = run(application), run(application, refresh=Refresh.DIRECT)
        assert (materialized.served.path, direct.served.path) == (Path.MATERIALIZED, Path.INLINE)
        assert materialized.rows == direct.rows
        assert parsed(direct)[0] == [299, "click", "2.99", ["t4", "all"]]
        assert direct.columns[0] == Column("id", "Nullable(UInt64)")


class TestRefusals:
    def test_what_isnt_there(self, application: Application) -> None:
        endpoint = create(application, SQL)
        with pytest.raises(NotFound):
            run(application, "other")
        with pytest.raises(VersionNotFound):
            run(application, version=2)
        assert executions(application, endpoint) == []

    def test_inactive_ones(self, application: Application) -> None:
        create(application, SQL)
        change(application, query=checked(application, "SELECT 2 AS n"))
        change(application, version=1, is_active=False)
        with pytest.raises(InvalidInput, match="Version 1 is inactive and cannot be executed"):
            run(application, version=1)
        assert parsed(run(application)) == [[2]]
        change(application, is_active=False)
        with pytest.raises(NotFound, match="inactive"):
            run(application)

    def test_the_source_of_what_isnt_materialized(self, application: Application) -> None:
        endpoint = create(application, SQL, is_materialized=False)
        with pytest.raises(InvalidInput) as refusal:
            run(application, refresh=Refresh.DIRECT)
        assert refusal.value.attr == "refresh"
        assert executions(application, endpoint) == []


class TestPages:
    @pytest.fixture
    def paged(self, make_application: MakeApplication) -> Application:
        application = make_application(parquet_row_group_rows=40)
        refresh(application, create(application, SQL))
        return application

    PAGES = (  # limit, offset -> the first id, rows, whether there are more
        (None, 0, 299, 300, False),
        (10, 0, 299, 10, True),
        (10, 10, 289, 10, True),
        (1, 0, 299, 1, True),
        (300, 0, 299, 300, False),
        (299, 0, 299, 299, True),
        (10, 290, 9, 10, False),
        (10, 295, 4, 5, False),
        (10, 300, None, 0, False),
        (10, 1000, None, 0, False),
        (None, 298, 1, 2, False),
        (0, 0, None, 0, True),
    )

    @pytest.mark.parametrize("direct", [False, True], ids=["materialized", "inline"])
    def test_a_page(self, paged: Application, direct: bool) -> None:
        for limit, offset, first, count, more in self.PAGES:
            answer = run(paged, refresh=Refresh.DIRECT if direct else Refresh.CACHE, limit=limit, offset=offset)
            assert answer.served.path is (Path.INLINE if direct else Path.MATERIALIZED)
            assert (limit, offset, answer.rows.count, answer.has_more) == (limit, offset, count, more)
            assert [row[0] for row in parsed(answer)] == list(range(first, first - count, -1) if first else [])

    def test_both_paths_give_the_same_pages_which_never_overlap(self, paged: Application) -> None:
        seen: list[object] = []
        offset, more = 0, True
        while more:
            materialized = run(paged, limit=70, offset=offset)
            inline = run(paged, refresh=Refresh.DIRECT, limit=70, offset=offset)
            assert materialized.rows.data == inline.rows.data
            assert materialized.has_more == inline.has_more
            seen += [row[0] for row in parsed(materialized)]
            offset, more = offset + 70, materialized.has_more
        assert seen == list(range(EVENTS - 1, -1, -1))

    def test_a_querys_own_limit_is_kept(self, application: Application) -> None:
        create(application, f"{SQL} LIMIT 5 OFFSET 2", is_materialized=False)
        assert [row[0] for row in parsed(run(application))] == [297, 296, 295, 294, 293]
        answer = run(application, limit=2, offset=4)
        assert ([row[0] for row in parsed(answer)], answer.has_more) == ([293], False)

    def test_totals_are_no_rows(self, application: Application) -> None:
        sql = "SELECT name, count() AS n FROM events GROUP BY name WITH TOTALS ORDER BY name"
        refresh(application, create(application, sql))
        assert (
            parsed(run(application))
            == parsed(run(application, refresh=Refresh.DIRECT))
            == [["buy", 100], ["click", 200]]
        )


class TestTheCapOfInlineRuns:
    @pytest.fixture
    def capped(self, make_application: MakeApplication) -> Application:
        return make_application(inline_max_rows=10)

    @pytest.mark.parametrize(
        ("rows", "limit", "count", "more", "noted"),
        [
            (11, None, 10, True, True),
            (10, None, 10, False, False),
            (9, None, 9, False, False),
            (1000, None, 10, True, True),
            (1000, 5, 5, True, False),
            (1000, 10, 10, True, False),
            (1000, 11, 10, True, True),
            (10, 500, 10, False, False),
        ],
    )
    def test_more_rows_are_cut_and_said_to_be(
        self, capped: Application, rows: int, limit: int | None, count: int, more: bool, noted: bool
    ) -> None:
        create(capped, f"SELECT number FROM numbers({rows})", is_materialized=False)
        answer = run(capped, limit=limit)
        assert (answer.rows.count, answer.has_more) == (count, more)
        assert ("The answer was cut at 10 rows, the limit of inline runs." in answer.served.detail) is noted

    def test_a_snapshot_is_not_cut(self, capped: Application) -> None:
        refresh(capped, create(capped, SQL))
        assert run(capped).rows.count == EVENTS
        assert run(capped, refresh=Refresh.DIRECT).rows.count == 10


class TestRecords:
    def test_success(self, application: Application, clock: FakeClock) -> None:
        endpoint = create(application, SQL)
        snapshot = refresh(application, endpoint).snapshot
        began = clock()
        answer = run(application, limit=7)
        [record] = executions(application, endpoint)
        assert record == Execution(
            id=answer.execution_id,
            endpoint_id=endpoint.id,
            version=1,
            kind=ExecutionKind.RUN,
            outcome=Outcome.SUCCESS,
            started_at=began,
            duration_ms=0,
            rows=7,
            path=Path.MATERIALIZED,
            error=None,
            snapshot_id=snapshot.id,
        )

    def test_each_path_is_recorded(self, application: Application, clock: FakeClock) -> None:
        endpoint = create(application, SQL)
        run(application)
        clock.advance(timedelta(seconds=1))
        snapshot = refresh(application, endpoint).snapshot
        run(application, refresh=Refresh.DIRECT)
        clock.advance(timedelta(seconds=1))
        application.bucket.delete_folder(snapshot.parts[0].key)
        run(application)
        newest_first = [(record.path, record.rows, record.snapshot_id) for record in executions(application, endpoint)]
        assert newest_first == [
            (Path.MATERIALIZED_FALLBACK, EVENTS, snapshot.id),
            (Path.INLINE, EVENTS, snapshot.id),
            (Path.INLINE, EVENTS, None),
        ]

    def test_failure(self, application: Application) -> None:
        endpoint = create(application, "SELECT throwIf(materialize(1), 'broken today') AS n")
        with pytest.raises(QueryError, match="broken today"):
            run(application)
        [record] = executions(application, endpoint)
        assert (record.outcome, record.path, record.rows) == (Outcome.ERROR, Path.INLINE, None)
        assert "broken today" in (record.error or "")

    def test_a_limit_that_was_hit(self, make_application: MakeApplication) -> None:
        application = make_application(query_max_rows_to_read=100)
        endpoint = create(application, "SELECT count() AS n FROM numbers(1000)")
        with pytest.raises(QueryLimitExceeded) as failure:
            run(application)
        assert failure.value.limit == "query_too_large"
        assert executions(application, endpoint)[0].outcome is Outcome.ERROR

    def test_a_fallback_that_fails_is_the_sources_failure(
        self, make_application: MakeApplication, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("source")
        table = f"t_{uuid.uuid4().hex}"
        pq.write_table(pa.table({"a": [1]}), folder / f"{table}.parquet")
        application = make_application(warehouse=str(folder))
        endpoint = create(application, f"SELECT a FROM {table}")
        snapshot = refresh(application, endpoint).snapshot
        (folder / f"{table}.parquet").unlink()
        assert parsed(run(application)) == [[1]]
        application.bucket.delete_folder(snapshot.parts[0].key)
        with pytest.raises(InvalidInput, match="Unknown table"):
            run(application, refresh=Refresh.FORCE)
        paths = {record.outcome: record.path for record in executions(application, endpoint)}
        assert paths == {Outcome.SUCCESS: Path.MATERIALIZED, Outcome.ERROR: Path.INLINE}

    def test_a_record_that_cant_be_kept_takes_no_rows_away(
        self, application: Application, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create(application, SQL)

        def unavailable(_executions: object, _logs: object) -> None:
            raise CatalogUnavailable("the database is away")

        monkeypatch.setattr(application.catalog.executions, "record", unavailable)
        assert run(application).rows.count == EVENTS

    def test_many_at_once(self, application: Application) -> None:
        endpoint = create(application, SQL)
        refresh(application, endpoint)
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(
                    lambda n: run(application, limit=n % 7 + 1, refresh=Refresh.DIRECT if n % 2 else Refresh.FORCE),
                    range(32),
                )
            )
        assert [answer.rows.count for answer in answers] == [n % 7 + 1 for n in range(32)]
        recorded = {record.id for record in executions(application, endpoint)}
        assert recorded == {answer.execution_id for answer in answers}
