"""The answer to a run: the engine's rows, and what is said of them (contract 1.6, 10.1)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from endpoints_pipeline.serving.decision import Path, Reason
from endpoints_pipeline.serving.run import Answer, RunRequest


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


class RunFacts(BaseModel):
    """What an answer says of its rows."""

    columns: list[str]
    types: list[tuple[str, str]] = Field(description="Name and ClickHouse type of each column.")
    hasMore: bool
    is_cached: bool
    last_refresh: datetime = Field(description="When these rows were computed.")
    timezone: str
    query_status: None
    endpoint_materialized: bool = Field(True, description="Only there when a snapshot answered.")
    endpoint_materialized_at: datetime | None = Field(None, description="The snapshot's time.")
    name: str
    execution_id: str
    endpoint_version: int
    endpoint_version_created_at: datetime
    limit: int | None = Field(None, description="As asked for.")
    offset: int | None = Field(None, description="As asked for.")
    served: ServedObject


class RunAnswer(RunFacts):
    results: list[list[Any]]


def spliced(found: Answer, wanted: RunRequest) -> Response:
    """The answer around the rows: they are the engine's bytes, and nobody parses them on the way."""
    version, served = found.endpoint.version, found.served
    facts: dict[str, Any] = {
        "columns": [column.name for column in found.columns],
        "types": [(column.name, column.type) for column in found.columns],
        "hasMore": found.has_more,
        "is_cached": False,
        "last_refresh": found.computed_at,
        "timezone": "UTC",
        "query_status": None,
        "name": found.endpoint.name,
        "execution_id": found.execution_id,
        "endpoint_version": version.version,
        "endpoint_version_created_at": version.created_at,
        "served": ServedObject(
            path=served.path,
            reason=served.reason,
            detail=served.detail,
            cached=False,
            version=served.version,
            snapshot_id=served.snapshot_id,
            snapshot_at=served.snapshot_at,
            age_seconds=served.age_seconds,
            target_seconds=served.target_seconds,
        ),
    }
    if found.snapshot is not None:
        facts |= {"endpoint_materialized": True, "endpoint_materialized_at": found.snapshot.published_at}
    if wanted.limit is not None:
        facts |= {"limit": wanted.limit, "offset": wanted.offset}
    tail = RunFacts(**facts).model_dump_json(exclude_unset=True).encode()
    return Response(b'{"results":[' + found.rows.data + b"]," + tail[1:], media_type="application/json")
