"""Contract 3.2, reason by reason, and what the original refuses but is accepted here."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from endpoints_pipeline.errors import EngineUnavailable
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.materialization import Refused, materializable
from endpoints_pipeline.query.variables import VariableType
from tests.query.materialization.grammar import BOOLEAN, DATE, FACTS, LIST, NAMES, NUMBER, STRING
from tests.query.materialization.home import Home

_TYPES = {"x": STRING, "y": STRING, "n": NUMBER, "b": BOOLEAN, "d": DATE, "e": DATE, "l": LIST}


def spelled(sql: str) -> tuple[str, Mapping[str, VariableType]]:
    """The query with its tables' and variables' whole names, and the variables' types."""
    used = {name: type_ for name, type_ in _TYPES.items() if f"{{{name}}}" in sql}
    for name in used:
        sql = sql.replace(f"{{{name}}}", f"{{variables.{name}}}")
    return sql.replace("FACTS", FACTS).replace("NAMES", NAMES), used


_CTE = "WITH c AS (SELECT k, n, id FROM FACTS WHERE k = {x}) "
_REFUSED = [
    ("No variables found", "SELECT k FROM FACTS"),
    ("Variable used in HAVING clause are not supported", "SELECT k FROM FACTS GROUP BY k HAVING max(n) > {n}"),
    (
        "Variable used in HAVING clause are not supported",
        "SELECT * FROM (SELECT k FROM FACTS WHERE s = {x} GROUP BY k HAVING k = {y})",
    ),
    ("Variable compared against an expression containing another variable", "SELECT k FROM FACTS WHERE {x} = {y}"),
    (
        "Variable compared against an expression containing another variable",
        "SELECT k FROM FACTS WHERE concat(k, {y}) = {x}",
    ),
    (
        "Variable compared against an expression containing another variable",
        "SELECT k FROM FACTS WHERE k = concat({x}, {y})",
    ),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE {b}"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE NOT (k = {x})"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE if({x} = '', 1, k = {x})"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE (k = {x}) AS chosen"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE dateDiff('day', d, toDate({d})) > 1"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE (SELECT max(k) FROM NAMES) = {x}"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE arrayJoin(arr) = {x}"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE id IN (SELECT w FROM NAMES WHERE k = {x})"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE {x} IN (k, lc)"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE n + blockNumber() = {n}"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS WHERE n = blockNumber() + {n}"),
    ("Invalid variable usage in WHERE clause.", "SELECT max(n) AS n FROM FACTS WHERE n = {n}"),
    ("Invalid variable usage in WHERE clause.", "SELECT k FROM FACTS x JOIN NAMES y USING k PREWHERE x.n = {n}"),
    ("Invalid variable usage in WHERE clause. Conditions and", "SELECT k FROM FACTS WHERE CAST(k, 'Dynamic') = {x}"),
    ("Variable not used in WHERE clause", "SELECT k, {x} FROM FACTS"),
    ("Variable not used in WHERE clause", "SELECT k, k = {x} AS same FROM FACTS WHERE k = {x}"),
    ("Variable not used in WHERE clause", "SELECT k FROM FACTS ORDER BY id LIMIT {n}"),
    ("Variable not used in WHERE clause", "SELECT k FROM FACTS WHERE k = {x} ORDER BY id LIMIT 1 OFFSET {n}"),
    ("Variable not used in WHERE clause", "SELECT x.k FROM FACTS x JOIN NAMES y ON x.k = y.k AND y.name = {x}"),
    ("Variable not used in WHERE clause", "SELECT k FROM FACTS WHERE {n} = 1"),
    ("Variable not used in WHERE clause", "SELECT number FROM numbers({n}) WHERE number = {n}"),
    ("Variable not used in WHERE clause", "SELECT countIf(k = {x}) FROM FACTS"),
    ("Variable not used in WHERE clause", "WITH {x} AS wanted SELECT k FROM FACTS WHERE k = wanted"),
    ("Variable not used in WHERE clause", _CTE + "SELECT k FROM FACTS"),
    ("Variables in OR conditions are not supported", "SELECT k FROM FACTS WHERE k = {x} OR n = 1"),
    ("Variables in OR conditions are not supported", "SELECT k FROM FACTS WHERE k = {x} OR s = {x}"),
    ("Variables in OR conditions are not supported", "SELECT k FROM FACTS WHERE {y} = '' OR s = {x}"),
    ("Variables in OR conditions are not supported", "SELECT k FROM FACTS WHERE (k = {x} OR n = 1) = 1"),
    ("Variables in OR conditions are not supported", "SELECT k FROM FACTS WHERE d NOT BETWEEN {d} AND {e}"),
    ("Variable compared against multiple columns", "SELECT k FROM FACTS WHERE k = {x} AND s = {x}"),
    ("Variable used in both CTE and top-level query", _CTE + "SELECT id FROM c WHERE k = {x}"),
    (
        "Variable used in multiple CTEs",
        _CTE + ", e AS (SELECT w FROM NAMES WHERE name = {x}) SELECT id FROM c, e ORDER BY id",
    ),
    ("Unsupported operator !=, supported: =, >=, >, <=, <,", "SELECT k FROM FACTS WHERE k != {x}"),
    ("Unsupported operator NOT IN,", "SELECT k FROM FACTS WHERE k NOT IN {l}"),
    ("Unsupported operator REGEXP,", "SELECT k FROM FACTS WHERE match(k, {x})"),
    ("Unsupported operator startsWith,", "SELECT k FROM FACTS WHERE startsWith(k, {x})"),
    ("Unsupported operator has,", "SELECT k FROM FACTS WHERE has(arr, {x})"),
    (
        "Aggregate function 'groupArray' cannot be re-aggregated for range variable materialization",
        "SELECT groupArray(id) FROM FACTS WHERE d >= {d}",
    ),
    ("Aggregate function 'any' cannot be re-aggregated", "SELECT k, any(s) FROM FACTS WHERE n IN {l} GROUP BY k"),
    ("Aggregate function 'sumState' cannot be re-aggregated", "SELECT sumState(n) FROM FACTS WHERE k = {x}"),
    (
        "Aggregate function 'count' cannot be re-aggregated",  # a row of 0 even where no row of FACTS matches
        "SELECT * FROM (SELECT count() FROM FACTS WHERE k = {x})",
    ),
    (
        "Aggregate function 'count' cannot be re-aggregated",
        "SELECT * FROM (SELECT k, count() FROM FACTS WHERE k LIKE {x} GROUP BY k)",
    ),
    (
        "Aggregate function 'DISTINCT or GROUP BY' cannot be re-aggregated",  # 0. and -0. equal each other
        "SELECT * FROM (SELECT DISTINCT k FROM FACTS WHERE f = {n})",
    ),
    (
        "Scalar subquery in top-level query references a CTE downstream",
        _CTE + "SELECT id FROM c WHERE id = (SELECT max(id) FROM c)",
    ),
    ("Only UNION ALL", "SELECT k FROM FACTS WHERE k = {x} UNION DISTINCT SELECT k FROM NAMES WHERE k = {x}"),
    ("Only UNION ALL", "SELECT k FROM FACTS WHERE k = {x} INTERSECT SELECT k FROM NAMES"),
    ("Only UNION ALL", "SELECT * FROM (SELECT k FROM FACTS WHERE k = {x} EXCEPT SELECT k FROM NAMES)"),
    ("Window functions in downstream CTEs", _CTE + "SELECT id, row_number() OVER (ORDER BY id) FROM c"),
    ("Window functions in downstream CTEs", "SELECT sum(n) OVER w FROM FACTS WHERE k = {x} WINDOW w AS (ORDER BY id)"),
    (
        "Window functions in downstream CTEs",
        "SELECT id FROM FACTS WHERE k = {x} QUALIFY row_number() OVER (ORDER BY id) = 1",
    ),
    (
        "CTE variable propagation requires CROSS/INNER joins. LEFT JOIN not supported",
        _CTE + "SELECT id FROM c LEFT JOIN NAMES y ON c.k = y.k",
    ),
    ("CTE variable propagation requires CROSS/INNER joins", _CTE + "SELECT id FROM c ANY JOIN NAMES y ON c.k = y.k"),
    (
        "CTE variable propagation failed: nested subquery reference",
        _CTE + "SELECT id FROM FACTS WHERE k IN c",
    ),
    ("CTE variable propagation failed", _CTE + "SELECT a.id FROM c AS a JOIN c AS b ON a.id = b.id"),
    ("CTE variable propagation failed", "WITH c(a) AS (SELECT k FROM FACTS WHERE k = {x}) SELECT a FROM c"),
    (
        "CTE variable propagation failed",
        "WITH RECURSIVE r AS (SELECT 1 AS v UNION ALL SELECT v + 1 FROM r WHERE v < {n}) SELECT v FROM r",
    ),
    ("Variable propagation failed on UNION leg", "SELECT k FROM FACTS WHERE k = {x} UNION ALL SELECT k FROM NAMES"),
    (
        "Variable propagation failed on UNION leg",
        "SELECT k FROM FACTS WHERE k = {x} UNION ALL SELECT k FROM NAMES WHERE w = {x}",
    ),
    # LIMIT and the like would be applied before the filter
    ("LIMIT in a CTE, subquery or UNION", "SELECT * FROM (SELECT k FROM FACTS WHERE k = {x} ORDER BY id LIMIT 3)"),
    ("LIMIT in a CTE, subquery or UNION", "SELECT * FROM (SELECT k FROM FACTS WHERE k = {x} ORDER BY id OFFSET 3)"),
    ("LIMIT in a CTE, subquery or UNION", "SELECT * FROM (SELECT k FROM FACTS WHERE k = {x} LIMIT 1 BY n)"),
    ("LIMIT in a CTE, subquery or UNION", _CTE + ", top AS (SELECT * FROM c LIMIT 2) SELECT * FROM top"),
    ("WITH FILL in a CTE", "SELECT * FROM (SELECT n FROM FACTS WHERE k = {x} ORDER BY n WITH FILL)"),
    ("WITH FILL is supported for", "SELECT k FROM FACTS WHERE k = {x} ORDER BY n WITH FILL"),
    ("INTERPOLATE", "SELECT n, id FROM FACTS WHERE k = {x} ORDER BY n WITH FILL INTERPOLATE (id AS id + 1)"),
    ("WITH TOTALS", "SELECT k, count() FROM FACTS WHERE n = {n} GROUP BY k WITH TOTALS"),
    ("WITH TOTALS", "SELECT k, count() FROM FACTS WHERE n = {n} GROUP BY ROLLUP(k)"),
    ("DISTINCT with ORDER BY", "SELECT DISTINCT k FROM FACTS WHERE n >= {n} ORDER BY id"),
    ("HAVING without GROUP BY", "SELECT k FROM FACTS WHERE n = {n} HAVING id > 3"),
    (
        "The function neighbor depends on the rows",
        "SELECT neighbor(id, 1) FROM FACTS WHERE k = {x}",
    ),
    ("rand gives other values at each call", "SELECT k FROM FACTS WHERE k = {x} ORDER BY rand()"),
    ("generateUUIDv4 gives other values", "SELECT * FROM (SELECT k, generateUUIDv4() FROM FACTS) WHERE k = {x}"),
    ("The result has two columns of one name", "SELECT k, s AS k FROM FACTS WHERE n = {n}"),
    ("The name '__var_x' is kept", "SELECT k AS __var_x FROM FACTS WHERE n = {n}"),
    (
        "A subquery uses 'w'",
        "SELECT n AS w, count() FROM FACTS WHERE k LIKE {x} AND n IN (SELECT w FROM NAMES) GROUP BY w",
    ),
    ("REPLACE is not supported", "SELECT * REPLACE (n + 1 AS n) FROM FACTS WHERE n = {n}"),
    ("SELECT * with GROUP BY", "SELECT * FROM (SELECT k FROM FACTS WHERE k LIKE {x}) GROUP BY k"),
    ("GROUP BY of constants", "SELECT 'all' AS what, count() FROM FACTS WHERE k LIKE {x} GROUP BY what"),
    ("Scalar subquery beside aggregates", "SELECT count(), (SELECT max(w) FROM NAMES) FROM FACTS WHERE k LIKE {x}"),
]


