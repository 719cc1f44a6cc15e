"""``endpoints migrate``: the catalog's schema, brought to this package's version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from endpoints_pipeline.catalog.database import Database


def migrate() -> None:
    """Bring the catalog's schema up to date.

    Needed only where ENDPOINTS_CATALOG_AUTO_MIGRATE is false.
    """
    from endpoints_pipeline.catalog.database import Database
    from endpoints_pipeline.catalog.migrate import ensure_schema
    from endpoints_pipeline.cli.session import begin

    settings = begin()
    database = Database(settings.resolved_catalog_dsn, settings.catalog_timeout)
    try:
        before = _revision(database)
        ensure_schema(database, auto_migrate=True)
        after = _revision(database)
    finally:
        database.close()
    if before == after:
        typer.echo(f"The catalog's schema is up to date ({after}).")
    else:
        typer.echo(f"The catalog's schema went from {before or 'nothing'} to {after}.")


def _revision(database: Database) -> str | None:
    from alembic.runtime.migration import MigrationContext

    from endpoints_pipeline.catalog.database import translated_errors

    with translated_errors(), database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
