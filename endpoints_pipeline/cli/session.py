"""What a command works with for its short life: settings, a log on stderr, the catalog or the whole application."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from endpoints_pipeline.catalog import Catalog
    from endpoints_pipeline.serving.application import Application
    from endpoints_pipeline.settings import Settings


def begin() -> Settings:
    """Read the settings, and send the log to stderr: stdout is for the answer.

    Raises:
        SettingsError: A setting is malformed or unsafe.
    """
    import structlog

    from endpoints_pipeline.settings import load_settings

    settings = load_settings()
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
    )
    return settings


@contextmanager
def opened_catalog(settings: Settings) -> Iterator[Catalog]:
    """The catalog alone, for commands that need neither the engine nor S3.

    Raises:
        CatalogError: The catalog can't be used.
    """
    from endpoints_pipeline.catalog import open_catalog
    from endpoints_pipeline.clock import utc_now

    catalog = open_catalog(
        settings.resolved_catalog_dsn, timeout=settings.catalog_timeout, auto_migrate=settings.catalog_auto_migrate
    )
    try:
        catalog.projects.ensure(settings.project_id, "default", utc_now())
        yield catalog
    finally:
        catalog.close()


@contextmanager
def opened_application(settings: Settings) -> Iterator[Application]:
    """Everything, as the API and Dagster have it.

    Raises:
        CatalogError: The catalog can't be used.
    """
    from endpoints_pipeline.serving.application import open_application

    application = open_application(settings)
    try:
        yield application
    finally:
        application.close()
