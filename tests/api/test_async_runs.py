"""Asynchronous runs: at once an answer, a state for everybody, and an end in every case (contract 10.12)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from endpoints_pipeline.errors import EngineUnavailable, RunCancelled
from endpoints_pipeline.serving import tracked
from endpoints_pipeline.serving.request import RunRequest
from tests.api.callers import DAILY_ROWS, NOT_FOUND, Caller, invalid, ok, says
from tests.api.conftest import Variant

SLOW = "SELECT count() AS n FROM numbers(9000000000) WHERE sipHash64(number) = 7"
WORDS = ["async", "lazy_async", "force_async"]


@pytest.fixture(autouse=True)
def _fast_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracked, "_BEAT_SECONDS", 0.05)


def status_of(api: Caller, query_id: str) -> tuple[int, dict[str, Any]]:
    answer = api.client.get(f"/api/projects/{api.project}/query/{query_id}/")
    return answer.status_code, answer.json().get("query_status", answer.json())


def cancel(api: Caller, query_id: str) -> Any:
    return api.client.delete(f"/api/environments/{api.project}/query/{query_id}")


def until(api: Caller, query_id: str, reached: Any, seconds: float = 30) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        code, status = status_of(api, query_id)
        if reached(status):
            assert code == (200 if status["complete"] else 202)
            return status
        time.sleep(0.05)
    raise AssertionError(f"it never came: {status}")


def ended(api: Caller, query_id: str) -> dict[str, Any]:
    return until(api, query_id, lambda status: status["complete"])


def begun(api: Caller, name: str = "daily", **body: Any) -> dict[str, Any]:
    return ok(api.run(name, {"refresh": "async", **body}), 202)


@pytest.mark.parametrize("word", WORDS)
def test_it_answers_at_once_and_the_rows_follow(api: Caller, word: str) -> None:
    api.created()
    accepted = begun(api, refresh=word)
    first = accepted["query_status"]
    assert (accepted["results"], accepted["name"], accepted["endpoint_version"]) == (None, "daily", 1)
    assert (first["query_async"], first["error"], first["team_id"]) == (True, False, api.project)
    assert set(first) == {
        "complete", "dashboard_id", "end_time", "error", "error_message", "expiration_time", "id", "insight_id",
        "labels", "pickup_time", "query_async", "query_progress", "results", "start_time", "task_id", "team_id",
    }  # fmt: skip
    assert set(first["query_progress"]) == {
        "active_cpu_time", "bytes_read", "estimated_rows_total", "rows_read", "time_elapsed"
    }  # fmt: skip
    status = ended(api, first["id"])
    assert (status["error"], status["error_message"]) == (False, None)
    assert status["start_time"] == status["pickup_time"] == status["end_time"] == "2026-03-01T12:00:00Z"
    assert status["expiration_time"] == "2026-03-01T13:00:00Z"
    answer = status["results"]
    assert (answer["results"], answer["name"]) == (DAILY_ROWS, "daily")
    assert answer["execution_id"] == accepted["execution_id"]


@pytest.mark.parametrize("word", WORDS)
def test_what_is_cached_is_the_answer(api: Caller, word: str) -> None:
    api.created()
    api.answered()
    answer = api.run(body={"refresh": word})
    if word == "force_async":
        assert answer.status_code == 202
    else:
        assert (ok(answer)["results"], answer.json()["is_cached"]) == (DAILY_ROWS, True)
        assert answer.json()["query_status"] is None


def test_its_rows_are_cached_for_others(api: Caller) -> None:
    api.created()
    ended(api, begun(api)["query_status"]["id"])
    assert api.answered()["is_cached"] is True


def test_by_get_too(api: Caller) -> None:
    api.created()
    accepted = ok(api.get("/daily/run", params={"refresh": "async"}), 202)
    assert ended(api, accepted["query_status"]["id"])["results"]["results"] == DAILY_ROWS


def test_the_callers_own_id(api: Caller) -> None:
    api.created()
    assert begun(api, client_query_id="mine")["query_status"]["id"] == "mine"
    assert ended(api, "mine")["results"]["results"] == DAILY_ROWS
    assert begun(api, client_query_id="mine", refresh="force_async")["query_status"]["id"] == "mine"
    assert ended(api, "mine")["results"]["results"] == DAILY_ROWS


def test_an_id_that_is_used_again_leaves_no_old_answer(api: Caller) -> None:
    api.created()
    keys = []
    for _ in range(2):
        begun(api, client_query_id="mine", refresh="force_async")
        ended(api, "mine")
        run = api.application.catalog.tracked_runs.get(api.project, "mine")
        assert run is not None
        assert run.result_key is not None
        keys.append(run.result_key)
    assert [api.application.bucket.read(key) is None for key in keys] == [True, False]


def test_the_same_id_is_the_same_run_while_it_goes_on(api: Caller) -> None:
    api.created("slow", SLOW)
    first = begun(api, "slow", client_query_id="mine")
    assert begun(api, "slow", client_query_id="mine")["execution_id"] == first["execution_id"]
    said = invalid("A run with the id 'mine' is under way already.", "client_query_id")
    assert says(api.run("slow", {"client_query_id": "mine"})) == said
    cancel(api, "mine")
    ended(api, "mine")


def test_progress_is_the_engines(api: Caller) -> None:
    api.created("slow", SLOW)
    query_id = begun(api, "slow")["query_status"]["id"]
    seen = until(api, query_id, lambda status: status["query_progress"]["rows_read"] > 0)
    progress = seen["query_progress"]
    assert progress["estimated_rows_total"] == 9 * 10**9
    assert progress["bytes_read"] >= progress["rows_read"]
    assert progress["time_elapsed"] > 0
    cancel(api, query_id)
    assert ended(api, query_id)["query_progress"]["rows_read"] >= progress["rows_read"]


def test_cancelling_ends_the_query_in_the_engine(api: Caller) -> None:
    api.created("slow", SLOW)
    query_id = begun(api, "slow")["query_status"]["id"]
    until(api, query_id, lambda status: status["query_progress"]["rows_read"] > 0)
    assert cancel(api, query_id).status_code == 204
    status = ended(api, query_id)
    assert (status["error"], status["error_message"]) == (True, "The query was cancelled.")
    assert status["results"] is None
    running = api.application.engine.query("SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%'")
    assert running[0][0] <= 1  # this question itself
    assert cancel(api, query_id).status_code == 204
    assert ended(api, query_id)["error_message"] == "The query was cancelled."


def test_another_process_can_ask_and_cancel(api: Caller, variant: Variant) -> None:
    api.created("slow", SLOW)
    other = variant()
    query_id = begun(api, "slow")["query_status"]["id"]
    until(other, query_id, lambda status: status["query_progress"]["rows_read"] > 0)
    assert cancel(other, query_id).status_code == 204
    assert ended(other, query_id)["error_message"] == "The query was cancelled."


def test_another_process_has_the_rows(api: Caller, variant: Variant) -> None:
    api.created()
    query_id = begun(api)["query_status"]["id"]
    ended(api, query_id)
    assert status_of(variant(), query_id)[1]["results"]["results"] == DAILY_ROWS


def test_a_failure_is_told(api: Caller) -> None:
    api.created("broken", "SELECT throwIf(materialize(1), 'broken today') AS n")
    status = ended(api, begun(api, "broken")["query_status"]["id"])
    assert status["error"] is True
    assert "broken today" in status["error_message"]
    assert status["results"] is None


def test_what_is_refused_is_refused_at_once(api: Caller) -> None:
    api.created()
    assert api.run(body={"refresh": "async", "variables": {"a": 1}}).status_code == 400
    assert says(api.run("nothing", {"refresh": "async"})) == NOT_FOUND


def test_a_process_that_died_leaves_nothing_running(api: Caller) -> None:
    api.created("slow", SLOW)
    query_id = begun(api, "slow")["query_status"]["id"]
    runs = api.application.tracked_runs
    plan = runs._active.pop((api.project, query_id))  # as if its process were gone
    api.clock.advance(timedelta(seconds=29))
    assert status_of(api, query_id)[1]["complete"] is False
    api.clock.advance(timedelta(seconds=2))
    status = status_of(api, query_id)[1]
    assert (status["complete"], status["error"]) == (True, True)
    assert status["error_message"] == "The process that ran this query ended before the query did. Run it again."
    runs._kill(plan)


def test_a_stopped_server_says_so(api: Caller, variant: Variant) -> None:
    api.created("slow", SLOW)
    other = variant()
    query_id = begun(other, "slow")["query_status"]["id"]
    until(api, query_id, lambda status: status["query_progress"]["rows_read"] > 0)
    other.application.tracked_runs.close()
    status = ended(api, query_id)
    assert (status["error"], status["error_message"]) == (
        True,
        "The server was stopped before the query ended. Run it again.",
    )


def test_an_answer_has_its_time(api: Caller) -> None:
    api.created()
    query_id = begun(api)["query_status"]["id"]
    ended(api, query_id)
    run = api.application.catalog.tracked_runs.get(api.project, query_id)
    assert run is not None
    assert run.result_key is not None
    api.clock.advance(timedelta(hours=1))
    assert says(api.client.get(f"/api/projects/{api.project}/query/{query_id}")) == NOT_FOUND
    ended(api, begun(api, refresh="force_async")["query_status"]["id"])
    assert api.application.bucket.read(run.result_key) is None
    assert api.application.catalog.tracked_runs.get(api.project, query_id) is None


def test_runs_of_others_are_not_there(api: Caller, stranger: Caller) -> None:
    api.created()
    query_id = begun(api)["query_status"]["id"]
    ended(api, query_id)
    assert says(stranger.client.get(f"/api/projects/{stranger.project}/query/{query_id}")) == NOT_FOUND
    assert says(cancel(stranger, query_id)) == NOT_FOUND
    assert says(api.client.get(f"/api/projects/{api.project}/query/nothing")) == NOT_FOUND


def test_a_run_that_somebody_waits_for_can_be_cancelled_by_its_id(api: Caller, variant: Variant) -> None:
    api.created("slow", SLOW)
    other = variant()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(api.run, "slow", {"client_query_id": "mine"})
        status = until(
            other,
            "mine",
            lambda status: "query_progress" in status and status["query_progress"]["rows_read"] > 0,
        )
        assert status["query_async"] is False
        assert cancel(other, "mine").status_code == 204
        assert says(waiting.result(30)) == invalid("The query was cancelled.", code="query_was_cancelled")
    assert ended(api, "mine")["error_message"] == "The query was cancelled."


def test_a_run_with_an_id_that_ended_is_complete(api: Caller) -> None:
    api.created()
    assert api.answered(body={"client_query_id": "mine"})["results"] == DAILY_ROWS
    status = ended(api, "mine")
    assert (status["error"], status["query_async"], status["results"]) == (False, False, None)
    api.created("broken", "SELECT throwIf(materialize(1), 'broken today') AS n")
    assert api.run("broken", {"client_query_id": "other"}).status_code == 400
    status = ended(api, "other")
    assert (status["error"], "broken today" in status["error_message"]) == (True, True)


def test_a_cancelled_snapshot_read_does_not_ask_the_source(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    api.created(is_materialized=True)
    api.materialize()
    runner = api.application.runner
    plan = runner.plan(api.project, "daily", RunRequest())
    plan.cancelled.set()

    def fail(*_: object, **__: object) -> None:
        raise EngineUnavailable("killed", engine_name="QUERY_WAS_CANCELLED")

    monkeypatch.setattr(runner, "_from_snapshot", fail)
    monkeypatch.setattr(runner, "_from_source", lambda *_: pytest.fail("the source was asked"))
    with pytest.raises(RunCancelled):
        runner.answer(plan)
