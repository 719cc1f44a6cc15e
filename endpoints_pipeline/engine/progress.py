"""How many rows an INSERT wrote, by the engine's own count.

A server says it in the query's summary. chDB's summary says 0, but its progress reports carry the number; the only way
to them is the connection inside clickhouse-connect's embedded backend, which is why this module reaches for it. If a
release moves that attribute, the count is None and a snapshot is verified by its footer and a read alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.summary import QuerySummary

Count = Callable[[object], int | None]


@contextmanager
def counting_written_rows(handle: Client) -> Iterator[Count]:
    """Count the rows written in the block; call what it yields with the command's result to have the number."""
    connection = _embedded_connection(handle)
    if connection is None:
        yield _from_summary
        return
    reported: list[int] = []

    def note(progress: Mapping[str, Any]) -> None:
        reported.append(int(progress.get("written_rows", 0)))

    connection.set_progress_callback(note)
    try:
        yield lambda _result: max(reported, default=None)
    finally:
        connection.set_progress_callback(None)


def _from_summary(result: object) -> int | None:
    return result.written_rows if isinstance(result, QuerySummary) else None


def _embedded_connection(handle: Client) -> Any:
    backend = getattr(handle, "_backend", None)
    connection = getattr(getattr(backend, "_handle", None), "conn", None)
    return connection if hasattr(connection, "set_progress_callback") else None
