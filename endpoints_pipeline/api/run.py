"""Running an endpoint (contract 1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from endpoints_pipeline.api.auth import Access, RunEndpoints
from endpoints_pipeline.api.context import App, Body, EndpointName, IntegerText
from endpoints_pipeline.api.documentation import ErrorObject, Responses, errors
from endpoints_pipeline.api.errors import ApiError, PlainError
from endpoints_pipeline.api.limits import throttle
from endpoints_pipeline.api.models import request_body
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.api.query_status import query_status
from endpoints_pipeline.api.run_answer import RunAccepted, RunAnswer, cache_headers, pieces, response
from endpoints_pipeline.api.run_body import RunBody, RunQueryString, parse_run
from endpoints_pipeline.errors import EndpointsError, InvalidInput, VersionNotFound
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.decision import Path
from endpoints_pipeline.serving.request import Refresh, RunRequest
from endpoints_pipeline.serving.run import Plan

router = APIRouter(prefix=PREFIX, tags=["run"])

_VARIABLE = "variables."
RefreshText = Annotated[str | None, Query(json_schema_extra={"enum": list(Refresh)})]


class RunErrorObject(BaseModel):
    """A number out of its range, or an unknown version: with the current one then."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"error": "Version 9 not found for endpoint 'x'", "current_version": 2}]}
    )

    error: str
    current_version: int | None = None


_RESPONSES: Responses = {
    **errors(400, 413, 415, 500),
    202: {"description": "An asynchronous run was begun: follow its `query_status`.", "model": RunAccepted},
    400: {"description": "The request or the query can't be accepted.", "model": ErrorObject | RunErrorObject},
    404: {"description": "No such endpoint, or no such version of it.", "model": ErrorObject | RunErrorObject},
}
_UNCHANGED: Responses = {304: {"description": "The caller has these rows already (`If-None-Match`)."}}


@router.get(
    "/{name}/run", operation_id="endpoints_run", response_model=RunAnswer, responses={**_RESPONSES, **_UNCHANGED}
)
def run_by_get(
    request: Request,
    application: App,
    access: RunEndpoints,
    name: EndpointName,
    body: Body,
    version: IntegerText = None,
    limit: IntegerText = None,
    offset: IntegerText = None,
    refresh: RefreshText = None,
) -> Response:
    """The endpoint's rows, as with POST. `variables.NAME=` gives a variable's value; `If-None-Match` may save rows."""
    query = RunQueryString(
        {"version": version, "limit": limit, "offset": offset}, refresh=refresh, variables=variable_texts(request)
    )
    plan = _plan(request, application, access, name, body, query)
    if unchanged := _unchanged(application, plan, request.headers):
        return unchanged
    return _answer(application, plan)


@router.post(
    "/{name}/run",
    operation_id="endpoints_run_create",
    response_model=RunAnswer,
    responses=_RESPONSES,
    openapi_extra=request_body(RunBody, required=False),
)
def run_by_post(
    request: Request,
    application: App,
    access: RunEndpoints,
    name: EndpointName,
    body: Body,
    version: IntegerText = None,
    limit: IntegerText = None,
    offset: IntegerText = None,
) -> Response:
    """The endpoint's rows, from its snapshot or from the source; `served` says which and why."""
    query = RunQueryString({"version": version, "limit": limit, "offset": offset})
    return _answer(application, _plan(request, application, access, name, body, query))


def variable_texts(request: Request) -> Mapping[str, str]:
    """The values of variables in a query string: ``variables.NAME=``."""
    sent = request.query_params.items()
    return {key.removeprefix(_VARIABLE): value for key, value in sent if key.startswith(_VARIABLE)}


def _plan(
    request: Request, application: Application, access: Access, name: str, raw: bytes, query: RunQueryString
) -> Plan:
    """The checked run, counted against the caller's limits: those of snapshots are wider (contract 5.3)."""
    try:
        plan = _checked(application, access.project_id, name, raw, query)
    except (ApiError, PlainError, EndpointsError):
        throttle(request, access, materialized=False)
        raise
    throttle(request, access, materialized=plan.decision.path is Path.MATERIALIZED)
    return plan


def _checked(application: Application, project_id: int, name: str, raw: bytes, query: RunQueryString) -> Plan:
    try:
        wanted: RunRequest = parse_run(raw, query)
    except (ApiError, PlainError, InvalidInput) as error:
        # an unknown endpoint comes before anything that is wrong with the request; a good request is spared the look
        application.runner.reject(project_id, name, str(error))
        raise
    try:
        return application.runner.plan(project_id, name, wanted)
    except VersionNotFound as error:
        raise PlainError(404, str(error), current_version=error.current_version) from error


def _answer(application: Application, plan: Plan) -> Response:
    if plan.request.refresh.is_async and not application.runner.has_cached(plan):
        run = application.tracked_runs.start(plan, pieces)
        version = plan.endpoint.version
        accepted = RunAccepted(
            query_status=query_status(run),
            name=plan.endpoint.name,
            execution_id=run.execution_id,
            endpoint_version=version.version,
            endpoint_version_created_at=version.created_at,
        )
        return Response(accepted.model_dump_json(), 202, media_type="application/json")
    return response(application.tracked_runs.answer(plan), now=application.clock())


def _unchanged(application: Application, plan: Plan, sent: Mapping[str, str]) -> Response | None:
    """304 if the caller has the rows already (RFC 9110, 13.1.2)."""
    wanted = sent.get("if-none-match")
    if wanted is None or plan.request.debug or plan.request.refresh.is_async:
        return None
    known = application.runner.known(plan)
    if known is None or not (wanted.strip() == "*" or known.etag in [one.strip() for one in wanted.split(",")]):
        return None
    application.runner.note_unchanged(plan)
    headers = cache_headers(known.etag, known.computed_at, known.fresh_until, application.clock())
    return Response(status_code=304, headers=headers)
