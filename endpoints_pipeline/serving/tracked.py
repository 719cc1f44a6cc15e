"""Tracked runs: asynchronous ones, and those whose caller gave them an id.

Their state lies in the catalog, so every process can tell it and ask for a cancellation; the process that computes a
run looks there each half second, notes its progress, and kills its query if somebody asked for that. A run whose
process was killed stops beating, and the next one who looks finds it failed.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import structlog

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Progress, RunState, TrackedRun
from endpoints_pipeline.clock import Clock
from endpoints_pipeline.engine import Engine
from endpoints_pipeline.errors import EndpointsError, InvalidInput, NotFound, RunCancelled, StorageError, TooManyRuns
from endpoints_pipeline.serving.answer import Answer
from endpoints_pipeline.serving.run import Plan, Runner
from endpoints_pipeline.serving.spool import Spool
from endpoints_pipeline.settings import Settings
from endpoints_pipeline.snapshots.layout import result
from endpoints_pipeline.snapshots.objects import Bucket

_log = structlog.get_logger(__name__)

_BEAT_SECONDS = 0.5
_SILENCE = timedelta(seconds=30)  # a process that said nothing for so long is gone
_WAITING_FOR_EACH = 8  # asynchronous runs that may wait for each that is computed
_STOPPED = "The server was stopped before the query ended. Run it again."

#: Makes an answer's bytes, piece by piece.
Render = Callable[[Answer], Iterator[bytes]]


class TrackedRuns:
    """Runs that can be followed and cancelled; safe to share between threads."""

    def __init__(
        self, *, settings: Settings, catalog: Catalog, engine: Engine, bucket: Bucket, runner: Runner, clock: Clock
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._engine = engine
        self._bucket = bucket
        self._runner = runner
        self._clock = clock
        self._active: dict[tuple[int, str], Plan] = {}
        self._progress: dict[str, Progress] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._workers = ThreadPoolExecutor(settings.async_runs, thread_name_prefix="async-run")

    def close(self) -> None:
        """Stop computing: what is under way is cancelled, and its state says so."""
        self._stopping.set()
        with self._lock:
            active = dict(self._active)
        for plan in active.values():
            self._kill(plan)
        self._workers.shutdown(cancel_futures=True)
        for (project_id, query_id), plan in active.items():
            with suppress(EndpointsError):  # the silence of this process tells the same, later
                self._finish(project_id, query_id, plan, RunState.FAILED, error=_STOPPED)

    def answer(self, plan: Plan) -> Answer:
        """The rows of a plan, followed under the caller's own id if it gave one. Raises what ``Runner.answer`` raises.

        Raises:
            InvalidInput: A run with this id is under way.
        """
        query_id = plan.request.client_query_id
        if query_id is None:
            return self._runner.answer(plan)
        if not self._begin(plan, query_id, is_async=False):
            raise InvalidInput(f"A run with the id '{query_id}' is under way already.", attr="client_query_id")
        project_id = plan.endpoint.project_id
        try:
            found = self._runner.answer(plan)
        except BaseException as error:
            self._fail(project_id, query_id, plan, error)
            raise
        if isinstance(found.rows, Spool):
            rows = found.rows
            rows.at_end(lambda: self._end(project_id, query_id, plan, rows.error))
        else:
            self._end(project_id, query_id, plan, None)
        return found

    def start(self, plan: Plan, render: Render) -> TrackedRun:
        """Compute a plan's rows without anybody waiting; the same id again is the same run.

        Args:
            plan: What to compute.
            render: Makes the bytes that ``result`` gives back once the run is complete.

        Raises:
            TooManyRuns: Too many wait to be computed already.
        """
        query_id = plan.request.client_query_id or str(uuid4())
        self._drop_expired()
        replaced = self._catalog.tracked_runs.get(plan.endpoint.project_id, query_id)
        with self._lock:
            if len(self._active) >= self._settings.async_runs * (1 + _WAITING_FOR_EACH):
                raise TooManyRuns("Too many concurrent requests. Please try again later.")
        if self._begin(plan, query_id, is_async=True):
            if replaced is not None:
                self._forget(replaced)
            self._workers.submit(self._compute, plan, query_id, render)
        return self.get(plan.endpoint.project_id, query_id)

    def get(self, project_id: int, query_id: str) -> TrackedRun:
        """The state of a run.

        Raises:
            NotFound: There is no such run, or its time is over.
        """
        run = self._catalog.tracked_runs.get(project_id, query_id)
        now = self._clock()
        if run is not None and run.state is RunState.RUNNING and run.heartbeat_at < now - _SILENCE:
            self._catalog.tracked_runs.abandon(now - _SILENCE, now)
            run = self._catalog.tracked_runs.get(project_id, query_id)
        if run is None or run.expires_at <= now:
            raise NotFound(f"No run '{query_id}'.")
        return run

    def cancel(self, project_id: int, query_id: str) -> None:
        """Have a run cancelled by the process that computes it; one that has ended stays as it is.

        Raises:
            NotFound: There is no such run.
        """
        self.get(project_id, query_id)
        self._catalog.tracked_runs.request_cancel(project_id, query_id)
        with self._lock:
            plan = self._active.get((project_id, query_id))
        if plan is not None:
            self._kill(plan)

    def result(self, run: TrackedRun) -> Iterator[bytes]:
        """The rendered answer of a complete asynchronous run. Raises StorageError if it can't be read."""
        assert run.result_key is not None
        return self._bucket.chunks(run.result_key)

    def _begin(self, plan: Plan, query_id: str, *, is_async: bool) -> bool:
        project_id, now = plan.endpoint.project_id, self._clock()
        run = TrackedRun(
            project_id=project_id,
            id=query_id,
            endpoint_id=plan.endpoint.id,
            execution_id=plan.execution_id,
            is_async=is_async,
            state=RunState.RUNNING,
            error=None,
            started_at=now,
            picked_up_at=None if is_async else now,
            ended_at=None,
            expires_at=now + timedelta(seconds=self._settings.async_retention),
            heartbeat_at=now,
            cancel_requested=False,
            progress=Progress(),
            result_key=None,
        )
        if not self._catalog.tracked_runs.begin(run):
            return False
        with self._lock:
            self._active[project_id, query_id] = plan
            if self._watcher is None or not self._watcher.is_alive():
                self._watcher = threading.Thread(target=self._watch, name="tracked-runs", daemon=True)
                self._watcher.start()
        return True

    def _compute(self, plan: Plan, query_id: str, render: Render) -> None:
        project_id = plan.endpoint.project_id
        try:
            self._catalog.tracked_runs.pick_up(project_id, query_id, self._clock())
            if plan.cancelled.is_set():
                raise RunCancelled("The query was cancelled.")
            key = result(self._settings.s3_prefix, project_id, plan.execution_id)
            with tempfile.SpooledTemporaryFile(max_size=self._settings.answer_memory) as body:
                for piece in render(self._runner.answer(plan)):
                    body.write(piece)
                body.seek(0)
                self._bucket.upload(key, body)
            if plan.cancelled.is_set():
                raise RunCancelled("The query was cancelled.")
            self._finish(project_id, query_id, plan, RunState.COMPLETE, result_key=key)
        except BaseException as error:  # noqa: BLE001 - the caller reads it in the run's state
            self._fail(project_id, query_id, plan, error)

    def _end(self, project_id: int, query_id: str, plan: Plan, error: BaseException | None) -> None:
        if error is None:
            self._finish(project_id, query_id, plan, RunState.COMPLETE)
        else:
            self._fail(project_id, query_id, plan, error)

    def _fail(self, project_id: int, query_id: str, plan: Plan, error: BaseException) -> None:
        if plan.cancelled.is_set():
            state, text = RunState.CANCELLED, "The query was cancelled."
        elif isinstance(error, EndpointsError):
            state, text = RunState.FAILED, str(error)
        else:
            state, text = RunState.FAILED, "A server error occurred."
            _log.error("a tracked run failed", query_id=query_id, exc_info=error)
        if self._stopping.is_set():
            state, text = RunState.FAILED, _STOPPED
        self._finish(project_id, query_id, plan, state, error=text)

    def _finish(
        self,
        project_id: int,
        query_id: str,
        plan: Plan,
        state: RunState,
        *,
        error: str | None = None,
        result_key: str | None = None,
    ) -> None:
        with self._lock:
            if self._active.get((project_id, query_id)) is plan:
                del self._active[project_id, query_id]
                self._progress.pop(plan.tag, None)
        try:
            self._catalog.tracked_runs.finish(
                project_id, query_id, state=state, error=error, result_key=result_key, now=self._clock()
            )
        except EndpointsError as unnoted:  # its silence will tell
            _log.error("the end of a tracked run could not be noted", query_id=query_id, error=str(unnoted))

    def _watch(self) -> None:
        """Beat for every run of this process, until there are none."""
        while not self._stopping.wait(_BEAT_SECONDS):
            with self._lock:
                active = dict(self._active)
                if not active:
                    self._watcher = None
                    return
            try:
                self._beat(active)
            except EndpointsError as error:
                _log.warning("tracked runs could not be looked after", error=str(error))

    def _beat(self, active: dict[tuple[int, str], Plan]) -> None:
        self._progress |= {
            tag: Progress(
                rows_read=seen.rows_read,
                bytes_read=seen.bytes_read,
                estimated_rows=seen.estimated_rows,
                cpu_ms=seen.cpu_ms,
                elapsed_ms=seen.elapsed_ms,
            )
            for tag, seen in self._engine.progress([plan.tag for plan in active.values()]).items()
        }
        for (project_id, query_id), plan in active.items():
            noted = self._progress.get(plan.tag, Progress())
            if self._catalog.tracked_runs.beat(project_id, query_id, noted, self._clock()):
                self._kill(plan)

    def _kill(self, plan: Plan) -> None:
        plan.cancelled.set()
        try:
            self._engine.kill(plan.tag)
        except EndpointsError as error:  # the watcher tries again
            _log.warning("a query could not be killed", execution_id=plan.execution_id, error=str(error))

    def _drop_expired(self) -> None:
        for run in self._catalog.tracked_runs.expired(self._clock()):
            if self._forget(run):
                self._catalog.tracked_runs.drop(run.project_id, run.id)

    def _forget(self, run: TrackedRun) -> bool:
        """Delete a run's answer; False if it is still there."""
        if run.result_key is None:
            return True
        try:
            self._bucket.delete_folder(run.result_key)
        except StorageError as error:
            _log.warning("the answer of an ended run stays on S3", key=run.result_key, error=str(error))
            return False
        return True
