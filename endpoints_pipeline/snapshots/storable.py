"""Whether a result can be kept as a snapshot at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from endpoints_pipeline.engine.types import storage_type
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.columns import Column

#: Begins the message of each refusal (contract 1.2).
CANNOT_MATERIALIZE = "Cannot materialize endpoint. Reason: "


def require_storable(columns: Sequence[Column]) -> None:
    """Return if a result with these columns can be kept as Parquet.

    Raises:
        InvalidInput: It can't (``attr="query"``); the message says why and what to do.
    """
    if reason := materialization_obstacle(columns):
        raise InvalidInput(f"{CANNOT_MATERIALIZE}{reason}", attr="query")


def materialization_obstacle(columns: Sequence[Column]) -> str | None:
    """Why a result with these columns can't be kept as Parquet, in words for the user; None if it can."""
    names = Counter(column.name for column in columns)
    for column in columns:
        if names[column.name] > 1:
            return f"the result has more than one column named '{column.name}'. Name each of them apart with AS."
        try:
            storage_type(column)
        except InvalidInput as error:
            return str(error).removeprefix(CANNOT_MATERIALIZE)
    return None
