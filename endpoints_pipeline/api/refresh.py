"""Asking for a refresh now: an extension of ours. Dagster does it as soon as it can; the API waits for nobody."""

from __future__ import annotations

from fastapi import APIRouter, Response

from endpoints_pipeline.api.auth import WriteEndpoints
from endpoints_pipeline.api.context import App, Body, EndpointName, VersionText, version_number
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.models import RefreshBody, parse_request, request_body
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.api.representation import MaterializationObject, answer, materialization_object

router = APIRouter(prefix=PREFIX, tags=["materialization"])


@router.post(
    "/{name}/refresh",
    operation_id="endpoints_refresh_create",
    status_code=202,
    response_model=MaterializationObject,
    responses=errors(400, 413, 415, version=True),
    openapi_extra=request_body(RefreshBody, required=False),
)
def refresh_endpoint(
    application: App, access: WriteEndpoints, name: EndpointName, body: Body, version: VersionText = None
) -> Response:
    """Ask for a new snapshot. Asking again before it has begun is the same request."""
    application.catalog.endpoints.get(access.project_id, name)
    wanted = parse_request(RefreshBody, body).version
    number = wanted if wanted is not None else version_number(version)
    target = application.catalog.endpoints.get(access.project_id, name, number).version
    application.catalog.refreshes.request(target.id, "requested", application.clock())
    return answer(materialization_object(target), 202)
