"""Snapshots' parts as tables: right under concurrency, few, and out of reach for people's queries."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.engine import Engine, Role
from endpoints_pipeline.engine.part_tables import DATABASE, PartTables
from endpoints_pipeline.errors import EndpointsError, InvalidInput
from endpoints_pipeline.snapshots.objects import Bucket

STRUCTURE = "`n` UInt32, `part` UInt16"
ROWS = 50_000


@pytest.fixture(scope="module")
def keys(bucket: Bucket) -> Iterator[list[str]]:
    """Objects that tell which one they are."""
    made = [f"part-tables/{number}.parquet" for number in range(12)]
    for number, key in enumerate(made):
        table = pa.table({"n": pa.array(range(ROWS), pa.uint32()), "part": pa.array([number] * ROWS, pa.uint16())})
        body = io.BytesIO()
        pq.write_table(table, body, row_group_size=5_000)
        body.seek(0)
        bucket.upload(key, body)
    yield made
    bucket.delete_folder("part-tables/")


@pytest.fixture
def few(embedded_engine: Engine) -> Iterator[PartTables]:
    tables = PartTables(embedded_engine._handles, embedded_engine.s3, secrets=(embedded_engine.s3.secret_key,), kept=3)
    yield tables
    embedded_engine.query(f"DROP DATABASE IF EXISTS {DATABASE}")


def names(engine: Engine) -> set[str]:
    return {str(name) for (name,) in engine.query(f"SELECT name FROM system.tables WHERE database = '{DATABASE}'")}


def numbers(engine: Engine, table: str) -> tuple[list[int], set[int]]:
    """What a table's rows hold, in their order."""
    data = engine.json_rows(f"SELECT * FROM {table}", role=Role.SNAPSHOT_READER).data
    rows = orjson.loads(b"[" + data + b"]")
    return [row[0] for row in rows], {row[1] for row in rows}


def test_rows_come_in_their_order(embedded_engine: Engine, bucket: Bucket, few: PartTables, keys: list[str]) -> None:
    with few.leased(bucket.name, keys[:1], STRUCTURE) as [table]:
        assert numbers(embedded_engine, table) == (list(range(ROWS)), {0})


def test_many_threads_over_few_tables(
    embedded_engine: Engine, bucket: Bucket, few: PartTables, keys: list[str]
) -> None:
    def read(number: int) -> bool:
        wanted = number % len(keys)
        with few.leased(bucket.name, [keys[wanted]], STRUCTURE) as [table]:
            [(count, found)] = embedded_engine.query(f"SELECT count(), any(part) FROM {table}")
            return (count, found) == (ROWS, wanted)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(60)))
    assert len(names(embedded_engine)) <= 3


def test_a_table_stays_while_it_is_read(
    embedded_engine: Engine, bucket: Bucket, few: PartTables, keys: list[str]
) -> None:
    with few.leased(bucket.name, keys[:5], STRUCTURE) as tables:
        for key in keys[5:]:
            with few.leased(bucket.name, [key], STRUCTURE):
                pass
        assert [numbers(embedded_engine, table)[1] for table in tables] == [{0}, {1}, {2}, {3}, {4}]
    assert len(names(embedded_engine)) <= 3


def test_another_structure_is_another_table(
    embedded_engine: Engine, bucket: Bucket, few: PartTables, keys: list[str]
) -> None:
    with (
        few.leased(bucket.name, keys[:1], STRUCTURE) as [both],
        few.leased(bucket.name, keys[:1], "`n` String") as [one],
    ):
        assert both != one
        assert embedded_engine.query(f"SELECT toTypeName(n) FROM {one} LIMIT 1") == [("String",)]


def test_what_cannot_be_made_is_not_kept(
    embedded_engine: Engine, bucket: Bucket, few: PartTables, keys: list[str]
) -> None:
    with pytest.raises(EndpointsError) as failure, few.leased(bucket.name, [keys[0], keys[1]], "`n` NoSuchType"):
        pass
    assert embedded_engine.s3.secret_key not in str(failure.value)
    with few.leased(bucket.name, keys[:1], STRUCTURE) as [table]:
        assert numbers(embedded_engine, table)[1] == {0}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {table}",
        "SELECT * FROM users WHERE user_id IN (SELECT n FROM {table})",
        "SELECT * FROM users WHERE user_id IN {table}",
        "SELECT create_table_query FROM system.tables",
        "SHOW CREATE TABLE {table}",
        "SELECT * FROM merge('snapshot_parts', '.*')",
    ],
)
def test_people_cannot_name_them(
    embedded_engine: Engine, bucket: Bucket, few: PartTables, keys: list[str], sql: str
) -> None:
    with few.leased(bucket.name, keys[:1], STRUCTURE) as [table], pytest.raises(InvalidInput) as refusal:
        embedded_engine.guard(sql.format(table=table))
    assert embedded_engine.s3.secret_key not in str(refusal.value)


def test_an_object_that_is_gone_is_an_error_without_the_key(
    embedded_engine: Engine, bucket: Bucket, few: PartTables
) -> None:
    missing = ["part-tables/none.parquet"]
    with few.leased(bucket.name, missing, STRUCTURE) as [table], pytest.raises(EndpointsError) as failure:
        numbers(embedded_engine, table)
    assert embedded_engine.s3.secret_key not in str(failure.value)


def test_a_server_has_none(make_engine: Callable[..., Engine], server_dsn: str) -> None:
    assert make_engine(engine_dsn=server_dsn).part_tables is None
