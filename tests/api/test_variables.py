"""Variables of a project (contract 2.3, 9), as PostHog's own client makes, changes and deletes them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.callers import NOT_FOUND, Caller, hogql, invalid, malformed, ok, says


class Variables:
    """The variables of a caller's project."""

    def __init__(self, caller: Caller, prefix: str = "projects") -> None:
        self.base = f"/api/{prefix}/{caller.project}/insight_variables"
        self.client = caller.client

    def get(self, path: str = "", **more: Any) -> Any:
        return self.client.get(self.base + path, **more)

    def post(self, **fields: Any) -> Any:
        return self.client.post(f"{self.base}/", json=fields)

    def patch(self, id: str, /, **fields: Any) -> Any:
        return self.client.patch(f"{self.base}/{id}/", json=fields)

    def delete(self, id: str) -> Any:
        return self.client.delete(f"{self.base}/{id}/")

    def created(self, name: str = "Event name", type: str = "String", **fields: Any) -> dict[str, Any]:
        return ok(self.post(name=name, type=type, **fields), 201)


@pytest.fixture
def variables(api: Caller) -> Variables:
    return Variables(api)


def test_a_variable_is_made_as_posthogs_client_makes_it(api: Caller, variables: Variables) -> None:
    body = variables.created("Event Name!", default_value="$pageview")
    assert body == {
        "id": body["id"],
        "name": "Event Name!",
        "type": "String",
        "default_value": "$pageview",
        "created_by": api.user.id,
        "created_at": "2026-03-01T12:00:00Z",
        "code_name": "event_name",
        "values": None,
        "is_multi": False,
        "values_query": None,
        "values_query_connection_id": None,
    }
    assert ok(variables.get(f"/{body['id']}")) == body
    assert ok(variables.get()) == {"count": 1, "next": None, "previous": None, "results": [body]}


@pytest.mark.parametrize("prefix", ["projects", "environments"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_variables_are_under_both_prefixes(api: Caller, prefix: str, slash: str) -> None:
    here = Variables(api, prefix)
    body = ok(api.client.post(here.base + slash, json={"name": "x", "type": "Number"}), 201)
    for method in ("GET", "PATCH", "PUT"):
        sent = None if method == "GET" else {}
        assert ok(api.client.request(method, f"{here.base}/{body['id']}{slash}", json=sent)) == body
    assert api.client.delete(f"{here.base}/{body['id']}{slash}").status_code == 204
    assert ok(api.client.get(here.base + slash))["count"] == 0


@pytest.mark.parametrize(
    ("type_", "defaults"),
    [
        ("String", ["", "5", None]),
        ("Number", [5, -1.5, 0, None]),
        ("Boolean", [True, False, None]),
        ("List", [["a", "b"], [1, 2], [], None]),
        ("Date", ["2026-03-01", "2026-03-01T10:00:00Z", None]),
    ],
)
def test_a_default_that_fits_its_type_is_kept_as_it_is(variables: Variables, type_: str, defaults: list[Any]) -> None:
    for number, default in enumerate(defaults):
        made = variables.created(f"v{number}", type_, default_value=default)
        assert (made["default_value"], type(made["default_value"])) == (default, type(default))
        assert made["is_multi"] is (type_ == "List")
    assert variables.created("without", type_)["default_value"] is None


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        ("String", 5),
        ("Number", "5"),
        ("Number", True),
        ("Boolean", 1),
        ("Boolean", "true"),
        ("List", "a"),
        ("List", ["a", 1]),
        ("Date", "yesterday"),
        ("Date", 5),
        ("String", "\0"),
    ],
)
def test_10_4_a_default_that_does_not_fit_its_type_is_refused(variables: Variables, type_: str, default: Any) -> None:
    answer = variables.post(name="a", type=type_, default_value=default)
    assert (answer.status_code, answer.json()["attr"]) == (400, "default_value")
    made = variables.created("a", type_)
    answer = variables.patch(made["id"], default_value=default)
    assert (answer.status_code, answer.json()["attr"]) == (400, "default_value")
    assert ok(variables.get(f"/{made['id']}")) == made


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, invalid("This field is required.", "name")),
        ({"type": "String"}, invalid("This field is required.", "name")),
        ({"name": "", "type": "String"}, invalid("This field may not be blank.", "name")),
        ({"name": "a"}, invalid("This field is required.", "type")),
        (
            {"name": "a", "type": "Text"},
            invalid('"Text" is not a valid choice: use one of String, Number, Boolean, List, Date.', "type"),
        ),
        ({"name": 1, "type": "String"}, invalid("Input should be a valid string", "name")),
        ({"name": "a", "type": "String", "code_nmae": "a"}, invalid("Extra inputs are not permitted", "code_nmae")),
        ({"name": "a" * 401, "type": "String"}, invalid("Ensure this field has no more than 400 characters.", "name")),
        ({"name": "a\0", "type": "String"}, invalid("Null characters are not allowed.", "name")),
        (
            {"name": "!?", "type": "String"},
            invalid("A variable's name needs a letter from a to z, a digit or a _.", "name"),
        ),
        (
            {"name": "a", "type": "String", "values": ["a"]},
            invalid("Only List variables have values to offer.", "values"),
        ),
        (
            {"name": "a", "type": "List", "values": [{"label": "a"}]},
            invalid("List variable values must be strings or numbers.", "values"),
        ),
        (
            {"name": "a", "type": "List", "is_multi": False},
            invalid("List variables take several values, the others take one.", "is_multi"),
        ),
        (
            {"name": "a", "type": "String", "is_multi": True},
            invalid("List variables take several values, the others take one.", "is_multi"),
        ),
        (
            {"name": "a", "type": "List", "values_query": "SELECT 1"},
            invalid("values_query is not supported: send the values themselves.", "values_query"),
        ),
    ],
)
def test_a_bad_variable_is_refused(variables: Variables, fields: dict[str, Any], said: Any) -> None:
    assert says(variables.post(**fields)) == said
    assert ok(variables.get())["count"] == 0


def test_a_body_that_is_no_object_is_refused(api: Caller, variables: Variables) -> None:
    answer = api.client.post(variables.base, json=[])
    assert says(answer) == malformed("Input should be an object")


def test_lists_offer_values(variables: Variables) -> None:
    body = variables.created("l", "List", values=["a", 1], is_multi=True, default_value=["a"])
    assert (body["values"], body["is_multi"]) == (["a", 1], True)
    assert ok(variables.patch(body["id"], name="m"))["values"] == ["a", 1]
    assert ok(variables.patch(body["id"], values=["b"]))["values"] == ["b"]
    assert ok(variables.patch(body["id"], type="String", default_value="x"))["values"] is None


def test_a_code_name_is_unique_among_living_variables(variables: Variables, stranger: Caller) -> None:
    first = variables.created("Event name")
    answer = variables.post(name="event NAME", type="Number")
    assert (answer.status_code, answer.json()["attr"]) == (400, "name")
    Variables(stranger).created("Event name")
    assert variables.delete(first["id"]).status_code == 204
    assert variables.created("Event name")["id"] != first["id"]


def test_an_update_changes_what_it_names_but_never_the_code_name(variables: Variables) -> None:
    body = variables.created(default_value="a")
    assert ok(variables.patch(body["id"], name="Other")) == body | {"name": "Other"}
    assert ok(variables.patch(body["id"], default_value=None))["default_value"] is None
    assert ok(variables.patch(body["id"], type="Number", default_value=5))["type"] == "Number"
    # what was read can be sent back
    shown = ok(variables.get(f"/{body['id']}"))
    assert ok(variables.patch(body["id"], **shown)) == shown


def test_a_type_cannot_change_under_a_default_that_does_not_fit(variables: Variables) -> None:
    body = variables.created(default_value="a")
    answer = variables.patch(body["id"], type="Number")
    assert (answer.status_code, answer.json()["attr"]) == (400, "default_value")
    assert ok(variables.get(f"/{body['id']}")) == body
    assert says(variables.patch(body["id"], type="number"))[1]["attr"] == "type"


def test_variables_come_by_name_in_pages(variables: Variables) -> None:
    for name in "cab":
        variables.created(name)
    page = ok(variables.get(params={"limit": 2}))
    assert ([one["name"] for one in page["results"]], page["count"]) == (["a", "b"], 3)
    assert page["next"].endswith("/insight_variables?limit=2&offset=2")
    assert says(variables.get(params={"limit": "x"}))[1]["attr"] == "limit"


@pytest.mark.parametrize("id_", ["x", "00000000-0000-0000-0000-000000000000", "%00", "1"])
def test_an_unknown_variable_is_a_404(variables: Variables, id_: str) -> None:
    assert says(variables.get(f"/{id_}")) == NOT_FOUND
    assert says(variables.patch(id_, nonsense=1)) == NOT_FOUND
    assert says(variables.delete(id_)) == NOT_FOUND


def test_another_projects_variable_is_a_404(variables: Variables, stranger: Caller) -> None:
    body = variables.created()
    assert says(Variables(stranger).get(f"/{body['id']}")) == NOT_FOUND
    assert says(Variables(stranger).patch(body["id"], name="mine")) == NOT_FOUND
    assert says(Variables(stranger).delete(body["id"])) == NOT_FOUND
    assert ok(variables.get(f"/{body['id']}")) == body


def test_scopes_are_those_of_variables(api: Caller, variables: Variables) -> None:
    body = variables.created()
    reader = Variables(api.keyed("insight_variable:read"))
    assert ok(reader.get())["count"] == 1
    assert reader.post(name="b", type="String").status_code == 403
    assert reader.delete(body["id"]).status_code == 403
    assert Variables(api.keyed("endpoint:write")).get().status_code == 403
    assert Variables(api.keyed("insight_variable:write")).patch(body["id"], name="c").status_code == 200


def test_a_deleted_variable_is_gone_but_endpoints_go_on_with_it(api: Caller, variables: Variables) -> None:
    body = variables.created("n", "Number", default_value=3)
    api.created(sql="SELECT toUInt8({variables.n}) AS n")
    assert api.answered()["results"] == [[3]]
    assert variables.delete(body["id"]).status_code == 204
    assert says(variables.get(f"/{body['id']}")) == NOT_FOUND
    assert ok(variables.get())["results"] == []
    assert says(variables.delete(body["id"])) == NOT_FOUND
    assert api.answered(body={"variables": {"n": 4}})["results"] == [[4]]
    answer = api.create("new", "SELECT toUInt8({variables.n}) AS n")
    assert answer.json()["detail"].startswith("Query references undefined variable(s): n")


def test_a_query_with_variables_is_not_materialized_and_says_why(api: Caller, variables: Variables) -> None:
    variables.created("n", "Number", default_value=3)
    sql = "SELECT toUInt8({variables.n}) AS n"
    answer = api.create(sql=sql, is_materialized=True)
    assert answer.json()["detail"].startswith("Cannot materialize endpoint. Reason: Variables not supported: ")
    body = api.created(sql=sql)
    assert body["materialization"]["can_materialize"] is False
    assert body["materialization"]["reason"].startswith("Variables not supported: ")
    said = api.patch("/daily", {"is_materialized": True}).json()["detail"]
    assert said.startswith("Cannot materialize endpoint. Reason: Variables not supported: ")


def test_a_materialization_is_not_carried_to_a_query_with_variables(api: Caller, variables: Variables) -> None:
    variables.created("n", "Number", default_value=3)
    api.created(is_materialized=True)
    body = api.patched(query=hogql("SELECT toUInt8({variables.n}) AS n"))
    assert body["materialization_error"].startswith("Cannot materialize endpoint. Reason: Variables not supported: ")
    assert (body["current_version"], body["materialization"]["enabled"]) == (2, False)
