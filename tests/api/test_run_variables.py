"""Variables of a run: values by every way there is, their types, their defaults (contract 2.3, 10.4, 10.5, 10.19)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.catalog.records import LogLevel
from endpoints_pipeline.query.variables import VariableType
from tests.api.callers import Caller, hogql, invalid, ok, says

BY_NAME = "SELECT name, count() AS n FROM api_events WHERE name = {variables.who} GROUP BY name"
DEFAULTS: dict[str, Any] = {
    "String": "é1",
    "Number": 3,
    "Boolean": True,
    "List": ["a", "b"],
    "Date": "2026-01-03",
}


def variable(api: Caller, name: str, type_: str = "String", default: Any = None) -> str:
    """A new variable of the project; its id."""
    found = api.application.catalog.variables.create(
        api.project, name=name, type=VariableType(type_), default_value=default, by=None, now=api.clock()
    )
    return found.id


@pytest.fixture
def who(api: Caller) -> str:
    """An endpoint ``by_name`` over a variable ``who`` whose default is ``é1``; its id."""
    found = variable(api, "who", default="é1")
    api.created("by_name", BY_NAME)
    return found


class TestPublishing:
    def test_definitions_are_added_from_the_project(self, api: Caller, who: str) -> None:
        assert api.seen("by_name")["query"]["variables"] == {
            who: {"variableId": who, "code_name": "who", "value": "é1", "isNull": None}
        }

    def test_a_default_of_null_is_null(self, api: Caller) -> None:
        made = variable(api, "nothing")
        api.created("n", "SELECT {variables.nothing} AS n")
        entry = api.seen("n")["query"]["variables"][made]
        assert (entry["value"], entry["isNull"]) == (None, True)
        assert api.answered("n")["results"] == [[None]]

    def test_own_values_are_kept(self, api: Caller, who: str) -> None:
        entry = {"variableId": who, "code_name": "who", "value": "é2"}
        api.patched("by_name", query={**hogql(BY_NAME), "variables": {who: entry}})
        assert api.seen("by_name")["query"]["variables"][who] == {**entry, "isNull": None}
        assert api.answered("by_name")["results"] == [["é2", 6]]

    def test_definitions_that_the_sql_lost_are_dropped(self, api: Caller, who: str) -> None:
        other = variable(api, "other")
        given_ = {who: {"code_name": "who"}, other: {"code_name": "other"}, "no uuid": {"code_name": "gone"}}
        api.patched("by_name", query={**hogql(BY_NAME + " LIMIT 1"), "variables": given_})
        assert set(api.seen("by_name")["query"]["variables"]) == {who}
        api.patched("by_name", query={**hogql("SELECT 1 AS n"), "variables": given_})
        assert api.seen("by_name")["query"]["variables"] is None

    def test_the_same_query_again_is_no_new_version(self, api: Caller, who: str) -> None:
        assert api.patched("by_name", query=hogql(BY_NAME))["current_version"] == 1
        assert api.patched("by_name", query=api.seen("by_name")["query"])["current_version"] == 1

    def test_undefined_ones_are_named(self, api: Caller) -> None:
        detail = (
            f"Query references undefined variable(s): a, b. Create them in the project first: "
            f"POST /api/projects/{api.project}/insight_variables."
        )
        assert says(api.create("x", "SELECT {variables.b}, {variables.a}")) == invalid(detail, "query")

    def test_another_projects_variables_are_undefined(self, api: Caller, stranger: Caller) -> None:
        made = variable(stranger, "who")
        assert "undefined" in api.create("x", BY_NAME).json()["detail"]
        query = {**hogql(BY_NAME), "variables": {made: {"code_name": "who"}}}
        assert says(api.post("", {"name": "x", "query": query})) == invalid(
            f"Variable ID(s) not found: {made}", "query"
        )

    @pytest.mark.parametrize(
        ("variables", "detail"),
        [
            ({"x": {"code_name": "who"}}, "Variable ID(s) not valid UUIDs: x"),
            (
                {"018f7f0e-6f57-4a3d-9f1c-7a8e5a8d8f10": {"code_name": "who"}},
                "Variable ID(s) not found: 018f7f0e-6f57-4a3d-9f1c-7a8e5a8d8f10",
            ),
            ([], None),
            ([1], "Query variables must be an object of definitions by variable id."),
            ({"x": 1}, "Query variables must be an object of definitions by variable id."),
        ],
    )
    def test_definitions_that_fit_nothing(self, api: Caller, who: str, variables: Any, detail: str | None) -> None:
        answer = api.post("", {"name": "x", "query": {**hogql(BY_NAME), "variables": variables}})
        if detail is None:
            assert answer.status_code == 201
        else:
            assert says(answer) == invalid(detail, "query")

    def test_a_value_that_doesnt_fit_its_type(self, api: Caller, who: str) -> None:
        query = {**hogql(BY_NAME), "variables": {who: {"code_name": "who", "value": 5}}}
        answer = api.post("", {"name": "x", "query": query})
        assert says(answer) == invalid("Variable 'who' must be a text, not a number.", "query")

    def test_placeholders_in_strings_and_comments_are_text(self, api: Caller) -> None:
        api.created("x", "SELECT '{variables.a}' AS s -- {variables.b}\n /* {variables.c} */")
        assert api.answered("x")["results"] == [["{variables.a}"]]
        assert api.seen("x")["query"]["variables"] is None

    @pytest.mark.parametrize("sql", ["SELECT {variables}", "SELECT {variables.a.b}", "SELECT {variables.}"])
    def test_placeholders_without_a_name(self, api: Caller, sql: str) -> None:
        answer = api.create("x", sql)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("Invalid HogQL query: Invalid variable placeholder format")


class TestValues:
    @pytest.mark.parametrize("field", ["variables", "variables_values"])
    def test_by_code_name(self, api: Caller, who: str, field: str) -> None:
        assert api.answered("by_name", {field: {"who": "é0"}})["results"] == [["é0", 7]]

    def test_omitted_ones_fall_back(self, api: Caller, who: str) -> None:
        assert api.answered("by_name")["results"] == [["é1", 7]]

    def test_the_projects_default_may_change(self, api: Caller) -> None:
        made = variable(api, "n", "Number")
        api.created("x", "SELECT {variables.n} AS n")
        assert api.answered("x")["results"] == [[None]]
        api.application.catalog.variables.update(api.project, made, changes={"default_value": 7}, now=api.clock())
        api.patched("x", query=hogql("SELECT {variables.n} AS n, 1 AS one"))
        assert api.answered("x")["results"] == [[7, 1]]

    def test_null_is_sqls_null(self, api: Caller, who: str) -> None:
        assert api.answered("by_name", {"variables": {"who": None}})["results"] == []

    def test_the_body_wins(self, api: Caller, who: str) -> None:
        body = {
            "variables": {"who": "é0"},
            "variables_values": {"who": "é1"},
            "variables_override": {who: {"value": "é2"}},
        }
        assert api.answered("by_name", body)["results"][0][0] == "é0"

    @pytest.mark.parametrize("key", ["id", "code name"])
    def test_overrides_by_id_or_code_name(self, api: Caller, who: str, key: str) -> None:
        entry = {"variableId": who, "code_name": "who", "value": "é2", "isNull": False}
        override = {who if key == "id" else "who": entry}
        assert api.answered("by_name", {"variables_override": override})["results"] == [["é2", 6]]
        override = {who: {**entry, "isNull": True}}
        assert api.answered("by_name", {"variables_override": override})["results"] == []

    def test_overrides_must_be_definitions(self, api: Caller, who: str) -> None:
        said = invalid("The override of 'who' must be an object with a value.", "variables_override")
        assert says(api.run("by_name", {"variables_override": {"who": "é2"}})) == said
        answer = api.run("by_name", {"variables_override": {"what": {"value": 1}}})
        assert says(answer) == invalid("Unknown variable(s): what", "variables")

    def test_in_the_query_string_of_get(self, api: Caller, who: str) -> None:
        assert ok(api.get("/by_name/run", params={"variables.who": "é0"}))["results"] == [["é0", 7]]

    @pytest.mark.parametrize(
        ("type_", "text", "value"),
        [
            ("Number", "5", 5),
            ("Number", "-2.5", -2.5),
            ("Boolean", "true", True),
            ("Boolean", "false", False),
            ("List", '["a","b"]', ["a", "b"]),
            ("Date", "2026-01-02", "2026-01-02"),
            ("String", "5", "5"),
            ("String", "", ""),
        ],
    )
    def test_texts_stand_for_values_of_the_type(self, api: Caller, type_: str, text: str, value: Any) -> None:
        variable(api, "v", type_, DEFAULTS[type_])
        api.created("x", "SELECT {variables.v} AS v")
        assert ok(api.get("/x/run", params={"variables.v": text}))["results"] == [[value]]

    @pytest.mark.parametrize(
        ("type_", "text"), [("Number", "five"), ("Boolean", "yes"), ("List", "a,b"), ("Date", "tomorrow")]
    )
    def test_texts_that_stand_for_none(self, api: Caller, type_: str, text: str) -> None:
        variable(api, "v", type_, DEFAULTS[type_])
        api.created("x", "SELECT {variables.v} AS v")
        answer = api.get("/x/run", params={"variables.v": text})
        assert (answer.status_code, answer.json()["attr"]) == (400, "variables")

    WRONG = (
        ("String", [5, True, ["a"], {"a": 1}, 1.5]),
        ("Number", ["5", True, [5], {}, 2**64, -(2**63) - 1, 10**400]),
        ("Boolean", ["true", 1, 0, [], "null"]),
        ("List", ["a", 1, {"a": 1}, ["a", 1], [["a"]], [None], [2**64]]),
        ("Date", [5, "2026-13-01", "tomorrow", "2026-02-30", True, ["2026-01-01"]]),
    )

    @pytest.mark.parametrize(("type_", "wrong"), WRONG, ids=[type_ for type_, _ in WRONG])
    def test_a_value_of_another_type_is_refused(self, api: Caller, type_: str, wrong: list[Any]) -> None:
        variable(api, "v", type_, DEFAULTS[type_])
        api.created("x", "SELECT {variables.v} AS v")
        for value in wrong:
            answer = api.run("x", {"variables": {"v": value}})
            assert (answer.status_code, answer.json()["attr"]) == (400, "variables"), value
            assert answer.json()["detail"].startswith("Variable 'v' ")
        endpoint = api.record("x")
        assert api.application.catalog.executions.list(endpoint.id) == []

    def test_several_unknown_ones_come_sorted(self, api: Caller, who: str) -> None:
        answer = api.run("by_name", {"variables": {"z": 1, "who": 5, "a": 1}})
        assert says(answer) == invalid("Unknown variable(s): a, z", "variables")

    def test_everywhere_a_value_may_stand(self, api: Caller) -> None:
        variable(api, "n", "Number", 3)
        variable(api, "days", "List", ["2026-01-01"])
        variable(api, "since", "Date", "2026-01-04")
        variable(api, "flag", "Boolean", True)
        sql = (
            "SELECT toString(day) AS d, {variables.flag} AS f FROM api_events WHERE day >= {variables.since} "
            "OR toString(day) IN {variables.days} ORDER BY d LIMIT {variables.n}"
        )
        api.created("x", sql)
        assert api.answered("x")["results"] == [["2026-01-01", True]] * 3
        answer = api.answered("x", {"variables": {"n": 100, "days": [], "since": "2026-01-05", "flag": False}})
        assert answer["results"] == [["2026-01-05", False]] * 4

    def test_a_deleted_variable_goes_on_working(self, api: Caller, who: str) -> None:
        api.application.catalog.variables.delete(api.project, who, api.clock())
        assert api.answered("by_name", {"variables": {"who": "é0"}})["results"] == [["é0", 7]]

    def test_pages(self, api: Caller) -> None:
        variable(api, "n", "Number", 5)
        api.created("x", "SELECT number FROM numbers({variables.n}) ORDER BY number")
        answer = api.answered("x", {"variables": {"n": 10}, "limit": 4, "offset": 4})
        assert (answer["results"], answer["hasMore"]) == ([[4], [5], [6], [7]], True)

    def test_values_are_part_of_what_is_cached(self, api: Caller, who: str) -> None:
        first = api.answered("by_name", {"variables": {"who": "é0"}})
        other = api.answered("by_name", {"variables": {"who": "é2"}})
        again = api.answered("by_name", {"variables": {"who": "é0"}})
        assert (first["is_cached"], other["is_cached"], again["is_cached"]) == (False, False, True)
        assert other["results"] != first["results"] == again["results"]

    def test_no_value_is_logged(self, api: Caller, who: str) -> None:
        secret = "a-value-nobody-may-read"
        api.answered("by_name", {"variables": {"who": secret}})
        api.run("by_name", {"variables": {"who": [secret]}})
        api.run("by_name", {"variables": {"who": secret, "x": secret}})
        ok(api.get("/by_name/run", params={"variables.who": secret}))
        logged, _ = api.application.catalog.logs.list(api.record("by_name").id, limit=50, offset=0)
        assert {entry.level for entry in logged} == {LogLevel.INFO, LogLevel.ERROR}
        assert not [entry for entry in logged if secret in entry.message]


INJECTIONS = [
    "' OR 1 = 1 --",
    "'; DROP TABLE api_events; --",
    "\\' OR 1 = 1 --",
    "{variables.other}",
    "{var_who:String}",
    "é0\0",
    "*/ SELECT 1 /*",
    "%27 OR 1=1",
    "a\nb\tc\\n",
]


@pytest.mark.parametrize("value", INJECTIONS)
def test_a_value_stays_a_value(api: Caller, value: str) -> None:
    variable(api, "v", default="x")
    api.created("x", "SELECT {variables.v} AS v, count() AS n FROM api_events WHERE name = {variables.v}")
    answer = api.run("x", {"variables": {"v": value}})
    if answer.status_code == 400:
        assert "\0" in value
    else:
        assert ok(answer)["results"] == [[value, 0]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.one_of(
        st.tuples(st.just("String"), st.text(st.characters(exclude_categories=["Cs"]))),
        st.tuples(st.just("Number"), st.integers(-(2**63), 2**64 - 1)),
        st.tuples(st.just("Number"), st.floats(allow_nan=False, allow_infinity=False)),
        st.tuples(st.just("Boolean"), st.booleans()),
        st.tuples(st.just("List"), st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5)),
        st.tuples(st.just("Date"), st.dates().map(str)),
    )
)
def test_what_goes_in_comes_out(api: Caller, value: tuple[str, Any]) -> None:
    type_, sent = value
    name = f"echo_{type_.lower()}"
    if api.get(f"/{name}").status_code == 404:
        variable(api, name, type_, DEFAULTS[type_])
        api.created(name, f"SELECT {{variables.{name}}} AS v")
    [[found]] = ok(api.run(name, {"variables": {name: sent}}))["results"]
    # a float may be written without a fraction: it means the same to whoever reads it as one
    assert (float(found) if isinstance(sent, float) else found) == sent
