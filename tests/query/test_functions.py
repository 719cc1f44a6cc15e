from __future__ import annotations

import pytest

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.query.functions import EngineFunction, Functions
from endpoints_pipeline.query.guard import _HIGHER_ORDER_FAMILIES


def function(
    name: str, category: str = "String", *, alias_to: str = "", aggregate: bool = False, own: bool = False
) -> EngineFunction:
    return EngineFunction(name, category, alias_to, aggregate, own)


FUNCTIONS = Functions(
    [
        function("upper"),
        function("ucase", "", alias_to="upper"),
        function("sum", "Aggregate Functions", aggregate=True),
        function("any", "Aggregate Functions", aggregate=True),
        function("file", "Other"),
        function("anyIf", "Other"),
        function("load", "", alias_to="file"),
        function("toTimezone", "Dates and Times"),
        function("toTimeZone", "", alias_to="toTimezone"),
        function("brandNew", "A New Category"),
        function("throwIf", "Other"),
        function("ours", "", own=True),
    ]
)


@pytest.mark.parametrize(
    "name",
    ["upper", "UPPER", "ucase", "sum", "sumIf", "SUM", "sumMergeState", "sumArrayIfOrNull", "toTimeZone", "toTimezone"]
    + ["throwIf", "ours", "lambda", "untuple", "exists"],
)
def test_allowed(name: str) -> None:
    assert FUNCTIONS.allows(name)
    assert not FUNCTIONS.refuses(name)


@pytest.mark.parametrize("name", ["file", "FILE", "load", "brandNew", "anyIf"])
def test_refused(name: str) -> None:
    assert not FUNCTIONS.allows(name)
    assert FUNCTIONS.refuses(name)


@pytest.mark.parametrize("name", ["nothing", "upperIf", "sumFile", "If", ""])
def test_a_name_that_is_no_function_is_neither(name: str) -> None:
    assert not FUNCTIONS.allows(name)
    assert not FUNCTIONS.refuses(name)


@pytest.mark.parametrize("name", ["sum", "SUM", "sumIf", "anyArrayState", "anyOrNullMerge"])
def test_aggregate_functions_have_combinators(name: str) -> None:
    assert FUNCTIONS.is_aggregate(name)


@pytest.mark.parametrize("name", ["upper", "anyIf", "sumFile", "nothing", "if", ""])
def test_other_functions_are_no_aggregates(name: str) -> None:
    """``anyIf`` is a function of its own here, whatever its name looks like."""
    assert not FUNCTIONS.is_aggregate(name)


def test_the_engines_own_list(embedded_engine: Engine) -> None:
    """What a new release brings shows up here."""
    functions = embedded_engine._functions
    names = [str(row[0]) for row in embedded_engine.query("SELECT name FROM system.functions")]
    refused = {name.lower() for name in names if functions.refuses(name)}
    assert {"file", "dictget", "joinget", "getsetting", "sleep", "hostname", "aigenerate", "logtrace"} <= refused
    assert len(refused) < 0.15 * len(names)


def test_functions_that_take_functions_are_all_known(embedded_engine: Engine) -> None:
    rows = embedded_engine.query("SELECT name FROM system.functions WHERE higher_order = 1")
    assert len(rows) > 30
    assert [name for (name,) in rows if not name.lower().startswith(_HIGHER_ORDER_FAMILIES)] == []


def test_combinators_are_the_engines(embedded_engine: Engine) -> None:
    from endpoints_pipeline.query.functions import _COMBINATORS

    rows = embedded_engine.query("SELECT lower(name) FROM system.aggregate_function_combinators")
    assert sorted(name for (name,) in rows) == sorted(_COMBINATORS)
