"""The log of an endpoint (contract 1.14)."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from endpoints_pipeline.catalog.records import LogEntry, LogLevel
from tests.api.callers import NOT_FOUND, Caller, hogql, invalid, ok, says


@pytest.fixture
def log(api: Caller) -> Caller:
    """``daily`` with five entries, a minute apart: m0 at 12:00 is the oldest."""
    endpoint = api.created()
    levels = [LogLevel.DEBUG, LogLevel.LOG, LogLevel.INFO, LogLevel.WARN, LogLevel.ERROR]
    api.application.catalog.logs.add(
        [
            LogEntry(
                endpoint["id"], f"run{number % 2}", api.clock() + timedelta(minutes=number), level, f"M{number} 5%"
            )
            for number, level in enumerate(levels)
        ]
    )
    return api


def messages(page: dict[str, Any]) -> list[str]:
    return [entry["message"].removesuffix(" 5%") for entry in page["results"]]


def found(api: Caller, **params: Any) -> list[str]:
    return messages(ok(api.get("/daily/logs", params=params)))


def test_1_14_entries_come_newest_first_in_an_envelope(log: Caller) -> None:
    page = ok(log.get("/daily/logs/"))
    assert (page["count"], page["next"], page["previous"]) == (5, None, None)
    assert messages(page) == ["M4", "M3", "M2", "M1", "M0"]
    assert page["results"][0] == {
        "log_source_id": log.seen()["id"],
        "instance_id": "run0",
        "timestamp": "2026-03-01T12:04:00Z",
        "level": "ERROR",
        "message": "M4 5%",
    }


def test_entries_come_in_pages(log: Caller) -> None:
    page = ok(log.get("/daily/logs", params={"limit": 2, "search": "m"}))
    assert messages(page) == ["M4", "M3"]
    assert page["next"].endswith("/daily/logs?search=m&limit=2&offset=2")
    assert messages(ok(log.client.get(page["next"].removeprefix("https://endpoints.example")))) == ["M2", "M1"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"after": "2026-03-01T12:02:00Z"}, ["M4", "M3"]),
        ({"after": "2026-03-01T13:02:00+01:00"}, ["M4", "M3"]),
        ({"after": "2026-03-01T12:02:00"}, ["M4", "M3"]),
        ({"after": "2026-03-01 12:02:00"}, ["M4", "M3"]),
        ({"after": "2026-03-02"}, []),
        ({"before": "2026-03-01T12:02:00.000Z"}, ["M1", "M0"]),
        ({"after": "2026-03-01T12:00:00Z", "before": "2026-03-01T12:04:00Z"}, ["M3", "M2", "M1"]),
        ({"instance_id": "run1"}, ["M3", "M1"]),
        ({"instance_id": "run"}, []),
        ({"level": "ERROR"}, ["M4"]),
        ({"level": "warn, error"}, ["M4", "M3"]),
        ({"level": "DEBUG,LOG,INFO"}, ["M2", "M1", "M0"]),
        ({"search": "m3"}, ["M3"]),
        ({"search": "5%"}, ["M4", "M3", "M2", "M1", "M0"]),
        ({"search": "M_"}, []),
        ({"search": "%"}, ["M4", "M3", "M2", "M1", "M0"]),
        ({"level": "ERROR", "instance_id": "run1"}, []),
        ({"level": "", "search": "", "after": "", "before": "", "instance_id": "", "limit": ""}, 5),
        ({"limit": 500}, 5),
    ],
)
def test_1_14_entries_are_filtered(log: Caller, params: dict[str, Any], expected: Any) -> None:
    names = found(log, **params)
    assert (names if isinstance(expected, list) else len(names)) == expected


def test_a_plus_sign_that_was_not_escaped_is_understood(log: Caller) -> None:
    assert messages(ok(log.get("/daily/logs?after=2026-03-01T13:02:00+01:00"))) == ["M4", "M3"]


def test_a_time_without_a_zone_is_in_utc_wherever_the_server_is(log: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert found(log, after="2026-03-01T12:02:00") == ["M4", "M3"]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"limit": "0"}, invalid("Must be an integer from 1 to 500, got: 0", "limit")),
        ({"limit": "501"}, invalid("Must be an integer from 1 to 500, got: 501", "limit")),
        ({"limit": "x"}, invalid("Must be an integer from 1 to 500, got: x", "limit")),
        ({"offset": "-1"}, invalid("Must be an integer of at least 0, got: -1", "offset")),
        ({"after": "yesterday"}, invalid("Must be an ISO 8601 time, got: yesterday", "after")),
        ({"before": "2026-13-01T00:00:00Z"}, invalid("Must be an ISO 8601 time, got: 2026-13-01T00:00:00Z", "before")),
        (
            {"before": "0001-01-01T00:00:00+23:00"},
            invalid("Must be an ISO 8601 time, got: 0001-01-01T00:00:00+23:00", "before"),
        ),
        ({"level": "FATAL"}, invalid("Levels are DEBUG, LOG, INFO, WARN, ERROR; got: FATAL", "level")),
        ({"search": "\0"}, invalid("Null characters are not allowed.", "search")),
        ({"instance_id": "\0"}, invalid("Null characters are not allowed.", "instance_id")),
    ],
)
def test_1_14_a_bad_parameter_is_refused_but_not_before_the_endpoint_is_found(
    api: Caller, params: dict[str, str], said: Any
) -> None:
    assert says(api.get("/absent/logs", params=params)) == NOT_FOUND
    api.created()
    assert says(api.get("/daily/logs", params=params)) == said


def test_fifty_entries_are_a_page_unless_told_otherwise(api: Caller) -> None:
    id_ = api.created()["id"]
    api.application.catalog.logs.add(
        [LogEntry(id_, "run", api.clock(), LogLevel.INFO, f"M{number}") for number in range(51)]
    )
    assert len(found(api)) == 50
    assert len(found(api, limit=51)) == 51
    assert found(api, offset=50) == ["M0"]


def test_1_14_runs_log_themselves_without_their_values(api: Caller) -> None:
    variable = {"name": "word", "type": "String", "default_value": "a"}
    ok(api.client.post(f"/api/projects/{api.project}/insight_variables", json=variable), 201)
    api.created(sql="SELECT {variables.word} AS w")
    good = api.answered(body={"variables": {"word": "hunter2"}})
    assert api.run(body={"variables": {"word": 5}}).status_code == 400
    page = ok(api.get("/daily/logs"))
    assert [entry["level"] for entry in page["results"]] == ["ERROR", "INFO"]
    assert page["results"][1]["instance_id"] == good["execution_id"]
    assert page["results"][1]["message"].startswith("Endpoint executed · path=inline cache=miss duration_ms=")
    assert page["results"][0]["message"].startswith("Endpoint execution failed · invalid request · ")
    assert "hunter2" not in str(page)


def test_the_log_of_an_inactive_endpoint_is_there_and_of_a_deleted_one_not(log: Caller) -> None:
    log.patched(is_active=False, query=hogql("SELECT 1 AS n"))
    assert len(found(log)) == 5
    log.delete("/daily")
    assert says(log.get("/daily/logs")) == NOT_FOUND
    log.created()
    assert found(log) == []
