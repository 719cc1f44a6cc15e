"""Handles: clickhouse-connect clients that one process shares between its threads.

A handle runs one query at a time, so there is one for each query under way. After any error a handle is thrown away:
chDB gives a failed query's buffered rows to the next query of the same connection (engine-facts A.6). Handles are made
on first use and never cross a fork.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from endpoints_pipeline.engine.failures import translate
from endpoints_pipeline.errors import EngineBusy, EngineError

_USAGE = (
    "ENDPOINTS_ENGINE_DSN can't be used. Give chdb://memory or clickhouse://user:password@host:8123/database; "
    "https:// in place of clickhouse:// means TLS."
)


class Role(Enum):
    """What a handle may do.

    A READER runs people's SQL and can't write, change settings or reach files (``readonly=1``). A SNAPSHOT_READER may
    also call ``s3()``: it can't change a table or the engine, but could write by a table function (``readonly=2``), so
    it runs only SELECTs that the guard has passed, with snapshots put in by us. A WRITER runs only text of ours around
    SQL that the guard has passed.
    """

    READER = "reader"
    SNAPSHOT_READER = "snapshot_reader"
    WRITER = "writer"


_READ_ONLY = {Role.READER: 1, Role.SNAPSHOT_READER: 2}


class HandlePool:
    def __init__(
        self,
        dsn: str,
        *,
        database: str,
        size: int,
        wait: float,
        answer_timeout: float,
        settings: Mapping[Role, Mapping[str, Any]],
        secrets: tuple[str, ...] = (),
        config_file: Path | None = None,
    ) -> None:
        """Prepare a pool; nothing is opened yet.

        Args:
            dsn: ``chdb://memory`` or a server's DSN.
            database: The database that bare table names mean; empty: the DSN's.
            size: Handles in use at once.
            wait: Seconds to wait for a free one.
            answer_timeout: Seconds to wait for a server's answer.
            settings: ClickHouse settings of each role's handles.
            secrets: What must not be in an error's message.
            config_file: ClickHouse's own configuration of the embedded engine.
        """
        self._config_file = config_file
        self._dsn = dsn
        self._database = database
        self._wait = wait
        self._answer_timeout = answer_timeout
        self._settings = settings
        self._secrets = secrets
        self._slots = threading.BoundedSemaphore(size)
        self._idle: dict[Role, queue.LifoQueue[Client]] = {role: queue.LifoQueue() for role in Role}
        self._embedded = dsn.startswith("chdb:")
        # chDB forgets its in-memory tables when its last connection closes, so one stays open and is never lent
        self._anchor: Client | None = None
        self._anchor_lock = threading.Lock()

    @contextmanager
    def borrow(self, role: Role, *, urgent: bool = False) -> Iterator[Client]:
        """A handle for the length of the block; given back after success, closed after any error.

        Args:
            role: What the handle may do.
            urgent: Don't wait for one to become free, open one more: it is for stopping those who hold the others.

        Raises:
            EngineBusy: None became free in time.
            EngineUnavailable: The engine can't be opened.
        """
        if urgent:
            with self._lent(role) as handle:
                yield handle
            return
        if not self._slots.acquire(timeout=self._wait):
            raise EngineBusy("Too many queries at once. Please try again later.")
        try:
            with self._lent(role) as handle:
                yield handle
        finally:
            self._slots.release()

    @contextmanager
    def _lent(self, role: Role) -> Iterator[Client]:
        handle = self._take(role)
        try:
            yield handle
        except BaseException:
            handle.close()
            raise
        self._idle[role].put(handle)

    def close(self) -> None:
        """Close the idle handles; with the last one the embedded engine ends."""
        for idle in self._idle.values():
            while True:
                try:
                    idle.get_nowait().close()
                except queue.Empty:
                    break
        with self._anchor_lock:
            if self._anchor is not None:
                self._anchor.close()
                self._anchor = None

    def _take(self, role: Role) -> Client:
        try:
            return self._idle[role].get_nowait()
        except queue.Empty:
            return self._open(role)

    def _open(self, role: Role) -> Client:
        try:
            if self._embedded:
                return self._open_embedded(role, self._settings[role])
            return self._open_server(role, self._settings[role])
        except ClickHouseError as error:
            raise translate(error, self._secrets, opening=True) from None
        except (TypeError, ValueError):  # not chained: they may quote the password
            raise EngineError(_USAGE) from None

    def _open_server(self, role: Role, settings: Mapping[str, Any]) -> Client:
        parts = urlsplit(self._dsn)
        if parts.scheme not in ("clickhouse", "http", "https") or not parts.hostname:
            raise EngineError(_USAGE)
        return clickhouse_connect.get_client(
            dsn=self._dsn,
            interface=None if parts.scheme == "clickhouse" else parts.scheme,
            settings={
                **settings,
                **({"readonly": _READ_ONLY[role]} if role in _READ_ONLY else {}),
                # or a query that fails half-way would end its rows with the text of the error, under status 200
                "wait_end_of_query": 1,
            },
            autogenerate_session_id=False,
            connect_timeout=10,
            send_receive_timeout=round(self._answer_timeout),
            query_retries=0,
            database=self._database or None,
        )

    def _open_embedded(self, role: Role, settings: Mapping[str, Any]) -> Client:
        if self._dsn != "chdb://memory":
            raise EngineError(_USAGE)
        with self._anchor_lock:
            if self._anchor is None:
                options = {"config-file": str(self._config_file)} if self._config_file else None
                self._anchor = clickhouse_connect.get_client(dsn=self._dsn, chdb_options=options)
                self._anchor.command(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(self._database)}")
        handle = clickhouse_connect.get_client(dsn=self._dsn, database=self._database)
        try:
            for name, value in settings.items():
                handle.command(f"SET {name} = {value!r}")
            if role in _READ_ONLY:  # last: it forbids its own undoing and, for a READER, every further SET
                handle.command(f"SET readonly = {_READ_ONLY[role]}")
        except BaseException:
            handle.close()
            raise
        return handle
