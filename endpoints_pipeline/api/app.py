"""The web application: ``create_app`` over an application's parts, ``main_app`` for a server to start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from endpoints_pipeline.api import (
    accounts,
    activity,
    documentation,
    endpoints,
    errors,
    execution_times,
    explain,
    health,
    logs,
    materialization,
    openapi_document,
    queries,
    refresh,
    run,
    variables,
    versions,
)
from endpoints_pipeline.api.limits import RateLimitHeaders, RateLimits
from endpoints_pipeline.api.paths import CanonicalPath
from endpoints_pipeline.serving.application import Application, open_application
from endpoints_pipeline.settings import load_settings


def create_app(application: Application) -> FastAPI:
    """The web application over ``application``, which it closes when the server shuts down.

    Raises:
        SettingsError: The rate limits' storage can't be used.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            readiness.close()
            await run_in_threadpool(application.close)

    app = FastAPI(
        title="Endpoints",
        version=version("endpoints-pipeline"),
        description="Named SQL queries as HTTP endpoints. `/api/environments/…` means the same as `/api/projects/…`, "
        "and a slash at the end changes nothing.",
        lifespan=lifespan,
        redirect_slashes=False,
        responses=documentation.ANY_ERROR,
        generate_unique_id_function=lambda route: route.name,
    )
    rate_limits = RateLimits(application.settings)
    scrub = errors.scrubber(application.settings)
    readiness = health.Readiness(application, scrub)
    app.state.application = application
    app.state.readiness = readiness
    app.state.rate_limits = rate_limits
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(CanonicalPath)
    errors.install(app, scrub)
    # first the routes whose path could be an endpoint's name
    for module in (health, execution_times, materialization, endpoints, versions, run, queries, refresh):
        app.include_router(module.router)
    for module in (explain, openapi_document, logs, variables, activity, accounts):
        app.include_router(module.router)
    plain = app.openapi
    app.openapi = lambda: documentation.complete(plain())  # type: ignore[method-assign]
    return app


def main_app() -> FastAPI:
    """``python -m uvicorn --factory endpoints_pipeline.api.app:main_app``: settings from the environment.

    Raises:
        SettingsError: A setting is malformed or unsafe.
        CatalogError: The catalog can't be used.
    """
    settings = load_settings()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(settings.log_level))
    return create_app(open_application(settings, caching=True))
