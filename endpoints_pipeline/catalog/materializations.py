"""Switching the materialization of versions on and off, within a transaction of ``endpoints.py`` (contract 1.4.7)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.activities import SAVED_QUERY, Journal
from endpoints_pipeline.catalog.records import RefreshStatus
from endpoints_pipeline.catalog.tables import EndpointRow, MaterializationRow, RefreshRequestRow, VersionRow
from endpoints_pipeline.frequency import frequency_of


def enabled_versions(session: Session, endpoint: EndpointRow) -> Sequence[VersionRow]:
    """The endpoint's versions that are to be kept as snapshots, by number."""
    return session.scalars(
        sa.select(VersionRow)
        .join(MaterializationRow, MaterializationRow.version_id == VersionRow.id)
        .where(VersionRow.endpoint_id == endpoint.id, MaterializationRow.enabled)
        .order_by(VersionRow.version)
    ).all()


def enable(journal: Journal, version: VersionRow) -> None:
    """Want a snapshot of ``version``, on the schedule that it asks for.

    The first refresh is requested at once; one that was wanted already waits for its tick.
    """
    session, now = journal.session, journal.now
    row = session.get(MaterializationRow, version.id)
    if row is None:
        row = MaterializationRow(
            version_id=version.id, enabled=False, snapshot_id=None, sequence=0, status=RefreshStatus.UNKNOWN, error=""
        )
        session.add(row)
    is_new = not row.enabled
    row.enabled = True
    row.sync_frequency = version.sync_frequency or frequency_of(version.data_freshness_seconds)
    row.updated_at = now
    session.flush()
    if is_new:
        request_refresh(session, version.id, "first materialization", now)
        journal.note("materialization_enabled", scope=SAVED_QUERY, item_id=version.id, version=version.version)


def disable(journal: Journal, versions: Collection[VersionRow]) -> None:
    """Stop wanting snapshots: nothing is served from them any more, and a refresh under way can't publish."""
    if not versions:
        return
    session, now = journal.session, journal.now
    ids = [version.id for version in versions]
    for version in versions:
        journal.note("materialization_disabled", scope=SAVED_QUERY, item_id=version.id, version=version.version)
    session.execute(
        sa.update(MaterializationRow)
        .where(MaterializationRow.version_id.in_(ids))
        .values(
            enabled=False, snapshot_id=None, status=RefreshStatus.UNKNOWN, error="", attempt_id=None, updated_at=now
        )
    )
    session.execute(
        sa.delete(RefreshRequestRow).where(
            RefreshRequestRow.version_id.in_(ids), RefreshRequestRow.launched_at.is_(None)
        )
    )


def request_refresh(session: Session, version_id: str, reason: str, now: datetime) -> None:
    """Ask for a refresh as soon as Dagster can; asking again before it began is the same request."""
    waiting = sa.select(RefreshRequestRow.id).where(
        RefreshRequestRow.version_id == version_id, RefreshRequestRow.launched_at.is_(None)
    )
    if session.scalar(waiting) is None:
        session.add(RefreshRequestRow(id=str(uuid4()), version_id=version_id, reason=reason, requested_at=now))
