"""Materialized endpoints with variables, as a caller sees them (contract 1.12, 2.3, 2.8, 3.3, 3.4, 3.6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from endpoints_pipeline.catalog.records import KeyKind, LogLevel, VariableType
from endpoints_pipeline.serving.application import Application
from tests.api.callers import Caller, invalid, ok, says

BY_NAME = "SELECT day, amount FROM api_events WHERE name = {variables.who} ORDER BY amount DESC LIMIT 3"
MONTHS = (
    "SELECT name, count() AS n, avg(amount) AS mean FROM api_events "
    "WHERE day >= {variables.since} AND day < {variables.until} GROUP BY name ORDER BY name"
)
TOP_OF_E1 = [["2026-01-05", 19], ["2026-01-02", 16], ["2026-01-04", 13]]


def variable(api: Caller, name: str, type_: str = "String", default: Any = None) -> str:
    """A new variable of the project; its id."""
    return api.application.catalog.variables.create(
        api.project, name=name, type=VariableType(type_), default_value=default, by=None, now=api.clock()
    ).id


@pytest.fixture
def who(api: Caller) -> str:
    """An endpoint ``by_name``, materialized, over a variable ``who`` whose default is ``é1``; the variable's id."""
    found = variable(api, "who", default="é1")
    api.created("by_name", BY_NAME, is_materialized=True)
    api.materialize("by_name")
    return found


@pytest.fixture
def months(api: Caller) -> None:
    """An endpoint ``months``, materialized by the month."""
    variable(api, "since", "Date", "2026-01-01")
    variable(api, "until", "Date", "2026-02-01")
    api.created("months", MONTHS, is_materialized=True, bucket_overrides={"day": "month"})
    api.materialize("months")


def path_of(api: Caller, name: str, **body: Any) -> tuple[str, str]:
    served = api.answered(name, body)["served"]
    return served["path"], served["reason"]


@pytest.mark.usefixtures("who")
class TestReads:
    def test_one_snapshot_answers_every_value(self, api: Caller) -> None:
        answers = {name: api.answered("by_name", {"variables": {"who": name}}) for name in ("é0", "é1", "é2", "nobody")}

        assert {answer["served"]["path"] for answer in answers.values()} == {"materialized"}
        assert len({answer["served"]["snapshot_id"] for answer in answers.values()}) == 1
        assert answers["é1"]["results"] == TOP_OF_E1
        assert answers["é0"]["results"] == [["2026-01-04", 18], ["2026-01-01", 15], ["2026-01-03", 12]]
        assert answers["nobody"]["results"] == []

    def test_columns_that_are_kept_for_variables_are_not_shown(self, api: Caller) -> None:
        answer = api.answered("by_name", {"variables": {"who": "é1"}})
        direct = api.answered("by_name", {"variables": {"who": "é1"}, "refresh": "direct"})

        assert answer["columns"] == ["day", "amount"]
        assert {key: answer[key] for key in ("columns", "types", "results", "hasMore")} == {
            key: direct[key] for key in ("columns", "types", "results", "hasMore")
        }

    def test_a_limit_holds_after_the_filter(self, api: Caller) -> None:
        """The original cuts off before it filters, and gives fewer rows (contract 3.3, a known gap)."""
        assert len(api.answered("by_name", {"variables": {"who": "é2"}})["results"]) == 3

    @pytest.mark.parametrize(
        ("page", "rows", "more"),
        [
            ({"limit": 2}, TOP_OF_E1[:2], True),
            ({"limit": 2, "offset": 2}, TOP_OF_E1[2:], False),
            ({"limit": 3}, TOP_OF_E1, False),
            ({"limit": 1, "offset": 9}, [], False),
        ],
    )
    def test_pages_are_of_the_filtered_rows(self, api: Caller, page: Any, rows: Any, more: bool) -> None:
        answer = api.answered("by_name", {"variables": {"who": "é1"}, **page})

        assert (answer["results"], answer["hasMore"]) == (rows, more)
        assert answer["served"]["path"] == "materialized"

    def test_values_of_different_runs_are_cached_apart(self, api: Caller) -> None:
        first, other = ({"variables": {"who": name}} for name in ("é1", "é2"))

        assert [api.answered("by_name", body)["is_cached"] for body in (first, other, first)] == [False, False, True]
        assert api.answered("by_name", first)["results"] == TOP_OF_E1

    @pytest.mark.parametrize("text", ["é1' OR '1'='1", "é1\\", "{variables.who}", "') UNION ALL SELECT 1, 2 --", ""])
    def test_a_value_never_becomes_sql(self, api: Caller, text: str) -> None:
        answer = api.answered("by_name", {"variables": {"who": text}})

        assert (answer["results"], answer["served"]["path"]) == ([], "materialized")

    def test_a_snapshot_that_cannot_be_read_falls_back(self, api: Caller, api_application: Application) -> None:
        snapshot = api.record("by_name").version.snapshot
        assert snapshot is not None
        api_application.bucket.delete_folder(snapshot.parts[0].key.rpartition("/")[0] + "/")

        answer = api.answered("by_name", {"variables": {"who": "é1"}})

        assert answer["results"] == TOP_OF_E1
        served = answer["served"]
        assert (served["path"], served["reason"]) == ("materialized_fallback", "snapshot_unreadable")
        assert "endpoint_materialized" not in answer


