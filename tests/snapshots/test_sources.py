"""Queries that read endpoints by their names: in the engine's both homes, over real snapshots on S3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.engine import Role
from endpoints_pipeline.engine.types import json_columns
from endpoints_pipeline.errors import EngineError, InvalidInput, QueryLimitExceeded, SourceNotReady
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.query.materialization import Plan, materializable
from endpoints_pipeline.query.variables import VariableType, bind, parameterized, parameters
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.source import prepare
from tests.fixtures.engine import EVENTS, MakeApplication
from tests.snapshots.builders import PROJECT, change, checked, create, refresh, served

DAILY = "SELECT toDate(at) AS day, count() AS events, sum(amount) AS amount FROM events GROUP BY day ORDER BY day"
#: One column of each kind that Parquet can't hold, or that loses its name there.
TYPES = """
SELECT toInt128(number) AS big, toUInt256(7) AS bigger, toIPv4('10.0.0.1') AS ip,
    CAST('b', 'Enum8(\\'a\\' = 1, \\'b\\' = 2)') AS enum,
    toDateTime('2026-01-01 00:00:00', 'Asia/Tokyo') AS at, CAST(('x', 1), 'Tuple(a String, b UInt8)') AS pair,
    NULL AS nothing, [] AS none, toLowCardinality('low') AS low, toBFloat16(1.5) AS bf, map('k', [number]) AS m,
    toDecimal64(number, 3) AS money, toUUID('00000000-0000-0000-0000-000000000001') AS id, toTime64('10:00:00', 3) AS tm
