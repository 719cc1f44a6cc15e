"""Asking for a refresh: the catalog keeps the wish, Dagster fulfils it, and the API waits for nobody."""

from __future__ import annotations

from tests.api.callers import Caller, hogql, invalid, ok, says

NOT_MATERIALIZED = invalid("The endpoint isn't materialized: set is_materialized to true first.", "is_materialized")


def waiting(api: Caller) -> list[tuple[str, str]]:
    """Version and reason of each request of the project's ``daily`` that nothing was done about yet."""
    versions = {api.record(version=number).version.id for number in range(1, api.record().current_version + 1)}
    requests = api.application.catalog.refreshes.waiting_requests()
    return [(request.version_id, request.reason) for request in requests if request.version_id in versions]


def test_a_refresh_is_asked_for_once_and_answered_with_the_materialization(api: Caller) -> None:
    body = api.created(is_materialized=True)
    api.materialize()
    assert waiting(api) == []
    for _ in range(2):
        assert says(api.post("/daily/refresh")) == (202, api.seen()["materialization"])
    assert waiting(api) == [(body["current_version_id"], "requested")]
    api.materialize()
    assert waiting(api) == []


def test_one_version_can_be_refreshed(api: Caller) -> None:
    api.created(is_materialized=True)
    api.patched(query=hogql("SELECT 1 AS n"))
    api.materialize(version=1)
    api.materialize(version=2)
    ok(api.post("/daily/refresh", {"version": 1}), 202)
    assert waiting(api) == [(api.seen(version=1)["version_id"], "requested")]
    ok(api.post("/daily/refresh", {}, params={"version": "2"}), 202)
    assert len(waiting(api)) == 2


def test_what_is_not_materialized_is_not_refreshed(api: Caller) -> None:
    api.created()
    assert says(api.post("/daily/refresh")) == NOT_MATERIALIZED
    api.patched(is_materialized=True)
    api.patched(is_active=False)
    assert says(api.post("/daily/refresh")) == NOT_MATERIALIZED
    assert waiting(api) == []


def test_a_bad_request_asks_for_nothing(api: Caller) -> None:
    api.created(is_materialized=True)
    api.materialize()
    assert says(api.post("/daily/refresh", {"version": 9})) == (404, {"error": "Version 9 not found"})
    assert says(api.post("/daily/refresh", {"when": "now"})) == invalid("Extra inputs are not permitted", "when")
    assert says(api.post("/daily/refresh", params={"version": "x"})) == invalid("Must be an integer, got: x", "version")
    assert waiting(api) == []
