"""Which path a run would take, and why, without running it (contract 3.6)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from endpoints_pipeline.api.auth import Access, ExplainRuns
from endpoints_pipeline.api.context import App, Body, EndpointName, IntegerText
from endpoints_pipeline.api.documentation import ErrorObject, Responses, errors
from endpoints_pipeline.api.errors import PlainError
from endpoints_pipeline.api.materialization import shown_read
from endpoints_pipeline.api.models import request_body
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.api.representation import answer
from endpoints_pipeline.api.run import RefreshText, RunErrorObject, variable_texts
from endpoints_pipeline.api.run_answer import ServedObject, served_object
from endpoints_pipeline.api.run_body import RunBody, RunQueryString, parse_run
from endpoints_pipeline.errors import VersionNotFound
from endpoints_pipeline.serving.answer import told
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.decision import Path
from endpoints_pipeline.serving.run import Plan

router = APIRouter(prefix=PREFIX, tags=["run"])

_RESPONSES: Responses = {
    **errors(400, 413, 415),
    400: {"description": "A run would refuse the request.", "model": ErrorObject | RunErrorObject},
    404: {"description": "No such endpoint, or no such version of it.", "model": ErrorObject | RunErrorObject},
}


class StepObject(BaseModel):
    """A condition for answering from the snapshot."""

    condition: str = Field(description="`materialized`, `has_snapshot`, `not_direct`, `fresh`, `values_stored`.")
    holds: bool
    detail: str


class ExplainObject(BaseModel):
    """What a run would do now."""

    name: str
    served: ServedObject = Field(description="As a run's answer would have it, if reading does not fail.")
    steps: list[StepObject] = Field(
        description="The conditions in the order in which they were looked at, to the first that doesn't hold."
    )
    required_variables: list[str] = Field(description="Those that each run must give, and not as null.")
    query: str = Field(
        description="The text that would run, with its placeholders: the version's, or the read of the snapshot, which "
        "is shown as a table named `{endpoint}_v{version}`."
    )


@router.get(
    "/{name}/explain", operation_id="endpoints_explain_retrieve", response_model=ExplainObject, responses=_RESPONSES
)
def explain_by_get(
    request: Request,
    application: App,
    access: ExplainRuns,
    name: EndpointName,
    body: Body,
    version: IntegerText = None,
    limit: IntegerText = None,
    offset: IntegerText = None,
    refresh: RefreshText = None,
) -> Response:
    """Which path the same GET on `run` would take, and why. Nothing is run."""
    query = RunQueryString(
        {"version": version, "limit": limit, "offset": offset}, refresh=refresh, variables=variable_texts(request)
    )
    return _explain(application, access, name, body, query)


@router.post(
    "/{name}/explain",
    operation_id="endpoints_explain_create",
    response_model=ExplainObject,
    responses=_RESPONSES,
    openapi_extra=request_body(RunBody, required=False),
)
def explain_by_post(
    application: App,
    access: ExplainRuns,
    name: EndpointName,
    body: Body,
    version: IntegerText = None,
    limit: IntegerText = None,
    offset: IntegerText = None,
) -> Response:
    """Which path the same POST on `run` would take, and why. Nothing is run."""
    return _explain(
        application, access, name, body, RunQueryString({"version": version, "limit": limit, "offset": offset})
    )


def _explain(application: Application, access: Access, name: str, raw: bytes, query: RunQueryString) -> Response:
    application.catalog.endpoints.get(access.project_id, name)  # an unknown one comes before a bad request
    try:
        plan = application.runner.explain(access.project_id, name, parse_run(raw, query))
    except VersionNotFound as error:
        raise PlainError(404, str(error), current_version=error.current_version) from error
    cached = application.runner.has_cached(plan)
    return answer(
        ExplainObject(
            name=name,
            served=served_object(told(plan.endpoint.version, plan.decision, cached=cached)),
            steps=[
                StepObject(condition=step.condition, holds=step.holds, detail=step.detail)
                for step in plan.decision.steps
            ],
            required_variables=sorted(plan.bounds) if plan.endpoint.version.snapshot else [],
            query=_query(plan),
        )
    )


def _query(plan: Plan) -> str:
    snapshot = plan.decision.snapshot
    if plan.decision.path is Path.MATERIALIZED and snapshot is not None:
        return shown_read(plan.endpoint, snapshot.read_plan)
    return plan.endpoint.version.sql
