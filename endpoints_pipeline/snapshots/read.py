"""Reading a snapshot's rows with the engine, under the types its query had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from endpoints_pipeline.catalog.records import Snapshot
from endpoints_pipeline.engine import Engine, Role
from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.engine.types import json_columns, original_columns, restored_columns
from endpoints_pipeline.errors import QueryError, SnapshotInvalid
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.materialization import ReadPlan
from endpoints_pipeline.query.variables import Bound, VariableType
from endpoints_pipeline.snapshots.objects import Bucket
from endpoints_pipeline.snapshots.stored_rows import stored_rows

# ClickHouse decodes a file ahead of who reads it, up to 4 GB, in blocks of 65,409 rows: for rows that leave for a
# caller that is memory for nothing. Measured: 1,000,000 rows take 70 MB in place of 190, and no more time.
_READ_AHEAD = (
    " SETTINGS input_format_parquet_memory_high_watermark = 33554432, input_format_parquet_max_block_size = 8192"
)


class SnapshotReader:
    def __init__(self, *, engine: Engine, bucket: Bucket) -> None:
        self._engine = engine
        self._bucket = bucket

    def json_rows(self, snapshot: Snapshot, *, limit: int | None = None, offset: int = 0) -> JsonRows:
        """A few of the stored rows in their order, as JSON bytes, with the columns that are kept for variables.

        Raises:
            EngineUnavailable: A part can't be read.
            SnapshotInvalid: The parts hold another number of rows than was published.
        """
        sql, parameters = self._page(snapshot, limit, offset)
        # s3() is refused to readers; the text is all ours
        rows = self._engine.json_rows(sql, parameters, role=Role.WRITER)
        _check_count(snapshot, rows.count, limit, offset)
        return rows

    @contextmanager
    def stream(
        self,
        snapshot: Snapshot,
        bounds: Mapping[str, Bound] | None = None,
        *,
        limit: int | None = None,
        offset: int = 0,
        tag: str | None = None,
    ) -> Iterator[Iterator[JsonRows]]:
        """A run's rows, in blocks as they are read (``Engine.stream``).

        A snapshot of a query without variables gives its rows in their stored order. Another gives those of the direct
        query under the values of its variables, in that query's order; a block says ``more`` where ``limit`` cut some
        off.

        Args:
            snapshot: The snapshot.
            bounds: The value of each variable; ``obstacle`` has nothing against them.
            limit: Rows to give at most.
            offset: Rows to leave out first.
            tag: Names the query in the engine.

        Raises:
            EngineUnavailable: A part can't be read.
            SnapshotInvalid: The parts hold another number of rows than was published; known only behind the last block,
                and only where all rows are read.
        """
        if snapshot.read_plan is None:
            sql, parameters = self._page(snapshot, limit, offset)
            with self._engine.stream(sql, parameters, role=Role.WRITER, tag=tag) as blocks:
                yield _counted(blocks, snapshot, limit, offset)
        else:
            sql, parameters = self._read(snapshot, snapshot.read_plan, bounds or {}, limit, offset)
            with self._engine.stream(sql, parameters, role=Role.WRITER, tag=tag, limit=limit) as blocks:
                yield blocks

    def obstacle(
        self, snapshot: Snapshot, bounds: Mapping[str, Bound], types: Mapping[str, VariableType]
    ) -> str | None:
        """Why a snapshot can't answer for these values, in words for the user; None if it can.

        Args:
            snapshot: The snapshot.
            bounds: The value of each variable of the query.
            types: Their types as they are declared now.

        Raises:
            EngineUnavailable: The engine can't be asked whether a value cuts a bucket in two.
        """
        plan = snapshot.read_plan
        if plan is None:
            return None
        if plan.variables != types:
            return "A variable has another type than when the snapshot was made. The next refresh takes it up."
        if (query := plan.boundary_query(bounds)) is None:
            return None
        try:
            [answer] = self._engine.query(query.sql, query.parameters)
        except QueryError:  # a value doesn't fit its column: the source tells best
            answer = None
        cut = plan.cut_buckets(answer)
        return f"The snapshot's rows are rounded: {cut}." if cut else None

    def check(self, columns: Sequence[Column], key: str) -> None:
        """Prove that a part's first rows can be read back under ``columns``.

        Raises:
            QueryError: They can't, and never will.
            EngineUnavailable: The part can't be reached.
        """
        sql, parameters = self._select(columns, [key])
        self._engine.json_rows(f"{sql} LIMIT 1", parameters, role=Role.WRITER)

    def _page(self, snapshot: Snapshot, limit: int | None, offset: int) -> tuple[str, dict[str, object]]:
        sql, parameters = self._select(snapshot.columns, [part.key for part in snapshot.parts])
        if limit is not None:
            sql += f" LIMIT {limit:d}"
        if offset:
            sql += f" OFFSET {offset:d}"
        return sql + _READ_AHEAD, parameters

    def _read(
        self, snapshot: Snapshot, plan: ReadPlan, bounds: Mapping[str, Bound], limit: int | None, offset: int
    ) -> tuple[str, dict[str, object]]:
        keys = [part.key for part in snapshot.parts]
        source, parameters = stored_rows(self._engine, self._bucket, snapshot.columns, keys)
        stored = f"SELECT {original_columns(snapshot.columns)} FROM ({source})"
        # one row more than wanted tells whether there are more
        read = plan.read_sql(stored, bounds, limit=None if limit is None else limit + 1, offset=offset)
        sql = f"SELECT {json_columns(plan.columns)} FROM ({read.sql})"
        return sql + _READ_AHEAD, {**parameters, **read.parameters}

    def _select(self, columns: Sequence[Column], keys: Sequence[str]) -> tuple[str, dict[str, object]]:
        source, parameters = stored_rows(self._engine, self._bucket, columns, keys)
        return f"SELECT {restored_columns(columns)} FROM ({source})", parameters


def _counted(blocks: Iterator[JsonRows], snapshot: Snapshot, limit: int | None, offset: int) -> Iterator[JsonRows]:
    count = 0
    for block in blocks:
        count += block.count
        yield block
    _check_count(snapshot, count, limit, offset)


def _check_count(snapshot: Snapshot, count: int, limit: int | None, offset: int) -> None:
    expected = max(0, snapshot.rows - offset)
    if count != (expected if limit is None else min(limit, expected)):
        raise SnapshotInvalid(f"Snapshot {snapshot.id} gave {count} rows of {snapshot.rows}.")
