"""What a run answers: the engine's rows as they are, where they came from, and how old they are (contract 1.6, 10)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from tests.api.callers import DAILY, DAILY_ROWS, NOT_FOUND, Caller, hogql, ok, says

ChangeSource = Callable[[list[int]], None]
CHANGING = "SELECT n FROM api_changing ORDER BY n"
#: Every type whose way to JSON is decided by us or easily lost on the way through Parquet.
MANY_TYPES = """
SELECT toUInt64(18446744073709551615) AS u64, toInt64(-9223372036854775808) AS i64, toUInt128(7) AS u128,
  toDecimal64('1.25', 2) AS decimal, nan AS not_a_number, inf AS infinite, 0.1 + 0.2 AS float,
  toDateTime('2026-01-01 00:00:00', 'UTC') AS at, toDateTime64('2026-01-01 00:00:00.123456', 6, 'UTC') AS exact,
  toDate('2026-01-01') AS day, toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS uuid, toIPv4('127.0.0.1') AS ip,
  CAST('b', 'Enum8(\\'a\\' = 1, \\'b\\' = 2)') AS enum, [1, 2] AS array, map('k', [NULL, 'v']) AS map,
  tuple(1, 'a')::Tuple(n UInt8, s String) AS named, true AS bool, NULL AS nothing, toNullable('x') AS maybe,
  'line\\nbreak \\"quoted\\" \\\\ / é 🦆 \\x00' AS text, toLowCardinality('low') AS low
