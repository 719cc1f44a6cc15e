"""What is kept of each run: its execution, and a line in its endpoint's log (contract 1.14, 4). Never a value."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Execution, ExecutionKind, LogEntry, LogLevel, Outcome
from endpoints_pipeline.clock import Clock
from endpoints_pipeline.errors import CatalogUnavailable, EngineError, InvalidInput, QueryLimitExceeded
from endpoints_pipeline.serving.decision import Decision

if TYPE_CHECKING:
    from endpoints_pipeline.serving.run import Plan

_log = structlog.get_logger(__name__)


class Recorder:
    """Writes the records. One that can't be written is logged: it must not take the caller's rows away."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    def execution(
        self,
        plan: Plan,
        decision: Decision,
        *,
        rows: int | None = None,
        cached: bool = False,
        error: BaseException | None = None,
    ) -> None:
        """Record an execution that ended.

        Args:
            plan: The run.
            decision: The path that was taken in the end.
            rows: How many rows it gave.
            cached: Whether they were computed for an earlier caller.
            error: Why it failed.
        """
        endpoint, now = plan.endpoint, self._clock()
        milliseconds = round((now - plan.began).total_seconds() * 1000)
        execution = Execution(
            id=plan.execution_id,
            endpoint_id=endpoint.id,
            version=endpoint.version.version,
            kind=ExecutionKind.RUN,
            outcome=Outcome.ERROR if error else Outcome.SUCCESS,
            started_at=plan.began,
            duration_ms=milliseconds,
            rows=None if error else rows,
            path=decision.path,
            error=(str(error) or type(error).__name__) if error else None,
            snapshot_id=decision.snapshot.id if decision.snapshot else None,
        )
        facts = f"path={decision.path} version={endpoint.version.version}"
        if error:
            level, message = LogLevel.ERROR, f"Endpoint execution failed · {facts} error={_code(error)}"
        else:
            level = LogLevel.INFO
            message = (
                f"Endpoint executed · path={decision.path} cache={'hit' if cached else 'miss'} "
                f"duration_ms={milliseconds} rows={'' if rows is None else rows} version={endpoint.version.version}"
            )
        entry = LogEntry(endpoint.id, plan.execution_id, now, level, message)
        try:
            self._catalog.executions.record([execution], [entry])
        except CatalogUnavailable as unrecorded:
            _log.error("an execution could not be recorded", execution_id=plan.execution_id, error=str(unrecorded))

    def rejection(self, endpoint_id: str, reason: str) -> None:
        """Note that a request was refused: it was no execution."""
        entry = LogEntry(
            endpoint_id,
            str(uuid4()),
            self._clock(),
            LogLevel.ERROR,
            f"Endpoint execution failed · invalid request · {reason}",
        )
        try:
            self._catalog.logs.add([entry])
        except CatalogUnavailable as unrecorded:
            _log.error("a refused request could not be logged", endpoint_id=endpoint_id, error=str(unrecorded))


def _code(error: BaseException) -> str:
    if isinstance(error, QueryLimitExceeded):
        return error.limit
    if isinstance(error, EngineError) and error.engine_name:
        return error.engine_name
    return error.code if isinstance(error, InvalidInput) else type(error).__name__
