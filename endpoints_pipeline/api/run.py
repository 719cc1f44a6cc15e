"""Running an endpoint: the request's checks, in the contract's order (1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from endpoints_pipeline.api.context import (
    LARGEST,
    App,
    Body,
    EndpointName,
    IntegerText,
    Project,
    integer,
)
from endpoints_pipeline.api.errors import ApiError, PlainError
from endpoints_pipeline.api.models import RunBody, check_refresh, parse_request, request_body
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.api.run_answer import RunAnswer, spliced
from endpoints_pipeline.errors import InvalidInput, NotFound, VersionNotFound
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.decision import decide
from endpoints_pipeline.serving.run import RunRequest

router = APIRouter(prefix=PREFIX, tags=["endpoints"])

_SMALLEST = {"version": 1, "limit": 1, "offset": 0}
_VARIABLE = "variables."


@dataclass(frozen=True, slots=True)
class _QueryString:
    """What the query string says; the body wins over each of them."""

    numbers: Mapping[str, str | None]
    refresh: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@router.get("/{name}/run", response_model=RunAnswer)
def run_by_get(
    request: Request,
    application: App,
    project_id: Project,
    name: EndpointName,
    body: Body,
    version: IntegerText = None,
    limit: IntegerText = None,
    offset: IntegerText = None,
    refresh: Annotated[str | None, Query()] = None,
) -> Response:
    """The endpoint's rows, as with POST."""
    variables = {key: value for key, value in request.query_params.items() if key.startswith(_VARIABLE)}
    query = _QueryString(
        {"version": version, "limit": limit, "offset": offset},
        refresh=refresh,
        variables={key.removeprefix(_VARIABLE): value for key, value in variables.items()},
    )
    return _run(application, project_id, name, body, query)


@router.post("/{name}/run", response_model=RunAnswer, openapi_extra=request_body(RunBody, required=False))
def run_by_post(
    application: App,
    project_id: Project,
    name: EndpointName,
    body: Body,
    version: IntegerText = None,
    limit: IntegerText = None,
    offset: IntegerText = None,
) -> Response:
    """The endpoint's rows, from its snapshot or from the source; `served` says which and why."""
    return _run(
        application, project_id, name, body, _QueryString({"version": version, "limit": limit, "offset": offset})
    )


def _run(application: Application, project_id: int, name: str, raw: bytes, query: _QueryString) -> Response:
    try:
        body = parse_request(RunBody, raw)
        wanted = _wanted(body, query)
    except (ApiError, PlainError, InvalidInput):
        # an unknown endpoint comes before anything that is wrong with the request; a good request is spared the look
        _require_runnable(application, project_id, name)
        raise
    try:
        _refuse_inputs(application, project_id, name, wanted, body, query)
        found = application.runner.run(project_id, name, wanted)
    except VersionNotFound as error:
        _require_runnable(application, project_id, name)
        raise PlainError(404, str(error), current_version=error.current_version) from error
    return spliced(found, wanted)


def _require_runnable(application: Application, project_id: int, name: str) -> None:
    if not application.catalog.endpoints.get(project_id, name).is_active:
        raise NotFound(f"Endpoint '{name}' is inactive.")


def _wanted(body: RunBody, query: _QueryString) -> RunRequest:
    direct = check_refresh(body.refresh if body.refresh is not None else query.refresh)
    version = _number("version", body.version, query.numbers["version"])
    limit = _number("limit", body.limit, query.numbers["limit"])
    offset = _number("offset", body.offset, query.numbers["offset"])
    if offset is not None and limit is None:
        raise PlainError(400, "offset requires limit to be set")
    return RunRequest(version=version, direct=direct, limit=limit, offset=offset or 0)


def _number(parameter: str, sent: int | None, text: str | None) -> int | None:
    if sent is None and text is None:
        return None
    number = sent if sent is not None else integer(text or "")
    if number is None or number < _SMALLEST[parameter] or (number > LARGEST and parameter != "version"):
        raise PlainError(400, f"Invalid {parameter} parameter: {text if sent is None else sent}")
    return number


def _refuse_inputs(
    application: Application, project_id: int, name: str, wanted: RunRequest, body: RunBody, query: _QueryString
) -> None:
    """Refuse values that no query takes, where the contract's order says so: after all that is the version's state."""
    variables = {**query.variables, **(body.variables or {})}
    if not variables and not body.filters_override:
        return
    endpoint = application.catalog.endpoints.get(project_id, name, wanted.version)
    if not endpoint.is_active or not endpoint.version.is_active:
        return  # the runner says so
    if body.filters_override:
        raise InvalidInput("Not allowed for HogQL endpoints. Use variables instead.", attr="filters_override")
    decide(endpoint.version, direct=wanted.direct, now=application.clock())
    raise InvalidInput(f"Unknown variable(s): {', '.join(sorted(variables))}", attr="variables")
