"""What callers may send, as strict models: unknown keys and wrong types are refused (contract 1.15)."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, from_json

from endpoints_pipeline.api.errors import ApiError
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.frequency import FRESHNESS_BUCKETS, WORDS
from endpoints_pipeline.query.materialization import BUCKETS
from endpoints_pipeline.query.variables import VariableType

#: What a range may be rounded to (contract 2.8).

Model = TypeVar("Model", bound=BaseModel)


class StrictBody(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class EndpointBody(StrictBody):
    """Create and update. Every field may be left out; create needs ``name`` and ``query``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "daily_counts",
                    "query": {"kind": "HogQLQuery", "query": "SELECT day, count() AS n FROM events GROUP BY day"},
                    "description": "Events of each day",
                    "data_freshness_seconds": 3600,
                    "is_materialized": True,
                    "tags": ["growth"],
                }
            ]
        }
    )

    name: str | None = Field(None, description="A letter, then letters, digits, `_`, `-`; 128 at most. Never changes.")
    query: dict[str, Any] | None = Field(
        None, description='`{"kind": "HogQLQuery", "query": "SELECT …"}`; a changed query makes a new version.'
    )
    description: str | None = Field(None, description="What the rows are, in words.")
    data_freshness_seconds: int | None = Field(
        None,
        description="How old answers may be; also the refresh period of a materialized endpoint.",
        json_schema_extra={"enum": [*FRESHNESS_BUCKETS, None]},
    )
    cache_age_seconds: float | None = Field(
        None,
        description="An older name for the same, 300 to 86400; null takes it back.",
        json_schema_extra={"minimum": 300, "maximum": 86400},
    )
    sync_frequency: str | None = Field(
        None,
        description="The refresh period as a word; null takes it back.",
        json_schema_extra={"enum": [*WORDS, None]},
    )
    is_active: bool | None = Field(None, description="Inactive endpoints don't answer runs.")
    is_materialized: bool | None = Field(None, description="Keep the result as a snapshot on S3.")
    derived_from_insight: str | None = Field(
        None, description="Create: where the query came from.", json_schema_extra={"maxLength": 12}
    )
    version: int | None = Field(None, description="Update: the version to change instead of the current one.")
    deleted: bool | None = Field(None, description="Update: true deletes the endpoint.")
    tags: list[str] | None = Field(None, description="Replaces the set of tags; `[]` clears it.")
    bucket_overrides: dict[str, str] | None = Field(
        None,
        description="The bucket of each column that a range is taken over; kept while the version is materialized.",
        json_schema_extra={"additionalProperties": {"type": "string", "enum": list(BUCKETS)}},
    )
    optional_breakdown_properties: list[str] | None = Field(
        None, description="Of insights only: SQL has no breakdowns, so anything but an empty list is refused."
    )
    display_name: str | None = Field(None, description="A name for people.", json_schema_extra={"maxLength": 255})


class RefreshBody(StrictBody):
    version: int | None = Field(None, description="The version to refresh instead of the current one.")


class VersionBody(StrictBody):
    # checked by hand: what is wrong with it is said as of the query string's (contract 1.3)
    version: Any = Field(
        None, description="The version to show instead of the current one.", json_schema_extra={"type": "integer"}
    )


class PreviewBody(StrictBody):
    version: int | None = Field(None, description="The version to look at instead of the current one.")
    bucket_overrides: dict[str, str] | None = Field(
        None,
        description="The bucket of each column that a range is taken over.",
        json_schema_extra={"additionalProperties": {"type": "string", "enum": list(BUCKETS)}},
    )


class VariableBody(StrictBody):
    """Create and update of a variable; create needs ``name`` and ``type``."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Event name", "type": "String", "default_value": "$pageview"}]}
    )

    name: str | None = Field(
        None, description="For people; its code name is made of it, once.", json_schema_extra={"maxLength": 400}
    )
    type: str | None = Field(
        None, description="What its values must be.", json_schema_extra={"enum": [*map(str, VariableType)]}
    )
    default_value: Any = Field(None, description="The value of a run that gives none; null is SQL's NULL.")
    values: list[Any] | None = Field(
        None, description="List only: the values to offer to people; runs may give others."
    )
    is_multi: bool | None = Field(None, description="Lists take several values and the others one: nothing to choose.")
    values_query: str | None = Field(None, description="Not supported: must be null or empty.")
    values_query_connection_id: str | None = Field(None, description="Not supported: must be null or empty.")
    id: Any = Field(None, description="Ignored: never changes.")
    code_name: Any = Field(None, description="Ignored: never changes.")
    created_at: Any = Field(None, description="Ignored: never changes.")
    created_by: Any = Field(None, description="Ignored: never changes.")


class ExecutionTimesBody(StrictBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"names": ["daily_counts"]}]})

    names: list[str] = Field(description="Names of endpoints.", max_length=10_000)


def request_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """How OpenAPI shows a body that the handler itself parses: a 404 comes before anything wrong with the body."""
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": model.model_json_schema()}}}
    }


def parse_definition(model: type[Model], body: bytes) -> Model:
    """The body of a create or an update; everything wrong with it is one kind of error (contract 0.2).

    Raises:
        ApiError: 400 ``parse_error``, naming the first fault.
    """
    try:
        return model.model_validate(_decode(body))
    except ValidationError as error:
        fault = _first(error)
        raise _parse_error(f"{_dotted(fault)}: {fault['msg']}") from None


def parse_request(model: type[Model], body: bytes) -> Model:
    """The body of any other request; an empty one is an empty object.

    Raises:
        ApiError: It isn't a JSON object: 400 ``parse_error``.
        InvalidInput: The first field that doesn't fit; ``attr`` is its path.
    """
    try:
        return model.model_validate(_decode(body or b"{}"))
    except ValidationError as error:
        fault = _first(error)
        message = "This field is required." if fault["type"] == "missing" else fault["msg"]
        raise InvalidInput(message, attr=_dotted(fault)) from None


def _decode(body: bytes) -> dict[str, Any]:
    try:
        decoded = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise _parse_error(str(error)) from None
    if not isinstance(decoded, dict):
        raise _parse_error("Input should be an object")
    return decoded


def _first(error: ValidationError) -> ErrorDetails:
    return error.errors(include_url=False, include_input=False, include_context=False)[0]


def _dotted(fault: ErrorDetails) -> str:
    return ".".join(map(str, fault["loc"]))


def _parse_error(reason: str) -> ApiError:
    return ApiError(400, type="invalid_request", code="parse_error", detail=f"JSON parse error - {reason}")
