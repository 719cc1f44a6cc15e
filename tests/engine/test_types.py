"""docs/types.md is true: each of its rows is computed, from the source and from Parquet on S3."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.engine.types import json_columns, json_type, restored_columns, storage_type, structure
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.snapshots.objects import Bucket
from tests.engine.materializing import Materialized

DOCUMENT = Path(__file__).parents[2] / "docs" / "types.md"
REFUSED = "refused"


@dataclass(frozen=True)
class Row:
    type: str
    example: str
    parquet: str
    json: str
    notes: str


def documented() -> list[Row]:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    cells = [
        re.split(r" *\| *", line.strip().removeprefix("|").removesuffix("|").strip()) for line in lines[begin + 1 :]
    ]
    return [
        Row(*(cell.strip("` ") if number < 4 else cell for number, cell in enumerate([*row, ""][:5]))) for row in cells
    ]


ROWS = documented()
STORABLE = [row for row in ROWS if row.parquet != REFUSED]


@pytest.fixture(scope="module")
def materialized(request: pytest.FixtureRequest, bucket: Bucket) -> Mapping[str, Materialized]:
    """Every storable example in one object, for each home of the engine; made when asked for."""
    select = ", ".join(f"{row.example} AS c{number}" for number, row in enumerate(STORABLE))

    class Homes(dict[str, Materialized]):
        def __missing__(self, home: str) -> Materialized:
            engine: Engine = request.getfixturevalue(f"{home}_engine")
            self[home] = Materialized(engine, bucket, f"SELECT {select}")
            return self[home]

    return Homes()


def exact(text: str | bytes) -> Any:
    """JSON with every number as it is written."""
    return json.loads(text, parse_int=str, parse_float=str)


def test_the_table_covers_what_it_should() -> None:
    types = " ".join(row.type for row in ROWS)
    for word in (
        "Int8 UInt256 BFloat16 Decimal(76 Date32 DateTime64(9) Time64 FixedString UUID IPv6 Enum16 Bool JSON"
    ).split():
        assert word in types
    assert len(STORABLE) > 60
    assert len(ROWS) - len(STORABLE) >= 6


@pytest.mark.parametrize("row", STORABLE, ids=lambda row: f"{row.type}: {row.example}")
def test_a_storable_type(materialized: Mapping[str, Materialized], home: str, row: Row) -> None:
    found = materialized[home]
    number = STORABLE.index(row)
    column = found.columns[number]
    assert column.type == row.type
    arrow = str(found.file().schema_arrow.field(number).type).replace(f"('c{number}')", "('x')")
    assert arrow == row.parquet
    direct = found.engine.json_rows(
        f"SELECT {json_columns([Column('x', column.type)])} FROM (SELECT {row.example} AS x)"
    )
    assert exact(direct.data) == [exact(row.json)]
    assert found.rows([column]) == direct.data


def test_all_of_them_in_one_row(materialized: Mapping[str, Materialized], home: str) -> None:
    found = materialized[home]
    select = ", ".join(f"{row.example} AS c{number}" for number, row in enumerate(STORABLE))
    direct = found.engine.json_rows(f"SELECT {json_columns(found.columns)} FROM (SELECT {select})")
    assert found.rows() == direct.data


@pytest.mark.parametrize("row", [row for row in ROWS if row.parquet == REFUSED], ids=lambda row: row.type)
def test_a_refused_type(engine: Engine, row: Row) -> None:
    [column] = engine.describe(engine.canonical(f"SELECT {row.example} AS x"))
    assert column.type == row.type
    with pytest.raises(InvalidInput) as refusal:
        storage_type(column)
    assert refusal.value.attr == "query"
    assert str(refusal.value) == (
        f"Cannot materialize endpoint. Reason: column 'x' has type {row.type}, which Parquet can't hold. "
        "Finish the aggregate or convert the column in the query, for example toString(`x`)."
    )
    direct = engine.json_rows(f"SELECT {json_columns([column])} FROM (SELECT {row.example} AS x)")
    assert exact(direct.data) == [exact(row.json)]


@pytest.mark.parametrize(
    ("type_name", "stored"),
    [
        ("UInt8", "UInt8"),
        ("Array(Time)", "Array(String)"),
        ("Nullable(Time64(3))", "Nullable(String)"),
        ("Map(Time, BFloat16)", "Map(String, Float32)"),
        ("Map(Nothing, Nothing)", "Map(String, Nullable(String))"),
        ("Tuple(a IntervalDay, `b c` Tuple(Time))", "Tuple(`a` Int64, `b c` Tuple(String))"),
        ("Nested(a UInt8, b Time)", "Array(Tuple(`a` UInt8, `b` String))"),
        ("SimpleAggregateFunction(any, Time)", "String"),
        ("SimpleAggregateFunction(sum, UInt64)", "SimpleAggregateFunction(sum, UInt64)"),
        ("Tuple(`a, b Time` Time, `c) (` UInt8)", "Tuple(`a, b Time` String, `c) (` UInt8)"),
        ("Map(Enum8('a, Time' = 1, ')' = 2), Time)", "Map(Enum8('a, Time' = 1, ')' = 2), String)"),
        ("SomethingNew(1)", "SomethingNew(1)"),
    ],
)
def test_what_a_type_is_kept_as(type_name: str, stored: str) -> None:
    assert storage_type(Column("x", type_name)) == stored


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("UInt64", "UInt64"),
        ("Int128", "String"),
        ("Nullable(UInt256)", "Nullable(String)"),
        ("Array(Map(Int128, Int256))", "Array(Map(String, String))"),
        ("LowCardinality(Nullable(Int128))", "Nullable(String)"),
        ("Tuple(a Int128, b UInt8)", "Tuple(`a` String, `b` UInt8)"),
        ("Decimal(76, 2)", "Decimal(76, 2)"),
    ],
)
def test_what_a_type_is_cast_to_for_json(type_name: str, expected: str) -> None:
    assert json_type(type_name) == expected


NAMES = [
    "a",
    "`a`",
    '"a"',
    "a.b",
    "a b",
    "a`b",
    "a\\",
    "\\n",
    "a\nb",
    "it's",
    "é漢😀",
    "{a:String}",
    "%s",
    "A",
    "count()",
]
NAMES += ["`x`, file('/etc/passwd') AS `y`", "select", "1", "x) FROM numbers(3) --", "_row", "element"]


@pytest.mark.parametrize("wide", [False, True], ids=["as is", "cast"])
def test_columns_may_have_any_name(engine: Engine, bucket: Bucket, wide: bool) -> None:
    names = NAMES
    quoted = ["`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`" for name in names]
    value = "toInt128({})" if wide else "{}"
    sql = "SELECT " + ", ".join(f"{value.format(number)} AS {name}" for number, name in enumerate(quoted))
    columns = engine.describe(engine.canonical(sql))
    assert [column.name for column in columns] == names
    direct = engine.json_rows(f"SELECT {json_columns(columns)} FROM ({engine.canonical(sql)})")
    expected = [str(number) if wide else number for number in range(len(names))]
    assert json.loads(direct.data) == expected
    found = Materialized(engine, bucket, sql)
    assert found.file().schema_arrow.names == names
    assert found.rows() == direct.data


def test_two_columns_of_one_name_are_both_read(engine: Engine) -> None:
    canonical = engine.canonical("SELECT 1, 2, 1, toInt128(3), toInt128(3)")
    columns = engine.describe(canonical)
    assert engine.json_rows(f"SELECT {json_columns(columns)} FROM ({canonical})").data == b'[1, 2, 1, "3", "3"]'


def test_unusual_low_cardinality_and_long_fixed_strings_come_back(engine: Engine, bucket: Bucket) -> None:
    """The engine makes such columns only under a setting, but a source may have them."""
    sql = "SELECT 5::LowCardinality(UInt64) AS a, '1.2.3.4'::LowCardinality(IPv4) AS b, toFixedString('x', 300) AS c"
    found = Materialized(engine, bucket, sql)
    assert [column.type for column in found.columns][:2] == ["LowCardinality(UInt64)", "LowCardinality(IPv4)"]
    assert json.loads(found.rows()) == [5, "1.2.3.4", "x" + "\0" * 299]


def test_named_tuples_are_described_on_one_line(engine: Engine) -> None:
    [column] = engine.describe(
        engine.canonical("SELECT (1, 'x')::Tuple(a UInt8, b Tuple(c String)) AS t".replace("'x'", "tuple('x')"))
    )
    assert column.type == "Tuple(a UInt8, b Tuple(c String))"


def test_select_lists_are_plain_where_nothing_needs_a_cast() -> None:
    columns = [Column("a", "UInt8"), Column("b", "Time"), Column("c", "Int128")]
    assert structure(columns) == "`a` UInt8, `b` String, `c` Int128"
    assert restored_columns(columns) == "`a`, CAST(`b`, 'Time') AS `b`, CAST(`c`, 'String') AS `c`"
