"""``endpoints keys``, and the keys that ``up`` and ``demo`` bring."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from endpoints_pipeline.api.app import create_app
from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import ApiKey, KeyKind
from endpoints_pipeline.cli.client import ApiClient
from endpoints_pipeline.cli.keys import OWN_LABEL, OWNER, first_key, own_key
from endpoints_pipeline.cli.up import key_line
from endpoints_pipeline.clock import utc_now
from endpoints_pipeline.serving.application import open_application
from endpoints_pipeline.settings import load_settings
from tests.api.callers import TestClient
from tests.cli.conftest import Invoke, assert_refused


def only_key(catalog: Catalog) -> ApiKey:
    (key,) = catalog.keys.list()
    return key


class TestCreate:
    def test_stdout_is_the_secret_alone(self, invoke: Invoke, known: Catalog) -> None:
        result = invoke("keys", "create", "--label", "reports")

        assert result.exit_code == 0, result.output
        secret = result.stdout.removesuffix("\n")
        assert re.fullmatch(r"phx_[A-Za-z0-9_-]{43}", secret)
        key = known.keys.find(secret, utc_now())
        assert key == only_key(known)
        assert (key.kind, key.label, key.project_id, key.scopes) == (KeyKind.PERSONAL, "reports", 1, ("*",))
        assert key.user is not None
        assert (key.user.email, key.expires_at) == (OWNER, None)
        assert "project 1" in result.stderr
        assert "this once" in result.stderr
        assert secret not in result.stderr

    def test_what_is_asked_for_is_made(self, invoke: Invoke, known: Catalog) -> None:
        known.projects.ensure(7, "Seven", utc_now())
        scopes = ["--scope", "endpoint:read", "--scope", "activity_log:read"]
        before = utc_now()

        result = invoke(
            "keys", "create", *scopes, "--project", 7, "--email", "ada@example.com", "--expires-in-days", 30, "--json"
        )

        told = json.loads(result.stdout)
        key = known.keys.find(told["secret"], utc_now())
        assert key is not None
        assert (key.project_id, key.scopes) == (7, ("endpoint:read", "activity_log:read"))
        assert key.user is not None
        assert key.user.email == "ada@example.com"
        assert key.expires_at is not None
        assert before + timedelta(days=30) <= key.expires_at <= utc_now() + timedelta(days=30)
        assert {name: told[name] for name in ("id", "kind", "person", "project_id", "state", "mask")} == {
            "id": key.id,
            "kind": "personal",
            "person": "ada@example.com",
            "project_id": 7,
            "state": "active",
            "mask": key.mask,
        }

    def test_a_key_may_open_every_project(self, invoke: Invoke, known: Catalog) -> None:
        result = invoke("keys", "create", "--all-projects")

        assert "every project" in result.stderr
        assert only_key(known).project_id is None

    def test_a_project_secret_key_may_read_and_belongs_to_nobody(self, invoke: Invoke, known: Catalog) -> None:
        secret = invoke("keys", "create", "--project-secret").stdout.strip()

        key = only_key(known)
        assert secret.startswith("phs_")
        assert (key.kind, key.project_id, key.scopes, key.user) == (
            KeyKind.PROJECT_SECRET,
            1,
            ("endpoint:read",),
            None,
        )

    def test_the_clis_project_is_the_default(
        self, invoke: Invoke, known: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENDPOINTS_PROJECT_ID", "5")

        invoke("keys", "create")

        assert only_key(known).project_id == 5

    def test_an_unknown_project_is_refused_and_nothing_is_made(self, invoke: Invoke, known: Catalog) -> None:
        assert_refused(invoke("keys", "create", "--project", 9), "No project 9")
        assert known.keys.list() == []

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--scope", "endpoint:delete"], "endpoint:write"),
            (["--scope", ""], "Unknown"),
            (["--all-projects", "--project", "1"], "--all-projects"),
            (["--all-projects", "--project-secret"], "--all-projects"),
            (["--project-secret", "--email", "ada@example.com"], "--email"),
            (["--email", "ada"], "e-mail"),
            (["--project", "0"], "--project"),
            (["--expires-in-days", "0"], "--expires-in-days"),
        ],
    )
    def test_wrong_usage_is_code_2_and_makes_nothing(
        self, invoke: Invoke, known: Catalog, arguments: list[str], said: str
    ) -> None:
        result = invoke("keys", "create", *arguments)

        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr
        assert known.keys.list() == []


class TestList:
    def test_without_keys_it_says_how_to_make_one(self, invoke: Invoke) -> None:
        assert "endpoints keys create" in invoke("keys", "list").stdout
        assert json.loads(invoke("keys", "list", "--json").stdout) == []

    def test_it_shows_every_key_and_no_secret(self, invoke: Invoke, known: Catalog) -> None:
        now = utc_now()
        secrets = [invoke("keys", "create", "--label", label).stdout.strip() for label in ("one", "two")]
        secrets.append(invoke("keys", "create", "--project-secret", "--label", "robot").stdout.strip())
        one, two, robot = known.keys.list()
        known.keys.revoke(one.id, now)
        known.keys.touch(robot.id, now - timedelta(hours=2))
        _, expired = known.keys.create(
            kind=KeyKind.PERSONAL,
            label="old",
            project_id=None,
            scopes=["*"],
            user_id=None,
            now=now,
            expires_at=now - timedelta(days=1),
        )

        shown = invoke("keys", "list").stdout
        facts = {key["label"]: key for key in json.loads(invoke("keys", "list", "--json").stdout)}

        assert not [secret for secret in [*secrets, expired] if secret in shown + json.dumps(facts)]
        lines = {label: line for label in facts for line in shown.splitlines() if f" {label} " in line}
        states = {label: key["state"] for label, key in facts.items()}
        assert states == {"one": "revoked", "two": "active", "robot": "active", "old": "expired"}
        assert all(lines[label].rstrip().endswith(state) for label, state in states.items())
        assert two.mask in lines["two"]
        assert OWNER in lines["two"]
        assert ("project secret" in lines["robot"], "2 h ago" in lines["robot"]) == (True, True)
        assert facts["old"]["project_id"] is None
        assert " all " in lines["old"]


class TestRevoke:
    @pytest.mark.parametrize("by", ["id", "mask"])
    def test_the_key_is_over(self, invoke: Invoke, known: Catalog, by: str) -> None:
        secret = invoke("keys", "create").stdout.strip()

        result = invoke("keys", "revoke", getattr(only_key(known), by))

        assert (result.exit_code, only_key(known).mask in result.stdout) == (0, True)
        assert known.keys.find(secret, utc_now()) is None

    def test_an_unknown_key_is_refused(self, invoke: Invoke) -> None:
        assert_refused(invoke("keys", "revoke", "nobody"), "No key nobody")


class TestOwnKey:
    def test_it_works_in_the_block_and_not_after_it(self, surroundings: Any, known: Catalog) -> None:
        settings = load_settings()
        web = TestClient(create_app(open_application(settings)))
        url = "/api/projects/1/endpoints"
        with web, own_key(settings) as secret:
            header = {"Authorization": f"Bearer {secret}"}
            assert web.get(url, headers=header).status_code == 200
            key = only_key(known)
            assert (key.label, key.project_id) == (OWN_LABEL, 1)
            assert key.expires_at is not None
            assert key.expires_at - key.created_at == timedelta(days=1)
        assert only_key(known).revoked_at is not None
        assert known.keys.find(secret, utc_now()) is None

    def test_it_is_revoked_after_a_failure_too(self, surroundings: Any, known: Catalog) -> None:
        with pytest.raises(ZeroDivisionError), own_key(load_settings()):
            _ = 1 / 0
        assert only_key(known).revoked_at is not None


class TestFirstKey:
    def test_it_is_made_once_whatever_became_of_it(self, known: Catalog) -> None:
        secret = first_key(known, utc_now())
        assert secret is not None
        key = known.keys.find(secret, utc_now())
        assert key is not None
        assert (key.scopes, key.project_id) == (("*",), None)
        assert first_key(known, utc_now()) is None
        known.keys.revoke(key.id, utc_now())
        assert first_key(known, utc_now()) is None

    def test_the_commands_own_keys_are_none(self, surroundings: Any, known: Catalog) -> None:
        with own_key(load_settings()):
            assert first_key(known, utc_now()) is not None

    def test_up_says_what_to_put_into_the_shell(
        self, surroundings: Any, known: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = re.match(r"export ENDPOINTS_API_KEY=(phx_\S+) ", key_line(load_settings()))
        assert first is not None
        assert known.keys.find(first[1], utc_now()) == only_key(known)
        assert "$(endpoints keys create)" in key_line(load_settings())
        monkeypatch.setenv("ENDPOINTS_API_KEY", first[1])
        assert key_line(load_settings()) == "# ENDPOINTS_API_KEY is set"
        assert len(known.keys.list()) == 1


def test_a_client_sends_its_key_or_the_settings(surroundings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDPOINTS_API_KEY", "phx_setting")
    settings = load_settings()

    assert ApiClient(settings)._session.headers["Authorization"] == "Bearer phx_setting"
    assert ApiClient(settings, "phx_own")._session.headers["Authorization"] == "Bearer phx_own"