FROM numbers(3)
"""


@pytest.fixture
def application(home: str, make_application: MakeApplication, request: pytest.FixtureRequest) -> Application:
    """An application over each home of the engine."""
    if home == "server":
        return make_application(engine_dsn=request.getfixturevalue("server_dsn"))
    return make_application()


@pytest.fixture
def embedded(make_application: MakeApplication) -> Application:
    return make_application()


def rows(application: Application, sql: str, saved: Reads | None = None, **values: str) -> Any:
    """What an inline run of a query gives."""
    bounds = {name: bind(name, VariableType.STRING, value) for name, value in values.items()}
    prepared = prepare(application.sources, PROJECT, sql, bounds, saved=saved)
    resolved = application.sources.resolve(PROJECT, prepared.sql, prepared.parameters, saved=saved)
    answer = application.engine.json_rows(
        f"SELECT {json_columns(prepared.columns)} FROM ({resolved.sql})", resolved.parameters, role=resolved.role
    )
    return json.loads(b"[" + answer.data + b"]")


def described(application: Application, sql: str) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in prepare(application.sources, PROJECT, sql, {}).columns]


@pytest.fixture
def daily(application: Application) -> None:
    refresh(application, create(application, DAILY, "daily"))


@pytest.mark.usefixtures("daily")
class TestReading:
    def test_an_endpoint_gives_the_rows_of_its_snapshot(self, application: Application) -> None:
        direct = rows(application, f"SELECT * FROM ({DAILY}) ORDER BY day")
        assert rows(application, "SELECT * FROM daily ORDER BY day") == direct
        assert len(direct) == 13

    @pytest.mark.parametrize(
        ("sql", "expected"),
        [
            ("SELECT count() FROM daily", [[13]]),
            ("SELECT sum(events) FROM daily", [[EVENTS]]),
            ("SELECT daily.events FROM daily WHERE daily.day = '2026-01-01'", [[24]]),
            ("SELECT d.events FROM daily AS d WHERE d.day = '2026-01-01'", [[24]]),
            ("SELECT count() FROM events JOIN daily ON toDate(events.at) = daily.day", [[EVENTS]]),
            ("SELECT count() FROM daily AS a JOIN daily AS b USING day", [[13]]),
            ("SELECT count() FROM events WHERE toDate(at) IN (SELECT day FROM daily)", [[EVENTS]]),
            ("SELECT (SELECT max(events) FROM daily)", [[24]]),
            ("WITH daily AS (SELECT * FROM daily WHERE events < 24) SELECT count() FROM daily", [[1]]),
            ("WITH daily AS (SELECT 1 AS n) SELECT * FROM daily", [[1]]),
            ("SELECT count() FROM daily UNION ALL SELECT count() FROM events", [[13], [EVENTS]]),
            ("SELECT count() FROM (SELECT day FROM daily INTERSECT SELECT day FROM daily)", [[13]]),
            ("SELECT count() FROM view(SELECT * FROM daily)", [[13]]),
            ("SELECT 'daily' AS daily", [["daily"]]),
        ],
    )
    def test_it_stands_where_a_table_may(self, application: Application, sql: str, expected: list[list[Any]]) -> None:
        assert sorted(rows(application, sql)) == sorted(expected)

    def test_columns_are_called_as_those_of_a_table(self, application: Application) -> None:
        create(application, "SELECT user_id, name FROM users", "people")
        for sql in (
            "SELECT * FROM {x} AS a JOIN {x} AS b USING user_id",
            "SELECT a.name, b.name, upper(b.name) FROM {x} AS a, {x} AS b",
            "SELECT {x}.name, {x}.* FROM {x}",
            "SELECT count(), 1 IN (SELECT user_id FROM {x}), (SELECT any(name) FROM {x}) FROM {x}",
        ):
            of_table = [name for name, _ in described(application, sql.replace("{x}", "users"))]
            of_endpoint = [name for name, _ in described(application, sql.replace("{x}", "people"))]
            assert [name.replace("people", "users") for name in of_endpoint] == [
                name for name in of_table if "born" not in name
            ], sql

    def test_variables_go_with_it(self, application: Application) -> None:
        sql = "SELECT events FROM daily WHERE toString(day) = {variables.day}"
        assert rows(application, sql, day="2026-01-02") == [[24]]

    def test_the_text_that_people_see_keeps_the_name(self, application: Application) -> None:
        prepared = prepare(application.sources, PROJECT, "select * from daily d", {})
        assert prepared.sql == "SELECT * FROM daily AS d"
        resolved = application.sources.resolve(PROJECT, prepared.sql)
        for hidden in (application.engine.s3.secret_key, application.engine.s3.access_key, "http", "parquet'"):
            assert hidden not in resolved.sql
        assert resolved.role is Role.SNAPSHOT_READER

    def test_it_reads_the_snapshot_of_now(self, application: Application, warehouse: Path) -> None:
        first = served(application, "daily")
        endpoint = change(application, "daily", query=checked(application, "SELECT 1 AS n"))
        with pytest.raises(SourceNotReady):
            rows(application, "SELECT * FROM daily")
        refresh(application, endpoint)
        assert rows(application, "SELECT * FROM daily") == [[1]]
        assert served(application, "daily") != first

    def test_one_endpoint_reads_another_that_reads_a_third(self, application: Application) -> None:
        refresh(application, create(application, "SELECT toStartOfWeek(day) AS week, * FROM daily", "with-weeks"))
        weekly = create(application, "SELECT week, sum(events) AS n FROM `with-weeks` GROUP BY week", "weekly")
        snapshot = refresh(application, weekly).snapshot
        assert rows(application, "SELECT sum(n) FROM weekly") == [[EVENTS]]
        assert snapshot.rows == 3
        assert weekly.version.reads == Reads((), ("with-weeks",))

    def test_a_name_with_a_dash_is_quoted(self, application: Application) -> None:
        refresh(application, create(application, "SELECT 7 AS n", "my-numbers"))
        assert rows(application, "SELECT `my-numbers`.n FROM `my-numbers`") == [[7]]
        assert rows(application, "SELECT 7 IN `my-numbers`, 8 IN `my-numbers`") == [[1, 0]]

    @pytest.mark.parametrize(
        "sql",
        ["SELECT throwIf(events > 0, 'no') FROM daily", "SELECT nothing FROM daily", "SELECT day + 'x' FROM daily"],
    )
    def test_an_error_of_the_engine_does_not_show_where_snapshots_are(self, application: Application, sql: str) -> None:
        with pytest.raises(EngineError) as failure:
            rows(application, sql)
        s3 = application.engine.s3
        for hidden in (s3.secret_key, s3.access_key, s3.endpoint_url, "s3(", ".parquet"):
            assert hidden not in str(failure.value)


class TestTypes:
    def test_columns_have_the_types_of_the_endpoints_query(self, application: Application) -> None:
        endpoint = create(application, TYPES, "types")
        before = described(application, "SELECT * FROM types")
        refresh(application, endpoint)
        after = described(application, "SELECT * FROM types")
        assert before == after, "what is described without a snapshot is what its rows will be"
        own = {name: type_ for name, type_ in described(application, TYPES) if "Nothing" not in type_}
        assert {name: type_ for name, type_ in after if name in own} == own
        assert set(dict(after)) - set(own) == {"nothing", "none"}

    def test_values_survive(self, application: Application) -> None:
        refresh(application, create(application, TYPES, "types"))
        own = rows(application, f"SELECT * EXCEPT (nothing, none) FROM ({TYPES}) ORDER BY big")
        assert rows(application, "SELECT * EXCEPT (nothing, none) FROM types ORDER BY big") == own
        assert rows(application, "SELECT big + toInt128(1), enum = 'b', pair.a FROM types WHERE big = 2") == [
            ["3", 1, "x"]
        ]


class TestBeforeTheFirstSnapshot:
    def test_a_query_can_be_saved(self, application: Application) -> None:
        create(application, DAILY, "daily")
        weekly = create(
            application, "SELECT toStartOfWeek(day) AS week, sum(events) FROM daily GROUP BY week", "weekly"
        )
        assert [column.type for column in weekly.version.columns] == ["Nullable(Date)", "UInt64"]

    def test_a_run_and_a_refresh_say_what_to_wait_for(self, application: Application) -> None:
        create(application, DAILY, "daily")
        weekly = create(application, "SELECT * FROM daily", "weekly")
        with pytest.raises(
            SourceNotReady, match=r"endpoint 'daily', which has no snapshot yet\. Try again after"
        ) as no:
            rows(application, "SELECT * FROM daily")
        assert no.value.transient
        with pytest.raises(SourceNotReady):
            refresh(application, weekly)
        assert served(application, "weekly") is None

    def test_a_subquery_for_a_value_can_be_described(self, application: Application) -> None:
        create(application, "SELECT [1, 2] AS list", "lists")
        assert described(application, "SELECT (SELECT list FROM lists) AS a") == [("a", "Array(UInt8)")]


class TestRefused:
    def refused(self, application: Application, sql: str, saved: Reads | None = None) -> str:
        with pytest.raises(InvalidInput) as refusal:
            prepare(application.sources, PROJECT, sql, {}, saved=saved)
        assert refusal.value.attr == "query"
        return str(refusal.value)

    def test_an_endpoint_that_is_not_materialized(self, embedded: Application) -> None:
        create(embedded, DAILY, "daily", is_materialized=False)
        assert self.refused(embedded, "SELECT * FROM daily") == (
            "Invalid HogQL query: It reads the endpoint 'daily', which isn't materialized; materialize it first."
        )

    def test_an_endpoint_that_takes_variables(self, embedded: Application, request: pytest.FixtureRequest) -> None:
        embedded.catalog.variables.create(
            PROJECT, name="x", type=VariableType.NUMBER, default_value=1, by=None, now=embedded.clock()
        )
        create(embedded, "SELECT id FROM events WHERE id >= {variables.x}", "daily")
        assert "'daily', which takes variables; only an endpoint without" in self.refused(
            embedded, "SELECT * FROM daily"
        )

    def test_a_name_that_is_nothing(self, embedded: Application) -> None:
        assert self.refused(embedded, "SELECT * FROM dayly") == (
            "Invalid HogQL query: Unknown table 'dayly'. Known tables: events, users. A materialized endpoint can be "
            "read by its name, too"
        )

    def test_an_endpoint_of_another_project(self, embedded: Application) -> None:
        create(embedded, DAILY, "daily")
        embedded.catalog.projects.ensure(2, "Other", embedded.clock())
        with pytest.raises(InvalidInput, match="Unknown table 'daily'"):
            embedded.sources.guard(2, "SELECT * FROM daily")

    @pytest.mark.parametrize("how", ["daily FINAL", "daily SAMPLE 0.1"])
    def test_what_only_tables_can(self, embedded: Application, how: str) -> None:
        create(embedded, DAILY, "daily")
        assert "FINAL and SAMPLE don't work on the endpoint 'daily'" in self.refused(embedded, f"SELECT * FROM {how}")

    @pytest.mark.parametrize("name", ["warehouse.daily", "`warehouse.daily`", "other.daily"])
    def test_a_qualified_name(self, embedded: Application, name: str) -> None:
        create(embedded, DAILY, "daily")
        assert "Unknown table" in self.refused(embedded, f"SELECT * FROM {name}")

    def test_our_own_parameters_and_functions(self, embedded: Application) -> None:
        refresh(embedded, create(embedded, DAILY, "daily"))
        for trick in ("{s3_secret:String}", "{endpoint_0_url_0:String}"):
            assert "is not allowed" in self.refused(embedded, f"SELECT {trick} FROM daily")
        assert "s3" in self.refused(embedded, "SELECT * FROM daily, s3('http://x/y')")

    def test_an_endpoint_that_was_deleted(self, embedded: Application) -> None:
        refresh(embedded, create(embedded, DAILY, "daily"))
        weekly = create(embedded, "SELECT * FROM daily", "weekly")
        embedded.catalog.endpoints.delete(PROJECT, "daily", embedded.clock())
        assert self.refused(embedded, "SELECT * FROM daily", weekly.version.reads) == (
            "Invalid HogQL query: It reads the endpoint 'daily', which was deleted; take it out of the query, or "
            "create it again."
        )
        with pytest.raises(InvalidInput, match="daily"):
            refresh(embedded, weekly)

    def test_an_endpoint_that_was_switched_off_between_two_looks(self, embedded: Application) -> None:
        refresh(embedded, create(embedded, DAILY, "daily"))
        guarded = embedded.sources.guard(PROJECT, "SELECT * FROM daily")
        change(embedded, "daily", is_materialized=False)
        with pytest.raises(InvalidInput, match="isn't materialized"):
            embedded.sources.resolve(PROJECT, guarded.sql)


class TestTablesAndEndpointsOfOneName:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "tables").mkdir()
        pq.write_table(pa.table({"n": [1]}), tmp_path / "tables" / "numbered.parquet")
        return tmp_path / "tables"

    @pytest.fixture
    def shop(self, make_application: MakeApplication, folder: Path) -> Application:
        return make_application(warehouse=str(folder))

    def test_a_table_comes_first(self, shop: Application) -> None:
        refresh(shop, create(shop, "SELECT 2 AS n", "numbered"))
        assert rows(shop, "SELECT n FROM numbered") == [[1]]
        assert prepare(shop.sources, PROJECT, "SELECT n FROM numbered", {}).reads == Reads(("numbered",))

    def test_an_endpoint_may_have_the_name_of_the_table_it_reads(self, shop: Application) -> None:
        endpoint = create(shop, "SELECT n + 1 AS n FROM numbered", "numbered")
        assert endpoint.version.reads == Reads(("numbered",))
        assert rows(shop, "SELECT n FROM numbered") == [[1]]

    def test_an_endpoint_never_takes_the_place_of_a_table_that_went(self, shop: Application, folder: Path) -> None:
        """Or a refresh would read its own last snapshot, and be content."""
        endpoint = create(shop, "SELECT n + 1 AS n FROM numbered", "numbered")
        refresh(shop, endpoint)
        (folder / "numbered.parquet").unlink()
        with pytest.raises(InvalidInput, match="Unknown table 'numbered'"):
            rows(shop, endpoint.version.sql, endpoint.version.reads)

    def test_a_table_never_takes_the_place_of_an_endpoint(self, shop: Application, folder: Path) -> None:
        refresh(shop, create(shop, "SELECT 2 AS n", "twos"))
        reader = create(shop, "SELECT n FROM twos", "reader")
        pq.write_table(pa.table({"n": [9]}), folder / "twos.parquet")
        assert rows(shop, "SELECT n FROM twos") == [[9]]
        assert rows(shop, reader.version.sql, reader.version.reads) == [[2]]


class TestColumnsAndEndpointsOfOneName:
    """``x IN name`` looks for a column before a table, so it does before an endpoint."""

    SQL = "SELECT count() FROM events WHERE 'all' IN tags"

    @pytest.fixture
    def expected(self, application: Application) -> Any:
        return rows(application, self.SQL)

    def test_a_column_comes_first(self, application: Application, expected: Any) -> None:
        refresh(application, create(application, "SELECT 'nothing' AS n", "tags"))
        assert rows(application, self.SQL) == expected != [[0]]
        assert prepare(application.sources, PROJECT, self.SQL, {}).reads == Reads(("events",))

    def test_an_endpoint_that_can_not_be_read_is_no_obstacle(self, application: Application, expected: Any) -> None:
        create(application, "SELECT 'nothing' AS n", "tags", is_materialized=False)
        assert rows(application, self.SQL) == expected

    def test_an_endpoint_of_the_columns_name_does_not_read_itself(self, application: Application) -> None:
        create(application, "SELECT 1 AS n", "tags")
        changed = change(application, "tags", query=checked(application, self.SQL))
        assert changed.version.version == 2

    def test_a_set_of_an_endpoint(self, application: Application) -> None:
        refresh(application, create(application, "SELECT id FROM events WHERE id < 3", "few"))
        sql = "SELECT count() FROM events WHERE id IN few UNION ALL SELECT count() FROM events WHERE id NOT IN few"
        assert sorted(rows(application, sql)) == [[3], [EVENTS - 3]]
        assert prepare(application.sources, PROJECT, sql, {}).reads == Reads(("events",), ("few",))

    def test_both_in_one_query(self, application: Application, expected: Any) -> None:
        refresh(application, create(application, "SELECT 'none' AS n", "tags"))
        sql = f"SELECT ({self.SQL}), 'none' IN tags"
        assert rows(application, sql) == [[*expected[0], 1]]
        assert prepare(application.sources, PROJECT, sql, {}).reads == Reads(("events",), ("tags",))


class TestRights:
    """A SNAPSHOT_READER may call s3(), and nothing else that a READER may not."""

    @pytest.mark.parametrize(
        "statement",
        [
            "CREATE TABLE made (n UInt8) ENGINE = Memory",
            "DROP TABLE events",
            "ALTER TABLE events DELETE WHERE 1",
            "INSERT INTO events (id) VALUES (1)",
            "SYSTEM FLUSH LOGS",
            "SET readonly = 0",
        ],
    )
    def test_it_changes_nothing(self, application: Application, statement: str) -> None:
        application.engine.tables()
        with (
            pytest.raises(Exception, match=r"READONLY|readonly"),
            application.engine._handles.borrow(Role.SNAPSHOT_READER) as handle,
        ):
            handle.command(statement)

    def test_the_limits_of_a_run_hold(self, make_application: MakeApplication) -> None:
        application = make_application(query_timeout=0.5)
        refresh(application, create(application, "SELECT 1 AS n", "few"))
        resolved = application.sources.resolve(
            PROJECT, "SELECT sum(sipHash64(number)) FROM few, numbers(9000000000) AS more"
        )
        with pytest.raises(QueryLimitExceeded):
            application.engine.json_rows(resolved.sql, role=resolved.role, parameters=resolved.parameters)


class TestCost:
    @pytest.fixture
    def calls(self, embedded: Application, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The texts that the engine is asked to run."""
        told: list[str] = []
        borrow = embedded.engine._handles.borrow

        def counting(role: Role, **more: Any) -> Any:
            told.append(role.value)
            return borrow(role, **more)

        embedded.engine.guard("SELECT 1")  # the engine's functions are asked for once
        monkeypatch.setattr(embedded.engine._handles, "borrow", counting)
        return told

    def test_a_query_without_endpoints_takes_no_more_calls(self, embedded: Application, calls: list[str]) -> None:
        guarded = embedded.engine.guard("SELECT name FROM users")
        embedded.engine.describe(guarded.sql)
        least = len(calls)
        prepared = prepare(embedded.sources, PROJECT, "SELECT name FROM users", {})
        resolved = embedded.sources.resolve(PROJECT, prepared.sql)
        assert (resolved.sql, resolved.role) == (prepared.sql, Role.READER)
        assert len(calls) == 2 * least

    def test_the_replaced_text_is_kept(self, embedded: Application, calls: list[str]) -> None:
        endpoint = create(embedded, DAILY, "daily")
        refresh(embedded, endpoint)
        rows(embedded, "SELECT count() FROM daily")
        calls.clear()
        rows(embedded, "SELECT count() FROM daily")
        refresh(embedded, endpoint)
        again = len(calls)
        calls.clear()
        rows(embedded, "SELECT count() FROM daily")
        assert len(calls) <= again
        assert len(calls) == 4  # tables, parse, describe, run


class TestMaterializationOfReaders:
    def test_the_planner_knows_endpoints_for_tables(self, application: Application) -> None:
        refresh(application, create(application, DAILY, "daily"))
        types = {"day": VariableType.STRING}
        bounds = {"day": bind("day", VariableType.STRING, "2026-01-03")}
        sql = parameterized(
            "SELECT sum(events) AS n FROM daily WHERE toString(day) = {variables.day}",
            {name: bound.type for name, bound in bounds.items()},
        )
        guarded = application.sources.guard(PROJECT, sql, parameters(bounds))
        plan = materializable(guarded.tree, types, application.sources.grammar(PROJECT))
        assert isinstance(plan, Plan), plan
        assert "daily" in plan.stored_sql
        assert len(rows(application, plan.stored_sql)) == 13
