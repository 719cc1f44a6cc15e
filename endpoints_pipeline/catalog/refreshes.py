"""Refreshes: who wants one, who is at it, and the one transaction that publishes a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.database import Database
from endpoints_pipeline.catalog.mapping import (
    columns_from_json,
    columns_to_json,
    load_snapshots,
    materialization_record,
    query_hash,
    storable,
)
from endpoints_pipeline.catalog.materializations import request_refresh
from endpoints_pipeline.catalog.records import (
    Attempt,
    Materialization,
    MaterializedVersion,
    Part,
    RefreshRequest,
    RefreshStatus,
    Snapshot,
)
from endpoints_pipeline.catalog.tables import (
    EndpointRow,
    MaterializationRow,
    PartRow,
    RefreshRequestRow,
    RevisionRow,
    SnapshotRow,
    VariableRow,
    VersionRow,
)
from endpoints_pipeline.errors import InvalidInput, NotFound, RefreshSuperseded
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.query.materialization import ReadPlan
from endpoints_pipeline.query.variables import VariableType

_LIVE = (EndpointRow.deleted_at.is_(None)) & EndpointRow.is_active & VersionRow.is_active & MaterializationRow.enabled


class RefreshStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self) -> int:
        """A number that grows with every change to what Dagster must know: the watcher's cheap fingerprint."""
        with self._database.read() as session:
            return session.scalar(sa.select(RevisionRow.revision)) or 0

    def materialized_versions(self) -> Sequence[MaterializedVersion]:
        """Every version to be kept as a snapshot, of all projects, in a stable order."""
        with self._database.read() as session:
            rows = session.execute(
                sa.select(EndpointRow, VersionRow, MaterializationRow)
                .join(VersionRow, VersionRow.endpoint_id == EndpointRow.id)
                .join(MaterializationRow, MaterializationRow.version_id == VersionRow.id)
                .where(_LIVE)
                .order_by(EndpointRow.project_id, EndpointRow.name, VersionRow.version)
            )
            return [
                MaterializedVersion(
                    project_id=endpoint.project_id,
                    endpoint_id=endpoint.id,
                    name=endpoint.name,
                    version_id=version.id,
                    version=version.version,
                    is_current=version.version == endpoint.current_version,
                    sql=version.sql,
                    description=version.description,
                    sync_frequency=materialization.sync_frequency,
                    data_freshness_seconds=version.data_freshness_seconds,
                    query_hash=query_hash(version.sql, version.bucket_overrides),
                    columns=columns_from_json(version.columns),
                    reads=Reads.from_json(version.reads),
                )
                for endpoint, version, materialization in rows.tuples()
            ]

    def materializations(self, sync_frequency: str) -> Sequence[Materialization]:
        """The state of every version on one schedule."""
        with self._database.read() as session:
            rows = session.scalars(
                sa.select(MaterializationRow)
                .join(VersionRow, VersionRow.id == MaterializationRow.version_id)
                .join(EndpointRow, EndpointRow.id == VersionRow.endpoint_id)
                .where(_LIVE, MaterializationRow.sync_frequency == sync_frequency)
                .order_by(MaterializationRow.version_id)
            )
            return [materialization_record(row) for row in rows]

    def request(self, version_id: str, reason: str, now: datetime) -> None:
        """Ask for a refresh as soon as Dagster can; asking again before it began is the same request.

        Raises:
            InvalidInput: The version isn't materialized.
        """
        with self._database.write() as session:
            row = session.get(MaterializationRow, version_id, with_for_update=True)
            if row is None or not row.enabled:
                raise InvalidInput(
                    "The endpoint isn't materialized: set is_materialized to true first.", attr="is_materialized"
                )
            request_refresh(session, version_id, reason, now)

    def waiting_requests(self) -> Sequence[RefreshRequest]:
        """Requests whose refresh hasn't begun yet, oldest first."""
        with self._database.read() as session:
            rows = session.scalars(
                sa.select(RefreshRequestRow)
                .where(RefreshRequestRow.launched_at.is_(None))
                .order_by(RefreshRequestRow.requested_at, RefreshRequestRow.id)
            )
            return [RefreshRequest(row.id, row.version_id, row.reason, row.requested_at) for row in rows]

    def begin(self, version_id: str, *, reason: str, dagster_run_id: str | None, now: datetime) -> Attempt:
        """Note that a refresh begins, which answers every waiting request; its id becomes the snapshot's.

        A later attempt doesn't wait for an earlier one: whichever publishes first wins.

        Raises:
            NotFound: The version is gone, inactive or no longer materialized.
        """
        with self._database.write() as session:
            found = session.execute(
                sa.select(EndpointRow, VersionRow, MaterializationRow)
                .join(VersionRow, VersionRow.endpoint_id == EndpointRow.id)
                .join(MaterializationRow, MaterializationRow.version_id == VersionRow.id)
                .where(VersionRow.id == version_id, _LIVE)
                .with_for_update(of=MaterializationRow)
            ).one_or_none()
            if found is None:
                raise NotFound(f"Version {version_id} is gone or no longer materialized; there is nothing to refresh.")
            endpoint, version, materialization = found._tuple()
            materialization.attempt_id = str(uuid4())
            materialization.attempt_at = now
            materialization.attempt_dagster_run_id = dagster_run_id
            materialization.status = RefreshStatus.RUNNING
            materialization.updated_at = now
            session.execute(
                sa.update(RefreshRequestRow)
                .where(RefreshRequestRow.version_id == version_id, RefreshRequestRow.launched_at.is_(None))
                .values(launched_at=now)
            )
            return _attempt(session, endpoint, version, materialization, reason=reason)

    def publish(
        self,
        attempt: Attempt,
        *,
        columns: Sequence[Column],
        parts: Sequence[Part],
        engine_version: str,
        now: datetime,
        read_plan: ReadPlan | None = None,
    ) -> Snapshot:
        """Insert the snapshot with its parts and move the version's pointer: the only act that makes it visible.

        Publishing the same attempt again, because the first answer was lost, answers the same snapshot.

        Raises:
            RefreshSuperseded: The pointer moved since the attempt began, or the materialization was switched off.
        """
        with self._database.write() as session:
            row = session.scalar(
                sa.select(MaterializationRow)
                .where(MaterializationRow.version_id == attempt.version_id)
                .with_for_update()
            )
            if published := load_snapshots(session, [attempt.id]):
                return published[attempt.id]
            if row is None or not row.enabled or row.attempt_id is None:  # None: switched off and on again meanwhile
                raise RefreshSuperseded(f"'{attempt.name}' is no longer materialized; its new rows were dropped.")
            if row.snapshot_id != attempt.expected_snapshot_id:
                raise RefreshSuperseded(
                    f"Another refresh of '{attempt.name}' published snapshot {row.snapshot_id} first; "
                    "this one gave way."
                )
            row.sequence += 1
            row.snapshot_id = attempt.id
            row.status = RefreshStatus.COMPLETED
            row.error = ""
            row.updated_at = now
            session.add(_snapshot_row(attempt, row.sequence, columns, read_plan, parts, engine_version, now))
            session.flush()
            session.add_all(_part_rows(attempt.id, parts))
            session.flush()
            return load_snapshots(session, [attempt.id])[attempt.id]

    def fail(self, version_id: str, dagster_run_id: str, *, error: str, cancelled: bool, now: datetime) -> None:
        """Note that the newest attempt failed, if it is the one of ``dagster_run_id``; what is published stays."""
        with self._database.write() as session:
            session.execute(
                sa.update(MaterializationRow)
                .where(
                    MaterializationRow.version_id == version_id,
                    MaterializationRow.enabled,
                    MaterializationRow.attempt_dagster_run_id == dagster_run_id,
                    MaterializationRow.status == RefreshStatus.RUNNING,
                )
                .values(
                    status=RefreshStatus.CANCELLED if cancelled else RefreshStatus.FAILED,
                    error=storable(error),
                    updated_at=now,
                )
            )

    def running_of(self, dagster_run_id: str) -> Sequence[Attempt]:
        """The attempts that the catalog believes ``dagster_run_id`` is at right now."""
        with self._database.read() as session:
            rows = session.execute(
                sa.select(EndpointRow, VersionRow, MaterializationRow)
                .join(VersionRow, VersionRow.endpoint_id == EndpointRow.id)
                .join(MaterializationRow, MaterializationRow.version_id == VersionRow.id)
                .where(
                    MaterializationRow.attempt_dagster_run_id == dagster_run_id,
                    MaterializationRow.status == RefreshStatus.RUNNING,
                )
            )
            return [
                _attempt(session, endpoint, version, materialization, reason="")
                for endpoint, version, materialization in rows.tuples()
            ]

    def snapshot(self, snapshot_id: str) -> Snapshot:
        """A published snapshot with its parts.

        Raises:
            NotFound: No such snapshot.
        """
        with self._database.read() as session:
            found = load_snapshots(session, [snapshot_id])
            if snapshot_id not in found:
                raise NotFound(f"No snapshot {snapshot_id}.")
            return found[snapshot_id]


