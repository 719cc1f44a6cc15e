"""The engine's contract, the same in both of its homes."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from endpoints_pipeline.engine import Engine, Role, Statistics
from endpoints_pipeline.errors import EngineError, EngineUnavailable, InvalidInput, QueryError, QueryLimitExceeded
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.snapshots.objects import Bucket
from tests.fixtures.engine import EVENTS, USERS

MakeEngine = Callable[..., Engine]
#: Reads for as long as it is let, whatever its limits of rows.
ENDLESS = "SELECT sum(sipHash64(number)) FROM numbers(9000000000)"
#: Gives rows before it fails.
FAILS_LATE = "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)"


@pytest.fixture
def make(home: str, make_engine: MakeEngine, request: pytest.FixtureRequest) -> MakeEngine:
    """Makes engines of the home at hand."""

    def make_one(**changes: Any) -> Engine:
        if home == "server":
            changes = {"engine_dsn": request.getfixturevalue("server_dsn"), **changes}
        return make_engine(**changes)

    return make_one


class TestReading:
    def test_the_version_is_the_engines(self, engine: Engine) -> None:
        assert engine.version.split(".")[0] == "26"

    def test_tables_are_known_with_and_without_their_database(self, engine: Engine, home: str) -> None:
        database = "warehouse" if home == "embedded" else "shop"
        assert {"events", "users", f"{database}.events", f"{database}.users"} <= engine.tables()
        assert not any(name.startswith(("system.", "secret.", "default.")) for name in engine.tables())

    def test_canonical_text_is_the_engines_own(self, engine: Engine) -> None:
        assert (
            engine.canonical("select count( * ),1+1 -- why\nfrom events e;")
            == "SELECT count(*), 1 + 1 FROM events AS e"
        )

    def test_a_tree_is_printed_as_it_was_read(self, engine: Engine) -> None:
        texts = ["SELECT sum(a) FILTER (WHERE b = {var_x:String}) AS s FROM t", "SELECT 'it''s' UNION ALL SELECT `a b`"]
        printed = engine.print([engine.parse(text) for text in texts])
        assert printed[0] == "SELECT sumIf(a, b = {var_x:String}) AS s FROM t"
        assert engine.print([engine.parse(text) for text in printed]) == printed
        with pytest.raises(InvalidInput, match=r"^Invalid HogQL query: Syntax error") as caught:
            engine.parse("SELECT FROM WHERE")
        assert caught.value.attr == "query"

    def test_aggregate_functions_are_known(self, engine: Engine) -> None:
        assert [engine.is_aggregate(name) for name in ("uniqIf", "COUNT", "upper", "if")] == [True, True, False, False]

    def test_columns_are_described_without_running(self, engine: Engine) -> None:
        sql = "SELECT id, toInt128(1) AS wide, throwIf(materialize(1)) AS never FROM events"
        assert engine.describe(engine.canonical(sql)) == (
            Column("id", "Nullable(UInt64)"),
            Column("wide", "Int128"),
            Column("never", "UInt8"),
        )

    def test_rows_come_as_json(self, engine: Engine) -> None:
        rows = engine.json_rows("SELECT id, name, tags FROM events ORDER BY id")
        assert (rows.count, rows.more) == (EVENTS, False)
        parsed = json.loads(b"[%b]" % rows.data)
        assert parsed[:3] == [[0, "buy", []], [1, "click", ["t1"]], [2, "click", ["t2", "all"]]]

    def test_a_limit_cuts_and_tells(self, engine: Engine) -> None:
        rows = engine.json_rows("SELECT number FROM numbers(10)", limit=4)
        assert (rows.data, rows.count, rows.more) == (b"[0],[1],[2],[3]", 4, True)

    def test_no_rows_is_no_error(self, engine: Engine) -> None:
        rows = engine.json_rows("SELECT id FROM events WHERE 0")
        assert (rows.data, rows.count, rows.more) == (b"", 0, False)

    def test_rows_of_totals_are_not_rows(self, engine: Engine) -> None:
        canonical = engine.canonical(
            "SELECT number % 2 AS k, count() FROM numbers(5) GROUP BY k WITH TOTALS ORDER BY k"
        )
        assert engine.json_rows(f"SELECT * FROM ({canonical}) LIMIT 11").data == b"[0, 3],[1, 2]"

    def test_joins_of_a_file_and_a_folder(self, engine: Engine) -> None:
        sql = engine.canonical("SELECT uniqExact(u.name), count() FROM events e JOIN users u USING user_id")
        assert engine.query(sql) == [(USERS, EVENTS)]

    @pytest.mark.parametrize("value", ["it's", "a\nb\t\\ \\n", "é漢😀", "{x:String}", ""])
    def test_parameters_arrive_as_they_are(self, engine: Engine, value: str) -> None:
        assert engine.query("SELECT {p:String}", {"p": value}) == [(value,)]

    def test_parameters_touch_no_text_that_looks_like_one(self, engine: Engine) -> None:
        sql = "SELECT {p:UInt8} AS p, '{p:UInt8} %s %(p)s $p$ :p ?' AS t"
        assert engine.json_rows(sql, {"p": 7}).data == b'[7, "{p:UInt8} %s %(p)s $p$ :p ?"]'


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "code", "name"),
        [
            ("SELECT nothing FROM events", 47, "UNKNOWN_IDENTIFIER"),
            ("SELECT toUInt8('x')", 6, "CANNOT_PARSE_TEXT"),
            ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
            ("SELECT upper(1)", 43, "ILLEGAL_TYPE_OF_ARGUMENT"),
        ],
    )
    def test_the_querys_fault_has_the_engines_code_and_name(
        self, engine: Engine, sql: str, code: int, name: str
    ) -> None:
        with pytest.raises(QueryError) as failure:
            engine.json_rows(engine.canonical(sql))
        assert (failure.value.engine_code, failure.value.engine_name) == (code, name)
        assert not failure.value.transient
        for noise in ("Code:", "DB::Exception", "(version", "for url", f"({name})", "Received"):
            assert noise not in str(failure.value)

    def test_a_description_fails_like_a_run(self, engine: Engine) -> None:
        with pytest.raises(QueryError, match="nothing") as failure:
            engine.describe("SELECT nothing")
        assert failure.value.engine_name == "UNKNOWN_IDENTIFIER"

    def test_a_query_ends_at_its_time_out(self, make: MakeEngine) -> None:
        engine = make(query_timeout=0.5)
        began = time.monotonic()
        with pytest.raises(QueryLimitExceeded, match=r"imeout exceeded.* materialize the endpoint\.$") as failure:
            engine.json_rows(ENDLESS)
        assert (failure.value.limit, failure.value.engine_code) == ("query_timeout", 159)
        assert time.monotonic() - began < 10

    def test_a_query_ends_at_its_memory(self, make: MakeEngine) -> None:
        engine = make(query_max_memory=20_000_000)
        with pytest.raises(QueryLimitExceeded) as failure:
            engine.json_rows("SELECT groupArray(toString(number)) FROM numbers(3000000)")
        assert (failure.value.limit, failure.value.engine_name) == ("query_memory_limit", "MEMORY_LIMIT_EXCEEDED")

    def test_a_query_ends_at_its_rows(self, make: MakeEngine) -> None:
        engine = make(query_max_rows_to_read=1000)
        assert engine.json_rows("SELECT count() FROM numbers(1000)").data == b"[1000]"
        with pytest.raises(QueryLimitExceeded) as failure:
            engine.json_rows("SELECT count() FROM numbers(1001)")
        assert (failure.value.limit, failure.value.engine_name) == ("query_too_large", "TOO_MANY_ROWS")

    def test_a_failure_leaves_nothing_for_the_next_query(self, make: MakeEngine) -> None:
        """chDB gives a failed query's buffered rows to whoever asks next on the same connection."""
        engine = make(engine_handles=1)
        for role in Role:
            for _ in range(3):
                with pytest.raises(EngineError):
                    engine.json_rows(FAILS_LATE, role=role)
                assert engine.json_rows("SELECT 'clean'", role=role).data == b'["clean"]'
                assert engine.query("SELECT 'clean'") == [("clean",)]
                assert engine.describe("SELECT 1 AS x") == (Column("x", "UInt8"),)

    def test_a_failed_query_leaves_nothing_for_other_threads(self, make: MakeEngine) -> None:
        engine = make(engine_handles=3)

        def ask(number: int) -> bool:
            if number % 3 == 0:
                with pytest.raises(EngineError):
                    engine.json_rows("SELECT number, throwIf(number = 300000) FROM numbers(500000)")
                return True
            return engine.json_rows(f"SELECT {number}").data == b"[%d]" % number

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(ask, range(60)))


