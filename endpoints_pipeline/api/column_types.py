"""ClickHouse's types in the contract's ten words (1.16), and as the JSON schemas that their values fit (10.15)."""

from __future__ import annotations

import re
from typing import Any

from clickhouse_connect.datatypes import registry
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.container import Array, Map, Nested, Tuple
from clickhouse_connect.datatypes.special import SimpleAggregateFunction
from clickhouse_connect.driver.exceptions import ClickHouseError

Schema = dict[str, Any]

_WRAPPED = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)", re.DOTALL)
_AGGREGATED = re.compile(r"(?:Simple)?AggregateFunction\((.*)\)", re.DOTALL)
_WORDS = (
    (re.compile(r"U?Int\d+|Interval\w+"), "integer"),
    (re.compile(r"B?Float\d+"), "float"),
    (re.compile(r"Decimal\d*"), "decimal"),
    (re.compile(r"String|FixedString|UUID|Enum\d*|IPv[46]"), "string"),
    (re.compile(r"DateTime(?:64)?"), "datetime"),
    (re.compile(r"Date(?:32)?"), "date"),
    (re.compile(r"Bool"), "boolean"),
    (re.compile(r"Array|Nested"), "array"),
    (re.compile(r"Tuple|Map|JSON"), "json"),
)
# The first that fits a type's base name. Wide integers and decimals are strings, so that no reader rounds them; a float
# may be null, since JSON has no NaN.
_SCHEMAS: tuple[tuple[re.Pattern[str], Schema], ...] = (
    (re.compile(r"U?Int(?:8|16|32|64)|Interval\w+"), {"type": "integer"}),
    (re.compile(r"B?Float\d+"), {"type": "number", "nullable": True}),
    (re.compile(r"Bool"), {"type": "boolean"}),
    (re.compile(r"Date(?:32)?"), {"type": "string", "format": "date"}),
    (re.compile(r"DateTime(?:32|64)?"), {"type": "string", "format": "date-time"}),
    (re.compile(r"UUID"), {"type": "string", "format": "uuid"}),
    (re.compile(r"U?Int\d+|Decimal\d*|String|FixedString|Enum\d*|IPv[46]|Time(?:64)?"), {"type": "string"}),
    (re.compile(r"Point"), {"type": "array", "items": {"type": "number", "nullable": True}}),
    (re.compile(r"JSON"), {"type": "object", "additionalProperties": True}),
)


def column_type(type_name: str) -> str:
    """The contract's word for a ClickHouse type; ``unknown`` if it has none."""
    if wrapped := _WRAPPED.fullmatch(type_name):
        return column_type(wrapped[1])
    if aggregated := _AGGREGATED.fullmatch(type_name):
        return column_type(_last_argument(aggregated[1]))
    base = type_name.partition("(")[0].strip()
    return next((word for pattern, word in _WORDS if pattern.fullmatch(base)), "unknown")


def json_schema(type_name: str) -> Schema:
    """The schema (OpenAPI 3.0) of a type's values in an answer; ``{}``, which fits anything, for what has none."""
    try:
        return _schema(registry.get_from_name(type_name))
    except ClickHouseError:
        return {}


def any_of(schemas: list[Schema]) -> Schema:
    """A schema that fits what any of ``schemas`` fits, without repetitions."""
    if {} in schemas:
        return {}
    different: list[Schema] = []
    for schema in schemas:
        bare = {key: value for key, value in schema.items() if key != "nullable"}
        known = next((one for one in different if {**one, "nullable": None} == {**bare, "nullable": None}), None)
        if known is None:
            different.append(dict(schema))
        elif schema.get("nullable"):
            known["nullable"] = True
    return different[0] if len(different) == 1 else {"anyOf": different}


def _schema(type_: ClickHouseType) -> Schema:
    schema = _not_null(type_)
    return {**schema, "nullable": True} if type_.nullable and schema else schema


def _not_null(type_: ClickHouseType) -> Schema:
    if isinstance(type_, SimpleAggregateFunction):
        return _schema(type_.element_type)
    if isinstance(type_, Nested):
        return {"type": "array", "items": _named(type_.element_names, type_.element_types)}
    if isinstance(type_, Array):
        return {"type": "array", "items": _schema(type_.element_type)}
    if isinstance(type_, Map):
        return {"type": "object", "additionalProperties": _schema(type_.value_type)}
    if isinstance(type_, Tuple):
        if type_.element_names:
            return _named(type_.element_names, type_.element_types)
        items = any_of([_schema(element) for element in type_.element_types]) if type_.element_types else {}
        size = len(type_.element_types)
        return {"type": "array", "items": items, "minItems": size, "maxItems": size}
    base = str(type_.base_type)
    return next((dict(schema) for pattern, schema in _SCHEMAS if pattern.fullmatch(base)), {})


def _named(names: Any, types: Any) -> Schema:
    properties = {name: _schema(element) for name, element in zip(names, types, strict=True)}
    return {"type": "object", "properties": properties, "required": list(names)}


def _last_argument(arguments: str) -> str:
    depth = 0
    for position in range(len(arguments) - 1, -1, -1):
        character = arguments[position]
        depth += (character == ")") - (character == "(")
        if character == "," and depth == 0:
            return arguments[position + 1 :].strip()
    return arguments.strip()