@pytest.mark.usefixtures("who")
class TestRequiredVariables:
    """A filter that is left out must never give everybody's rows (contract 2.3)."""

    MISSING = invalid("Required variable(s) 'who' not provided", "variables")

    @pytest.mark.parametrize(
        "body",
        [{}, {"variables": {}}, {"variables": {"who": None}}, {"refresh": "direct"}, {"refresh": "force"}, {"limit": 1}]
        + [{"refresh": "async"}, {"variables_override": {"who": {"value": "é1", "isNull": True}}}],
    )  # fmt: skip
    def test_defaults_do_not_count(self, api: Caller, body: Any) -> None:
        assert says(api.run("by_name", body)) == self.MISSING

    def test_also_by_get(self, api: Caller) -> None:
        assert says(api.get("/by_name/run")) == self.MISSING
        assert ok(api.get("/by_name/run", params={"variables.who": "é1"}))["results"] == TOP_OF_E1

    def test_also_where_the_snapshot_is_stale(self, api: Caller) -> None:
        api.clock.advance(timedelta(days=2))

        assert says(api.run("by_name", {})) == self.MISSING
        assert path_of(api, "by_name", variables={"who": "é1"}) == ("inline", "stale_snapshot")

    def test_an_unknown_name_is_told_first(self, api: Caller) -> None:
        answer = api.run("by_name", {"variables": {"whom": "é1"}})
        assert says(answer) == invalid("Unknown variable(s): whom", "variables")

    def test_the_seeds_override_gives_a_value(self, api: Caller, who: str) -> None:
        assert api.answered("by_name", {"variables_override": {who: {"value": "é1"}}})["results"] == TOP_OF_E1

    def test_each_missing_one_is_named(self, api: Caller) -> None:
        variable(api, "least", "Number", 0)
        sql = "SELECT amount FROM api_events WHERE name = {variables.who} AND amount >= {variables.least}"
        api.created("two", sql, is_materialized=True)
        api.materialize("two")

        assert says(api.run("two", {})) == invalid("Required variable(s) 'least', 'who' not provided", "variables")

    def test_not_before_the_first_snapshot_nor_after_the_last(self, api: Caller) -> None:
        api.created("waiting", BY_NAME, is_materialized=True)
        assert api.answered("waiting")["results"] == TOP_OF_E1

        api.materialize("waiting")
        assert says(api.run("waiting", {})) == self.MISSING

        api.patched("waiting", is_materialized=False)
        assert api.answered("waiting")["results"] == TOP_OF_E1

    def test_a_refusal_stands_in_the_log_without_a_value(self, api: Caller) -> None:
        api.run("by_name", {})
        [entry] = ok(api.get("/by_name/logs"))["results"]
        assert (entry["level"], entry["message"]) == (
            LogLevel.ERROR,
            "Endpoint execution failed · invalid request · Required variable(s) 'who' not provided",
        )

    def test_the_openapi_document_says_so(self, api: Caller) -> None:
        def required(name: str) -> Any:
            schemas = ok(api.get(f"/{name}/openapi.json"))["components"]["schemas"]
            return schemas["Variables"].get("required"), schemas["EndpointRunRequest"].get("required")

        api.created("inline", BY_NAME)
        assert required("by_name") == (["who"], ["variables"])
        assert required("inline") == (None, None)