@pytest.mark.parametrize(("reason", "sql"), _REFUSED, ids=lambda text: text.replace("{", "").replace("}", ""))
def test_is_refused(plans: Home, reason: str, sql: str) -> None:
    assert plans.refused(*spelled(sql)).startswith(reason)


def test_a_variable_without_a_type_is_refused(plans: Home) -> None:
    sql, _ = spelled("SELECT k FROM FACTS WHERE k = {x}")
    tree = plans.engine.parse(sql.replace("{variables.x}", "{var_x:String}"))
    assert materializable(tree, {}, plans.engine) == Refused("Variable metadata not found: x")


def test_a_query_that_fails_without_its_conditions_is_refused_with_the_engines_words(plans: Home) -> None:
    reason = plans.refused(*spelled("SELECT nothing FROM FACTS WHERE k = {x}"))
    assert "nothing" in reason
    assert "UNKNOWN" not in reason


def test_an_engine_that_is_away_is_no_refusal(plans: Home) -> None:
    class Away:
        print = staticmethod(plans.engine.print)
        is_aggregate = staticmethod(plans.engine.is_aggregate)

        def describe(self, canonical: str) -> tuple[Column, ...]:
            raise EngineUnavailable("The engine is away.")

    tree = plans.engine.parse(f"SELECT k FROM {FACTS} WHERE k = {{var_x:String}}")
    with pytest.raises(EngineUnavailable):
        materializable(tree, {"x": STRING}, Away())