"""


def test_an_inline_answer_has_every_key_of_the_contract(api: Caller) -> None:
    api.created()
    answer = api.run()
    body = answer.json()
    assert str(UUID(body.pop("execution_id"))) in answer.text
    assert body == {
        "results": DAILY_ROWS,
        "columns": ["day", "total"],
        "types": [["day", "Nullable(Date32)"], ["total", "Nullable(Int64)"]],
        "hasMore": False,
        "is_cached": False,
        "last_refresh": "2026-03-01T12:00:00Z",
        "cache_target_age": "2026-03-02T12:00:00Z",
        "next_allowed_client_refresh": "2026-03-01T12:01:00Z",
        "timezone": "UTC",
        "query_status": None,
        "name": "daily",
        "endpoint_version": 1,
        "endpoint_version_created_at": "2026-03-01T12:00:00Z",
        "served": {
            "path": "inline",
            "reason": "not_materialized",
            "detail": "The endpoint isn't materialized.",
            "cached": False,
            "version": 1,
            "snapshot_id": None,
            "snapshot_at": None,
            "age_seconds": None,
            "target_seconds": None,
        },
    }
    assert answer.text.startswith('{"results":[[')
    assert answer.headers["content-type"] == "application/json"


def test_a_materialized_answer_says_so_and_from_which_snapshot(api: Caller) -> None:
    api.created(is_materialized=True, data_freshness_seconds=900)
    api.materialize()
    api.clock.advance(timedelta(seconds=90))
    body = api.answered(body={"limit": 2, "offset": 1})
    snapshot = api.record().version.snapshot
    assert snapshot is not None
    assert body["results"] == DAILY_ROWS[1:3]
    assert (body["hasMore"], body["limit"], body["offset"]) == (True, 2, 1)
    assert body["last_refresh"] == "2026-03-01T12:01:30Z"
    assert body["endpoint_materialized"] is True
    assert body["endpoint_materialized_at"] == "2026-03-01T12:00:00Z"
    assert body["served"] == {
        "path": "materialized",
        "reason": "fresh_snapshot",
        "detail": "The snapshot is within its target.",
        "cached": False,
        "version": 1,
        "snapshot_id": snapshot.id,
        "snapshot_at": "2026-03-01T12:00:00Z",
        "age_seconds": 90.0,
        "target_seconds": 900,
    }


def test_a_snapshot_answers_exactly_as_the_source(api: Caller) -> None:
    api.created("types", MANY_TYPES, is_materialized=True)
    api.materialize("types")
    snapshot, source = api.run("types"), api.run("types", {"refresh": "direct"})
    assert snapshot.json()["served"]["path"] == "materialized"
    assert source.json()["served"]["reason"] == "direct_requested"
    assert raw_rows(snapshot.content) == raw_rows(source.content)
    for key in ("results", "columns", "types", "hasMore"):
        assert snapshot.json()[key] == source.json()[key]


def test_values_are_the_contracts_json(api: Caller) -> None:
    api.created("types", MANY_TYPES)
    answer = api.run("types")
    row = dict(zip(answer.json()["columns"], orjson.loads(answer.content)["results"][0], strict=True))
    assert row == {
        "u64": 18446744073709551615,
        "i64": -9223372036854775808,
        "u128": "7",
        "decimal": "1.25",
        "not_a_number": None,
        "infinite": None,
        "float": 0.30000000000000004,
        "at": "2026-01-01T00:00:00Z",
        "exact": "2026-01-01T00:00:00.123456Z",
        "day": "2026-01-01",
        "uuid": "61f0c404-5cb3-11e7-907b-a6006ad3dba0",
        "ip": "127.0.0.1",
        "enum": "b",
        "array": [1, 2],
        "map": {"k": [None, "v"]},
        "named": {"n": 1, "s": "a"},
        "bool": True,
        "nothing": None,
        "maybe": "x",
        "text": 'line\nbreak "quoted" \\ / é 🦆 \0',
        "low": "low",
    }


def test_order_and_pages_are_the_same_from_snapshot_and_source(api: Caller) -> None:
    api.created(sql="SELECT number FROM numbers(23) ORDER BY number DESC LIMIT 20 OFFSET 1", is_materialized=True)
    api.materialize()
    for limit, offset in ((7, 0), (7, 7), (7, 14), (20, 0), (21, 0), (1, 19), (1, 20), (5, 10**12)):
        page = {"limit": limit, "offset": offset}
        snapshot, source = api.answered(body=page), api.answered(body={**page, "refresh": "direct"})
        assert (snapshot["results"], snapshot["hasMore"]) == (source["results"], source["hasMore"])
        assert source["results"] == [[21 - number] for number in range(20)][offset : offset + limit]
        assert source["hasMore"] is (offset + limit < 20)
        assert (source["limit"], source["offset"]) == (limit, offset)


def test_without_a_page_nothing_of_one_is_echoed(api: Caller) -> None:
    api.created()
    body = api.answered()
    assert body["hasMore"] is False
    assert not {"limit", "offset", "endpoint_materialized", "endpoint_materialized_at"} & set(body)
    assert api.answered(body={"limit": 3})["offset"] == 0


def test_an_empty_result_is_an_empty_list(api: Caller) -> None:
    api.created(sql="SELECT number FROM numbers(0)", is_materialized=True)
    assert api.answered()["results"] == []
    api.materialize()
    body = api.answered()
    assert (body["results"], body["hasMore"], body["columns"]) == ([], False, ["number"])


def test_an_inline_answer_is_cut_at_the_settings_limit_and_says_so(api: Caller) -> None:
    api.created(sql="SELECT number FROM numbers(51)")
    body = api.answered()
    assert (len(body["results"]), body["hasMore"]) == (50, True)
    assert "cut at 50 rows" in body["served"]["detail"]
    body = api.answered(body={"limit": 51})
    assert (len(body["results"]), body["hasMore"], body["limit"]) == (50, True, 51)
    assert api.answered(body={"limit": 50, "offset": 1})["hasMore"] is False


def test_a_snapshot_is_not_cut(api: Caller) -> None:
    api.created(sql="SELECT number FROM numbers(51)", is_materialized=True)
    api.materialize()
    body = api.answered()
    assert (len(body["results"]), body["hasMore"]) == (51, False)


def test_a_snapshot_answers_until_it_is_stale_and_then_the_source_does(
    api: Caller, change_source: ChangeSource
) -> None:
    change_source([1, 2])
    api.created(sql=CHANGING, is_materialized=True, data_freshness_seconds=900)
    body = api.answered()
    assert (body["results"], body["served"]["reason"]) == ([[1], [2]], "no_snapshot_yet")
    api.materialize()
    change_source([3])
    assert api.answered()["results"] == [[1], [2]]
    assert api.answered(body={"refresh": "force"})["results"] == [[1], [2]]
    assert api.answered(body={"refresh": "direct"})["results"] == [[3]]
    api.clock.advance(timedelta(seconds=899))
    assert api.answered()["results"] == [[1], [2]]
    api.clock.advance(timedelta(seconds=1))
    body = api.answered()
    assert (body["results"], body["served"]["path"], body["served"]["reason"]) == ([[3]], "inline", "stale_snapshot")
    assert (body["served"]["age_seconds"], body["served"]["target_seconds"]) == (900.0, 900)
    assert "endpoint_materialized" not in body
    api.materialize()
    assert api.answered()["results"] == [[3]]
    assert api.answered()["served"]["path"] == "materialized"


def test_each_version_answers_from_its_own_snapshot(api: Caller) -> None:
    api.created(sql="SELECT 'one' AS word", is_materialized=True)
    api.materialize()
    api.patched(query=hogql("SELECT 'two' AS word"))
    first, second = api.answered(body={"version": 1}), api.answered()
    assert (first["results"], first["served"]["path"], first["endpoint_version"]) == ([["one"]], "materialized", 1)
    assert (second["results"], second["served"]["reason"]) == ([["two"]], "no_snapshot_yet")
    api.materialize()
    assert api.answered()["results"] == [["two"]]
    assert api.answered()["served"]["path"] == "materialized"


@pytest.mark.parametrize("damage", ["missing", "garbage", "shorter"])
def test_an_unreadable_snapshot_is_answered_by_the_source(api: Caller, s3_server: Any, damage: str) -> None:
    api.created(is_materialized=True)
    api.materialize()
    snapshot = api.record().version.snapshot
    assert snapshot is not None
    (part,) = snapshot.parts
    s3 = s3_server.client()
    if damage == "missing":
        s3.delete_object(Bucket=s3_server.bucket, Key=part.key)
    elif damage == "garbage":
        s3.put_object(Bucket=s3_server.bucket, Key=part.key, Body=b"PAR1 this is not Parquet PAR1")
    else:
        api.created("shorter", f"SELECT * FROM ({DAILY}) LIMIT 1", is_materialized=True)
        api.materialize("shorter")
        other = api.record("shorter").version.snapshot
        assert other is not None
        source = {"Bucket": s3_server.bucket, "Key": other.parts[0].key}
        s3.copy_object(Bucket=s3_server.bucket, Key=part.key, CopySource=source)
    body = api.answered()
    assert body["results"] == DAILY_ROWS
    assert (body["served"]["path"], body["served"]["reason"]) == ("materialized_fallback", "snapshot_unreadable")
    assert body["served"]["snapshot_id"] == snapshot.id
    assert "endpoint_materialized" not in body
    assert s3_server.secret_key not in str(body)


def test_each_run_is_an_execution_of_its_own_and_is_recorded(api: Caller) -> None:
    api.created()
    ids = [api.answered()["execution_id"], api.answered()["execution_id"]]
    recorded = api.application.catalog.executions.list(api.record().id)
    assert {execution.id for execution in recorded} == set(ids)
    assert {(execution.kind, execution.outcome, execution.rows) for execution in recorded} == {("run", "success", 5)}


def test_a_refused_request_is_no_execution(api: Caller) -> None:
    api.created()
    api.run(body={"variables": {"a": 1}})
    api.run(body={"refresh": "direct"})
    api.run(body={"version": 9})
    assert api.application.catalog.executions.list(api.record().id) == []


def test_a_failed_query_is_an_execution_and_leaves_nothing_in_the_next_answer(api: Caller) -> None:
    api.created("fails", "SELECT throwIf(number = 40, 'stop') FROM numbers(41)")
    api.created()
    code, body = says(api.run("fails"))
    assert (code, body["type"], body["code"]) == (
        400,
        "validation_error",
        "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    )
    assert "stop" in body["detail"]
    assert "Traceback" not in body["detail"]
    for _ in range(5):
        assert api.answered()["results"] == DAILY_ROWS
    (recorded,) = api.application.catalog.executions.list(api.record("fails").id)
    assert recorded.outcome == "error"


def test_a_table_that_vanishes_later_is_the_callers_400(api: Caller, api_warehouse: Any) -> None:
    table = api_warehouse / "api_vanishing.parquet"
    table.write_bytes((api_warehouse / "api_events.parquet").read_bytes())
    api.created("vanishing", "SELECT count() AS n FROM api_vanishing", is_materialized=True)
    api.materialize("vanishing")
    table.unlink()
    assert api.answered("vanishing")["results"] == [[20]]
    code, body = says(api.run("vanishing", {"refresh": "direct"}))
    assert (code, body["type"], body["code"]) == (400, "validation_error", "UNKNOWN_TABLE")


def test_nobody_is_answered_from_a_materialization_that_was_switched_off(api: Caller) -> None:
    api.created(is_materialized=True)
    api.materialize()
    api.patched(is_active=False)
    assert says(api.run()) == NOT_FOUND
    api.patched(is_active=True)
    assert api.answered()["served"]["reason"] == "not_materialized"
    api.patched(is_materialized=True)
    assert api.answered()["served"]["reason"] == "no_snapshot_yet"


def raw_rows(content: bytes) -> bytes:
    """The bytes of ``results``, as they came."""
    return content[: content.index(b'],"columns":')]


def test_get_and_post_answer_alike(api: Caller) -> None:
    api.created()
    by_get = ok(api.get("/daily/run", params={"limit": 2, "offset": 1, "version": 1, "refresh": "force"}))
    by_post = api.answered(body={"limit": 2, "offset": 1, "version": 1, "refresh": "force"})
    assert by_get | {"execution_id": ""} == by_post | {"execution_id": ""}
