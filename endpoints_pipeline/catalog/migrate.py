"""Schema migrations with Alembic, run under a lock so that processes that start together don't collide."""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa

from endpoints_pipeline.catalog.database import Database, translated_errors
from endpoints_pipeline.errors import CatalogError

#: The newest revision in ``migrations/versions``; a test compares the two. Every process looks at the schema when it
#: starts, and Alembic, which would tell, takes longer to import than the look.
SCHEMA_REVISION = "0003"

_LOCK = 0x656E6470  # any constant: names our advisory lock in PostgreSQL
_ALEMBIC = threading.Lock()  # Alembic keeps the running migration in a global


def ensure_schema(database: Database, *, auto_migrate: bool) -> None:
    """Bring the schema to this package's version.

    Raises:
        CatalogError: The schema is newer than this package, or older and ``auto_migrate`` is off.
        CatalogUnavailable: The database doesn't answer.
    """
    current = current_revision(database)
    with translated_errors():
        if current == SCHEMA_REVISION:
            return
        if current is not None and current > SCHEMA_REVISION:
            raise CatalogError(
                f"The catalog's schema ({current}) is newer than this package, or another program's: upgrade "
                "endpoints-pipeline, or give the catalog a database of its own."
            )
        if not auto_migrate:
            raise CatalogError(
                f"The catalog's schema is at {current or 'nothing'}, this package needs {SCHEMA_REVISION}: "
                "run `endpoints migrate`."
            )
        _upgrade(database)


def current_revision(database: Database) -> str | None:
    """The revision that Alembic noted in the database; None if it never migrated it.

    Raises:
        CatalogUnavailable: The database doesn't answer.
    """
    with translated_errors(), database.engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(sa.text("SELECT max(version_num) FROM alembic_version"))
        return revision


def _upgrade(database: Database) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with _ALEMBIC, database.engine.execution_options(endpoints_writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
