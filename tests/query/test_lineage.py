"""What a query reads, judged by the engine's own way of looking names up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.errors import EngineError
from endpoints_pipeline.query.lineage import Reads, mentions, reads

T = "WITH t AS (SELECT 'own' AS n)"
#: Whether each reads a table ``t``; ``u`` is another one, with an array column ``ts``.
READING_T = {
    "SELECT n FROM t": True,
    "SELECT n FROM u": False,
    "SELECT x.n FROM t AS x": True,
    "SELECT u.n FROM u JOIN t USING n": True,
    "SELECT n FROM u WHERE n IN t": True,
    "SELECT n FROM u WHERE n NOT IN t": True,
    "SELECT n FROM u WHERE n GLOBAL IN t": True,
    "SELECT n FROM u WHERE n IN (SELECT n FROM t)": True,
    "SELECT (SELECT any(n) FROM t)": True,
    "SELECT n FROM view(SELECT n FROM t)": True,
    "SELECT n FROM u ORDER BY (SELECT count() FROM t)": True,
    f"{T} SELECT n FROM t": False,
    f"{T} SELECT 'a' IN t": False,
    f"{T} SELECT n FROM (SELECT * FROM (SELECT n FROM t))": False,
    f"{T} SELECT n FROM view(SELECT n FROM t)": True,
    f"{T} SELECT n FROM t UNION ALL SELECT n FROM t": False,
    f"SELECT n FROM t UNION ALL ({T} SELECT n FROM t)": True,
    f"SELECT n FROM u UNION ALL ({T} SELECT n FROM t) UNION ALL SELECT n FROM t": True,
    f"SELECT n FROM ({T} SELECT n FROM t) UNION ALL SELECT n FROM t": True,
    f"({T} SELECT n FROM t UNION ALL SELECT 'x') UNION DISTINCT SELECT n FROM t": True,
    f"{T} SELECT n FROM t INTERSECT SELECT n FROM t": False,
    f"{T} SELECT n FROM u EXCEPT SELECT n FROM t": False,
    f"SELECT x.n FROM ({T} SELECT n FROM t) AS x CROSS JOIN t": True,
    "WITH t AS (SELECT n FROM t) SELECT n FROM t": True,
    "WITH t AS (SELECT n FROM u WHERE n IN t) SELECT n FROM t": True,
    f"{T} SELECT (WITH t AS (SELECT n FROM t) SELECT any(n) FROM t)": False,
    f"{T}, x AS (SELECT n FROM t) SELECT n FROM x": False,
    "WITH x AS (SELECT n FROM t), t AS (SELECT 'own' AS n) SELECT n FROM x": False,
    "WITH RECURSIVE t AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM t WHERE i < 3) SELECT i FROM t": False,
    "WITH RECURSIVE u2 AS (SELECT 1 AS i), t AS (SELECT n FROM t) SELECT n FROM t": True,
    "WITH (SELECT any(n) FROM t) AS t SELECT t FROM u": True,
    "WITH 'a' AS t SELECT t FROM u": False,
    "SELECT n AS t FROM u": False,
}


@pytest.fixture(scope="module")
def database(embedded_engine: Engine) -> Iterator[str]:
    """One with ``u`` in it, and ``t``."""
    name = "lineage"
    for statement in (
        f"CREATE DATABASE {name}",
        f"CREATE TABLE {name}.u (n String, ts Array(String)) ENGINE = Memory",
        f"CREATE TABLE {name}.t (n String) ENGINE = Memory",
    ):
        embedded_engine.query(statement)
    yield name
    embedded_engine.query(f"DROP DATABASE {name}")


def found(engine: Engine, sql: str) -> list[str]:
    return sorted({mention.name for mention in mentions(engine.parse(sql))})


@pytest.mark.parametrize(("sql", "reads_t"), READING_T.items())
def test_the_names_of_a_query_mean_what_they_mean_to_the_engine(
    embedded_engine: Engine, sql: str, reads_t: bool
) -> None:
    assert ("t" in found(embedded_engine, sql)) == reads_t
    # there is no such table, so the engine fails if the query reads it
    with_u = sql.replace("FROM u", "FROM (SELECT 'a' AS n) AS u")
    if not reads_t:
        assert embedded_engine.describe(with_u)
        return
    with pytest.raises(EngineError) as failure:
        embedded_engine.describe(with_u)
    assert failure.value.engine_name in ("UNKNOWN_TABLE", "UNKNOWN_IDENTIFIER")


@pytest.mark.parametrize(
    "sql",
    ["SELECT n FROM u ARRAY JOIN ts AS t", "SELECT t.n FROM u AS t", "SELECT sum(t) FROM numbers(3) AS t", "SELECT 1"],
)
def test_an_alias_is_no_table(embedded_engine: Engine, sql: str) -> None:
    assert set(found(embedded_engine, sql)) <= {"u"}


def test_a_name_in_a_set_may_be_a_columns(embedded_engine: Engine, database: str) -> None:
    [mention] = [
        one for one in mentions(embedded_engine.parse(f"SELECT 'a' IN ts FROM {database}.u")) if one.name == "ts"
    ]
    assert mention.is_set
    assert embedded_engine.describe(f"SELECT 'a' IN ts FROM {database}.u")


def test_qualified_names_keep_their_database(embedded_engine: Engine) -> None:
    sql = "WITH t AS (SELECT 1) SELECT * FROM other.t JOIN t ON 1 WHERE 1 IN other.s"
    assert found(embedded_engine, sql) == ["other.s", "other.t"]


def test_a_query_may_be_nested_as_deeply_as_the_engine_lets_it(embedded_engine: Engine) -> None:
    sql = "SELECT n FROM t"
    for _ in range(60):
        sql = f"SELECT n FROM ({sql})"
    assert found(embedded_engine, sql) == ["t"]


class TestReads:
    def test_names_are_told_apart(self, embedded_engine: Engine) -> None:
        tree = embedded_engine.parse("SELECT * FROM shop.b, a, other.c, daily, unknown WHERE 1 IN daily OR 1 IN b")
        known = {"a", "b", "shop.a", "shop.b", "other.c", "daily", "shop.daily"}
        assert reads(mentions(tree), known, {"daily"}, "shop") == Reads(("a", "b", "other.c"), ("daily",))

    def test_a_qualified_name_is_never_an_endpoints(self, embedded_engine: Engine) -> None:
        tree = embedded_engine.parse("SELECT * FROM shop.daily")
        assert reads(mentions(tree), {"shop.daily"}, {"shop.daily"}, "shop") == Reads(("daily",))

    def test_they_survive_json(self) -> None:
        one = Reads(("a", "shop.b"), ("daily",))
        assert Reads.from_json(one.to_json()) == one
        assert Reads.from_json({}) == Reads()


class TestGuarded:
    def test_tables_of_the_default_database_go_by_their_bare_names(self, engine: Engine, home: str) -> None:
        default = "warehouse" if home == "embedded" else "shop"
        guarded = engine.guard(f"SELECT * FROM events JOIN {default}.users USING user_id WHERE 1 IN {default}.events")
        assert guarded.reads == Reads(("events", "users"))

    def test_tables_of_another_database_keep_its_name(self, server_engine: Engine) -> None:
        assert server_engine.guard("SELECT * FROM other.things, events").reads == Reads(("events", "other.things"))
