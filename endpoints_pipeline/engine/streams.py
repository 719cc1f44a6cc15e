"""Rows in blocks, as the engine makes them: the first are there before the last are known, and few are held at a time.

clickhouse-connect streams chDB's answers in a few formats only (see its ``_STREAM_SAFE_FORMATS``), and none of them has
our rows. Native is one: so the engine itself writes each row as JSON, and what streams is a column of texts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clickhouse_connect import common
from clickhouse_connect.driver.client import Client

from endpoints_pipeline.engine.failures import translated_errors
from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.errors import EngineError

# bytes that are read ahead before the first is handed on: 10 MB would keep a slow query's first rows back
common.set_setting("http_buffer_size", 1)
# A server holds other answers back until they are complete (see handles.py). Native, unlike JSON, has no room for the
# text of an error among its rows, so a failure half-way can't be taken for one of them.
_AT_ONCE = {"wait_end_of_query": 0}


def each_row_as_text(sql: str) -> str:
    """The query with one column: each of its rows as JSON, to the byte what ``rows.FORMAT`` makes of it."""
    return f"SELECT formatRowNoNewline('JSONCompactEachRow', *) FROM (\n{sql}\n)"


class RowStream:
    """Blocks of rows while the stream is open; one thread after another may read it."""

    def __init__(self, blocks: Iterator[Any], secrets: tuple[str, ...], limit: int | None) -> None:
        self._blocks = blocks
        self._secrets = secrets
        self._room = limit
        self._reading = threading.Lock()
        self._closed = False
        #: True once every row has been read.
        self.ended = False

    def __iter__(self) -> Iterator[JsonRows]:
        return self

    def __next__(self) -> JsonRows:
        with self._reading:
            if self._closed:
                raise EngineError("The rows were read on after their stream was closed.")
            texts: list[bytes] | None = []
            while texts is not None and not texts:  # a block may be empty
                with translated_errors(self._secrets):
                    block = next(self._blocks, None)
                texts = None if block is None else block[0]
        if texts is None:
            self.ended = True
            raise StopIteration
        kept = texts if self._room is None else texts[: self._room]
        if self._room is not None:
            self._room -= len(kept)
        return JsonRows(data=b",".join(kept), count=len(kept), more=len(kept) < len(texts))

    def close(self) -> None:
        """Wait for a read under way on another thread, and let no other follow."""
        with self._reading:
            self._closed = True


@contextmanager
def open_stream(
    handle: Client,
    sql: str,
    parameters: dict[str, Any] | None,
    secrets: tuple[str, ...],
    limit: int | None,
) -> Iterator[RowStream]:
    """The rows of a query that ``each_row_as_text`` has wrapped."""
    opened = handle.query_column_block_stream(
        sql, parameters=parameters, settings=_AT_ONCE, query_formats={"String": "bytes"}
    )
    with opened as blocks:
        yield RowStream(blocks, secrets, limit)
