"""``endpoints migrate``: the catalog's schema, brought to this package's version."""

from __future__ import annotations

import typer


def migrate() -> None:
    """Bring the catalog's schema up to date.

    Needed only where ENDPOINTS_CATALOG_AUTO_MIGRATE is false.
    """
    from endpoints_pipeline.catalog.database import Database
    from endpoints_pipeline.catalog.migrate import current_revision, ensure_schema
    from endpoints_pipeline.cli.session import begin

    settings = begin()
    database = Database(settings.resolved_catalog_dsn, settings.catalog_timeout)
    try:
        before = current_revision(database)
        ensure_schema(database, auto_migrate=True)
        after = current_revision(database)
    finally:
        database.close()
    if before == after:
        typer.echo(f"The catalog's schema is up to date ({after}).")
    else:
        typer.echo(f"The catalog's schema went from {before or 'nothing'} to {after}.")