class TestReadOnlyHandles:
    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO events SELECT * FROM events",
            "INSERT INTO FUNCTION null('x UInt8') SELECT 1",
            "INSERT INTO FUNCTION file('/tmp/never.csv', 'CSV', 'x UInt8') SELECT 1",
            "CREATE TABLE never (x UInt8) ENGINE = Memory",
            "DROP TABLE events",
            "TRUNCATE TABLE events",
            "SET readonly = 0",
            "SET max_execution_time = 0",
            "SELECT 1 SETTINGS readonly = 0",
            "SELECT 1 SETTINGS max_rows_to_read = 0",
            "SELECT * FROM file('/etc/hostname', 'LineAsString', 'x String')",
            "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'x UInt8')",
            "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x UInt8')",
            "SELECT * FROM remote('127.0.0.1', system.one)",
            "SELECT * FROM executable('id', 'TSV', 'x String')",
        ],
    )
    def test_readers_are_refused(self, engine: Engine, statement: str) -> None:
        """The third wall: what the guard should miss."""
        with (
            pytest.raises(Exception, match="readonly|READONLY") as refusal,  # noqa: RUF043
            engine._handles.borrow(Role.READER) as handle,
        ):
            handle.command(statement)
        assert getattr(refusal.value, "code", None) == 164
        assert engine.json_rows("SELECT count() FROM events").data == b"[%d]" % EVENTS

    def test_readers_have_their_limits(self, make: MakeEngine) -> None:
        engine = make(query_timeout=11, query_max_memory=123_456_789, query_max_rows_to_read=77_000)
        names = ("max_execution_time", "max_memory_usage", "max_rows_to_read", "readonly")
        wanted = ", ".join(f"toUInt64(getSetting('{name}'))" for name in names)
        assert json.loads(engine.json_rows(f"SELECT {wanted}").data) == [11, 123_456_789, 77_000, 1]


