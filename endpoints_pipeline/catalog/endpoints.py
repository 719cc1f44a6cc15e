"""Projects, endpoints and versions: what people publish (contract 1.1 to 1.5, 2.5, 2.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.database import Database, insert
from endpoints_pipeline.catalog.mapping import columns_to_json, definitions_changed, load_endpoints
from endpoints_pipeline.catalog.records import Endpoint, RefreshStatus
from endpoints_pipeline.catalog.tables import (
    EndpointRow,
    MaterializationRow,
    ProjectRow,
    RefreshRequestRow,
    VersionRow,
)
from endpoints_pipeline.errors import InvalidInput, NotFound, VersionNotFound
from endpoints_pipeline.frequency import DEFAULT_FRESHNESS_SECONDS, frequency_of
from endpoints_pipeline.query.columns import Column


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A query that passed the guard and that the engine could describe."""

    query: Mapping[str, Any]
    sql: str
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    name: str
    query: CheckedQuery
    description: str = ""
    is_active: bool = True
    is_materialized: bool = False
    data_freshness_seconds: int = DEFAULT_FRESHNESS_SECONDS
    cache_age_seconds: int | None = None
    sync_frequency: str | None = None
    derived_from_insight: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChange:
    """A partial update; None leaves a field as it is. ``version`` aims it at one version (contract 1.4)."""

    version: int | None = None
    query: CheckedQuery | None = None
    description: str | None = None
    is_active: bool | None = None
    is_materialized: bool | None = None
    data_freshness_seconds: int | None = None
    cache_age_seconds: int | None = None
    sync_frequency: str | None = None


class EndpointStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure_project(self, project_id: int, name: str, now: datetime) -> None:
        with self._database.write() as session:
            session.execute(
                insert(session, ProjectRow.metadata.tables[ProjectRow.__tablename__])
                .values(id=project_id, name=name, created_at=now)
                .on_conflict_do_nothing(index_elements=["id"])
            )

    def create(self, project_id: int, new: NewEndpoint, now: datetime) -> Endpoint:
        """Store the endpoint with version 1 and, if asked for, its materialization; all or nothing.

        Raises:
            NotFound: No such project.
            InvalidInput: A live endpoint of the project has the name already.
        """
        endpoint = EndpointRow(
            id=str(uuid4()),
            project_id=project_id,
            name=new.name,
            is_active=new.is_active,
            current_version=1,
            derived_from_insight=new.derived_from_insight,
            created_at=now,
            updated_at=now,
            deleted_at=None,
        )
        version = _version_row(endpoint.id, 1, new.query, now)
        version.description = new.description
        version.data_freshness_seconds = new.data_freshness_seconds
        version.cache_age_seconds = new.cache_age_seconds
        try:
            with self._database.write() as session:
                _project(session, project_id)
                session.add(endpoint)
                session.flush()
                session.add(version)
                session.flush()
                if new.is_materialized:
                    if not new.is_active:
                        raise InvalidInput(
                            "Cannot enable materialization on inactive endpoint.", attr="is_materialized"
                        )
                    _enable(session, version, new.sync_frequency, now)
                return load_endpoints(session, [(endpoint, version)])[0]
        except IntegrityError as error:
            raise InvalidInput("An endpoint with this name already exists for this team.", attr="name") from error

    def get(self, project_id: int, name: str, version: int | None = None) -> Endpoint:
        """The live endpoint, with the version asked for (None: the current one).

        Raises:
            NotFound: No such project or endpoint.
            VersionNotFound: The endpoint has no such version.
        """
        with self._database.read() as session:
            endpoint = _live(session, project_id, name)
            return load_endpoints(session, [(endpoint, _version(session, endpoint, version))])[0]

    def list(
        self, project_id: int, *, is_active: bool | None = None, limit: int | None = None, offset: int = 0
    ) -> tuple[Sequence[Endpoint], int]:
        """A page of the project's live endpoints by name, and how many there are in all.

        Raises:
            NotFound: No such project.
        """
        with self._database.read() as session:
            _project(session, project_id)
            live = [EndpointRow.project_id == project_id, EndpointRow.deleted_at.is_(None)]
            if is_active is not None:
                live.append(EndpointRow.is_active == is_active)
            total = session.scalar(sa.select(sa.func.count()).select_from(EndpointRow).where(*live)) or 0
            rows = session.execute(
                sa.select(EndpointRow, VersionRow)
                .join(
                    VersionRow,
                    (VersionRow.endpoint_id == EndpointRow.id) & (VersionRow.version == EndpointRow.current_version),
                )
                .where(*live)
                .order_by(EndpointRow.name)
                .limit(limit)
                .offset(offset)
            )
            return load_endpoints(session, list(rows.tuples())), total

    def update(self, project_id: int, name: str, change: EndpointChange, now: datetime) -> Endpoint:
        """Apply a partial update, serialized with every other update of the endpoint (contract 1.4, 10.18).

        Raises:
            NotFound: No such project or endpoint.
            InvalidInput: The change contradicts itself or the endpoint's state; nothing was changed.
        """
        with self._database.write() as session:
            endpoint = _live(session, project_id, name, for_update=True)
            version = previous = _target(session, endpoint, change)
            was_materialized = _is_enabled(session, version.id)
            dagster_knows_it = _is_any_enabled(session, endpoint)
            if change.version is None and change.is_active is not None:
                endpoint.is_active = change.is_active
            elif change.is_active is not None:
                version.is_active = change.is_active
            if change.query is not None and not _is_same_json(change.query.query, version.query):
                version = _next_version(session, endpoint, version, change.query, now)
            if change.is_materialized and not (endpoint.is_active and version.is_active):
                raise InvalidInput("Cannot enable materialization on inactive endpoint.", attr="is_materialized")
            _apply(version, change, now)
            endpoint.updated_at = now
            session.flush()
            if not endpoint.is_active:
                _disable(session, _version_ids(session, endpoint), now)
            elif not version.is_active or change.is_materialized is False:
                _disable(session, [version.id], now)
            elif change.is_materialized or was_materialized:
                _enable(session, version, _frequency(session, previous, change), now)
            if dagster_knows_it:
                definitions_changed(session)
            session.flush()
            return load_endpoints(session, [(endpoint, version)])[0]

    def delete(self, project_id: int, name: str, now: datetime) -> None:
        """Soft-delete: nothing of the endpoint is served or scheduled afterwards, and its name is free (contract 1.5).

        Raises:
            NotFound: No such project or endpoint.
        """
        with self._database.write() as session:
            endpoint = _live(session, project_id, name, for_update=True)
            dagster_knows_it = _is_any_enabled(session, endpoint)
            _disable(session, _version_ids(session, endpoint), now)
            endpoint.deleted_at = now
            endpoint.updated_at = now
            if dagster_knows_it:
                definitions_changed(session)


def _project(session: Session, project_id: int) -> None:
    if session.get(ProjectRow, project_id) is None:
        raise NotFound(f"No project {project_id}.")


def _live(session: Session, project_id: int, name: str, *, for_update: bool = False) -> EndpointRow:
    query = sa.select(EndpointRow).where(
        EndpointRow.project_id == project_id, EndpointRow.name == name, EndpointRow.deleted_at.is_(None)
    )
    row = session.scalar(query.with_for_update() if for_update else query)
    if row is None:
        raise NotFound(f"No endpoint '{name}' in project {project_id}.")
    return row


def _version(session: Session, endpoint: EndpointRow, number: int | None) -> VersionRow:
    wanted = endpoint.current_version if number is None else number
    row = None
    if 1 <= wanted <= endpoint.current_version:  # a larger number may be more than the database can hold
        row = session.scalar(
            sa.select(VersionRow).where(VersionRow.endpoint_id == endpoint.id, VersionRow.version == wanted)
        )
    if row is None:
        raise VersionNotFound(endpoint.name, wanted, endpoint.current_version)
    return row


def _target(session: Session, endpoint: EndpointRow, change: EndpointChange) -> VersionRow:
    if change.version is not None and change.query is not None:
        raise InvalidInput(
            "Cannot change query when targeting a specific version. Query changes create a new version.", attr="query"
        )
    try:
        return _version(session, endpoint, change.version)
    except VersionNotFound as error:
        raise InvalidInput(f"Version {error.version} not found for this endpoint.", attr="version") from error


