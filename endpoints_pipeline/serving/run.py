"""Runs: a caller asks for an endpoint's rows, and gets them from the cache, from its snapshot or from the source.

``plan`` checks the request and chooses the path, ``answer`` gets the rows. An execution counts once its plan stands.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint, Version
from endpoints_pipeline.clock import Clock
from endpoints_pipeline.engine import Engine
from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.engine.types import json_columns
from endpoints_pipeline.errors import (
    EndpointsError,
    EngineBusy,
    InvalidInput,
    NotFound,
    RunCancelled,
    TooManyRuns,
    VersionNotFound,
)
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.variables import Bound
from endpoints_pipeline.serving.answer import Answer
from endpoints_pipeline.serving.cache import CachedResult, ResultCache, cache_key
from endpoints_pipeline.serving.concurrency import Concurrency
from endpoints_pipeline.serving.decision import Decision, Path, Reason, check_direct, decide
from endpoints_pipeline.serving.recording import Recorder
from endpoints_pipeline.serving.request import RunRequest
from endpoints_pipeline.serving.source import prepare
from endpoints_pipeline.serving.spool import OpenRows, Spool
from endpoints_pipeline.serving.variables import Definition, definitions, values
from endpoints_pipeline.settings import Settings
from endpoints_pipeline.snapshots.read import SnapshotReader
from endpoints_pipeline.snapshots.sources import Sources

_log = structlog.get_logger(__name__)

_READERS = 64  # threads that read the engine; its handles bound how many do at once


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that passed validation: what to answer from, and under which values.

    Attributes:
        endpoint: What to run.
        request: What was asked for.
        execution_id: The run's id.
        began: When it began.
        decision: Which path is to answer, and why.
        bounds: The value of each variable.
        cache_key: Identifies the result.
        cancelled: Set by whoever cancels the run.
    """

    endpoint: Endpoint
    request: RunRequest
    execution_id: str
    began: datetime
    decision: Decision
    bounds: Mapping[str, Bound]
    cache_key: str
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def tag(self) -> str:
        """Names the run's query in the engine."""
        endpoint = self.endpoint
        tag = f"run:{self.execution_id}:{endpoint.project_id}/{endpoint.name}/v{endpoint.version.version}"
        return f"{tag}:{self.request.client_query_id}" if self.request.client_query_id else tag


