"""Materialization, looked at without changing it: status, preview, and the conditions (contract 1.11, 1.12)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from endpoints_pipeline.api.auth import ReadEndpoints
from endpoints_pipeline.api.context import App, Body, EndpointName, VersionText, version_number
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.models import PreviewBody, parse_request, request_body
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.api.representation import MaterializationObject, answer, materialization_object
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.engine.types import identifier
from endpoints_pipeline.errors import InvalidInput, QueryError
from endpoints_pipeline.query.materialization import ReadPlan
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.publish import check_buckets
from endpoints_pipeline.serving.variables import definitions
from endpoints_pipeline.snapshots.storable import CANNOT_MATERIALIZE
from endpoints_pipeline.snapshots.stored_query import stored_query

router = APIRouter(prefix=PREFIX, tags=["materialization"])

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: The rules of ``eligibility.obstacle``, and of activation (contract 1.4), in words.
CONDITIONS = (
    "The query's kind is HogQLQuery, and its text is one SELECT.",
    "A variable stands in WHERE, compared with a column or an expression of columns by =, >=, >, <, <=, LIKE, ILIKE, "
    "NOT LIKE, NOT ILIKE, BETWEEN or IN, and its condition is joined to the others by AND. A condition that may be "
    "left out is written {variables.x} = '' OR column = {variables.x}.",
    "One variable is compared with one column, and stands in one CTE, one subquery or the outermost SELECT alone. "
    "UNION ALL may repeat it in each of its queries.",
    "What stands around a CTE or subquery with a variable filters, lists or groups its rows: no LIMIT inside of it, no "
    "LEFT JOIN, no window function. It may group itself only where its variables are compared by =.",
    "An aggregate function over rows that are filtered by anything but = can be put together from those of parts: "
    "count, sum, min, max, avg, uniq, quantile and the like can, groupArray and any can't.",
    "Each column of the result has a name of its own. Name columns apart with AS.",
    "Parquet can hold each column: no AggregateFunction, Dynamic, Object, QBit, Variant or empty Tuple, and no "
    "Geometry inside of another type. Finish aggregates, or convert the column, for example with toString.",
    "The endpoint and the version are active.",
)
_REWRITE_CONTRACT = (
    "A rewritten query must give the same columns and the same rows as before, for every value of its variables. "
    "Keep each placeholder as it is. Update the endpoint with the new query, then ask materialization_status."
)


class StatusObject(MaterializationObject):
    """The ``materialization`` of an endpoint, with its name."""

    name: str


class RangePair(BaseModel):
    """Variables that are the ends of a range over a bucketed column."""

    column: str
    variables: list[str]
    bucket_fn: str | None = Field(description="What the column is rounded down by; null if it is kept as it is.")


class Aggregate(BaseModel):
    """An aggregate of the query, and what puts its partial results together."""

    expression: str
    reaggregate_fn: str | None


class PreviewObject(BaseModel):
    """What materializing would do. Every key is always there."""

    can_materialize: bool
    reason: str | None = Field(description="Why it can't be materialized.")
    transformed_query: str | None = Field(description="The query whose result a snapshot holds.")
    execution_query: str | None = Field(
        description="What a run reads from the snapshot, which is shown as a table named `{endpoint}_v{version}`."
    )
    display_execution_query: str | None = Field(description="The same, for people.")
    range_pairs: list[RangePair]
    aggregates: list[Aggregate]


class ConditionsObject(BaseModel):
    conditions: list[str] = Field(description="What must hold for a query to be materialized, one rule each.")
    conditions_source: str = Field(description="The same as one text.")
    rewrite_contract: str = Field(description="What a rewrite of a rejected query must keep.")


@router.get(
    "/materialization_conditions",
    operation_id="endpoints_materialization_conditions_retrieve",
    response_model=ConditionsObject,
    responses=errors(),
)
def materialization_conditions(access: ReadEndpoints) -> Response:
    """What a query must be like to be materialized, in words: for people and agents who rewrite one."""
    text = "\n".join(f"{number}. {condition}" for number, condition in enumerate(CONDITIONS, 1))
    return answer(
        ConditionsObject(conditions=list(CONDITIONS), conditions_source=text, rewrite_contract=_REWRITE_CONTRACT)
    )


@router.get(
    "/{name}/materialization_status",
    operation_id="endpoints_materialization_status_retrieve",
    response_model=StatusObject,
    responses=errors(400, version=True),
)
def materialization_status(
    application: App, access: ReadEndpoints, name: EndpointName, version: VersionText = None
) -> Response:
    """How far the materialization of the current version, or of `version`, has come."""
    endpoint = application.catalog.endpoints.get(access.project_id, name)
    if (number := version_number(version)) is not None:
        endpoint = application.catalog.endpoints.get(access.project_id, name, number)
    found = materialization_object(endpoint.version)
    return answer(StatusObject(name=name, **found.model_dump(exclude_unset=True)))


@router.post(
    "/{name}/materialization_preview",
    operation_id="endpoints_materialization_preview_create",
    response_model=PreviewObject,
    responses=errors(400, 413, 415, version=True),
    openapi_extra=request_body(PreviewBody, required=False),
)
def materialization_preview(
    application: App, access: ReadEndpoints, name: EndpointName, body: Body, version: VersionText = None
) -> Response:
    """What materializing the current version, or `version`, would keep and how runs would read it; changes nothing."""
    endpoint = application.catalog.endpoints.get(access.project_id, name)
    sent = parse_request(PreviewBody, body)
    number = sent.version if sent.version is not None else version_number(version)
    check_buckets(sent.bucket_overrides)
    if number is not None:
        endpoint = application.catalog.endpoints.get(access.project_id, name, number)
    overrides = sent.bucket_overrides if sent.bucket_overrides is not None else endpoint.version.bucket_overrides
    return answer(_preview(application, endpoint, overrides or {}))


def _preview(application: Application, endpoint: Endpoint, overrides: Mapping[str, str]) -> PreviewObject:
    version = endpoint.version
    defined = definitions(application.catalog, endpoint.project_id, version.query)
    types = {name: one.type for name, one in defined.items()}
    try:
        stored = stored_query(application.sources, endpoint.project_id, version.sql, types, overrides)
    except (InvalidInput, QueryError) as error:
        return _refused(str(error).removeprefix(CANNOT_MATERIALIZE))
    plan = stored.plan
    execution = shown_read(endpoint, plan.read if plan else None)
    return PreviewObject(
        can_materialize=True,
        reason=None,
        transformed_query=plan.stored_sql if plan else version.sql,
        execution_query=execution,
        display_execution_query=execution,
        range_pairs=[
            RangePair(column=pair.column, variables=[*pair.variables], bucket_fn=pair.bucket_fn)
            for pair in (plan.range_pairs if plan else ())
        ],
        aggregates=[
            Aggregate(expression=one.expression, reaggregate_fn=one.reaggregate_fn)
            for one in (plan.aggregates if plan else ())
        ],
    )


def _refused(reason: str) -> PreviewObject:
    return PreviewObject(
        can_materialize=False,
        reason=reason,
        transformed_query=None,
        execution_query=None,
        display_execution_query=None,
        range_pairs=[],
        aggregates=[],
    )


def shown_read(endpoint: Endpoint, plan: ReadPlan | None) -> str:
    """What a run asks of a snapshot, which is shown as a table named ``{endpoint}_v{version}``."""
    table = _quoted(f"{endpoint.name}_v{endpoint.version.version}")
    if plan is not None:
        return f"WITH snapshot AS (SELECT * FROM {table}) {plan.execution_sql}"
    return f"SELECT {', '.join(_quoted(column.name) for column in endpoint.version.columns)} FROM {table}"


def _quoted(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else identifier(name)
