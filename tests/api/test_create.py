"""Create (contract 1.2, 1.15, 2.1, 2.6): what is kept, what is refused, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.callers import DAILY, NOT_FOUND, Caller, hogql, invalid, malformed, ok, says
from tests.api.people import person

CHOICES = "Data freshness must be one of: 900, 1800, 3600, 21600, 43200, 86400, 604800."
WORDS = "5min, 15min, 30min, 1hour, 2hour, 4hour, 6hour, 12hour, 24hour, 7day, 30day, never"


def test_create_answers_201_with_the_whole_endpoint(api: Caller) -> None:
    body = api.created(description="Totals", derived_from_insight="abc123")
    record = api.record()
    path = f"/api/projects/{api.project}/endpoints/daily/run"
    absent = ("explain", "filters", "modifiers", "name", "response", "tags", "values", "variables", "version")
    assert body == {
        "id": record.id,
        "name": "daily",
        "display_name": "",
        "description": "Totals",
        "query": {**dict.fromkeys(absent), **hogql(DAILY)},
        "is_active": True,
        "data_freshness_seconds": 86400,
        "cache_age_seconds": None,
        "endpoint_path": path,
        "url": f"https://endpoints.example{path}",
        "ui_url": f"https://dagster.example/assets/endpoints/{api.project}/daily",
        "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:00:00Z",
        "created_by": person(api),
        "is_materialized": False,
        "current_version": 1,
        "current_version_id": record.version.id,
        "versions_count": 1,
        "derived_from_insight": "abc123",
        "last_executed_at": None,
        "materialization": {
            "can_materialize": True,
            "reason": None,
            "enabled": False,
            "ready": False,
            "hibernated": False,
            "sync_frequency": None,
        },
        "bucket_overrides": None,
        "columns": [{"name": "day", "type": "date"}, {"name": "total", "type": "integer"}],
        "tags": [],
        "optional_breakdown_properties": [],
    }
    assert api.seen() == body


def test_a_materialized_endpoint_is_wanted_before_it_is_ready(api: Caller) -> None:
    body = api.created(is_materialized=True, sync_frequency="1hour")
    assert body["is_materialized"] is False
    assert body["materialization"] == {
        "status": "Unknown",
        "can_materialize": True,
        "last_materialized_at": None,
        "error": "",
        "saved_query_id": body["current_version_id"],
        "enabled": True,
        "ready": False,
        "hibernated": False,
        "sync_frequency": "1hour",
    }
    waiting = api.application.catalog.refreshes.waiting_requests()
    assert body["current_version_id"] in {request.version_id for request in waiting}


def test_a_published_snapshot_makes_it_ready(api: Caller) -> None:
    api.created(is_materialized=True)
    api.materialize()
    body = api.seen()
    assert body["is_materialized"] is True
    assert body["materialization"]["status"] == "Completed"
    assert body["materialization"]["ready"] is True
    assert body["materialization"]["last_materialized_at"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("fields", "freshness", "frequency"),
    [
        ({}, 86400, "24hour"),
        ({"data_freshness_seconds": 900}, 900, "15min"),
        ({"data_freshness_seconds": None}, 86400, "24hour"),
        ({"sync_frequency": "5min"}, 900, "5min"),
        ({"sync_frequency": "2hour"}, 21600, "2hour"),
        ({"sync_frequency": "30day"}, 2592000, "30day"),
        ({"sync_frequency": "never"}, 86400, "never"),
        ({"sync_frequency": None}, 86400, "24hour"),
        ({"sync_frequency": "1hour", "data_freshness_seconds": 604800}, 604800, "1hour"),
        ({"cache_age_seconds": 3600}, 3600, "1hour"),
        ({"cache_age_seconds": 300, "sync_frequency": "6hour"}, 21600, "6hour"),
        ({"cache_age_seconds": 300, "data_freshness_seconds": 1800}, 1800, "30min"),
    ],
)
def test_three_names_for_freshness_come_to_one(
    api: Caller, fields: dict[str, Any], freshness: int, frequency: str
) -> None:
    body = api.created(is_materialized=True, **fields)
    assert body["data_freshness_seconds"] == freshness
    assert body["materialization"]["sync_frequency"] == frequency
    assert body["cache_age_seconds"] == fields.get("cache_age_seconds")


def test_an_inactive_endpoint_can_be_created(api: Caller) -> None:
    assert api.created(is_active=False)["is_active"] is False


def test_null_means_the_default(api: Caller) -> None:
    fields = ("description", "is_active", "is_materialized", "cache_age_seconds", "derived_from_insight", "tags")
    more = ("bucket_overrides", "optional_breakdown_properties", "version", "deleted", "display_name")
    body = api.created(**dict.fromkeys(fields + more))
    assert (body["description"], body["is_active"], body["materialization"]["enabled"]) == ("", True, False)


def test_empty_values_are_accepted(api: Caller) -> None:
    body = api.created(tags=[], bucket_overrides={}, optional_breakdown_properties=[], display_name="")
    assert (body["tags"], body["bucket_overrides"], body["optional_breakdown_properties"]) == ([], None, [])


def test_2_8_tags_come_out_sorted_and_unique(api: Caller) -> None:
    assert api.created(tags=["b", "é", "a", "b", "B"])["tags"] == ["B", "a", "b", "é"]
    assert ok(api.get())["results"][0]["tags"] == ["B", "a", "b", "é"]


def test_2_1_a_display_name_is_kept_as_it_is(api: Caller) -> None:
    assert api.created(display_name=" Daily 🦆 ")["display_name"] == " Daily 🦆 "
    assert api.created("b", display_name="a" * 255)["display_name"] == "a" * 255


def test_1_16_the_author_is_the_person_of_the_key(api: Caller) -> None:
    created = api.created()
    assert created["created_by"] == person(api)
    assert api.seen(version=1)["version_created_by"] == person(api)


def test_2_8_bucket_overrides_are_kept_with_a_materialization(api: Caller) -> None:
    buckets = {"day": "month", "properties.price": "fifteen_minutes"}
    assert api.created("kept", bucket_overrides=buckets, is_materialized=True)["bucket_overrides"] == buckets
    assert api.created("not-kept", bucket_overrides=buckets)["bucket_overrides"] is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("", "EOF while parsing a value at line 1 column 0"),
        ("[]", "Input should be an object"),
        ('"a"', "Input should be an object"),
        ('{"nmae": "a"}', "nmae: Extra inputs are not permitted"),
        ('{"name": 1}', "name: Input should be a valid string"),
        ('{"query": "SELECT 1"}', "query: Input should be a valid dictionary"),
        ('{"is_active": "yes"}', "is_active: Input should be a valid boolean"),
        ('{"is_active": 1}', "is_active: Input should be a valid boolean"),
        ('{"data_freshness_seconds": "900"}', "data_freshness_seconds: Input should be a valid integer"),
        ('{"data_freshness_seconds": 900.0}', "data_freshness_seconds: Input should be a valid integer"),
        ('{"cache_age_seconds": "300"}', "cache_age_seconds: Input should be a valid number"),
        ('{"cache_age_seconds": NaN}', "expected value at line 1 column 23"),
        ('{"version": true}', "version: Input should be a valid integer"),
        ('{"tags": "a"}', "tags: Input should be a valid list"),
        ('{"query": {"kind": "\\ud800"}}', "unexpected end of hex escape at line 1 column 27"),
        ('{"zzz": 1, "is_active": 2, "deleted": 3}', "is_active: Input should be a valid boolean"),
    ],
)
def test_a_malformed_body_is_a_parse_error_that_names_its_first_fault(api: Caller, text: str, reason: str) -> None:
    assert says(api.post_text("", text)) == malformed(reason)


def test_invalid_utf8_is_a_parse_error(api: Caller) -> None:
    answer = api.post_text("", b'{"name": "\xff"}')
    assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, invalid("This field is required.", "query")),
        ({"name": "a"}, invalid("This field is required.", "query")),
        ({"name": "a", "query": None}, invalid("This field is required.", "query")),
        ({"name": "a", "query": {}}, invalid("This field is required.", "query")),
        ({"query": hogql("nonsense")}, invalid("This field is required.", "name")),
        ({"name": "", "query": hogql("nonsense")}, invalid("This field is required.", "name")),
    ],
)
def test_query_and_name_are_required_in_this_order(api: Caller, body: dict[str, Any], said: Any) -> None:
    assert says(api.post("", body)) == said


@pytest.mark.parametrize("name", ["1st", "_a", "a b", "a.b", "é", "a" * 129, "a\n", "a/b", "a\0"])
def test_a_bad_name_is_refused(api: Caller, name: str) -> None:
    detail = (
        f"Invalid name '{name}'. Must start with a letter, contain only letters, digits, '_' and '-', and be at most "
        "128 characters long."
    )
    assert says(api.create(name)) == invalid(detail, "name")


@pytest.mark.parametrize("name", ["a", "A-b_c9", "a" * 128])
def test_a_good_name_is_kept_as_it_is(api: Caller, name: str) -> None:
    assert api.created(name)["name"] == name


@pytest.mark.parametrize(
    ("sql", "code", "words"),
    [
        ("SELECT * FROM absent", "UNKNOWN_TABLE", "Unknown table 'absent'"),
        ("SELECT absent FROM api_events", "UNKNOWN_IDENTIFIER", "absent"),
        ("SELECT absent(1)", None, "absent"),
        ("SELEC 1", "SYNTAX_ERROR", "Syntax error"),
        ("SELECT 1; SELECT 2", "SYNTAX_ERROR", "ulti-statements"),
        ("DROP TABLE api_events", None, "SELECT"),
        ("SELECT 1 FORMAT CSV", "invalid_input", "FORMAT"),
        ("SELECT 1 SETTINGS max_threads = 1", "invalid_input", "SETTINGS"),
        ("SELECT 1\0", "invalid_input", "NUL"),
    ],
)
def test_a_bad_query_is_refused_with_the_engines_own_words(api: Caller, sql: str, code: str | None, words: str) -> None:
    answer = api.create("bad", sql)
    body = answer.json()
    assert (answer.status_code, body["type"], body["attr"]) == (400, "validation_error", "query")
    assert body["detail"].startswith("Invalid HogQL query: ")
    assert words in body["detail"]
    assert code is None or body["code"] == code
    assert says(api.get("/bad")) == NOT_FOUND


def test_another_kind_of_query_is_refused(api: Caller) -> None:
    said = says(api.post("", {"name": "a", "query": {"kind": "TrendsQuery", "series": []}}))
    assert said == invalid("Query kind 'TrendsQuery' is not supported: only HogQLQuery (SQL) is.", "query")


def test_a_query_on_a_connection_of_its_own_is_refused(api: Caller) -> None:
    said = says(api.post("", {"name": "a", "query": {**hogql(DAILY), "connectionId": "61f0c404"}}))
    assert said == invalid("Direct connections to other databases are not supported.", "query")
    ok(api.post("", {"name": "a", "query": {**hogql(DAILY), "connectionId": None}}), 201)


@pytest.mark.parametrize("more", [{"name": "a\0"}, {"values": {"a\0": 1}}, {"tags": ["\0"]}])
def test_a_query_holds_no_null_characters(api: Caller, more: dict[str, Any]) -> None:
    said = says(api.post("", {"name": "a", "query": {**hogql(DAILY), **more}}))
    assert said == invalid("Null characters and infinite numbers are not allowed.", "query")


def test_a_query_holds_no_infinite_numbers(api: Caller) -> None:
    text = '{"name": "a", "query": {"kind": "HogQLQuery", "query": "SELECT 1", "values": {"x": [1e999]}}}'
    said = invalid("Null characters and infinite numbers are not allowed.", "query")
    assert says(api.post_text("", text)) == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"data_freshness_seconds": 901}, invalid(CHOICES, "data_freshness_seconds")),
        ({"data_freshness_seconds": 0}, invalid(CHOICES, "data_freshness_seconds")),
        ({"sync_frequency": "3hour"}, invalid(f"Sync frequency must be one of: {WORDS}.", "sync_frequency")),
        ({"sync_frequency": ""}, invalid(f"Sync frequency must be one of: {WORDS}.", "sync_frequency")),
        *(
            (
                {"cache_age_seconds": age},
                invalid("Cache age must be between 300 and 86400 seconds.", "cache_age_seconds"),
            )
            for age in (0, 299, 299.9, 86401)
        ),
        ({"cache_age_seconds": 300.5}, invalid("Cache age must be a whole number of seconds.", "cache_age_seconds")),
        (
            {"derived_from_insight": "a" * 13},
            invalid("Ensure this field has no more than 12 characters.", "derived_from_insight"),
        ),
        ({"description": "a\0"}, invalid("Null characters are not allowed.", "description")),
        ({"derived_from_insight": "\0"}, invalid("Null characters are not allowed.", "derived_from_insight")),
        ({"display_name": "\0"}, invalid("Null characters are not allowed.", "display_name")),
        (
            {"display_name": "a" * 256},
            invalid("Ensure this field has no more than 255 characters.", "display_name"),
        ),
        *(
            ({"tags": ["a", tag]}, invalid("A tag is a text of 1 to 255 characters, without null characters.", "tags"))
            for tag in ("", " ", "\0", "a" * 256)
        ),
        (
            {"bucket_overrides": {"day": "year", "b": "hour"}},
            invalid(
                "Invalid bucket override values: {'day': 'year'}. Valid options: "
                "['minute', 'fifteen_minutes', 'hour', 'day', 'week', 'month']",
                "bucket_overrides",
            ),
        ),
        (
            {"bucket_overrides": {"\0": "hour"}},
            invalid("Null characters are not allowed.", "bucket_overrides"),
        ),
        (
            {"optional_breakdown_properties": ["a"]},
            invalid(
                "Only TrendsQuery and RetentionQuery have breakdowns; HogQLQuery has none.",
                "optional_breakdown_properties",
            ),
        ),
    ],
)
def test_a_value_out_of_its_range_is_refused(api: Caller, fields: dict[str, Any], said: Any) -> None:
    assert says(api.create(**fields)) == said
    assert says(api.get("/daily")) == NOT_FOUND


@pytest.mark.parametrize("age", [300, 300.0, 86400])
def test_the_ends_of_the_cache_ages_are_accepted(api: Caller, age: float) -> None:
    assert api.created(cache_age_seconds=age)["cache_age_seconds"] == age


def test_1_2_the_rules_are_checked_in_the_contracts_order(api: Caller) -> None:
    api.created("taken")
    wrong: dict[str, Any] = {
        "zzz": 1,
        "query": {},
        "name": "",
        "data_freshness_seconds": 1,
        "optional_breakdown_properties": ["a"],
        "is_materialized": True,
    }

    def said() -> Any:
        status, body = says(api.post("", wrong))
        assert status == 400
        return body["attr"]

    assert api.post("", wrong).json()["code"] == "parse_error"
    del wrong["zzz"]
    assert said() == "query"
    wrong["query"] = hogql("SELECT * FROM absent")
    assert said() == "name"
    wrong["name"] = "1st"
    assert said() == "name"
    wrong["name"] = "taken"
    assert said() == "query"
    wrong["query"] = hogql("SELECT sumState(amount) AS s FROM api_events")
    assert said() == "data_freshness_seconds"
    wrong["data_freshness_seconds"] = 900
    assert said() == "optional_breakdown_properties"
    wrong["optional_breakdown_properties"] = []
    assert says(api.post("", wrong)) == invalid("An endpoint with this name already exists for this team.", "name")
    wrong["name"] = "free"
    assert api.post("", wrong).json()["detail"].startswith("Cannot materialize endpoint. Reason: ")
    wrong["query"] = hogql(DAILY)
    ok(api.post("", wrong), 201)


def test_a_name_is_taken_until_its_endpoint_is_deleted(api: Caller, stranger: Caller) -> None:
    first = api.created()
    taken = invalid("An endpoint with this name already exists for this team.", "name")
    assert says(api.create()) == taken
    stranger.created()
    assert api.created("Daily")["name"] == "Daily"
    api.delete("/daily")
    assert api.created()["id"] != first["id"]


def test_a_query_that_parquet_cannot_hold_is_not_materialized_and_leaves_nothing(api: Caller) -> None:
    answer = api.create("state", "SELECT sumState(amount) AS s FROM api_events", is_materialized=True)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Cannot materialize endpoint. Reason: column 's' has type AggregateFunct")
    assert says(api.get("/state")) == NOT_FOUND
    body = api.created("state", "SELECT sumState(amount) AS s FROM api_events")
    assert body["materialization"]["can_materialize"] is False
    assert body["materialization"]["reason"].startswith("column 's' has type AggregateFunction")


def test_a_result_with_two_columns_of_a_name_is_not_materialized(api: Caller) -> None:
    reason = "the result has more than one column named 'a'. Name each of them apart with AS."
    said = invalid(f"Cannot materialize endpoint. Reason: {reason}", "query")
    twice = "SELECT a, a FROM (SELECT 1 AS a)"
    assert says(api.create("twice", twice, is_materialized=True)) == said
    assert api.created("twice", twice)["materialization"]["reason"] == reason
    assert api.answered("twice")["results"] == [[1, 1]]


def test_an_inactive_endpoint_is_not_materialized(api: Caller) -> None:
    said = says(api.create(is_active=False, is_materialized=True))
    assert said == invalid("Cannot enable materialization on inactive endpoint.", "is_materialized")
    assert says(api.get("/daily")) == NOT_FOUND


def test_unicode_survives(api: Caller) -> None:
    body = api.created("uni", "SELECT 'żółć 🦆' AS `größe`", description="été \u2028 🦆")
    assert (body["description"], body["columns"]) == ("été \u2028 🦆", [{"name": "größe", "type": "string"}])
    answer = api.answered("uni")
    assert (answer["results"], answer["columns"]) == ([["żółć 🦆"]], ["größe"])