@pytest.mark.usefixtures("months")
class TestBuckets:
    def test_whole_buckets_are_answered_from_the_snapshot(self, api: Caller) -> None:
        body = {"variables": {"since": "2026-01-01", "until": "2026-02-01"}}
        answer = api.answered("months", body)

        assert answer["served"]["path"] == "materialized"
        assert answer["results"] == [["é0", 7, 9], ["é1", 7, 10], ["é2", 6, 9.5]]
        assert answer["results"] == api.answered("months", {**body, "refresh": "direct"})["results"]

    def test_a_value_inside_of_a_bucket_is_asked_of_the_source(self, api: Caller) -> None:
        answer = api.answered("months", {"variables": {"since": "2026-01-02", "until": "2026-02-01"}})

        assert (answer["served"]["path"], answer["served"]["reason"]) == ("inline", "values_not_stored")
        assert answer["served"]["detail"] == (
            "The snapshot's rows are rounded: a value for day lies inside of a bucket of toStartOfMonth."
        )
        assert sum(row[1] for row in answer["results"]) == 16

    def test_another_bucket_asks_for_a_new_snapshot(self, api: Caller) -> None:
        api.patched("months", bucket_overrides={"day": "week"})
        api.materialize("months")
        sundays = {"since": "2025-12-28", "until": "2026-01-04"}  # as ClickHouse begins its weeks

        assert path_of(api, "months", variables=sundays) == ("materialized", "fresh_snapshot")
        assert path_of(api, "months", variables={**sundays, "since": "2026-01-01"}) == ("inline", "values_not_stored")

    def test_days_of_dates_need_no_bucket(self, api: Caller) -> None:
        api.created("days", MONTHS, is_materialized=True)
        api.materialize("days")

        values = {"since": "2026-01-02", "until": "2026-01-04"}
        assert path_of(api, "days", variables=values) == ("materialized", "fresh_snapshot")


@pytest.mark.usefixtures("who")
class TestTypesThatChange:
    def test_a_snapshot_of_another_type_does_not_answer(self, api: Caller, who: str) -> None:
        sql = "SELECT amount FROM api_events WHERE toString(amount) = toString({variables.who}) ORDER BY amount"
        api.created("texts", sql, is_materialized=True)
        api.materialize("texts")
        changes = {"type": VariableType.NUMBER, "default_value": 1}
        api.application.catalog.variables.update(api.project, who, changes=changes, now=api.clock())

        answer = api.answered("texts", {"variables": {"who": 7}})

        assert (answer["results"], answer["served"]["reason"]) == ([[7]], "values_not_stored")
        assert "another type" in answer["served"]["detail"]

        api.materialize("texts")
        assert path_of(api, "texts", variables={"who": 7}) == ("materialized", "fresh_snapshot")


