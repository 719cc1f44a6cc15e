"""Rows in blocks: the same bytes as in one piece, early, in bounded memory, and nothing is left behind."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from endpoints_pipeline.engine import Engine, Role
from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.engine.types import json_columns
from endpoints_pipeline.errors import EngineBusy, EngineError, EngineUnavailable, QueryError
from tests.engine.test_clickhouse import ENDLESS, FAILS_LATE, MakeEngine, wait_until
from tests.engine.test_types import ROWS

NEVER_ENDS = "SELECT number, toString(sipHash64(number)) FROM numbers(9000000000)"


@pytest.fixture
def make(home: str, make_engine: MakeEngine, request: pytest.FixtureRequest) -> MakeEngine:
    """Makes engines of the home at hand."""

    def make_one(**changes: Any) -> Engine:
        if home == "server":
            changes = {"engine_dsn": request.getfixturevalue("server_dsn"), **changes}
        return make_engine(**changes)

    return make_one


@pytest.fixture(autouse=True)
def _nothing_runs_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a query running in its home."""
    if "home" not in request.fixturenames:
        yield
        return
    engine: Engine = request.getfixturevalue(f"{request.getfixturevalue('home')}_engine")
    yield
    sql = "SELECT count() FROM system.processes WHERE query LIKE '%(9000000000)%' AND query NOT LIKE '%processes%'"
    wait_until(lambda: engine.query(sql) == [(0,)], seconds=10)


@pytest.fixture
def narrow(make: MakeEngine) -> Engine:
    """An engine with one handle: what one query leaves behind, the next finds."""
    return make(engine_handles=1, engine_handle_timeout=1)


def read(engine: Engine, sql: str, parameters: dict[str, Any] | None = None, **options: Any) -> JsonRows:
    with engine.stream(sql, parameters, **options) as blocks:
        found = list(blocks)
    return JsonRows(b",".join(block.data for block in found), sum(block.count for block in found), False)


def assert_clean(engine: Engine) -> None:
    for role in Role:
        assert engine.json_rows("SELECT 'clean'", role=role).data == b'["clean"]'
        assert read(engine, "SELECT 'clean'", role=role).data == b'["clean"]'
    assert engine.query("SELECT 'clean'") == [("clean",)]


