"""The project's variables that definitions in YAML list: made if missing, and brought to what the files say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import uuid4

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.mapping import is_same_json
from endpoints_pipeline.catalog.records import Variable
from endpoints_pipeline.catalog.variables import VariableStore
from endpoints_pipeline.cli.definition_files import DefinitionFile, ListedVariable, listed_variables
from endpoints_pipeline.query.variables import VariableType
from endpoints_pipeline.serving.application import Application

Outcome = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class PlannedVariable:
    """A variable as it is to be, and what is done for that."""

    variable: Variable
    outcome: Outcome


def plan_variables(application: Application, files: Iterable[DefinitionFile]) -> Sequence[PlannedVariable]:
    """What to do for the variables that the files list. Nothing is changed yet.

    Raises:
        InvalidInput: Two files list one with different types or defaults.
    """
    listed = listed_variables(files)
    known = application.catalog.variables.by_code_name(application.settings.project_id, listed.keys())
    return [_planned(application, wanted, known.get(name)) for name, wanted in listed.items()]


def apply_variables(application: Application, planned: Iterable[PlannedVariable]) -> None:
    """Do what was planned.

    Raises:
        EndpointsError: The catalog refused, since someone else made or deleted the variable meanwhile.
    """
    store, project_id, now = application.catalog.variables, application.settings.project_id, application.clock()
    for one in planned:
        variable = one.variable
        match one.outcome:
            case "created":
                store.create(
                    project_id,
                    name=variable.name,
                    type=variable.type,
                    default_value=variable.default_value,
                    by=None,
                    now=now,
                    id=variable.id,
                )
            case "updated":
                changes = {
                    "type": variable.type,
                    "default_value": variable.default_value,
                    "values": variable.values,
                }
                store.update(project_id, variable.id, changes=changes, now=now)
            case "unchanged":
                pass


def as_planned(catalog: Catalog, planned: Iterable[PlannedVariable]) -> Catalog:
    """The catalog as it is going to be: queries are checked against it before anything is changed."""
    seen = Catalog(catalog.database)
    seen.variables = _PlannedVariables(catalog, [one.variable for one in planned])
    return seen


class _PlannedVariables(VariableStore):
    """Only what queries look up is answered from the plan."""

    def __init__(self, catalog: Catalog, planned: Sequence[Variable]) -> None:
        super().__init__(catalog.database)
        self._planned = planned

    def by_code_name(self, project_id: int, names: Collection[str]) -> Mapping[str, Variable]:
        planned = {variable.code_name: variable for variable in self._planned if variable.code_name in names}
        return {**super().by_code_name(project_id, names), **planned}

    def by_id(self, project_id: int, ids: Collection[str]) -> Mapping[str, Variable]:
        planned = {variable.id: variable for variable in self._planned if variable.id in ids}
        return {**super().by_id(project_id, ids), **planned}


def _planned(application: Application, wanted: ListedVariable, known: Variable | None) -> PlannedVariable:
    if known is None:
        made = Variable(
            id=str(uuid4()),
            project_id=application.settings.project_id,
            name=wanted.name,
            code_name=wanted.name,
            type=wanted.type,
            default_value=wanted.default,
            values=None,
            created_at=application.clock(),
            created_by=None,
            deleted_at=None,
        )
        return PlannedVariable(made, "created")
    if known.type is wanted.type and is_same_json(known.default_value, wanted.default):
        return PlannedVariable(known, "unchanged")
    values = known.values if wanted.type is VariableType.LIST else None  # only lists have some to offer
    return PlannedVariable(replace(known, type=wanted.type, default_value=wanted.default, values=values), "updated")
