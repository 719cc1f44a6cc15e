"""Variables: a project's named, typed parameters (contract 2.3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload
from sqlalchemy.orm.attributes import flag_modified

from endpoints_pipeline.catalog.database import Database
from endpoints_pipeline.catalog.mapping import user_record
from endpoints_pipeline.catalog.projects import project_row
from endpoints_pipeline.catalog.records import Variable
from endpoints_pipeline.catalog.tables import VariableRow
from endpoints_pipeline.errors import InvalidInput, NotFound
from endpoints_pipeline.query.variables import VariableType

#: What of a variable can be changed; its code name can't: queries use it.
CHANGEABLE = frozenset({"name", "type", "default_value", "values"})

_LIVE = VariableRow.deleted_at.is_(None)


def code_name_of(name: str) -> str:
    """The word that queries use for a variable called ``name``: only what ClickHouse takes in a parameter's name."""
    kept = (letter for letter in name.lower().replace(" ", "_") if letter == "_" or letter.isalnum())
    return "".join(letter for letter in kept if letter.isascii())


class VariableStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        project_id: int,
        *,
        name: str,
        type: VariableType,
        default_value: Any,
        values: Sequence[Any] | None = None,
        by: int | None,
        now: datetime,
        id: str | None = None,
    ) -> Variable:
        """Make a variable; ``id`` is a new UUID that its maker chose, None: any.

        Raises:
            NotFound: No such project.
            InvalidInput: With ``attr="name"``: a live variable of the project has the code name, or it is empty.
        """
        row = VariableRow(
            id=id or str(uuid4()),
            project_id=project_id,
            name=_checked(name),
            code_name=_code_name(name),
            type=type,
            default_value=default_value,
            options=None if values is None else [*values],
            created_at=now,
            created_by_id=by,
            deleted_at=None,
        )
        try:
            with self._database.write() as session:
                project_row(session, project_id)
                session.add(row)
                session.flush()
                return _record(row)
        except IntegrityError as error:
            raise InvalidInput(
                f"A variable with the code name '{row.code_name}' already exists for this team.", attr="name"
            ) from error

    def update(self, project_id: int, variable_id: str, *, changes: Mapping[str, Any], now: datetime) -> Variable:
        """Change the fields in ``changes`` (see ``CHANGEABLE``).

        Raises:
            NotFound: No such live variable.
            InvalidInput: With ``attr="name"``: the new name is blank.
            ValueError: A field that can't be changed.
        """
        if unknown := changes.keys() - CHANGEABLE:
            raise ValueError(f"a variable has no {', '.join(sorted(unknown))} to change")
        with self._database.write() as session:
            row = _live(session, project_id, variable_id, for_update=True)
            if "name" in changes:
                row.name = _checked(changes["name"])
            if "type" in changes:
                row.type = VariableType(changes["type"])
            if "default_value" in changes:
                row.default_value = changes["default_value"]
            if "values" in changes:
                row.options = None if changes["values"] is None else [*changes["values"]]
            for field in ("default_value", "options"):  # 1 and true are equal to Python, so true would stay 1
                flag_modified(row, field)
            session.flush()
            return _record(row)

    def delete(self, project_id: int, variable_id: str, now: datetime) -> None:
        """Take the variable away from new queries and free its code name; stored queries go on working with it.

        Raises:
            NotFound: No such live variable.
        """
        with self._database.write() as session:
            _live(session, project_id, variable_id, for_update=True).deleted_at = now

    def get(self, project_id: int, variable_id: str) -> Variable:
        """The live variable.

        Raises:
            NotFound: No such live variable.
        """
        with self._database.read() as session:
            return _record(_live(session, project_id, variable_id))

    def list(self, project_id: int, *, limit: int | None = None, offset: int = 0) -> tuple[Sequence[Variable], int]:
        """A page of the project's live variables by name, and how many there are in all.

        Raises:
            NotFound: No such project.
        """
        live = (VariableRow.project_id == project_id) & _LIVE
        with self._database.read() as session:
            project_row(session, project_id)
            total = session.scalar(sa.select(sa.func.count()).select_from(VariableRow).where(live)) or 0
            rows = session.scalars(
                sa.select(VariableRow)
                .where(live)
                .options(joinedload(VariableRow.created_by))
                .order_by(VariableRow.name, VariableRow.id)
                .limit(limit)
                .offset(offset)
            )
            return [_record(row) for row in rows], total

    def by_code_name(self, project_id: int, names: Collection[str]) -> Mapping[str, Variable]:
        """The live ones among the code names."""
        found = self._find(project_id, VariableRow.code_name.in_(names) & _LIVE) if names else []
        return {variable.code_name: variable for variable in found}

    def by_id(self, project_id: int, ids: Collection[str]) -> Mapping[str, Variable]:
        """Those of the ids that the project has or once had: deleted ones too."""
        found = self._find(project_id, VariableRow.id.in_(ids)) if ids else []
        return {variable.id: variable for variable in found}

    def _find(self, project_id: int, wanted: sa.ColumnElement[bool]) -> Sequence[Variable]:
        with self._database.read() as session:
            rows = session.scalars(
                sa.select(VariableRow)
                .where(VariableRow.project_id == project_id, wanted)
                .options(joinedload(VariableRow.created_by))
            )
            return [_record(row) for row in rows]


def _checked(name: str) -> str:
    if not name.strip():
        raise InvalidInput("This field may not be blank.", attr="name")
    return name


def _code_name(name: str) -> str:
    code_name = code_name_of(name)
    if not code_name:
        raise InvalidInput("A variable's name needs a letter from a to z, a digit or a _.", attr="name")
    return code_name


def _live(session: Session, project_id: int, variable_id: str, *, for_update: bool = False) -> VariableRow:
    query = sa.select(VariableRow).where(VariableRow.project_id == project_id, VariableRow.id == variable_id, _LIVE)
    row = session.scalar(query.with_for_update() if for_update else query)
    if row is None:
        raise NotFound(f"No variable {variable_id} in project {project_id}.")
    return row


def _record(row: VariableRow) -> Variable:
    return Variable(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        code_name=row.code_name,
        type=VariableType(row.type),
        default_value=row.default_value,
        values=None if row.options is None else tuple(row.options),
        created_at=row.created_at,
        created_by=user_record(row.created_by) if row.created_by else None,
        deleted_at=row.deleted_at,
    )