class TestEligibility:
    IN_HAVING = "SELECT name, count() AS n FROM api_events GROUP BY name HAVING n > {variables.least}"

    def test_what_cannot_be_materialized_is_refused_with_the_reason(self, api: Caller) -> None:
        variable(api, "least", "Number", 0)
        answer = api.create("x", self.IN_HAVING, is_materialized=True)

        assert answer.status_code == 400
        begin = "Cannot materialize endpoint. Reason: Variables not supported: Variable used in HAVING clause"
        assert answer.json()["detail"].startswith(begin)
        assert answer.json()["attr"] == "query"

    def test_objects_say_whether_and_why(self, api: Caller, who: str) -> None:
        variable(api, "least", "Number", 0)
        api.created("cannot", self.IN_HAVING)
        api.created("can", BY_NAME)

        assert api.seen("can")["materialization"]["can_materialize"] is True
        found = api.seen("cannot")["materialization"]
        assert found["can_materialize"] is False
        assert found["reason"].startswith("Variables not supported: Variable used in HAVING clause are not supported")

    def test_a_new_version_that_cannot_be_ends_the_materialization_with_the_reason(self, api: Caller, who: str) -> None:
        variable(api, "least", "Number", 0)
        found = api.patched("by_name", query={"kind": "HogQLQuery", "query": self.IN_HAVING})

        assert "HAVING" in found["materialization_error"]
        assert not found["materialization"]["enabled"]

    def test_a_new_version_that_can_be_is_materialized_in_its_turn(self, api: Caller, who: str) -> None:
        found = api.patched("by_name", query={"kind": "HogQLQuery", "query": BY_NAME.replace("LIMIT 3", "LIMIT 1")})
        assert found["materialization"]["enabled"]
        assert path_of(api, "by_name") == ("inline", "no_snapshot_yet")

        api.materialize("by_name")
        assert api.answered("by_name", {"variables": {"who": "é1"}})["results"] == TOP_OF_E1[:1]
        old = api.answered("by_name", {"variables": {"who": "é1"}, "version": 1})
        assert (old["results"], old["served"]["path"]) == (TOP_OF_E1, "materialized")


class TestPreview:
    def test_of_an_equality(self, api: Caller, who: str) -> None:
        assert ok(api.post("/by_name/materialization_preview")) == {
            "can_materialize": True,
            "reason": None,
            "transformed_query": "SELECT day, amount, name AS __var_who FROM api_events",
            "execution_query": "WITH snapshot AS (SELECT * FROM by_name_v1) SELECT day, amount FROM snapshot "
            "WHERE __var_who = {variables.who} ORDER BY amount DESC LIMIT 3",
            "display_execution_query": "WITH snapshot AS (SELECT * FROM by_name_v1) SELECT day, amount FROM snapshot "
            "WHERE __var_who = {variables.who} ORDER BY amount DESC LIMIT 3",
            "range_pairs": [],
            "aggregates": [],
        }

    @pytest.mark.usefixtures("months")
    def test_of_a_range_and_its_aggregates(self, api: Caller) -> None:
        preview = ok(api.post("/months/materialization_preview"))

        assert preview["range_pairs"] == [
            {"column": "day", "variables": ["since", "until"], "bucket_fn": "toStartOfMonth"}
        ]
        assert preview["aggregates"] == [
            {"expression": "count()", "reaggregate_fn": "sum"},
            {"expression": "avg(amount)", "reaggregate_fn": "avgMerge"},
        ]
        assert "{variables.since}" not in preview["transformed_query"]
        assert "{variables.since}" in preview["execution_query"]

    @pytest.mark.usefixtures("months")
    @pytest.mark.parametrize(
        ("bucket", "function"), [("week", "toStartOfWeek"), ("month", "toStartOfMonth"), ("day", None)]
    )
    def test_overrides_are_tried_and_not_kept(self, api: Caller, bucket: str, function: str | None) -> None:
        preview = ok(api.post("/months/materialization_preview", {"bucket_overrides": {"day": bucket}}))

        assert [pair["bucket_fn"] for pair in preview["range_pairs"]] == [function]
        assert api.seen("months")["bucket_overrides"] == {"day": "month"}

    def test_the_transformed_query_has_the_rows_that_are_stored(self, api: Caller, who: str) -> None:
        preview = ok(api.post("/by_name/materialization_preview"))
        api.created("stored", preview["transformed_query"])
        snapshot = api.record("by_name").version.snapshot
        assert snapshot is not None

        assert len(api.answered("stored")["results"]) == snapshot.rows == 20


