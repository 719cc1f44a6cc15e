"""Versions of an endpoint: list them, show and change one (contract 1.8)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import WithJsonSchema

from endpoints_pipeline.api.auth import ReadEndpoints, WriteEndpoints
from endpoints_pipeline.api.context import App, Body, EndpointName, integer
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.endpoints import ActiveText, AuthorText, active, author, update
from endpoints_pipeline.api.models import EndpointBody, parse_definition, request_body
from endpoints_pipeline.api.pages import LimitText, OffsetText, asked_for
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.api.representation import VersionObject, VersionPage, answer, version_object
from endpoints_pipeline.errors import InvalidInput, NotFound

Number = Annotated[str, Path(description="The version."), WithJsonSchema({"type": "integer"})]

router = APIRouter(prefix=f"{PREFIX}/{{name}}/versions", tags=["versions"])


@router.get("", operation_id="endpoints_versions_list", response_model=VersionPage, responses=errors(400))
def list_versions(
    request: Request,
    application: App,
    access: ReadEndpoints,
    name: EndpointName,
    is_active: ActiveText = None,
    created_by: AuthorText = None,
    limit: LimitText = None,
    offset: OffsetText = None,
) -> Response:
    """An endpoint's versions, the newest first; of inactive endpoints too. The filters are about the versions."""
    application.catalog.endpoints.get(access.project_id, name)
    part = asked_for(limit, offset)
    found, count = application.catalog.endpoints.versions(
        access.project_id,
        name,
        is_active=active(is_active),
        created_by=author(created_by),
        limit=part.limit,
        offset=part.offset,
    )
    shown = [version_object(version) for version in found]
    return answer(VersionPage(**part.envelope(request, application.settings, count, shown)))


@router.get(
    "/{number}",
    operation_id="endpoints_versions_retrieve",
    response_model=VersionObject,
    responses=errors(version=True),
)
def retrieve_version(application: App, access: ReadEndpoints, name: EndpointName, number: Number) -> Response:
    """One version of an endpoint; the same as `?version=`."""
    return answer(version_object(application.catalog.endpoints.get(access.project_id, name, _version(number))))


@router.put(
    "/{number}",
    operation_id="endpoints_versions_update",
    response_model=VersionObject,
    responses=errors(400, 413, 415),
    openapi_extra=request_body(EndpointBody),
)
@router.patch(
    "/{number}",
    operation_id="endpoints_versions_partial_update",
    response_model=VersionObject,
    responses=errors(400, 413, 415),
    openapi_extra=request_body(EndpointBody),
)
def update_version(
    application: App, access: WriteEndpoints, name: EndpointName, number: Number, body: Body
) -> Response:
    """Change one version; the same as an update of the endpoint with that `version`."""
    version = _version(number)
    endpoint = application.catalog.endpoints.get(access.project_id, name)
    wishes = parse_definition(EndpointBody, body)
    if wishes.deleted:
        raise InvalidInput("Versions can't be deleted: delete the endpoint, or deactivate the version.", attr="deleted")
    if wishes.version not in (None, version):
        raise InvalidInput(f"The path names version {version}, the body version {wishes.version}.", attr="version")
    return update(application, endpoint, wishes, version, by=access.user_id)


def _version(text: str) -> int:
    # a path that spells no number is just a path where nothing is
    number = integer(text)
    if number is None:
        raise NotFound("No such version.")
    return number
