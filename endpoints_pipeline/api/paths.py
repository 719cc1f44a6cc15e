"""One spelling for each route: both prefixes and the slash at the end mean the same, without a redirect."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/api/projects/{project_id}/endpoints"
_ALIAS, _CANONICAL = "/api/environments/", "/api/projects/"

#: Where the path stands as the caller wrote it: links in an answer keep the caller's spelling.
ORIGINAL_PATH = "endpoints.original_path"


class CanonicalPath:
    """Rewrites a request's path before it is routed, so that routes are written once (contract 1, 10.19)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            root = scope.get("root_path", "")
            path = scope["path"].removeprefix(root)
            scope = {**scope, ORIGINAL_PATH: path, "path": root + canonical(path)}
        await self._app(scope, receive, send)


def canonical(path: str) -> str:
    if len(path) > 1:
        path = path.removesuffix("/")
    if path.startswith(_ALIAS):
        path = _CANONICAL + path.removeprefix(_ALIAS)
    return path