class TestRows:
    @pytest.mark.parametrize("role", Role)
    def test_every_type_is_written_as_in_one_piece(self, engine: Engine, role: Role) -> None:
        select = "SELECT " + ", ".join(f"{row.example} AS c{number}" for number, row in enumerate(ROWS))
        columns = engine.describe(engine.canonical(select))
        sql = f"SELECT {json_columns(columns)} FROM ({select}) AS a CROSS JOIN numbers(3) AS b"
        assert read(engine, sql, role=role) == engine.json_rows(sql, role=role)

    def test_the_order_stays(self, engine: Engine) -> None:
        sql = "SELECT number, toString(number) FROM numbers(400000) ORDER BY sipHash64(number)"
        whole = engine.json_rows(sql)
        with engine.stream(sql) as blocks:
            found = list(blocks)
        assert len(found) > 3
        assert b",".join(block.data for block in found) == whole.data

    def test_text_that_is_not_unicode_is_mended_alike(self, engine: Engine) -> None:
        """A format mends it by itself; a function does because of a setting."""
        source = random.Random(7)
        pool = [bytes([byte]) for byte in range(256)] + [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", "é漢😀".encode()]
        texts = [b"".join(source.choices(pool, k=source.randrange(9))).hex() for _ in range(4000)]
        sql = "SELECT unhex(arrayJoin({texts:Array(String)})) AS t"
        whole = engine.json_rows(sql, {"texts": texts})
        assert "\ufffd".encode() in whole.data
        assert read(engine, sql, {"texts": texts}) == whole

    @pytest.mark.parametrize(
        "sql",
        ["SELECT 1, 2, 1, toInt128(3), toInt128(3)", "SELECT 1 AS `a`, 2 AS `A`, 3 AS `row`, 4 AS `é ``\\n`, 5 AS `*`"]
        + ["SELECT 1 AS x WHERE 0", "SELECT 1 LIMIT 0", "SELECT 1 FROM numbers(3) LIMIT 2 OFFSET 1 -- end"]
        + ["SELECT number % 2 AS k, count() FROM numbers(5) GROUP BY k WITH TOTALS ORDER BY k LIMIT 9"]
        + ["SELECT '{x:String} %s %(x)s'", "SELECT 1 UNION ALL SELECT 1"],
    )
    def test_odd_queries(self, engine: Engine, sql: str) -> None:
        assert read(engine, sql) == engine.json_rows(f"SELECT * FROM (\n{sql}\n)")

    def test_parameters_are_bound(self, engine: Engine) -> None:
        assert read(engine, "SELECT {a:String}, {b:Array(UInt64)}", {"a": "'\n", "b": [1]}).data == b'["\'\\n", [1]]'

    @pytest.mark.parametrize(
        ("limit", "more"), [(0, True), (5, True), (70_000, True), (150_000, False), (150_001, False)]
    )
    def test_a_limit_cuts_and_tells(self, engine: Engine, limit: int, more: bool) -> None:
        sql = "SELECT number FROM numbers(150000)"
        with engine.stream(sql, limit=limit) as blocks:
            found = list(blocks)
        assert sum(block.count for block in found) == min(limit, 150_000)
        assert b",".join(block.data for block in found if block.count) == engine.json_rows(sql, limit=limit).data
        assert any(block.more for block in found) == more


class TestStreaming:
    def test_the_first_rows_come_before_the_last(self, engine: Engine) -> None:
        began = time.monotonic()
        with engine.stream("SELECT number, sleepEachRow(0.00001) FROM numbers(300000)") as blocks:
            first = next(blocks)
            early = time.monotonic() - began
            rest = sum(block.count for block in blocks)
            whole = time.monotonic() - began
        assert first.count + rest == 300_000
        assert early < 0.6 * whole

    @pytest.mark.parametrize("home", ["embedded", "server"])
    def test_memory_is_bounded(self, home: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        """500 MB of JSON need little more than the 100 MB before them, in a process of their own."""
        dsn = request.getfixturevalue("server_dsn") if home == "server" else "chdb://memory"
        environment = {**os.environ, "ENDPOINTS_ENGINE_DSN": dsn, "ENDPOINTS_HOME": str(tmp_path)}
        command = [sys.executable, "-m", "tests.engine.reading_much"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=True)
        count, size, grown = map(int, done.stdout.split())
        assert count == 1_000_000
        assert size > 500_000_000
        assert grown < 200_000_000

    def test_streams_are_open_beside_each_other(self, make: MakeEngine) -> None:
        engine = make(engine_handles=2)
        with engine.stream(NEVER_ENDS) as first, engine.stream(NEVER_ENDS) as second:
            assert next(first) == next(second)

    def test_a_stream_takes_one_handle_and_gives_it_back(self, narrow: Engine) -> None:
        pool = narrow._handles
        with pool.borrow(Role.READER) as before:
            pass
        with narrow.stream("SELECT number FROM numbers(200000)") as blocks:
            next(blocks)
            with pytest.raises(EngineBusy):
                narrow.json_rows("SELECT 1")
            assert sum(block.count for block in blocks) > 0
        with pool.borrow(Role.READER) as after:
            assert after is before

    def test_another_thread_may_read_and_close(self, narrow: Engine) -> None:
        sql = "SELECT number FROM numbers(200000)"
        opened = narrow.stream(sql)
        with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
            blocks = first.submit(opened.__enter__).result(20)
            one = second.submit(next, blocks).result(20)
            others = first.submit(list, blocks).result(20)
            second.submit(opened.__exit__, None, None, None).result(20)
        assert one.count + sum(block.count for block in others) == 200_000
        assert_clean(narrow)


class TestLeavingEarly:
    @pytest.mark.parametrize("role", Role)
    def test_ends_the_query_and_leaves_nothing_behind(self, narrow: Engine, role: Role) -> None:
        with narrow._handles.borrow(role) as handle:
            handles = [handle]
        for _ in range(3):
            tag = f"early:{uuid.uuid4()}"
            began = time.monotonic()
            with narrow.stream(NEVER_ENDS, role=role, tag=tag) as blocks:
                assert next(blocks).count > 0
                assert tag in narrow.progress([tag])
            assert time.monotonic() - began < 10
            with narrow._handles.borrow(role) as handle:
                assert handle not in handles
                handles.append(handle)
            wait_until(lambda tag=tag: not narrow.progress([tag]), seconds=5)  # type: ignore[misc]
            assert_clean(narrow)

    def test_before_the_first_row_too(self, narrow: Engine) -> None:
        with narrow.stream(NEVER_ENDS):
            pass
        assert_clean(narrow)

    def test_an_error_of_the_reader_is_passed_on(self, narrow: Engine) -> None:
        with pytest.raises(ZeroDivisionError), narrow.stream(NEVER_ENDS) as blocks:
            assert next(blocks).count // 0
        assert_clean(narrow)

    def test_rows_can_not_be_read_afterwards(self, engine: Engine) -> None:
        with engine.stream(NEVER_ENDS) as blocks:
            next(blocks)
        with pytest.raises(EngineError, match="after their stream was closed"):
            next(blocks)

    def test_opening_waits_for_the_first_rows_and_ends_with_a_kill(self, narrow: Engine) -> None:
        tag = f"opening:{uuid.uuid4()}"
        with ThreadPoolExecutor(1) as thread:
            opening = thread.submit(narrow.stream(ENDLESS, tag=tag).__enter__)
            wait_until(lambda: tag in narrow.progress([tag]))
            narrow.kill(tag)
            assert isinstance(opening.exception(20), EngineUnavailable)
        assert_clean(narrow)

    def test_while_another_thread_waits_for_rows(self, narrow: Engine) -> None:
        opened = narrow.stream(f"SELECT toUInt64(1) UNION ALL {ENDLESS}")
        began = time.monotonic()
        with ThreadPoolExecutor(2) as threads:
            reading = threads.submit(read_all, opened, closing := threading.Event())
            assert isinstance(reading.exception(20), EngineUnavailable)
            assert closing.is_set()
        assert time.monotonic() - began < 15
        assert_clean(narrow)


def read_all(opened: Any, closing: threading.Event) -> None:
    """Wait for the second rows of a stream that is closed from elsewhere meanwhile."""

    def close() -> None:
        time.sleep(1)
        closing.set()
        opened.__exit__(None, None, None)

    with ThreadPoolExecutor(1) as other:
        blocks = opened.__enter__()
        closed = other.submit(close)
        try:
            list(blocks)
        finally:
            closed.result(20)


class TestFailing:
    @pytest.mark.parametrize("role", Role)
    def test_after_many_blocks(self, narrow: Engine, role: Role) -> None:
        for _ in range(3):
            rows: list[int] = []
            words = r"^Value passed to 'throwIf' function is non-zero"
            with pytest.raises(QueryError, match=words) as failure, narrow.stream(FAILS_LATE, role=role) as blocks:
                rows.extend(block.count for block in blocks)
            assert sum(rows) > 1_000_000
            assert (failure.value.engine_code, failure.value.engine_name) == (
                395,
                "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
            )
            for noise in ("Code:", "DB::Exception", "(version", "__exception__"):
                assert noise not in str(failure.value)
            assert_clean(narrow)

    def test_an_error_that_is_caught_inside_leaves_nothing_behind(self, narrow: Engine) -> None:
        with narrow.stream(FAILS_LATE) as blocks, pytest.raises(QueryError):
            list(blocks)
        assert_clean(narrow)

    @pytest.mark.parametrize("sql", ["SELECT nothing FROM events", "SELECT throwIf(1)", "SELECT )"])
    def test_before_the_first_row(self, narrow: Engine, sql: str) -> None:
        with pytest.raises(QueryError), narrow.stream(sql) as blocks:
            next(blocks)
        assert_clean(narrow)

    def test_killed_half_way(self, narrow: Engine) -> None:
        tag = f"killed:{uuid.uuid4()}"
        with narrow.stream(NEVER_ENDS, tag=tag) as blocks:
            next(blocks)
            narrow.kill(tag)
            with pytest.raises(EngineUnavailable) as failure:
                list(blocks)
        assert failure.value.engine_name == "QUERY_WAS_CANCELLED"
        assert_clean(narrow)

    def test_at_the_time_limit(self, make: MakeEngine) -> None:
        engine = make(query_timeout=1, engine_handles=1)
        rows: list[int] = []
        with pytest.raises(EngineError, match=r"^Timeout exceeded"), engine.stream(NEVER_ENDS) as blocks:
            rows.extend(block.count for block in blocks)
        assert sum(rows) > 0
        assert_clean(engine)
