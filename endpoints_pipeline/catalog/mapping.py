"""Rows to records: the one place that knows both."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.records import (
    Materialization,
    Part,
    RefreshStatus,
    Snapshot,
    User,
)
from endpoints_pipeline.catalog.tables import (
    MaterializationRow,
    PartRow,
    RevisionRow,
    SnapshotRow,
    UserRow,
)
from endpoints_pipeline.query.columns import Column
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


def definitions_changed(session: Session) -> None:
    """Note, in the caller's transaction, that Dagster's definitions have to be rebuilt."""
    session.execute(sa.update(RevisionRow).values(revision=RevisionRow.revision + 1))
