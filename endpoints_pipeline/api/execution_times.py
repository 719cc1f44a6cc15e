"""When endpoints were last executed, by a caller's run or by a refresh (contract 4)."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from endpoints_pipeline.api.auth import ReadEndpoints
from endpoints_pipeline.api.context import App, Body
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.models import ExecutionTimesBody, parse_request, request_body
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.catalog.records import ExecutionKind
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.serving.publish import check_name

router = APIRouter(prefix=PREFIX, tags=["endpoints"])

#: The six months that the answer looks back, at their longest.
WINDOW = timedelta(days=184)


class ExecutionTimesStatus(BaseModel):
    """The status object of the original's asynchronous queries; here the answer is always complete."""

    complete: bool = True
    dashboard_id: int | None = None
    end_time: datetime | None = None
    error: bool = False
    error_message: str | None = None
    expiration_time: datetime | None = None
    id: str = ""
    insight_id: int | None = None
    labels: list[str] | None = None
    pickup_time: datetime | None = None
    query_async: bool = True
    query_progress: None = None
    results: list[tuple[str, datetime]] | None = Field(description="Name and time of each endpoint that has one.")
    start_time: datetime | None = None
    task_id: str | None = None
    team_id: int


class ExecutionTimes(BaseModel):
    query_status: ExecutionTimesStatus
    kinds: dict[str, ExecutionKind] = Field(description="Which kind each endpoint's newest execution was.")


@router.post(
    "/last_execution_times",
    operation_id="endpoints_last_execution_times_create",
    response_model=ExecutionTimes,
    responses=errors(400, 413, 415),
    openapi_extra=request_body(ExecutionTimesBody),
)
def last_execution_times(application: App, access: ReadEndpoints, body: Body) -> Response:
    """The newest execution in six months of each named endpoint; names without one are left out.

    A run counts once its request was accepted, also when it then failed or was answered from the cache. A refresh
    counts, too. Times are exact.
    """
    names = parse_request(ExecutionTimesBody, body).names
    for name in names:
        _check(name)
    found = application.catalog.executions.last(access.project_id, names, application.clock() - WINDOW) if names else []
    status = ExecutionTimesStatus(
        results=[(execution.name, execution.started_at) for execution in found] if names else None,
        team_id=access.project_id,
    )
    times = ExecutionTimes(query_status=status, kinds={execution.name: execution.kind for execution in found})
    return Response(times.model_dump_json(), media_type="application/json")


def _check(name: str) -> None:
    try:
        check_name(name)
    except InvalidInput as error:
        raise InvalidInput(f"Invalid endpoint name: {name}", attr="names") from error
