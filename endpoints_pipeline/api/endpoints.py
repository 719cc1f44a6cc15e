"""Endpoints: list, create, retrieve, update, delete (contract 1.1 to 1.5)."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from endpoints_pipeline.api.context import (
    LARGEST,
    App,
    Body,
    EndpointName,
    IntegerText,
    Project,
    integer,
    version_number,
)
from endpoints_pipeline.api.models import EndpointBody, parse_definition, request_body
from endpoints_pipeline.api.paths import ORIGINAL_PATH, PREFIX
from endpoints_pipeline.api.publishing import check_change, check_new
from endpoints_pipeline.api.representation import (
    EndpointObject,
    EndpointPage,
    VersionObject,
    answer,
    endpoint_object,
    version_object,
)
from endpoints_pipeline.errors import InvalidInput, NotFound

router = APIRouter(prefix=PREFIX, tags=["endpoints"])

_PAGE_SIZE = 100
_LARGEST_PAGE = 1000
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@router.get("", response_model=EndpointPage)
def list_endpoints(
    request: Request,
    application: App,
    project_id: Project,
    is_active: Annotated[str | None, Query(description="`true` or `false`.")] = None,
    created_by: IntegerText = None,
    limit: IntegerText = None,
    offset: IntegerText = None,
) -> Response:
    """The project's endpoints by name, active and inactive ones, page by page."""
    if created_by:
        raise InvalidInput("created_by is not supported yet: endpoints don't know their authors.", attr="created_by")
    wanted = _boolean(is_active)
    size = min(_count(limit, "limit", least=1, default=_PAGE_SIZE), _LARGEST_PAGE)
    start = _count(offset, "offset", least=0, default=0)
    found, count = application.catalog.endpoints.list(project_id, is_active=wanted, limit=size, offset=start)
    base = application.settings.resolved_public_url + request.scope[ORIGINAL_PATH]
    kept = {"is_active": is_active} if is_active else {}

    def page(offset: int) -> str:
        return f"{base}?{urlencode({**kept, 'limit': size, 'offset': offset})}"

    return answer(
        EndpointPage(
            count=count,
            next=page(start + size) if start + size < count else None,
            previous=page(max(0, start - size)) if start > 0 else None,
            results=[endpoint_object(application.settings, endpoint) for endpoint in found],
        )
    )


@router.post("", status_code=201, response_model=EndpointObject, openapi_extra=request_body(EndpointBody))
def create_endpoint(application: App, project_id: Project, body: Body) -> Response:
    """Publish a query under a name, as version 1."""
    new = check_new(application, parse_definition(EndpointBody, body))
    endpoint = application.catalog.endpoints.create(project_id, new, application.clock())
    return answer(endpoint_object(application.settings, endpoint), 201)


@router.get("/{name}", response_model=VersionObject | EndpointObject)
def retrieve_endpoint(
    application: App, project_id: Project, name: EndpointName, version: IntegerText = None
) -> Response:
    """An endpoint with its current version, or one version of it."""
    number = version_number(version)
    endpoint = application.catalog.endpoints.get(project_id, name, number)
    return answer(endpoint_object(application.settings, endpoint) if number is None else version_object(endpoint))


@router.get("/{name}/versions/{number}", response_model=VersionObject)
def retrieve_version(application: App, project_id: Project, name: EndpointName, number: str) -> Response:
    """One version of an endpoint; the same as `?version=`."""
    version = integer(number)
    if version is None:
        raise NotFound("No such version.")
    return answer(version_object(application.catalog.endpoints.get(project_id, name, version)))


@router.put("/{name}", response_model=VersionObject | EndpointObject, openapi_extra=request_body(EndpointBody))
@router.patch("/{name}", response_model=VersionObject | EndpointObject, openapi_extra=request_body(EndpointBody))
def update_endpoint(
    application: App, project_id: Project, name: EndpointName, body: Body, version: IntegerText = None
) -> Response:
    """Change what the body names, and nothing else; PUT and PATCH are the same."""
    endpoint = application.catalog.endpoints.get(project_id, name)
    wishes = parse_definition(EndpointBody, body)
    if wishes.deleted:
        application.catalog.endpoints.delete(project_id, name, application.clock())
        return Response(b'{"success":true}', media_type="application/json")
    target = wishes.version if wishes.version is not None else version_number(version)
    checked = check_change(application, endpoint, wishes, target)
    updated = application.catalog.endpoints.update(project_id, name, checked.change, application.clock())
    shown = endpoint_object(application.settings, updated) if target is None else version_object(updated)
    if checked.materialization_error:
        shown.materialization_error = checked.materialization_error
    return answer(shown)


@router.delete("/{name}", status_code=204, response_class=Response)
def delete_endpoint(application: App, project_id: Project, name: EndpointName) -> Response:
    """Delete an endpoint with all its versions and snapshots; its name is free again."""
    application.catalog.endpoints.delete(project_id, name, application.clock())
    return Response(status_code=204)


def _boolean(text: str | None) -> bool | None:
    if not text:
        return None
    if text.lower() not in _BOOLEANS:
        raise InvalidInput(f"Must be true or false, got: {text}", attr="is_active")
    return _BOOLEANS[text.lower()]


def _count(text: str | None, attr: str, *, least: int, default: int) -> int:
    if not text:
        return default
    number = integer(text)
    if number is None or not least <= number <= LARGEST:
        raise InvalidInput(f"Must be an integer of at least {least}, got: {text}", attr=attr)
    return number
