"""Generated tables, queries of the eligible grammar over them, and values for their variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st

from endpoints_pipeline.query.variables import VariableType
from tests.query.materialization.home import DATABASE

FACTS, NAMES = f"{DATABASE}.facts", f"{DATABASE}.names"
STRING, NUMBER, BOOLEAN = VariableType.STRING, VariableType.NUMBER, VariableType.BOOLEAN
LIST, DATE = VariableType.LIST, VariableType.DATE

CREATE = (
    f"CREATE OR REPLACE TABLE {FACTS} (id UInt32, k String, s Nullable(String), lc LowCardinality(String), "
    "e Enum8('red' = 1, 'green' = 2), n Int32, m Nullable(Int64), p Decimal(12, 2), f Float64, b Bool, d Date, "
    "ts DateTime('Europe/Berlin'), tm DateTime64(3, 'UTC'), arr Array(String)) ENGINE = Memory",
    f"CREATE OR REPLACE TABLE {NAMES} (k String, name Nullable(String), w Int32) ENGINE = Memory",
)

TEXTS = ["a", "b", "B", "ab", "a%", "", "é"]
DAYS = ["2025-12-31", "2026-01-01", "2026-01-05", "2026-02-01", "2026-03-29"]
TIMES = ["00:00:00", "00:00:01", "12:00:00", "23:59:59"]
INTEGERS = [-2, 0, 1, 2, 3]


def rows(seed: int) -> list[str]:
    """Statements that fill both tables: few values, so that there are duplicates, and NULLs."""
    pick = Random(seed).choice
    facts = [
        f"({number}, {_text(pick(TEXTS[:4]))}, {_or_null(pick, _text(pick(TEXTS)))}, {_text(pick(TEXTS[:2]))}, "
        f"'{pick(['red', 'green'])}', {pick(INTEGERS)}, {_or_null(pick, pick(INTEGERS))}, "
        f"{pick([0, 0.29, 1.5, -3.1])}, {pick([0, 0.25, -1.5, 2])}, {pick(['true', 'false'])}, "
        f"'{pick(DAYS)}', '{pick(DAYS)} {pick(TIMES)}', "
        f"'{pick(DAYS + ['1965-03-04'])} {pick(TIMES)}.{pick(['000', '999'])}', {pick(['[]', _SOME, _MANY])})"
        for number in range(pick([0, 3, 30, 60, 60]))
    ]
    names = [f"({_text(pick(TEXTS))}, {_or_null(pick, _text(pick(TEXTS)))}, {pick(INTEGERS)})" for _ in range(6)]
    return [
        f"INSERT INTO {table} VALUES {', '.join(values)}"
        for table, values in ((FACTS, facts), (NAMES, names))
        if values
    ]


_SOME, _MANY = "['x']", "['y', 'x', 'y']"


def _text(value: str) -> str:
    return f"'{value}'"


def _or_null(pick: Any, value: object) -> object:
    return pick([value, value, value, "NULL"])


_TEXT = st.sampled_from(TEXTS[:4]) | st.sampled_from(TEXTS)
_PATTERN = st.sampled_from(["a", "a%", "%b", "_", "%", "", "A%", "a\\%", "é%"])
_INTEGER = st.sampled_from([*INTEGERS, 7])
_FLOAT = st.sampled_from([0.0, 0.25, -1.5, 0.29, 2.5])
_DAY = st.sampled_from(DAYS)  # begins of months and, 2026-03-29, of a week; the last one has no half past two in Berlin
_MOMENT = st.builds(" ".join, st.tuples(_DAY, st.sampled_from(TIMES))) | _DAY
_WHOLE_DAYS = st.sampled_from(DAYS)

# (condition with {x}, declared type, values): each of them may be NULL, too
EQUAL = [
    ("k = {x}", STRING, _TEXT),
    ("{x} = k", STRING, _TEXT),
    ("s = {x}", STRING, _TEXT),
    ("lc = {x}", STRING, _TEXT),
    ("lower(k) = lower({x})", STRING, _TEXT),
    ("concat(k, '-', lc) = concat({x}, '-a')", STRING, _TEXT),
    ("e = {x}", STRING, st.sampled_from(["red", "green"])),
    ("n = {x}", NUMBER, _INTEGER),
    ("m % 2 = {x}", NUMBER, _INTEGER),
    ("b = {x}", BOOLEAN, st.booleans()),
    ("d = {x}", DATE, _DAY),
    ("d = toDate({x})", DATE, _DAY),
    ("toDate(ts) = {x}", DATE, _DAY),
    ("ts = {x}", DATE, _MOMENT),
    ("toStartOfMonth(d) = toStartOfMonth(toDate({x}))", DATE, _DAY),
]
OTHER = [
    ("f = {x}", NUMBER, _FLOAT),
    ("p = {x}", NUMBER, _FLOAT),
    ("k LIKE {x}", STRING, _PATTERN),
    ("s ILIKE {x}", STRING, _PATTERN),
    ("s NOT LIKE {x}", STRING, _PATTERN),
    ("lc NOT ILIKE concat('%', {x}, '%')", STRING, _PATTERN),
    ("n >= {x}", NUMBER, _INTEGER),
    ("{x} > m", NUMBER, _INTEGER),
    ("p <= {x}", NUMBER, _FLOAT),
    ("length(k) < {x}", NUMBER, _INTEGER),
    ("d >= {x}", DATE, _DAY),
    ("d < toDate({x})", DATE, _DAY),
    ("k IN {x}", LIST, st.lists(_TEXT, max_size=3)),
    ("m IN {x}", LIST, st.lists(_INTEGER, max_size=3)),
    ("upper(s) IN ({x})", LIST, st.lists(_TEXT, max_size=3)),
    ("(coalesce({x}, '') = '' OR s = {x})", STRING, _TEXT),
    ("({x} IS NULL OR n >= {x})", NUMBER, _INTEGER),
    ("(lc = {x} OR {x} = '')", STRING, _TEXT),
    ("(empty({x}) OR k IN {x})", LIST, st.lists(_TEXT, max_size=2)),
]
# in an aggregated snapshot these are rounded down: the ends of days are exact
MOMENTS = [
    ("ts >= {x}", DATE, _WHOLE_DAYS),
    ("ts < {x}", DATE, _WHOLE_DAYS),
    ("ts <= {x}", DATE, st.builds("{} 23:59:59".format, _DAY)),
    ("{x} < ts", DATE, st.builds("{} 23:59:59".format, _DAY)),
    ("tm >= {x}", DATE, _WHOLE_DAYS),
    ("tm <= {x}", DATE, st.builds("{} 23:59:59.999".format, _DAY)),
    ("ts >= {x}", DATE, _MOMENT),
    ("tm < {x}", DATE, _MOMENT),
]
CONSTANT = ["n > -2", "k != 'B'", "s IS NOT NULL", "d > toDate('2025-12-31')", "k IN (SELECT k FROM " + NAMES + ")"]

COLUMNS = [
    "k", "s", "lc", "e", "n", "m", "p", "f", "b", "d", "ts", "tm", "arr", "concat(k, '!') AS k2", "n + 1 AS n",
    "concat(s, lc) AS s", "toDate(ts) AS ts", "upper(lc)", "m + n AS total", "if(b, 'yes', NULL) AS answer",
    "toString(e)", "length(arr) AS arr", "(n + 1 AS next) * 2 AS twice", "NULL AS nothing", "1 AS one",
]  # fmt: skip
KEYS = [
    "k", "s", "lc", "e", "b", "d", "n", "m", "toStartOfMonth(d) AS month", "concat(k, '!') AS k", "n + 1 AS n",
    "toDate(ts) AS ts", "m % 2 AS parity", "upper(s)", "length(arr) AS many",
]  # fmt: skip
AGGREGATES = [
    "count()", "count(*) AS c", "count(m)", "sum(id) AS total", "sum(p)", "sum(m)", "avg(id) AS mean", "min(s)",
    "max(ts)", "min(m)", "max(e)", "uniq(s)", "uniqExact(lc, b)", "count(DISTINCT s)", "countDistinct(k, m)",
    "countIf(b)", "sumIf(id, b)", "minIf(id, b)", "maxIf(p, id > 3)", "avgIf(p, b)", "avgOrNull(m)", "sumOrNull(id)",
    "quantileExact(0.5)(id)", "quantile(0.25)(id)", "median(m)", "argMax(k, id)", "argMin(s, id)",
    "round(avg(id), 2)", "sum(id) / count() AS ratio", "max(id) - min(id) AS range", "groupArraySorted(3)(id)",
    "sumDistinct(n)", "stddevPop(1)", "sumArray(arrayMap(x -> length(x), arr))", "groupBitXor(id)", "topK(1)(b)",
    "if(count() > 3, 'many', 'few') AS size", "countIf(s LIKE 'a%')", "sum(if(b, id, 0)) AS yes", "uniqArray(arr)",
    "sumMap([k], [id])", "count() FILTER (WHERE n > 1)", "concat(max(k), '/', min(k)) AS span",
    "quantiles(0.1, 0.9)(id)", "avg(m)", "corr(1, 1) AS none", "max(tm)", "max(arr)",
]  # fmt: skip
# exact in an equal group, and where one stored state answers; in no order otherwise
ORDERED_AGGREGATES = ["groupArray(id)", "any(id)", "first_value(k)", "anyLast(s)", "groupUniqArray(b)"]


@dataclass
class Query:
    """A query, its variables' declared types, and strategies for their values."""

    sql: str = ""
    buckets: dict[str, str] = field(default_factory=dict)
    types: dict[str, VariableType] = field(default_factory=dict)
    values: dict[str, st.SearchStrategy[Any]] = field(default_factory=dict)


