"""Which path answers a run, and why: one pure function (contract 3.6; ``docs/serving.md`` has the table)."""

from __future__ import annotations

from collections.abc import Iterator
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
    VALUES_NOT_STORED = "values_not_stored"
    SNAPSHOT_UNREADABLE = "snapshot_unreadable"


@dataclass(frozen=True, slots=True)
class Step:
    """One condition for answering from the snapshot, whether it holds, and why."""

    condition: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Decision:
    """``snapshot`` is set whenever there is one, also when it isn't used.

    ``steps`` are the conditions that were looked at, in their order: a snapshot answers if all of them hold, and the
    first that doesn't ends the look.
    """

    path: Path
    reason: Reason
    detail: str
    snapshot: Snapshot | None
    age: timedelta | None
    steps: tuple[Step, ...] = ()


def check_direct(version: Version) -> None:
    """Return if the source of ``version`` may be asked in place of its snapshot.

    Raises:
        InvalidInput: ``refresh=direct`` on a version that isn't materialized (contract 1.6).
    """
    if not version.is_materialized:
        raise InvalidInput("refresh=direct is only for materialized endpoints.", attr="refresh")


def decide(version: Version, *, direct: bool, now: datetime, obstacle: str | None = None) -> Decision:
    """Choose between the snapshot and the source.

    Args:
        version: The version to run, with its materialization and snapshot.
        direct: The caller asked for the source (``refresh=direct``).
        now: The time to measure the snapshot's age at.
        obstacle: Why the snapshot can't answer for the run's values; None if it can.
    """
    snapshot = version.snapshot if version.is_materialized else None
    age = max(now - snapshot.published_at, timedelta()) if snapshot else None
    steps = []
    for reason, step in _conditions(version, age, direct=direct, obstacle=obstacle):
        steps.append(step)
        if not step.holds:
            return Decision(Path.INLINE, reason, step.detail, snapshot, age, tuple(steps))
    detail = "The snapshot is within its target."
    return Decision(Path.MATERIALIZED, Reason.FRESH_SNAPSHOT, detail, snapshot, age, tuple(steps))


def _conditions(
    version: Version, age: timedelta | None, *, direct: bool, obstacle: str | None
) -> Iterator[tuple[Reason, Step]]:
    """Each condition with the reason for its not holding. One may be asked for only if those before it hold."""
    is_wanted = version.is_materialized
    told = "Someone wants a snapshot of this version." if is_wanted else "The endpoint isn't materialized."
    yield Reason.NOT_MATERIALIZED, Step("materialized", is_wanted, told)
    told = "Its first snapshot isn't published yet." if age is None else "A snapshot is published."
    yield Reason.NO_SNAPSHOT_YET, Step("has_snapshot", age is not None, told)
    assert age is not None
    told = "The caller asked for the source." if direct else "The caller didn't ask for the source."
    yield Reason.DIRECT_REQUESTED, Step("not_direct", not direct, told)
    target = timedelta(seconds=version.data_freshness_seconds)
    told = f"The snapshot is {age.total_seconds():.0f} s old, its target is {target.total_seconds():.0f} s."
    yield Reason.STALE_SNAPSHOT, Step("fresh", age < target, told)
    told = obstacle or "The snapshot holds the rows for these values."
    yield Reason.VALUES_NOT_STORED, Step("values_stored", obstacle is None, told)
