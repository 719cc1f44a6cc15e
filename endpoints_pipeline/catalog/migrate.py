"""Schema migrations with Alembic, run under a lock so that processes that start together don't collide."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from endpoints_pipeline.catalog.database import Database, translated_errors
from endpoints_pipeline.errors import CatalogError

_LOCK = 0x656E6470  # any constant: names our advisory lock in PostgreSQL
_ALEMBIC = threading.Lock()  # Alembic keeps the running migration in a global


def ensure_schema(database: Database, *, auto_migrate: bool) -> None:
    """Bring the schema to this package's version.

    Raises:
        CatalogError: The schema is newer than this package, or older and ``auto_migrate`` is off.
        CatalogUnavailable: The database doesn't answer.
    """
    head, known = _revisions()
    with translated_errors():
        with database.engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current == head:
            return
        if current is not None and current not in known:
            raise CatalogError(
                f"The catalog's schema ({current}) is newer than this package, or another program's: upgrade "
                "endpoints-pipeline, or give the catalog a database of its own."
            )
        if not auto_migrate:
            raise CatalogError(
                f"The catalog's schema is at {current or 'nothing'}, this package needs {head}: "
                "run `endpoints migrate`."
            )
        config = _config()
        with _ALEMBIC, database.engine.execution_options(endpoints_writes=True).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


@cache
def _revisions() -> tuple[str | None, frozenset[str]]:
    """This package's newest revision, and all of them; Alembic compiles every script to tell."""
    scripts = ScriptDirectory.from_config(_config())
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
