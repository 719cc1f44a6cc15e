"""Which path answers a run, and why: one pure function (contract 3.6; ``docs/serving.md`` has the table)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from endpoints_pipeline.catalog.records import Snapshot, Version
from endpoints_pipeline.errors import InvalidInput


class Path(StrEnum):
    MATERIALIZED = "materialized"
    INLINE = "inline"
    MATERIALIZED_FALLBACK = "materialized_fallback"


class Reason(StrEnum):
    FRESH_SNAPSHOT = "fresh_snapshot"
    NOT_MATERIALIZED = "not_materialized"
    NO_SNAPSHOT_YET = "no_snapshot_yet"
    STALE_SNAPSHOT = "stale_snapshot"
    DIRECT_REQUESTED = "direct_requested"
    SNAPSHOT_UNREADABLE = "snapshot_unreadable"


@dataclass(frozen=True, slots=True)
class Decision:
    """``snapshot`` is set whenever there is one, also when it isn't used."""

    path: Path
    reason: Reason
    detail: str
    snapshot: Snapshot | None
    age: timedelta | None


def decide(version: Version, *, direct: bool, now: datetime) -> Decision:
    """Choose between the snapshot and the source.

    Args:
        version: The version to run, with its materialization and snapshot.
        direct: The caller asked for the source (``refresh=direct``).
        now: The time to measure the snapshot's age at.

    Raises:
        InvalidInput: ``direct`` on a version that isn't materialized (contract 1.6).
    """
    if not version.is_materialized:
        if direct:
            raise InvalidInput("refresh=direct is only for materialized endpoints.", attr="refresh")
        return Decision(Path.INLINE, Reason.NOT_MATERIALIZED, "The endpoint isn't materialized.", None, None)
    snapshot = version.snapshot
    if snapshot is None:
        return Decision(Path.INLINE, Reason.NO_SNAPSHOT_YET, "Its first snapshot isn't published yet.", None, None)
    age = max(now - snapshot.published_at, timedelta())
    if direct:
        return Decision(Path.INLINE, Reason.DIRECT_REQUESTED, "The caller asked for the source.", snapshot, age)
    target = timedelta(seconds=version.data_freshness_seconds)
    if age >= target:
        detail = f"The snapshot is {age.total_seconds():.0f} s old, its target is {target.total_seconds():.0f} s."
        return Decision(Path.INLINE, Reason.STALE_SNAPSHOT, detail, snapshot, age)
    return Decision(Path.MATERIALIZED, Reason.FRESH_SNAPSHOT, "The snapshot is within its target.", snapshot, age)
