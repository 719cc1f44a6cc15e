"""What a caller gets: the rows, and everything that is said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from endpoints_pipeline.catalog.records import Endpoint, Snapshot, Version
from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.serving.decision import Decision, Path, Reason
from endpoints_pipeline.serving.request import RunRequest
from endpoints_pipeline.serving.spool import Spool


@dataclass(frozen=True, slots=True)
class Served:
    """Which path answered and why (contract 10.1). Ages are in seconds."""

    path: Path
    reason: Reason
    detail: str
    cached: bool
    version: int
    snapshot_id: str | None
    snapshot_at: datetime | None
    age_seconds: float | None
    target_seconds: int | None


def told(version: Version, decision: Decision, *, cached: bool, note: str = "") -> Served:
    """A decision in words for the caller."""
    snapshot = decision.snapshot
    return Served(
        path=decision.path,
        reason=decision.reason,
        detail=decision.detail + note,
        cached=cached,
        version=version.version,
        snapshot_id=snapshot.id if snapshot else None,
        snapshot_at=snapshot.published_at if snapshot else None,
        age_seconds=round(decision.age.total_seconds(), 3) if decision.age is not None else None,
        target_seconds=version.data_freshness_seconds if version.is_materialized else None,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a run. ``served`` and ``has_more`` are true once the rows were read to their end.

    Attributes:
        endpoint: What was run.
        request: What was asked for.
        execution_id: This run's id.
        decision: Which path answered, and why.
        columns: The rows' columns.
        rows: All rows, or those that are still coming; None if nothing was cached and nothing may be computed.
        computed_at: When the rows were computed.
        cached: Whether that was for an earlier caller.
        sql: The text that ran, where the source was asked.
        cache_key: Identifies the result.
        row_cap: Rows that an answer of this path holds at most.
        timings: Seconds that each step took.
    """

    endpoint: Endpoint
    request: RunRequest
    execution_id: str
    decision: Decision
    columns: Sequence[Column]
    rows: JsonRows | Spool | None
    computed_at: datetime
    cached: bool
    sql: str | None
    cache_key: str
    row_cap: int | None
    timings: Mapping[str, float]

    def chunks(self) -> Iterator[bytes]:
        """The inside of the rows' JSON array. Raises what ends reading early."""
        if isinstance(self.rows, Spool):
            yield from self.rows.chunks()
        elif self.rows is not None and self.rows.data:
            yield self.rows.data

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that answered."""
        return self.decision.snapshot if self.decision.path is Path.MATERIALIZED else None

    @property
    def has_more(self) -> bool:
        if self.rows is None:
            return False
        snapshot = self.snapshot
        if snapshot is not None and snapshot.read_plan is None and self.request.limit is not None:
            return self.request.offset + self.rows.count < snapshot.rows
        return self.rows.more

    @property
    def fresh_until(self) -> datetime:
        """When the next refresh is due: until then the same request has the same answer."""
        freshness = timedelta(seconds=self.endpoint.version.data_freshness_seconds)
        return (self.snapshot.published_at if self.snapshot else self.computed_at) + freshness

    @property
    def served(self) -> Served:
        return told(self.endpoint.version, self.decision, cached=self.cached, note=self._note())

    def debug(self) -> Mapping[str, Any]:
        """How the answer was made, for callers who ask (contract 1.6)."""
        return {
            "calculation_trigger": None,
            "cache_key": self.cache_key,
            "clickhouse": self.sql,
            "explain": None,
            "hogql": self.endpoint.version.sql,
            "modifiers": None,
            "resolved_date_range": None,
            "timings": [{"k": step, "t": round(seconds, 6)} for step, seconds in self.timings.items()],
        }

    def _note(self) -> str:
        if self.rows is None:
            return " Nothing is cached, and refresh=force_cache computes nothing."
        asked_for = self.request.limit is not None and self.row_cap is not None and self.request.limit <= self.row_cap
        if self.row_cap is not None and not asked_for and self.rows.more:
            return f" The answer was cut at {self.row_cap} rows, the limit of inline runs."
        return ""
