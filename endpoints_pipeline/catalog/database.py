"""The catalog's database: SQLite in WAL mode or PostgreSQL, chosen by the DSN, and its transactions."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from endpoints_pipeline.errors import CatalogError, CatalogUnavailable, InvalidInput

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
        self._reading_engine = self.engine
        if self.engine.dialect.name == "postgresql":  # where each statement sees a state of its own otherwise
            self._reading_engine = self.engine.execution_options(isolation_level="REPEATABLE READ")
        self._writing_engine = self.engine.execution_options(**{_WRITES: True})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session over one consistent state of the catalog."""
        with translated_errors(), Session(self._reading_engine, expire_on_commit=False) as session:
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
    """Turn the driver's failures into errors of ours; constraint violations pass as they are."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise CatalogUnavailable(
            f"The catalog can't be used right now: {_reason(error)}. Check ENDPOINTS_CATALOG_DSN and the database; "
            "nothing was changed."
        ) from error
    except (DataError, OverflowError, UnicodeEncodeError) as error:
        raise InvalidInput(f"The catalog can't hold this value: {_reason(error)}.") from error
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise CatalogError(f"The catalog refused: {_reason(error)}. Check ENDPOINTS_CATALOG_DSN.") from error


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return re.sub(r"password=\S+", "password=***", lines[0].rstrip(".")) if lines else type(cause).__name__


def insert(session: Session, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An ``INSERT`` of the session's dialect, which has ``ON CONFLICT``."""
    return sqlite.insert(table) if session.get_bind().dialect.name == "sqlite" else postgresql.insert(table)


def _create_engine(dsn: str, timeout: float) -> sa.Engine:
    try:
        url = sa.make_url(dsn)
        if url.get_backend_name() == "sqlite":
            return _sqlite_engine(url, timeout)
        if url.get_backend_name() == "postgresql":
            return _postgresql_engine(url, timeout)
    except (ArgumentError, NoSuchModuleError, ValueError):
        pass  # said below, without the driver's text: it would repeat the password
    except ImportError as error:
        raise CatalogError(
            f"The driver for the catalog's DSN is missing ({error.name}): pip install 'endpoints-pipeline[postgres]'."
        ) from error
    raise CatalogError(
        "ENDPOINTS_CATALOG_DSN can't be used. Give sqlite:///path/to/catalog.db or postgresql://user:password@host/database"
        ", with the special characters of the password percent-encoded (@ is %40)."
    )


def _postgresql_engine(url: sa.URL, timeout: float) -> sa.Engine:
    if "@" in (url.host or "") or "@" in (url.database or ""):
        raise ValueError("a raw @ in the password: what follows it would be taken for the host, and be named in errors")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    milliseconds, seconds = round(timeout * 1000), max(1, round(timeout))
    own_options = url.query.get("options", "")
    options = own_options if isinstance(own_options, str) else " ".join(own_options)
    connect_args: dict[str, Any] = {
        "connect_timeout": seconds,
        "options": f"-c lock_timeout={milliseconds} -c statement_timeout={milliseconds * 4} {options}",
        # a server that vanishes without a word: the time-outs above are its own and end with it
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": seconds,
    }
    return sa.create_engine(url, pool_pre_ping=True, pool_timeout=timeout, connect_args=connect_args)


def _sqlite_engine(url: sa.URL, timeout: float) -> sa.Engine:
    if url.database in (None, "", ":memory:"):
        raise ValueError("each connection would have an empty catalog of its own")
    try:
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogError(f"The catalog's folder can't be made: {error}.") from error
    engine = sa.create_engine(url, pool_timeout=timeout, connect_args={"timeout": timeout, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        cursor = connection.cursor()
        _use_wal(cursor, timeout)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _use_wal(cursor: sqlite3.Cursor, timeout: float) -> None:
    """The first switch needs the file to itself, and SQLite's own waiting for locks doesn't cover it."""
    for attempt in Retrying(
        retry=retry_if_exception(_is_busy), stop=stop_after_delay(timeout), wait=wait_fixed(0.01), reraise=True
    ):
        with attempt:
            cursor.execute("PRAGMA journal_mode=WAL")


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY
