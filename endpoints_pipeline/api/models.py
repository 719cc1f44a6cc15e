"""What callers may send, as strict models: unknown keys and wrong types are refused (contract 1.6, 1.15)."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, from_json

from endpoints_pipeline.api.errors import ApiError
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.frequency import FRESHNESS_BUCKETS, WORDS

#: Ways to run that wait for the rows, and whether they ask the source itself (contract 3.6, 7).
REFRESH_MODES = {"cache": False, "force": False, "direct": True, "blocking": False, "force_blocking": False}
REFRESH_MODES_TO_COME = ("async", "lazy_async", "force_async", "force_cache")

Model = TypeVar("Model", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class EndpointBody(_Body):
    """Create and update. Every field may be left out; create needs ``name`` and ``query``."""

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
        None, description="An older name for the same, 300 to 86400.", json_schema_extra={"minimum": 300}
    )
    sync_frequency: str | None = Field(
        None, description="The refresh period as a word.", json_schema_extra={"enum": [*WORDS, None]}
    )
    is_active: bool | None = Field(None, description="Inactive endpoints don't answer runs.")
    is_materialized: bool | None = Field(None, description="Keep the result as a snapshot on S3.")
    derived_from_insight: str | None = Field(None, description="Where the query came from; at most 12 characters.")
    version: int | None = Field(None, description="Update: the version to change instead of the current one.")
    deleted: bool | None = Field(None, description="Update: true deletes the endpoint.")
    tags: list[str] | None = Field(None, description="Not supported yet.")
    bucket_overrides: dict[str, str] | None = Field(None, description="Not supported yet.")
    optional_breakdown_properties: list[str] | None = Field(None, description="Not supported yet.")
    display_name: str | None = Field(None, description="Not supported yet.")


class RunBody(_Body):
    """A run. ``version``, ``limit`` and ``offset`` may stand in the query string too; the body wins."""

    variables: dict[str, Any] | None = Field(None, description="Values of the query's variables by code name.")
    refresh: str | None = Field(
        None,
        description="`direct` asks the source of a materialized endpoint instead of its snapshot.",
        json_schema_extra={"enum": [*REFRESH_MODES, None]},
    )
    limit: int | None = Field(None, description="Rows at most.", json_schema_extra={"minimum": 1})
    offset: int | None = Field(None, description="Rows to skip; needs `limit`.", json_schema_extra={"minimum": 0})
    version: int | None = Field(None, description="The version to run instead of the current one.")
    client_query_id: str | None = Field(None, description="A tag of the caller's.")
    filters_override: dict[str, Any] | None = Field(
        None, description="Not for SQL endpoints.", json_schema_extra={"deprecated": True}
    )
    debug: bool | None = Field(None, description="Accepted; there are no debug keys.")


class RefreshBody(_Body):
    version: int | None = Field(None, description="The version to refresh instead of the current one.")


class ExecutionTimesBody(_Body):
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


def check_refresh(word: str | None) -> bool:
    """Whether a ``refresh`` word asks for the source itself.

    Raises:
        InvalidInput: With ``attr="refresh"``.
    """
    if word is None:
        return False
    if word in REFRESH_MODES_TO_COME:
        raise InvalidInput(f"refresh={word} is not supported yet: use cache, force or direct.", attr="refresh")
    if word not in REFRESH_MODES:
        raise InvalidInput(f"Input should be one of: {', '.join(REFRESH_MODES)}", attr="refresh")
    return REFRESH_MODES[word]


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
