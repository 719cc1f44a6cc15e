"""Reading a snapshot's rows with the engine, under the types its query had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from endpoints_pipeline.catalog.records import Snapshot
from endpoints_pipeline.engine import Engine, Role
from endpoints_pipeline.engine.part_tables import PARQUET_READING
from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.engine.types import json_columns, original_columns, restored_columns, structure
from endpoints_pipeline.errors import QueryError, SnapshotInvalid
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.variables import Bound, VariableType
from endpoints_pipeline.snapshots.objects import Bucket
from endpoints_pipeline.snapshots.stored_rows import stored_rows


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
        with self._stored(snapshot) as stored:
            sql = _page(f"SELECT {restored_columns(snapshot.columns)} FROM ({stored.sql})", limit, offset)
            rows = self._engine.json_rows(
                f"{sql} SETTINGS {stored.settings}", stored.parameters, role=Role.SNAPSHOT_READER
            )
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
        plan = snapshot.read_plan
        with self._stored(snapshot) as stored:
            if plan is None:
                sql = _page(f"SELECT {restored_columns(snapshot.columns)} FROM ({stored.sql})", limit, offset)
                parameters = stored.parameters
            else:
                rows = f"SELECT {original_columns(snapshot.columns)} FROM ({stored.sql})"
                # one row more than wanted tells whether there are more
                read = plan.read_sql(rows, bounds or {}, limit=None if limit is None else limit + 1, offset=offset)
                sql = f"SELECT {json_columns(plan.columns)} FROM ({read.sql})"
                parameters = {**stored.parameters, **read.parameters}
            with self._engine.stream(
                f"{sql} SETTINGS {stored.settings}",
                parameters,
                role=Role.SNAPSHOT_READER,
                tag=tag,
                limit=None if plan is None else limit,
            ) as blocks:
                yield _counted(blocks, snapshot, limit, offset) if plan is None else blocks

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
        source, parameters = stored_rows(self._engine, self._bucket, columns, [key])
        self._engine.json_rows(
            f"SELECT {restored_columns(columns)} FROM ({source}) LIMIT 1", parameters, role=Role.SNAPSHOT_READER
        )

    @contextmanager
    def _stored(self, snapshot: Snapshot) -> Iterator[_Stored]:
        """The stored rows as they lie in Parquet, readable for the length of the block."""
        keys = [part.key for part in snapshot.parts]
        tables = self._engine.part_tables
        if tables is None:
            source, parameters = stored_rows(self._engine, self._bucket, snapshot.columns, keys)
            yield _Stored(source, parameters, PARQUET_READING)
            return
        with tables.leased(self._bucket.name, keys, structure(snapshot.columns)) as names:
            yield _Stored(" UNION ALL ".join(f"SELECT * FROM {name}" for name in names), {}, tables.reading)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A SELECT with its parameters, and the settings of a query over it."""

    sql: str
    parameters: Mapping[str, object]
    reading: Mapping[str, int | str]

    @property
    def settings(self) -> str:
        # snapshots have no limit of rows: that one is for people's queries over their sources
        settings: Mapping[str, int | str] = {"max_rows_to_read": 0, **self.reading}
        return ", ".join(f"{name} = {value!r}" for name, value in settings.items())


def _page(sql: str, limit: int | None, offset: int) -> str:
    return sql + (f" LIMIT {limit:d}" if limit is not None else "") + (f" OFFSET {offset:d}" if offset else "")


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
