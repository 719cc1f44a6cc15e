"""Endpoints: list, create, retrieve, update, delete (contract 1.1 to 1.5)."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import WithJsonSchema

from endpoints_pipeline.api.auth import ReadEndpoints, WriteEndpoints
from endpoints_pipeline.api.context import (
    LARGEST,
    App,
    Body,
    EndpointName,
    VersionText,
    integer,
    version_number,
)
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.models import EndpointBody, VersionBody, parse_definition, parse_request, request_body
from endpoints_pipeline.api.pages import LimitText, OffsetText, asked_for
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.api.publishing import check_change, check_new
from endpoints_pipeline.api.representation import (
    EndpointObject,
    EndpointPage,
    SuccessObject,
    VersionObject,
    answer,
    endpoint_object,
    version_object,
)
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.serving.application import Application

router = APIRouter(prefix=PREFIX, tags=["endpoints"])

_NO_BULK_TAGS = {"detail": "Bulk tag updates are not supported for endpoints."}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}

ActiveText = Annotated[
    str | None, Query(description="Only active ones, or only inactive ones."), WithJsonSchema({"type": "boolean"})
]
AuthorText = Annotated[
    str | None, Query(description="Only those that this user made, by id."), WithJsonSchema({"type": "integer"})
]


@router.get("", operation_id="endpoints_list", response_model=EndpointPage, responses=errors(400))
def list_endpoints(
    request: Request,
    application: App,
    access: ReadEndpoints,
    is_active: ActiveText = None,
    created_by: AuthorText = None,
    limit: LimitText = None,
    offset: OffsetText = None,
) -> Response:
    """The project's endpoints by name, active and inactive ones, page by page. Filters are combined with AND."""
    part = asked_for(limit, offset)
    found, count = application.catalog.endpoints.list(
        access.project_id,
        is_active=active(is_active),
        created_by=author(created_by),
        limit=part.limit,
        offset=part.offset,
    )
    shown = [endpoint_object(application.settings, endpoint) for endpoint in found]
    return answer(EndpointPage(**part.envelope(request, application.settings, count, shown)))


@router.post(
    "",
    operation_id="endpoints_create",
    status_code=201,
    response_model=EndpointObject,
    responses=errors(400, 413, 415),
    openapi_extra=request_body(EndpointBody),
)
def create_endpoint(application: App, access: WriteEndpoints, body: Body) -> Response:
    """Publish a query under a name, as version 1. With `is_materialized` the whole create fails if that can't be."""
    new = check_new(application, access.project_id, parse_definition(EndpointBody, body))
    endpoint = application.catalog.endpoints.create(access.project_id, new, application.clock(), by=access.user_id)
    return answer(endpoint_object(application.settings, endpoint), 201)


@router.get(
    "/{name}",
    operation_id="endpoints_retrieve",
    response_model=VersionObject | EndpointObject,
    responses=errors(400, 413, 415, version=True),
)
def retrieve_endpoint(
    application: App, access: ReadEndpoints, name: EndpointName, body: Body, version: VersionText = None
) -> Response:
    """An endpoint with its current version; with `version` (here, or in a JSON body, which wins) one version of it."""
    endpoint = application.catalog.endpoints.get(access.project_id, name)
    number = wanted_version(body, version)
    if number is None:
        return answer(endpoint_object(application.settings, endpoint))
    return answer(version_object(application.catalog.endpoints.get(access.project_id, name, number)))


@router.put(
    "/{name}",
    operation_id="endpoints_update",
    response_model=VersionObject | EndpointObject | SuccessObject,
    responses=errors(400, 413, 415),
    openapi_extra=request_body(EndpointBody),
)
@router.patch(
    "/{name}",
    operation_id="endpoints_partial_update",
    response_model=VersionObject | EndpointObject | SuccessObject,
    responses=errors(400, 413, 415),
    openapi_extra=request_body(EndpointBody),
)
def update_endpoint(
    application: App, access: WriteEndpoints, name: EndpointName, body: Body, version: VersionText = None
) -> Response:
    """Change what the body names, and nothing else; PUT and PATCH are the same.

    With `version` (here, or in the body, which wins) that version is changed and shown. `deleted: true` deletes.
    """
    endpoint = application.catalog.endpoints.get(access.project_id, name)
    wishes = parse_definition(EndpointBody, body)
    if wishes.deleted:
        application.catalog.endpoints.delete(access.project_id, name, application.clock(), by=access.user_id)
        return answer(SuccessObject(success=True))
    target = wishes.version if wishes.version is not None else version_number(version)
    return update(application, endpoint, wishes, target, by=access.user_id)


@router.delete(
    "/{name}", operation_id="endpoints_destroy", status_code=204, response_class=Response, responses=errors()
)
def delete_endpoint(application: App, access: WriteEndpoints, name: EndpointName) -> Response:
    """Delete an endpoint with all its versions and snapshots; its name is free again."""
    application.catalog.endpoints.delete(access.project_id, name, application.clock(), by=access.user_id)
    return Response(status_code=204)


@router.post(
    "/bulk_update_tags",
    operation_id="endpoints_bulk_update_tags",
    status_code=405,
    response_model=None,
    responses=errors() | {405: {"description": "Always.", "content": {"application/json": {"example": _NO_BULK_TAGS}}}},
)
def bulk_update_tags(access: WriteEndpoints) -> Response:
    """Never allowed: tags are set with the endpoint."""
    return Response(
        orjson.dumps(_NO_BULK_TAGS),
        405,
        headers={"Allow": "GET, PUT, PATCH, DELETE"},  # for an endpoint of this name
        media_type="application/json",
    )


def update(
    application: Application, endpoint: Endpoint, wishes: EndpointBody, target: int | None, *, by: int | None
) -> Response:
    """Make the change and show what was changed: the version that was aimed at, else the endpoint.

    Raises:
        InvalidInput: A rule of the contract's 1.4 is broken; nothing was changed.
    """
    checked = check_change(application, endpoint, wishes, target)
    updated = application.catalog.endpoints.update(
        endpoint.project_id, endpoint.name, checked.change, application.clock(), by=by
    )
    shown = endpoint_object(application.settings, updated) if target is None else version_object(updated)
    if checked.materialization_error:
        shown.materialization_error = checked.materialization_error
    return answer(shown)


def wanted_version(body: bytes, text: str | None) -> int | None:
    """The version that a request names: in its body, else in its query string.

    Raises:
        InvalidInput: It isn't an integer (contract 1.3).
    """
    sent = parse_request(VersionBody, body).version
    if sent is None:
        return version_number(text)
    if isinstance(sent, int) and not isinstance(sent, bool):
        return sent
    return version_number(str(sent))


def active(text: str | None) -> bool | None:
    if not text:
        return None
    if text.lower() not in _BOOLEANS:
        raise InvalidInput(f"Must be true or false, got: {text}", attr="is_active")
    return _BOOLEANS[text.lower()]


def author(text: str | None) -> int | None:
    if not text:
        return None
    number = integer(text)
    if number is None:
        raise InvalidInput(f"Must be a user's id, an integer, got: {text}", attr="created_by")
    # no user has an id that the database can't hold
    return number if 0 <= number <= LARGEST else -1
