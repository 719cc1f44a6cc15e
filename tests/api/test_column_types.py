"""ClickHouse's types in the contract's ten words (1.16)."""

from __future__ import annotations

import pytest

from endpoints_pipeline.api.column_types import column_type


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
