"""How far a query has come, and what an INSERT read and wrote in the end, by the engine's own count.

A server says the latter in the query's summary. chDB's summary says 0, but its progress reports carry the numbers; the
only way to them is the connection inside clickhouse-connect's embedded backend, which is why this module reaches for
it. If a release moves that attribute, the counts are None and a snapshot is verified by its footer and a read alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.summary import QuerySummary


@dataclass(frozen=True, slots=True)
class Progress:
    """A running query; ``estimated_rows`` is what the engine expects to read in all, 0 when it can't tell."""

    rows_read: int = 0
    bytes_read: int = 0
    estimated_rows: int = 0
    cpu_ms: int = 0
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of one query; None where the engine said nothing."""

    written_rows: int | None = None
    read_rows: int | None = None
    read_bytes: int | None = None


_FIELDS = ("written_rows", "read_rows", "read_bytes")

#: Called with the command's result, gives its statistics.
Collect = Callable[[object], Statistics]


@contextmanager
def collecting_statistics(handle: Client) -> Iterator[Collect]:
    """Collect the statistics of the one command that is run in the block."""
    connection = _embedded_connection(handle)
    if connection is None:
        yield _from_summary
        return
    reported: dict[str, int] = {}

    def note(progress: Mapping[str, Any]) -> None:
        for field in _FIELDS:
            reported[field] = max(reported.get(field, 0), int(progress.get(field, 0)))

    connection.set_progress_callback(note)
    try:
        yield lambda _result: Statistics(**reported)
    finally:
        connection.set_progress_callback(None)


def _from_summary(result: object) -> Statistics:
    if not isinstance(result, QuerySummary):
        return Statistics()
    # what isn't in the summary isn't known, and a count of 0 would be one to hold against the footer
    counts = {field: int(result.summary[field]) for field in _FIELDS if field in result.summary}
    return Statistics(**counts)


def _embedded_connection(handle: Client) -> Any:
    backend = getattr(handle, "_backend", None)
    connection = getattr(getattr(backend, "_handle", None), "conn", None)
    return connection if hasattr(connection, "set_progress_callback") else None
