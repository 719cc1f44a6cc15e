"""A materialized endpoint answers as the source does, over HTTP: rows, their order, columns, types, pages.

The bytes are compared, not what a JSON parser makes of them: ``1`` isn't ``1.0``, and digits beyond a double count.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.clients.server import Project
from tests.snapshots.sql_values import tables

NUMBERS = """
SELECT toUInt8(number) AS u8, toInt64(-9223372036854775808 + number) AS i64, 18446744073709551615 - number AS u64,
       toInt256(-number) * toInt256('123456789012345678901234567890') AS wide, toFloat32(number / 3) AS f32,
       number / 7 AS f64, if(number = 3, nan, if(number = 4, -inf, 0.1)) AS odd, toDecimal128(number, 10) / 3 AS price,
       number % 2 = 0 AS even, toBool(number % 3) AS flag
FROM numbers(300) ORDER BY number DESC
"""
TEXTS = """
SELECT concat('é\\t"\\\\', char(number), '\\0😀') AS text, toFixedString(toString(number), 4) AS fixed,
       toLowCardinality(toString(number % 3)) AS low, CAST(number % 2, 'Enum8(\\'a\\' = 0, \\'b, c\\' = 1)') AS word,
       reinterpretAsUUID(toUInt128(number)) AS id, toIPv4(number) AS v4, toIPv6(concat('::', toString(number))) AS v6
FROM numbers(260) ORDER BY sipHash64(number)
"""
TIMES = """
SELECT toDate('1970-01-01') + number * 100 AS day, toDate32('1900-01-01') + number AS early,
       toDateTime('2026-03-29 00:30:00', 'Europe/Berlin') + number * 3600 AS local,
       toDateTime64('1999-12-31 23:59:59.999', 3, 'UTC') + number AS milli,
       toDateTime64('2026-01-01 00:00:00.123456789', 9) + number AS nano, toIntervalDay(number) AS span,
       CAST(3600 * number, 'Time') AS clock
FROM numbers(50) ORDER BY number % 7, number
"""
NESTED = """
SELECT range(number % 4) AS list, arrayMap(x -> if(x = 1, NULL, toString(x)), range(number % 4)) AS holes,
       map('k', number, 'l', 1) AS pairs, CAST((number, 'x'), 'Tuple(a UInt64, `b c` String)') AS named,
       (number, [(1, 'y')]) AS plain, CAST('{"a": {"b": 1}, "c": [1, null]}', 'JSON') AS document,
       if(number % 2 = 0, NULL, number) AS maybe, NULL AS nothing
FROM numbers(30) ORDER BY number
"""
QUERIES = {
    "numbers": NUMBERS,
    "texts": TEXTS,
    "times": TIMES,
    "nested": NESTED,
    "a source's own order": "SELECT * FROM events",
    "ties in the order": "SELECT user_id % 3 AS a, id, score FROM events ORDER BY a DESC, score NULLS FIRST, id",
    "groups": "SELECT name, sum(amount) AS total, groupArray(id) AS ids FROM (SELECT * FROM events ORDER BY id) "
    "GROUP BY name ORDER BY name",
    "a union": "SELECT n FROM (SELECT 2 AS n UNION ALL SELECT 1 UNION ALL SELECT 3) ORDER BY n DESC",
    "limit and offset": "SELECT id FROM events ORDER BY id DESC LIMIT 20 OFFSET 5",
    "a window": "SELECT id, sum(id) OVER (PARTITION BY name ORDER BY id) AS running FROM events ORDER BY name, id",
    "names": 'SELECT 1 AS `a b`, 2 AS `"`, 3 AS `é.ü`, 4 AS `A`, 5 AS `a`',
    "no rows": "SELECT id, tags FROM events WHERE id > 1000",
}


def both(project: Project, name: str, body: dict[str, Any]) -> list[tuple[bytes, Any, Any, Any]]:
    """The rows as bytes, the columns, types and ``hasMore``: of the snapshot, and of the source."""
    told = []
    for path, refresh in (("materialized", "force"), ("inline", "direct")):
        answer = project.call("POST", f"/{name}/run", {**body, "refresh": refresh})
        assert answer.status_code == 200, answer.text
        facts = answer.json()
        assert facts["served"]["path"] == path
        rows = answer.content.partition(b'],"columns":')[0]
        told.append((rows, facts["columns"], facts["types"], facts["hasMore"]))
    return told


def published(project: Project, sql: str) -> str:
    project.create("parity", sql, is_materialized=True)
    project.materialize("parity")
    return "parity"


@pytest.mark.parametrize("sql", QUERIES.values(), ids=QUERIES.keys())
def test_the_snapshot_answers_as_the_source_does(project: Project, sql: str) -> None:
    name = published(project, sql)
    materialized, direct = both(project, name, {})
    assert materialized == direct


@pytest.mark.parametrize("page", [(7, 0), (7, 7), (20, 10), (1, 19), (5, 20), (3, 40)], ids=str)
def test_pages_are_the_same_ones(project: Project, page: tuple[int, int]) -> None:
    name = published(project, "SELECT id, name FROM events ORDER BY name, id DESC LIMIT 20 OFFSET 3")
    limit, offset = page
    materialized, direct = both(project, name, {"limit": limit, "offset": offset})
    assert materialized == direct


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(table=tables())
def test_whatever_the_values_are(project: Project, table: str) -> None:
    name = published(project, f"SELECT t.* FROM ({table}) AS t ORDER BY t.row DESC")
    try:
        materialized, direct = both(project, name, {})
        assert materialized == direct
    finally:
        project.call("DELETE", f"/{name}")