class TestExplain:
    def test_says_what_a_run_would_do_and_runs_nothing(self, api: Caller, who: str) -> None:
        body = {"variables": {"who": "é1"}}
        told = ok(api.post("/by_name/explain", body))

        assert told["served"] == {**api.answered("by_name", body)["served"]}
        assert [step["condition"] for step in told["steps"]] == [
            "materialized", "has_snapshot", "not_direct", "fresh", "values_stored",
        ]  # fmt: skip
        assert all(step["holds"] for step in told["steps"])
        assert told["required_variables"] == ["who"]
        assert told["query"].startswith("WITH snapshot AS (SELECT * FROM by_name_v1) SELECT day, amount FROM snapshot")

    def test_is_no_execution(self, api: Caller, who: str) -> None:
        before = api.seen("by_name")["last_executed_at"]
        ok(api.post("/by_name/explain", {"variables": {"who": "é1"}}))
        api.post("/by_name/explain", {})

        assert api.seen("by_name")["last_executed_at"] == before
        assert ok(api.get("/by_name/logs"))["results"] == []

    def test_by_get(self, api: Caller, who: str) -> None:
        told = ok(api.get("/by_name/explain", params={"variables.who": "é1", "refresh": "direct"}))

        assert (told["served"]["path"], told["served"]["reason"]) == ("inline", "direct_requested")
        assert told["steps"][-1] == {
            "condition": "not_direct", "holds": False, "detail": "The caller asked for the source.",
        }  # fmt: skip
        assert told["query"] == BY_NAME

    def test_tells_of_the_cache(self, api: Caller, who: str) -> None:
        body = {"variables": {"who": "é1"}}
        assert ok(api.post("/by_name/explain", body))["served"]["cached"] is False
        api.answered("by_name", body)
        assert ok(api.post("/by_name/explain", body))["served"]["cached"] is True

    def test_without_a_materialization(self, api: Caller) -> None:
        api.created()
        told = ok(api.get("/daily/explain"))

        assert [(step["condition"], step["holds"]) for step in told["steps"]] == [("materialized", False)]
        assert told["required_variables"] == []

    def test_of_a_snapshot_without_variables(self, api: Caller) -> None:
        api.created(is_materialized=True)
        api.materialize()
        assert ok(api.get("/daily/explain"))["query"] == "SELECT day, total FROM daily_v1"

    def test_refuses_what_a_run_refuses(self, api: Caller, who: str) -> None:
        assert says(api.post("/by_name/explain", {})) == TestRequiredVariables.MISSING
        for body in ({"nonsense": 1}, {"version": "x"}, {"variables": {"x": 1}}, {"limit": 0}):
            refused, run = api.post("/by_name/explain", body), api.run("by_name", body)
            assert (refused.status_code, refused.json()) == (run.status_code, run.json())

    def test_of_an_unknown_endpoint_or_version(self, api: Caller, who: str) -> None:
        assert api.get("/nowhere/explain").status_code == 404
        assert api.post("/nowhere/explain", {"nonsense": 1}).status_code == 404
        unknown = api.post("/by_name/explain", {"version": 9})
        assert (unknown.status_code, unknown.json()["current_version"]) == (404, 1)
        api.patched("by_name", is_active=False)
        assert api.get("/by_name/explain").status_code == 404

    def test_who_may_run_may_ask(self, api: Caller, who: str) -> None:
        body = {"variables": {"who": "é1"}}
        runs = api.keyed("endpoint:read", kind=KeyKind.PROJECT_SECRET)

        assert runs.post("/by_name/explain", body).status_code == 200
        assert api.keyed("insight_variable:read").post("/by_name/explain", body).status_code == 403
        assert api.using(None).post("/by_name/explain", body).status_code == 401
