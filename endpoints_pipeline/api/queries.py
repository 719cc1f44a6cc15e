"""Runs that can be followed: their state, their answer, and how to cancel them (contract 10.12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from endpoints_pipeline.api.auth import ReadQueries, RunEndpoints
from endpoints_pipeline.api.context import App
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.limits import throttle
from endpoints_pipeline.api.query_status import QueryStatus, query_status
from endpoints_pipeline.catalog.records import RunState

router = APIRouter(prefix="/api/projects/{project_id}/query", tags=["run"])

QueryId = Annotated[str, Path(description="The run's `query_status.id`, or its `client_query_id`.")]


class QueryStatusAnswer(BaseModel):
    query_status: QueryStatus


@router.get(
    "/{query_id}",
    operation_id="query_retrieve",
    response_model=QueryStatusAnswer,
    responses={**errors(), 202: {"description": "It goes on.", "model": QueryStatusAnswer}},
)
def query_state(application: App, access: ReadQueries, query_id: QueryId) -> Response:
    """How far a run has come: 202 while it goes on, 200 with its answer in `results` once it is complete."""
    run = application.tracked_runs.get(access.project_id, query_id)
    status = QueryStatusAnswer(query_status=query_status(run))
    if run.state is RunState.RUNNING:
        return Response(status.model_dump_json(), 202, media_type="application/json")
    if run.result_key is None:
        return Response(status.model_dump_json(), media_type="application/json")
    # the first piece is asked for here: if S3 fails, that is an error and no broken answer
    answer = application.tracked_runs.result(run)
    first = next(answer, b"null")
    return StreamingResponse(_with_results(status, first, answer), media_type="application/json")


@router.delete(
    "/{query_id}", operation_id="query_destroy", status_code=204, response_class=Response, responses=errors()
)
def cancel_query(request: Request, application: App, access: RunEndpoints, query_id: QueryId) -> Response:
    """Cancel a run that goes on; one that has ended stays as it is."""
    throttle(request, access, materialized=False)
    application.tracked_runs.cancel(access.project_id, query_id)
    return Response(status_code=204)


def _with_results(status: QueryStatusAnswer, first: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
    """The status with the answer spliced in: nobody parses it on the way."""
    told = status.query_status.model_dump_json(exclude={"results"}).encode()
    yield b'{"query_status":' + told[:-1] + b',"results":'
    yield first
    yield from more
    yield b"}}"
