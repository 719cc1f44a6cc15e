"""What the OpenAPI document says of errors: each answer that a route can give, with its model and an example."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from endpoints_pipeline.api.examples import BY_MODEL

Responses = dict[int | str, dict[str, Any]]


class ErrorObject(BaseModel):
    """The one shape of nearly every error (contract 0.2). Only the first fault is told."""

    type: str = Field(
        description="`validation_error`, `invalid_request`, `authentication_error`, `throttled_error`, `server_error`."
    )
    code: str = Field(description="For programs; the engine's own name of an error where it has one.")
    detail: str = Field(description="For people.")
    attr: str | None = Field(description="The field at fault, if one is.")


class VersionErrorObject(BaseModel):
    """An unknown version."""

    error: str


def errors(*statuses: int, version: bool = False) -> Responses:
    """The error answers of a route.

    Args:
        statuses: Beside those that every route of a project has (401, 403, 404, 429, 503).
        version: Whether a 404 may be of an unknown version, which has a shape of its own.
    """
    told: Responses = {
        status: {"description": _WORDS[status][0], "model": ErrorObject, "content": _example(*_WORDS[status])}
        for status in sorted({*statuses, 401, 403, 404, 429, 503})
    }
    if version:
        told[404] = {
            "description": "No such endpoint (the first shape), or no such version of it (the second).",
            "model": ErrorObject | VersionErrorObject,
        }
    told[429]["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return told


#: For every route. Without it FastAPI would add a 422 of its own shape, which this API never answers.
ANY_ERROR: Responses = {"default": {"description": "Any other failure.", "model": ErrorObject}}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The application's OpenAPI document with its examples: FastAPI leaves the nulls out of those it is told of."""
    schemas = document["components"]["schemas"]
    for name, example in BY_MODEL.items():
        schemas[name]["examples"] = [example]
    for methods in document["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                for media in answer.get("content", {}).values():
                    if "code" in media.get("example", {}):
                        media["example"].setdefault("attr", None)
    return document


_WORDS: dict[int, tuple[str, str, str, str, str | None]] = {
    400: (
        "Something in the request can't be accepted; nothing was changed.",
        "validation_error",
        "invalid_input",
        "This field is required.",
        "query",
    ),
    401: (
        "No key, or one that isn't valid.",
        "authentication_error",
        "not_authenticated",
        "Authentication credentials were not provided.",
        None,
    ),
    403: (
        "The key may not do this here.",
        "authentication_error",
        "permission_denied",
        "API key missing required scope 'endpoint:read'",
        None,
    ),
    404: ("No such thing in this project.", "invalid_request", "not_found", "Not found.", None),
    405: (
        "Never allowed.",
        "invalid_request",
        "method_not_allowed",
        'Method "POST" not allowed.',
        None,
    ),
    413: (
        "The body is too large.",
        "invalid_request",
        "request_too_large",
        "The body is larger than 10485760 bytes.",
        None,
    ),
    415: (
        "The body isn't declared as JSON.",
        "invalid_request",
        "unsupported_media_type",
        'Unsupported media type "text/plain" in request: send application/json.',
        None,
    ),
    429: (
        "Too many requests, or too many at once.",
        "throttled_error",
        "throttled",
        "Request was throttled. Expected available in 12 seconds.",
        None,
    ),
    500: (
        "ClickHouse failed for a reason of its own.",
        "server_error",
        "LOGICAL_ERROR",
        "Logical error: …",
        None,
    ),
    503: (
        "A part that the answer needs doesn't answer; trying again later may help.",
        "server_error",
        "catalog_unavailable",
        "The catalog's database can't be reached.",
        None,
    ),
}


def _example(_description: str, type_: str, code: str, detail: str, attr: str | None) -> dict[str, Any]:
    return {
        "application/json": {"example": {"type": type_, "code": code, "detail": detail, "attr": attr}},
    }