class _Conditions:
    def __init__(self, draw: st.DrawFn, query: Query) -> None:
        self._draw, self._query = draw, query

    def where(self, kinds: list[Any], most: int = 2, qualified: str = "") -> str:
        """WHERE with one to ``most`` variables and perhaps a constant condition, in any order."""
        draw = self._draw
        parts = [self._variable(draw(st.sampled_from(kinds)), qualified) for _ in range(draw(st.integers(1, most)))]
        if draw(st.integers(0, 2)) == 0:
            parts.insert(draw(st.integers(0, len(parts))), draw(st.sampled_from(CONSTANT)))
        return " AND ".join(f"({part})" if draw(st.booleans()) else part for part in parts)

    def _variable(self, kind: Any, qualified: str) -> str:
        condition, declared, values = kind
        name = f"v{len(self._query.types)}"
        self._query.types[name] = declared
        self._query.values[name] = values | st.none() if self._draw(st.integers(0, 9)) == 0 else values
        return str(condition.replace("{x}", f"{{variables.{name}}}"))


@st.composite
def queries(draw: st.DrawFn) -> Query:
    query = Query()
    conditions = _Conditions(draw, query)
    shape = draw(st.sampled_from(_SHAPES))
    query.sql = shape(draw, conditions)
    for column in ("d", "ts", "tm"):
        query.buckets[column] = draw(
            st.sampled_from(["minute", "fifteen_minutes", "hour", "day", "day", "week", "month"])
        )
    return query


