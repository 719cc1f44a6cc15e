"""How endpoints and versions look to callers (contract 1.16 to 1.18); wish (``enabled``) and fact (``ready``) apart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from endpoints_pipeline.api.column_types import column_type
from endpoints_pipeline.api.pages import Page
from endpoints_pipeline.api.people import UserObject, user_object
from endpoints_pipeline.catalog.records import Endpoint, RefreshStatus, Version
from endpoints_pipeline.serving.eligibility import obstacle
from endpoints_pipeline.settings import Settings


class ColumnObject(BaseModel):
    name: str
    type: str = Field(
        description="`integer`, `float`, `decimal`, `string`, `datetime`, `date`, `boolean`, `array`, `json` or "
        "`unknown`."
    )


class MaterializationObject(BaseModel):
    """The first block is there only while the materialization is wanted, ``reason`` only while it isn't."""

    status: RefreshStatus = Field(RefreshStatus.UNKNOWN, description="State of the newest refresh.")
    last_materialized_at: datetime | None = Field(None, description="When the snapshot in use was published.")
    error: str = Field("", description="Why the newest refresh failed.")
    saved_query_id: str | None = Field(None, description="The materialization's id: the version's.")

    can_materialize: bool = Field(description="Whether the query's result can be kept as Parquet.")
    reason: str | None = Field(None, description="Why it can't.")
    enabled: bool = Field(description="Someone wants a snapshot.")
    ready: bool = Field(description="A snapshot is there to answer from.")
    hibernated: bool = Field(False, description="Always false: nothing is put to sleep.")
    sync_frequency: str | None = Field(
        description="The period of its refreshes as a word; while nothing is refreshed, the word that was given."
    )


class EndpointObject(BaseModel):
    """An endpoint with its current version."""

    id: str
    name: str
    display_name: str = Field(description="A name for people, if it was given one.")
    description: str
    query: dict[str, Any] = Field(description="As it was sent, with null for each key that wasn't.")
    is_active: bool
    data_freshness_seconds: int
    cache_age_seconds: int | None
    endpoint_path: str
    url: str | None
    ui_url: str | None = Field(description="The asset's page in Dagster.")
    created_at: datetime
    updated_at: datetime
    created_by: UserObject | None = Field(description="Null where no person's key was used.")
    is_materialized: bool = Field(description="A snapshot is there to answer from.")
    current_version: int
    current_version_id: str
    versions_count: int
    derived_from_insight: str | None
    last_executed_at: datetime | None
    materialization: MaterializationObject
    bucket_overrides: dict[str, str] | None
    columns: list[ColumnObject]
    tags: list[str]
    optional_breakdown_properties: list[str]
    materialization_error: str | None = Field(
        None, description="Update: why the new version is not materialized as the one before was."
    )


class VersionObject(EndpointObject):
    """One version: the endpoint's keys, with the version's own values where a version has them."""

    version: int
    version_id: str
    endpoint_is_active: bool
    version_created_at: datetime
    version_updated_at: datetime
    version_created_by: UserObject | None


class SuccessObject(BaseModel):
    """The answer to an update with ``deleted: true``."""

    success: bool


class EndpointPage(Page[EndpointObject]):
    """Endpoints by name, active and inactive ones."""


class VersionPage(Page[VersionObject]):
    """Versions, the newest first."""


def answer(body: BaseModel, status: int = 200) -> Response:
    """``body`` as JSON, without the keys that were never set."""
    # made here, on the handler's thread: FastAPI would build it in the event loop
    return Response(body.model_dump_json(exclude_unset=True), status, media_type="application/json")


def endpoint_object(settings: Settings, endpoint: Endpoint) -> EndpointObject:
    path = _path(endpoint)
    return EndpointObject(
        **_shared(endpoint),
        is_active=endpoint.is_active,
        url=f"{settings.resolved_public_url}{path}",
        ui_url=f"{settings.resolved_dagster_url}/assets/endpoints/{endpoint.project_id}/{endpoint.name}",
        last_executed_at=endpoint.last_executed_at,
    )


def version_object(endpoint: Endpoint) -> VersionObject:
    version = endpoint.version
    return VersionObject(
        **_shared(endpoint),
        is_active=version.is_active,
        url=None,
        ui_url=None,
        last_executed_at=version.last_executed_at,
        version=version.version,
        version_id=version.id,
        endpoint_is_active=endpoint.is_active,
        version_created_at=version.created_at,
        version_updated_at=version.updated_at,
        version_created_by=user_object(version.created_by),
    )


def materialization_object(version: Version) -> MaterializationObject:
    wish = version.materialization
    reason = obstacle(version)
    if wish is None or not wish.enabled:
        return MaterializationObject(
            can_materialize=reason is None,
            reason=reason,
            enabled=False,
            ready=False,
            hibernated=False,
            sync_frequency=version.sync_frequency,
        )
    return MaterializationObject(
        status=wish.status,
        last_materialized_at=version.snapshot.published_at if version.snapshot else None,
        error="" if wish.status is RefreshStatus.COMPLETED else wish.error,
        saved_query_id=version.id,
        can_materialize=reason is None,
        enabled=True,
        ready=version.snapshot is not None,
        hibernated=False,
        sync_frequency=wish.sync_frequency,
    )


def _shared(endpoint: Endpoint) -> Mapping[str, Any]:
    version = endpoint.version
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "display_name": endpoint.display_name,
        "description": version.description,
        "query": dict(version.query),
        "data_freshness_seconds": version.data_freshness_seconds,
        "cache_age_seconds": version.cache_age_seconds,
        "endpoint_path": _path(endpoint),
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
        "created_by": user_object(endpoint.created_by),
        "is_materialized": version.is_materialized and version.snapshot is not None,
        "current_version": endpoint.current_version,
        "current_version_id": version.id,
        "versions_count": endpoint.current_version,
        "derived_from_insight": endpoint.derived_from_insight,
        "materialization": materialization_object(version),
        "bucket_overrides": dict(version.bucket_overrides) if version.bucket_overrides else None,
        "columns": [ColumnObject(name=column.name, type=column_type(column.type)) for column in version.columns],
        "tags": list(endpoint.tags),
        "optional_breakdown_properties": list(version.optional_breakdown_properties),
    }


def _path(endpoint: Endpoint) -> str:
    return f"/api/projects/{endpoint.project_id}/endpoints/{endpoint.name}/run"
