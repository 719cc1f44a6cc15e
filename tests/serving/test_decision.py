"""docs/serving.md's table of paths and reasons, as data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from endpoints_pipeline.catalog.records import Materialization, RefreshStatus, Snapshot, Version
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.serving.decision import Path, Reason, check_direct, decide

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TARGET = 900


def snapshot(age: float) -> Snapshot:
    published = NOW - timedelta(seconds=age)
    return Snapshot(
        id="s",
        version_id="v",
        sequence=1,
        data_at=published - timedelta(hours=5),
        published_at=published,
        rows=1,
        bytes=1,
        columns=(),
        read_plan=None,
        parts=(),
        query_hash="",
        engine_version="",
        dagster_run_id=None,
        reason="",
    )


def version(*, materialized: bool | None, age: float | None) -> Version:
    """``materialized``: None if nobody ever wanted it, False if it was switched off."""
    wish = Materialization(
        version_id="v",
        enabled=bool(materialized),
        sync_frequency="15min",
        snapshot_id="s" if age is not None else None,
        status=RefreshStatus.COMPLETED,
        error="",
        attempt_id=None,
        attempt_at=None,
        attempt_dagster_run_id=None,
    )
    return Version(
        id="v",
        endpoint_id="e",
        version=1,
        query={},
        sql="SELECT 1",
        description="",
        data_freshness_seconds=TARGET,
        cache_age_seconds=None,
        sync_frequency=None,
        bucket_overrides=None,
        optional_breakdown_properties=(),
        is_active=True,
        columns=(),
        reads=Reads(),
        variables_obstacle=None,
        created_at=NOW,
        created_by=None,
        updated_at=NOW,
        last_executed_at=None,
        materialization=None if materialized is None else wish,
        snapshot=None if age is None else snapshot(age),
    )


@pytest.mark.parametrize(
    ("materialized", "age", "direct", "path", "reason"),
    [
        (None, None, False, Path.INLINE, Reason.NOT_MATERIALIZED),
        (False, None, False, Path.INLINE, Reason.NOT_MATERIALIZED),
        (False, 1, False, Path.INLINE, Reason.NOT_MATERIALIZED),
        (True, None, False, Path.INLINE, Reason.NO_SNAPSHOT_YET),
        (True, None, True, Path.INLINE, Reason.NO_SNAPSHOT_YET),
        (True, 0, False, Path.MATERIALIZED, Reason.FRESH_SNAPSHOT),
        (True, TARGET - 0.001, False, Path.MATERIALIZED, Reason.FRESH_SNAPSHOT),
        (True, TARGET, False, Path.INLINE, Reason.STALE_SNAPSHOT),
        (True, TARGET * 100, False, Path.INLINE, Reason.STALE_SNAPSHOT),
        (True, -60, False, Path.MATERIALIZED, Reason.FRESH_SNAPSHOT),
        (True, 0, True, Path.INLINE, Reason.DIRECT_REQUESTED),
        (True, TARGET * 100, True, Path.INLINE, Reason.DIRECT_REQUESTED),
    ],
)
def test_the_path_and_why(
    materialized: bool | None, age: float | None, direct: bool, path: Path, reason: Reason
) -> None:
    subject = version(materialized=materialized, age=age)
    decision = decide(subject, direct=direct, now=NOW)
    assert (decision.path, decision.reason) == (path, reason)
    assert decision.detail.endswith(".")
    if materialized and age is not None:
        assert decision.snapshot is subject.snapshot
        assert decision.age == timedelta(seconds=max(age, 0))
    else:
        assert (decision.snapshot, decision.age) == (None, None)


@pytest.mark.parametrize("materialized", [None, False])
def test_the_source_of_what_isnt_materialized_can_not_be_asked_for(materialized: bool | None) -> None:
    with pytest.raises(InvalidInput, match="only for materialized endpoints") as refusal:
        check_direct(version(materialized=materialized, age=None))
    assert refusal.value.attr == "refresh"


def test_the_source_of_what_is_materialized_can_be_asked_for() -> None:
    check_direct(version(materialized=True, age=None))


@pytest.mark.parametrize(
    ("age", "direct", "path", "reason"),
    [
        (0, False, Path.INLINE, Reason.VALUES_NOT_STORED),
        (TARGET, False, Path.INLINE, Reason.STALE_SNAPSHOT),
        (0, True, Path.INLINE, Reason.DIRECT_REQUESTED),
        (None, False, Path.INLINE, Reason.NO_SNAPSHOT_YET),
    ],
)
def test_values_that_the_snapshot_cannot_answer_for(
    age: float | None, direct: bool, path: Path, reason: Reason
) -> None:
    decision = decide(version(materialized=True, age=age), direct=direct, now=NOW, obstacle="Words.")
    assert (decision.path, decision.reason) == (path, reason)
    assert (decision.detail == "Words.") is (reason is Reason.VALUES_NOT_STORED)


def test_the_steps_end_with_the_first_that_does_not_hold() -> None:
    every = ["materialized", "has_snapshot", "not_direct", "fresh", "values_stored"]
    cases = {
        decide(version(materialized=False, age=None), direct=False, now=NOW).steps: 1,
        decide(version(materialized=True, age=None), direct=False, now=NOW).steps: 2,
        decide(version(materialized=True, age=0), direct=True, now=NOW).steps: 3,
        decide(version(materialized=True, age=TARGET), direct=False, now=NOW).steps: 4,
        decide(version(materialized=True, age=0), direct=False, now=NOW, obstacle="Words.").steps: 5,
    }
    for steps, count in cases.items():
        assert [step.condition for step in steps] == every[:count]
        assert [step.holds for step in steps] == [True] * (count - 1) + [False]
    assert all(step.holds for step in decide(version(materialized=True, age=0), direct=False, now=NOW).steps)


def test_a_stale_snapshot_says_how_old_it_is() -> None:
    decision = decide(version(materialized=True, age=1000), direct=False, now=NOW)
    assert decision.detail == "The snapshot is 1000 s old, its target is 900 s."