def _tail(draw: st.DrawFn, order: str) -> str:
    limit = draw(st.sampled_from(["", "", " LIMIT 3", " LIMIT 4 OFFSET 1", " LIMIT 2, 5"]))
    return f" ORDER BY {order}{limit}"


def _some(draw: st.DrawFn, choices: list[str], least: int, most: int) -> list[str]:
    """Different ones, under different names."""
    found = draw(st.lists(st.sampled_from(choices), min_size=least, max_size=most, unique_by=_name))
    return list(found)


def _name(item: str) -> str:
    return item.rsplit(" AS ", 1)[-1]


def _direction(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]))


def _rows(draw: st.DrawFn, conditions: _Conditions) -> str:
    columns = _some(draw, COLUMNS, 1, 4)
    where = conditions.where(EQUAL + OTHER + MOMENTS)
    shown = draw(
        st.sampled_from([", ".join(columns), ", ".join([*columns, "id"]), "*", "* EXCEPT (arr), n * 2 AS double"])
    )
    names = [] if shown.startswith("*") else [_name(columns[0])]
    first = draw(st.sampled_from([*names, "1", "n", "lower(k)", "m + n", "d"]))
    order = f"{first}{_direction(draw)}, id{_direction(draw)}"
    by = draw(st.sampled_from(["", "", "", " LIMIT 2 BY k", " LIMIT 1 BY lc, b"]))
    ending = _tail(draw, order)
    if by:
        ending = f" ORDER BY {order}{by}" + ending.split(order)[1]
    return f"SELECT {shown} FROM {FACTS} WHERE {where}{ending}"


