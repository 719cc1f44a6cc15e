"""What the catalog's tests put into it: the shortest way to an endpoint, a snapshot, an execution."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import CheckedQuery, NewEndpoint
from endpoints_pipeline.catalog.records import (
    Attempt,
    Endpoint,
    Execution,
    ExecutionKind,
    LogEntry,
    LogLevel,
    Outcome,
    Part,
    Progress,
    RunState,
    Snapshot,
    TrackedRun,
    User,
)
from endpoints_pipeline.query.columns import Column

PROJECT = 1
COLUMNS = (Column("n", "UInt8"),)
_NUMBERS = count(1)


def checked(sql: str = "SELECT 1 AS n", *, columns: Sequence[Column] = COLUMNS, **fields: Any) -> CheckedQuery:
    return CheckedQuery(query={"kind": "HogQLQuery", "query": sql, **fields}, sql=sql, columns=columns)


def new(name: str = "daily", sql: str = "SELECT 1 AS n", **fields: Any) -> NewEndpoint:
    return NewEndpoint(name=name, query=checked(sql), **fields)


def materialized(catalog: Catalog, now: datetime, name: str = "daily", **fields: Any) -> Endpoint:
    return catalog.endpoints.create(PROJECT, new(name, is_materialized=True, **fields), now)


def parts(attempt: Attempt, *rows: int) -> list[Part]:
    return [
        Part(
            key=f"parts/{attempt.id}/{position}.parquet", rows=size, bytes=100 * size, row_groups=1, etag=f"etag-{size}"
        )
        for position, size in enumerate(rows or (3,))
    ]


def publish(catalog: Catalog, attempt: Attempt, now: datetime, *rows: int) -> Snapshot:
    return catalog.refreshes.publish(
        attempt, columns=COLUMNS, parts=parts(attempt, *rows), engine_version="26.9", now=now
    )


def refresh(catalog: Catalog, version_id: str, now: datetime, dagster_run_id: str | None = None) -> Snapshot:
    attempt = catalog.refreshes.begin(version_id, reason="test", dagster_run_id=dagster_run_id, now=now)
    return publish(catalog, attempt, now)


def execution(endpoint: Endpoint | str, at: datetime, **fields: Any) -> Execution:
    defaults: dict[str, Any] = {
        "id": f"execution-{next(_NUMBERS)}",
        "endpoint_id": endpoint if isinstance(endpoint, str) else endpoint.id,
        "version": 1,
        "kind": ExecutionKind.RUN,
        "outcome": Outcome.SUCCESS,
        "started_at": at,
    }
    return Execution(**(defaults | fields))


def entry(endpoint: Endpoint | str, at: datetime, message: str = "words", **fields: Any) -> LogEntry:
    defaults: dict[str, Any] = {
        "endpoint_id": endpoint if isinstance(endpoint, str) else endpoint.id,
        "instance_id": "execution",
        "timestamp": at,
        "level": LogLevel.INFO,
        "message": message,
    }
    return LogEntry(**(defaults | fields))


def tracked(endpoint: Endpoint, at: datetime, **fields: Any) -> TrackedRun:
    defaults: dict[str, Any] = {
        "project_id": endpoint.project_id,
        "id": "mine",
        "endpoint_id": endpoint.id,
        "execution_id": f"execution-{next(_NUMBERS)}",
        "is_async": True,
        "state": RunState.RUNNING,
        "error": None,
        "started_at": at,
        "picked_up_at": None,
        "ended_at": None,
        "expires_at": at + timedelta(hours=1),
        "heartbeat_at": at,
        "cancel_requested": False,
        "progress": Progress(),
        "result_key": None,
    }
    return TrackedRun(**(defaults | fields))


def person(catalog: Catalog, now: datetime, email: str = "ann@example.com") -> User:
    return catalog.keys.ensure_user(email, first_name="Ann", now=now)


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each call returned or raised, when all of them start at the same moment, each on its own thread."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        start.wait(timeout=30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(run, call) for call in calls]
        return [future.exception() or future.result() for future in futures]
