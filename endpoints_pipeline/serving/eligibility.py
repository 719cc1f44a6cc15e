"""Whether a version can be materialized (contract 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.variables import placeholders
from endpoints_pipeline.snapshots.storable import materialization_obstacle


def obstacle(sql: str, columns: Sequence[Column]) -> str | None:
    """Why the query's result can't be kept as a snapshot, in words for the user; None if it can."""
    if names := placeholders(sql):
        return (
            "Variables not supported: a snapshot holds the rows of one set of values, and this query takes "
            f"{', '.join(names)} at each run."
        )
    return materialization_obstacle(columns)


def require_eligible(sql: str, columns: Sequence[Column]) -> None:
    """Return if the query's result can be kept as a snapshot.

    Raises:
        InvalidInput: It can't (``attr="query"``); the message says why.
    """
    if reason := obstacle(sql, columns):
        raise InvalidInput(f"Cannot materialize endpoint. Reason: {reason}", attr="query")
