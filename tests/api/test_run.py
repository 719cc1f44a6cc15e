"""What a run request may say, what is refused, and in which order (contract 1.6, 7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.callers import DAILY_ROWS, NOT_FOUND, Caller, flat, hogql, invalid, malformed, ok, says

QUERY_ID = "Must be at most 128 letters, digits and characters of '_', '.', ':' and '-'."


def plain(error: str) -> tuple[int, dict[str, Any]]:
    return 400, {"error": error}


@pytest.mark.parametrize("text", ["", "{}"])
def test_an_empty_body_runs_the_current_version(api: Caller, text: str) -> None:
    api.created()
    assert ok(api.post_text("/daily/run", text))["results"] == DAILY_ROWS
    assert ok(api.client.post(f"{api.base}/daily/run"))["results"] == DAILY_ROWS
    assert ok(api.get("/daily/run"))["results"] == DAILY_ROWS


def test_null_means_the_default_everywhere(api: Caller) -> None:
    api.created()
    fields = ("variables", "refresh", "limit", "offset", "version", "client_query_id", "filters_override", "debug")
    assert api.answered(body=dict.fromkeys(fields))["results"] == DAILY_ROWS


def test_empty_inputs_are_accepted(api: Caller) -> None:
    api.created()
    body = {
        "variables": {},
        "variables_values": {},
        "variables_override": {},
        "filters_override": {},
        "client_query_id": "",
        "debug": False,
    }
    answer = api.answered(body=body)
    assert (answer["results"], set(answer)) == (DAILY_ROWS, set(api.answered()))


@pytest.mark.parametrize("refresh", ["cache", "force", "blocking", "force_blocking"])
def test_the_words_of_all_generations_that_wait_are_accepted(api: Caller, refresh: str) -> None:
    api.created()
    assert api.answered(body={"refresh": refresh})["results"] == DAILY_ROWS
    assert ok(api.get("/daily/run", params={"refresh": refresh}))["results"] == DAILY_ROWS


def test_an_unknown_refresh_is_refused(api: Caller) -> None:
    api.created()
    words = "cache, force, direct, blocking, async, lazy_async, force_blocking, force_async, force_cache"
    said = invalid(f"Input should be one of: {words}", "refresh")
    assert says(api.run(body={"refresh": "now"})) == said
    assert says(api.run(body={"refresh": ""})) == said
    assert says(api.get("/daily/run", params={"refresh": "CACHE"})) == said


@pytest.mark.parametrize(
    ("text", "detail", "attr"),
    [
        ('{"query_override": {}}', "Extra inputs are not permitted", "query_override"),
        ('{"query_override": null}', "Extra inputs are not permitted", "query_override"),
        ('{"variables_values": []}', "Input should be a valid dictionary", "variables_values"),
        ('{"variables_override": 1}', "Input should be a valid dictionary", "variables_override"),
        ('{"nonsense": 1}', "Extra inputs are not permitted", "nonsense"),
        ('{"limit": "2"}', "Input should be a valid integer", "limit"),
        ('{"limit": 2.0}', "Input should be a valid integer", "limit"),
        ('{"limit": true}', "Input should be a valid integer", "limit"),
        ('{"offset": "0"}', "Input should be a valid integer", "offset"),
        ('{"version": "1"}', "Input should be a valid integer", "version"),
        ('{"variables": []}', "Input should be a valid dictionary", "variables"),
        ('{"refresh": 1}', "Input should be a valid string", "refresh"),
        ('{"debug": "yes"}', "Input should be a valid boolean", "debug"),
        ('{"client_query_id": 1}', "Input should be a valid string", "client_query_id"),
        ('{"client_query_id": "a/b"}', QUERY_ID, "client_query_id"),
        ('{"client_query_id": "*/ SELECT"}', QUERY_ID, "client_query_id"),
        ('{"client_query_id": "%s"}' % ("x" * 129), QUERY_ID, "client_query_id"),
    ],
)
def test_a_field_that_does_not_fit_is_named(api: Caller, text: str, detail: str, attr: str) -> None:
    api.created()
    assert says(api.post_text("/daily/run", text)) == invalid(detail, attr)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "EOF while parsing an object at line 1 column 1"), ("[]", "Input should be an object")],
)
def test_a_body_that_is_no_object_is_a_parse_error(api: Caller, text: str, reason: str) -> None:
    api.created()
    assert says(api.post_text("/daily/run", text)) == malformed(reason)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "abc"),
        ("limit", ""),
        ("limit", "1.0"),
        ("limit", str(2**63)),
        ("offset", "-1"),
        ("offset", "abc"),
        ("version", "0"),
        ("version", "abc"),
        ("version", "9" * 21),
    ],
)
def test_a_bad_number_in_the_query_string_is_of_the_plain_family(
    api: Caller, method: str, parameter: str, text: str
) -> None:
    api.created()
    params = {"limit": "1", parameter: text}
    said = says(api.client.request(method, f"{api.base}/daily/run", params=params))
    assert said == plain(f"Invalid {parameter} parameter: {text}")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"limit": 0}, "Invalid limit parameter: 0"),
        ({"limit": -5}, "Invalid limit parameter: -5"),
        ({"limit": 1, "offset": -1}, "Invalid offset parameter: -1"),
        ({"version": 0}, "Invalid version parameter: 0"),
        ({"limit": 2**63}, f"Invalid limit parameter: {2**63}"),
        ({"offset": 1}, "offset requires limit to be set"),
        ({"offset": 0}, "offset requires limit to be set"),
    ],
)
def test_a_number_out_of_its_range_is_of_the_plain_family(api: Caller, body: dict[str, int], said: str) -> None:
    api.created()
    assert says(api.run(body=body)) == plain(said)


def test_the_body_wins_over_the_query_string(api: Caller) -> None:
    api.created()
    api.patched(query=hogql("SELECT number FROM numbers(9)"))
    params = {"version": "1", "limit": "5", "offset": "4"}
    assert api.answered(params=params)["results"] == DAILY_ROWS[4:]
    body = {"version": 2, "limit": 2, "offset": 0}
    assert api.answered(body=body, params=params)["results"] == [[0], [1]]
    assert api.answered(body=body, params=dict.fromkeys(params, "x"))["results"] == [[0], [1]]


def test_a_post_reads_refresh_and_variables_from_its_body_alone(api: Caller) -> None:
    api.created()
    assert api.answered(params={"refresh": "async", "variables.a": "1"})["results"] == DAILY_ROWS


def test_an_unknown_version_is_told_with_the_current_one(api: Caller) -> None:
    api.created()
    api.patched(query=hogql("SELECT 1 AS n"))
    for version in (3, 10**18, 10**19):
        said = (404, {"error": f"Version {version} not found for endpoint 'daily'", "current_version": 2})
        assert says(api.run(body={"version": version})) == said
        assert says(api.get("/daily/run", params={"version": version})) == said


def test_an_inactive_endpoint_is_a_404_for_all_its_versions(api: Caller) -> None:
    api.created(is_active=False)
    for body in ({}, {"version": 1}, {"version": 9}, {"limit": 0}, {"nonsense": 1}, {"variables": {"a": 1}}):
        assert says(api.run(body=body)) == NOT_FOUND
    api.patched(is_active=True)
    assert api.answered()["results"] == DAILY_ROWS


def test_an_inactive_version_is_refused_and_no_other_takes_its_place(api: Caller) -> None:
    api.created()
    api.patched(query=hogql("SELECT 1 AS n"))
    api.patched(version=2, is_active=False)
    said = invalid("Version 2 is inactive and cannot be executed.")
    assert says(api.run()) == said
    assert says(api.run(body={"version": 2, "variables": {"a": 1}, "refresh": "direct"})) == said
    assert api.answered(body={"version": 1})["results"] == DAILY_ROWS


def test_direct_is_for_materialized_endpoints(api: Caller) -> None:
    api.created()
    said = invalid("refresh=direct is only for materialized endpoints.", "refresh")
    assert says(api.run(body={"refresh": "direct"})) == said
    assert says(api.get("/daily/run", params={"refresh": "direct"})) == said


@pytest.mark.parametrize(
    ("variables", "listed"), [({"b": 1, "a": None}, "a, b"), ({"x": []}, "x"), ({"": 1}, ""), ({"é\0": 1}, "é\0")]
)
def test_variables_that_no_query_has_are_refused_by_name(api: Caller, variables: dict[str, Any], listed: str) -> None:
    api.created()
    assert says(api.run(body={"variables": variables})) == invalid(f"Unknown variable(s): {listed}", "variables")


def test_variables_in_a_gets_query_string_are_refused_by_name_too(api: Caller) -> None:
    api.created()
    said = says(api.get("/daily/run", params={"variables.b": "1", "variables.a": "2", "other": "3"}))
    assert said == invalid("Unknown variable(s): a, b", "variables")


def test_filters_are_not_for_sql(api: Caller) -> None:
    api.created()
    said = invalid("Not allowed for HogQL endpoints. Use variables instead.", "filters_override")
    assert says(api.run(body={"filters_override": {"date_from": "-7d"}})) == said


def test_faults_are_told_in_the_contracts_order(api: Caller) -> None:
    api.created()
    api.patched(query=hogql("SELECT 1 AS n"))
    api.patched(version=1, is_active=False)
    body: dict[str, Any] = {
        "nonsense": 1,
        "offset": -1,
        "version": 9,
        "filters_override": {"date_from": "-7d"},
        "refresh": "direct",
        "variables": {"a": 1},
    }
    assert api.run(body=body).json()["attr"] == "nonsense"
    del body["nonsense"]
    assert api.run(body=body).json() == {"error": "Invalid offset parameter: -1"}
    body["offset"] = 1
    assert api.run(body=body).json() == {"error": "offset requires limit to be set"}
    body["limit"] = 1
    assert "current_version" in api.run(body=body).json()
    body["version"] = 1
    assert "inactive" in api.run(body=body).json()["detail"]
    body["version"] = 2
    assert api.run(body=body).json()["attr"] == "filters_override"
    del body["filters_override"]
    assert api.run(body=body).json()["attr"] == "refresh"
    del body["refresh"]
    assert api.run(body=body).json()["attr"] == "variables"
    del body["variables"]
    assert api.answered(body=body)["results"] == []


def test_a_page_of_another_site_cannot_run(api: Caller) -> None:
    api.created()
    answer = api.client.post(f"{api.base}/daily/run", content="{}", headers={"content-type": "text/plain"})
    detail = 'Unsupported media type "text/plain" in request: send application/json.'
    assert says(answer) == (415, flat("invalid_request", "unsupported_media_type", detail))
