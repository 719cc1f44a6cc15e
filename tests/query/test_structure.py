from __future__ import annotations

import pytest

from endpoints_pipeline.query.structure import is_plain_structure


@pytest.mark.parametrize(
    "text",
    [
        "x UInt8",
        " x  UInt8 ,\n y String ",
        "x Array(Nullable(String)), y Map(String, Tuple(a UInt8, b Array(Int8)))",
        "x Enum8('a,b' = -1, 'c)' = 2, 'it''s' = 3, 'd\\'' = 4)",
        "`weird, name` DateTime64(3, 'Asia/Tokyo'), \"other)\" Decimal(10, 2)",
        "x AggregateFunction(quantile(0.5), UInt8)",
    ],
)
def test_names_and_types_are_plain(text: str) -> None:
    assert is_plain_structure(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "x UInt8,",
        "x UInt8 DEFAULT 1",
        "x UInt8 ALIAS f(1)",
        "x ALIAS f(1)",
        "x MATERIALIZED f(1)",
        "x String EPHEMERAL f(1)",
        "x String CODEC(ZSTD)",
        "x Array(String) ALIAS f('a')",
        "x String, y String ALIAS f(1), z String",
        "x String/**/ALIAS/**/f(1)",
        "x String(/*'*/) ALIAS file('/etc/passwd')",
        "x String(/*`*/) ALIAS file(`/etc/passwd`)",
        "x String -- '\n ALIAS f('a')",
        "x String # '\n ALIAS f('a')",
        "x String $$'$$ ALIAS f('a')",
        "x String) ALIAS f(1",
        "x String ALIAS f(1",
        "x Enum8('a' = 1) DEFAULT 'a'",
        "x\u00a0String\u00a0ALIAS\u00a0f(1)",
    ],
)
def test_whatever_else_is_not(text: str) -> None:
    assert not is_plain_structure(text)