_X = [{"x": "a"}, {"x": "ab"}, {"x": "none such"}, {"x": ""}, {"x": None}]
_N = [{"n": 1}, {"n": -5}, {"n": 7}, {"n": None}]
_ACCEPTED = [
    # an aggregate that the original can't put together again
    ("SELECT k, avg(n), uniq(s), quantileExact(0.5)(n) FROM FACTS WHERE n >= {n} GROUP BY k ORDER BY k", _N),
    ("SELECT count(DISTINCT s), median(n), argMax(k, id), topK(1)(b) FROM FACTS WHERE n < {n}", _N),
    # IN, and filters that may be left out
    ("SELECT id FROM FACTS WHERE k IN {l} ORDER BY id", [{"l": ["a", "b"]}, {"l": []}]),
    ("SELECT count() FROM FACTS WHERE k IN ({x}, 'b')", _X),
    ("SELECT count(), avg(n) FROM FACTS WHERE coalesce({x}, '') = '' OR k = {x}", _X),
    ("SELECT id FROM FACTS WHERE ({x} IS NULL OR k = {x}) AND n >= {n} ORDER BY id", [{"x": None, "n": 1}]),
    # JOIN of a CTE or subquery with a variable
    ("WITH c AS (SELECT k, id FROM FACTS WHERE k = {x}) SELECT * FROM c JOIN NAMES y ON c.k = y.k ORDER BY id, w", _X),
    ("WITH c AS (SELECT k, id FROM FACTS WHERE k = {x}) SELECT c.* FROM NAMES y, c WHERE c.k = y.k ORDER BY id", _X),
    ("SELECT id, name FROM FACTS x LEFT JOIN NAMES y USING k WHERE y.name = {x} ORDER BY id", _X),
    # UNION ALL as the whole query
    ("SELECT k, id FROM FACTS WHERE k = {x} UNION ALL SELECT name, w FROM NAMES WHERE name = {x} ORDER BY ALL", []),
    ("SELECT * FROM (SELECT k FROM FACTS WHERE k = {x} UNION ALL SELECT k FROM NAMES WHERE k = {x}) ORDER BY k", _X),
    # a column or name that is called as the variable is
    ("SELECT k AS x, id FROM FACTS WHERE s = {x} ORDER BY x, id", _X),
    ("WITH c AS (SELECT k AS x, id FROM FACTS WHERE s = {x}) SELECT x, count() FROM c GROUP BY x ORDER BY x", _X),
    # a CTE that another one reads, and one with the name of a table
    (
        "WITH a AS (SELECT * FROM FACTS WHERE k = {x}), b AS (SELECT n, id FROM a WHERE id > 3) "
        "SELECT n, count() FROM b WHERE n >= {n} GROUP BY n ORDER BY n",
        [{"x": "a", "n": 0}],
    ),
    ("WITH facts AS (SELECT * FROM FACTS WHERE k = {x}) SELECT id FROM facts ORDER BY id", _X),
    # an enum whose names say something else
    (
        "SELECT id FROM FACTS WHERE CAST(k, 'Enum(\\'a\\', \\'b\\', \\'B\\', \\'ab\\', \\'Object\\')') = {x} "
        "ORDER BY id",
        _X[:2],
    ),
    # an OR without variables
    ("SELECT id FROM FACTS WHERE (n = 1 OR id > 9) AND if(b OR n > 1, 'a', 'ab') = {x} ORDER BY id", _X),
    # window functions that are computed before the filter
    ("SELECT id FROM (SELECT id, k, row_number() OVER (ORDER BY id) AS r FROM FACTS) WHERE k = {x} AND r < 9", _X),
]


@pytest.mark.parametrize(("sql", "values"), _ACCEPTED, ids=lambda given: given if isinstance(given, str) else "")
def test_what_the_original_refuses_is_right_here(plans: Home, sql: str, values: list[dict[str, object]]) -> None:
    answers = plans.answers(*spelled(sql), values)
    assert not values or any(answers)
