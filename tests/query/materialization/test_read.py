from __future__ import annotations

import json
from dataclasses import replace

import pytest

from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.materialization import BucketedColumn, ReadPlan, ReadQuery
from endpoints_pipeline.query.variables import Bound, VariableType, bind

PLAN = ReadPlan(
    execution_sql="SELECT k, sum(__part_0) AS c FROM snapshot WHERE (__var_k = {variables.k}) AND (__var_f >= "
    "{variables.f}) GROUP BY k",
    columns=(Column("k", "LowCardinality(String)"), Column("c", "UInt64")),
    variables={"k": VariableType.STRING, "f": VariableType.DATE},
    boundary_sql="SELECT toStartOfDay({variables.f}) = {variables.f} AS exact_0, 1 AS exact_1",
    bucketed=(BucketedColumn("ts", "toStartOfDay"), BucketedColumn("e.at", "toStartOfHour")),
)
BOUNDS = {
    "k": bind("k", VariableType.STRING, "it's {variables.f}"),
    "f": bind("f", VariableType.DATE, "2026-01-31"),
    "of another query": bind("o", VariableType.NUMBER, 1),
}
VALUES = {"var_k": "it's {variables.f}", "var_f": "2026-01-31"}
READ = (
    "WITH snapshot AS (SELECT 1) SELECT k, sum(__part_0) AS c FROM snapshot WHERE (__var_k = {var_k:String}) AND "
    "(__var_f >= {var_f:String}) GROUP BY k"
)


class TestReading:
    def test_binds_the_values_beside_the_text(self) -> None:
        assert PLAN.read_sql("SELECT 1", BOUNDS) == ReadQuery(READ, VALUES)

    def test_types_follow_the_values(self) -> None:
        plan = replace(PLAN, execution_sql="SELECT {variables.n}", variables={"n": VariableType.NUMBER})
        found = [
            plan.read_sql("SELECT 1", {"n": bind("n", VariableType.NUMBER, value)}).sql[-13:] for value in (1, -1, 0.5)
        ]
        assert found == ["{var_n:UInt64}"[-13:], "{var_n:Int64}", "{var_n:Float64}"[-13:]]

    @pytest.mark.parametrize(
        ("page", "ending"),
        [
            ({"limit": 5}, " LIMIT 5"),
            ({"limit": 0}, " LIMIT 0"),
            ({"offset": 2}, " OFFSET 2"),
            ({"limit": 5, "offset": 2}, " LIMIT 5 OFFSET 2"),
        ],
    )
    def test_pages_are_of_the_rows_that_the_query_leaves(self, page: dict[str, int], ending: str) -> None:
        assert PLAN.read_sql("SELECT 1", BOUNDS, **page).sql == f"SELECT * FROM ({READ}){ending}"

    def test_each_variable_needs_a_value(self) -> None:
        with pytest.raises(KeyError, match="f"):
            PLAN.read_sql("SELECT 1", {"k": Bound("String", "a")})


class TestBoundaries:
    def test_are_asked_of_the_values_alone(self) -> None:
        asked = PLAN.boundary_query(BOUNDS)
        assert asked == ReadQuery(
            "SELECT toStartOfDay({var_f:String}) = {var_f:String} AS exact_0, 1 AS exact_1", VALUES
        )

    def test_are_not_asked_where_nothing_was_rounded(self) -> None:
        plan = replace(PLAN, boundary_sql=None, bucketed=())
        assert plan.boundary_query(BOUNDS) is None
        assert plan.cut_buckets(()) is None

    @pytest.mark.parametrize("row", [(1, 1), (True, 1), (1, None)], ids=str)
    def test_that_hold(self, row: tuple[object, ...]) -> None:
        assert PLAN.cut_buckets(row) is None

    @pytest.mark.parametrize(
        ("row", "columns"), [((0, 1), ["ts"]), ((1, False), ["e.at"]), (None, ["ts", "e.at"]), ((), ["ts", "e.at"])]
    )
    def test_that_are_cut_are_named(self, row: tuple[object, ...] | None, columns: list[str]) -> None:
        reason = PLAN.cut_buckets(row)
        assert reason is not None
        assert [part.split()[3] for part in reason.split("; ")] == columns
        assert reason.startswith("a value for ts lies inside of a bucket of toStartOfDay") or columns == ["e.at"]


class TestJson:
    @pytest.mark.parametrize("plan", [PLAN, replace(PLAN, boundary_sql=None, bucketed=())], ids=["buckets", "none"])
    def test_comes_back_as_it_was(self, plan: ReadPlan) -> None:
        assert ReadPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan

    def test_has_its_format(self) -> None:
        assert PLAN.to_json()["format"] == 1

    def test_of_a_later_format_is_refused(self) -> None:
        with pytest.raises(ValueError, match="format 2"):
            ReadPlan.from_json(PLAN.to_json() | {"format": 2})
