"""Rows to records: the one place that knows both."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.records import (
    Endpoint,
    Materialization,
    Part,
    RefreshStatus,
    Snapshot,
    User,
    Version,
)
from endpoints_pipeline.catalog.tables import (
    EndpointRow,
    LastExecutionRow,
    MaterializationRow,
    PartRow,
    RevisionRow,
    SnapshotRow,
    UserRow,
    VersionRow,
)
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.query.materialization import ReadPlan


def query_hash(sql: str, bucket_overrides: Mapping[str, str] | None = None) -> str:
    """Identifies what is stored for a query: the same text with the same buckets always has the same hash."""
    buckets = json.dumps(bucket_overrides, sort_keys=True) if bucket_overrides else ""
    return hashlib.sha256(f"{sql}{buckets}".encode()).hexdigest()


def storable(text: str) -> str:
    """An error's text as every database can hold it: it may quote data with a NUL or half a surrogate pair."""
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text)


def columns_from_json(value: Iterable[Any]) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=type_) for name, type_ in value)


def columns_to_json(columns: Sequence[Column]) -> list[Any]:
    return [[column.name, column.type] for column in columns]


def is_same_json(one: Any, other: Any) -> bool:
    """Deep equality in which true isn't 1, as Python would have it."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same_json(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same_json, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def user_record(row: UserRow) -> User:
    return User(
        id=row.id,
        uuid=row.uuid,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        created_at=row.created_at,
    )


def materialization_record(row: MaterializationRow) -> Materialization:
    return Materialization(
        version_id=row.version_id,
        enabled=row.enabled,
        sync_frequency=row.sync_frequency,
        snapshot_id=row.snapshot_id,
        status=RefreshStatus(row.status),
        error=row.error,
        attempt_id=row.attempt_id,
        attempt_at=row.attempt_at,
        attempt_dagster_run_id=row.attempt_dagster_run_id,
    )


def snapshot_record(row: SnapshotRow, parts: Sequence[PartRow]) -> Snapshot:
    return Snapshot(
        id=row.id,
        version_id=row.version_id,
        sequence=row.sequence,
        data_at=row.data_at,
        published_at=row.published_at,
        rows=row.rows,
        bytes=row.bytes,
        columns=columns_from_json(row.columns),
        read_plan=None if row.read_plan is None else ReadPlan.from_json(row.read_plan),
        parts=tuple(Part(part.key, part.rows, part.bytes, part.row_groups, part.etag) for part in parts),
        query_hash=row.query_hash,
        engine_version=row.engine_version,
        dagster_run_id=row.dagster_run_id,
        reason=row.reason,
    )


def load_snapshots(session: Session, snapshot_ids: Sequence[str]) -> dict[str, Snapshot]:
    """The snapshots with their parts, in two queries however many they are."""
    if not snapshot_ids:
        return {}
    parts: dict[str, list[PartRow]] = {}
    for part in session.scalars(
        sa.select(PartRow).where(PartRow.snapshot_id.in_(snapshot_ids)).order_by(PartRow.position)
    ):
        parts.setdefault(part.snapshot_id, []).append(part)
    rows = session.scalars(sa.select(SnapshotRow).where(SnapshotRow.id.in_(snapshot_ids)))
    return {row.id: snapshot_record(row, parts.get(row.id, [])) for row in rows}


def load_endpoints(session: Session, pairs: Sequence[tuple[EndpointRow, VersionRow]]) -> list[Endpoint]:
    """The endpoint records of ``pairs``, each with that version of it.

    Every run of an endpoint comes by here: it takes four queries at most, however many the pairs are, if their
    ``created_by`` is loaded with them.
    """
    executed_at = _last_executed(session, {endpoint.id for endpoint, _ in pairs})
    versions = _load_versions(session, [version for _, version in pairs], executed_at)
    of_endpoint: dict[str, datetime] = {}
    for (endpoint_id, _), at in executed_at.items():
        of_endpoint[endpoint_id] = max(at, of_endpoint.get(endpoint_id, at))
    return [
        Endpoint(
            id=endpoint.id,
            project_id=endpoint.project_id,
            name=endpoint.name,
            is_active=endpoint.is_active,
            current_version=endpoint.current_version,
            derived_from_insight=endpoint.derived_from_insight,
            display_name=endpoint.display_name,
            tags=tuple(endpoint.tags),
            created_at=endpoint.created_at,
            created_by=user_record(endpoint.created_by) if endpoint.created_by else None,
            updated_at=endpoint.updated_at,
            version=version,
            last_executed_at=of_endpoint.get(endpoint.id),
        )
        for (endpoint, _), version in zip(pairs, versions, strict=True)
    ]


def _last_executed(session: Session, endpoint_ids: Iterable[str]) -> dict[tuple[str, int], datetime]:
    rows = session.execute(
        sa.select(LastExecutionRow.endpoint_id, LastExecutionRow.version, sa.func.max(LastExecutionRow.started_at))
        .where(LastExecutionRow.endpoint_id.in_(endpoint_ids))
        .group_by(LastExecutionRow.endpoint_id, LastExecutionRow.version)
    )
    return {(endpoint_id, version): at for endpoint_id, version, at in rows.tuples()}


def _load_versions(
    session: Session, rows: Sequence[VersionRow], executed_at: Mapping[tuple[str, int], datetime]
) -> list[Version]:
    """The version records of ``rows``, each with its materialization and current snapshot."""
    materializations = {
        row.version_id: row
        for row in session.scalars(
            sa.select(MaterializationRow).where(MaterializationRow.version_id.in_([row.id for row in rows]))
        )
    }
    snapshots = load_snapshots(session, [row.snapshot_id for row in materializations.values() if row.snapshot_id])
    return [
        Version(
            id=row.id,
            endpoint_id=row.endpoint_id,
            version=row.version,
            query=row.query,
            sql=row.sql,
            description=row.description,
            data_freshness_seconds=row.data_freshness_seconds,
            cache_age_seconds=row.cache_age_seconds,
            sync_frequency=row.sync_frequency,
            bucket_overrides=row.bucket_overrides,
            optional_breakdown_properties=tuple(row.optional_breakdown_properties),
            is_active=row.is_active,
            columns=columns_from_json(row.columns),
            reads=Reads.from_json(row.reads),
            variables_obstacle=row.variables_obstacle,
            created_at=row.created_at,
            created_by=user_record(row.created_by) if row.created_by else None,
            updated_at=row.updated_at,
            last_executed_at=executed_at.get((row.endpoint_id, row.version)),
            materialization=materialization_record(found) if (found := materializations.get(row.id)) else None,
            snapshot=snapshots.get(found.snapshot_id) if found and found.snapshot_id else None,
        )
        for row in rows
    ]


def definitions_changed(session: Session) -> None:
    """Note, in the caller's transaction, that Dagster's definitions have to be rebuilt."""
    session.execute(sa.update(RevisionRow).values(revision=RevisionRow.revision + 1))
