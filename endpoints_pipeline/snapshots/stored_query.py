"""What a refresh stores for a query: its result or, where it takes variables, rows for all of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.query.materialization import Plan, Refused, materializable
from endpoints_pipeline.query.variables import VariableType, bind, dummy, parameterized, parameters
from endpoints_pipeline.snapshots.sources import Sources
from endpoints_pipeline.snapshots.storable import CANNOT_MATERIALIZE, require_storable

_VARIABLES = "Variables not supported: "


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A query without variables whose rows are stored.

    Attributes:
        sql: Its text: canonical, guarded, with endpoints under their names.
        columns: Its columns, each of which Parquet can hold.
        sort_columns: Those that the rows are sorted by; none: they stay in the query's own order.
        plan: How the rows answer for the variables of the query they are of; None if it takes none.
    """

    sql: str
    columns: Sequence[Column]
    sort_columns: Sequence[str] = ()
    plan: Plan | None = None


def stored_query(
    sources: Sources,
    project_id: int,
    sql: str,
    variables: Mapping[str, VariableType],
    bucket_overrides: Mapping[str, str],
    *,
    saved: Reads | None = None,
) -> StoredQuery:
    """The query whose rows a refresh stores; nothing is run.

    Args:
        sources: What the query may read.
        project_id: Whose query it is.
        sql: The query, with ``{variables.x}`` in it.
        variables: The types of its variables by code name.
        bucket_overrides: By column, the width of its buckets (contract 2.8).
        saved: What the query read when it was saved; None for one that is new.

    Raises:
        InvalidInput: It can't be stored, or isn't allowed at all (``attr="query"``); the message says why.
        QueryError: Its names or types don't fit.
    """
    if not variables:
        canonical = sources.guard(project_id, sql, saved=saved).sql
        columns = sources.describe(project_id, canonical, saved=saved)
        require_storable(columns)
        return StoredQuery(canonical, columns)
    # any values do: what is stored doesn't depend on them
    bounds = {name: bind(name, type_, dummy(type_)) for name, type_ in variables.items()}
    text = parameterized(sql, {name: bound.type for name, bound in bounds.items()})
    guarded = sources.guard(project_id, text, parameters(bounds), saved=saved)
    found = materializable(guarded.tree, variables, sources.grammar(project_id, saved=saved), bucket_overrides)
    if isinstance(found, Refused):
        raise InvalidInput(f"{CANNOT_MATERIALIZE}{_VARIABLES}{found.reason}", attr="query")
    require_storable(found.stored_columns)
    # the guard judges every text that runs, also one that was made of a text that it has passed
    canonical = sources.guard(project_id, found.stored_sql, saved=saved).sql
    return StoredQuery(canonical, found.stored_columns, found.sort_columns, found)