def _version_ids(session: Session, endpoint: EndpointRow) -> Sequence[str]:
    return session.scalars(sa.select(VersionRow.id).where(VersionRow.endpoint_id == endpoint.id)).all()


def _version_row(endpoint_id: str, number: int, checked: CheckedQuery, now: datetime) -> VersionRow:
    return VersionRow(
        id=str(uuid4()),
        endpoint_id=endpoint_id,
        version=number,
        query=dict(checked.query),
        sql=checked.sql,
        description="",
        data_freshness_seconds=DEFAULT_FRESHNESS_SECONDS,
        cache_age_seconds=None,
        is_active=True,
        columns=columns_to_json(checked.columns),
        created_at=now,
        updated_at=now,
    )


def _next_version(
    session: Session, endpoint: EndpointRow, previous: VersionRow, checked: CheckedQuery, now: datetime
) -> VersionRow:
    """The version after ``previous``, with its settings; the old one keeps its own materialization (contract 2.5)."""
    version = _version_row(endpoint.id, endpoint.current_version + 1, checked, now)
    version.description = previous.description
    version.data_freshness_seconds = previous.data_freshness_seconds
    version.cache_age_seconds = previous.cache_age_seconds
    session.add(version)
    endpoint.current_version = version.version
    return version


def _apply(version: VersionRow, change: EndpointChange, now: datetime) -> None:
    if change.description is not None:
        version.description = change.description
    if change.data_freshness_seconds is not None:
        version.data_freshness_seconds = change.data_freshness_seconds
    if change.cache_age_seconds is not None:
        version.cache_age_seconds = change.cache_age_seconds
    version.updated_at = now


def _is_enabled(session: Session, version_id: str) -> bool:
    row = session.get(MaterializationRow, version_id)
    return row is not None and row.enabled


def _is_any_enabled(session: Session, endpoint: EndpointRow) -> bool:
    enabled = (
        sa.select(MaterializationRow.version_id)
        .join(VersionRow, VersionRow.id == MaterializationRow.version_id)
        .where(VersionRow.endpoint_id == endpoint.id, MaterializationRow.enabled)
    )
    return session.scalar(enabled.limit(1)) is not None


def _is_same_json(one: Any, other: Any) -> bool:
    """Deep equality in which true isn't 1, as Python would have it."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same_json(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same_json, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _frequency(session: Session, previous: VersionRow, change: EndpointChange) -> str | None:
    """The word to keep: the one sent, else what a new freshness means, else the one the version had."""
    if change.sync_frequency is not None:
        return change.sync_frequency
    if change.data_freshness_seconds is not None:
        return None
    row = session.get(MaterializationRow, previous.id)
    return row.sync_frequency if row is not None and row.enabled else None


def _enable(session: Session, version: VersionRow, sync_frequency: str | None, now: datetime) -> None:
    """Want a snapshot of ``version``; its first refresh is requested at once, a re-enabled one waits for its tick."""
    frequency = sync_frequency or frequency_of(version.data_freshness_seconds)
    row = session.get(MaterializationRow, version.id)
    if row is None:
        row = MaterializationRow(
            version_id=version.id, enabled=False, snapshot_id=None, sequence=0, status=RefreshStatus.UNKNOWN, error=""
        )
        session.add(row)
    if not row.enabled:
        session.add(
            RefreshRequestRow(id=str(uuid4()), version_id=version.id, reason="first materialization", requested_at=now)
        )
    row.enabled = True
    row.sync_frequency = frequency
    row.updated_at = now
    definitions_changed(session)


def _disable(session: Session, version_ids: Sequence[str], now: datetime) -> None:
    """Stop wanting snapshots: nothing is served from them any more, and a refresh under way can't publish."""
    session.execute(
        sa.update(MaterializationRow)
        .where(MaterializationRow.version_id.in_(version_ids))
        .values(
            enabled=False, snapshot_id=None, status=RefreshStatus.UNKNOWN, error="", attempt_id=None, updated_at=now
        )
    )
    session.execute(
        sa.delete(RefreshRequestRow).where(
            RefreshRequestRow.version_id.in_(version_ids), RefreshRequestRow.launched_at.is_(None)
        )
    )