class TestSecrets:
    @pytest.mark.parametrize(
        "source",
        [
            "s3({url:String}, {key:String}, {secret:String}, 'Parquet')",
            "s3({url:String}, {key:String}, {secret:String}, 'Parquett')",
            "s3({url:String}, {key:String}, {secret:String}, 'Parquet', 'x NoSuchType')",
            "s3({url:String}, {key:String}, {secret:String}, {secret:String}, {secret:String})",
            "s3({secret:String}, {key:String}, {secret:String})",
        ],
    )
    def test_no_message_has_the_s3_secret(self, engine: Engine, bucket: Bucket, source: str) -> None:
        secret = engine.s3.secret_key
        parameters = {
            "url": engine.s3.url(bucket.name, "nothing.parquet"),
            "key": engine.s3.access_key,
            "secret": secret,
        }
        for failing in (
            lambda: engine.json_rows(f"SELECT * FROM {source}", parameters, role=Role.WRITER),
            lambda: engine.json_rows(f"SELECT * FROM {source}", parameters),
            lambda: engine.query(f"SELECT * FROM {source}", parameters),
            lambda: engine.export(f"INSERT INTO FUNCTION {source} SELECT x", parameters, tag="x"),
        ):
            with pytest.raises(EngineError) as failure:
                failing()
            assert secret not in str(failure.value)
            assert secret not in repr(failure.value)


