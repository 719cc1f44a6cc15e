"""The OpenAPI document of one endpoint, from which typed clients are generated (contract 1.10)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Response

from endpoints_pipeline.api.auth import ReadEndpoints
from endpoints_pipeline.api.column_types import Schema, any_of, json_schema
from endpoints_pipeline.api.context import App, EndpointName, VersionText, version_number
from endpoints_pipeline.api.documentation import errors
from endpoints_pipeline.api.paths import PREFIX
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.variables import VariableType
from endpoints_pipeline.serving.variables import Definition, definitions

router = APIRouter(prefix=PREFIX, tags=["endpoints"])

_SCHEME = "PersonalAPIKey"
_ERROR = {"$ref": "#/components/schemas/Error"}
_VALUES: Mapping[VariableType, Schema] = {
    VariableType.STRING: {"type": "string"},
    VariableType.NUMBER: {"type": "number"},
    VariableType.BOOLEAN: {"type": "boolean"},
    VariableType.DATE: {"type": "string", "format": "date"},
}


@router.get(
    "/{name}/openapi.json",
    operation_id="endpoints_openapi_spec_retrieve",
    response_model=dict[str, Any],
    responses=errors(400, version=True),
)
def endpoint_openapi(
    application: App, access: ReadEndpoints, name: EndpointName, version: VersionText = None
) -> Response:
    """The OpenAPI 3.0 document of one endpoint: its variables, and its rows with a type for each column."""
    endpoint = application.catalog.endpoints.get(access.project_id, name)
    if (number := version_number(version)) is not None:
        endpoint = application.catalog.endpoints.get(access.project_id, name, number)
    defined = definitions(application.catalog, endpoint.project_id, endpoint.version.query)
    found = document(endpoint, list(defined.values()), application.settings.resolved_public_url)
    return Response(orjson.dumps(found), media_type="application/json")


def document(endpoint: Endpoint, variables: Sequence[Definition], server: str) -> Mapping[str, Any]:
    """The document of ``endpoint`` at the version it carries.

    Args:
        endpoint: The endpoint.
        variables: The variables of that version's query.
        server: The address under which callers reach the API.
    """
    version = endpoint.version
    # a snapshot answers no run that leaves a variable out, whatever its default is (contract 2.3)
    all_required = version.snapshot is not None
    required = [variable.code_name for variable in variables if all_required or variable.value is None]
    return {
        "openapi": "3.0.3",
        "info": {
            "title": endpoint.name,
            "description": version.description or f"PostHog Endpoint: {endpoint.name}",
            "version": str(version.version),
        },
        "servers": [{"url": server}],
        "paths": {
            f"/api/projects/{endpoint.project_id}/endpoints/{endpoint.name}/run": {
                "post": _operation(endpoint, required)
            }
        },
        "components": {
            "schemas": {
                "EndpointRunRequest": _request(variables, required),
                **({"Variables": _variables(variables, required)} if variables else {}),
                "DashboardFilter": _DASHBOARD_FILTER,
                "PropertyFilter": _PROPERTY_FILTER,
                "EndpointRunResponse": _answer(version.columns),
                "Error": _ERROR_SCHEMA,
            },
            "securitySchemes": {_SCHEME: {"type": "http", "scheme": "bearer"}},
        },
    }


def row_schema(columns: Sequence[Column]) -> Schema:
    """One row: an array of as many values as there are columns.

    OpenAPI 3.0 has no tuples. So each value fits one of the columns' schemas, and ``x-columns`` says which is whose.
    """
    schemas = [json_schema(column.type) for column in columns]
    formats = {schema.get("format") for schema in _strings(schemas)}
    # a reader that can't tell by the place would take any text for a date that looks like one
    tellable = schemas if len(formats) <= 1 else _without_format(schemas)
    described = [f"{place}. `{column.name}`: {column.type}" for place, column in enumerate(columns, 1)]
    return {
        "type": "array",
        "description": "The values of one row, in the order of the columns:\n\n" + "\n".join(described),
        "items": any_of(tellable),
        "minItems": len(columns),
        "maxItems": len(columns),
        "x-columns": [
            {"name": column.name, "type": column.type, "schema": schema}
            for column, schema in zip(columns, schemas, strict=True)
        ],
    }


def _operation(endpoint: Endpoint, required: Collection[str]) -> Mapping[str, Any]:
    return {
        "operationId": f"run_{endpoint.name.replace('-', '_')}",
        "summary": f"Run {endpoint.name}",
        "security": [{_SCHEME: []}],
        "requestBody": {
            "required": bool(required),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/EndpointRunRequest"}}},
        },
        "responses": {
            "200": {
                "description": "The rows.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/EndpointRunResponse"}}},
            },
            "400": _failure("The request or the query is at fault."),
            "401": _failure("No key, or one that isn't valid."),
            "404": _failure("No such endpoint or version, or it is inactive."),
        },
    }


def _failure(description: str) -> Mapping[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ERROR}}}


def _request(variables: Sequence[Definition], required: Collection[str]) -> Schema:
    properties: Schema = {
        "client_query_id": {"type": "string", "nullable": True, "description": "The caller's own id of the run."},
        "filters_override": {
            "allOf": [{"$ref": "#/components/schemas/DashboardFilter"}],
            "deprecated": True,
            "description": "Not for SQL endpoints: use variables.",
        },
        "refresh": {"type": "string", "enum": ["cache", "force", "direct"], "default": "cache"},
        "version": {"type": "integer", "minimum": 1, "description": "The version to run instead of the current one."},
        "limit": {"type": "integer", "minimum": 1, "description": "Rows at most."},
        "offset": {"type": "integer", "minimum": 0, "description": "Rows to skip; needs limit."},
        "debug": {"type": "boolean", "default": False},
    }
    if variables:
        properties["variables"] = {"$ref": "#/components/schemas/Variables"}
    # an empty list of required names is no valid schema
    return {
        "type": "object",
        "properties": properties,
        **({"required": ["variables"]} if required else {}),
        "additionalProperties": False,
    }


def _variables(variables: Sequence[Definition], required: Sequence[str]) -> Schema:
    properties: Schema = {}
    for variable in variables:
        properties[variable.code_name] = {**_value_schema(variable)}
        if variable.value is not None:
            properties[variable.code_name]["example"] = variable.value
    return {
        "type": "object",
        "description": "Values of the query's variables.",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


def _value_schema(variable: Definition) -> Schema:
    if variable.type is not VariableType.LIST:
        return _VALUES[variable.type]
    first = variable.value[0] if variable.value else ""
    items = "boolean" if isinstance(first, bool) else "number" if isinstance(first, int | float) else "string"
    return {"type": "array", "items": {"type": items}}


def _answer(columns: Sequence[Column]) -> Schema:
    return {
        "type": "object",
        "required": ["results", "columns", "hasMore", "name", "execution_id", "endpoint_version"],
        "properties": {
            "results": {"type": "array", "items": row_schema(columns)},
            "columns": {"type": "array", "items": {"type": "string"}, "example": [column.name for column in columns]},
            "types": {
                "type": "array",
                "description": "Name and ClickHouse type of each column.",
                "items": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
            },
            "hasMore": {"type": "boolean", "description": "There are more rows than these."},
            "name": {"type": "string"},
            "execution_id": {"type": "string"},
            "endpoint_version": {"type": "integer"},
            "endpoint_version_created_at": {"type": "string", "format": "date-time"},
            "endpoint_materialized": {"type": "boolean", "description": "Only there when a snapshot answered."},
            "endpoint_materialized_at": {"type": "string", "format": "date-time", "nullable": True},
            "is_cached": {"type": "boolean"},
            "last_refresh": {"type": "string", "format": "date-time", "nullable": True},
            "limit": {"type": "integer"},
            "offset": {"type": "integer"},
            "served": {"type": "object", "additionalProperties": True, "description": "Which path answered, and why."},
        },
    }


def _strings(value: Any) -> list[Schema]:
    """Every schema of a text, however deep."""
    if isinstance(value, list):
        return [schema for inner in value for schema in _strings(inner)]
    if not isinstance(value, dict):
        return []
    return [value] if value.get("type") == "string" else _strings(list(value.values()))


def _without_format(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_format(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    # a field of a tuple may be named format, too: its schema is no text
    return {
        key: _without_format(inner) for key, inner in value.items() if key != "format" or not isinstance(inner, str)
    }


_ERROR_SCHEMA: Schema = {
    "type": "object",
    "description": "Most errors have type, code and detail; those of numbers and versions have error alone.",
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "attr": {"type": "string", "nullable": True},
        "error": {"type": "string"},
        "current_version": {"type": "integer"},
    },
}
_DASHBOARD_FILTER: Schema = {
    "type": "object",
    "properties": {
        "date_from": {"type": "string", "nullable": True},
        "date_to": {"type": "string", "nullable": True},
        "properties": {"type": "array", "nullable": True, "items": {"$ref": "#/components/schemas/PropertyFilter"}},
    },
}
_PROPERTY_FILTER: Schema = {
    "type": "object",
    "required": ["key"],
    "properties": {
        "key": {"type": "string"},
        "value": {},
        "operator": {"type": "string", "nullable": True},
        "type": {"type": "string"},
    },
}