def _attempt(
    session: Session, endpoint: EndpointRow, version: VersionRow, materialization: MaterializationRow, *, reason: str
) -> Attempt:
    if materialization.attempt_id is None or materialization.attempt_at is None:
        raise ValueError(f"version {version.id} has no attempt")
    return Attempt(
        id=materialization.attempt_id,
        project_id=endpoint.project_id,
        endpoint_id=endpoint.id,
        name=endpoint.name,
        version_id=version.id,
        version=version.version,
        sql=version.sql,
        variables=_variable_types(session, version),
        bucket_overrides=version.bucket_overrides or {},
        reads=Reads.from_json(version.reads),
        query_hash=query_hash(version.sql, version.bucket_overrides),
        expected_snapshot_id=materialization.snapshot_id,
        began_at=materialization.attempt_at,
        dagster_run_id=materialization.attempt_dagster_run_id,
        reason=reason,
    )


def _variable_types(session: Session, version: VersionRow) -> dict[str, VariableType]:
    entries: Mapping[str, Mapping[str, Any]] = version.query.get("variables") or {}
    if not entries:
        return {}
    types = session.execute(sa.select(VariableRow.id, VariableRow.type).where(VariableRow.id.in_(entries)))
    return {str(entries[id_]["code_name"]): VariableType(type_) for id_, type_ in types.tuples()}


def _snapshot_row(
    attempt: Attempt,
    sequence: int,
    columns: Sequence[Column],
    read_plan: ReadPlan | None,
    parts: Sequence[Part],
    engine_version: str,
    now: datetime,
) -> SnapshotRow:
    return SnapshotRow(
        id=attempt.id,
        version_id=attempt.version_id,
        sequence=sequence,
        data_at=attempt.began_at,
        published_at=now,
        rows=sum(part.rows for part in parts),
        bytes=sum(part.bytes for part in parts),
        columns=columns_to_json(columns),
        read_plan=None if read_plan is None else read_plan.to_json(),
        query_hash=attempt.query_hash,
        engine_version=engine_version,
        dagster_run_id=attempt.dagster_run_id,
        reason=attempt.reason,
    )


def _part_rows(snapshot_id: str, parts: Sequence[Part]) -> list[PartRow]:
    return [
        PartRow(
            snapshot_id=snapshot_id,
            position=position,
            key=part.key,
            rows=part.rows,
            bytes=part.bytes,
            row_groups=part.row_groups,
            etag=part.etag,
        )
        for position, part in enumerate(parts)
    ]
