"""``docs/materialization.md`` says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.query.materialization import Plan, Refused, materializable
from endpoints_pipeline.query.materialization.aggregates import _MERGEABLE
from endpoints_pipeline.query.materialization.buckets import BUCKETS
from endpoints_pipeline.query.variables import bind, dummy, parameterized, placeholders, with_placeholders
from tests.query.materialization.grammar import DATE, LIST, NUMBER, STRING

PAGE = (Path(__file__).parents[3] / "docs" / "materialization.md").read_text()
TYPES = {"since": DATE, "until": DATE, "n": NUMBER, "list": LIST}


def analysed(engine: Engine, sql: str) -> Plan | Refused:
    types = {name: TYPES.get(name, STRING) for name in placeholders(sql)}
    bounds = {name: bind(name, type_, dummy(type_)) for name, type_ in types.items()}
    guarded = engine.guard(
        parameterized(sql, {name: bound.type for name, bound in bounds.items()}), [f"var_{name}" for name in types]
    )
    return materializable(engine.parse(guarded.sql), types, engine)


def printed(engine: Engine, sql: str) -> str:
    [text] = engine.print([engine.parse(parameterized(sql, dict.fromkeys(placeholders(sql), "String")))])
    return with_placeholders(text)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a line of headings."""
    table = PAGE.split(f"{heading}\n")[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


_BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("first", range(0, len(_BLOCKS), 3))
def test_the_examples_are_stored_and_read_as_shown(embedded_engine: Engine, first: int) -> None:
    query, stored, read = _BLOCKS[first : first + 3]
    plan = analysed(embedded_engine, query)
    assert isinstance(plan, Plan)
    assert plan.stored_sql == printed(embedded_engine, stored)
    assert plan.read.execution_sql == printed(embedded_engine, read)


@pytest.mark.parametrize("cells", rows("| accepted | for example |"), ids=lambda cells: cells[0])
def test_what_is_accepted(embedded_engine: Engine, cells: list[str]) -> None:
    plan = analysed(embedded_engine, cells[1].strip("`"))
    assert isinstance(plan, Plan), plan.reason


@pytest.mark.parametrize("cells", rows("| refused | reason begins with | what to do |"), ids=lambda cells: cells[0])
def test_what_is_refused(embedded_engine: Engine, cells: list[str]) -> None:
    refused = analysed(embedded_engine, cells[0].strip("`"))
    assert isinstance(refused, Refused)
    assert refused.reason.startswith(cells[1])


def test_the_aggregate_functions_are_all_there() -> None:
    named = [name.lower() for _, names in rows("| equal to the direct query | functions |") for name in _words(names)]
    assert sorted(named) == sorted(_MERGEABLE)


def _words(names: str) -> list[str]:
    return [name for name in re.findall(r"`(\w+)`", names) if name != "quantile"]


def test_the_buckets_are_all_there() -> None:
    assert ", ".join(f"`{unit}`" for unit in BUCKETS) in " ".join(PAGE.split())
