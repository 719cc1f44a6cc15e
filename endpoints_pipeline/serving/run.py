"""Runs: a caller asks for an endpoint's rows, and gets them from its snapshot or from the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import structlog

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint, Execution, ExecutionKind, Outcome, Snapshot
from endpoints_pipeline.clock import Clock
from endpoints_pipeline.engine import Engine
from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.engine.types import json_columns
from endpoints_pipeline.errors import CatalogUnavailable, EndpointsError, EngineBusy, InvalidInput, NotFound
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.serving.decision import Decision, Path, Reason, decide
from endpoints_pipeline.settings import Settings
from endpoints_pipeline.snapshots.read import SnapshotReader

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a caller asks for; ``limit`` and ``offset`` page within the rows that the SQL itself leaves."""

    version: int | None = None
    direct: bool = False
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Served:
    """Which path answered and why (contract 10.1). Ages are in seconds."""

    path: Path
    reason: Reason
    detail: str
    version: int
    snapshot_id: str | None
    snapshot_at: datetime | None
    age_seconds: float | None
    target_seconds: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a run, with everything the caller is told about them."""

    endpoint: Endpoint
    execution_id: str
    rows: JsonRows
    columns: Sequence[Column]
    has_more: bool
    served: Served
    computed_at: datetime
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True)
class _Rows:
    rows: JsonRows
    columns: Sequence[Column]
    has_more: bool
    note: str = ""


class Runner:
    """Answers runs; safe to share between threads."""

    def __init__(
        self, *, settings: Settings, catalog: Catalog, engine: Engine, reader: SnapshotReader, clock: Clock
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._engine = engine
        self._reader = reader
        self._clock = clock

    def run(self, project_id: int, name: str, request: RunRequest) -> Answer:
        """Answer a run and record its execution, also when it fails after it was accepted.

        Raises:
            NotFound: No such endpoint, or it is inactive.
            VersionNotFound: It has no such version.
            InvalidInput: The request contradicts the endpoint's state.
            EngineError: The query failed; the message is the engine's.
        """
        endpoint = self._catalog.endpoints.get(project_id, name, request.version)
        if not endpoint.is_active:
            raise NotFound(f"Endpoint '{name}' is inactive.")
        if not endpoint.version.is_active:
            raise InvalidInput(f"Version {endpoint.version.version} is inactive and cannot be executed.")
        began = self._clock()
        decision = decide(endpoint.version, direct=request.direct, now=began)
        execution_id = str(uuid4())
        try:
            found, decision = self._from_snapshot(endpoint, decision, request)
            if found is None:
                found = self._from_source(endpoint, request)
        except EndpointsError as error:
            self._record(execution_id, endpoint, began, decision, error=error)
            raise
        served = _served(endpoint, decision, found.note)
        self._record(execution_id, endpoint, began, decision, rows=found.rows)
        return Answer(
            endpoint=endpoint,
            execution_id=execution_id,
            rows=found.rows,
            columns=found.columns,
            has_more=found.has_more,
            served=served,
            computed_at=self._clock(),
            snapshot=decision.snapshot if decision.path is Path.MATERIALIZED else None,
        )

    def _from_snapshot(
        self, endpoint: Endpoint, decision: Decision, request: RunRequest
    ) -> tuple[_Rows | None, Decision]:
        """The snapshot's rows if it is to be used; None if it isn't or can't be, with the decision that says why."""
        if decision.path is not Path.MATERIALIZED or decision.snapshot is None:
            return None, decision
        snapshot = decision.snapshot
        try:
            rows = self._reader.json_rows(snapshot, limit=request.limit, offset=request.offset)
        except EngineBusy:
            raise
        except EndpointsError as error:
            _log.warning("a snapshot could not be read", endpoint=endpoint.name, error=str(error))
            return None, Decision(
                Path.MATERIALIZED_FALLBACK,
                Reason.SNAPSHOT_UNREADABLE,
                f"The snapshot could not be read, the source was asked instead: {error}",
                snapshot,
                decision.age,
            )
        has_more = request.limit is not None and request.offset + rows.count < snapshot.rows
        return _Rows(rows, snapshot.columns, has_more), decision

    def _from_source(self, endpoint: Endpoint, request: RunRequest) -> _Rows:
        canonical = self._engine.canonical(endpoint.version.sql)
        columns = self._engine.describe(canonical)
        ceiling = self._settings.inline_max_rows
        wanted = ceiling if request.limit is None else min(request.limit, ceiling)
        # one row more than wanted tells whether there are more
        sql = f"SELECT {json_columns(columns)} FROM ({canonical}) LIMIT {wanted + 1:d} OFFSET {request.offset:d}"
        probed = self._engine.json_rows(sql, limit=wanted)
        capped = probed.more and wanted != request.limit
        note = f" The answer was cut at {ceiling} rows, the limit of inline runs." if capped else ""
        return _Rows(probed, columns, probed.more, note)

    def _record(
        self,
        execution_id: str,
        endpoint: Endpoint,
        began: datetime,
        decision: Decision,
        *,
        rows: JsonRows | None = None,
        error: EndpointsError | None = None,
    ) -> None:
        execution = Execution(
            id=execution_id,
            endpoint_id=endpoint.id,
            version=endpoint.version.version,
            kind=ExecutionKind.RUN,
            outcome=Outcome.ERROR if error else Outcome.SUCCESS,
            started_at=began,
            duration_ms=round((self._clock() - began).total_seconds() * 1000),
            rows=rows.count if rows else None,
            path=decision.path,
            error=str(error) if error else None,
            snapshot_id=decision.snapshot.id if decision.snapshot else None,
        )
        try:
            self._catalog.executions.record([execution])
        except CatalogUnavailable as unrecorded:
            # the caller's rows are there: a record that could not be kept must not take them away
            _log.error("an execution could not be recorded", execution_id=execution_id, error=str(unrecorded))


def _served(endpoint: Endpoint, decision: Decision, note: str) -> Served:
    snapshot = decision.snapshot
    return Served(
        path=decision.path,
        reason=decision.reason,
        detail=decision.detail + note,
        version=endpoint.version.version,
        snapshot_id=snapshot.id if snapshot else None,
        snapshot_at=snapshot.published_at if snapshot else None,
        age_seconds=round(decision.age.total_seconds(), 3) if decision.age is not None else None,
        target_seconds=endpoint.version.data_freshness_seconds if endpoint.version.is_materialized else None,
    )
