"""Definitions of endpoints in YAML, which people keep in their repositories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.frequency import DEFAULT_FRESHNESS_SECONDS, FRESHNESS_BUCKETS, frequency_of
from endpoints_pipeline.serving.publish import check_frequency, check_freshness, check_name, freshness_of

_SUFFIXES = (".yaml", ".yml")
_TO_COME = ("query_definition", "variables")

_Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionFile:
    """What a file asks for, with its defaults filled in: the file is the whole truth about its endpoint.

    Attributes:
        path: The file, for messages.
        sync_frequency: None exactly if the endpoint isn't materialized.
    """

    path: Path
    name: str
    description: str
    query: str
    is_active: bool
    is_materialized: bool
    data_freshness_seconds: int
    sync_frequency: str | None

    @property
    def query_object(self) -> dict[str, Any]:
        return {"kind": "HogQLQuery", "query": self.query}

    def to_body(self) -> dict[str, Any]:
        """The body of ``POST /endpoints`` that creates the endpoint, and of the ``PATCH`` that brings it to this."""
        body: dict[str, Any] = {
            "name": self.name,
            "query": self.query_object,
            "description": self.description,
            "is_active": self.is_active,
            "is_materialized": self.is_materialized,
        }
        if self.sync_frequency is not None:
            body["sync_frequency"] = self.sync_frequency
        if self.data_freshness_seconds in FRESHNESS_BUCKETS:  # any other one follows from the frequency
            body["data_freshness_seconds"] = self.data_freshness_seconds
        return body


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Materialization(_Model):
    enabled: bool
    schedule: str | None = None


class _Definition(_Model):
    name: str
    description: str = ""
    query: str
    is_active: bool = True
    data_freshness_seconds: int | None = None
    materialization: _Materialization = _Materialization(enabled=False)


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
    return list(files.values())


def _files(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    if not found:
        raise InvalidInput(f"{path}: there is no *.yaml or *.yml file in this folder.")
    return found


def _load(path: Path) -> DefinitionFile:
    try:
        text = path.read_bytes()
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = dict(_lines(node))
        definition = _Definition.model_validate(yaml.safe_load(text))
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}.") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path}: this isn't YAML: {' '.join(str(error).split())}") from error
    except _Twice as error:
        raise InvalidInput(f"{path}, {error}.") from error
    except ValidationError as error:
        raise InvalidInput(f"{path}{_first_fault(error, lines)}.") from None
    return _checked(path, definition, lines)


def _checked(path: Path, definition: _Definition, lines: Mapping[_Location, int]) -> DefinitionFile:
    wish = definition.materialization
    schedule = wish.schedule if wish.enabled else None
    freshness = definition.data_freshness_seconds
    location: _Location = ("name",)
    try:
        check_name(definition.name)
        location = ("query",)
        if not definition.query.strip():
            raise InvalidInput("The query is empty.", attr="query")
        location = ("data_freshness_seconds",)
        if freshness is not None:
            check_freshness(freshness)
        location = ("materialization", "schedule")
        if wish.schedule is not None:
            check_frequency(wish.schedule)
        location = ("materialization",)
        if wish.enabled and not definition.is_active:
            raise InvalidInput("An inactive endpoint can't be materialized.", attr="is_materialized")
    except InvalidInput as error:
        raise InvalidInput(f"{path}{_line(location, lines)}: {error}", attr=error.attr, code=error.code) from None
    if freshness is None:
        freshness = (freshness_of(schedule) if schedule else None) or DEFAULT_FRESHNESS_SECONDS
    return DefinitionFile(
        path=path,
        name=definition.name,
        description=definition.description.strip(),
        query=definition.query.strip(),
        is_active=definition.is_active,
        is_materialized=wish.enabled,
        data_freshness_seconds=freshness,
        sync_frequency=(schedule or frequency_of(freshness)) if wish.enabled else None,
    )


class _Twice(Exception):
    """A key stands twice in one mapping, and YAML would silently take the last."""


def _lines(node: yaml.Node | None, parent: _Location = ()) -> Iterator[tuple[_Location, int]]:
    """The line of each key of a definition, and of each key below one."""
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
        if not parent:  # a definition has two levels, and an alias may make a ring
            yield from _lines(value, (key.value,))


def _first_fault(error: ValidationError, lines: Mapping[_Location, int]) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    location = fault["loc"]
    where = f"{_line(location, lines)}: "
    key = ".".join(map(str, location))
    if fault["type"] == "extra_forbidden":
        if key in _TO_COME:
            return f"{where}'{key}' is not supported yet"
        model = _Materialization if len(location) > 1 else _Definition
        return f"{where}unknown key '{key}'; known are {', '.join(model.model_fields)}"
    if not location:
        return ": a definition is a mapping with the keys name and query"
    if fault["type"] == "missing":
        return f"{where}the key '{key}' is missing"
    return f"{where}{key}: {fault['msg']}"


def _line(location: _Location, lines: Mapping[_Location, int]) -> str:
    return f", line {lines[location]}" if location in lines else ""
