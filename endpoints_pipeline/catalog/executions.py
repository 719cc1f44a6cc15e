"""Executions: the record of runs and refreshes, and the newest of each version (contract 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.database import Database, insert
from endpoints_pipeline.catalog.logs import add_entries
from endpoints_pipeline.catalog.mapping import storable
from endpoints_pipeline.catalog.records import Execution, ExecutionKind, LastExecution, LogEntry, Outcome
from endpoints_pipeline.catalog.tables import EndpointRow, ExecutionRow, LastExecutionRow

_FIELDS = tuple(field.name for field in fields(Execution))
_LOG = ExecutionRow.metadata.tables[ExecutionRow.__tablename__]
_NEWEST = LastExecutionRow.metadata.tables[LastExecutionRow.__tablename__]


class ExecutionStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, executions: Sequence[Execution], logs: Sequence[LogEntry] = ()) -> None:
        """Add executions, and what they say of themselves to the log; an execution that is there already (the same id)
        changes nothing.

        Those of endpoints that this catalog doesn't know are left out: Dagster's event log may be older than it.
        """
        if not executions and not logs:
            return
        with self._database.write() as session:
            if executions:
                _record_executions(session, executions)
            if logs:
                add_entries(session, logs)

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
                .order_by(LastExecutionRow.started_at, LastExecutionRow.kind)
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


def _record_executions(session: Session, executions: Sequence[Execution]) -> None:
    first_of_id = {execution.id: execution for execution in reversed(executions)}
    known = set(
        session.scalars(sa.select(EndpointRow.id).where(EndpointRow.id.in_({one.endpoint_id for one in executions})))
    )
    # Every writer takes its rows in the same order, so that none waits for another that waits for it.
    candidates = [one for _, one in sorted(first_of_id.items()) if one.endpoint_id in known]
    if not candidates:
        return
    added = set(
        session.scalars(
            insert(session, _LOG).on_conflict_do_nothing(index_elements=["id"]).returning(_LOG.c.id),
            [_values(one) for one in candidates],
        )
    )
    newest: dict[tuple[str, int, str], Execution] = {}
    for one in sorted(candidates, key=lambda one: one.started_at):
        if one.id in added:
            newest[one.endpoint_id, one.version, one.kind] = one
    if not newest:
        return
    upsert = insert(session, _NEWEST)
    session.execute(
        upsert.on_conflict_do_update(
            index_elements=["endpoint_id", "version", "kind"],
            set_={"started_at": upsert.excluded.started_at, "execution_id": upsert.excluded.execution_id},
            where=_NEWEST.c.started_at < upsert.excluded.started_at,
        ),
        [
            {
                "endpoint_id": endpoint_id,
                "version": version,
                "kind": kind,
                "started_at": one.started_at,
                "execution_id": one.id,
            }
            for (endpoint_id, version, kind), one in sorted(newest.items())
        ],
    )


def _values(execution: Execution) -> dict[str, Any]:
    values = {field: getattr(execution, field) for field in _FIELDS}
    return {**values, "error": None if execution.error is None else storable(execution.error)}


def _record(row: ExecutionRow) -> Execution:
    values = {field: getattr(row, field) for field in _FIELDS}
    return Execution(**{**values, "kind": ExecutionKind(row.kind), "outcome": Outcome(row.outcome)})
