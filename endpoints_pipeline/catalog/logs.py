"""Log entries: what each execution of an endpoint says of itself (contract 1.14)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.database import Database
from endpoints_pipeline.catalog.mapping import storable
from endpoints_pipeline.catalog.records import LogEntry, LogLevel
from endpoints_pipeline.catalog.tables import EndpointRow, LogEntryRow


class LogStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entries: Sequence[LogEntry]) -> None:
        """Add entries; those of endpoints that this catalog doesn't know are left out."""
        if entries:
            with self._database.write() as session:
                add_entries(session, entries)

    def list(
        self,
        endpoint_id: str,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        instance_id: str | None = None,
        levels: Collection[LogLevel] = (),
        search: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> tuple[Sequence[LogEntry], int]:
        """A page of an endpoint's entries, newest first, and how many there are in all.

        Args:
            endpoint_id: The endpoint.
            after: Only entries that are younger.
            before: Only entries that are older.
            instance_id: Only those of one execution.
            levels: Only those of these levels; none: all.
            search: Only messages that contain this text, in upper or lower case; no character is a wildcard.
            limit: How many at most.
            offset: How many to leave out.
        """
        wanted = [LogEntryRow.endpoint_id == endpoint_id]
        if after is not None:
            wanted.append(LogEntryRow.timestamp > after)
        if before is not None:
            wanted.append(LogEntryRow.timestamp < before)
        if instance_id is not None:
            wanted.append(LogEntryRow.instance_id == instance_id)
        if levels:
            wanted.append(LogEntryRow.level.in_(levels))
        with self._database.read() as session:
            if search:
                wanted.append(_contains(session, search))
            total = session.scalar(sa.select(sa.func.count()).select_from(LogEntryRow).where(*wanted)) or 0
            rows = session.scalars(
                sa.select(LogEntryRow)
                .where(*wanted)
                .order_by(LogEntryRow.timestamp.desc(), LogEntryRow.id.desc())
                .limit(limit)
                .offset(offset)
            )
            return [_record(row) for row in rows], total

    def drop_before(self, before: datetime) -> int:
        """Forget entries that are older; returns how many."""
        with self._database.write() as session:
            result = session.execute(sa.delete(LogEntryRow).where(LogEntryRow.timestamp < before))
            return int(getattr(result, "rowcount", 0))


def add_entries(session: Session, entries: Sequence[LogEntry]) -> None:
    """Add entries in the caller's transaction, but those of endpoints that this catalog doesn't know."""
    asked = {entry.endpoint_id for entry in entries}
    known = set(session.scalars(sa.select(EndpointRow.id).where(EndpointRow.id.in_(asked))))
    session.add_all(
        LogEntryRow(
            endpoint_id=entry.endpoint_id,
            instance_id=entry.instance_id,
            timestamp=entry.timestamp,
            level=entry.level,
            message=storable(entry.message),
        )
        for entry in entries
        if entry.endpoint_id in known
    )


def _contains(session: Session, text: str) -> sa.ColumnElement[bool]:
    """Not LIKE: it has wildcards, and SQLite refuses long patterns."""
    position = sa.func.instr if session.get_bind().dialect.name == "sqlite" else sa.func.strpos
    contains: sa.ColumnElement[bool] = position(sa.func.lower(LogEntryRow.message), sa.func.lower(storable(text))) > 0
    return contains


def _record(row: LogEntryRow) -> LogEntry:
    return LogEntry(
        endpoint_id=row.endpoint_id,
        instance_id=row.instance_id,
        timestamp=row.timestamp,
        level=LogLevel(row.level),
        message=row.message,
    )
