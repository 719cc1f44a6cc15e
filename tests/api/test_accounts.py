"""What clients ask before their first call: the key, the person, the organization, the projects (contract 9)."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from endpoints_pipeline.catalog.records import KeyKind
from tests.api.callers import NOT_FOUND, Caller, flat, ok, says


def stamp(caller: Caller) -> str:
    return caller.clock().isoformat().replace("+00:00", "Z")


def everywhere(caller: Caller, *scopes: str) -> Caller:
    return caller.keyed(*scopes, project_id=None)


def test_a_key_is_shown_with_its_true_scopes_and_without_its_secret(api: Caller) -> None:
    key, secret = api.make_key("endpoint:read", "insight_variable:write", label="reports")
    answer = api.using(secret).client.get("/api/personal_api_keys/@current")
    assert ok(answer) == {
        "id": key.id,
        "label": "reports",
        "mask_value": f"{secret[:4]}...{secret[-4:]}",
        "created_at": stamp(api),
        "last_used_at": None,
        "scopes": ["endpoint:read", "insight_variable:write"],
        "scoped_teams": [api.project],
        "scoped_organizations": [],
    }
    assert secret not in answer.text
    assert ok(api.using(secret).client.get("/api/personal_api_keys/@current/"))["last_used_at"] == stamp(api)


def test_a_key_for_all_projects_names_none(api: Caller) -> None:
    assert ok(everywhere(api).client.get("/api/personal_api_keys/@current"))["scoped_teams"] == []


def test_the_person_comes_with_the_keys_own_project(api: Caller) -> None:
    me = ok(api.client.get("/api/users/@me/"))
    assert UUID(me["uuid"])
    assert (me["distinct_id"], me["email"]) == (me["uuid"], f"ada{api.project}@example.com")
    assert (me["first_name"], me["last_name"]) == ("Ada", "Lovelace")
    assert me["team"] == ok(api.client.get(f"/api/projects/{api.project}/"))
    assert (me["team"]["id"], me["team"]["name"]) == (api.project, f"project {api.project}")
    assert me["organization"]["id"] == me["team"]["organization"]


def test_a_key_for_all_projects_leads_to_the_default_one(api: Caller) -> None:
    default = api.application.settings.project_id
    me = ok(everywhere(api).client.get("/api/users/@me"))
    assert me["team"]["id"] == default
    assert ok(everywhere(api).client.get("/api/projects/@current"))["id"] == default


def test_a_personal_key_without_a_person_has_no_me(api: Caller) -> None:
    answer = api.keyed(user_id=None).client.get("/api/users/@me")
    assert says(answer) == (
        403,
        flat("authentication_error", "permission_denied", "This API key belongs to no person"),
    )


def test_there_is_one_organization(api: Caller, stranger: Caller) -> None:
    organization = ok(api.client.get("/api/organizations/@current"))
    assert UUID(organization["id"])
    assert organization["name"]
    assert ok(stranger.client.get(f"/api/organizations/{organization['id']}/")) == organization
    for unknown in ("1", "b2c1a7f4-8a38-4e0c-9d3c-1b5a54a3c8f0", "@me"):
        assert says(api.client.get(f"/api/organizations/{unknown}")) == NOT_FOUND


def test_a_project_has_the_same_uuid_every_time_and_no_other_projects(api: Caller, stranger: Caller) -> None:
    project = ok(api.client.get(f"/api/projects/{api.project}"))
    assert ok(api.client.get("/api/projects/@current")) == project
    assert ok(api.client.get(f"/api/environments/{api.project}/")) == project
    assert (project["timezone"], project["created_at"]) == ("UTC", stamp(api))
    assert UUID(project["uuid"]) != UUID(ok(stranger.client.get("/api/projects/@current"))["uuid"])


def test_a_key_lists_the_projects_that_it_opens(api: Caller, stranger: Caller) -> None:
    mine = ok(api.client.get("/api/projects"))
    assert (mine["count"], mine["next"], mine["previous"]) == (1, None, None)
    assert mine["results"] == [ok(api.client.get("/api/projects/@current"))]

    caller = everywhere(api)
    known = {project.id for project in api.application.catalog.projects.list()}
    assert {api.project, stranger.project} <= known
    pages, url = [], "/api/projects/?limit=2"
    while url:
        page = ok(caller.client.get(url))
        assert page["count"] == len(known)
        pages.append([project["id"] for project in page["results"]])
        url = (page["next"] or "").removeprefix("https://endpoints.example")
    assert max(map(len, pages)) == 2
    assert [number for page in pages for number in page] == sorted(known)


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("limit", "two"), ("offset", "-1")])
def test_a_bad_page_is_refused(api: Caller, name: str, value: str) -> None:
    answer = api.client.get("/api/projects", params={name: value})
    assert (answer.status_code, answer.json()["attr"]) == (400, name)


def test_a_project_secret_key_has_no_account(api: Caller) -> None:
    robot = api.keyed(kind=KeyKind.PROJECT_SECRET)
    for path in ("personal_api_keys/@current", "users/@me", "organizations/@current", "projects", "projects/@current"):
        status, body = says(robot.client.get(f"/api/{path}"))
        assert (status, body["detail"]) == (403, "This action does not support project secret API key"), path


def test_answers_hold_what_the_document_says(api: Caller) -> None:
    document = api.client.get("/openapi.json").json()
    for path in ("personal_api_keys/@current", "users/@me"):
        schema = document["paths"][f"/api/{path}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        model = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        answer = ok(api.client.get(f"/api/{path}"))
        assert set(model["required"]) <= set(answer) <= set(model["properties"]), json.dumps(answer)
