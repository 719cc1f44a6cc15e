"""A read of stored rows under the values of one run: texts that are kept with the snapshot, so nothing is parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.materialization.layout import SNAPSHOT
from endpoints_pipeline.query.variables import Bound, VariableType, parameterized, parameters

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """A query over stored rows; ``parameters`` are bound by the engine and never become part of its text."""

    sql: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BucketedColumn:
    """A column whose moments were rounded down by ``bucket_fn`` (``toStartOfDay``) before they were stored."""

    column: str
    bucket_fn: str


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How a snapshot of a query with variables is read.

    Attributes:
        execution_sql: The read over ``snapshot``, with ``{variables.x}`` in it.
        columns: The columns of the answer, those of the direct query.
        variables: The query's variables, with the types that they were declared as when the rows were stored. Each
            read needs a value for each of them.
        boundary_sql: A SELECT, with ``{variables.x}``, of one row that tells for each of ``bucketed`` whether the
            values cut a bucket in two; None if no values can.
        bucketed: The columns that were rounded down.
    """

    execution_sql: str
    columns: tuple[Column, ...]
    variables: Mapping[str, VariableType]
    boundary_sql: str | None = None
    bucketed: tuple[BucketedColumn, ...] = ()

    def read_sql(
        self, source: str, bounds: Mapping[str, Bound], *, limit: int | None = None, offset: int = 0
    ) -> ReadQuery:
        """The query over stored rows for one run's values; only where ``cut_buckets`` has nothing against it.

        Args:
            source: A SELECT of the stored columns, under their own names and types.
            bounds: A value for each variable.
            limit: Rows to give at most, of those that the query's own LIMIT leaves.
            offset: Rows of those to leave out first.

        Raises:
            KeyError: A variable has no value.
        """
        read = self._bound(self.execution_sql, bounds)
        sql = f"WITH {SNAPSHOT} AS ({source}) {read.sql}"
        if limit is not None or offset:
            sql = f"SELECT * FROM ({sql})"
            sql += f" LIMIT {limit:d}" if limit is not None else ""
            sql += f" OFFSET {offset:d}" if offset else ""
        return ReadQuery(sql, read.parameters)

    def boundary_query(self, bounds: Mapping[str, Bound]) -> ReadQuery | None:
        """The query whose one row ``cut_buckets`` judges; None if the stored rows answer for all values.

        It reads nothing but the values. Where the engine refuses it, a value doesn't fit its column.
        """
        return None if self.boundary_sql is None else self._bound(self.boundary_sql, bounds)

    def cut_buckets(self, answer_row: Sequence[Any] | None) -> str | None:
        """Why the source must be asked: a value lies inside of a bucket, whose rows were stored as one.

        Args:
            answer_row: What ``boundary_query`` gave; None if the engine refused it.

        Returns:
            The reason in words; None if the stored rows answer exactly.
        """
        if answer_row is None or len(answer_row) != len(self.bucketed):
            answer_row = [0] * len(self.bucketed)
        cut = [one for one, exact in zip(self.bucketed, answer_row, strict=True) if exact == 0]
        reasons = (f"a value for {one.column} lies inside of a bucket of {one.bucket_fn}" for one in cut)
        return "; ".join(reasons) or None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for the catalog and for a snapshot's manifest."""
        return {
            "format": _FORMAT,
            "execution_sql": self.execution_sql,
            "columns": [{"name": column.name, "type": column.type} for column in self.columns],
            "variables": {name: type_.value for name, type_ in self.variables.items()},
            "boundary_sql": self.boundary_sql,
            "bucketed": [{"column": one.column, "bucket_fn": one.bucket_fn} for one in self.bucketed],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReadPlan:
        """The plan that ``to_json`` wrote.

        Raises:
            ValueError: A later release wrote it, in a form that this one doesn't know.
        """
        if value["format"] != _FORMAT:
            raise ValueError(f"A read plan of format {value['format']}; this release knows {_FORMAT}.")
        return cls(
            execution_sql=value["execution_sql"],
            columns=tuple(Column(**column) for column in value["columns"]),
            variables={name: VariableType(type_) for name, type_ in value["variables"].items()},
            boundary_sql=value["boundary_sql"],
            bucketed=tuple(BucketedColumn(**one) for one in value["bucketed"]),
        )

    def _bound(self, sql: str, bounds: Mapping[str, Bound]) -> ReadQuery:
        given = {name: bounds[name] for name in self.variables}
        types = {name: bound.type for name, bound in given.items()}
        return ReadQuery(parameterized(sql, types), parameters(given))
