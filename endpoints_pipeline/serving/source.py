"""A query made ready for the engine: guarded, with its variables as typed parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.variables import Bound, parameterized, parameters


@dataclass(frozen=True, slots=True)
class Prepared:
    """``sql`` is the canonical text; ``parameters`` are bound by the engine and never become part of it."""

    sql: str
    parameters: Mapping[str, Any]
    columns: Sequence[Column]
    is_union: bool


def prepare(engine: Engine, sql: str, bounds: Mapping[str, Bound]) -> Prepared:
    """Guard and describe a query under the values of its variables.

    Raises:
        InvalidInput: The guard refuses the query.
        QueryError: Names or types of the query don't fit.
    """
    values = parameters(bounds)
    guarded = engine.guard(
        parameterized(sql, {name: bound.type for name, bound in bounds.items()}) if bounds else sql, values
    )
    return Prepared(guarded.sql, values, engine.describe(guarded.sql, values), guarded.is_union)
