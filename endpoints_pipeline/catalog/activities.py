"""The activity log: what was changed, by whom (contract 5.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from endpoints_pipeline.catalog.database import Database
from endpoints_pipeline.catalog.mapping import is_same_json, user_record
from endpoints_pipeline.catalog.projects import project_row
from endpoints_pipeline.catalog.records import Activity, Change
from endpoints_pipeline.catalog.tables import ActivityRow, EndpointRow

ENDPOINT = "Endpoint"
ENDPOINT_VERSION = "EndpointVersion"
SAVED_QUERY = "DataWarehouseSavedQuery"


class ActivityStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self,
        project_id: int,
        *,
        scope: str | None = None,
        item_id: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> tuple[Sequence[Activity], int]:
        """A page of the project's activities, newest first, and how many there are in all.

        Raises:
            NotFound: No such project.
        """
        wanted = [ActivityRow.project_id == project_id]
        if scope is not None:
            wanted.append(ActivityRow.scope == scope)
        if item_id is not None:
            wanted.append(ActivityRow.item_id == item_id)
        with self._database.read() as session:
            project_row(session, project_id)
            total = session.scalar(sa.select(sa.func.count()).select_from(ActivityRow).where(*wanted)) or 0
            rows = session.scalars(
                sa.select(ActivityRow)
                .where(*wanted)
                .options(joinedload(ActivityRow.user))
                .order_by(ActivityRow.created_at.desc(), ActivityRow.number.desc())
                .limit(limit)
                .offset(offset)
            )
            return [_record(row) for row in rows], total


@dataclass(frozen=True, slots=True)
class Journal:
    """Logs what one user (None: the system) does to one endpoint, in the caller's transaction."""

    session: Session
    endpoint: EndpointRow
    by: int | None
    now: datetime

    def note(
        self,
        activity: str,
        *,
        scope: str = ENDPOINT,
        item_id: str | None = None,
        changes: Sequence[Change] = (),
        version: int | None = None,
    ) -> None:
        """Log an activity; ``item_id`` is the thing of the endpoint that it was done to (None: the endpoint itself)."""
        self.session.add(
            ActivityRow(
                id=str(uuid4()),
                project_id=self.endpoint.project_id,
                scope=scope,
                item_id=item_id or self.endpoint.id,
                activity=activity,
                detail={
                    "name": self.endpoint.name,
                    "changes": [asdict(change) for change in changes],
                    "context": {} if version is None else {"version": version},
                },
                user_id=self.by,
                created_at=self.now,
            )
        )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The fields whose values differ, in the order of ``before``."""
    return [
        Change(field, value, after[field]) for field, value in before.items() if not is_same_json(value, after[field])
    ]


def _record(row: ActivityRow) -> Activity:
    return Activity(
        id=row.id,
        project_id=row.project_id,
        scope=row.scope,
        item_id=row.item_id,
        activity=row.activity,
        name=row.detail["name"],
        changes=tuple(Change(**change) for change in row.detail["changes"]),
        context=row.detail["context"],
        user=user_record(row.user) if row.user else None,
        created_at=row.created_at,
    )
