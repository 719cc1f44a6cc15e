"""Update (contract 1.4, 2.5 to 2.7): partial, versioned, and refused as a whole when one wish can't be met."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints_pipeline.catalog.records import KeyKind
from tests.api.callers import DAILY, NOT_FOUND, Caller, hogql, invalid, malformed, ok, says
from tests.api.people import person

OTHER = "SELECT name, count() AS n FROM api_events GROUP BY name ORDER BY name"
NOT_STORABLE = "SELECT sumState(amount) AS s FROM api_events"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_put_and_patch_change_only_what_is_named(api: Caller, method: str) -> None:
    api.created(description="old", cache_age_seconds=600, data_freshness_seconds=1800, derived_from_insight="abc")
    before = api.seen()
    after = ok(api.client.request(method, f"{api.base}/daily", json={"description": "new"}))
    assert after == before | {"description": "new"}
    assert ok(api.client.request(method, f"{api.base}/daily", json={})) == after


def test_null_leaves_a_field_as_it_is(api: Caller) -> None:
    before = api.created(description="kept", is_active=False)
    fields = ("name", "query", "description", "is_active", "is_materialized", "sync_frequency", "version", "deleted")
    assert api.patched(**dict.fromkeys(fields)) == before


def test_an_explicit_null_resets_the_freshness(api: Caller) -> None:
    api.created(data_freshness_seconds=900)
    assert api.patched(data_freshness_seconds=None)["data_freshness_seconds"] == 86400


def test_an_endpoint_cannot_be_renamed_nor_its_origin_changed(api: Caller) -> None:
    before = api.created(derived_from_insight="abc")
    assert api.patched(name="other", derived_from_insight="def") == before
    assert says(api.get("/other")) == NOT_FOUND


def test_what_was_sent_can_be_sent_again(api: Caller) -> None:
    sent = {"name": "daily", "query": hogql(DAILY), "description": "x", "cache_age_seconds": None, "tags": []}
    before = ok(api.post("", sent), 201)
    assert api.patched(**sent) == before


def test_a_different_query_makes_a_new_version_that_inherits(api: Caller) -> None:
    first = api.created(description="kept", data_freshness_seconds=900)
    api.clock.now = api.clock.now.replace(hour=13)
    second = api.patched(query=hogql(OTHER))
    assert (second["current_version"], second["versions_count"]) == (2, 2)
    assert second["current_version_id"] != first["current_version_id"]
    assert second["query"]["query"] == OTHER
    assert (second["description"], second["data_freshness_seconds"]) == ("kept", 900)
    assert [column["name"] for column in second["columns"]] == ["name", "n"]
    assert (second["created_at"], second["updated_at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z")
    assert api.answered(body={"version": 1})["columns"] == ["day", "total"]
    assert api.answered()["columns"] == ["name", "n"]


def test_the_same_query_makes_no_version_whatever_the_order_of_its_keys(api: Caller) -> None:
    api.created()
    assert api.patched(query=hogql(DAILY))["current_version"] == 1
    assert api.patched(query={"query": DAILY, "modifiers": None, "kind": "HogQLQuery"})["current_version"] == 1
    assert api.patched(query=hogql(f"{DAILY} "))["current_version"] == 2


def test_a_bad_query_changes_nothing(api: Caller) -> None:
    before = api.created()
    answer = api.patch("/daily", {"query": hogql("SELECT * FROM absent"), "description": "new"})
    assert (answer.status_code, answer.json()["attr"], answer.json()["code"]) == (400, "query", "UNKNOWN_TABLE")
    assert api.seen() == before


@pytest.mark.parametrize("where", ["body", "query string"])
def test_a_targeted_update_changes_that_version_and_answers_with_it(api: Caller, where: str) -> None:
    api.created(description="one")
    api.patched(query=hogql(OTHER), description="two")
    if where == "body":
        body = api.patched(version=1, description="changed")
    else:
        body = ok(api.patch("/daily", {"description": "changed"}, params={"version": "1"}))
    assert (body["version"], body["description"], body["query"]["query"]) == (1, "changed", DAILY)
    assert (body["url"], body["ui_url"]) == (None, None)
    assert body == api.seen(version=1)
    assert api.seen()["description"] == "two"


def test_the_bodys_version_wins_over_the_query_strings(api: Caller) -> None:
    api.created()
    api.patched(query=hogql(OTHER))
    assert ok(api.patch("/daily", {"version": 1}, params={"version": "2"}))["version"] == 1
    assert ok(api.patch("/daily", {"version": 1}, params={"version": "x"}))["version"] == 1


def test_an_unknown_version_is_a_400(api: Caller) -> None:
    api.created()
    for version in (0, -1, 2, 10**18, 10**25):
        said = invalid(f"Version {version} not found for this endpoint.", "version")
        assert says(api.patch("/daily", {"version": version, "description": "x"})) == said
    assert says(api.patch("/daily", {}, params={"version": "abc"})) == invalid(
        "Must be an integer, got: abc", "version"
    )


def test_a_query_cannot_be_changed_in_a_version(api: Caller) -> None:
    api.created()
    said = invalid(
        "Cannot change query when targeting a specific version. Query changes create a new version.", "query"
    )
    assert says(api.patch("/daily", {"version": 1, "query": hogql(OTHER)})) == said
    assert says(api.patch("/daily", {"version": 9, "query": hogql(OTHER)})) == invalid(
        "Version 9 not found for this endpoint.", "version"
    )


@pytest.mark.parametrize(
    ("fields", "freshness", "frequency", "cache_age"),
    [
        ({"data_freshness_seconds": 900}, 900, "15min", None),
        ({"sync_frequency": "30min"}, 1800, "30min", None),
        ({"sync_frequency": "2hour"}, 21600, "2hour", None),
        ({"sync_frequency": "never"}, 86400, "never", None),
        ({"sync_frequency": "1hour", "data_freshness_seconds": 604800}, 604800, "1hour", None),
        ({"cache_age_seconds": 3600}, 3600, "1hour", 3600),
        ({"description": "x"}, 86400, "24hour", None),
    ],
)
def test_the_freshness_written_last_wins(
    api: Caller, fields: dict[str, Any], freshness: int, frequency: str, cache_age: int | None
) -> None:
    api.created(is_materialized=True)
    body = api.patched(**fields)
    assert body["data_freshness_seconds"] == freshness
    assert body["materialization"]["sync_frequency"] == frequency
    assert body["cache_age_seconds"] == cache_age


def test_a_cache_age_stays_until_another_is_set(api: Caller) -> None:
    api.created(cache_age_seconds=600)
    assert api.patched(data_freshness_seconds=900)["cache_age_seconds"] == 600
    assert api.patched(cache_age_seconds=700)["cache_age_seconds"] == 700
    assert api.patched(description="x")["cache_age_seconds"] == 700


@pytest.mark.parametrize(
    ("before", "fields", "freshness"),
    [
        ({"cache_age_seconds": 600}, {}, 86400),
        ({"cache_age_seconds": 600}, {"data_freshness_seconds": 1800}, 1800),
        ({"cache_age_seconds": 600}, {"sync_frequency": "1hour"}, 3600),
        ({"cache_age_seconds": 600, "data_freshness_seconds": 900}, {}, 900),
        ({"data_freshness_seconds": 900}, {}, 900),
        ({"sync_frequency": "30day"}, {}, 2592000),
    ],
)
def test_a_null_takes_a_cache_age_back(
    api: Caller, before: dict[str, Any], fields: dict[str, Any], freshness: int
) -> None:
    api.created(**before)
    body = api.patched(cache_age_seconds=None, **fields)
    assert (body["cache_age_seconds"], body["data_freshness_seconds"]) == (None, freshness)


def test_10_10_every_word_is_echoed_as_given_and_a_null_takes_it_back(api: Caller) -> None:
    api.created(is_materialized=True, data_freshness_seconds=3600)
    for word in ("5min", "2hour", "30day", "never"):
        assert api.patched(sync_frequency=word)["materialization"]["sync_frequency"] == word
        assert api.patched(description=word)["materialization"]["sync_frequency"] == word
    assert api.patched(sync_frequency=None)["materialization"]["sync_frequency"] == "30day"


def test_a_word_is_kept_while_nothing_is_materialized(api: Caller) -> None:
    body = api.created(sync_frequency="never")
    assert (body["materialization"]["enabled"], body["materialization"]["sync_frequency"]) == (False, "never")
    assert api.patched(is_materialized=True)["materialization"]["sync_frequency"] == "never"
    assert api.patched(is_materialized=False)["materialization"]["sync_frequency"] == "never"
    assert api.patched(data_freshness_seconds=900)["materialization"]["sync_frequency"] is None
    assert api.patched(is_materialized=True)["materialization"]["sync_frequency"] == "15min"


def test_1_4_8_tags_are_replaced_and_an_empty_list_clears_them(api: Caller) -> None:
    api.created(tags=["a", "b"])
    assert api.patched(tags=["c", "a", "c"])["tags"] == ["a", "c"]
    assert api.patched(tags=None)["tags"] == ["a", "c"]
    assert api.patched(description="x")["tags"] == ["a", "c"]
    assert api.patched(tags=[])["tags"] == []


def test_tags_and_display_name_are_the_endpoints_not_the_versions(api: Caller) -> None:
    api.created(tags=["a"], display_name="One")
    api.patched(query=hogql(OTHER))
    body = api.patched(version=1, tags=["b"], display_name="Two")
    assert (body["tags"], body["display_name"]) == (["b"], "Two")
    assert (api.seen()["tags"], api.seen()["display_name"]) == (["b"], "Two")
    assert api.patched(display_name="")["display_name"] == ""


def test_2_8_a_plain_patch_keeps_bucket_overrides(api: Caller) -> None:
    api.created(is_materialized=True, bucket_overrides={"day": "week"})
    assert api.patched(description="x")["bucket_overrides"] == {"day": "week"}
    assert api.patched(is_materialized=True)["bucket_overrides"] == {"day": "week"}
    assert api.patched(query=hogql(OTHER))["bucket_overrides"] == {"day": "week"}
    assert api.patched(bucket_overrides={"day": "hour"})["bucket_overrides"] == {"day": "hour"}
    assert api.seen(version=1)["bucket_overrides"] == {"day": "week"}
    assert api.patched(bucket_overrides={})["bucket_overrides"] is None
    assert api.patched(bucket_overrides={"day": "day"}, version=1)["bucket_overrides"] == {"day": "day"}
    assert api.patched(bucket_overrides=None, version=1)["bucket_overrides"] is None


def test_2_8_bucket_overrides_need_a_materialization(api: Caller) -> None:
    api.created()
    assert api.patched(bucket_overrides={"day": "week"})["bucket_overrides"] is None
    assert api.patched(bucket_overrides={"day": "week"}, is_materialized=True)["bucket_overrides"] == {"day": "week"}


def test_1_4_7_changed_bucket_overrides_are_refreshed_at_once(api: Caller) -> None:
    version = api.created(is_materialized=True, bucket_overrides={"day": "week"})["current_version_id"]
    api.materialize()

    def waiting() -> list[str]:
        requests = api.application.catalog.refreshes.waiting_requests()
        return [request.reason for request in requests if request.version_id == version]

    api.patched(bucket_overrides={"day": "week"}, description="x")
    assert waiting() == []
    api.patched(bucket_overrides={"day": "hour"})
    assert waiting() == ["bucket overrides changed"]


def test_1_4_a_version_of_one_person_and_an_endpoint_of_another(api: Caller) -> None:
    api.created()
    key = {"kind": KeyKind.PERSONAL, "user_id": None}
    system = api.keyed("*", **key)
    assert system.patched(query=hogql(OTHER))["created_by"] == person(api)
    assert api.seen(version=2)["version_created_by"] is None
    assert api.seen(version=1)["version_created_by"] == person(api)


def test_1_4_the_rules_are_checked_in_the_contracts_order(api: Caller) -> None:
    api.created(is_active=False)
    wrong: dict[str, Any] = {
        "data_freshness_seconds": 1,
        "is_materialized": True,
        "sync_frequency": "1hour",
        "query": hogql("SELECT * FROM absent"),
        "optional_breakdown_properties": ["a"],
        "bucket_overrides": {"day": "year"},
        "version": 9,
    }

    def said() -> Any:
        status, body = says(api.patch("/daily", wrong))
        assert status == 400
        return body["attr"]

    assert said() == "data_freshness_seconds"
    wrong["data_freshness_seconds"] = None
    assert said() == "is_materialized"
    wrong["is_materialized"] = False
    assert said() == "sync_frequency"
    ok(api.patch("/daily", {"is_active": True}))
    assert said() == "sync_frequency"
    wrong["sync_frequency"] = None
    assert said() == "query"
    wrong["query"] = hogql(OTHER)
    assert said() == "optional_breakdown_properties"
    wrong["optional_breakdown_properties"] = None
    assert said() == "bucket_overrides"
    wrong["bucket_overrides"] = None
    assert said() == "version"
    wrong["version"] = 1
    assert says(api.patch("/daily", wrong))[1]["detail"].startswith("Cannot change query when targeting")


def test_materialization_is_switched_on_and_off(api: Caller) -> None:
    api.created()
    on = api.patched(is_materialized=True)
    assert (on["materialization"]["enabled"], on["is_materialized"]) == (True, False)
    api.materialize()
    assert api.patched(description="x")["is_materialized"] is True
    off = api.patched(is_materialized=False)
    assert (off["materialization"]["enabled"], off["is_materialized"]) == (False, False)
    assert api.answered()["served"]["reason"] == "not_materialized"


def test_a_new_version_takes_over_the_materialization_and_the_old_one_keeps_its_own(api: Caller) -> None:
    api.created(is_materialized=True, sync_frequency="2hour")
    api.materialize()
    second = api.patched(query=hogql(OTHER))
    assert second["materialization"]["enabled"] is True
    assert second["materialization"]["sync_frequency"] == "2hour"
    assert second["is_materialized"] is False
    assert api.seen(version=1)["is_materialized"] is True
    assert api.answered(body={"version": 1})["served"]["path"] == "materialized"


def test_a_new_version_that_cannot_be_materialized_is_kept_and_the_answer_says_why(api: Caller) -> None:
    api.created(is_materialized=True)
    api.materialize()
    body = api.patched(query=hogql(NOT_STORABLE))
    assert body["current_version"] == 2
    assert body["materialization_error"].startswith("Cannot materialize endpoint. Reason: column 's' has type")
    assert body["materialization"]["enabled"] is False
    assert body["materialization"]["reason"].startswith("column 's' has type")
    assert api.seen(version=1)["is_materialized"] is True
    assert "materialization_error" not in api.seen()


def test_asking_for_a_materialization_that_cannot_be_is_refused_as_a_whole(api: Caller) -> None:
    before = api.created()
    answer = api.patch("/daily", {"query": hogql(NOT_STORABLE), "is_materialized": True})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Cannot materialize endpoint. Reason: column 's' has type")
    assert api.seen() == before
    api.created("state", NOT_STORABLE)
    assert says(api.patch("/state", {"is_materialized": True})) == (400, answer.json())


def test_eligibility_is_that_of_the_version_aimed_at(api: Caller) -> None:
    api.created()
    api.patched(query=hogql(NOT_STORABLE))
    assert api.patch("/daily", {"is_materialized": True}).status_code == 400
    assert ok(api.patch("/daily", {"version": 1, "is_materialized": True}))["materialization"]["enabled"] is True


def test_an_inactive_endpoint_is_neither_materialized_nor_scheduled(api: Caller) -> None:
    no_materialization = invalid("Cannot enable materialization on inactive endpoint.", "is_materialized")
    no_schedule = invalid("Cannot set sync_frequency on inactive endpoint.", "sync_frequency")
    api.created(is_active=False)
    assert says(api.patch("/daily", {"is_materialized": True})) == no_materialization
    assert says(api.patch("/daily", {"sync_frequency": "1hour"})) == no_schedule
    both = {"is_materialized": True, "sync_frequency": "1hour", "query": hogql("SELECT * FROM absent")}
    assert says(api.patch("/daily", both)) == no_materialization
    assert api.patched(is_active=True, **{**both, "query": None})["materialization"]["enabled"] is True
    assert says(api.patch("/daily", {"is_active": False, "is_materialized": True})) == no_materialization
    assert says(api.patch("/daily", {"is_active": False, "sync_frequency": "1hour"})) == no_schedule
    assert api.seen()["is_active"] is True


def test_a_schedule_cannot_be_set_while_the_materialization_is_switched_off(api: Caller) -> None:
    api.created(is_materialized=True)
    said = invalid("Cannot set sync_frequency when disabling materialization.", "sync_frequency")
    assert says(api.patch("/daily", {"is_materialized": False, "sync_frequency": "1hour"})) == said
    assert api.seen()["materialization"]["enabled"] is True


def test_deactivating_an_endpoint_tears_every_materialization_down_for_good(api: Caller) -> None:
    api.created(is_materialized=True)
    api.patched(query=hogql(OTHER))
    assert api.patched(is_active=False)["is_active"] is False
    assert api.patched(is_active=True)["materialization"]["enabled"] is False
    assert api.seen(version=1)["materialization"]["enabled"] is False


def test_deactivating_a_version_leaves_the_others_alone(api: Caller) -> None:
    api.created(is_materialized=True)
    api.patched(query=hogql(OTHER))
    body = api.patched(version=1, is_active=False)
    assert (body["is_active"], body["endpoint_is_active"]) == (False, True)
    assert body["materialization"]["enabled"] is False
    assert api.seen()["materialization"]["enabled"] is True
    assert says(api.patch("/daily", {"version": 1, "is_materialized": True})) == invalid(
        "Cannot enable materialization on inactive endpoint.", "is_materialized"
    )


@pytest.mark.parametrize(
    ("fields", "attr"),
    [
        ({"data_freshness_seconds": 1}, "data_freshness_seconds"),
        ({"cache_age_seconds": 1}, "cache_age_seconds"),
        ({"sync_frequency": "daily"}, "sync_frequency"),
        ({"description": "\0"}, "description"),
    ],
)
def test_a_value_out_of_its_range_changes_nothing(api: Caller, fields: dict[str, Any], attr: str) -> None:
    before = api.created()
    answer = api.patch("/daily", {"is_active": False, **fields})
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)
    assert api.seen() == before


def test_a_malformed_update_is_a_parse_error(api: Caller) -> None:
    api.created()
    assert says(api.patch("/daily", {"id": "x"})) == malformed("id: Extra inputs are not permitted")
    answer = api.client.patch(f"{api.base}/daily", content=b"", headers={"content-type": "application/json"})
    assert says(answer) == malformed("EOF while parsing a value at line 1 column 0")


def test_deleted_true_deletes_and_says_success(api: Caller) -> None:
    api.created()
    assert api.patched(deleted=False)["name"] == "daily"
    assert says(api.patch("/daily", {"deleted": True, "version": 9, "sync_frequency": "x"})) == (200, {"success": True})
    assert says(api.get("/daily")) == NOT_FOUND
