"""Materialization, looked at without changing it (contract 1.11, 1.12, 1.18)."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints_pipeline.api.materialization import CONDITIONS
from tests.api.callers import DAILY, NOT_FOUND, Caller, hogql, invalid, malformed, ok, says

NOT_STORABLE = "SELECT sumState(amount) AS s FROM api_events"
PREVIEW_KEYS = {
    "can_materialize",
    "reason",
    "transformed_query",
    "execution_query",
    "display_execution_query",
    "range_pairs",
    "aggregates",
}


def test_1_11_the_status_is_the_materialization_with_the_name_and_nothing_else(api: Caller) -> None:
    body = api.created()
    assert ok(api.get("/daily/materialization_status")) == {"name": "daily", **body["materialization"]}
    api.patched(is_materialized=True)
    api.materialize()
    body = api.seen()
    assert ok(api.get("/daily/materialization_status/")) == {"name": "daily", **body["materialization"]}
    assert body["materialization"]["last_materialized_at"] == "2026-03-01T12:00:00Z"


def test_1_18_wish_and_fact_are_told_apart(api: Caller) -> None:
    def status() -> tuple[Any, ...]:
        found = ok(api.get("/daily/materialization_status"))
        return found.get("status"), found["enabled"], found["ready"], found["hibernated"]

    api.created()
    assert status() == (None, False, False, False)
    api.patched(is_materialized=True)
    assert status() == ("Unknown", True, False, False)
    api.materialize()
    assert status() == ("Completed", True, True, False)
    api.patched(is_active=False)
    assert status() == (None, False, False, False)


def test_the_status_of_one_version(api: Caller) -> None:
    api.created(is_materialized=True)
    api.materialize()
    api.patched(query=hogql("SELECT 1 AS n"))
    assert ok(api.get("/daily/materialization_status", params={"version": 1}))["ready"] is True
    assert ok(api.get("/daily/materialization_status", params={"version": 2}))["ready"] is False
    assert ok(api.get("/daily/materialization_status"))["ready"] is False


def test_1_12_a_preview_of_a_query_without_variables_is_the_query_itself(api: Caller) -> None:
    api.created()
    assert ok(api.post("/daily/materialization_preview", {})) == {
        "can_materialize": True,
        "reason": None,
        "transformed_query": DAILY,
        "execution_query": "SELECT day, total FROM daily_v1",
        "display_execution_query": "SELECT day, total FROM daily_v1",
        "range_pairs": [],
        "aggregates": [],
    }


def test_a_preview_quotes_names_that_need_it(api: Caller) -> None:
    api.created("a-b", "SELECT 1 AS `größe`, 2 AS `a``b`")
    body = ok(api.post("/a-b/materialization_preview/"))
    assert body["execution_query"] == "SELECT `größe`, `a\\`b` FROM `a-b_v1`"


def test_1_12_a_preview_of_what_is_not_eligible_says_why_and_has_every_key(api: Caller) -> None:
    api.created(sql=NOT_STORABLE)
    body = ok(api.post("/daily/materialization_preview", {}))
    assert set(body) == PREVIEW_KEYS
    assert body.pop("reason").startswith("column 's' has type AggregateFunction")
    assert body.pop("can_materialize") is False
    assert set(map(str, body.values())) == {"None", "[]"}


def test_a_preview_of_a_query_with_variables_says_why_not(api: Caller) -> None:
    variable = {"name": "n", "type": "Number", "default_value": 3}
    ok(api.client.post(f"/api/projects/{api.project}/insight_variables", json=variable), 201)
    api.created(sql="SELECT toUInt8({variables.n}) AS n")
    body = ok(api.post("/daily/materialization_preview", {}))
    assert set(body) == PREVIEW_KEYS
    assert body["can_materialize"] is False
    assert body["reason"].startswith("Variables not supported: ")
    assert body["transformed_query"] is None


def test_a_preview_changes_nothing(api: Caller) -> None:
    before = api.created()
    ok(api.post("/daily/materialization_preview", {"bucket_overrides": {"day": "month"}}))
    assert api.seen() == before


def test_a_preview_of_one_version(api: Caller) -> None:
    api.created()
    api.patched(query=hogql(NOT_STORABLE))
    assert ok(api.post("/daily/materialization_preview", {"version": 1}))["can_materialize"] is True
    assert ok(api.post("/daily/materialization_preview", params={"version": 1}))["can_materialize"] is True
    both = api.post("/daily/materialization_preview", {"version": 2}, params={"version": 1})
    assert ok(both)["can_materialize"] is False
    assert ok(api.post("/daily/materialization_preview"))["can_materialize"] is False


def test_a_bad_preview_is_refused(api: Caller) -> None:
    api.created()
    said = invalid(
        "Invalid bucket override values: {'day': 'year'}. Valid options: "
        "['minute', 'fifteen_minutes', 'hour', 'day', 'week', 'month']",
        "bucket_overrides",
    )
    path = "/daily/materialization_preview"
    assert says(api.post(path, {"bucket_overrides": {"day": "year"}})) == said
    assert says(api.post(path, {"bucket_overrides": {"day": 1}}))[1]["attr"] == "bucket_overrides.day"
    assert says(api.post(path, {"version": "1"})) == invalid("Input should be a valid integer", "version")
    assert says(api.post(path, {"more": 1})) == invalid("Extra inputs are not permitted", "more")
    assert says(api.post(path, [])) == malformed("Input should be an object")


@pytest.mark.parametrize(("method", "route"), [("GET", "materialization_status"), ("POST", "materialization_preview")])
def test_an_unknown_version_is_a_404_of_the_plain_family(api: Caller, method: str, route: str) -> None:
    def ask(name: str, version: Any) -> Any:
        return says(api.client.request(method, f"{api.base}/{name}/{route}", params={"version": version}))

    api.created()
    assert ask("daily", 9) == (404, {"error": "Version 9 not found"})
    assert ask("daily", "x") == invalid("Must be an integer, got: x", "version")
    assert ask("absent", "x") == NOT_FOUND


def test_the_conditions_are_there_as_a_list_and_as_text(api: Caller) -> None:
    body = ok(api.get("/materialization_conditions"))
    assert body["conditions"] == list(CONDITIONS)
    assert body["conditions_source"].splitlines()[0] == f"1. {CONDITIONS[0]}"
    assert len(body["conditions_source"].splitlines()) == len(CONDITIONS)
    assert "placeholder" in body["rewrite_contract"]
    assert ok(api.get("/materialization_conditions/")) == body


@pytest.mark.parametrize(
    ("sql", "condition"),
    [
        ("SELECT {variables.n} AS n", "variables"),
        ("SELECT a, a FROM (SELECT 1 AS a)", "AS"),
        (NOT_STORABLE, "AggregateFunction"),
        ("SELECT 1::Dynamic AS d", "Dynamic"),
        ("SELECT 1::Variant(UInt8, String) AS v", "Variant"),
        ("SELECT tuple() AS t", "empty Tuple"),
    ],
)
def test_the_conditions_name_what_is_refused(api: Caller, sql: str, condition: str) -> None:
    variable = {"name": "n", "type": "Number", "default_value": 3}
    ok(api.client.post(f"/api/projects/{api.project}/insight_variables", json=variable), 201)
    api.created(sql=sql)
    assert ok(api.get("/daily/materialization_status"))["can_materialize"] is False
    assert any(condition in one for one in CONDITIONS)