class TestConnecting:
    @pytest.mark.parametrize(
        "dsn",
        ["mysql://user:hunter2@127.0.0.1:1/x", "clickhouse", "", "chdb://", "chdb:///tmp/folder"]
        + ["clickhouse://user:hunter2@127.0.0.1:port/x", "clickhouse://user:hunter2@/x"]
        + ["clickhouse://user:hunter2@127.0.0.1:1/x?no_such_option=1"],
    )
    def test_a_dsn_that_means_nothing_is_explained(self, make_engine: MakeEngine, dsn: str) -> None:
        with pytest.raises(
            EngineError, match=r"^ENDPOINTS_ENGINE_DSN can't be used\. Give chdb://memory or "
        ) as failure:
            make_engine(engine_dsn=dsn).canonical("SELECT 1")
        assert not failure.value.transient
        assert "hunter2" not in str(failure.value)

    def test_a_server_that_isnt_there(self, make_engine: MakeEngine) -> None:
        began = time.monotonic()
        with pytest.raises(
            EngineUnavailable, match=r"port=1\).*Connection refused.*Check ENDPOINTS_ENGINE_DSN"
        ) as failure:
            make_engine(engine_dsn="clickhouse://user:hunter2@127.0.0.1:1/x").canonical("SELECT 1")
        assert "hunter2" not in str(failure.value)
        assert time.monotonic() - began < 10

    def test_a_wrong_password(self, make_engine: MakeEngine, server_dsn: str) -> None:
        engine = make_engine(engine_dsn=server_dsn.replace(":password@", ":hunter2@"))
        with pytest.raises(EngineError, match="refused our user.*Check ENDPOINTS_ENGINE_DSN") as failure:  # noqa: RUF043
            engine.json_rows("SELECT 1")
        assert failure.value.engine_name == "AUTHENTICATION_FAILED"
        assert "hunter2" not in str(failure.value)
        assert not isinstance(failure.value, QueryError)

    def test_a_database_that_isnt_there_is_not_the_querys_fault(self, make_engine: MakeEngine, server_dsn: str) -> None:
        engine = make_engine(engine_dsn=server_dsn.replace("/shop", "/nowhere"))
        with pytest.raises(EngineError, match="nowhere.*Check ENDPOINTS_ENGINE_DSN") as failure:  # noqa: RUF043
            engine.canonical("SELECT 1")
        assert not isinstance(failure.value, QueryError | InvalidInput)

    def test_nothing_is_opened_before_it_is_needed(self, make_engine: MakeEngine) -> None:
        make_engine(engine_dsn="clickhouse://user:hunter2@127.0.0.1:1/x").close()


