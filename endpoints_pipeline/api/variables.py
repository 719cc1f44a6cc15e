"""Variables of a project: ``/insight_variables`` (contract 2.3, 9)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from endpoints_pipeline.api.auth import ReadVariables, WriteVariables
from endpoints_pipeline.api.context import App, Body
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.models import VariableBody, parse_request, request_body
from endpoints_pipeline.api.pages import LimitText, OffsetText, Page, asked_for
from endpoints_pipeline.api.publishing import is_storable
from endpoints_pipeline.api.representation import answer
from endpoints_pipeline.catalog.records import Variable
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.variables import VariableType, bind

router = APIRouter(prefix="/api/projects/{project_id}/insight_variables", tags=["variables"])

_LONGEST_NAME = 400

VariableId = Annotated[str, Path(alias="id", description="The variable's id, a UUID.")]


class VariableObject(BaseModel):
    id: str
    name: str
    type: VariableType
    default_value: Any
    created_by: int | None = Field(description="The id of the user who made it.")
    created_at: datetime
    code_name: str = Field(description="Its name in queries: `{variables.code_name}`. A new name doesn't change it.")
    values: list[Any] | None = Field(description="List: the values to offer to people.")
    is_multi: bool = Field(description="True for a List, which always takes several values.")
    values_query: str | None = Field(description="Always null.")
    values_query_connection_id: str | None = Field(description="Always null.")


class VariablePage(Page[VariableObject]):
    """Variables by name."""


@router.get("", operation_id="insight_variables_list", response_model=VariablePage, responses=errors(400))
def list_variables(
    request: Request, application: App, access: ReadVariables, limit: LimitText = None, offset: OffsetText = None
) -> Response:
    """The project's variables by name."""
    part = asked_for(limit, offset)
    found, count = application.catalog.variables.list(access.project_id, limit=part.limit, offset=part.offset)
    shown = [variable_object(variable) for variable in found]
    return answer(VariablePage(**part.envelope(request, application.settings, count, shown)))


@router.post(
    "",
    operation_id="insight_variables_create",
    status_code=201,
    response_model=VariableObject,
    responses=errors(400, 413, 415),
    openapi_extra=request_body(VariableBody),
)
def create_variable(application: App, access: WriteVariables, body: Body) -> Response:
    """Make a variable. Queries use it as `{variables.code_name}`; the code name is made of its name."""
    sent = parse_request(VariableBody, body)
    if sent.name is None:
        raise InvalidInput("This field is required.", attr="name")
    name = _name(sent.name)
    if sent.type is None:
        raise InvalidInput("This field is required.", attr="type")
    type_ = _type(sent.type)
    _check_values(sent, type_)
    created = application.catalog.variables.create(
        access.project_id,
        name=name,
        type=type_,
        default_value=_default(type_, sent.default_value),
        values=sent.values,
        by=access.user_id,
        now=application.clock(),
    )
    return answer(variable_object(created), 201)


@router.get("/{id}", operation_id="insight_variables_retrieve", response_model=VariableObject, responses=errors())
def retrieve_variable(application: App, access: ReadVariables, variable_id: VariableId) -> Response:
    """One variable."""
    return answer(variable_object(application.catalog.variables.get(access.project_id, variable_id)))


@router.put(
    "/{id}",
    operation_id="insight_variables_update",
    response_model=VariableObject,
    responses=errors(400, 413, 415),
    openapi_extra=request_body(VariableBody, required=False),
)
@router.patch(
    "/{id}",
    operation_id="insight_variables_partial_update",
    response_model=VariableObject,
    responses=errors(400, 413, 415),
    openapi_extra=request_body(VariableBody, required=False),
)
def update_variable(application: App, access: WriteVariables, variable_id: VariableId, body: Body) -> Response:
    """Change what the body names, and nothing else; PUT and PATCH are the same. The code name stays."""
    variable = application.catalog.variables.get(access.project_id, variable_id)
    sent = parse_request(VariableBody, body)
    changes: dict[str, Any] = {}
    if sent.name is not None:
        changes["name"] = _name(sent.name)
    type_ = variable.type if sent.type is None else _type(sent.type)
    _check_values(sent, type_)
    named = sent.model_fields_set
    # a default that fitted the old type may not fit the new one
    default = _default(type_, sent.default_value if "default_value" in named else variable.default_value)
    changes |= {"type": type_, "default_value": default}
    if "values" in named or type_ is not VariableType.LIST:
        changes["values"] = sent.values
    updated = application.catalog.variables.update(
        access.project_id, variable_id, changes=changes, now=application.clock()
    )
    return answer(variable_object(updated))


@router.delete(
    "/{id}",
    operation_id="insight_variables_destroy",
    status_code=204,
    response_class=Response,
    responses=errors(),
)
def delete_variable(application: App, access: WriteVariables, variable_id: VariableId) -> Response:
    """Take a variable away from new queries and free its code name. Endpoints that use it go on working."""
    application.catalog.variables.delete(access.project_id, variable_id, application.clock())
    return Response(status_code=204)


def variable_object(variable: Variable) -> VariableObject:
    return VariableObject(
        id=variable.id,
        name=variable.name,
        type=variable.type,
        default_value=variable.default_value,
        created_by=variable.created_by.id if variable.created_by else None,
        created_at=variable.created_at,
        code_name=variable.code_name,
        values=None if variable.values is None else list(variable.values),
        is_multi=variable.type is VariableType.LIST,
        values_query=None,
        values_query_connection_id=None,
    )


def _name(name: str) -> str:
    if not name.strip():
        raise InvalidInput("This field may not be blank.", attr="name")
    if len(name) > _LONGEST_NAME:
        raise InvalidInput(f"Ensure this field has no more than {_LONGEST_NAME} characters.", attr="name")
    if "\0" in name:
        raise InvalidInput("Null characters are not allowed.", attr="name")
    return name


def _type(word: str) -> VariableType:
    try:
        return VariableType(word)
    except ValueError as error:
        words = ", ".join(VariableType)
        raise InvalidInput(f'"{word}" is not a valid choice: use one of {words}.', attr="type") from error


def _default(type_: VariableType, value: Any) -> Any:
    try:
        bind("default_value", type_, value)
    except InvalidInput as error:
        raise InvalidInput(str(error), attr="default_value") from error
    if not is_storable(value):
        raise InvalidInput("Null characters and infinite numbers are not allowed.", attr="default_value")
    return value


def _check_values(sent: VariableBody, type_: VariableType) -> None:
    """Refuse what would be promised and not kept: options of other types, and the original's further kinds of lists."""
    if sent.values and type_ is not VariableType.LIST:
        raise InvalidInput("Only List variables have values to offer.", attr="values")
    if not all(isinstance(value, str | int | float) for value in sent.values or ()) or not is_storable(sent.values):
        raise InvalidInput("List variable values must be strings or numbers.", attr="values")
    if sent.is_multi is not None and sent.is_multi is not (type_ is VariableType.LIST):
        raise InvalidInput("List variables take several values, the others take one.", attr="is_multi")
    for field in ("values_query", "values_query_connection_id"):
        if (getattr(sent, field) or "").strip():
            raise InvalidInput(f"{field} is not supported: send the values themselves.", attr=field)
