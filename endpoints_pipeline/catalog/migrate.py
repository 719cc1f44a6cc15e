"""Schema migrations with Alembic, run under a lock so that processes that start together don't collide."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from endpoints_pipeline.catalog.database import Database, translated_errors
from endpoints_pipeline.errors import CatalogError

_LOCK = 0x656E6470  # any constant: names our advisory lock in PostgreSQL


def ensure_schema(database: Database, *, auto_migrate: bool) -> None:
    """Bring the schema to this package's version.

    Raises:
        CatalogError: The schema is newer than this package, or older and ``auto_migrate`` is off.
        CatalogUnavailable: The database doesn't answer.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    with translated_errors():
        with database.engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current == head:
            return
        if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
            raise CatalogError(
                f"The catalog's schema ({current}) is newer than this package: upgrade endpoints-pipeline."
            )
        if not auto_migrate:
            raise CatalogError(
                f"The catalog's schema is at {current or 'nothing'}, this package needs {head}: "
                "run `endpoints migrate`."
            )
        with database.engine.execution_options(endpoints_writes=True).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
