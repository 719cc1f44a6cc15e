"""Reads that could go wrong, each compared with the direct query."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from endpoints_pipeline.query.variables import VariableType
from tests.query.materialization.grammar import BOOLEAN, DATE, FACTS, LIST, NAMES, NUMBER, STRING
from tests.query.materialization.home import DATABASE, Home

ODD = f"{DATABASE}.odd"
_COLUMNS = {
    "f": ("Float64", "[nan, 0., -0., 1.5, inf, 0.1][number % 6 + 1]"),
    "nf": ("Nullable(Float64)", "[NULL, nan, 1.5, 0.1][number % 4 + 1]"),
    "f32": ("Float32", "[nan, 0.1, 1.5, 16777216][number % 4 + 1]"),
    "p": ("Decimal(12, 2)", "[0.29, 1.5, -3][number % 3 + 1]"),
    "u64": ("UInt64", "[0, 18446744073709551615, 9007199254740993, 9007199254740992][number % 4 + 1]"),
    "i128": ("Int128", "number % 3"),
    "u": ("UUID", "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')"),
    "s": ("String", "['ab', 'ab\\0', 'AB', ' '][number % 4 + 1]"),
    "fs": ("FixedString(3)", "['ab', 'abc', ''][number % 3 + 1]"),
    "ip": ("IPv4", "toIPv4('1.2.3.4')"),
    "ln": ("LowCardinality(Nullable(String))", "[NULL, 'a', '', 'b'][number % 4 + 1]"),
    "e": ("Enum8('red' = 1, 'green' = 2)", "['red', 'green'][number % 2 + 1]"),
    "d32": ("Date32", "toDate32('1900-01-01') + number % 3"),
    "t9": ("DateTime64(9, 'UTC')", "toDateTime64('2026-01-01 00:00:00.123456789', 9, 'UTC') + number % 2"),
    "m": ("Map(String, String)", "map('k', toString(number % 3))"),
    "j": ("String", "concat('{\"k\":', toString(number % 3), '}')"),
    "tup": ("Tuple(a String, b Int32)", "(toString(number % 2), number % 3)"),
    "a": ("Array(String)", "[toString(number % 2)]"),
}


@pytest.fixture(scope="module")
def odd(plans: Home) -> Iterator[Home]:
    columns = ", ".join(f"{name} {type_}" for name, (type_, _) in _COLUMNS.items())
    values = ", ".join(value for _, value in _COLUMNS.values())
    plans.run(f"CREATE TABLE {ODD} (id UInt32, {columns}) ENGINE = Memory")
    plans.run(f"INSERT INTO {ODD} SELECT number, {values} FROM numbers(24)")
    yield plans
    plans.run(f"DROP TABLE {ODD}")


@pytest.mark.parametrize(
    ("condition", "declared", "values"),
    [
        ("f = {x}", NUMBER, [0, -0.0, 1.5, 0.1, None]),
        ("f < {x}", NUMBER, [0, 0.1, 2]),
        ("f IN ({x}, 1.5)", NUMBER, [0, 0.1]),
        ("nf = {x}", NUMBER, [1.5, 0.1, None]),
        ("f32 = {x}", NUMBER, [0.1, 1.5, 16777216, 16777217]),
        ("p = {x}", NUMBER, [0.29, 1.5, -3, 0.294]),
        ("p IN {x}", LIST, [[0.29], [1.5, -3], [], ["0.29"]]),
        ("u64 = {x}", NUMBER, [2**64 - 1, 2**53 + 1, float(2**53), 0, -1]),
        ("i128 = {x}", NUMBER, [0, 1, 2.5]),
        ("u = {x}", STRING, ["61f0c404-5cb3-11e7-907b-a6006ad3dba0", "61F0C404-5CB3-11E7-907B-A6006AD3DBA0"]),
        ("s = {x}", STRING, ["ab", "ab\0", "AB", ""]),
        ("s = toFixedString({x}, 3)", STRING, ["ab"]),
        ("trim(s) = trim({x})", STRING, ["ab", "", "  ab "]),
        ("fs = {x}", STRING, ["ab", "abc", "", "ab\0"]),
        ("ip = {x}", STRING, ["1.2.3.4", "4.3.2.1"]),
        ("ln = {x}", STRING, ["a", "", "none such", None]),
        ("ln NOT LIKE {x}", STRING, ["a", "", "%", None]),
        ("{x} IS NULL OR ln = {x}", STRING, ["a", None]),
        ("e = {x}", STRING, ["red", "none such", None]),
        ("e = {x}", NUMBER, [1, 2, 5]),
        ("e LIKE {x}", STRING, ["r%"]),
        ("e >= {x}", STRING, ["red", "green"]),  # by their numbers
        ("e IN {x}", LIST, [["red", "none such"], []]),
        ("d32 = {x}", DATE, ["1900-01-01", "1900-01-04"]),
        ("t9 = {x}", DATE, ["2026-01-01 00:00:00.123456789", "2026-01-01"]),
        ("toDate({x}) <= t9", DATE, ["2026-01-01", "2026-01-02"]),
        ("m['k'] = {x}", STRING, ["1", "9"]),
        ("JSONExtractInt(j, 'k') >= {x}", NUMBER, [1, 0.5]),
        ("tup.a = {x}", STRING, ["1", "0"]),
        ("(e, id) = ({x}, 2)", STRING, ["red", "green"]),
        ("a = {x}", LIST, [["1"], []]),
        ("a[1] = {x}", STRING, ["1", "0"]),
        ("(id % 2 = 0) = {x}", BOOLEAN, [True, False, None]),
        ("id >= {x} AND id <= {x} + 3", NUMBER, [2, 0.5]),
        ("id = toInt32OrZero({x})", STRING, ["5", "five"]),
        ("toDate(t9) >= today() - toIntervalYear({x})", NUMBER, [100, 0]),
    ],
)
@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM {t} WHERE {c} ORDER BY id",
        "SELECT e, count() AS c, max(id), avg(id) FROM {t} WHERE {c} GROUP BY e ORDER BY e",
        "SELECT count() AS c, max(id), avg(id), uniq(ln) FROM {t} WHERE {c}",
    ],
    ids=["rows", "groups", "all"],
)
def test_of_columns_of_every_kind(
    odd: Home, query: str, condition: str, declared: VariableType, values: list[object]
) -> None:
    sql = query.replace("{t}", ODD).replace("{c}", condition.replace("{x}", "{variables.x}"))
    odd.answers(sql, {"x": declared}, [{"x": value} for value in values])


_N = [{"n": 1}, {"n": 0}, {"n": 7}]
_X = [{"x": "a"}, {"x": "none such"}, {"x": None}]


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        # order: names, expressions, positions, columns that the result doesn't have
        ("SELECT n AS a, id FROM FACTS WHERE k = {x} ORDER BY a * 2 DESC, -id", _X),
        ("SELECT id AS k FROM FACTS WHERE n = {n} ORDER BY facts.k, id", _N),
        ("SELECT id AS n FROM FACTS WHERE n = {n} ORDER BY n", _N),  # {n} is compared with id
        ("SELECT k, id FROM FACTS WHERE n = {n} ORDER BY 2 DESC LIMIT 1 BY 1", _N),
        ("SELECT id FROM FACTS WHERE n = {n} ORDER BY k, s NULLS FIRST, id", _N),
        ("SELECT s, id FROM FACTS WHERE k = {x} ORDER BY s COLLATE 'en', id", _X),
        ("SELECT n FROM FACTS WHERE n = {n} ORDER BY n WITH FILL FROM 0 TO 5", _N),
        ("SELECT toDate(ts) AS day, count() FROM FACTS WHERE n >= {n} GROUP BY day ORDER BY day WITH FILL", _N),
        ("SELECT n, k FROM FACTS WHERE k = {x} ORDER BY n LIMIT 2 WITH TIES", _X),
        # LIMIT, which holds for what the values leave
        ("SELECT id FROM FACTS WHERE k = {x} ORDER BY id LIMIT 3 OFFSET 1", _X),
        ("SELECT id FROM FACTS WHERE k = {x} ORDER BY id OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY", _X),
        ("SELECT id FROM FACTS WHERE n = {n} ORDER BY id LIMIT 1 OFFSET 1 BY k", _N),
        ("SELECT count() FROM FACTS WHERE k LIKE {x} LIMIT 1 OFFSET 1", _X),
        ("SELECT id FROM (SELECT * FROM FACTS ORDER BY id LIMIT 9) WHERE k = {x} ORDER BY id", _X),
        # DISTINCT and GROUP BY
        ("SELECT DISTINCT k FROM FACTS WHERE n = {n} ORDER BY k", _N),
        ("SELECT DISTINCT count() FROM FACTS WHERE n >= {n} GROUP BY k, b ORDER BY 1", _N),
        ("SELECT k AS a, count() FROM FACTS WHERE n >= {n} GROUP BY 1 ORDER BY 2 DESC, a", _N),
        ("SELECT k, b, count() FROM FACTS WHERE n = {n} GROUP BY ALL ORDER BY ALL DESC", _N),
        (
            "SELECT toStartOfInterval(ts, INTERVAL 6 HOUR) h, max(n) FROM FACTS WHERE n >= {n} GROUP BY h ORDER BY h",
            _N,
        ),
        ("SELECT k, sum(n) AS t, t / count() AS m FROM FACTS WHERE n >= {n} GROUP BY k HAVING t > 3 ORDER BY m, k", _N),
        ("SELECT avg(c), max(c) FROM (SELECT k, count() AS c FROM FACTS WHERE n = {n} GROUP BY k)", _N),
        ("SELECT arrayMap(n -> n + 1, groupArraySorted(3)(n)) FROM FACTS WHERE n >= {n}", _N),
        ("SELECT max(if(n > 1, nan, f)), min(if(n > 1, nan, f)) FROM FACTS WHERE n >= {n}", _N),
        ("SELECT groupArray(id) FROM FACTS WHERE n = {n}", _N),  # one state, whatever its order
        ("SELECT sum(n) FROM FACTS WHERE k = {x} GROUP BY ()", _X),
        # names that mean one thing in WHERE and another elsewhere
        ("SELECT lower(k) AS k, id FROM FACTS WHERE upper(k) = upper({x}) ORDER BY id", _X),
        ("SELECT lower(k) AS k, count() FROM FACTS WHERE k = {x} GROUP BY k", _X),
        ("SELECT n + 1 AS n, count() FROM FACTS WHERE n >= {n} GROUP BY n ORDER BY n", _N),
        ("WITH 2 AS two SELECT n * two AS z FROM FACTS WHERE n * two = {n} ORDER BY z", _N),
        ("WITH x -> x + 1 AS inc SELECT inc(n) AS z FROM FACTS WHERE inc(n) = {n}", _N),
        # ARRAY JOIN, JOIN, subqueries
        ("SELECT a, count() FROM FACTS LEFT ARRAY JOIN arr AS a WHERE a = {x} GROUP BY a", [{"x": "x"}, {"x": ""}]),
        ("SELECT id, arrayJoin(arr) AS a FROM FACTS WHERE a = {x} ORDER BY id", [{"x": "x"}, {"x": "y"}]),
        ("SELECT k, arrayJoin([1, 2]) AS j, count() FROM FACTS WHERE n >= {n} GROUP BY k, j ORDER BY 1, 2", _N),
        ("SELECT x.*, y.* FROM FACTS x JOIN NAMES y ON x.k = y.k WHERE x.n = {n} ORDER BY id, w", _N),
        ("SELECT count() FROM FACTS a FULL JOIN NAMES y ON a.k = y.k WHERE y.k = {x}", _X),
        ("SELECT id FROM FACTS WHERE n = {n} AND EXISTS(SELECT 1 FROM NAMES WHERE w = facts.n) ORDER BY id", _N),
        ("SELECT n, count(), (SELECT max(w) FROM NAMES) AS m FROM FACTS WHERE n = {n} GROUP BY n", _N),
        (
            "WITH a AS (SELECT * FROM FACTS WHERE k = {x}), b AS (SELECT * FROM NAMES WHERE w >= {n}) "
            "SELECT * FROM a JOIN b ON a.k = b.k ORDER BY id, w LIMIT 3",
            [{"x": "a", "n": 1}, {"x": "ab", "n": -2}],
        ),
        ("SELECT tuple(*) FROM (SELECT k, id FROM FACTS WHERE n = {n}) ORDER BY id", _N),
    ],
)
def test_of_queries_with_every_clause(plans: Home, sql: str, values: list[dict[str, object]]) -> None:
    types = {name: type_ for name, type_ in {"x": STRING, "n": NUMBER}.items() if name in values[0]}
    for name in types:
        sql = sql.replace(f"{{{name}}}", f"{{variables.{name}}}")
    plans.answers(sql.replace("FACTS", FACTS).replace("NAMES", NAMES), types, values)
