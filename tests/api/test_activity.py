"""The activity log: who changed what, in PostHog's shape (contract 5.5, 10.17)."""

from __future__ import annotations

from typing import Any

from tests.api.callers import DAILY, Caller, hogql, invalid, ok, says
from tests.api.people import person

OTHER = "SELECT 1 AS n"


def log(api: Caller, **params: Any) -> dict[str, Any]:
    return ok(api.client.get(f"/api/projects/{api.project}/activity_log/", params=params))


def told(api: Caller, **params: Any) -> list[tuple[str, str]]:
    """Scope and activity of each entry, the oldest first."""
    return [(one["scope"], one["activity"]) for one in reversed(log(api, **params)["results"])]


def test_5_5_a_change_is_told_with_its_fields_and_its_author(api: Caller) -> None:
    endpoint = api.created()
    api.clock.now = api.clock.now.replace(hour=13)
    api.patched(is_active=False, tags=["a"])
    page = log(api)
    assert (page["count"], page["next"], page["previous"]) == (2, None, None)
    changed, created = page["results"]
    assert changed == {
        "id": changed["id"],
        "user": person(api),
        "activity": "updated",
        "item_id": endpoint["id"],
        "scope": "Endpoint",
        "detail": {
            "name": "daily",
            "changes": [
                {"type": "Endpoint", "action": "changed", "field": "is_active", "before": True, "after": False},
                {"type": "Endpoint", "action": "changed", "field": "tags", "before": [], "after": ["a"]},
            ],
            "context": {},
        },
        "is_system": False,
        "created_at": "2026-03-01T13:00:00Z",
    }
    assert (created["activity"], created["detail"]["changes"], created["id"] != changed["id"]) == ("created", [], True)


def test_5_5_versions_and_materializations_are_told_with_their_number(api: Caller) -> None:
    one = api.created(is_materialized=True)
    two = api.patched(query=hogql(OTHER))
    api.patched(version=1, description="x", cache_age_seconds=300)
    entries = {
        (entry["scope"], entry["activity"], entry["detail"]["context"].get("version")): entry
        for entry in log(api)["results"]
    }
    made = entries["Endpoint", "version_created", 2]
    (change,) = made["detail"]["changes"]
    assert (change["field"], change["before"]["query"], change["after"]["query"]) == ("query", DAILY, OTHER)
    assert made["item_id"] == one["id"]
    updated = entries["EndpointVersion", "version_updated", 1]
    actions = {change["field"]: change["action"] for change in updated["detail"]["changes"]}
    assert actions["description"] == "changed"
    assert actions["cache_age_seconds"] == "created"
    assert {change["type"] for change in updated["detail"]["changes"]} == {"EndpointVersion"}
    enabled = entries["DataWarehouseSavedQuery", "materialization_enabled", 2]
    assert enabled["item_id"] == two["materialization"]["saved_query_id"]
    assert entries["DataWarehouseSavedQuery", "materialization_enabled", 1]["detail"]["name"] == "daily"


def test_5_5_what_changes_nothing_is_not_told(api: Caller) -> None:
    api.created(description="x")
    for same in ({}, {"description": "x"}, {"query": hogql(DAILY)}, {"tags": []}, {"is_materialized": False}):
        api.patched(**same)
    assert told(api) == [("Endpoint", "created")]


def test_a_taken_back_value_is_told_as_deleted(api: Caller) -> None:
    api.created(cache_age_seconds=300)
    api.patched(cache_age_seconds=None)
    changes = log(api)["results"][0]["detail"]["changes"]
    assert {change["field"]: change["action"] for change in changes}["cache_age_seconds"] == "deleted"


def test_10_17_the_log_is_filtered_by_scope_and_item(api: Caller) -> None:
    one, two = api.created("one", is_materialized=True), api.created("two")
    assert told(api, scope="Endpoint") == [("Endpoint", "created")] * 2
    assert told(api, item_id=two["id"]) == [("Endpoint", "created")]
    assert told(api, scope="DataWarehouseSavedQuery") == [("DataWarehouseSavedQuery", "materialization_enabled")]
    assert told(api, scope="Endpoint", item_id=one["current_version_id"]) == []
    assert told(api, scope="Dashboard") == []
    assert told(api, scope="", item_id="") == told(api)


def test_the_log_comes_in_pages_newest_first(api: Caller) -> None:
    for name in "abc":
        api.created(name, OTHER)
    page = log(api, limit=2)
    assert [one["detail"]["name"] for one in page["results"]] == ["c", "b"]
    assert page["next"].endswith(f"/api/projects/{api.project}/activity_log/?limit=2&offset=2")


def test_the_log_tells_of_deleted_endpoints_and_of_nobody_elses(api: Caller, stranger: Caller) -> None:
    id_ = api.created()["id"]
    api.delete("/daily")
    stranger.created()
    assert told(api) == [("Endpoint", "created"), ("Endpoint", "deleted")]
    assert told(stranger, item_id=id_) == []


def test_what_a_key_of_nobody_did_was_the_system(api: Caller) -> None:
    api.keyed("*", user_id=None).created()
    (entry,) = log(api)["results"]
    assert (entry["user"], entry["is_system"]) == (None, True)


def test_the_log_is_under_both_prefixes_and_needs_its_own_scope(api: Caller) -> None:
    path = f"/api/environments/{api.project}/activity_log"
    assert ok(api.keyed("activity_log:read").client.get(path))["count"] == 0
    assert api.keyed("endpoint:read").client.get(path).status_code == 403


def test_a_bad_parameter_is_refused(api: Caller) -> None:
    path = f"/api/projects/{api.project}/activity_log"
    said = invalid("Must be an integer of at least 1, got: x", "limit")
    assert says(api.client.get(path, params={"limit": "x"})) == said
    assert says(api.client.get(path, params={"scope": "\0"})) == invalid("Null characters are not allowed.", "scope")
