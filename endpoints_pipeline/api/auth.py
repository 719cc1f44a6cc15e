"""Who calls, and what their key opens (contract 5.1, 10.16).

A route asks for what it needs with one parameter, ``access: ReadEndpoints``, in the place of the project's number. It
must stand before the parameters that look at the rest of the request, so that a stranger learns nothing from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from endpoints_pipeline.api.context import App, ProjectText, project_number
from endpoints_pipeline.api.errors import ApiError
from endpoints_pipeline.api.limits import throttle
from endpoints_pipeline.catalog.records import ApiKey, KeyKind
from endpoints_pipeline.errors import CatalogUnavailable
from endpoints_pipeline.serving.application import Application

_log = structlog.get_logger(__name__)

EVERY_SCOPE = "*"
#: Every scope that a key may have. ``x:write`` includes ``x:read``.
SCOPES = (
    EVERY_SCOPE,
    "endpoint:read",
    "endpoint:write",
    "insight_variable:read",
    "insight_variable:write",
    "activity_log:read",
    "query:read",
    "user:read",
    "project:read",
    "organization:read",
)

#: The catalog writes a key's last use no more often than this; asking it sooner would be a read for nothing.
_TOUCH_INTERVAL = timedelta(minutes=10)

# it only reads the header, and puts the scheme into the OpenAPI document; the errors are ours
_bearer = HTTPBearer(
    scheme_name="PersonalAPIKey",
    description="`Authorization: Bearer phx_…`, made with `endpoints keys create`. A project secret key (`phs_…`) runs "
    "endpoints and nothing else.",
    auto_error=False,
)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


@dataclass(frozen=True, slots=True)
class Access:
    """A caller who may do what the route does, in this project."""

    project_id: int
    key: ApiKey

    @property
    def user_id(self) -> int | None:
        """The person who acts; None for a key that belongs to a project."""
        return self.key.user.id if self.key.user else None


def authenticate(application: Application, credentials: HTTPAuthorizationCredentials | None) -> ApiKey:
    """The caller's key.

    Raises:
        ApiError: 401: there is no key in the header, or it is unknown, revoked or expired. Which of these isn't said.
    """
    if credentials is None:
        raise _unauthenticated("not_authenticated", "Authentication credentials were not provided.")
    now = application.clock()
    key = application.catalog.keys.find(credentials.credentials, now)
    if key is None:
        raise _unauthenticated("authentication_failed", "API key found in request Authorization header is invalid.")
    _note_use(application, key, now)
    return key


def require_project(application: Application, key: ApiKey, project_id: int) -> None:
    """Make sure that the key opens the project.

    Raises:
        NotFound: There is no such project.
        ApiError: 403: the key is another project's.
    """
    application.catalog.projects.get(project_id)
    if key.project_id not in (None, project_id):
        raise denied(f"{_kind(key)} does not have access to the requested project")


def require_person(key: ApiKey) -> None:
    """Refuse a project secret key.

    Raises:
        ApiError: 403.
    """
    if key.kind is KeyKind.PROJECT_SECRET:
        raise denied("This action does not support project secret API key")


def require_scope(key: ApiKey, *scopes: str) -> None:
    """Make sure that the key has one of the scopes, or one that includes it.

    Raises:
        ApiError: 403; it names the first of them.
    """
    enough = {EVERY_SCOPE, *scopes, *(scope.removesuffix(":read") + ":write" for scope in scopes)}
    if enough.isdisjoint(key.scopes):
        raise denied(f"API key missing required scope '{scopes[0]}'")


def denied(detail: str) -> ApiError:
    return ApiError(403, type="authentication_error", code="permission_denied", detail=detail)


def _access(*scopes: str, project_secret: bool = False, throttled: bool = True) -> Callable[..., Access]:
    """A dependency that lets through keys with one of the scopes; ``project_secret`` ones too, if said.

    A plain function: it reads the catalog, which must not happen in the event loop.
    """

    def access(request: Request, application: App, credentials: _Credentials, project_id: ProjectText) -> Access:
        key = authenticate(application, credentials)
        number = project_number(project_id)
        require_project(application, key, number)
        if not project_secret:
            require_person(key)
        require_scope(key, *scopes)
        granted = Access(number, key)
        if throttled:
            throttle(request, granted, materialized=False)
        return granted

    return access


def _any_key(application: App, credentials: _Credentials) -> ApiKey:
    key = authenticate(application, credentials)
    require_person(key)
    return key


ReadEndpoints = Annotated[Access, Depends(_access("endpoint:read"))]
WriteEndpoints = Annotated[Access, Depends(_access("endpoint:write"))]
#: Also takes project secret keys, and leaves the throttling to the route: which bucket it is depends on the request.
RunEndpoints = Annotated[Access, Depends(_access("endpoint:read", project_secret=True, throttled=False))]
#: Who may run may also ask what a run would do.
ExplainRuns = Annotated[Access, Depends(_access("endpoint:read", project_secret=True))]
#: The state of runs, of their own or not: for all who may run, and for keys that may only look.
ReadQueries = Annotated[Access, Depends(_access("endpoint:read", "query:read", project_secret=True))]
ReadVariables = Annotated[Access, Depends(_access("insight_variable:read"))]
WriteVariables = Annotated[Access, Depends(_access("insight_variable:write"))]
ReadActivity = Annotated[Access, Depends(_access("activity_log:read"))]
#: A person's key, whatever it opens: for routes that are about the key itself.
AnyKey = Annotated[ApiKey, Depends(_any_key)]


def _note_use(application: Application, key: ApiKey, now: datetime) -> None:
    if key.last_used_at is not None and now - key.last_used_at < _TOUCH_INTERVAL:
        return
    try:
        application.catalog.keys.touch(key.id, now)
    except CatalogUnavailable as error:  # reading works while a long write holds the lock; a run doesn't need more
        _log.warning("a key's use could not be noted", key=key.id, error=str(error))


def _unauthenticated(code: str, detail: str) -> ApiError:
    return ApiError(401, type="authentication_error", code=code, detail=detail, headers={"WWW-Authenticate": "Bearer"})


def _kind(key: ApiKey) -> str:
    return "Project secret API key" if key.kind is KeyKind.PROJECT_SECRET else "API key"
