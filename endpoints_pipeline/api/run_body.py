"""What callers may send when they run an endpoint, by body or query string (contract 1.6, 7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field
from pydantic.config import JsonDict

from endpoints_pipeline.api.context import LARGEST, integer
from endpoints_pipeline.api.errors import PlainError
from endpoints_pipeline.api.models import StrictBody, parse_request
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.serving.request import Refresh, RunRequest

_SMALLEST = {"version": 1, "limit": 1, "offset": 0}
_QUERY_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_REFRESH_SCHEMA: JsonDict = {"enum": [*map(str, Refresh), None]}


class RunBody(StrictBody):
    """A run. ``version``, ``limit`` and ``offset`` may stand in the query string too; the body wins."""

    variables: dict[str, Any] | None = Field(
        None, description="Values of the query's variables by code name; null is SQL's NULL."
    )
    variables_values: dict[str, Any] | None = Field(None, description="An older name for `variables`.")
    variables_override: dict[str, Any] | None = Field(
        None, description="Definitions `{value, isNull}` by variable id or code name; `variables` wins."
    )
    refresh: str | None = Field(
        None,
        description="`cache` (`blocking`): a cached result if there is one that is fresh enough. `force` "
        "(`force_blocking`): compute anew. `direct`: ask the source of a materialized endpoint, not its snapshot. "
        "`async`, `lazy_async`, `force_async`: the same without waiting; follow `query_status`. `force_cache`: what is "
        "cached, or `results: null`.",
        json_schema_extra=_REFRESH_SCHEMA,
    )
    limit: int | None = Field(None, description="Rows at most.", json_schema_extra={"minimum": 1})
    offset: int | None = Field(None, description="Rows to skip; needs `limit`.", json_schema_extra={"minimum": 0})
    version: int | None = Field(None, description="The version to run instead of the current one.")
    client_query_id: str | None = Field(
        None, description="An id of the caller's, by which the run can be followed and cancelled while it goes on."
    )
    filters_override: dict[str, Any] | None = Field(
        None, description="Not for SQL endpoints.", json_schema_extra={"deprecated": True}
    )
    debug: bool | None = Field(None, description="Tell how the answer was made.")


@dataclass(frozen=True, slots=True)
class RunQueryString:
    """What the query string says; the body wins over each of them."""

    numbers: Mapping[str, str | None]
    refresh: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def parse_run(raw: bytes, query: RunQueryString) -> RunRequest:
    """The request of a run.

    Raises:
        ApiError: The body isn't a JSON object.
        InvalidInput: A field that doesn't fit; ``attr`` is its path.
        PlainError: A number out of its range.
    """
    body = parse_request(RunBody, raw)
    refresh = _refresh(body.refresh if body.refresh is not None else query.refresh)
    version = _number("version", body.version, query.numbers["version"])
    limit = _number("limit", body.limit, query.numbers["limit"])
    offset = _number("offset", body.offset, query.numbers["offset"])
    if offset is not None and limit is None:
        raise PlainError(400, "offset requires limit to be set")
    return RunRequest(
        version=version,
        refresh=refresh,
        limit=limit,
        offset=offset or 0,
        variables={**(body.variables_values or {}), **(body.variables or {})},
        variable_texts=query.variables,
        variables_override=body.variables_override or {},
        filters_override=body.filters_override,
        client_query_id=_query_id(body.client_query_id),
        debug=bool(body.debug),
    )


def _refresh(word: str | None) -> Refresh:
    if word is None:
        return Refresh.CACHE
    if word not in list(Refresh):
        raise InvalidInput(f"Input should be one of: {', '.join(Refresh)}", attr="refresh")
    return Refresh(word)


def _number(parameter: str, sent: int | None, text: str | None) -> int | None:
    if sent is None and text is None:
        return None
    number = sent if sent is not None else integer(text or "")
    if number is None or number < _SMALLEST[parameter] or (number > LARGEST and parameter != "version"):
        raise PlainError(400, f"Invalid {parameter} parameter: {text if sent is None else sent}")
    return number


def _query_id(text: str | None) -> str | None:
    if text and not _QUERY_ID.fullmatch(text):
        raise InvalidInput(
            "Must be at most 128 letters, digits and characters of '_', '.', ':' and '-'.", attr="client_query_id"
        )
    return text or None
