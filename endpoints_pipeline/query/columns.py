"""A query's result, described."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A result column: its name and its ClickHouse type (``Nullable(DateTime64(3, 'UTC'))``)."""

    name: str
    type: str
