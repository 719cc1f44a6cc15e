"""Which endpoints are due at a tick, and how Dagster is asked to refresh them. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from endpoints_pipeline.catalog.records import Materialization
from endpoints_pipeline.frequency import PERIODS
from endpoints_pipeline.orchestration import naming

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cron_of(sync_frequency: str, *, spread: bool) -> str:
    """The ticks of a frequency's schedule, in UTC.

    With ``spread``, periods above an hour tick every hour, and each endpoint has an hour of its own in the period.
    """
    period = PERIODS[sync_frequency]
    if period < _HOUR:
        return f"*/{period // timedelta(minutes=1)} * * * *"
    if period == _HOUR or spread:
        return "0 * * * *"
    return f"0 */{period // _HOUR} * * *" if period < _DAY else "0 0 * * *"


def is_due(materialization: Materialization, sync_frequency: str, tick: datetime, *, spread: bool) -> bool:
    """True if no refresh began since the endpoint's newest slot.

    Slots are looked at, not ticks, so that an endpoint whose slot fell into a pause of the daemon is due at once after.
    """
    if materialization.attempt_at is None:
        return True
    return materialization.attempt_at < newest_slot(materialization.version_id, sync_frequency, tick, spread=spread)


def newest_slot(version_id: str, sync_frequency: str, tick: datetime, *, spread: bool) -> datetime:
    """The endpoint's newest time to refresh that isn't after ``tick``."""
    period = PERIODS[sync_frequency]
    hours = period // _HOUR
    offset = _HOUR * (_stable_hash(version_id) % hours) if spread and hours > 1 else timedelta()
    return tick - (tick - _EPOCH - offset) % period


def run_requests(
    keys: Sequence[dg.AssetKey],
    *,
    upstream: Mapping[dg.AssetKey, Collection[dg.AssetKey]],
    endpoints_per_run: int,
    run_key: str,
    reason: str,
    tags: Mapping[str, str],
) -> Iterator[dg.RunRequest]:
    """A bounded number of Dagster runs that together refresh ``keys``; the run keys name the assets they stand for.

    Endpoints that read each other come into one run, which refreshes them in their order, however many they are.

    Args:
        keys: What to refresh.
        upstream: By asset, the assets of the endpoints that it reads.
        endpoints_per_run: How many of the others a run refreshes.
        run_key: What the run keys begin with.
        reason: Why, for the runs' tag.
        tags: The runs' other tags.
    """
    for found in _shards(_connected(keys, upstream), endpoints_per_run):
        shard = sorted(found)
        digest = hashlib.sha256("\n".join(key.to_user_string() for key in shard).encode()).hexdigest()[:16]
        yield dg.RunRequest(
            run_key=f"{run_key}:{digest}",
            asset_selection=shard,
            tags={naming.TAG_REASON: reason, **tags},
        )


def _shards(groups: Iterable[Sequence[dg.AssetKey]], size: int) -> Iterator[Sequence[dg.AssetKey]]:
    shard: list[dg.AssetKey] = []
    for group in groups:
        if shard and len(shard) + len(group) > size:
            yield shard
            shard = []
        shard += group
    if shard:
        yield shard


def _connected(
    keys: Sequence[dg.AssetKey], upstream: Mapping[dg.AssetKey, Collection[dg.AssetKey]]
) -> Iterable[Sequence[dg.AssetKey]]:
    """The keys, those together that read each other, directly or through others of them."""
    groups: dict[dg.AssetKey, list[dg.AssetKey]] = {key: [key] for key in keys}
    for key in keys:
        for read in upstream.get(key, ()):
            if read in groups and groups[read] is not groups[key]:
                smaller, larger = sorted((groups[key], groups[read]), key=len)
                larger += smaller
                groups |= dict.fromkeys(smaller, larger)
    return {id(group): group for group in groups.values()}.values()


def busy_assets(instance: dg.DagsterInstance) -> Collection[dg.AssetKey]:
    """The assets that a queued or running Dagster run will materialize."""
    runs: Iterable[dg.DagsterRun] = instance.get_runs(
        filters=dg.RunsFilter(
            statuses=[
                dg.DagsterRunStatus.QUEUED,
                dg.DagsterRunStatus.NOT_STARTED,
                dg.DagsterRunStatus.STARTING,
                dg.DagsterRunStatus.STARTED,
                dg.DagsterRunStatus.CANCELING,
            ]
        )
    )
    return {key for run in runs for key in run.asset_selection or ()}


def _stable_hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
