"""A caller's wishes for an endpoint: checked in the contract's order (1.2, 1.4), and said as the catalog takes them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from endpoints_pipeline.api.models import EndpointBody
from endpoints_pipeline.catalog.endpoints import CheckedQuery, EndpointChange, NewEndpoint
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.errors import InvalidInput, VersionNotFound
from endpoints_pipeline.frequency import DEFAULT_FRESHNESS_SECONDS
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.publish import (
    check_frequency,
    check_freshness,
    check_name,
    check_query,
    freshness_of,
)
from endpoints_pipeline.snapshots.storable import materialization_obstacle

_NOT_SUPPORTED_YET = ("tags", "bucket_overrides", "optional_breakdown_properties", "display_name")
_LONGEST_INSIGHT_ID = 12
_SHORTEST_CACHE_AGE, _LONGEST_CACHE_AGE = 300, 86400


@dataclass(frozen=True, slots=True)
class CheckedChange:
    """``materialization_error``: why a new version can't be materialized though the one before it is."""

    change: EndpointChange
    materialization_error: str | None = None


def check_new(application: Application, body: EndpointBody) -> NewEndpoint:
    """What a create asks for.

    Raises:
        InvalidInput: The first rule that is broken; ``attr`` is the field.
    """
    _refuse_unsupported(body)
    if not body.query:
        raise InvalidInput("This field is required.", attr="query")
    if not body.name:
        raise InvalidInput("This field is required.", attr="name")
    check_name(body.name)
    _check_texts(body)
    query = _checked_query(application, body, materialized=bool(body.is_materialized))
    assert query is not None
    return NewEndpoint(
        name=body.name,
        query=query,
        description=body.description or "",
        is_active=body.is_active is not False,
        is_materialized=bool(body.is_materialized),
        data_freshness_seconds=_freshness(body) or DEFAULT_FRESHNESS_SECONDS,
        cache_age_seconds=_cache_age(body),
        sync_frequency=body.sync_frequency,
        derived_from_insight=body.derived_from_insight,
    )


def check_change(
    application: Application, endpoint: Endpoint, body: EndpointBody, version: int | None
) -> CheckedChange:
    """What an update of ``endpoint`` (at its current version) asks for.

    Args:
        application: The parts of this process.
        endpoint: The endpoint as it is now.
        body: The update; ``name`` and ``derived_from_insight`` are for create only and change nothing.
        version: The version it is aimed at; None: the current one.

    Raises:
        InvalidInput: The first rule that is broken; ``attr`` is the field. Nothing was changed.
    """
    _refuse_unsupported(body)
    _check_texts(body)
    freshness, cache_age = _freshness(body), _cache_age(body)
    active = endpoint.is_active if version is not None or body.is_active is None else body.is_active
    if body.is_materialized and not active:
        raise InvalidInput("Cannot enable materialization on inactive endpoint.", attr="is_materialized")
    if body.sync_frequency is not None and not active:
        raise InvalidInput("Cannot set sync_frequency on inactive endpoint.", attr="sync_frequency")
    if body.sync_frequency is not None and body.is_materialized is False:
        raise InvalidInput("Cannot set sync_frequency when disabling materialization.", attr="sync_frequency")
    query = _checked_query(application, body, materialized=bool(body.is_materialized))
    target = _target(application, endpoint, version)
    if query is not None and version is not None:
        raise InvalidInput(
            "Cannot change query when targeting a specific version. Query changes create a new version.", attr="query"
        )
    if query is None and body.is_materialized:
        check_query(application.engine, target.version.query, materialized=True)
    if "cache_age_seconds" in body.model_fields_set and cache_age is None and target.version.cache_age_seconds:
        raise InvalidInput("cache_age_seconds can't be cleared yet: set it to a number.", attr="cache_age_seconds")
    obstacle = _carry_obstacle(endpoint, body, query)
    return CheckedChange(
        EndpointChange(
            version=version,
            query=query,
            description=body.description,
            is_active=body.is_active,
            is_materialized=False if obstacle else body.is_materialized,
            data_freshness_seconds=freshness,
            cache_age_seconds=cache_age,
            sync_frequency=body.sync_frequency,
        ),
        materialization_error=f"Cannot materialize endpoint. Reason: {obstacle}" if obstacle else None,
    )


def _refuse_unsupported(body: EndpointBody) -> None:
    for field in _NOT_SUPPORTED_YET:
        if getattr(body, field):
            raise InvalidInput(f"{field} is not supported yet: leave it out, or send it empty.", attr=field)


def _check_texts(body: EndpointBody) -> None:
    if len(body.derived_from_insight or "") > _LONGEST_INSIGHT_ID:
        raise InvalidInput(
            f"Ensure this field has no more than {_LONGEST_INSIGHT_ID} characters.", attr="derived_from_insight"
        )
    for field in ("description", "derived_from_insight"):
        if "\0" in (getattr(body, field) or ""):
            raise InvalidInput("Null characters are not allowed.", attr=field)


def _checked_query(application: Application, body: EndpointBody, *, materialized: bool) -> CheckedQuery | None:
    if body.query is None:
        return None
    checked = check_query(application.engine, body.query, materialized=materialized)
    if not _is_storable(body.query):
        raise InvalidInput("Null characters and infinite numbers are not allowed.", attr="query")
    return checked


def _is_storable(value: object) -> bool:
    """Whether PostgreSQL's JSON can hold the value: it has no NUL, and no number beyond a double."""
    match value:
        case str():
            return "\0" not in value
        case float():
            return isfinite(value)
        case dict():
            return all(_is_storable(key) and _is_storable(inner) for key, inner in value.items())
        case list():
            return all(map(_is_storable, value))
        case _:
            return True


def _freshness(body: EndpointBody) -> int | None:
    """The one freshness that the three names for it come to; None if the body says nothing of it."""
    if body.sync_frequency is not None:
        check_frequency(body.sync_frequency)
    cache_age = _cache_age(body)
    if body.data_freshness_seconds is not None:
        return check_freshness(body.data_freshness_seconds)
    if body.sync_frequency is not None:
        return freshness_of(body.sync_frequency)
    if cache_age is not None:
        return cache_age
    return DEFAULT_FRESHNESS_SECONDS if "data_freshness_seconds" in body.model_fields_set else None


def _cache_age(body: EndpointBody) -> int | None:
    age = body.cache_age_seconds
    if age is None:
        return None
    if not _SHORTEST_CACHE_AGE <= age <= _LONGEST_CACHE_AGE:
        raise InvalidInput("Cache age must be between 300 and 86400 seconds.", attr="cache_age_seconds")
    if not age.is_integer():
        raise InvalidInput("Cache age must be a whole number of seconds.", attr="cache_age_seconds")
    return int(age)


def _target(application: Application, endpoint: Endpoint, version: int | None) -> Endpoint:
    if version is None:
        return endpoint
    try:
        return application.catalog.endpoints.get(endpoint.project_id, endpoint.name, version)
    except VersionNotFound as error:
        raise InvalidInput(f"Version {version} not found for this endpoint.", attr="version") from error


def _carry_obstacle(endpoint: Endpoint, body: EndpointBody, query: CheckedQuery | None) -> str | None:
    """Why a new version can't take over the current one's materialization, where nothing else is asked for."""
    if query is None or body.is_materialized is not None or not endpoint.version.is_materialized:
        return None
    return materialization_obstacle(query.columns)
