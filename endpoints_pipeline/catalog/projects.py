"""Projects: the spaces that endpoints, variables and keys belong to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from endpoints_pipeline.catalog.database import Database, insert
from endpoints_pipeline.catalog.records import Project
from endpoints_pipeline.catalog.tables import ProjectRow
from endpoints_pipeline.errors import NotFound

_TABLE = ProjectRow.metadata.tables[ProjectRow.__tablename__]


class ProjectStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure(self, project_id: int, name: str, now: datetime) -> None:
        """Make the project if there is none with the id; one that is there stays as it is."""
        with self._database.write() as session:
            session.execute(
                insert(session, _TABLE)
                .values(id=project_id, name=name, created_at=now)
                .on_conflict_do_nothing(index_elements=["id"])
            )

    def get(self, project_id: int) -> Project:
        """The project.

        Raises:
            NotFound: No such project.
        """
        with self._database.read() as session:
            return _record(project_row(session, project_id))

    def list(self) -> Sequence[Project]:
        """Every project, by id."""
        with self._database.read() as session:
            return [_record(row) for row in session.scalars(sa.select(ProjectRow).order_by(ProjectRow.id))]


def project_row(session: Session, project_id: int) -> ProjectRow:
    """The project's row.

    Raises:
        NotFound: No such project.
    """
    row = session.get(ProjectRow, project_id)
    if row is None:
        raise NotFound(f"No project {project_id}.")
    return row


def _record(row: ProjectRow) -> Project:
    return Project(id=row.id, name=row.name, created_at=row.created_at)
