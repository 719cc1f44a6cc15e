"""Endpoints and their versions: what people publish (contract 1.1 to 1.5, 1.8, 2.5, 2.7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.activities import ENDPOINT_VERSION, Journal, differences
from endpoints_pipeline.catalog.database import Database
from endpoints_pipeline.catalog.lineage import refuse_cycle
from endpoints_pipeline.catalog.loading import EndpointLoader
from endpoints_pipeline.catalog.mapping import definitions_changed, is_same_json
from endpoints_pipeline.catalog.materializations import disable, enable, enabled_versions, request_refresh
from endpoints_pipeline.catalog.projects import project_row
from endpoints_pipeline.catalog.records import Change, Endpoint
from endpoints_pipeline.catalog.tables import EndpointRow, VersionRow
from endpoints_pipeline.catalog.versions import (
    UNSET,
    CheckedQuery,
    Unset,
    find_endpoint,
    find_version,
    new_version,
    next_version,
)
from endpoints_pipeline.errors import InvalidInput, VersionNotFound
from endpoints_pipeline.frequency import DEFAULT_FRESHNESS_SECONDS

__all__ = ["UNSET", "CheckedQuery", "EndpointChange", "EndpointStore", "NewEndpoint", "Unset"]

#: Whose changes the activity log tells.
_ENDPOINT_FIELDS = ("is_active", "display_name", "tags")
_VERSION_FIELDS = (
    "query",
    "description",
    "data_freshness_seconds",
    "cache_age_seconds",
    "sync_frequency",
    "bucket_overrides",
    "optional_breakdown_properties",
    "is_active",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """``bucket_overrides`` are kept with a materialization only (contract 2.8)."""

    name: str
    query: CheckedQuery
    description: str = ""
    is_active: bool = True
    is_materialized: bool = False
    data_freshness_seconds: int = DEFAULT_FRESHNESS_SECONDS
    cache_age_seconds: int | None = None
    sync_frequency: str | None = None
    bucket_overrides: Mapping[str, str] | None = None
    optional_breakdown_properties: Sequence[str] = ()
    derived_from_insight: str | None = None
    display_name: str = ""
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChange:
    """A partial update; ``version`` aims it at one version (contract 1.4).

    A field that isn't given stays as it is: None or, where null is a value of the field, ``UNSET``. A freshness or
    cache age that comes without a ``sync_frequency`` takes the place of the version's word.
    """

    version: int | None = None
    query: CheckedQuery | None = None
    description: str | None = None
    is_active: bool | None = None
    is_materialized: bool | None = None
    data_freshness_seconds: int | None = None
    cache_age_seconds: int | Unset | None = UNSET
    sync_frequency: str | Unset | None = UNSET
    bucket_overrides: Mapping[str, str] | Unset | None = UNSET
    optional_breakdown_properties: Sequence[str] | Unset = UNSET
    display_name: str | None = None
    tags: Sequence[str] | None = None


class EndpointStore:
    """``by`` is the id of the user who asks, as the activity log and ``created_by`` name them; None: the system."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loader = EndpointLoader()

    def create(self, project_id: int, new: NewEndpoint, now: datetime, *, by: int | None = None) -> Endpoint:
        """Store the endpoint with version 1 and, if asked for, its materialization; all or nothing.

        Raises:
            NotFound: No such project.
            InvalidInput: A live endpoint of the project has the name already, or it would come to read itself.
        """
        endpoint = EndpointRow(
            id=str(uuid4()),
            project_id=project_id,
            name=new.name,
            is_active=new.is_active,
            current_version=1,
            derived_from_insight=new.derived_from_insight,
            display_name=new.display_name,
            tags=_tags(new.tags),
            created_at=now,
            created_by_id=by,
            updated_at=now,
            deleted_at=None,
        )
        version = new_version(
            endpoint,
            1,
            new.query,
            by=by,
            now=now,
            description=new.description,
            data_freshness_seconds=new.data_freshness_seconds,
            cache_age_seconds=new.cache_age_seconds,
            sync_frequency=new.sync_frequency,
            optional_breakdown_properties=list(new.optional_breakdown_properties),
        )
        try:
            with self._database.write() as session:
                project_row(session, project_id)
                refuse_cycle(session, project_id, new.name, new.query.reads)
                session.add(endpoint)
                session.flush()
                session.add(version)
                session.flush()
                journal = Journal(session, endpoint, by, now)
                journal.note("created")
                if new.is_materialized:
                    if not new.is_active:
                        raise InvalidInput(
                            "Cannot enable materialization on inactive endpoint.", attr="is_materialized"
                        )
                    version.bucket_overrides = None if new.bucket_overrides is None else dict(new.bucket_overrides)
                    enable(journal, version)
                    definitions_changed(session)
                session.flush()
                return self._loader.load(session, [version.id])[0]
        except IntegrityError as error:
            raise InvalidInput("An endpoint with this name already exists for this team.", attr="name") from error

    def get(self, project_id: int, name: str, version: int | None = None) -> Endpoint:
        """The live endpoint, with the version asked for (None: the current one).

        Raises:
            NotFound: No such project or endpoint.
            VersionNotFound: The endpoint has no such version.
        """
        with self._database.read() as session:
            return self._loader.find(session, project_id, name, version)

    def list(
        self,
        project_id: int,
        *,
        is_active: bool | None = None,
        created_by: int | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> tuple[Sequence[Endpoint], int]:
        """A page of the project's live endpoints by name, and how many there are in all.

        Raises:
            NotFound: No such project.
        """
        with self._database.read() as session:
            project_row(session, project_id)
            live = [EndpointRow.project_id == project_id, EndpointRow.deleted_at.is_(None)]
            if is_active is not None:
                live.append(EndpointRow.is_active == is_active)
            if created_by is not None:
                live.append(EndpointRow.created_by_id == created_by)
            total = session.scalar(sa.select(sa.func.count()).select_from(EndpointRow).where(*live)) or 0
            page = session.scalars(
                sa.select(VersionRow.id)
                .join(
                    EndpointRow,
                    (VersionRow.endpoint_id == EndpointRow.id) & (VersionRow.version == EndpointRow.current_version),
                )
                .where(*live)
                .order_by(EndpointRow.name)
                .limit(limit)
                .offset(offset)
            )
            return self._loader.load(session, page.all()), total

    def versions(
        self,
        project_id: int,
        name: str,
        *,
        is_active: bool | None = None,
        created_by: int | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> tuple[Sequence[Endpoint], int]:
        """A page of the endpoint's versions, newest first, each as the endpoint with that version; and their number.

        The filters are about the versions, not the endpoint.

        Raises:
            NotFound: No such project or endpoint.
        """
        with self._database.read() as session:
            endpoint = find_endpoint(session, project_id, name)
            wanted = [VersionRow.endpoint_id == endpoint.id]
            if is_active is not None:
                wanted.append(VersionRow.is_active == is_active)
            if created_by is not None:
                wanted.append(VersionRow.created_by_id == created_by)
            total = session.scalar(sa.select(sa.func.count()).select_from(VersionRow).where(*wanted)) or 0
            page = session.scalars(
                sa.select(VersionRow.id).where(*wanted).order_by(VersionRow.version.desc()).limit(limit).offset(offset)
            )
            return self._loader.load(session, page.all()), total

    def update(
        self, project_id: int, name: str, change: EndpointChange, now: datetime, *, by: int | None = None
    ) -> Endpoint:
        """Apply a partial update, serialized with every other update of the endpoint (contract 1.4, 10.18).

        One that changes nothing writes nothing.

        Raises:
            NotFound: No such project or endpoint.
            InvalidInput: The change contradicts itself or the endpoint's state; nothing was changed.
        """
        with self._database.write() as session:
            endpoint = find_endpoint(session, project_id, name, for_update=True)
            version = previous = _target(session, endpoint, change)
            enabled = enabled_versions(session, endpoint)
            endpoint_before, version_before = _values(endpoint, _ENDPOINT_FIELDS), _values(version, _VERSION_FIELDS)
            if change.query is not None and not is_same_json(change.query.query, version.query):
                refuse_cycle(session, project_id, name, change.query.reads)
                version = next_version(endpoint, previous, change.query, by=by, now=now)
                endpoint.current_version = version.version
                session.add(version)
            _apply(endpoint, version, change)
            is_wanted = previous in enabled if change.is_materialized is None else change.is_materialized
            if not (endpoint.is_active and version.is_active):
                if change.is_materialized:
                    raise InvalidInput("Cannot enable materialization on inactive endpoint.", attr="is_materialized")
                is_wanted = False
            _apply_overrides(version, previous, change, is_wanted=is_wanted)
            session.flush()

            endpoint_changes = differences(endpoint_before, _values(endpoint, _ENDPOINT_FIELDS))
            version_changes = differences(version_before, _values(version, _VERSION_FIELDS))
            unwanted = [row for row in enabled if not endpoint.is_active or (row is version and not is_wanted)]
            is_switched = bool(unwanted) or (is_wanted and version not in enabled)
            if endpoint_changes or version_changes or is_switched:
                endpoint.updated_at = now
                if version_changes or is_switched:
                    version.updated_at = now
                journal = Journal(session, endpoint, by, now)
                _note(journal, version, endpoint_changes, version_changes, is_new=version is not previous)
                disable(journal, unwanted)
                if is_wanted:
                    enable(journal, version)
                    if any(one.field == "bucket_overrides" for one in version_changes):
                        request_refresh(session, version.id, "bucket overrides changed", now)
                if enabled or is_wanted:
                    definitions_changed(session)
                session.flush()
            return self._loader.load(session, [version.id])[0]

    def delete(self, project_id: int, name: str, now: datetime, *, by: int | None = None) -> None:
        """Soft-delete: nothing of the endpoint is served or scheduled afterwards, and its name is free (contract 1.5).

        Raises:
            NotFound: No such project or endpoint.
        """
        with self._database.write() as session:
            endpoint = find_endpoint(session, project_id, name, for_update=True)
            enabled = enabled_versions(session, endpoint)
            journal = Journal(session, endpoint, by, now)
            disable(journal, enabled)
            journal.note("deleted")
            endpoint.deleted_at = now
            endpoint.updated_at = now
            if enabled:
                definitions_changed(session)


def _target(session: Session, endpoint: EndpointRow, change: EndpointChange) -> VersionRow:
    if change.version is not None and change.query is not None:
        raise InvalidInput(
            "Cannot change query when targeting a specific version. Query changes create a new version.", attr="query"
        )
    try:
        return find_version(session, endpoint, change.version)
    except VersionNotFound as error:
        raise InvalidInput(f"Version {error.version} not found for this endpoint.", attr="version") from error


def _apply(endpoint: EndpointRow, version: VersionRow, change: EndpointChange) -> None:
    if change.is_active is not None:
        (endpoint if change.version is None else version).is_active = change.is_active
    if change.display_name is not None:
        endpoint.display_name = change.display_name
    if change.tags is not None:
        endpoint.tags = _tags(change.tags)
    if change.description is not None:
        version.description = change.description
    if change.data_freshness_seconds is not None:
        version.data_freshness_seconds = change.data_freshness_seconds
    if change.cache_age_seconds is not UNSET:
        version.cache_age_seconds = change.cache_age_seconds
    if change.sync_frequency is not UNSET:
        version.sync_frequency = change.sync_frequency
    elif change.data_freshness_seconds is not None or isinstance(change.cache_age_seconds, int):
        version.sync_frequency = None  # the last one written wins (contract 10.9)
    if change.optional_breakdown_properties is not UNSET:
        version.optional_breakdown_properties = list(change.optional_breakdown_properties)


def _apply_overrides(version: VersionRow, previous: VersionRow, change: EndpointChange, *, is_wanted: bool) -> None:
    """They are kept with a materialization only, and go on to the next version with it (contract 2.5, 2.8)."""
    if change.bucket_overrides is None:
        version.bucket_overrides = None
    elif is_wanted:
        kept = previous.bucket_overrides if change.bucket_overrides is UNSET else change.bucket_overrides
        version.bucket_overrides = None if kept is None else dict(kept)


def _note(
    journal: Journal,
    version: VersionRow,
    endpoint_changes: Sequence[Change],
    version_changes: Sequence[Change],
    *,
    is_new: bool,
) -> None:
    if endpoint_changes:
        journal.note("updated", changes=endpoint_changes)
    if is_new:
        journal.note("version_created", changes=version_changes, version=version.version)
    elif version_changes:
        journal.note("version_updated", scope=ENDPOINT_VERSION, changes=version_changes, version=version.version)


def _values(row: EndpointRow | VersionRow, fields: Sequence[str]) -> dict[str, Any]:
    return {field: getattr(row, field) for field in fields}


def _tags(tags: Iterable[str]) -> list[str]:
    return sorted(set(tags))
