"""The answer to a run: the engine's rows, and what is said of them (contract 1.6, 10.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from endpoints_pipeline.api.query_status import QueryStatus
from endpoints_pipeline.serving.answer import Answer, Served
from endpoints_pipeline.serving.decision import Path, Reason
from endpoints_pipeline.serving.request import Refresh
from endpoints_pipeline.serving.run import etag_of
from endpoints_pipeline.serving.spool import Spool

#: How soon asking again is worth a caller's while.
_NEXT_REFRESH = timedelta(minutes=1)


class ServedObject(BaseModel):
    """Which path answered, and why (contract 10.1)."""

    path: Path
    reason: Reason
    detail: str
    cached: bool
    version: int
    snapshot_id: str | None
    snapshot_at: datetime | None
    age_seconds: float | None
    target_seconds: int | None


def served_object(served: Served) -> ServedObject:
    return ServedObject(
        path=served.path,
        reason=served.reason,
        detail=served.detail,
        cached=served.cached,
        version=served.version,
        snapshot_id=served.snapshot_id,
        snapshot_at=served.snapshot_at,
        age_seconds=served.age_seconds,
        target_seconds=served.target_seconds,
    )


class Timing(BaseModel):
    k: str
    t: float = Field(description="Seconds.")


class RunFacts(BaseModel):
    """What an answer says of its rows."""

    columns: list[str]
    types: list[tuple[str, str]] = Field(description="Name and ClickHouse type of each column.")
    hasMore: bool
    is_cached: bool = Field(description="The rows were computed for an earlier request.")
    last_refresh: datetime | None = Field(description="When these rows were computed.")
    cache_target_age: datetime | None = Field(None, description="Until when the rows are fresh enough.")
    next_allowed_client_refresh: datetime | None = Field(None, description="When asking again may be worth it.")
    timezone: str
    error: str | None = None
    query_status: QueryStatus | None = Field(None, description="Only while an asynchronous run is under way.")
    endpoint_materialized: bool = Field(True, description="Only there when a snapshot answered.")
    endpoint_materialized_at: datetime | None = Field(None, description="The snapshot's time.")
    name: str
    execution_id: str
    endpoint_version: int
    endpoint_version_created_at: datetime
    limit: int | None = Field(None, description="As asked for.")
    offset: int | None = Field(None, description="As asked for.")
    served: ServedObject
    calculation_trigger: None = Field(None, description="Debug.")
    cache_key: str | None = Field(None, description="Debug: identifies the result.")
    clickhouse: str | None = Field(None, description="Debug: the text that ran, where the source was asked.")
    explain: None = Field(None, description="Debug.")
    hogql: str | None = Field(None, description="Debug: the version's text.")
    modifiers: None = Field(None, description="Debug.")
    resolved_date_range: None = Field(None, description="Debug.")
    timings: list[Timing] = Field(default_factory=list, description="Debug: what each step took.")


class RunAnswer(RunFacts):
    results: list[list[Any]] | None = Field(description="The rows; null if nothing was cached (`force_cache`).")


class RunAccepted(BaseModel):
    """The answer to an asynchronous run whose rows aren't there yet."""

    results: None = None
    query_status: QueryStatus
    is_cached: bool = False
    name: str
    execution_id: str
    endpoint_version: int
    endpoint_version_created_at: datetime


def pieces(found: Answer) -> Iterator[bytes]:
    """The answer's JSON around the rows: they are the engine's bytes, and nobody parses them on the way."""
    if found.rows is None:
        yield b'{"results":null,'
    else:
        yield b'{"results":['
        yield from found.chunks()
        yield b"],"
    yield _facts(found).model_dump_json(exclude_unset=True).encode()[1:]


def response(found: Answer, *, now: datetime) -> Response:
    """The answer as it goes to the caller: whole if it is small, else while it is read.

    Should reading fail half-way, the connection is cut: a caller can't take a part for the whole.
    """
    headers = _headers(found, now)
    if isinstance(found.rows, Spool):
        return StreamingResponse(pieces(found), headers=headers, media_type="application/json")
    return Response(b"".join(pieces(found)), headers=headers, media_type="application/json")


def _facts(found: Answer) -> RunFacts:
    version = found.endpoint.version
    facts: dict[str, Any] = {
        "columns": [column.name for column in found.columns],
        "types": [(column.name, column.type) for column in found.columns],
        "hasMore": found.has_more,
        "is_cached": found.cached,
        "last_refresh": found.computed_at if found.rows is not None else None,
        "cache_target_age": found.fresh_until if found.rows is not None else None,
        "next_allowed_client_refresh": found.computed_at + _NEXT_REFRESH if found.rows is not None else None,
        "timezone": "UTC",
        "query_status": None,
        "name": found.endpoint.name,
        "execution_id": found.execution_id,
        "endpoint_version": version.version,
        "endpoint_version_created_at": version.created_at,
        "served": served_object(found.served),
    }
    if found.snapshot is not None:
        facts |= {"endpoint_materialized": True, "endpoint_materialized_at": found.snapshot.published_at}
    if found.request.limit is not None:
        facts |= {"limit": found.request.limit, "offset": found.request.offset}
    if found.request.debug:
        facts |= found.debug()
    return RunFacts(**facts)


def _headers(found: Answer, now: datetime) -> Mapping[str, str]:
    """How long a caller's own cache may keep the answer (RFC 9111); nobody else's may."""
    if found.rows is None or found.decision.path is Path.MATERIALIZED_FALLBACK:
        return {"Cache-Control": "private, no-store"}
    etag = etag_of(found.cache_key, None if found.snapshot is not None else found.computed_at)
    awaits_refresh = found.endpoint.version.is_materialized and found.snapshot is None
    if found.request.refresh is Refresh.DIRECT or awaits_refresh:
        return {"Cache-Control": "private, no-cache", "ETag": etag}
    return cache_headers(etag, found.computed_at, found.fresh_until, now)


def cache_headers(etag: str, computed_at: datetime, fresh_until: datetime, now: datetime) -> Mapping[str, str]:
    """Fresh until the next refresh: ``max-age`` counts from when the rows were computed, ``Age`` since then."""
    return {
        "Cache-Control": f"private, max-age={max(0, int((fresh_until - computed_at).total_seconds()))}",
        "ETag": etag,
        "Age": str(max(0, int((now - computed_at).total_seconds()))),
    }
