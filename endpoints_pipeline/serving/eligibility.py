"""Whether a version can be materialized (contract 3.1)."""

from __future__ import annotations

from collections.abc import Mapping

from endpoints_pipeline.catalog.endpoints import CheckedQuery
from endpoints_pipeline.catalog.records import Version
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.variables import VariableType
from endpoints_pipeline.snapshots.sources import Sources
from endpoints_pipeline.snapshots.storable import CANNOT_MATERIALIZE, materialization_obstacle
from endpoints_pipeline.snapshots.stored_query import stored_query


def obstacle(query: CheckedQuery | Version) -> str | None:
    """Why the query's result can't be kept as a snapshot, in words for the user; None if it can."""
    return materialization_obstacle(query.columns) or query.variables_obstacle


def require_eligible(query: CheckedQuery | Version) -> None:
    """Return if the query's result can be kept as a snapshot.

    Raises:
        InvalidInput: It can't (``attr="query"``); the message says why.
    """
    if reason := obstacle(query):
        raise InvalidInput(f"{CANNOT_MATERIALIZE}{reason}", attr="query")


def variables_obstacle(
    sources: Sources, project_id: int, sql: str, variables: Mapping[str, VariableType]
) -> str | None:
    """Why no snapshot can answer for all values of a query's variables (contract 3.2); None if one can.

    It takes some engine calls, so it is found once, when the query is saved.
    """
    if not variables:
        return None
    try:
        stored_query(sources, project_id, sql, variables, {})
    except InvalidInput as error:
        return str(error).removeprefix(CANNOT_MATERIALIZE)
    return None
