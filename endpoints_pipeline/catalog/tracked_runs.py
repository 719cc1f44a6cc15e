"""Tracked runs: queries that are going on, whose state any process can ask for and end (contract 10.12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from endpoints_pipeline.catalog.database import Database, insert
from endpoints_pipeline.catalog.mapping import storable
from endpoints_pipeline.catalog.records import Progress, RunState, TrackedRun
from endpoints_pipeline.catalog.tables import TrackedRunRow

ABANDONED = "The process that ran this query ended before the query did. Run it again."

_TABLE = TrackedRunRow.metadata.tables[TrackedRunRow.__tablename__]
_KEY = ("project_id", "id")
_PROGRESS = tuple(field.name for field in fields(Progress))
_FIELDS = tuple(field.name for field in fields(TrackedRun) if field.name != "progress")


class TrackedRunStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run: TrackedRun) -> bool:
        """Note that a run begins, in place of an ended one with its id; False if one with its id is going on."""
        values = _values(run)
        with self._database.write() as session:
            upsert = insert(session, _TABLE).values(values)
            begun = session.scalar(
                upsert.on_conflict_do_update(
                    index_elements=_KEY,
                    set_={name: upsert.excluded[name] for name in values if name not in _KEY},
                    where=_TABLE.c.state != RunState.RUNNING,
                ).returning(_TABLE.c.id)
            )
            return begun is not None

    def get(self, project_id: int, run_id: str) -> TrackedRun | None:
        """The run as it is now; None if there is none."""
        with self._database.read() as session:
            row = session.get(TrackedRunRow, (project_id, run_id))
            return None if row is None else _record(row)

    def pick_up(self, project_id: int, run_id: str, now: datetime) -> None:
        """Note that the run's query begins: it waited for its turn until now."""
        with self._database.write() as session:
            session.execute(
                sa.update(TrackedRunRow)
                .where(_is(project_id, run_id), TrackedRunRow.state == RunState.RUNNING)
                .values(picked_up_at=now, heartbeat_at=now)
            )

    def beat(self, project_id: int, run_id: str, progress: Progress, now: datetime) -> bool:
        """Note that the run's process is at it, and how far it came; True if it should stop.

        It should if someone asked for that, or the run was given up while its process was asleep.
        """
        with self._database.write() as session:
            session.execute(
                sa.update(TrackedRunRow)
                .where(_is(project_id, run_id), TrackedRunRow.state == RunState.RUNNING)
                .values(heartbeat_at=now, **asdict(progress))
            )
            return bool(session.scalar(sa.select(TrackedRunRow.cancel_requested).where(_is(project_id, run_id))))

    def finish(
        self,
        project_id: int,
        run_id: str,
        *,
        state: RunState,
        error: str | None,
        result_key: str | None,
        now: datetime,
    ) -> bool:
        """Note how the run ended; False, and nothing changes, if it isn't going on any more."""
        with self._database.write() as session:
            ended = session.scalar(
                sa.update(TrackedRunRow)
                .where(_is(project_id, run_id), TrackedRunRow.state == RunState.RUNNING)
                .values(
                    state=state, error=None if error is None else storable(error), result_key=result_key, ended_at=now
                )
                .returning(TrackedRunRow.id)
            )
            return ended is not None

    def request_cancel(self, project_id: int, run_id: str) -> bool:
        """Ask the run's process to stop; False if the run isn't going on."""
        with self._database.write() as session:
            asked = session.scalar(
                sa.update(TrackedRunRow)
                .where(_is(project_id, run_id), TrackedRunRow.state == RunState.RUNNING)
                .values(cancel_requested=True)
                .returning(TrackedRunRow.id)
            )
            return asked is not None

    def abandon(self, before_heartbeat: datetime, now: datetime) -> Sequence[TrackedRun]:
        """End the runs whose process hasn't been heard of since ``before_heartbeat``, as failed; returns them.

        Should such a process only have been asleep, its next ``beat`` tells it to stop.
        """
        with self._database.write() as session:
            rows = session.scalars(
                sa.select(TrackedRunRow)
                .where(TrackedRunRow.state == RunState.RUNNING, TrackedRunRow.heartbeat_at < before_heartbeat)
                .order_by(TrackedRunRow.project_id, TrackedRunRow.id)
                .with_for_update(skip_locked=True)  # one that is being written to right now has its process
            ).all()
            for row in rows:
                row.state = RunState.FAILED
                row.error = ABANDONED
                row.ended_at = now
                row.cancel_requested = True
            session.flush()
            return [_record(row) for row in rows]

    def expired(self, now: datetime) -> Sequence[TrackedRun]:
        """The ended runs whose answers needn't be kept any longer, oldest first."""
        with self._database.read() as session:
            rows = session.scalars(
                sa.select(TrackedRunRow)
                .where(TrackedRunRow.expires_at <= now, TrackedRunRow.state != RunState.RUNNING)
                .order_by(TrackedRunRow.expires_at, TrackedRunRow.project_id, TrackedRunRow.id)
            )
            return [_record(row) for row in rows]

    def drop(self, project_id: int, run_id: str) -> None:
        """Forget an ended run; a new one that began with its id meanwhile stays."""
        with self._database.write() as session:
            session.execute(
                sa.delete(TrackedRunRow).where(_is(project_id, run_id), TrackedRunRow.state != RunState.RUNNING)
            )


def _is(project_id: int, run_id: str) -> sa.ColumnElement[bool]:
    return (TrackedRunRow.project_id == project_id) & (TrackedRunRow.id == run_id)


def _values(run: TrackedRun) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _FIELDS} | asdict(run.progress)


def _record(row: TrackedRunRow) -> TrackedRun:
    values = {name: getattr(row, name) for name in _FIELDS}
    progress = Progress(**{name: getattr(row, name) for name in _PROGRESS})
    return TrackedRun(**{**values, "state": RunState(row.state), "progress": progress})