class TestExporting:
    @pytest.fixture
    def target(self, engine: Engine, bucket: Bucket) -> Iterator[dict[str, str]]:
        """Parameters of ``INSERT`` for an object of the test's own."""
        folder = f"exports/{uuid.uuid4()}/"
        yield {
            "url": engine.s3.url(bucket.name, f"{folder}part.parquet"),
            "key": engine.s3.access_key,
            "secret": engine.s3.secret_key,
            "folder": folder,
        }
        bucket.delete_folder(folder)

    INSERT = "INSERT INTO FUNCTION s3({url:String}, {key:String}, {secret:String}, 'Parquet') "

    def test_the_written_rows_are_counted(self, engine: Engine, bucket: Bucket, target: dict[str, str]) -> None:
        statistics = engine.export(f"{self.INSERT} SELECT number FROM numbers(1234)", target, tag="count")
        assert (statistics.written_rows, statistics.read_rows) == (1234, 1234)
        assert bucket.footer(f"{target['folder']}part.parquet").rows == 1234

    def test_an_existing_object_is_not_overwritten(self, engine: Engine, target: dict[str, str]) -> None:
        engine.export(f"{self.INSERT} SELECT 1 AS x", target, tag="first")
        with pytest.raises(QueryError, match="already exists"):
            engine.export(f"{self.INSERT} SELECT 2 AS x", target, tag="second")

    def test_a_failed_export_leaves_no_object(self, engine: Engine, bucket: Bucket, target: dict[str, str]) -> None:
        with pytest.raises(QueryError):
            engine.export(f"{self.INSERT} {FAILS_LATE}", target, tag="fails")
        assert keys(bucket, target) == []

    def test_a_killed_export_leaves_no_object(self, engine: Engine, bucket: Bucket, target: dict[str, str]) -> None:
        tag = str(uuid.uuid4())
        with ThreadPoolExecutor() as pool:
            running = pool.submit(self.export_endlessly, engine, target, tag)
            wait_until(lambda: is_running(engine, tag))
            texts = [text for (text,) in engine.query("SELECT query FROM system.processes")]
            engine.kill(tag)
            error = running.exception(timeout=20)
        assert isinstance(error, EngineUnavailable)
        assert (error.engine_code, error.engine_name) == (394, "QUERY_WAS_CANCELLED")
        assert any("INSERT INTO FUNCTION s3(" in text for text in texts)
        assert not any(engine.s3.secret_key in text for text in texts)
        assert keys(bucket, target) == []
        assert engine.query("SELECT 1") == [(1,)]

    def test_killing_what_doesnt_run_is_no_error(self, engine: Engine) -> None:
        engine.kill("nobodys")

    @pytest.mark.parametrize("handles", [1, 4], ids=["with the last handle taken", "with handles free"])
    def test_an_interrupt_kills_the_export(
        self, make: MakeEngine, engine: Engine, bucket: Bucket, target: dict[str, str], handles: int
    ) -> None:
        """Ctrl-C, or Dagster's termination of a run: the exception reaches us when the engine has let go."""
        tag = str(uuid.uuid4())
        own = make(engine_handles=handles)

        def interrupt() -> None:
            wait_until(lambda: is_running(engine, tag))
            press_control_c()

        thread = threading.Thread(target=interrupt)
        thread.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            self.export_endlessly(own, target, tag)
        thread.join()
        assert time.monotonic() - began < 15
        assert not is_running(engine, tag)
        assert keys(bucket, target) == []
        assert own.query("SELECT 1") == [(1,)]

    def test_an_interrupt_before_the_engine_knows_the_query_kills_it_too(
        self, engine: Engine, bucket: Bucket, target: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tag = str(uuid.uuid4())
        kill = engine.kill
        killed_early = threading.Event()

        def first_too_early(tag: str) -> None:
            if not killed_early.is_set():
                killed_early.set()
            else:
                kill(tag)

        monkeypatch.setattr(engine, "kill", first_too_early)
        thread = threading.Thread(target=lambda: (time.sleep(0.3), press_control_c()))
        thread.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            self.export_endlessly(engine, target, tag)
        thread.join()
        assert time.monotonic() - began < 15
        assert killed_early.is_set()
        assert keys(bucket, target) == []

    def export_endlessly(self, engine: Engine, target: dict[str, str], tag: str) -> Statistics:
        rows = "SELECT number, sipHash64(number) FROM numbers(9000000000)"
        statement = f"{self.INSERT} {rows} SETTINGS max_execution_time = 60"
        return engine.export(statement, target, tag=tag)

    def test_a_dead_s3_fails_in_seconds(self, make: MakeEngine) -> None:
        engine = make(s3_timeout=5)
        target = {"url": "http://127.0.0.1:1/bucket/key.parquet", "key": "k", "secret": "s"}
        for failing in (
            lambda: engine.export(f"{self.INSERT} SELECT number FROM numbers(10)", target, tag="dead"),
            lambda: engine.query(
                "SELECT * FROM s3({url:String}, {key:String}, {secret:String}, 'Parquet', 'x UInt8')", target
            ),
        ):
            began = time.monotonic()
            with pytest.raises(EngineUnavailable):
                failing()
            assert time.monotonic() - began < 15


def press_control_c() -> None:
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    signal.pthread_kill(main_thread, signal.SIGINT)


def keys(bucket: Bucket, target: dict[str, str]) -> list[str]:
    found = bucket._client.list_objects_v2(Bucket=bucket.name, Prefix=target["folder"])
    return [item["Key"] for item in found.get("Contents", [])]


def is_running(engine: Engine, tag: str) -> bool:
    return tag in engine.progress([tag])


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.05)


class TestTogether:
    def test_threads_get_their_own_answers(self, make: MakeEngine) -> None:
        engine = make(engine_handles=8)
        engine.tables()

        def ask(number: int) -> bool:
            rows = engine.json_rows("SELECT {n:UInt32}, count() FROM events", {"n": number})
            return rows.data == b"[%d, %d]" % (number, EVENTS)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(160)))

    def test_queries_run_beside_each_other(self, make: MakeEngine) -> None:
        engine = make(engine_handles=8)
        together = threading.Barrier(8)
        tag = str(uuid.uuid4())

        def run(_: int) -> BaseException | None:
            together.wait(timeout=20)
            try:
                engine.json_rows(f"{ENDLESS} SETTINGS max_execution_time = 30", role=Role.WRITER, tag=tag)
            except EngineUnavailable as error:
                return error
            return None

        def kill_when_all_run() -> None:
            sql = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = {tag:String}"
            with engine._handles.borrow(Role.WRITER, urgent=True) as handle:
                wait_until(lambda: handle.query(sql, parameters={"tag": tag}).result_rows[0][0] == 8)
            engine.kill(tag)

        with ThreadPoolExecutor(9) as pool:
            killer = pool.submit(kill_when_all_run)
            outcomes = list(pool.map(run, range(8)))
        killer.result()
        assert all(isinstance(outcome, EngineUnavailable) for outcome in outcomes)
