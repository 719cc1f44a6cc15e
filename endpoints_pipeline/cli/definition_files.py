"""Definitions of endpoints in YAML, which people keep in their repositories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from endpoints_pipeline.api.publishing import is_storable
from endpoints_pipeline.catalog.mapping import is_same_json
from endpoints_pipeline.catalog.variables import code_name_of
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.frequency import DEFAULT_FRESHNESS_SECONDS, FRESHNESS_BUCKETS, frequency_of
from endpoints_pipeline.query.variables import VariableType, bind, expanded, placeholders
from endpoints_pipeline.serving.publish import (
    check_buckets,
    check_frequency,
    check_freshness,
    check_name,
    freshness_of,
)

_SUFFIXES = (".yaml", ".yml")
_QUERY_KIND = "HogQLQuery"
# PostHog's command line writes "integer" and "array", and all of them in lower case
_TYPES = {**{word.lower(): word for word in VariableType}, "integer": VariableType.NUMBER, "array": VariableType.LIST}
_DEEPEST = 3

_Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class ListedVariable:
    """A variable of the project as a file wants it; ``name`` is its code name, a ``default`` of None is NULL."""

    name: str
    type: VariableType
    default: Any

    def to_body(self) -> dict[str, Any]:
        """The body of ``POST /insight_variables`` that makes the variable, and of the ``PATCH`` that brings it here."""
        return {"name": self.name, "type": self.type.value, "default_value": self.default}


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionFile:
    """What a file asks for, with its defaults filled in: the file is the whole truth about its endpoint.

    Attributes:
        path: The file, for messages.
        query: The SQL, with every placeholder as ``{variables.name}``.
        query_fields: What else the query object has.
        variables: Those that the file lists; its SQL may use others of the project.
        sync_frequency: None exactly if the endpoint isn't materialized.
    """

    path: Path
    name: str
    description: str
    query: str
    query_fields: Mapping[str, Any] = field(default_factory=dict)
    variables: Sequence[ListedVariable] = ()
    is_active: bool
    is_materialized: bool
    data_freshness_seconds: int
    sync_frequency: str | None
    bucket_overrides: Mapping[str, str] | None = None

    @property
    def query_object(self) -> dict[str, Any]:
        return {**self.query_fields, "kind": _QUERY_KIND, "query": self.query}

    def to_body(self) -> dict[str, Any]:
        """The body of ``POST /endpoints`` that creates the endpoint, and of the ``PATCH`` that brings it to this."""
        body: dict[str, Any] = {
            "name": self.name,
            "query": self.query_object,
            "description": self.description,
            "is_active": self.is_active,
            "is_materialized": self.is_materialized,
            "bucket_overrides": self.bucket_overrides,
        }
        if self.sync_frequency is not None:
            body["sync_frequency"] = self.sync_frequency
        if self.data_freshness_seconds in FRESHNESS_BUCKETS:  # any other one follows from the frequency
            body["data_freshness_seconds"] = self.data_freshness_seconds
        return body


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Variable(_Model):
    name: str
    type: str
    default: Any = None


class _Materialization(_Model):
    enabled: bool
    schedule: str | None = None
    buckets: dict[str, str] | None = None


class _Definition(_Model):
    name: str
    description: str = ""
    query: str | None = None
    query_definition: dict[str, Any] | None = None
    variables: list[_Variable] = []
    is_active: bool = True
    data_freshness_seconds: int | None = None
    materialization: _Materialization = _Materialization(enabled=False)


_NESTED: Mapping[int | str, type[_Model]] = {"variables": _Variable, "materialization": _Materialization}


class _Loader(yaml.SafeLoader):
    """Reads what looks like a date as the text that it is, as YAML 1.2 does."""

    yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class _Place:
    """A file, and the line of each of its keys."""

    path: Path
    lines: Mapping[_Location, int]

    def line(self, *location: int | str) -> str:
        """The words for the line of the key, or of the nearest one above it."""
        while location and location not in self.lines:
            location = location[:-1]
        return f", line {self.lines[location]}" if location else ""

    @contextmanager
    def at(self, *location: int | str) -> Iterator[None]:
        """Says of a refusal within which file and line it is about."""
        try:
            yield
        except InvalidInput as error:
            message = f"{self.path}{self.line(*location)}: {error}"
            raise InvalidInput(message, attr=error.attr, code=error.code) from None


def load(paths: Sequence[Path]) -> list[DefinitionFile]:
    """Read definitions from files, and from the ``*.yaml`` and ``*.yml`` in folders, in the order of their names.

    Raises:
        InvalidInput: The first fault; the message names the file and, where it can, the line.
    """
    files: dict[str, DefinitionFile] = {}
    for path in dict.fromkeys(file for given in paths for file in _files(given)):
        found = _load(path)
        if found.name in files:
            raise InvalidInput(f"{path}: {files[found.name].path} defines '{found.name}', too.", attr="name")
        files[found.name] = found
    listed_variables(files.values())
    return list(files.values())


def listed_variables(files: Iterable[DefinitionFile]) -> Mapping[str, ListedVariable]:
    """The variables that the files list, by name.

    Raises:
        InvalidInput: Two files list one with different types or defaults; the message names both.
    """
    found: dict[str, tuple[ListedVariable, Path]] = {}
    for file in files:
        for variable in file.variables:
            other, path = found.setdefault(variable.name, (variable, file.path))
            if other.type is not variable.type or not is_same_json(other.default, variable.default):
                raise InvalidInput(
                    f"{file.path}: {path} lists the variable '{variable.name}' with another type or default.",
                    attr="variables",
                )
    return {name: variable for name, (variable, _) in found.items()}


def _files(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    if not found:
        raise InvalidInput(f"{path}: there is no *.yaml or *.yml file in this folder.")
    return found


def _load(path: Path) -> DefinitionFile:
    place = _Place(path, {})
    try:
        loader = _Loader(path.read_bytes())
        node = loader.get_single_node()
        place = _Place(path, dict(_lines(node)))
        definition = _Definition.model_validate(loader.construct_document(node) if node else None)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}.") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path}: this isn't YAML: {' '.join(str(error).split())}") from error
    except _Twice as error:
        raise InvalidInput(f"{path}, {error}.") from error
    except ValidationError as error:
        raise InvalidInput(f"{path}{_first_fault(error, place)}.") from None
    return _checked(definition, place)


def _checked(definition: _Definition, place: _Place) -> DefinitionFile:
    wish = definition.materialization
    schedule = wish.schedule if wish.enabled else None
    freshness = definition.data_freshness_seconds
    with place.at("name"):
        check_name(definition.name)
    variables = [_variable(wanted, index, place) for index, wanted in enumerate(definition.variables)]
    sql, query_fields = _query(definition, [variable.name for variable in variables], place)
    with place.at("data_freshness_seconds"):
        if freshness is not None:
            check_freshness(freshness)
    with place.at("materialization", "schedule"):
        if wish.schedule is not None:
            check_frequency(wish.schedule)
    with place.at("materialization", "buckets"):
        buckets = check_buckets(wish.buckets)
    with place.at("materialization"):
        if wish.enabled and not definition.is_active:
            raise InvalidInput("An inactive endpoint can't be materialized.", attr="is_materialized")
    if freshness is None:
        freshness = (freshness_of(schedule) if schedule else None) or DEFAULT_FRESHNESS_SECONDS
    return DefinitionFile(
        path=place.path,
        name=definition.name,
        description=definition.description.strip(),
        query=sql,
        query_fields=query_fields,
        variables=tuple(variables),
        is_active=definition.is_active,
        is_materialized=wish.enabled,
        data_freshness_seconds=freshness,
        sync_frequency=(schedule or frequency_of(freshness)) if wish.enabled else None,
        bucket_overrides=buckets if wish.enabled else None,
    )


def _query(definition: _Definition, listed: Sequence[str], place: _Place) -> tuple[str, Mapping[str, Any]]:
    """The SQL, with its placeholders spelled out, and the other fields of its query object."""
    if definition.query_definition is None:
        key, query = "query", {"kind": _QUERY_KIND, "query": definition.query}
        if definition.query is None:
            raise InvalidInput(f"{place.path}: the key 'query' is missing, and so is 'query_definition'.", attr="query")
    else:
        key, query = "query_definition", definition.query_definition
        with place.at(key):
            if definition.query is not None:
                raise InvalidInput("Give 'query' or 'query_definition', not both.", attr="query")
            query = _json(query)
    kind, sql = query.get("kind"), query.get("query")
    with place.at(key, "kind"):
        if kind != _QUERY_KIND:
            raise InvalidInput(f"Query kind {kind!r} is not supported: only {_QUERY_KIND} (SQL) is.", attr="query")
    with place.at(key, "query"):
        if not isinstance(sql, str) or not sql.strip():
            raise InvalidInput("The query is empty.", attr="query")
        if not is_storable(query):
            raise InvalidInput("Null characters and infinite numbers are not allowed.", attr="query")
        sql = expanded(sql.strip(), listed)
        used = placeholders(sql)
    for index, name in enumerate(listed):
        with place.at("variables", index):
            if name not in used:
                raise InvalidInput(f"The query doesn't use the variable '{name}'.", attr="variables")
            if name in listed[:index]:
                raise InvalidInput(f"The variable '{name}' is listed twice.", attr="variables")
    return sql, {name: value for name, value in query.items() if name not in ("kind", "query")}


def _variable(wanted: _Variable, index: int, place: _Place) -> ListedVariable:
    with place.at("variables", index, "name"):
        if not wanted.name or wanted.name != code_name_of(wanted.name):
            raise InvalidInput(
                f"Invalid variable name '{wanted.name}': write its code name, of lower-case letters, digits and '_'.",
                attr="variables",
            )
    with place.at("variables", index, "type"):
        declared = _TYPES.get(wanted.type.lower())
        if declared is None:
            words = ", ".join(VariableType)
            raise InvalidInput(f"A variable's type is one of {words}, not '{wanted.type}'.", attr="variables")
    with place.at("variables", index, "default"):
        bind(wanted.name, declared, wanted.default)
        if not is_storable(wanted.default):
            raise InvalidInput("Null characters and infinite numbers are not allowed.", attr="variables")
    return ListedVariable(wanted.name, declared, wanted.default)


def _json(query: Mapping[str, Any]) -> dict[str, Any]:
    """The query as the API would get it."""
    try:
        sent: dict[str, Any] = json.loads(json.dumps(query, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput("There is something in it that JSON can't hold.", attr="query") from None
    return sent


class _Twice(Exception):
    """A key stands twice in one mapping, and YAML would silently take the last."""


def _lines(node: yaml.Node | None, parent: _Location = ()) -> Iterator[tuple[_Location, int]]:
    """The line of each key and item of a definition, down to the third level."""
    if len(parent) == _DEEPEST:  # an alias may make a ring
        return
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*parent, index), item.start_mark.line + 1
            yield from _lines(item, (*parent, index))
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if key.value in seen:
            raise _Twice(f"line {line}: the key '{key.value}' stands there twice")
        seen.add(key.value)
        yield (*parent, key.value), line
        yield from _lines(value, (*parent, key.value))


def _first_fault(error: ValidationError, place: _Place) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    location = fault["loc"]
    where = f"{place.line(*location)}: "
    key = ".".join(map(str, location))
    if fault["type"] == "extra_forbidden":
        model = _NESTED[location[0]] if len(location) > 1 else _Definition
        return f"{where}unknown key '{key}'; known are {', '.join(model.model_fields)}"
    if not location:
        return ": a definition is a mapping with the keys name and query"
    if fault["type"] == "missing":
        return f"{where}the key '{key}' is missing"
    return f"{where}{key}: {fault['msg']}"
