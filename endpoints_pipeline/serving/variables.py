"""An endpoint's variables: their definitions in the query, and the values of a run (contract 2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Variable
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.variables import Bound, VariableType, bind, dummy, parse_text, placeholders
from endpoints_pipeline.serving.request import RunRequest


@dataclass(frozen=True, slots=True)
class Definition:
    """A variable as one query has it.

    Attributes:
        variable_id: The project's variable.
        code_name: Its name in the query.
        type: What its values must be.
        value: The value of a run that gives none; None is NULL.
    """

    variable_id: str
    code_name: str
    type: VariableType
    value: Any


def sync_query(catalog: Catalog, project_id: int, query: Mapping[str, Any], sql: str) -> Mapping[str, Any]:
    """The query with a definition for each variable that its SQL names, and no others (contract 2.3).

    Args:
        catalog: Where the project's variables are.
        project_id: The project.
        query: The query object; its ``variables`` hold definitions by variable id.
        sql: Its text.

    Raises:
        InvalidInput: A name without a definition, or a definition that fits nothing, with ``attr="query"``.
    """
    names = placeholders(sql)
    given = query.get("variables") or {}
    if not isinstance(given, Mapping) or not all(isinstance(entry, Mapping) for entry in given.values()):
        raise InvalidInput("Query variables must be an object of definitions by variable id.", attr="query")
    if not names:
        return {**query, "variables": None}
    kept = {key: entry for key, entry in given.items() if entry.get("code_name") in names}
    _require_ids(kept)
    known = catalog.variables.by_id(project_id, list(kept))
    if unknown := sorted(key for key in kept if key not in known):
        raise InvalidInput(f"Variable ID(s) not found: {', '.join(unknown)}", attr="query")
    defined = {str(entry["code_name"]) for entry in kept.values()}
    added = catalog.variables.by_code_name(project_id, [name for name in names if name not in defined])
    if undefined := sorted(set(names) - defined - added.keys()):
        raise InvalidInput(
            f"Query references undefined variable(s): {', '.join(undefined)}. Create them in the project first: "
            f"POST /api/projects/{project_id}/insight_variables.",
            attr="query",
        )
    variables = {key: _synced(entry, known[key]) for key, entry in kept.items()}
    for variable in added.values():
        variables[variable.id] = _synced({"code_name": variable.code_name}, variable)
    return {**query, "variables": variables}


def definitions(catalog: Catalog, project_id: int, query: Mapping[str, Any]) -> Mapping[str, Definition]:
    """The query's variables by code name."""
    entries: Mapping[str, Mapping[str, Any]] = query.get("variables") or {}
    if not entries:
        return {}
    known = catalog.variables.by_id(project_id, list(entries))
    found = {}
    for key, entry in entries.items():
        variable = known[key]
        value = entry.get("value")
        if value is None and not entry.get("isNull"):
            value = variable.default_value
        name = str(entry["code_name"])
        found[name] = Definition(variable.id, name, variable.type, value)
    return found


def describing(defined: Iterable[Definition]) -> Mapping[str, Bound]:
    """Values under which a query is described when it is saved: its own, else any that fit."""
    return {
        one.code_name: bind(one.code_name, one.type, dummy(one.type) if one.value is None else one.value)
        for one in defined
    }


def values(
    defined: Mapping[str, Definition], request: RunRequest, *, all_required: bool = False
) -> Mapping[str, Bound]:
    """The value of each variable in a run: the caller's, else the query's own.

    Args:
        defined: The query's variables by code name.
        request: The run.
        all_required: The caller must give each of them, and none as null.

    Raises:
        InvalidInput: A name that the query doesn't have, one that is missing, or a value that doesn't fit
            (``attr="variables"``).
    """
    given = {**_overrides(defined, request.variables_override), **_texts(defined, request), **request.variables}
    if unknown := sorted(given.keys() - defined.keys()):
        raise InvalidInput(f"Unknown variable(s): {', '.join(unknown)}", attr="variables")
    if all_required and (missing := sorted(name for name in defined if given.get(name) is None)):
        names = ", ".join(f"'{name}'" for name in missing)
        raise InvalidInput(f"Required variable(s) {names} not provided", attr="variables")
    return {name: bind(name, one.type, given.get(name, one.value)) for name, one in defined.items()}


def _texts(defined: Mapping[str, Definition], request: RunRequest) -> Mapping[str, Any]:
    return {
        name: parse_text(name, defined[name].type, text) if name in defined else text
        for name, text in request.variable_texts.items()
    }


def _overrides(defined: Mapping[str, Definition], overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """The seed's ``variables_override``: definitions by id, or by code name (contract 10.19)."""
    names = {one.variable_id: one.code_name for one in defined.values()}
    given = {}
    for key, entry in overrides.items():
        if not isinstance(entry, Mapping):
            raise InvalidInput(f"The override of '{key}' must be an object with a value.", attr="variables_override")
        name = names.get(key, key)
        given[name] = None if entry.get("isNull") else entry.get("value")
    return given


def _require_ids(entries: Iterable[str]) -> None:
    if invalid := sorted(key for key in entries if not _is_uuid(key)):
        raise InvalidInput(f"Variable ID(s) not valid UUIDs: {', '.join(invalid)}", attr="query")


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def _synced(entry: Mapping[str, Any], variable: Variable) -> Mapping[str, Any]:
    value, is_null = entry.get("value"), entry.get("isNull")
    if value is None and not is_null:
        value = variable.default_value
        is_null = True if value is None else None
    try:
        bind(variable.code_name, variable.type, value)
    except InvalidInput as error:
        raise InvalidInput(str(error), attr="query") from error
    return {"variableId": variable.id, "code_name": entry["code_name"], "value": value, "isNull": is_null}
