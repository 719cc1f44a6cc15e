"""ClickHouse's types in the contract's ten words (1.16), and as JSON schemas (10.15)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from endpoints_pipeline.api.column_types import column_type, json_schema


@pytest.mark.parametrize(
    ("word", "types"),
    [
        ("integer", ["UInt8", "Int64", "UInt256", "Nullable(Int32)", "LowCardinality(Nullable(UInt16))"]),
        ("integer", ["AggregateFunction(sum, UInt64)", "AggregateFunction(quantiles(0.5, 0.9), Nullable(Int8))"]),
        ("integer", ["SimpleAggregateFunction(sum, Int64)"]),
        ("float", ["Float32", "Float64", "BFloat16", "Nullable(Float64)"]),
        ("decimal", ["Decimal(18, 4)", "Decimal32(2)", "Nullable(Decimal(9, 2))"]),
        ("string", ["String", "UUID", "FixedString(16)", "Enum8('a' = 1, 'b)' = 2)", "Enum16('x' = 1)"]),
        ("string", ["LowCardinality(Nullable(String))", "IPv4", "IPv6"]),
        ("datetime", ["DateTime", "DateTime('UTC')", "DateTime64(3, 'Europe/Madrid')", "Nullable(DateTime64(3))"]),
        ("date", ["Date", "Date32", "Nullable(Date)"]),
        ("boolean", ["Bool", "Nullable(Bool)"]),
        ("array", ["Array(Nullable(String))", "Array(Tuple(a UInt8, b String))", "Nested(a UInt8)"]),
        ("array", ["SimpleAggregateFunction(groupArrayArray, Array(Map(String, UInt8)))"]),
        ("json", ["Tuple(UInt8, String)", "Map(String, Array(UInt8))", "JSON", "JSON(max_dynamic_paths=8)"]),
        ("unknown", ["Nothing", "Nullable(Nothing)", "Dynamic", "Variant(UInt8, String)", "Point", "", "Time"]),
    ],
)
def test_every_type_has_its_word(word: str, types: list[str]) -> None:
    assert {name: column_type(name) for name in types} == dict.fromkeys(types, word)


def documented() -> list[tuple[str, Any]]:
    """Type and JSON value of each row of docs/types.md, which the engine's tests prove."""
    text = (Path(__file__).parents[2] / "docs" / "types.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in re.split(r" *\| *", line)[1:-1]] for line in text.splitlines() if line[:3] == "| `"
    ]
    return [(row[0].strip("` "), json.loads(row[3].strip("` "))) for row in rows]


def plain(schema: Any) -> Any:
    """An OpenAPI 3.0 schema in the words of JSON Schema, which spells null as a type."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: plain(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") else found


@pytest.mark.parametrize(("type_", "value"), documented(), ids=lambda value: str(value)[:40])
def test_documented_values_fit_the_schema_of_their_type(type_: str, value: Any) -> None:
    jsonschema_rs.validate(plain(json_schema(type_)), value, validate_formats=True)


@pytest.mark.parametrize(
    ("type_", "schema"),
    [
        ("Nullable(UInt64)", {"type": "integer", "nullable": True}),
        ("UInt128", {"type": "string"}),
        ("Array(Nullable(Date))", {"type": "array", "items": {"type": "string", "format": "date", "nullable": True}}),
        ("Map(String, Bool)", {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (
            "Tuple(UInt8, Nullable(Int16), String)",
            {
                "type": "array",
                "items": {"anyOf": [{"type": "integer", "nullable": True}, {"type": "string"}]},
                "minItems": 3,
                "maxItems": 3,
            },
        ),
        ("Dynamic", {}),
        ("Nullable(Nothing)", {}),
        ("a type of tomorrow", {}),
    ],
)
def test_a_type_has_the_schema_of_its_values(type_: str, schema: dict[str, Any]) -> None:
    assert json_schema(type_) == schema
