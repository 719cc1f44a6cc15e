"""No column's name shows a variable's value."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.engine.types import json_columns
from endpoints_pipeline.query.variables import Bound, parameterized, parameters

FIRST = {"s": Bound("String", "a"), "n": Bound("UInt64", 2), "l": Bound("Array(UInt64)", [1])}
SECOND = {"s": Bound("Nullable(String)", None), "n": Bound("Float64", 2.5), "l": Bound("Array(String)", [])}


def names(engine: Engine, sql: str, bounds: dict[str, Bound]) -> list[str]:
    values = parameters(bounds)
    guarded = engine.guard(parameterized(sql, {name: bound.type for name, bound in bounds.items()}), values)
    columns = engine.describe(guarded.sql, values)
    engine.json_rows(f"SELECT {json_columns(columns)} FROM ({guarded.sql})", values)
    assert engine.guard(guarded.sql, values) == guarded
    return [column.name for column in columns]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT {variables.s}", ["{variables.s}"]),
        ("SELECT {variables.s}, {variables.s}", ["{variables.s}", "{variables.s}"]),
        ("SELECT {variables.s} AS s, id FROM events", ["s", "id"]),
        ("SELECT upper({variables.s}), id + 1 FROM events", ["upper({variables.s})", "plus(id, 1)"]),
        ("SELECT id IN {variables.l} FROM events", ["id IN ({variables.l})"]),
        ("SELECT *, -{variables.n} FROM (SELECT {variables.n})", ["{variables.n}", "-{variables.n}"]),
        ("SELECT (SELECT {variables.s})", ["(SELECT {variables.s})"]),
        ("SELECT concat('`', {variables.s}, '\\n')", ["concat('`', {variables.s}, '\\n')"]),
        ("WITH {variables.s} AS s SELECT s, {variables.n}", ["s", "{variables.n}"]),
        ("SELECT {variables.s} UNION ALL SELECT name FROM events", ["{variables.s}"]),
        ("SELECT name, count() > {variables.n} FROM events GROUP BY ALL", ["name", "count() > {variables.n}"]),
        ("SELECT id % {variables.n} FROM events GROUP BY id % {variables.n}", ["id % {variables.n}"]),
        ("SELECT * REPLACE (id + {variables.n} AS id) FROM (SELECT id FROM events)", ["id"]),
    ],
)
def test_names_come_from_the_text(engine: Engine, sql: str, expected: list[str]) -> None:
    for bounds in (FIRST, SECOND):
        assert names(engine, sql, bounds) == expected


def test_a_name_does_not_hide_a_column(engine: Engine) -> None:
    """An alias is seen in WHERE: called ``id``, the variable would be what the condition is about."""
    values: dict[str, Any] = {"var_id": 7}
    guarded = engine.guard("SELECT {var_id:UInt64}, id FROM events WHERE id = 3", values)
    assert engine.json_rows(guarded.sql, values).data == b"[7, 3]"


def test_queries_without_variables_keep_their_names(engine: Engine) -> None:
    assert engine.canonical("SELECT upper(name), count() FROM events") == "SELECT upper(name), count() FROM events"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT (SELECT max(id) FROM events)", ["(SELECT max(id) FROM events)"]),
        ("SELECT 1 IN (SELECT id FROM events), (SELECT 1)", ["1 IN (SELECT id FROM events)", "(SELECT 1)"]),
        ("SELECT (SELECT 1) + (SELECT 2) AS three", ["three"]),
        ("SELECT * FROM (SELECT (SELECT 1))", ["(SELECT 1)"]),
    ],
)
def test_a_subquery_keeps_its_name_when_the_query_becomes_one(engine: Engine, sql: str, expected: list[str]) -> None:
    """The engine's own would be ``_subquery_1``, and ``_subquery_2`` a level deeper."""
    assert names(engine, sql, {}) == expected
