"""Versions: listed, shown and changed under paths of their own (contract 1.8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.callers import DAILY, NOT_FOUND, Caller, hogql, invalid, malformed, ok, says
from tests.api.people import person

OTHER = "SELECT 1 AS n"


@pytest.fixture
def versions(api: Caller) -> list[dict[str, Any]]:
    """Three versions of ``daily``, the newest first, each as it is shown under its number."""
    api.created()
    api.patched(query=hogql(OTHER))
    api.patched(query=hogql(DAILY))
    return [api.seen(version=number) for number in (3, 2, 1)]


def listed(page: dict[str, Any]) -> list[int]:
    return [version["version"] for version in page["results"]]


def test_1_8_versions_are_listed_newest_first_as_whole_objects(api: Caller, versions: list[dict[str, Any]]) -> None:
    assert ok(api.get("/daily/versions")) == {"count": 3, "next": None, "previous": None, "results": versions}


def test_1_8_versions_come_in_pages(api: Caller, versions: list[dict[str, Any]]) -> None:
    first = ok(api.get("/daily/versions/", params={"limit": 2}))
    base = f"https://endpoints.example/api/projects/{api.project}/endpoints/daily/versions/"
    assert (listed(first), first["next"]) == ([3, 2], f"{base}?limit=2&offset=2")
    second = ok(api.client.get(first["next"].removeprefix("https://endpoints.example")))
    assert (listed(second), second["next"], second["previous"]) == ([1], None, f"{base}?limit=2&offset=0")
    assert ok(api.get("/daily/versions", params={"offset": 9}))["results"] == []
    # a page that ends with the list has no next one
    assert ok(api.get("/daily/versions", params={"limit": 3}))["next"] is None
    assert ok(api.get("/daily/versions", params={"limit": 1, "offset": 2}))["next"] is None


def test_1_8_versions_of_an_inactive_endpoint_are_listed(api: Caller, versions: list[dict[str, Any]]) -> None:
    api.patched(is_active=False)
    page = ok(api.get("/daily/versions"))
    assert [(one["is_active"], one["endpoint_is_active"]) for one in page["results"]] == [(True, False)] * 3


def test_versions_are_filtered_by_their_own_flag_and_author(api: Caller, versions: list[dict[str, Any]]) -> None:
    api.patched(version=2, is_active=False)
    assert listed(ok(api.get("/daily/versions", params={"is_active": "true"}))) == [3, 1]
    assert listed(ok(api.get("/daily/versions", params={"is_active": "false"}))) == [2]
    assert listed(ok(api.get("/daily/versions", params={"created_by": api.user.id}))) == [3, 2, 1]
    assert ok(api.get("/daily/versions", params={"created_by": api.user.id + 1})) == {
        "count": 0,
        "next": None,
        "previous": None,
        "results": [],
    }


@pytest.mark.parametrize(
    ("params", "attr"),
    [({"limit": "x"}, "limit"), ({"is_active": "x"}, "is_active"), ({"created_by": "x"}, "created_by")],
)
def test_a_bad_filter_is_refused_but_not_before_the_endpoint_is_found(
    api: Caller, params: dict[str, str], attr: str
) -> None:
    assert says(api.get("/absent/versions", params=params)) == NOT_FOUND
    api.created()
    answer = api.get("/daily/versions", params=params)
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


def test_a_version_knows_its_author_and_its_times(api: Caller) -> None:
    api.created()
    api.clock.now = api.clock.now.replace(hour=13)
    api.patched(query=hogql(OTHER))
    api.clock.now = api.clock.now.replace(hour=14)
    api.patched(version=1, description="changed")
    one, two = api.seen(version=1), api.seen(version=2)
    assert (one["version_created_at"], one["version_updated_at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T14:00:00Z")
    assert (two["version_created_at"], two["version_updated_at"]) == ("2026-03-01T13:00:00Z", "2026-03-01T13:00:00Z")
    assert one["version_created_by"] == two["version_created_by"] == person(api)
    assert one["created_at"] == two["created_at"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_patch_of_a_version_is_an_update_aimed_at_it(
    api: Caller, versions: list[dict[str, Any]], method: str
) -> None:
    def send(number: int, **fields: Any) -> Any:
        return api.client.request(method, f"{api.base}/daily/versions/{number}", json=fields)

    body = ok(send(1, description="one", is_active=False))
    assert body == api.seen(version=1)
    assert (body["description"], body["is_active"], body["endpoint_is_active"]) == ("one", False, True)
    assert api.seen(version=2) == versions[1]
    assert ok(send(2, version=2, description="two"))["description"] == "two"
    # the current one, too, shows itself as a version
    assert ok(send(3, description="three"))["version_id"] == versions[0]["version_id"]


def test_a_patch_of_a_version_is_refused_like_an_update_aimed_at_it(api: Caller) -> None:
    api.created()
    path = "/daily/versions/1"
    assert says(api.patch("/daily/versions/2", {})) == invalid("Version 2 not found for this endpoint.", "version")
    assert says(api.patch("/daily/versions/x", {})) == NOT_FOUND
    assert says(api.patch("/absent/versions/1", {"nonsense": 1})) == NOT_FOUND
    assert says(api.patch(path, {"nonsense": 1})) == malformed("nonsense: Extra inputs are not permitted")
    assert says(api.patch(path, {"version": 2})) == invalid("The path names version 1, the body version 2.", "version")
    assert says(api.patch(path, {"query": hogql(OTHER)})) == invalid(
        "Cannot change query when targeting a specific version. Query changes create a new version.", "query"
    )


def test_2_5_versions_cannot_be_deleted(api: Caller) -> None:
    api.created()
    said = invalid("Versions can't be deleted: delete the endpoint, or deactivate the version.", "deleted")
    assert says(api.patch("/daily/versions/1", {"deleted": True})) == said
    assert api.delete("/daily/versions/1").status_code == 405
    assert api.seen()["name"] == "daily"


def test_the_versions_of_a_deleted_endpoint_are_gone(api: Caller, versions: list[dict[str, Any]]) -> None:
    api.delete("/daily")
    assert says(api.get("/daily/versions")) == NOT_FOUND
    assert says(api.get("/daily/versions/1")) == NOT_FOUND
    assert says(api.patch("/daily/versions/1", {})) == NOT_FOUND
