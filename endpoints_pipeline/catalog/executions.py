"""Executions: the log of runs and refreshes, and the newest of each endpoint (contract 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.database import Database
from endpoints_pipeline.catalog.records import Execution, ExecutionKind, LastExecution, Outcome
from endpoints_pipeline.catalog.tables import Base, EndpointRow, ExecutionRow, LastExecutionRow

_FIELDS = tuple(field.name for field in fields(Execution))


class ExecutionStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, executions: Sequence[Execution]) -> None:
        """Add executions to the log; one that is there already (the same id) changes nothing."""
        if not executions:
            return
        with self._database.write() as session:
            values = [{field: getattr(execution, field) for field in _FIELDS} for execution in executions]
            session.execute(_insert(session, ExecutionRow, values).on_conflict_do_nothing(index_elements=["id"]))
            newest: dict[tuple[str, str], Execution] = {}
            for execution in sorted(executions, key=lambda execution: execution.started_at):
                newest[execution.endpoint_id, execution.kind] = execution
            upsert = _insert(
                session,
                LastExecutionRow,
                [
                    {
                        "endpoint_id": execution.endpoint_id,
                        "kind": execution.kind,
                        "started_at": execution.started_at,
                        "execution_id": execution.id,
                    }
                    for execution in newest.values()
                ],
            )
            session.execute(
                upsert.on_conflict_do_update(
                    index_elements=["endpoint_id", "kind"],
                    set_={
                        "started_at": upsert.excluded.started_at,
                        "execution_id": upsert.excluded.execution_id,
                    },
                    where=LastExecutionRow.started_at < upsert.excluded.started_at,
                )
            )

    def last(self, project_id: int, names: Sequence[str], since: datetime) -> Sequence[LastExecution]:
        """The newest execution since ``since`` of each named live endpoint that has one."""
        with self._database.read() as session:
            rows = session.execute(
                sa.select(EndpointRow.name, LastExecutionRow.started_at, LastExecutionRow.kind)
                .join(LastExecutionRow, LastExecutionRow.endpoint_id == EndpointRow.id)
                .where(
                    EndpointRow.project_id == project_id,
                    EndpointRow.deleted_at.is_(None),
                    EndpointRow.name.in_(names),
                    LastExecutionRow.started_at >= since,
                )
                .order_by(LastExecutionRow.started_at)
            )
            newest = {name: LastExecution(name, at, ExecutionKind(kind)) for name, at, kind in rows.tuples()}
            return list(newest.values())

    def list(self, endpoint_id: str, limit: int = 100) -> Sequence[Execution]:
        """An endpoint's executions, newest first."""
        with self._database.read() as session:
            rows = session.scalars(
                sa.select(ExecutionRow)
                .where(ExecutionRow.endpoint_id == endpoint_id)
                .order_by(ExecutionRow.started_at.desc(), ExecutionRow.id)
                .limit(limit)
            )
            return [_record(row) for row in rows]

    def drop_before(self, before: datetime) -> int:
        """Forget executions that are older; returns how many. The newest of each endpoint stay known."""
        with self._database.write() as session:
            result = session.execute(sa.delete(ExecutionRow).where(ExecutionRow.started_at < before))
            return int(getattr(result, "rowcount", 0))


def _insert(session: Session, table: type[Base], values: list[dict[str, Any]]) -> sqlite.Insert | postgresql.Insert:
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table).values(values)
    return postgresql.insert(table).values(values)


def _record(row: ExecutionRow) -> Execution:
    values = {field: getattr(row, field) for field in _FIELDS}
    return Execution(**{**values, "kind": ExecutionKind(row.kind), "outcome": Outcome(row.outcome)})
