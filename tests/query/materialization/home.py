"""Where plans are proved: a database of the tests' own, a Parquet file for what is stored, and the two answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endpoints_pipeline.engine import Engine, Role
from endpoints_pipeline.engine.types import identifier, storage_type, stored_columns, structure
from endpoints_pipeline.errors import QueryError
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.materialization import Plan, Refused, materializable
from endpoints_pipeline.query.variables import Bound, VariableType, bind, dummy, parameterized, parameters

DATABASE = "materialization"
#: How many databases beside it have the same tables with other rows.
TABLES = 12


@dataclass
class Home:
    """The engine with a database for tables, and a folder for what is stored."""

    engine: Engine
    folder: Path
    files: int = field(default=0)

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.engine.query(statement)

    def accepted(self, sql: str, types: Mapping[str, VariableType], buckets: Mapping[str, str] | None = None) -> Plan:
        plan = self.plan(sql, types, buckets)
        assert isinstance(plan, Plan), plan.reason
        return plan

    def refused(self, sql: str, types: Mapping[str, VariableType]) -> str:
        """The reason."""
        plan = self.plan(sql, types)
        assert isinstance(plan, Refused), plan.stored_sql
        return plan.reason

    def plan(
        self, sql: str, types: Mapping[str, VariableType], bucket_overrides: Mapping[str, str] | None = None
    ) -> Plan | Refused:
        bounds = {name: bind(name, type_, dummy(type_)) for name, type_ in types.items()}
        tree = self.engine.parse(parameterized(sql, {name: bound.type for name, bound in bounds.items()}))
        return materializable(tree, types, self.engine, bucket_overrides)

    def store(self, plan: Plan) -> str:
        """Write what a refresh would; the SELECT that reads it back.

        With small row groups and Bloom filters, so that there is something for a read to skip by mistake.
        """
        self.files += 1
        path = self.folder / f"{self.files}.parquet"
        columns = plan.stored_columns
        self.run(
            f"INSERT INTO FUNCTION file('{path}', 'Parquet') SELECT {stored_columns(columns)} "
            f"FROM ({plan.stored_sql}) SETTINGS output_format_parquet_write_bloom_filter = 1, "
            "output_format_parquet_row_group_size = 10"
        )
        restored = ", ".join(map(_restored, columns))
        return f"SELECT {restored} FROM file('{path}', 'Parquet', {_text(structure(columns))})"

    def cut(self, plan: Plan, bounds: Mapping[str, Bound]) -> str | None:
        """Why the stored rows can't answer for these values; None if they can."""
        query = plan.read.boundary_query(bounds)
        if query is None:
            return None
        try:
            [row] = self.engine.query(query.sql, query.parameters)
        except QueryError:
            return plan.read.cut_buckets(None)
        return plan.read.cut_buckets(row)

    def read(self, plan: Plan, source: str, bounds: Mapping[str, Bound], **page: int) -> str:
        """The rows of a read, as the engine writes them."""
        query = plan.read.read_sql(source, bounds, **page)
        return self.rows(query.sql, query.parameters)

    def direct(self, sql: str, bounds: Mapping[str, Bound]) -> str:
        """The rows of the query itself."""
        return self.rows(*self.bound(sql, bounds))

    def bound(self, sql: str, bounds: Mapping[str, Bound]) -> tuple[str, Mapping[str, Any]]:
        types = {name: bound.type for name, bound in bounds.items()}
        return parameterized(sql, types), parameters(bounds)

    def answers(
        self,
        sql: str,
        types: Mapping[str, VariableType],
        values: Sequence[Mapping[str, object]],
        buckets: Mapping[str, str] | None = None,
    ) -> list[str]:
        """The rows of a read for each of ``values``, each proved equal to the direct query's."""
        plan = self.accepted(sql, types, buckets)
        source = self.store(plan)
        answers = []
        for given in values:
            bounds = {name: bind(name, types[name], value) for name, value in given.items()}
            assert self.cut(plan, bounds) is None
            answers.append(self.read(plan, source, bounds))
            assert answers[-1] == self.direct(sql, bounds), (given, plan)
        return answers

    def rows(self, sql: str, values: Mapping[str, Any]) -> str:
        answer = self.engine.json_rows(sql, values, role=Role.WRITER)  # a reader may not use file()
        return answer.data.decode().replace("],[", "],\n[")


def _restored(column: Column) -> str:
    name = identifier(column.name)
    # nothing can be cast to Nothing
    if storage_type(column) == column.type or "Nothing" in column.type:
        return f"{name} AS {name}"
    return f"CAST({name}, {_text(column.type)}) AS {name}"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
