"""Endpoints as they are now. Every run comes by here, so it is one statement: all else is known from earlier looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from cachetools import LRUCache
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.mapping import columns_from_json, load_snapshots
from endpoints_pipeline.catalog.records import Endpoint, Materialization, RefreshStatus, Snapshot, User, Version
from endpoints_pipeline.catalog.tables import EndpointRow, LastExecutionRow, MaterializationRow, UserRow, VersionRow
from endpoints_pipeline.errors import NotFound, VersionNotFound
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads

T = TypeVar("T")

_KEPT = 1000
_NUMBERS = range(1, 2**31)  # what a version's number can be; a larger one may be more than the database can hold

_ENDPOINTS = EndpointRow.metadata.tables[EndpointRow.__tablename__]
_VERSIONS = VersionRow.metadata.tables[VersionRow.__tablename__]
_MATERIALIZATIONS = MaterializationRow.metadata.tables[MaterializationRow.__tablename__]
_NEWEST = LastExecutionRow.metadata.tables[LastExecutionRow.__tablename__]
_USERS = UserRow.metadata.tables[UserRow.__tablename__]
_CREATORS, _AUTHORS = _USERS.alias("creators"), _USERS.alias("authors")

#: What a version is made with and keeps. The rest of it can be changed, or changes by itself.
_FIXED = ("query", "sql", "columns", "reads", "variables_obstacle")

_USER_FIELDS = tuple(field.name for field in fields(User))


def _state(version: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """All that can change of an endpoint and its version that fulfils ``version``."""
    executed = sa.select(sa.func.max(_NEWEST.c.started_at)).where(_NEWEST.c.endpoint_id == _ENDPOINTS.c.id)
    return (
        sa.select(
            _ENDPOINTS,
            *(column for column in _VERSIONS.c if column.name not in _FIXED),
            _MATERIALIZATIONS,
            _CREATORS,
            _AUTHORS,
            executed.scalar_subquery().label("endpoint_executed_at"),
            executed.where(_NEWEST.c.version == _VERSIONS.c.version).scalar_subquery().label("version_executed_at"),
        )
        .select_from(_ENDPOINTS)
        .outerjoin(_VERSIONS, (_VERSIONS.c.endpoint_id == _ENDPOINTS.c.id) & version)
        .outerjoin(_MATERIALIZATIONS, _MATERIALIZATIONS.c.version_id == _VERSIONS.c.id)
        .outerjoin(_CREATORS, _CREATORS.c.id == _ENDPOINTS.c.created_by_id)
        .outerjoin(_AUTHORS, _AUTHORS.c.id == _VERSIONS.c.created_by_id)
        .set_label_style(sa.LABEL_STYLE_TABLENAME_PLUS_COL)
    )


# Built once: to build them takes longer than to run them.
_BY_NAME = _state(
    _VERSIONS.c.version == sa.func.coalesce(sa.bindparam("version", type_=sa.BigInteger), _ENDPOINTS.c.current_version)
).where(
    _ENDPOINTS.c.project_id == sa.bindparam("project_id"),
    _ENDPOINTS.c.name == sa.bindparam("name"),
    _ENDPOINTS.c.deleted_at.is_(None),
)
_BY_VERSION = _state(sa.true()).where(_VERSIONS.c.id.in_(sa.bindparam("ids", expanding=True)))
_FIXED_BY_VERSION = sa.select(_VERSIONS.c.id, *(_VERSIONS.c[name] for name in _FIXED)).where(
    _VERSIONS.c.id.in_(sa.bindparam("ids", expanding=True))
)


@dataclass(frozen=True, slots=True)
class _Fixed:
    query: Mapping[str, Any]
    sql: str
    columns: tuple[Column, ...]
    reads: Reads
    variables_obstacle: str | None


class EndpointLoader:
    """Reads endpoints with one of their versions, each with its materialization and current snapshot.

    What never changes, a version's query and a published snapshot, is read once and kept in memory by its id. All else
    is read anew each time. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._fixed = _Kept(_load_fixed)
        self._snapshots = _Kept(load_snapshots)

    def find(self, session: Session, project_id: int, name: str, version: int | None) -> Endpoint:
        """The live endpoint, with the version asked for (None: the current one).

        Raises:
            NotFound: No such project or endpoint.
            VersionNotFound: The endpoint has no such version.
        """
        number = version if version is None or version in _NUMBERS else 0
        row = session.execute(_BY_NAME, {"project_id": project_id, "name": name, "version": number}).one_or_none()
        if row is None:
            raise NotFound(f"No endpoint '{name}' in project {project_id}.")
        if row.versions_id is None:
            wanted = row.endpoints_current_version if version is None else version
            raise VersionNotFound(row.endpoints_name, wanted, row.endpoints_current_version)
        return self._records(session, [row])[0]

    def load(self, session: Session, version_ids: Sequence[str]) -> list[Endpoint]:
        """The endpoints of versions that are there, each with that version, in the same order.

        It takes four queries at most, however many they are.
        """
        if not version_ids:
            return []
        rows = session.execute(_BY_VERSION, {"ids": version_ids}).all()
        by_id = {endpoint.version.id: endpoint for endpoint in self._records(session, rows)}
        return [by_id[version_id] for version_id in version_ids]

    def _records(self, session: Session, rows: Sequence[sa.Row[Any]]) -> list[Endpoint]:
        fixed = self._fixed.of(session, [row.versions_id for row in rows])
        snapshot_ids = [row.materializations_snapshot_id for row in rows if row.materializations_snapshot_id]
        snapshots = self._snapshots.of(session, snapshot_ids)
        return [_endpoint(row, fixed[row.versions_id], snapshots.get(row.materializations_snapshot_id)) for row in rows]


