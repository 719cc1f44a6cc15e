"""When endpoints were last executed (contract 4): the seed's object, exact times, and which kind each was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from endpoints_pipeline.catalog.records import Execution, ExecutionKind, Outcome
from tests.api.callers import Caller, hogql, invalid, malformed, ok, says

NAMES = {"names": ["daily"]}


def times(api: Caller, *names: str) -> dict[str, str]:
    body = ok(api.post("/last_execution_times", {"names": names}))
    assert set(body["kinds"]) == {name for name, _ in body["query_status"]["results"]}
    return dict(body["query_status"]["results"])


def recorded_refresh(api: Caller, name: str = "daily", id_: str = "run/asset") -> None:
    """What Dagster's sensor does when a refresh has happened."""
    execution = Execution(
        id=f"{id_}/{api.project}/{name}",
        endpoint_id=api.record(name).id,
        version=1,
        kind=ExecutionKind.REFRESH,
        outcome=Outcome.SUCCESS,
        started_at=api.clock(),
    )
    api.application.catalog.executions.record([execution])


def test_the_answer_has_every_key_of_the_seed(api: Caller) -> None:
    api.created()
    api.answered()
    assert ok(api.post("/last_execution_times", NAMES)) == {
        "query_status": {
            "complete": True,
            "dashboard_id": None,
            "end_time": None,
            "error": False,
            "error_message": None,
            "expiration_time": None,
            "id": "",
            "insight_id": None,
            "labels": None,
            "pickup_time": None,
            "query_async": True,
            "query_progress": None,
            "results": [["daily", "2026-03-01T12:00:00Z"]],
            "start_time": None,
            "task_id": None,
            "team_id": api.project,
        },
        "kinds": {"daily": "run"},
    }


def test_runs_and_refreshes_count_and_are_told_apart(api: Caller) -> None:
    api.created("run")
    api.created("refreshed")
    api.created("both")
    api.answered("run")
    api.answered("both")
    api.clock.advance(timedelta(seconds=1.5))
    recorded_refresh(api, "refreshed")
    recorded_refresh(api, "both")
    body = ok(api.post("/last_execution_times", {"names": ["run", "refreshed", "both"]}))
    assert dict(body["query_status"]["results"]) == {
        "run": "2026-03-01T12:00:00Z",
        "refreshed": "2026-03-01T12:00:01.500000Z",
        "both": "2026-03-01T12:00:01.500000Z",
    }
    assert body["kinds"] == {"run": "run", "refreshed": "refresh", "both": "refresh"}


def test_the_newest_time_wins_and_is_exact(api: Caller) -> None:
    api.created()
    api.answered()
    api.clock.advance(timedelta(microseconds=1))
    api.answered()
    assert times(api, "daily") == {"daily": "2026-03-01T12:00:00.000001Z"}


def test_a_failed_execution_counts_and_a_refused_request_does_not(api: Caller) -> None:
    api.created("fails", "SELECT throwIf(number = 0) FROM numbers(1)")
    api.created()
    assert api.run("fails").status_code == 400
    assert api.run(body={"version": 9}).status_code == 404
    assert set(times(api, "fails", "daily")) == {"fails"}


def test_a_run_answered_from_the_snapshot_counts(api: Caller) -> None:
    api.created(is_materialized=True)
    api.materialize()
    assert times(api, "daily") == {}
    assert api.answered()["served"]["path"] == "materialized"
    assert set(times(api, "daily")) == {"daily"}


def test_a_run_answered_from_the_cache_counts(api: Caller) -> None:
    api.created()
    assert api.answered()["is_cached"] is False
    api.clock.advance(timedelta(seconds=1))
    assert api.answered()["is_cached"] is True
    assert times(api, "daily") == {"daily": "2026-03-01T12:00:01Z"}


def test_refused_runs_of_every_kind_do_not_count(api: Caller) -> None:
    api.created()
    for body in ({"limit": 0}, {"refresh": "direct"}, {"variables": {"x": 1}}, {"nonsense": 1}, {"version": 9}):
        assert api.run(body=body).status_code in (400, 404)
    api.patched(is_active=False)
    assert api.run().status_code == 404
    assert api.using(None).run().status_code == 401
    assert times(api, "daily") == {}


def test_names_without_a_time_are_left_out(api: Caller, stranger: Caller) -> None:
    api.created("never")
    stranger.created("elsewhere")
    stranger.answered("elsewhere")
    assert times(api, "never", "absent", "elsewhere") == {}


def test_a_time_older_than_six_months_is_left_out(api: Caller) -> None:
    api.created()
    api.answered()
    api.clock.advance(timedelta(days=181))
    assert set(times(api, "daily")) == {"daily"}
    api.clock.advance(timedelta(days=4))
    assert times(api, "daily") == {}


def test_all_versions_are_one_endpoint(api: Caller) -> None:
    api.created()
    api.patched(query=hogql("SELECT 1 AS n"))
    api.answered(body={"version": 1})
    assert set(times(api, "daily")) == {"daily"}


def test_a_name_asked_for_twice_is_answered_once(api: Caller) -> None:
    api.created()
    api.answered()
    body = ok(api.post("/last_execution_times", {"names": ["daily", "daily"]}))
    assert body["query_status"]["results"] == [["daily", "2026-03-01T12:00:00Z"]]


def test_no_names_have_no_results(api: Caller) -> None:
    body = ok(api.post("/last_execution_times", {"names": []}))
    assert (body["query_status"]["results"], body["kinds"]) == (None, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", invalid("This field is required.", "names")),
        ("{}", invalid("This field is required.", "names")),
        ('{"names": null}', invalid("Input should be a valid list", "names")),
        ('{"names": "daily"}', invalid("Input should be a valid list", "names")),
        ('{"names": ["daily", 1]}', invalid("Input should be a valid string", "names.1")),
        ('{"names": [], "more": 1}', invalid("Extra inputs are not permitted", "more")),
        ('{"names": ["daily", "1st"]}', invalid("Invalid endpoint name: 1st", "names")),
        ('{"names": [""]}', invalid("Invalid endpoint name: ", "names")),
        ("[]", malformed("Input should be an object")),
        ("{", malformed("EOF while parsing an object at line 1 column 1")),
    ],
)
def test_a_bad_request_is_refused(api: Caller, text: str, said: Any) -> None:
    assert says(api.post_text("/last_execution_times", text)) == said


def test_many_names_are_asked_for_at_once(api: Caller) -> None:
    api.created()
    api.answered()
    assert set(times(api, "daily", *(f"n{number}" for number in range(9_999)))) == {"daily"}
    too_many = [f"n{number}" for number in range(10_001)]
    assert api.post("/last_execution_times", {"names": too_many}).json()["attr"] == "names"
