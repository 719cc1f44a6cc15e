"""Errors as answers, in the contract's two families (0.2): one flat object, or ``{"error": …}`` on a few routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from endpoints_pipeline.errors import (
    CatalogUnavailable,
    EndpointsError,
    EngineBusy,
    EngineError,
    EngineUnavailable,
    InvalidInput,
    NotFound,
    QueryError,
    QueryLimitExceeded,
    RunCancelled,
    SourceNotReady,
    StorageUnavailable,
    TooManyRuns,
    VersionNotFound,
)
from endpoints_pipeline.settings import Settings

_log = structlog.get_logger(__name__)

#: Seconds after which a caller who found every handle taken may try again; it has waited ENGINE_HANDLE_TIMEOUT already.
RETRY_AFTER = 2


class ApiError(Exception):
    """An answer of the flat family that no error of the layers below stands for."""

    def __init__(
        self,
        status: int,
        *,
        type: str,
        code: str,
        detail: str,
        attr: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.type = type
        self.code = code
        self.detail = detail
        self.attr = attr
        self.headers = headers


class PlainError(Exception):
    """An answer of the ``{"error": …}`` family."""

    def __init__(self, status: int, error: str, **more: object) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, **more}


def scrubber(settings: Settings) -> Callable[[str], str]:
    """A function that blots out every secret of the settings: a last guard before a text leaves the process."""
    secrets = {settings.s3_secret_key.get_secret_value(), settings.api_key.get_secret_value()}
    storage = settings.rate_limit_storage.get_secret_value()
    for dsn in (settings.engine_dsn.get_secret_value(), settings.resolved_catalog_dsn, storage):
        password = urlsplit(dsn).password
        if password:
            secrets |= {password, unquote(password)}

    def scrub(text: str) -> str:
        for secret in secrets - {""}:
            text = text.replace(secret, "***")
        return text

    return scrub


def install(app: FastAPI, scrub: Callable[[str], str]) -> None:
    """Answer every error of ``app`` in the contract's shapes; ``scrub`` is applied to what other systems said."""

    async def own(request: Request, error: Exception) -> Response:
        if isinstance(error, ApiError):
            return _flat(error)
        told = translate(error, scrub)
        if told.status >= 500:
            _log.error("a request failed", path=request.url.path, kind=type(error).__name__, error=told.detail)
        return _flat(told)

    async def plain(_request: Request, error: Exception) -> Response:
        assert isinstance(error, PlainError)
        return _json(error.status, error.body)

    async def version_not_found(_request: Request, error: Exception) -> Response:
        assert isinstance(error, VersionNotFound)
        return _json(404, {"error": f"Version {error.version} not found"})

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _flat(_of_framework(request, error))

    async def unhandled(_request: Request, _error: Exception) -> Response:
        # the traceback is for the log alone: Starlette raises the error again after this answer, and the server logs it
        return _flat(ApiError(500, type="server_error", code="error", detail="A server error occurred."))

    app.add_exception_handler(ApiError, own)
    app.add_exception_handler(PlainError, plain)
    app.add_exception_handler(VersionNotFound, version_not_found)
    app.add_exception_handler(EndpointsError, own)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unhandled)


def translate(error: Exception, scrub: Callable[[str], str]) -> ApiError:
    """What the caller is told of an error of the layers below (contract 0.2, 1.6)."""
    detail = scrub(str(error))
    match error:
        case NotFound():
            return not_found()
        case InvalidInput():
            return ApiError(400, type="validation_error", code=error.code, detail=detail, attr=error.attr)
        case QueryError():
            return ApiError(400, type="validation_error", code=error.engine_name or "invalid_input", detail=detail)
        case QueryLimitExceeded():
            return ApiError(400, type="server_error", code=error.limit, detail=detail)
        case RunCancelled():
            return ApiError(400, type="validation_error", code="query_was_cancelled", detail=detail)
        case EngineBusy():
            return ApiError(
                503,
                type="server_error",
                code="query_capacity",
                detail=detail,
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        case TooManyRuns():
            return ApiError(
                429,
                type="throttled_error",
                code="throttled",
                detail="Too many concurrent requests. Please try again later.",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        case EngineUnavailable():
            return ApiError(503, type="server_error", code="engine_unavailable", detail=detail)
        case CatalogUnavailable():
            return ApiError(503, type="server_error", code="catalog_unavailable", detail=detail)
        case SourceNotReady():
            return ApiError(503, type="server_error", code="source_not_ready", detail=detail)
        case StorageUnavailable():
            return ApiError(503, type="server_error", code="storage_unavailable", detail=detail)
        case EngineError():
            return ApiError(500, type="server_error", code=error.engine_name or "error", detail=detail)
        case _:
            return ApiError(500, type="server_error", code="error", detail=detail)


def not_found() -> ApiError:
    # always the same words: whether a name exists elsewhere is nobody's business (contract 10.16)
    return ApiError(404, type="invalid_request", code="not_found", detail="Not found.")


def _of_framework(request: Request, error: HTTPException) -> ApiError:
    if error.status_code == 404:
        return not_found()
    if error.status_code == 405:
        return ApiError(
            405,
            type="invalid_request",
            code="method_not_allowed",
            detail=f'Method "{request.method}" not allowed.',
            headers={"Allow": ", ".join(_allowed_methods(request))},
        )
    kind = "invalid_request" if error.status_code < 500 else "server_error"
    return ApiError(error.status_code, type=kind, code="error", detail=str(error.detail), headers=error.headers)


def _allowed_methods(request: Request) -> list[str]:
    """Every method that the path answers to; Starlette names only those of the first route that fits."""
    return [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


def _flat(error: ApiError) -> Response:
    body = {"type": error.type, "code": error.code, "detail": error.detail, "attr": error.attr}
    return _json(error.status, body, error.headers)


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers=headers, media_type="application/json")
