"""List, retrieve and delete (contract 1.1, 1.3, 1.5, 1.17)."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints_pipeline.catalog.records import KeyKind
from tests.api.callers import DAILY, NOT_FOUND, Caller, hogql, invalid, malformed, ok, says
from tests.api.people import person


def names(page: dict[str, Any]) -> list[str]:
    return [endpoint["name"] for endpoint in page["results"]]


def test_an_empty_project_lists_nothing(api: Caller) -> None:
    assert ok(api.get()) == {"count": 0, "next": None, "previous": None, "results": []}


def test_the_list_holds_whole_endpoints_and_no_deleted_ones(api: Caller, stranger: Caller) -> None:
    stranger.created("elsewhere")
    daily, off = api.created(), api.created("off", is_active=False)
    api.created("gone")
    api.delete("/gone")
    assert ok(api.get()) == {"count": 2, "next": None, "previous": None, "results": [daily, off]}


def test_the_list_is_filtered_by_the_endpoints_flag_not_the_versions(api: Caller) -> None:
    api.created("on")
    api.created("off", is_active=False)
    api.patched("on", version=1, is_active=False)
    for true in ("true", "True", "1"):
        assert names(ok(api.get(params={"is_active": true}))) == ["on"]
    for false in ("false", "FALSE", "0"):
        assert names(ok(api.get(params={"is_active": false}))) == ["off"]
    assert names(ok(api.get(params={"is_active": ""}))) == ["off", "on"]


def colleague(api: Caller) -> Caller:
    """Another person who works in the same project."""
    keys = api.application.catalog.keys
    user = keys.ensure_user(f"bob{api.project}@example.com", now=api.clock())
    _, secret = keys.create(
        kind=KeyKind.PERSONAL, label="Bob's", project_id=api.project, scopes=["*"], user_id=user.id, now=api.clock()
    )
    return Caller(api.web, api.application, api.clock, api.project, user, secret)


def test_1_1_the_list_is_filtered_by_author_and_filters_add_up(api: Caller) -> None:
    bob = colleague(api)
    api.created("a")
    bob.created("b")
    bob.created("c", is_active=False)
    assert names(ok(api.get())) == ["a", "b", "c"]
    assert names(ok(api.get(params={"created_by": bob.user.id}))) == ["b", "c"]
    assert names(ok(api.get(params={"created_by": bob.user.id, "is_active": "true"}))) == ["b"]
    assert names(ok(api.get(params={"created_by": ""}))) == ["a", "b", "c"]
    for nobody in ("-1", "0", "9" * 20):
        assert ok(api.get(params={"created_by": nobody}))["count"] == 0
    page = ok(api.get(params={"created_by": bob.user.id, "limit": 1}))
    assert page["next"].endswith(f"?created_by={bob.user.id}&limit=1&offset=1")


def test_pages_link_to_each_other_in_the_callers_own_spelling(api: Caller) -> None:
    for name in "abcde":
        api.created(name, "SELECT 1 AS n")
    url = f"/api/environments/{api.project}/endpoints/"
    pages = []
    page = ok(api.client.get(url, params={"limit": 2, "is_active": "true"}))
    while True:
        pages.append(names(page))
        assert page["count"] == 5
        if page["next"] is None:
            break
        assert page["next"].startswith(f"https://endpoints.example{url}?is_active=true&limit=2&offset=")
        page = ok(api.client.get(page["next"].removeprefix("https://endpoints.example")))
    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    assert page["previous"] == f"https://endpoints.example{url}?is_active=true&limit=2&offset=2"
    assert ok(api.get(params={"limit": 2, "offset": 1}))["previous"].endswith("?limit=2&offset=0")
    assert ok(api.get(params={"offset": 9})) | {"previous": None} == {
        "count": 5,
        "next": None,
        "previous": None,
        "results": [],
    }


def test_a_page_has_a_hundred_endpoints_unless_told_otherwise(api: Caller) -> None:
    assert ok(api.get(params={"limit": "", "offset": ""}))["results"] == []
    for number in range(3):
        api.created(f"e{number}", "SELECT 1 AS n")
    assert len(ok(api.get())["results"]) == 3
    assert ok(api.get(params={"limit": 10**9}))["next"] is None


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"limit": "0"}, invalid("Must be an integer of at least 1, got: 0", "limit")),
        ({"limit": "x"}, invalid("Must be an integer of at least 1, got: x", "limit")),
        ({"offset": "-1"}, invalid("Must be an integer of at least 0, got: -1", "offset")),
        ({"offset": "9" * 19}, invalid(f"Must be an integer of at least 0, got: {'9' * 19}", "offset")),
        ({"is_active": "maybe"}, invalid("Must be true or false, got: maybe", "is_active")),
        ({"created_by": "ada"}, invalid("Must be a user's id, an integer, got: ada", "created_by")),
    ],
)
def test_a_bad_filter_is_refused(api: Caller, params: dict[str, str], said: Any) -> None:
    assert says(api.get(params=params)) == said


def test_an_inactive_endpoint_can_be_seen(api: Caller) -> None:
    assert api.created(is_active=False) == api.seen()


def test_a_version_has_the_endpoints_keys_and_its_own(api: Caller) -> None:
    endpoint = api.created(description="one")
    api.clock.now = api.clock.now.replace(hour=13)
    current = api.patched(query=hogql("SELECT 1 AS n"), description="two")
    api.answered()
    body = api.seen(version=1)
    assert body == {
        **endpoint,
        "url": None,
        "ui_url": None,
        "updated_at": "2026-03-01T13:00:00Z",
        "current_version": 2,
        "versions_count": 2,
        "version": 1,
        "version_id": endpoint["current_version_id"],
        "endpoint_is_active": True,
        "version_created_at": "2026-03-01T12:00:00Z",
        "version_updated_at": "2026-03-01T12:00:00Z",
        "version_created_by": person(api),
    }
    assert api.seen(version=2)["version_id"] == current["current_version_id"]
    assert ok(api.get("/daily/versions/1")) == body


def test_the_endpoint_says_when_it_was_last_executed(api: Caller) -> None:
    api.created()
    api.clock.now = api.clock.now.replace(hour=14)
    api.answered()
    assert api.seen()["last_executed_at"] == "2026-03-01T14:00:00Z"


def test_1_17_a_version_says_when_it_itself_was_last_executed(api: Caller) -> None:
    api.created()
    api.patched(query=hogql("SELECT 1 AS n"))
    api.answered(body={"version": 1})
    assert api.seen(version=1)["last_executed_at"] == "2026-03-01T12:00:00Z"
    assert api.seen(version=2)["last_executed_at"] is None
    assert api.seen()["last_executed_at"] == "2026-03-01T12:00:00Z"


def test_1_3_the_version_may_stand_in_the_body_which_wins(api: Caller) -> None:
    api.created()
    api.patched(query=hogql("SELECT 1 AS n"))

    def get(body: Any, **params: Any) -> Any:
        return api.client.request("GET", f"{api.base}/daily", json=body, params=params)

    assert ok(get({"version": 1}))["version"] == 1
    assert ok(get({"version": 1}, version=2))["version"] == 1
    assert ok(get({"version": None}, version=2))["version"] == 2
    assert "version" not in ok(get({}))
    assert ok(get({"version": "1"}))["version"] == 1
    for wrong in ("abc", True, 1.5, [1]):
        assert says(get({"version": wrong})) == invalid(f"Must be an integer, got: {wrong}", "version")
    assert says(get({"version": 9})) == (404, {"error": "Version 9 not found"})
    assert says(get({"version": 9**50})) == (404, {"error": f"Version {9**50} not found"})
    assert says(get({"more": 1})) == invalid("Extra inputs are not permitted", "more")
    assert says(get([])) == malformed("Input should be an object")


def test_bulk_tag_updates_are_never_allowed(api: Caller) -> None:
    said = (405, {"detail": "Bulk tag updates are not supported for endpoints."})
    answer = api.post("/bulk_update_tags", {"tags": ["a"]})
    assert says(answer) == said
    assert "POST" not in answer.headers["allow"]
    assert says(api.post("/bulk_update_tags/")) == said
    assert says(api.get("/bulk_update_tags")) == NOT_FOUND
    api.created("bulk_update_tags")
    assert api.seen("bulk_update_tags")["name"] == "bulk_update_tags"
    assert says(api.post("/daily/materialization_suggestion", {})) == NOT_FOUND


def test_an_unknown_version_is_a_404_of_the_plain_family(api: Caller) -> None:
    api.created()
    for version in (0, 2, 10**18, 10**19):
        assert says(api.get("/daily", params={"version": version})) == (404, {"error": f"Version {version} not found"})
        assert says(api.get(f"/daily/versions/{version}")) == (404, {"error": f"Version {version} not found"})
    for text in ("abc", "", "1.0", "+1", "\uff11", "9" * 21):
        said = invalid(f"Must be an integer, got: {text}", "version")
        assert says(api.get("/daily", params={"version": text})) == said
    assert says(api.get("/daily/versions/abc")) == NOT_FOUND


def test_a_deleted_endpoint_is_gone_from_every_route(api: Caller) -> None:
    api.created(is_materialized=True)
    api.materialize()
    assert api.answered()["served"]["path"] == "materialized"
    answer = api.delete("/daily")
    assert (answer.status_code, answer.content) == (204, b"")
    assert says(api.get("/daily")) == NOT_FOUND
    assert says(api.get("/daily", params={"version": 1})) == NOT_FOUND
    assert says(api.patch("/daily", {"description": "x"})) == NOT_FOUND
    assert says(api.run()) == NOT_FOUND
    assert says(api.get("/daily/run")) == NOT_FOUND
    assert says(api.post("/daily/refresh")) == NOT_FOUND
    assert says(api.delete("/daily")) == NOT_FOUND
    assert ok(api.get())["results"] == []
    times = ok(api.post("/last_execution_times", {"names": ["daily"]}))
    assert times["query_status"]["results"] == []


def test_a_deleted_endpoints_rows_are_not_its_successors(api: Caller) -> None:
    api.created(sql="SELECT 'old' AS word", is_materialized=True)
    api.materialize()
    api.delete("/daily")
    api.created(sql="SELECT 'new' AS word", is_materialized=True)
    answer = api.answered()
    assert (answer["results"], answer["served"]["reason"]) == ([["new"]], "no_snapshot_yet")
    assert api.seen()["last_executed_at"] is not None
    api.materialize()
    assert api.answered()["results"] == [["new"]]


def test_the_list_carries_the_current_version_of_each(api: Caller) -> None:
    api.created(sql=DAILY)
    api.patched(query=hogql("SELECT 1 AS n"))
    (listed,) = ok(api.get())["results"]
    assert listed == api.seen()
    assert (listed["current_version"], listed["query"]["query"]) == (2, "SELECT 1 AS n")
