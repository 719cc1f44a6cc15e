"""What is stored: its columns, their order, and what outside readers find."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.materialization import Plan, Reaggregation, materializable
from endpoints_pipeline.query.variables import VariableType, parameterized
from tests.query.materialization.grammar import BOOLEAN, DATE, FACTS, LIST, NUMBER, STRING
from tests.query.materialization.home import Home


def plan(plans: Home, sql: str, **types: VariableType) -> Plan:
    for name in types:
        sql = sql.replace(f"{{{name}}}", f"{{variables.{name}}}")
    return plans.accepted(sql.replace("FACTS", FACTS), types)


class TestRows:
    def test_get_hidden_columns_for_what_only_conditions_and_order_need(self, plans: Home) -> None:
        made = plan(plans, "SELECT k FROM FACTS WHERE n = {x} AND d >= {y} ORDER BY id LIMIT 3", x=NUMBER, y=DATE)
        assert made.stored_sql == f"SELECT k, n AS __var_x, d AS __var_y, id AS __order_0 FROM {FACTS}"
        assert made.hidden_columns == ("__var_x", "__var_y", "__order_0")
        assert made.stored_columns[1] == Column("__var_x", "Int32")
        assert made.read.columns == (Column("k", "String"),)
        assert made.read.variables == {"x": NUMBER, "y": DATE}
        assert made.read.execution_sql == (
            "SELECT k FROM snapshot WHERE (__var_x = {variables.x}) AND (__var_y >= {variables.y}) "
            "ORDER BY __order_0 ASC LIMIT 3"
        )

    def test_use_the_columns_that_the_result_has(self, plans: Home) -> None:
        made = plan(plans, "SELECT lower(k) AS low, n FROM FACTS WHERE lower(k) = {x} ORDER BY n, 1", x=STRING)
        assert made.stored_sql == f"SELECT lower(k) AS low, n FROM {FACTS}"
        assert made.hidden_columns == ()
        assert made.read.execution_sql.endswith("WHERE low = {variables.x} ORDER BY n ASC, low ASC")

    def test_are_sorted_by_what_narrows_most(self, plans: Home) -> None:
        made = plan(
            plans,
            "SELECT id FROM FACTS WHERE ts >= {a} AND k LIKE {b} AND lc IN {c} AND b = {d} AND ts < {e}",
            a=DATE,
            b=STRING,
            c=LIST,
            d=BOOLEAN,
            e=DATE,
        )
        assert made.sort_columns == ("__var_d", "__var_c", "__var_a", "__var_b")

    def test_of_equal_groups_are_stored_as_they_are(self, plans: Home) -> None:
        made = plan(plans, "SELECT lc, avg(n) AS mean FROM FACTS WHERE k = {x} GROUP BY lc ORDER BY mean, lc", x=STRING)
        assert made.stored_sql == f"SELECT lc, avg(n) AS mean, k AS __var_x FROM {FACTS} GROUP BY lc, __var_x"
        assert made.aggregates == ()


class TestStates:
    def test_are_merged_by_the_engines_own_functions(self, plans: Home) -> None:
        made = plan(plans, "SELECT k, count() AS c, avg(n) FROM FACTS WHERE lc LIKE {x} GROUP BY k", x=STRING)
        assert made.stored_sql == (
            "SELECT k AS __key_0, count() AS __part_0, base64Encode(CAST(avgState(n), 'String')) AS __part_1, "
            f"lc AS __var_x FROM {FACTS} GROUP BY __key_0, __var_x"
        )
        assert made.read.execution_sql == (
            "SELECT __key_0 AS k, sum(__part_0) AS c, "
            "avgMerge(CAST(base64Decode(__part_1), 'AggregateFunction(avg, Int32)')) AS `avg(n)` "
            "FROM snapshot WHERE __var_x LIKE {variables.x} GROUP BY __key_0"
        )
        assert made.hidden_columns == ("__key_0", "__part_0", "__part_1", "__var_x")
        assert made.aggregates == (Reaggregation("count()", "sum"), Reaggregation("avg(n)", "avgMerge"))

    def test_can_be_read_by_others(self, plans: Home) -> None:
        made = plan(plans, "SELECT uniq(id), avg(n), quantile(0.5)(f), topK(3)(k) FROM FACTS WHERE n >= {x}", x=NUMBER)
        plans.store(made)
        table = pq.read_table(plans.folder / f"{plans.files}.parquet")
        assert table.num_rows > 1
        assert all(row[name].isascii() for row in table.to_pylist() for name in row if name.startswith("__part_"))

    def test_of_no_row_are_one_row(self, plans: Home) -> None:
        sql = f"SELECT count() AS c, sum(n), max(s), avg(m), uniq(k) FROM {FACTS} WHERE k LIKE {{variables.x}}"
        assert plans.answers(sql, {"x": STRING}, [{"x": "none such"}]) == ["[0, 0, null, null, 0]"]
        assert plans.answers(f"{sql} HAVING c > 0", {"x": STRING}, [{"x": "none such"}]) == [""]


@pytest.mark.parametrize(
    "clauses",
    ["ORDER BY id LIMIT 3", "ORDER BY id LIMIT 3 OFFSET 2", "ORDER BY id LIMIT 1 BY k", "ORDER BY n LIMIT 2 WITH TIES"],
)
def test_limits_are_never_stored(plans: Home, clauses: str) -> None:
    made = plan(plans, f"SELECT k, n, id FROM FACTS WHERE lc = {{x}} {clauses}", x=STRING)
    assert made.stored_sql == f"SELECT k, n, id, lc AS __var_x FROM {FACTS}"
    assert "LIMIT" in made.read.execution_sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name, avg(score), uniq(tags) FROM events WHERE at >= {variables.x} GROUP BY name",
        "SELECT * FROM events WHERE at >= {variables.x} ORDER BY id LIMIT 3",
        "WITH c AS (SELECT * FROM events WHERE at >= {variables.x}) SELECT count(), max(score) FROM c JOIN users "
        "ON c.user_id = users.user_id",
    ],
)
def test_what_is_stored_is_what_the_guard_would_print(embedded_engine: Engine, sql: str) -> None:
    guarded = embedded_engine.guard(parameterized(sql, {"x": "String"}), ["var_x"])
    made = materializable(embedded_engine.parse(guarded.sql), {"x": DATE}, embedded_engine)
    assert isinstance(made, Plan)
    assert embedded_engine.canonical(made.stored_sql) == made.stored_sql
