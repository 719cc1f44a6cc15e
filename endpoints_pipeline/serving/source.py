"""A query made ready for the engine: guarded, with its variables as typed parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.query.variables import Bound, parameterized, parameters
from endpoints_pipeline.snapshots.sources import Sources


@dataclass(frozen=True, slots=True)
class Prepared:
    """``sql`` is the canonical text, with endpoints under their names: ``Sources.resolve`` makes what is run of it.

    ``parameters`` are bound by the engine and never become part of it.
    """

    sql: str
    parameters: Mapping[str, Any]
    columns: Sequence[Column]
    is_union: bool
    reads: Reads


def prepare(
    sources: Sources, project_id: int, sql: str, bounds: Mapping[str, Bound], *, saved: Reads | None = None
) -> Prepared:
    """Guard and describe a query under the values of its variables.

    Args:
        sources: What the query may read.
        project_id: Whose query it is.
        sql: The query, with ``{variables.x}`` in it.
        bounds: The value of each variable.
        saved: What it read when it was saved; None for one that is new.

    Raises:
        InvalidInput: The guard refuses the query, or an endpoint that it reads can't be read.
        QueryError: Names or types of the query don't fit.
    """
    values = parameters(bounds)
    text = parameterized(sql, {name: bound.type for name, bound in bounds.items()}) if bounds else sql
    guarded = sources.guard(project_id, text, values, saved=saved)
    columns = sources.describe(project_id, guarded.sql, values, saved=saved)
    reads = sources.settled(project_id, guarded, values) if saved is None else guarded.reads
    return Prepared(guarded.sql, values, columns, guarded.is_union, reads)