def _distinct(draw: st.DrawFn, conditions: _Conditions) -> str:
    columns = _some(draw, KEYS, 1, 3)
    where = conditions.where(EQUAL + OTHER + MOMENTS)
    return f"SELECT DISTINCT {', '.join(columns)} FROM {FACTS} WHERE {where}{_tail(draw, _all(draw, columns))}"


def _all(draw: st.DrawFn, columns: list[str]) -> str:
    if draw(st.integers(0, 3)) == 0:
        return "ALL"
    return ", ".join(f"{_name(column)}{_direction(draw)}" for column in columns)


def _grouped(draw: st.DrawFn, conditions: _Conditions) -> str:
    kinds, aggregates = draw(
        st.sampled_from([(EQUAL, AGGREGATES + ORDERED_AGGREGATES[:1]), (EQUAL + OTHER + MOMENTS, AGGREGATES)])
    )
    return _aggregation(draw, FACTS, _some(draw, KEYS, 1, 3), _some(draw, aggregates, 0, 3), conditions.where(kinds))


def _aggregation(draw: st.DrawFn, table: str, keys: list[str], aggregates: list[str], where: str) -> str:
    items = [*keys, *aggregates]
    if draw(st.booleans()):
        items.reverse()
    by = draw(st.sampled_from(["names", "numbers", "ALL"]))
    group = {
        "names": ", ".join(_name(key) for key in keys),
        "numbers": ", ".join(str(items.index(key) + 1) for key in keys),
        "ALL": "ALL",
    }[by]
    having = draw(st.sampled_from(["", "", " HAVING count() > 1", " HAVING max(id) % 2 = 0 AND count() < 9"]))
    order = _all(draw, keys)
    if aggregates and order != "ALL" and draw(st.booleans()):
        order = f"{draw(st.sampled_from(['count()', 'max(id)']))} DESC, {order}"
    condition = f" WHERE {where}" if where else ""
    return f"SELECT {', '.join(items)} FROM {table}{condition} GROUP BY {group}{having}{_tail(draw, order)}"


def _totals(draw: st.DrawFn, conditions: _Conditions) -> str:
    kinds, aggregates = draw(
        st.sampled_from([(EQUAL, AGGREGATES + ORDERED_AGGREGATES), (EQUAL + OTHER + MOMENTS, AGGREGATES)])
    )
    having = draw(st.sampled_from(["", "", " HAVING count() > 2"]))
    return f"SELECT {', '.join(_some(draw, aggregates, 1, 4))} FROM {FACTS} WHERE {conditions.where(kinds)}{having}"


