"""The catalog's database: SQLite in WAL mode or PostgreSQL, chosen by the DSN, and its transactions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from endpoints_pipeline.errors import CatalogError, CatalogUnavailable

_WRITES = "endpoints_writes"


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware datetime, kept and given back in UTC by every database (SQLite drops the zone otherwise)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the catalog takes aware times only, got {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """Connections to the catalog and its two kinds of transaction.

    A writing transaction takes the write lock when it begins (SQLite: ``BEGIN IMMEDIATE``), so it waits for its turn
    and then never fails half-way because another writer came first.
    """

    def __init__(self, dsn: str, timeout: float) -> None:
        """Open the database at ``dsn``; ``timeout`` is in seconds.

        Raises:
            CatalogError: The DSN can't be used.
        """
        self.engine = _create_engine(dsn, timeout)
        self._writing_engine = self.engine.execution_options(**{_WRITES: True})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session over one consistent state of the catalog."""
        with translated_errors(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose work is committed as a whole, or not at all when the block raises."""
        with translated_errors(), Session(self._writing_engine, expire_on_commit=False) as session, session.begin():
            session.connection()  # begins now: SQLite takes its write lock before the first read
            yield session

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's connection and lock failures into errors of ours; constraint violations pass as they are."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise CatalogUnavailable(
            f"The catalog can't be used right now: {_reason(error)}. Check ENDPOINTS_CATALOG_DSN and the database; "
            "nothing was changed."
        ) from error


def _reason(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return re.sub(r"password=\S+", "password=***", lines[0]) if lines else type(error.orig).__name__


def _create_engine(dsn: str, timeout: float) -> sa.Engine:
    try:
        url = sa.make_url(dsn)
        if url.get_backend_name() == "sqlite":
            return _sqlite_engine(url, timeout)
        if url.get_backend_name() == "postgresql":
            if url.drivername == "postgresql":
                url = url.set(drivername="postgresql+psycopg")
            connect_args: dict[str, Any] = {
                "connect_timeout": max(1, round(timeout)),
                "options": f"-c lock_timeout={round(timeout * 1000)} -c statement_timeout={round(timeout * 4000)}",
            }
            return sa.create_engine(url, pool_pre_ping=True, pool_timeout=timeout, connect_args=connect_args)
    except (ArgumentError, NoSuchModuleError, ValueError):
        pass  # said below, without the driver's text: it would repeat the password
    except ImportError as error:
        raise CatalogError(
            f"The driver for the catalog's DSN is missing ({error.name}): pip install 'endpoints-pipeline[postgres]'."
        ) from error
    raise CatalogError(
        "ENDPOINTS_CATALOG_DSN can't be used. Give sqlite:///path/to/catalog.db or postgresql://user:password@host/database."
    )


def _sqlite_engine(url: sa.URL, timeout: float) -> sa.Engine:
    if url.database:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogError(f"The catalog's folder can't be made: {error}.") from error
    engine = sa.create_engine(url, connect_args={"timeout": timeout, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
