"""Rows to records: the one place that knows both."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.records import (
    Endpoint,
    Materialization,
    Part,
    RefreshStatus,
    Snapshot,
    Version,
)
from endpoints_pipeline.catalog.tables import (
    EndpointRow,
    LastExecutionRow,
    MaterializationRow,
    PartRow,
    RevisionRow,
    SnapshotRow,
    VersionRow,
)
from endpoints_pipeline.query.columns import Column


def query_hash(sql: str) -> str:
    """Identifies a query text; the same text always has the same hash."""
    return hashlib.sha256(sql.encode()).hexdigest()


def storable(text: str) -> str:
    """An error's text as every database can hold it: it may quote data with a NUL or half a surrogate pair."""
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text)


def columns_from_json(value: Iterable[Any]) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=type_) for name, type_ in value)


def columns_to_json(columns: Sequence[Column]) -> list[Any]:
    return [[column.name, column.type] for column in columns]


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


def load_versions(session: Session, rows: Sequence[VersionRow]) -> list[Version]:
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
            is_active=row.is_active,
            columns=columns_from_json(row.columns),
            created_at=row.created_at,
            updated_at=row.updated_at,
            materialization=materialization_record(found) if (found := materializations.get(row.id)) else None,
            snapshot=snapshots.get(found.snapshot_id) if found and found.snapshot_id else None,
        )
        for row in rows
    ]


def load_endpoints(session: Session, pairs: Sequence[tuple[EndpointRow, VersionRow]]) -> list[Endpoint]:
    versions = load_versions(session, [version for _, version in pairs])
    last_executed = dict(
        session.execute(
            sa.select(LastExecutionRow.endpoint_id, sa.func.max(LastExecutionRow.started_at))
            .where(LastExecutionRow.endpoint_id.in_([endpoint.id for endpoint, _ in pairs]))
            .group_by(LastExecutionRow.endpoint_id)
        )
        .tuples()
        .all()
    )
    return [
        Endpoint(
            id=endpoint.id,
            project_id=endpoint.project_id,
            name=endpoint.name,
            is_active=endpoint.is_active,
            current_version=endpoint.current_version,
            derived_from_insight=endpoint.derived_from_insight,
            created_at=endpoint.created_at,
            updated_at=endpoint.updated_at,
            version=version,
            last_executed_at=last_executed.get(endpoint.id),
        )
        for (endpoint, _), version in zip(pairs, versions, strict=True)
    ]


def definitions_changed(session: Session) -> None:
    """Note, in the caller's transaction, that Dagster's definitions have to be rebuilt."""
    session.execute(sa.update(RevisionRow).values(revision=RevisionRow.revision + 1))