def _common_table(draw: st.DrawFn, conditions: _Conditions) -> str:
    """A chain of one or two CTEs or subqueries, whose rows are filtered, grouped or listed outside."""
    inner = f"SELECT * FROM {FACTS} WHERE {conditions.where(EQUAL + OTHER + MOMENTS)}"
    condition = draw(st.sampled_from(CONSTANT))
    if draw(st.booleans()):
        condition += f" AND {conditions.where(EQUAL + OTHER, 1)}"

    def middle(source: str) -> str:
        return f"SELECT *, concat(k, lc) AS both FROM {source} WHERE {condition}"

    chained = draw(st.sampled_from(["one", "cte", "subquery"]))
    outer = conditions.where(EQUAL + OTHER, 1) if draw(st.booleans()) else "1 = 1"
    with_clause, table = f"WITH first AS ({inner}) ", "first"
    if chained == "cte":
        with_clause, table = f"WITH first AS ({inner}), second AS ({middle('first')}) ", "second"
    elif chained == "subquery":
        with_clause, table = "", f"({middle(f'({inner})')})"
    if draw(st.booleans()):
        keys, aggregates = _some(draw, KEYS, 1, 2), _some(draw, AGGREGATES, 0, 2)
        return with_clause + _aggregation(draw, table, keys, aggregates, outer)
    columns = draw(st.sampled_from(["*", "k, n, id, d"]))
    return f"{with_clause}SELECT {columns} FROM {table} WHERE {outer}{_tail(draw, f'n{_direction(draw)}, id')}"


def _grouped_inside(draw: st.DrawFn, conditions: _Conditions) -> str:
    """A CTE that groups: by = only."""
    where = conditions.where(EQUAL)
    outer = draw(st.sampled_from(["k, c", "sum(c), max(top)", "lc, avg(c) AS mean"]))
    ending = {"k": "ORDER BY k, c, lc", "s": "", "l": "GROUP BY lc ORDER BY lc"}[outer[0]]
    inner = f"SELECT k, lc, count() AS c, max(id) AS top FROM {FACTS} WHERE {where} GROUP BY k, lc"
    return f"WITH grouped AS ({inner}) SELECT {outer} FROM grouped WHERE c > 0 {ending}"


def _joined(draw: st.DrawFn, conditions: _Conditions) -> str:
    kind = draw(st.sampled_from(["JOIN", "LEFT JOIN", "ANY LEFT JOIN"]))
    name = draw(st.sampled_from(["x.k = {x}", "y.name = {x}", "y.name ILIKE {x}", "concat(x.lc, y.k) = {x}"]))
    where = conditions.where([(name, STRING, _TEXT), ("x.n >= {x}", NUMBER, _INTEGER), ("y.w < {x}", NUMBER, _INTEGER)])
    where = where.replace("n > -2", "x.n > -2").replace("k !", "x.k !").replace("k IN", "x.k IN")
    names = f"(SELECT k, min(name) AS name, min(w) AS w FROM {NAMES} GROUP BY k) AS y"
    source = f"{FACTS} AS x {kind} {names} ON x.k = y.k"
    if draw(st.booleans()):
        aggregates = ", ".join(
            _some(draw, ["count() AS c", "sum(w) AS w2", "avg(x.n) AS mean", "uniq(y.name) AS u"], 1, 2)
        )
        return (
            f"SELECT x.lc, y.name, {aggregates} FROM {source} WHERE {where} GROUP BY x.lc, y.name ORDER BY x.lc, y.name"
        )
    return f"SELECT x.k, y.name, w FROM {source} WHERE {where}{_tail(draw, 'x.id')}"


def _union(draw: st.DrawFn, conditions: _Conditions) -> str:
    """Both queries with the same conditions, over columns of their own."""
    pairs = [("k = {x}", "name = {x}"), ("s LIKE {x}", "k LIKE {x}"), ("lc = {x}", "concat(k, name) = {x}")]
    first, second = draw(st.sampled_from(pairs))
    where = conditions.where([(first, STRING, _TEXT)], 1)
    variable = where[where.index("{") : where.index("}") + 1]
    legs = (
        f"SELECT k, n, id FROM {FACTS} WHERE {where} "
        f"UNION ALL SELECT name, w, 100 FROM {NAMES} WHERE {second.replace('{x}', variable)}"
    )
    if draw(st.booleans()):
        return f"SELECT k, sum(n) AS total, count() AS c FROM ({legs}) GROUP BY k ORDER BY k NULLS FIRST"
    return f"SELECT * FROM ({legs}) ORDER BY ALL LIMIT 6"


_SHAPES = [_rows, _rows, _distinct, _grouped, _grouped, _grouped, _totals, _totals]
_SHAPES += [_common_table, _common_table, _grouped_inside, _joined, _union]
