"""The test server answers clickhouse-connect as a ClickHouse server would."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.summary import QuerySummary

from tests.clickhouse_http import start_server

SLOW = "SELECT count() FROM system.numbers"


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    statements = [
        "CREATE TABLE events (id UInt32, name String) ENGINE = MergeTree ORDER BY id",
        "INSERT INTO events VALUES (1, 'a;b'), (2, 'c\n\nd')",
        "CREATE DATABASE other",
        "CREATE VIEW other.two AS SELECT 2 AS n",
    ]
    with start_server(statements) as address:
        yield address


@pytest.fixture
def client(dsn: str) -> Iterator[Client]:
    with clickhouse_connect.get_client(dsn=dsn) as opened:
        yield opened


@pytest.fixture
def scratch(client: Client) -> Iterator[str]:
    name = f"scratch_{uuid.uuid4().hex}"
    client.command(f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    yield name
    client.command(f"DROP TABLE {name}")


def post(dsn: str, body: bytes = b"", *, headers: dict[str, str] | None = None, **params: str) -> httpx.Response:
    """Send one bare request, for what clickhouse-connect has no way to say: a GET if there is no body."""
    url = urlsplit(dsn)
    auth = (url.username or "", url.password or "") if headers is None else None
    target = f"http://{url.hostname}:{url.port}/"
    return httpx.request("POST" if body else "GET", target, content=body, headers=headers, params=params, auth=auth)


class TestConnecting:
    def test_parts_of_an_address_work_like_a_dsn(self, dsn: str) -> None:
        url = urlsplit(dsn)
        client = clickhouse_connect.get_client(
            host="127.0.0.1", port=url.port, username="user", password="password", database="other"
        )
        with client:
            assert client.ping()
            assert client.server_version
            assert client.command("SELECT currentDatabase()") == "other"
            assert client.query("SELECT n FROM two").result_rows == [(2,)]

    def test_a_wrong_password_is_refused(self, dsn: str) -> None:
        with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED") as refused:
            clickhouse_connect.get_client(dsn=dsn.replace("user:password", "user:wrong"))
        assert refused.value.code == 516
        assert post(dsn, b"SELECT 1", headers={}).status_code == 403
        wrong = {"X-ClickHouse-User": "user", "X-ClickHouse-Key": "wrong"}
        assert post(dsn, b"SELECT 1", headers=wrong).status_code == 403

    def test_clickhouse_headers_authenticate_too(self, dsn: str) -> None:
        headers = {"X-ClickHouse-User": "user", "X-ClickHouse-Key": "password"}
        assert post(dsn, b"SELECT 1", headers=headers).text == "1\n"

    def test_an_unknown_database_is_refused(self, client: Client) -> None:
        client.database = "nowhere"
        with pytest.raises(DatabaseError, match="UNKNOWN_DATABASE") as refused:
            client.query("SELECT 1")
        assert refused.value.code == 81


class TestReading:
    def test_rows_and_types_arrive(self, client: Client) -> None:
        answer = client.query("SELECT * FROM events ORDER BY id")
        assert answer.result_rows == [(1, "a;b"), (2, "c\n\nd")]
        assert answer.column_names == ("id", "name")
        assert client.query("SELECT 1 AS n WHERE 0").result_rows == []
        assert client.query("SELECT 1 AS n LIMIT 0").column_names == ("n",)

    def test_the_summary_counts_rows_read_and_returned(self, client: Client) -> None:
        summary = client.query("SELECT sum(number) FROM numbers(1000000)").summary
        assert (summary["read_rows"], summary["result_rows"]) == ("1000000", "1")
        assert int(summary["elapsed_ns"]) > 0

    def test_a_query_id_is_echoed(self, client: Client) -> None:
        assert client.query("SELECT 1", settings={"query_id": "mine"}).query_id == "mine"

    def test_commands_tell_rows_from_no_result(self, client: Client) -> None:
        assert client.command("SELECT 7") == 7
        assert client.command("SELECT 'x' WHERE 0") == ""
        assert client.command("EXISTS TABLE events") == 1

    @pytest.mark.parametrize("form", [False, True], ids=["url", "form"])
    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("String", 'it\'s "quoted"\nnew\tline \\ back\\nslash é 漢'),
            ("String", ""),
            ("Array(String)", ["it's", "a\nb", "c,d]"]),
            ("Array(UInt8)", []),
            ("UInt64", 2**64 - 1),
            ("Bool", True),
            ("Nullable(String)", None),
            ("DateTime64(3, 'Europe/Berlin')", datetime(2026, 3, 1, 9, 30, 0, 123000, ZoneInfo("Europe/Berlin"))),
            ("DateTime('UTC')", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ],
    )
    def test_typed_parameters_come_back_as_sent(self, dsn: str, form: bool, kind: str, value: object) -> None:
        with clickhouse_connect.get_client(dsn=dsn, form_encode_query_params=form, tz_mode="aware") as client:
            answer = client.query(f"SELECT {{value:{kind}}} AS value, toTypeName(value)", parameters={"value": value})
        assert answer.result_rows == [(value, kind)]

    def test_long_parameters_arrive(self, client: Client) -> None:
        long = "ä\n" * 50_000
        assert client.query("SELECT {s:String}", parameters={"s": long}).result_rows == [(long,)]

    def test_native_streams(self, client: Client) -> None:
        with client.query_column_block_stream("/* tag */ SELECT number FROM numbers(1000000000000)") as blocks:
            assert len(next(blocks)[0]) > 0
            client.command("KILL QUERY WHERE startsWith(query, '/* tag */')")

    def test_a_raw_query_takes_a_format_and_settings(self, client: Client) -> None:
        body = client.raw_query(
            "SELECT toUInt64(1) AS n, getSetting('max_threads') AS threads, getSetting('log_comment') AS comment",
            fmt="JSONCompactEachRowWithNamesAndTypes",
            settings={"max_threads": 3, "log_comment": "it's", "output_format_json_quote_64bit_integers": 1},
        )
        names, types, row = map(json.loads, body.splitlines())
        assert names == ["n", "threads", "comment"]
        assert (types[0], types[2]) == ("UInt64", "String")
        assert row == ["1", 3, "it's"]

    def test_settings_end_with_their_request(self, client: Client) -> None:
        before = client.command("SELECT getSetting('max_block_size')")
        assert client.command("SELECT getSetting('max_block_size')", settings={"max_block_size": 1234}) == 1234
        assert client.command("SELECT getSetting('max_block_size')") == before

    def test_arrow_and_parquet_pass_through(self, client: Client) -> None:
        assert client.query_arrow("SELECT number FROM numbers(3)")["number"].to_pylist() == [0, 1, 2]
        assert client.raw_query("SELECT 1", fmt="Parquet")[:4] == b"PAR1"

    def test_the_bare_protocol(self, dsn: str) -> None:
        answer = post(dsn, query="SELECT 1 AS n", default_format="JSONEachRow")
        assert (answer.status_code, answer.text) == (200, '{"n":1}\n')
        assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
        assert answer.headers["X-ClickHouse-Timezone"] == "Etc/UTC"
        assert answer.headers["X-ClickHouse-Server-Display-Name"]
        assert post(dsn, b"+ 1", query="SELECT 1").text == "2\n"
        assert post(dsn).text == "Ok.\n"


class TestWriting:
    def test_the_summary_of_an_insert_select_counts_rows_written(self, client: Client, scratch: str) -> None:
        done = client.command(f"INSERT INTO {scratch} SELECT number, 'x' FROM numbers(12345)")
        assert isinstance(done, QuerySummary)
        assert done.written_rows == 12345
        assert client.command(f"SELECT count() FROM {scratch}") == 12345

    def test_an_export_counts_rows_written(self, client: Client, tmp_path: Path) -> None:
        done = client.command(
            "INSERT INTO FUNCTION file({path:String}, 'Parquet') SELECT number FROM numbers(1000)",
            parameters={"path": str(tmp_path / "rows.parquet")},
        )
        assert isinstance(done, QuerySummary)
        assert done.written_rows == 1000

    @pytest.mark.parametrize("compress", [True, False, "gzip"])
    def test_inserted_rows_arrive_whatever_their_bytes(self, dsn: str, scratch: str, compress: bool | str) -> None:
        rows = [[n, f"a;\n\nb{n}"] for n in range(50_000)]  # 2570 is two newlines in Native
        with clickhouse_connect.get_client(dsn=dsn, compress=compress) as client:
            done = client.insert(scratch, rows, column_names=["n", "s"])
            assert done.written_rows == len(rows)
            assert client.query(f"SELECT * FROM {scratch} ORDER BY n").result_rows == [tuple(row) for row in rows]

    def test_raw_inserts_and_values(self, client: Client, scratch: str) -> None:
        client.raw_insert(scratch, insert_block=b'{"n": 1, "s": "one"}\n', fmt="JSONEachRow")
        client.command(f"INSERT INTO {scratch} (s, n) VALUES ('two;', 1 + 1), ('it''s', 3);")
        assert client.query(f"SELECT s FROM {scratch} ORDER BY n").result_columns == [["one", "two;", "it's"]]

    def test_a_get_changes_nothing(self, dsn: str, client: Client, scratch: str) -> None:
        answer = post(dsn, query=f"INSERT INTO {scratch} SELECT 1, 'x'")
        assert (answer.status_code, answer.text[:10]) == (500, "Code: 164.")
        assert client.command(f"SELECT count() FROM {scratch}") == 0


class TestRefusing:
    @pytest.mark.parametrize(
        ("query", "code", "name", "status"),
        [
            ("SELEC 1", 62, "SYNTAX_ERROR", 400),
            ("SELECT nothing", 47, "UNKNOWN_IDENTIFIER", 404),
            ("SELECT * FROM nothing", 60, "UNKNOWN_TABLE", 404),
            ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", 500),
            ("SELECT {x:String}", 456, "UNKNOWN_QUERY_PARAMETER", 500),
            ("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR", 400),
            ("INSERT INTO events VALUES (1, ", 62, "SYNTAX_ERROR", 400),
        ],
    )
    def test_errors_have_the_engines_code_and_name(
        self, dsn: str, client: Client, query: str, code: int, name: str, status: int
    ) -> None:
        with pytest.raises(DatabaseError) as refused:
            client.command(query)
        assert (refused.value.code, refused.value.name) == (code, name)
        answer = post(dsn, query.encode())
        assert answer.status_code == status
        assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
        assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)

    def test_a_semicolon_in_a_text_or_at_the_end_is_no_second_statement(self, client: Client) -> None:
        assert client.command("SELECT 'a;b\n' || {s:String} /* ; */ ;", parameters={"s": ";"}) == r"a;b\n;"

    def test_unknown_settings_are_refused(self, dsn: str) -> None:
        answer = post(dsn, b"SELECT 1", no_such_setting="1")
        assert (answer.status_code, answer.text[:10]) == (404, "Code: 115.")

    def test_a_time_limit_ends_a_query(self, client: Client) -> None:
        started = time.monotonic()
        with pytest.raises(DatabaseError, match="TIMEOUT_EXCEEDED") as refused:
            client.query(SLOW, settings={"max_execution_time": 1})
        assert refused.value.code == 159
        assert time.monotonic() - started < 10

    def test_readonly_holds_for_its_request_alone(self, client: Client, scratch: str) -> None:
        limits = {"max_threads": 1, "readonly": 1, "max_execution_time": 30}
        assert client.command("SELECT getSetting('max_execution_time')", settings=limits) == 30
        for refused_query in (f"INSERT INTO {scratch} VALUES (1, 'x')", f"INSERT INTO {scratch} SELECT 1, 'x'"):
            with pytest.raises(DatabaseError, match="READONLY") as refused:
                client.command(refused_query, settings=limits)
            assert refused.value.code == 164
        with pytest.raises(DatabaseError, match="READONLY"):
            client.query("SELECT 1 SETTINGS max_execution_time = 0", settings=limits)
        client.command(f"INSERT INTO {scratch} VALUES (1, 'x')")
        assert client.command(f"SELECT count() FROM {scratch}") == 1

    def test_a_failure_half_way_ends_a_stream(self, client: Client) -> None:
        sql = "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)"
        rows: list[int] = []
        with client.query_column_block_stream(sql) as blocks, pytest.raises(StreamFailureError) as failure:
            rows.extend(len(block[0]) for block in blocks)
        assert 1_000_000 < sum(rows) <= 3_000_000
        assert (failure.value.code, failure.value.name) == (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO")
        with pytest.raises(DatabaseError) as refusal:
            client.query(sql)  # which waits for the end
        assert refusal.value.code == 395

    def test_a_failure_before_the_first_block_has_its_status(self, dsn: str) -> None:
        answer = post(dsn, b"/* tag */ SELECT throwIf(1) FORMAT Native")
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "395")

    def test_a_failed_query_leaves_nothing_for_the_next(self, client: Client) -> None:
        with pytest.raises(DatabaseError):
            client.raw_query("SELECT number, throwIf(number = 3000000) FROM numbers(5000000)", fmt="CSV")
        assert client.raw_query("SELECT 1", fmt="CSV") == b"1\n"


class TestTogether:
    def test_queries_overlap(self, dsn: str) -> None:
        both_here = "SELECT countIf(Settings['log_comment'] LIKE 'pair-%') FROM system.processes"

        def run(name: str) -> None:
            with clickhouse_connect.get_client(dsn=dsn) as client:
                client.query(SLOW, settings={"max_execution_time": 30, "log_comment": name})

        with ThreadPoolExecutor() as pool, clickhouse_connect.get_client(dsn=dsn) as observer:
            runs = [pool.submit(run, name) for name in ("pair-1", "pair-2")]
            wait_until(lambda: observer.command(both_here) == 2)
            observer.command("KILL QUERY WHERE Settings['log_comment'] LIKE 'pair-%'")
            assert [getattr(run.exception(timeout=20), "code", None) for run in runs] == [394, 394]

    @pytest.mark.parametrize("query", [SLOW, "INSERT INTO FUNCTION null('n UInt64') SELECT number FROM system.numbers"])
    def test_a_query_is_killed_by_its_comment(self, dsn: str, client: Client, query: str) -> None:
        comment = uuid.uuid4().hex
        raised: list[DatabaseError] = []

        def victim() -> None:
            with clickhouse_connect.get_client(dsn=dsn) as own, pytest.raises(DatabaseError) as killed:
                own.command(query, settings={"log_comment": comment, "max_execution_time": 30})
            raised.append(killed.value)

        thread = threading.Thread(target=victim)
        thread.start()
        mine = f"Settings['log_comment'] = '{comment}'"
        wait_until(lambda: client.command(f"SELECT count() FROM system.processes WHERE {mine}") == 1)
        client.command(f"KILL QUERY WHERE {mine}")
        thread.join(timeout=20)
        assert [(error.code, error.name) for error in raised] == [(394, "QUERY_WAS_CANCELLED")]

    def test_many_callers_get_their_own_answers(self, dsn: str) -> None:
        with clickhouse_connect.get_client(dsn=dsn, autogenerate_session_id=False) as client:

            def ask(n: int) -> bool:
                query = "SELECT throwIf({n:UInt32} % 3 = 0), {n:UInt32}"
                try:
                    return client.query(query, parameters={"n": n}).result_rows == [(0, n)]
                except DatabaseError as error:
                    return error.code == 395 and n % 3 == 0

            with ThreadPoolExecutor(8) as pool:
                assert all(pool.map(ask, range(400)))


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.05)


def test_the_server_ends_with_its_context() -> None:
    with start_server() as dsn:
        assert post(dsn, b"SELECT 1").text == "1\n"
    with pytest.raises(httpx.ConnectError):
        post(dsn, b"SELECT 1")


def test_a_bad_first_statement_is_reported() -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"), start_server(["SELECT * FROM nothing"]):
        pass