@dataclass(frozen=True, slots=True)
class Known:
    """An answer's identity: when its rows were computed, and until when they are fresh."""

    etag: str
    computed_at: datetime
    fresh_until: datetime


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows from one path, whole or still coming."""

    spool: Spool
    columns: Sequence[Column]
    decision: Decision
    sql: str | None = None
    row_cap: int | None = None


class Runner:
    """Answers runs; safe to share between threads."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog,
        engine: Engine,
        reader: SnapshotReader,
        sources: Sources,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._engine = engine
        self._reader = reader
        self._sources = sources
        self._clock = clock
        self._recorder = Recorder(catalog, clock)
        self._cache = ResultCache(settings.cache_memory)
        self._concurrency = Concurrency(
            {Path.INLINE: settings.concurrent_inline_runs, Path.MATERIALIZED: settings.concurrent_materialized_runs}
        )
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reader")

    def close(self) -> None:
        self._readers.shutdown()

    def run(self, project_id: int, name: str, request: RunRequest) -> Answer:
        """Answer a run: ``plan`` and ``answer`` in one. Raises what they raise."""
        return self.answer(self.plan(project_id, name, request))

    def plan(self, project_id: int, name: str, request: RunRequest) -> Plan:
        """Check a request, in the contract's order (1.6), and choose what answers it.

        Raises:
            NotFound: No such endpoint, or it is inactive.
            VersionNotFound: It has no such version.
            InvalidInput: The request contradicts the endpoint's state or its variables; the endpoint's log says so.
        """
        try:
            endpoint = self._catalog.endpoints.get(project_id, name, request.version)
        except VersionNotFound as error:
            self.reject(project_id, name, str(error))
            raise
        if not endpoint.is_active:
            raise NotFound(f"Endpoint '{name}' is inactive.")
        try:
            return self._plan(endpoint, request)
        except InvalidInput as error:
            self._recorder.rejection(endpoint.id, str(error))
            raise

    def explain(self, project_id: int, name: str, request: RunRequest) -> Plan:
        """What ``plan`` would choose; nothing is run and nothing is logged. Raises what ``plan`` raises."""
        endpoint = self._catalog.endpoints.get(project_id, name, request.version)
        if not endpoint.is_active:
            raise NotFound(f"Endpoint '{name}' is inactive.")
        return self._plan(endpoint, request)

    def reject(self, project_id: int, name: str, reason: str) -> None:
        """Note in the endpoint's log that a request was refused before it could be planned.

        Raises:
            NotFound: No such endpoint, or it is inactive: that comes before anything that is wrong with a request.
        """
        endpoint = self._catalog.endpoints.get(project_id, name)
        if not endpoint.is_active:
            raise NotFound(f"Endpoint '{name}' is inactive.")
        self._recorder.rejection(endpoint.id, reason)

    def answer(self, plan: Plan) -> Answer:
        """The rows of a plan, and a record of the execution, also when it fails.

        Raises:
            TooManyRuns: The project has too many runs under way.
            RunCancelled: Somebody cancelled it.
            EngineError: The query failed; the message is the engine's.
        """
        if plan.request.refresh.takes_cached and (result := self._cached(plan)) is not None:
            return self._from_cache(plan, result)
        if plan.request.refresh.never_computes:
            return self._from_cache(plan, None)
        try:
            found, whole = self._compute(plan)
        except BaseException as error:
            cause = self._cause(plan, error)
            self._recorder.execution(plan, _failed(plan.decision, cause), error=cause)
            raise cause from error
        answer = Answer(
            endpoint=plan.endpoint,
            request=plan.request,
            execution_id=plan.execution_id,
            decision=found.decision,
            columns=found.columns,
            rows=JsonRows(found.spool.whole(), found.spool.count, found.spool.more) if whole else found.spool,
            computed_at=self._clock(),
            cached=False,
            sql=found.sql,
            cache_key=plan.cache_key,
            row_cap=found.row_cap,
            timings={"total": (self._clock() - plan.began).total_seconds()},
        )
        if whole:
            found.spool.close()
            self._keep(plan, answer)
        found.spool.at_end(lambda: self._record_end(plan, found))
        return answer

    def has_cached(self, plan: Plan) -> bool:
        """Whether the answer to ``plan`` is there already, and wanted."""
        return plan.request.refresh.takes_cached and self._cached(plan) is not None

    def known(self, plan: Plan) -> Known | None:
        """What an answer to ``plan`` would be, where that is known without computing it (contract 3.7)."""
        cached = self._cached(plan) if plan.request.refresh.takes_cached else None
        freshness = timedelta(seconds=plan.endpoint.version.data_freshness_seconds)
        if plan.decision.path is Path.MATERIALIZED and plan.decision.snapshot is not None:
            computed_at = cached.computed_at if cached else plan.began
            return Known(etag_of(plan.cache_key, None), computed_at, plan.decision.snapshot.published_at + freshness)
        if cached is None:
            return None
        return Known(etag_of(plan.cache_key, cached.computed_at), cached.computed_at, cached.computed_at + freshness)

    def note_unchanged(self, plan: Plan) -> None:
        """Record the execution of a run whose caller has the answer already."""
        self._recorder.execution(plan, plan.decision, cached=True)

    def _plan(self, endpoint: Endpoint, request: RunRequest) -> Plan:
        version, began = endpoint.version, self._clock()
        if not version.is_active:
            raise InvalidInput(f"Version {version.version} is inactive and cannot be executed.")
        if request.filters_override:
            raise InvalidInput("Not allowed for HogQL endpoints. Use variables instead.", attr="filters_override")
        direct = request.refresh.is_direct
        if direct:
            check_direct(version)
        defined = definitions(self._catalog, endpoint.project_id, version.query)
        # all of them, on whatever path: a filter that is left out must never give everyone's rows (contract 2.3)
        bounds = values(defined, request, all_required=version.snapshot is not None)
        decision = decide(version, direct=direct, now=began, obstacle=self._obstacle(version, defined, bounds))
        if request.limit is not None:
            self._require_pages(endpoint.project_id, version, bounds)
        snapshot = decision.snapshot if decision.path is Path.MATERIALIZED else None
        key = cache_key(
            version.id,
            snapshot.id if snapshot else None,
            {name: (bound.type, bound.value) for name, bound in bounds.items()},
            request.limit,
            request.offset,
        )
        return Plan(endpoint, request, str(uuid4()), began, decision, bounds, key)

    def _obstacle(self, version: Version, defined: Mapping[str, Definition], bounds: Mapping[str, Bound]) -> str | None:
        if version.snapshot is None:
            return None
        return self._reader.obstacle(version.snapshot, bounds, {name: one.type for name, one in defined.items()})

    def _require_pages(self, project_id: int, version: Version, bounds: Mapping[str, Bound]) -> None:
        # the engine's parser decides; a text without the word can be spared the look
        sql = version.sql
        if "union" not in sql.lower():
            return
        if prepare(self._sources, project_id, sql, bounds, saved=version.reads).is_union:
            raise InvalidInput(
                "Pagination is not supported for UNION queries. Wrap the UNION in a subquery: "
                "SELECT * FROM (SELECT … UNION ALL SELECT …)."
            )

    def _cached(self, plan: Plan) -> CachedResult | None:
        if plan.decision.path is Path.MATERIALIZED:
            return self._cache.get(plan.cache_key)
        oldest = plan.began - timedelta(seconds=plan.endpoint.version.data_freshness_seconds)
        return self._cache.get(plan.cache_key, computed_after=oldest)

    def _from_cache(self, plan: Plan, result: CachedResult | None) -> Answer:
        self._recorder.execution(plan, plan.decision, rows=result.count if result else None, cached=result is not None)
        return Answer(
            endpoint=plan.endpoint,
            request=plan.request,
            execution_id=plan.execution_id,
            decision=plan.decision,
            columns=result.columns if result else (),
            rows=JsonRows(result.data, result.count, result.more) if result else None,
            computed_at=result.computed_at if result else plan.began,
            cached=result is not None,
            sql=None,
            cache_key=plan.cache_key,
            row_cap=self._settings.inline_max_rows if plan.decision.path is Path.INLINE else None,
            timings={"total": (self._clock() - plan.began).total_seconds()},
        )

    def _keep(self, plan: Plan, answer: Answer) -> None:
        assert isinstance(answer.rows, JsonRows)
        if plan.request.refresh.is_direct or answer.decision.path is Path.MATERIALIZED_FALLBACK:
            return
        rows = answer.rows
        if len(rows.data) <= self._settings.answer_memory:  # the engine may be faster than who looks
            self._cache.put(
                plan.cache_key, CachedResult(rows.data, rows.count, rows.more, answer.columns, answer.computed_at)
            )

    def _compute(self, plan: Plan) -> tuple[_Found, bool]:
        """The rows, and whether they are all there."""
        if plan.decision.path is Path.MATERIALIZED:
            try:
                found = self._from_snapshot(plan)
                return found, found.spool.wait()
            except (EngineBusy, TooManyRuns):
                raise
            except EndpointsError as error:
                if plan.cancelled.is_set():
                    raise
                _log.warning("a snapshot could not be read", endpoint=plan.endpoint.name, error=str(error))
                plan = replace(plan, decision=_fallback(plan.decision, error))
        found = self._from_source(plan)
        return found, found.spool.wait()

    def _from_snapshot(self, plan: Plan) -> _Found:
        snapshot, request = plan.decision.snapshot, plan.request
        assert snapshot is not None

        @contextmanager
        def open_rows() -> Iterator[Iterator[JsonRows]]:
            with (
                self._concurrency.slot(plan.endpoint.project_id, Path.MATERIALIZED),
                self._reader.stream(
                    snapshot, plan.bounds, limit=request.limit, offset=request.offset, tag=plan.tag
                ) as blocks,
            ):
                yield blocks

        columns = snapshot.read_plan.columns if snapshot.read_plan else snapshot.columns
        return _Found(self._spool(open_rows), columns, plan.decision)

    def _from_source(self, plan: Plan) -> _Found:
        request, cap = plan.request, self._settings.inline_max_rows
        project_id, version = plan.endpoint.project_id, plan.endpoint.version
        prepared = prepare(self._sources, project_id, version.sql, plan.bounds, saved=version.reads)
        resolved = self._sources.resolve(project_id, prepared.sql, prepared.parameters, saved=version.reads)
        wanted = cap if request.limit is None else min(request.limit, cap)
        # one row more than wanted tells whether there are more
        page = f"LIMIT {wanted + 1:d} OFFSET {request.offset:d}"
        sql = f"SELECT {json_columns(prepared.columns)} FROM ({resolved.sql}) {page}"

        @contextmanager
        def open_rows() -> Iterator[Iterator[JsonRows]]:
            with (
                self._concurrency.slot(plan.endpoint.project_id, Path.INLINE),
                self._engine.stream(sql, resolved.parameters, role=resolved.role, tag=plan.tag, limit=wanted) as blocks,
            ):
                yield blocks

        return _Found(self._spool(open_rows), prepared.columns, plan.decision, prepared.sql, cap)

    def _spool(self, open_rows: OpenRows) -> Spool:
        spool = Spool(self._settings.answer_memory)
        spool.start(self._readers, open_rows)
        return spool

    def _record_end(self, plan: Plan, found: _Found) -> None:
        error = found.spool.error
        self._recorder.execution(plan, found.decision, rows=found.spool.count, error=error)

    @staticmethod
    def _cause(plan: Plan, error: BaseException) -> BaseException:
        return RunCancelled("The query was cancelled.") if plan.cancelled.is_set() else error


def etag_of(key: str, computed_at: datetime | None) -> str:
    """A weak ETag: two answers with it have the same rows, though not the same execution.

    Args:
        key: The result's cache key.
        computed_at: When the source gave the rows; None for a snapshot's, which never change.
    """
    return f'W/"{key[:32]}{f"-{int(computed_at.timestamp() * 1e6):x}" if computed_at else ""}"'


def _failed(decision: Decision, error: BaseException) -> Decision:
    """The path to blame: a snapshot that can't be read is no failure, so it was the source's (contract 3.6)."""
    if decision.path is Path.INLINE or isinstance(error, EngineBusy | TooManyRuns | RunCancelled):
        return decision
    return replace(decision, path=Path.INLINE)


def _fallback(decision: Decision, error: EndpointsError) -> Decision:
    return Decision(
        Path.MATERIALIZED_FALLBACK,
        Reason.SNAPSHOT_UNREADABLE,
        f"The snapshot could not be read, the source was asked instead: {error}",
        decision.snapshot,
        decision.age,
    )