class _Kept(Generic[T]):
    """Things that never change, by id: the last ones that were asked for."""

    def __init__(self, load: Callable[[Session, Sequence[str]], Mapping[str, T]]) -> None:
        self._load = load
        self._entries: LRUCache[str, T] = LRUCache(_KEPT)
        self._lock = threading.Lock()

    def of(self, session: Session, ids: Collection[str]) -> Mapping[str, T]:
        with self._lock:
            found = {id_: self._entries[id_] for id_ in ids if id_ in self._entries}
        if missing := [id_ for id_ in ids if id_ not in found]:
            loaded = self._load(session, missing)
            with self._lock:
                self._entries.update(loaded)
            found.update(loaded)
        return found


def _load_fixed(session: Session, version_ids: Sequence[str]) -> dict[str, _Fixed]:
    return {
        row.id: _Fixed(
            query=row.query,
            sql=row.sql,
            columns=columns_from_json(row.columns),
            reads=Reads.from_json(row.reads),
            variables_obstacle=row.variables_obstacle,
        )
        for row in session.execute(_FIXED_BY_VERSION, {"ids": version_ids})
    }


def _endpoint(row: sa.Row[Any], fixed: _Fixed, snapshot: Snapshot | None) -> Endpoint:
    return Endpoint(
        id=row.endpoints_id,
        project_id=row.endpoints_project_id,
        name=row.endpoints_name,
        is_active=row.endpoints_is_active,
        current_version=row.endpoints_current_version,
        derived_from_insight=row.endpoints_derived_from_insight,
        display_name=row.endpoints_display_name,
        tags=tuple(row.endpoints_tags),
        created_at=row.endpoints_created_at,
        created_by=_user(row, "creators"),
        updated_at=row.endpoints_updated_at,
        version=_version(row, fixed, snapshot),
        last_executed_at=row.endpoint_executed_at,
    )


def _version(row: sa.Row[Any], fixed: _Fixed, snapshot: Snapshot | None) -> Version:
    return Version(
        id=row.versions_id,
        endpoint_id=row.versions_endpoint_id,
        version=row.versions_version,
        query=fixed.query,
        sql=fixed.sql,
        description=row.versions_description,
        data_freshness_seconds=row.versions_data_freshness_seconds,
        cache_age_seconds=row.versions_cache_age_seconds,
        sync_frequency=row.versions_sync_frequency,
        bucket_overrides=row.versions_bucket_overrides,
        optional_breakdown_properties=tuple(row.versions_optional_breakdown_properties),
        is_active=row.versions_is_active,
        columns=fixed.columns,
        reads=fixed.reads,
        variables_obstacle=fixed.variables_obstacle,
        created_at=row.versions_created_at,
        created_by=_user(row, "authors"),
        updated_at=row.versions_updated_at,
        last_executed_at=row.version_executed_at,
        materialization=_materialization(row),
        snapshot=snapshot,
    )


def _materialization(row: sa.Row[Any]) -> Materialization | None:
    if row.materializations_version_id is None:
        return None
    return Materialization(
        version_id=row.materializations_version_id,
        enabled=row.materializations_enabled,
        sync_frequency=row.materializations_sync_frequency,
        snapshot_id=row.materializations_snapshot_id,
        status=RefreshStatus(row.materializations_status),
        error=row.materializations_error,
        attempt_id=row.materializations_attempt_id,
        attempt_at=row.materializations_attempt_at,
        attempt_dagster_run_id=row.materializations_attempt_dagster_run_id,
    )


def _user(row: sa.Row[Any], label: str) -> User | None:
    values = row._mapping
    if values[f"{label}_id"] is None:
        return None
    return User(**{field: values[f"{label}_{field}"] for field in _USER_FIELDS})
