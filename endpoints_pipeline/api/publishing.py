"""A caller's wishes for an endpoint: checked in the contract's order (1.2, 1.4), and said as the catalog takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from endpoints_pipeline.api.models import EndpointBody
from endpoints_pipeline.catalog.endpoints import UNSET, CheckedQuery, EndpointChange, NewEndpoint
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.errors import InvalidInput, NotFound, VersionNotFound
from endpoints_pipeline.frequency import DEFAULT_FRESHNESS_SECONDS
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.eligibility import obstacle, require_eligible
from endpoints_pipeline.serving.publish import (
    check_buckets,
    check_frequency,
    check_freshness,
    check_name,
    check_query,
    freshness_of,
)

_LONGEST_TEXTS = {"derived_from_insight": 12, "display_name": 255}
_LONGEST_TAG = 255
_SHORTEST_CACHE_AGE, _LONGEST_CACHE_AGE = 300, 86400


@dataclass(frozen=True, slots=True)
class CheckedChange:
    """``materialization_error``: why a new version can't be materialized though the one before it is."""

    change: EndpointChange
    materialization_error: str | None = None


def check_new(application: Application, project_id: int, body: EndpointBody) -> NewEndpoint:
    """What a create asks for.

    Raises:
        InvalidInput: The first rule that is broken; ``attr`` is the field.
    """
    if not body.query:
        raise InvalidInput("This field is required.", attr="query")
    if not body.name:
        raise InvalidInput("This field is required.", attr="name")
    check_name(body.name)
    _check_texts(body)
    query = _checked_query(application, project_id, body)
    assert query is not None
    freshness, cache_age = _freshness(body), _cache_age(body)
    check_breakdowns(body.optional_breakdown_properties)
    buckets = check_buckets(body.bucket_overrides)
    if body.is_materialized:
        _require_eligible(application, project_id, body.name, query)
    return NewEndpoint(
        name=body.name,
        query=query,
        description=body.description or "",
        is_active=body.is_active is not False,
        is_materialized=bool(body.is_materialized),
        data_freshness_seconds=freshness or DEFAULT_FRESHNESS_SECONDS,
        cache_age_seconds=cache_age,
        sync_frequency=body.sync_frequency,
        derived_from_insight=body.derived_from_insight,
        tags=body.tags or (),
        display_name=body.display_name or "",
        bucket_overrides=buckets,
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
    _check_texts(body)
    freshness, cache_age = _freshness(body), _cache_age(body)
    _require_active(endpoint, body, version)
    query = _checked_query(application, endpoint.project_id, body)
    if query is not None and body.is_materialized:
        require_eligible(query)
    check_breakdowns(body.optional_breakdown_properties)
    buckets = check_buckets(body.bucket_overrides)
    target = _target(application, endpoint, version)
    if query is not None and version is not None:
        raise InvalidInput(
            "Cannot change query when targeting a specific version. Query changes create a new version.", attr="query"
        )
    if query is None and body.is_materialized:
        check_query(
            application.catalog, application.sources, endpoint.project_id, target.version.query, materialized=True
        )
    reason = _carry_obstacle(endpoint, body, query)
    if freshness is None and _takes_cache_age_back(body, target):
        freshness = DEFAULT_FRESHNESS_SECONDS
    return CheckedChange(
        EndpointChange(
            version=version,
            query=query,
            description=body.description,
            is_active=body.is_active,
            is_materialized=False if reason else body.is_materialized,
            data_freshness_seconds=freshness,
            cache_age_seconds=cache_age if "cache_age_seconds" in body.model_fields_set else UNSET,
            sync_frequency=body.sync_frequency if "sync_frequency" in body.model_fields_set else UNSET,
            tags=body.tags,
            display_name=body.display_name,
            bucket_overrides=buckets if "bucket_overrides" in body.model_fields_set else UNSET,
        ),
        materialization_error=f"Cannot materialize endpoint. Reason: {reason}" if reason else None,
    )


def check_breakdowns(properties: Sequence[str] | None) -> None:
    """Return if no breakdowns are named: SQL has none (contract 2.8).

    Raises:
        InvalidInput: With ``attr="optional_breakdown_properties"``.
    """
    if properties:
        raise InvalidInput(
            "Only TrendsQuery and RetentionQuery have breakdowns; HogQLQuery has none.",
            attr="optional_breakdown_properties",
        )


def _check_texts(body: EndpointBody) -> None:
    for field, most in _LONGEST_TEXTS.items():
        if len(getattr(body, field) or "") > most:
            raise InvalidInput(f"Ensure this field has no more than {most} characters.", attr=field)
    for field in ("description", *_LONGEST_TEXTS):
        if "\0" in (getattr(body, field) or ""):
            raise InvalidInput("Null characters are not allowed.", attr=field)
    for tag in body.tags or ():
        if not tag.strip() or len(tag) > _LONGEST_TAG or "\0" in tag:
            raise InvalidInput(
                f"A tag is a text of 1 to {_LONGEST_TAG} characters, without null characters.", attr="tags"
            )


def _require_eligible(application: Application, project_id: int, name: str, query: CheckedQuery) -> None:
    """Refuse what can't be kept as a snapshot; that a name is taken is said before (contract 1.2)."""
    try:
        require_eligible(query)
    except InvalidInput:
        try:
            application.catalog.endpoints.get(project_id, name)
        except NotFound:
            pass
        else:
            raise InvalidInput("An endpoint with this name already exists for this team.", attr="name") from None
        raise


def _require_active(endpoint: Endpoint, body: EndpointBody, version: int | None) -> None:
    active = endpoint.is_active if version is not None or body.is_active is None else body.is_active
    if body.is_materialized and not active:
        raise InvalidInput("Cannot enable materialization on inactive endpoint.", attr="is_materialized")
    if body.sync_frequency is not None and not active:
        raise InvalidInput("Cannot set sync_frequency on inactive endpoint.", attr="sync_frequency")
    if body.sync_frequency is not None and body.is_materialized is False:
        raise InvalidInput("Cannot set sync_frequency when disabling materialization.", attr="sync_frequency")


def _checked_query(application: Application, project_id: int, body: EndpointBody) -> CheckedQuery | None:
    if body.query is None:
        return None
    checked = check_query(application.catalog, application.sources, project_id, body.query, materialized=False)
    if not is_storable(body.query):
        raise InvalidInput("Null characters and infinite numbers are not allowed.", attr="query")
    return checked


def is_storable(value: object) -> bool:
    """Whether PostgreSQL's JSON can hold the value: it has no NUL, and no number beyond a double."""
    match value:
        case str():
            return "\0" not in value
        case float():
            return isfinite(value)
        case dict():
            return all(is_storable(key) and is_storable(inner) for key, inner in value.items())
        case list():
            return all(map(is_storable, value))
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


def _takes_cache_age_back(body: EndpointBody, target: Endpoint) -> bool:
    """Whether a null ends a cache age that is the freshness; one that another name has replaced changes nothing."""
    version = target.version
    cleared = "cache_age_seconds" in body.model_fields_set and body.cache_age_seconds is None
    return cleared and version.cache_age_seconds == version.data_freshness_seconds


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
    return obstacle(query)
