"""The commands, as a person or a program calls them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import CheckedQuery, NewEndpoint
from endpoints_pipeline.catalog.records import Part, Variable
from endpoints_pipeline.cli.config import MASK, masked_url
from endpoints_pipeline.cli.definition_files import load
from endpoints_pipeline.cli.publish import apply, plan
from endpoints_pipeline.cli.refresh import RefreshFailed, wait_for_snapshot
from endpoints_pipeline.clock import utc_now
from endpoints_pipeline.errors import DagsterUnavailable, NotFound
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.variables import VariableType
from endpoints_pipeline.serving.application import open_application
from endpoints_pipeline.settings import Settings, load_settings
from tests.cli.conftest import Invoke, assert_refused
from tests.fixtures.engine import EVENTS
from tests.fixtures.s3 import S3Server

_SLOW = {"boto3", "chdb", "clickhouse_connect", "dagster", "fastapi", "pandas", "pyarrow", "pydantic", "requests"} | {
    "rich",
    "sqlalchemy",
    "structlog",
    "yaml",
}
_COMMANDS = {"config", "demo", "keys", "list", "migrate", "publish", "refresh", "run", "up"}


@pytest.fixture
def definition(surroundings: Path) -> Callable[..., Path]:
    """Writes a definition of ``events``' rows, materialized unless said otherwise."""

    def write(name: str = "clicks", **changes: Any) -> Path:
        content = {
            "name": name,
            "query": "SELECT id, name, score FROM events ORDER BY id",
            "materialization": {"enabled": True, "schedule": "1hour"},
            **changes,
        }
        path = surroundings / f"{name}.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


@pytest.fixture
def with_variables(definition: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a definition whose query takes two variables, with their types and defaults changed as said."""

    def write(name: str = "clicks", **changes: dict[str, Any]) -> Path:
        wanted: dict[str, dict[str, Any]] = {
            "least": {"type": "Number", "default": 290},
            "chosen": {"type": "List", "default": ["buy"]},
        }
        return definition(
            name,
            query="SELECT id, name FROM events WHERE id >= {least} AND name IN {variables.chosen} ORDER BY id",
            variables=[{"name": key, **value} for key, value in (wanted | changes).items()],
            materialization={"enabled": False},
        )

    return write


def create(catalog: Catalog, path: Path) -> None:
    """Store the file's endpoint without asking the engine."""
    (file,) = load([path])
    query = CheckedQuery(query=file.query_object, sql=file.query, columns=())
    new = NewEndpoint(name=file.name, query=query, is_materialized=True, sync_frequency=file.sync_frequency)
    catalog.projects.ensure(1, "Default", utc_now())
    catalog.endpoints.create(1, new, utc_now())


def make_variable(catalog: Catalog, name: str, type_: VariableType, default: Any) -> Variable:
    """As a person makes one."""
    catalog.projects.ensure(1, "Default", utc_now())
    return catalog.variables.create(1, name=name, type=type_, default_value=default, by=None, now=utc_now())


def publish_rows(catalog: Catalog, name: str, rows: int) -> None:
    """Publish a snapshot whose part isn't on S3: enough for those who only look into the catalog."""
    version = catalog.endpoints.get(1, name).version
    attempt = catalog.refreshes.begin(version.id, reason="test", dagster_run_id="run", now=utc_now())
    part = Part(key=f"{attempt.id}.parquet", rows=rows, bytes=1_234_567, row_groups=1, etag="etag")
    columns = [Column("id", "UInt64"), Column("name", "String"), Column("score", "Nullable(Float64)")]
    catalog.refreshes.publish(attempt, columns=columns, parts=[part], engine_version="26.9", now=utc_now())


def fail_refresh(catalog: Catalog, name: str, error: str) -> None:
    version = catalog.endpoints.get(1, name).version
    catalog.refreshes.begin(version.id, reason="test", dagster_run_id="run", now=utc_now())
    catalog.refreshes.fail(version.id, "run", error=error, cancelled=False, now=utc_now())


def test_help_names_every_command(invoke: Invoke) -> None:
    result = invoke("--help")

    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.split("Commands:")[1].splitlines() if line} == _COMMANDS


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys\n"
        "from endpoints_pipeline.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as ended:\n    assert not ended.code\n"
        f"print(sorted({_SLOW!r} & sys.modules.keys()), file=sys.stderr)"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stderr.strip()) == (0, "[]")


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["run"], ["run", "clicks", "--limit", "0"], ["run", "clicks", "--offset", "-1"]]
    + [["run", "clicks", "--version", "one"], ["refresh", "clicks", "--wait", "long"], ["publish"], ["list", "--nope"]],
)
def test_wrong_usage_is_code_2(invoke: Invoke, arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_a_failing_process_prints_one_line_and_no_traceback(surroundings: Path) -> None:
    code = "from endpoints_pipeline.cli.main import app; app()"

    ended = subprocess.run(
        [sys.executable, "-c", code, "refresh", "clicks"], capture_output=True, text=True, timeout=60
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Error: No endpoint 'clicks' in project 1.\n"


class TestConfig:
    def test_it_shows_every_setting_and_where_it_comes_from(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path(".env").write_text("ENDPOINTS_DAGSTER_PORT=3002\n")
        monkeypatch.setenv("ENDPOINTS_API_PORT", "8001")

        shown = {line["setting"]: line for line in json.loads(invoke("config", "--json").stdout)}

        assert list(shown) == list(Settings.model_fields)
        assert (shown["api_port"]["value"], shown["api_port"]["source"]) == (8001, "environment")
        assert (shown["dagster_port"]["value"], shown["dagster_port"]["source"]) == (3002, ".env")
        assert (shown["s3_bucket"]["value"], shown["s3_bucket"]["source"]) == ("endpoints", "default")
        assert shown["api_port"]["variable"] == "ENDPOINTS_API_PORT"

    def test_it_shows_what_an_unset_setting_stands_for(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ENDPOINTS_CATALOG_DSN")

        shown = {line["setting"]: line["value"] for line in json.loads(invoke("config", "--json").stdout)}

        assert shown["catalog_dsn"] == f"sqlite:///{Path.cwd()}/home/catalog.db"
        assert shown["public_url"] == "http://127.0.0.1:8000"

    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_it_never_shows_a_secret(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, form: list[str]) -> None:
        monkeypatch.setenv("ENDPOINTS_CATALOG_DSN", "postgresql://someone:hush@db.example.com:5432/catalog")
        monkeypatch.setenv("ENDPOINTS_ENGINE_DSN", "clickhouse://someone:hush/@ch.example.com:8123/shop")
        monkeypatch.setenv("ENDPOINTS_S3_ACCESS_KEY", "hush")
        monkeypatch.setenv("ENDPOINTS_S3_SECRET_KEY", "hush")
        monkeypatch.setenv("ENDPOINTS_PUBLIC_URL", "https://someone:hush@api.example.com")
        monkeypatch.setenv("ENDPOINTS_API_KEY", "hush")
        monkeypatch.setenv("ENDPOINTS_RATE_LIMIT_STORAGE", "redis://:hush@redis.example.com:6379")

        shown = invoke("config", *form).output

        assert "hush" not in shown
        assert f"postgresql://someone:{MASK}@db.example.com:5432/catalog" in shown
        assert f"https://someone:{MASK}@api.example.com" in shown

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("sqlite:////srv/catalog.db", "sqlite:////srv/catalog.db"),
            ("http://127.0.0.1:8333", "http://127.0.0.1:8333"),
            ("clickhouse://someone@host/db", "clickhouse://someone@host/db"),
            ("postgresql://u:p@[::1]:5432/db", f"postgresql://u:{MASK}@[::1]:5432/db"),
            ("postgresql:///db?host=/tmp&password=p", f"postgresql:///db?host={MASK}&password={MASK}"),
            *((f"postgresql://u:{raw}@host/db", MASK) for raw in ("p@ss", "p/ss", "p#ss", "p?ss", "p[ss")),
            ("postgresql://u:p#ss", MASK),
        ],
    )
    def test_a_url_keeps_all_but_its_secrets(self, url: str, shown: str) -> None:
        assert masked_url(url) == shown

    def test_a_bad_value_is_refused(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENDPOINTS_API_PORT", "eighty")

        assert_refused(invoke("config"), "ENDPOINTS_API_PORT")

    def test_an_unknown_log_level_is_refused(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENDPOINTS_LOG_LEVEL", "LOUD")

        assert_refused(invoke("list"), "ENDPOINTS_LOG_LEVEL", "WARNING")


class TestMigrate:
    def test_it_says_from_where_to_where(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("ENDPOINTS_CATALOG_DSN", f"sqlite:///{tmp_path}/new/catalog.db")
        monkeypatch.setenv("ENDPOINTS_CATALOG_AUTO_MIGRATE", "false")
        assert_refused(invoke("list"), "run `endpoints migrate`")

        first, second = invoke("migrate"), invoke("migrate")

        assert first.exit_code == second.exit_code == 0
        assert "went from nothing to" in first.stdout
        assert "is up to date" in second.stdout
        assert invoke("list").exit_code == 0

    @pytest.mark.parametrize("command", [["migrate"], ["list"], ["run", "clicks"]])
    @pytest.mark.parametrize(
        "dsn",
        ["postgresql://someone:hush@127.0.0.1:1/catalog", "postgresql://someone:hush@ss@127.0.0.1:1/catalog"]
        + ["mysql://someone:hush@127.0.0.1/catalog", "hush"],
    )
    def test_a_catalog_that_cant_be_used_is_named_without_its_password(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, command: list[str], dsn: str
    ) -> None:
        monkeypatch.setenv("ENDPOINTS_CATALOG_DSN", dsn)
        monkeypatch.setenv("ENDPOINTS_CATALOG_TIMEOUT", "1")

        result = invoke(*command)

        assert_refused(result, "ENDPOINTS_CATALOG_DSN")
        assert "hush" not in result.output


class TestPublish:
    def test_files_are_created_then_unchanged_then_updated(
        self, invoke: Invoke, definition: Callable[..., Path], known: Catalog
    ) -> None:
        path = definition()

        assert invoke("publish", path).stdout.split()[:3] == ["created", "clicks", "v1"]
        created = known.endpoints.get(1, "clicks")
        revision = known.refreshes.revision()
        assert invoke("publish", path).stdout.split()[:3] == ["unchanged", "clicks", "v1"]
        assert known.endpoints.get(1, "clicks") == created
        assert known.refreshes.revision() == revision
        definition(description="What was clicked")
        assert invoke("publish", path).stdout.split()[:3] == ["updated", "clicks", "v1"]
        assert known.endpoints.get(1, "clicks").version.description == "What was clicked"

    def test_a_new_query_is_a_new_version(
        self, invoke: Invoke, definition: Callable[..., Path], known: Catalog
    ) -> None:
        invoke("publish", definition())

        result = invoke("publish", definition(query="SELECT id FROM events ORDER BY id LIMIT 5"), "--json")

        assert [(line["outcome"], line["version"]) for line in json.loads(result.stdout)] == [("updated", 2)]
        assert known.endpoints.get(1, "clicks").version.is_materialized

    def test_the_file_is_the_whole_truth(self, definition: Callable[..., Path]) -> None:
        """Whatever was changed is changed back by the first file, and publishing either twice changes nothing."""
        changes: list[dict[str, Any]] = [
            {"materialization": {"enabled": False}},
            {"materialization": {"enabled": True, "schedule": "24hour"}},
            {"materialization": {"enabled": True, "schedule": "never"}},
            {"materialization": {"enabled": False}, "is_active": False},
            {"data_freshness_seconds": 900},
            {"description": "What was clicked"},
        ]
        application = open_application(load_settings())

        def publish(change: dict[str, Any]) -> str:
            (file,) = load([definition(**change)])
            (done,) = apply(application, plan(application, [file]))
            return done.outcome

        try:
            publish({})
            outcomes = [[publish(step) for step in (change, change, {}, {})] for change in changes]
        finally:
            application.close()

        assert outcomes == [["updated", "unchanged", "updated", "unchanged"]] * len(changes)

    def test_nothing_is_changed_if_any_file_is_wrong(
        self, invoke: Invoke, definition: Callable[..., Path], known: Catalog
    ) -> None:
        good, bad = definition("a_good_one"), definition("bad", query="SELECT * FROM nowhere")

        assert_refused(invoke("publish", good, bad), "bad.yaml", "nowhere")

        assert known.endpoints.list(1) == ([], 0)

    def test_variables_are_made_with_the_endpoint_and_once(
        self, invoke: Invoke, with_variables: Callable[..., Path], known: Catalog
    ) -> None:
        path = with_variables()

        first, second = invoke("publish", path), invoke("publish", path)

        assert [line.split()[:3] for line in first.stdout.splitlines()] == [
            ["created", "variable", "least"],
            ["created", "variable", "chosen"],
            ["created", "clicks", "v1"],
        ]
        assert [line.split()[:3] for line in second.stdout.splitlines()] == [["unchanged", "clicks", "v1"]]
        variables, _ = known.variables.list(1)
        assert [(one.name, one.code_name, one.type, one.default_value) for one in variables] == [
            ("chosen", "chosen", "List", ["buy"]),
            ("least", "least", "Number", 290),
        ]
        assert known.endpoints.get(1, "clicks").version.query["variables"] == {
            one.id: {"variableId": one.id, "code_name": one.code_name, "value": one.default_value, "isNull": None}
            for one in variables
        }

    def test_its_runs_take_the_defaults_or_the_callers_values(
        self, invoke: Invoke, with_variables: Callable[..., Path]
    ) -> None:
        assert invoke("publish", with_variables()).exit_code == 0

        own, chosen = (
            json.loads(invoke("run", "clicks", "--json", *more).stdout)["results"]
            for more in ([], ["--variable", "least=299", "--variable", 'chosen=["buy", "click"]'])
        )

        assert len(own) > 1
        assert {(row[0] >= 290, row[1]) for row in own} == {(True, "buy")}
        assert [row[0] for row in chosen] == [299]

    def test_a_changed_default_changes_the_variable_and_the_query(
        self, invoke: Invoke, with_variables: Callable[..., Path], known: Catalog
    ) -> None:
        invoke("publish", with_variables())
        before = known.variables.by_code_name(1, ["least"])["least"]

        result = invoke("publish", with_variables(least={"type": "Number", "default": 297}), "--json")

        (line,) = json.loads(result.stdout)
        assert (line["outcome"], line["version"]) == ("updated", 2)
        assert line["variables"] == {"least": "updated", "chosen": "unchanged"}
        after = known.variables.by_code_name(1, ["least"])["least"]
        assert (after.id, after.default_value) == (before.id, 297)
        assert [row[0] for row in json.loads(invoke("run", "clicks", "--json").stdout)["results"]] == [297]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({"type": "Number", "default": 1}, {"type": "Boolean", "default": True}),
            ({"type": "List", "default": [1]}, {"type": "List", "default": [True]}),
            ({"type": "List", "default": [1]}, {"type": "String"}),
        ],
    )
    def test_a_variable_is_brought_to_its_file_and_back(
        self, definition: Callable[..., Path], known: Catalog, first: dict[str, Any], second: dict[str, Any]
    ) -> None:
        """Two defaults that Python calls equal are two; the options of a list go with it."""
        application = open_application(load_settings())

        def publish(wanted: dict[str, Any]) -> tuple[str, str]:
            listed = [{"name": "x", **wanted}]
            path = definition(query="SELECT {x} AS x", variables=listed, materialization={"enabled": False})
            planned = plan(application, load([path]))
            (done,) = apply(application, planned)
            return planned.variables[0].outcome, done.outcome

        try:
            assert publish(first) == ("created", "created")
            made = known.variables.by_code_name(1, ["x"])["x"]
            if first["type"] == "List":
                known.variables.update(1, made.id, changes={"values": [1, 2]}, now=utc_now())
            assert [publish(step) for step in (first, second, second)] == [
                ("unchanged", "unchanged"),
                ("updated", "updated"),
                ("unchanged", "unchanged"),
            ]
        finally:
            application.close()
        variable = known.variables.by_code_name(1, ["x"])["x"]
        assert (variable.id, variable.type, variable.default_value) == (
            made.id,
            second["type"],
            second.get("default"),
        )
        expected = (1, 2) if first["type"] == second["type"] == "List" else None
        assert variable.values == expected

    def test_a_persons_variable_keeps_its_name(
        self, invoke: Invoke, with_variables: Callable[..., Path], known: Catalog
    ) -> None:
        made = make_variable(known, "Least!", VariableType.STRING, "1")

        assert "updated    variable least (Number)" in invoke("publish", with_variables()).stdout

        found = known.variables.get(1, made.id)
        assert (found.name, found.type, found.default_value) == ("Least!", "Number", 290)

    def test_variables_that_no_file_lists_are_the_projects(
        self, invoke: Invoke, definition: Callable[..., Path], known: Catalog
    ) -> None:
        off = {"materialization": {"enabled": False}}
        path = definition(query="SELECT id FROM events WHERE id < {variables.most}", **off)
        assert_refused(invoke("publish", path), "clicks.yaml", "undefined variable(s): most")
        made = make_variable(known, "most", VariableType.NUMBER, 3)

        assert [invoke("publish", path).stdout.split()[0] for _ in range(2)] == ["created", "unchanged"]

        assert len(json.loads(invoke("run", "clicks", "--json").stdout)["results"]) == 3
        assert known.variables.get(1, made.id) == made

    def test_a_query_object_keeps_its_fields_and_its_variables_values(
        self, invoke: Invoke, surroundings: Path, known: Catalog
    ) -> None:
        made = make_variable(known, "most", VariableType.NUMBER, 3)
        query = {
            "kind": "HogQLQuery",
            "query": "SELECT id FROM events WHERE id < {variables.most} AND id >= {least}",
            "tags": {"productKey": "endpoints"},
            "variables": {made.id: {"variableId": made.id, "code_name": "most", "value": 2}},
        }
        content = {
            "name": "whole",
            "query_definition": query,
            "variables": [{"name": "least", "type": "integer", "default": 1}],
        }
        path = surroundings / "whole.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")

        outcomes = [invoke("publish", path).stdout.splitlines()[-1].split()[0] for _ in range(2)]

        assert outcomes == ["created", "unchanged"]
        stored = known.endpoints.get(1, "whole").version.query
        assert stored["tags"] == {"productKey": "endpoints"}
        assert {entry["code_name"]: entry["value"] for entry in stored["variables"].values()} == {"most": 2, "least": 1}
        assert json.loads(invoke("run", "whole", "--json").stdout)["results"] == [[1]]

    def test_no_variable_is_changed_if_any_file_is_wrong(
        self, invoke: Invoke, definition: Callable[..., Path], with_variables: Callable[..., Path], known: Catalog
    ) -> None:
        made = make_variable(known, "least", VariableType.DATE, None)
        bad = definition("bad", query="SELECT * FROM nowhere")

        assert_refused(invoke("publish", with_variables(), bad), "bad.yaml", "nowhere")

        assert known.variables.list(1) == ([made], 1)
        assert known.endpoints.list(1) == ([], 0)

    def test_files_that_contradict_each_other_change_nothing(
        self, invoke: Invoke, with_variables: Callable[..., Path], known: Catalog
    ) -> None:
        other = with_variables("other", least={"type": "Number", "default": 1})

        assert_refused(invoke("publish", with_variables(), other), "clicks.yaml", "other.yaml", "'least'")

        assert not known.variables.by_code_name(1, ["least", "chosen"])
        with pytest.raises(NotFound):
            known.endpoints.get(1, "other")

    def test_files_share_a_variable_that_is_made_once(
        self, invoke: Invoke, with_variables: Callable[..., Path], known: Catalog
    ) -> None:
        files = with_variables("one"), with_variables("two")

        assert invoke("publish", *files).exit_code == 0

        assert [line["outcome"] for line in json.loads(invoke("publish", *files, "--json").stdout)] == ["unchanged"] * 2
        assert known.variables.list(1)[1] == 2

    def test_a_deleted_variable_is_made_again(
        self, invoke: Invoke, with_variables: Callable[..., Path], known: Catalog
    ) -> None:
        path = with_variables()
        invoke("publish", path)
        known.variables.delete(1, known.variables.by_code_name(1, ["least"])["least"].id, utc_now())

        again = invoke("publish", path, "--json")

        (line,) = json.loads(again.stdout)
        assert (line["outcome"], line["variables"]) == ("updated", {"least": "created", "chosen": "unchanged"})
        assert json.loads(invoke("publish", path, "--json").stdout)[0]["outcome"] == "unchanged"

    def test_a_query_that_cant_be_stored_is_refused_with_its_file(
        self, invoke: Invoke, definition: Callable[..., Path]
    ) -> None:
        path = definition(query="SELECT id, id FROM events")

        assert_refused(invoke("publish", path), "clicks.yaml", "Cannot materialize endpoint")

    def test_an_unknown_key_is_refused_with_its_file(self, invoke: Invoke, definition: Callable[..., Path]) -> None:
        assert_refused(invoke("publish", definition(colour="red")), "clicks.yaml", "colour")

    def test_a_missing_file_is_refused(self, invoke: Invoke) -> None:
        assert_refused(invoke("publish", "nowhere.yaml"), "nowhere.yaml", "No such file")


class TestList:
    def test_a_project_without_endpoints_says_what_to_do(self, invoke: Invoke) -> None:
        assert "endpoints publish" in invoke("list").stdout
        assert json.loads(invoke("list", "--json").stdout) == []

    def test_it_shows_the_state_of_every_endpoint(
        self, invoke: Invoke, definition: Callable[..., Path], known: Catalog
    ) -> None:
        off = {"materialization": {"enabled": False}}
        invoke("publish", definition("kept"), definition("broken"), definition("live", **off))
        invoke("publish", definition("off", is_active=False, **off))
        publish_rows(known, "kept", 12_345)
        fail_refresh(known, "broken", "Code: 60.\nUnknown table")

        table = {line.split()[0]: line for line in invoke("list").stdout.splitlines() if line}
        facts = {line["name"]: line for line in json.loads(invoke("list", "--json").stdout)}

        assert list(facts) == ["broken", "kept", "live", "off"]
        assert table["kept"].split()[:9] == ["kept", "v1", "yes", "yes", "1hour", "Completed", "12,345", "1.2", "MB"]
        assert "Failed" in table["broken"]
        assert table["broken"].endswith("Code: 60. Unknown table")
        assert table["live"].split() == ["live", "v1", "yes", "no"]
        assert table["off"].split() == ["off", "v1", "no", "no"]
        assert (facts["kept"]["rows"], facts["kept"]["status"], facts["kept"]["error"]) == (12_345, "Completed", "")
        assert facts["kept"]["age_seconds"] >= 0
        assert facts["broken"]["error"] == "Code: 60.\nUnknown table"
        assert (facts["live"]["is_materialized"], facts["off"]["is_active"]) == (False, False)


class TestRun:
    @pytest.fixture(autouse=True)
    def _clicks(self, definition: Callable[..., Path], known: Catalog) -> None:
        create(known, definition())

    def test_a_table_holds_50_rows_and_says_that_there_are_more(self, invoke: Invoke) -> None:
        lines = invoke("run", "clicks").stdout.splitlines()

        rows = [line.split() for line in lines if line.split()[0].isdigit() and "served" not in line]
        assert [int(row[0]) for row in rows] == list(range(50))
        assert rows[0] == ["0", "buy", "NULL"]
        assert "more rows" in lines[-2]
        assert lines[-1].startswith("50 rows served inline (no_snapshot_yet), version 1.")

    def test_a_limit_and_an_offset_choose_the_rows(self, invoke: Invoke) -> None:
        lines = invoke("run", "clicks", "--limit", 2, "--offset", 298).stdout.splitlines()

        assert [line.split()[0] for line in lines[2:4]] == ["298", "299"]
        assert lines[-1].startswith("2 rows served")
        assert not [line for line in lines if "more rows" in line]

    def test_json_holds_all_rows(self, invoke: Invoke) -> None:
        answer = json.loads(invoke("run", "clicks", "--json").stdout)

        assert answer["columns"] == ["id", "name", "score"]
        assert answer["types"][0] == ["id", "Nullable(UInt64)"]
        assert [row[0] for row in answer["results"]] == list(range(EVENTS))
        assert (answer["hasMore"], answer["name"]) == (False, "clicks")
        assert (answer["served"]["path"], answer["served"]["reason"]) == ("inline", "no_snapshot_yet")

    def test_json_with_a_limit_says_that_there_are_more(self, invoke: Invoke) -> None:
        answer = json.loads(invoke("run", "clicks", "--json", "--limit", 2, "--offset", 1).stdout)

        assert [row[0] for row in answer["results"]] == [1, 2]
        assert answer["hasMore"] is True

    def test_a_version_may_be_chosen(self, invoke: Invoke, definition: Callable[..., Path]) -> None:
        invoke("publish", definition(query="SELECT 42 AS answer"))

        assert json.loads(invoke("run", "clicks", "--json").stdout)["results"] == [[42]]
        assert len(json.loads(invoke("run", "clicks", "--json", "--version", 1).stdout)["results"]) == EVENTS

    def test_texts_are_shown_as_they_are(self, invoke: Invoke, definition: Callable[..., Path]) -> None:
        invoke(
            "publish",
            definition("odd", query="SELECT '[bold]x[/bold] é' AS `[red]y`, [1, 2] AS list, map('a', 1) AS map"),
        )

        shown = invoke("run", "odd").stdout

        assert "[bold]x[/bold] é" in shown
        assert "[red]y" in shown
        assert "[1, 2]" in shown
        assert '{"a": 1}' in shown

    def test_what_the_log_says_stays_out_of_the_answer(self, invoke: Invoke, known: Catalog) -> None:
        publish_rows(known, "clicks", EVENTS)

        result = invoke("run", "clicks", "--json", "--limit", 1)

        assert json.loads(result.stdout)["served"]["path"] == "materialized_fallback"
        assert "a snapshot could not be read" in result.stderr

    def test_the_log_level_is_heeded(self, invoke: Invoke, known: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        publish_rows(known, "clicks", EVENTS)
        monkeypatch.setenv("ENDPOINTS_LOG_LEVEL", "ERROR")

        assert invoke("run", "clicks", "--limit", 1).stderr == ""

    def test_an_unknown_endpoint_is_refused(self, invoke: Invoke) -> None:
        assert_refused(invoke("run", "clocks"), "No endpoint 'clocks'")
        assert_refused(invoke("run", "clocks", "--json"), "No endpoint 'clocks'")

    def test_an_unknown_version_is_refused(self, invoke: Invoke) -> None:
        assert_refused(invoke("run", "clicks", "--version", 7), "Version 7 not found")

    def test_direct_is_refused_where_nothing_is_materialized(
        self, invoke: Invoke, definition: Callable[..., Path]
    ) -> None:
        invoke("publish", definition("live", materialization={"enabled": False}))

        assert_refused(invoke("run", "live", "--direct"), "only for materialized endpoints")

    def test_an_inactive_endpoint_is_refused(self, invoke: Invoke, definition: Callable[..., Path]) -> None:
        invoke("publish", definition(is_active=False, materialization={"enabled": False}))

        assert_refused(invoke("run", "clicks"), "inactive")

    def test_a_query_that_fails_gives_the_engines_reason_on_one_line(
        self, invoke: Invoke, definition: Callable[..., Path]
    ) -> None:
        invoke("publish", definition("broken", query="SELECT throwIf(id > 5) AS x FROM events"))

        assert_refused(invoke("run", "broken"), "throwIf")


def test_run_serves_a_snapshot_with_its_age(
    invoke: Invoke,
    definition: Callable[..., Path],
    s3_server: S3Server,
    s3_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENDPOINTS_S3_ENDPOINT_URL", s3_server.endpoint_url)
    monkeypatch.setenv("ENDPOINTS_S3_PREFIX", s3_prefix)
    assert invoke("publish", definition()).exit_code == 0
    application = open_application(load_settings(), clock=lambda: utc_now() - timedelta(minutes=5, seconds=1))
    try:
        version = application.catalog.endpoints.get(1, "clicks").version
        application.refresher.refresh(version.id, reason="test", dagster_run_id="run")
    finally:
        application.close()

    shown = invoke("run", "clicks", "--limit", 1).stdout.splitlines()[-1]
    served, direct = (json.loads(invoke("run", "clicks", "--json", *more).stdout) for more in ([], ["--direct"]))

    assert shown.startswith(
        "1 row served materialized (fresh_snapshot), version 1. The snapshot is 5 min old, its target 1 h."
    )
    assert (served["served"]["path"], direct["served"]["path"]) == ("materialized", "inline")
    assert direct["served"]["reason"] == "direct_requested"
    assert (served["results"], served["types"]) == (direct["results"], direct["types"])


class TestRefresh:
    @pytest.fixture(autouse=True)
    def _clicks(self, definition: Callable[..., Path], known: Catalog) -> None:
        create(known, definition())
        publish_rows(known, "clicks", 1)

    def test_it_asks_dagster(self, invoke: Invoke, known: Catalog) -> None:
        result = invoke("refresh", "clicks")

        assert (result.exit_code, "Requested" in result.stdout) == (0, True)
        version = known.endpoints.get(1, "clicks").version
        assert [(request.version_id, request.reason) for request in known.refreshes.waiting_requests()] == [
            (version.id, "requested")
        ]

    def test_it_waits_for_the_newer_snapshot(self, invoke: Invoke, known: Catalog) -> None:
        with _when_requested(known, lambda: publish_rows(known, "clicks", 1_234)):
            result = invoke("refresh", "clicks", "--wait", 20, "--json")

        assert result.exit_code == 0
        snapshot = json.loads(result.stdout)["snapshot"]
        assert snapshot["rows"] == 1_234
        assert known.refreshes.snapshot(snapshot["id"]) == known.endpoints.get(1, "clicks").version.snapshot

    def test_it_fails_with_the_refresh_that_it_waits_for(self, invoke: Invoke, known: Catalog) -> None:
        with _when_requested(known, lambda: fail_refresh(known, "clicks", "Unknown table 'events'")):
            result = invoke("refresh", "clicks", "--wait", 20)

        assert_refused(result, "'clicks' failed", "Unknown table 'events'")

    def test_an_earlier_failure_isnt_the_one_it_waits_for(self, invoke: Invoke, known: Catalog) -> None:
        fail_refresh(known, "clicks", "an older fault")

        result = invoke("refresh", "clicks", "--wait", 0)

        assert_refused(result, "within 0 s", "is it running?")
        assert "older fault" not in result.stderr

    def test_it_doesnt_wait_for_ever(self, invoke: Invoke) -> None:
        assert_refused(invoke("refresh", "clicks", "--wait", 0.1), "No new snapshot", "Dagster hasn't begun it")

    def test_an_endpoint_that_isnt_materialized_is_refused(
        self, invoke: Invoke, definition: Callable[..., Path]
    ) -> None:
        invoke("publish", definition("live", materialization={"enabled": False}))

        assert_refused(invoke("refresh", "live"), "isn't materialized")

    def test_an_unknown_endpoint_or_version_is_refused(self, invoke: Invoke) -> None:
        assert_refused(invoke("refresh", "clocks"), "No endpoint 'clocks'")
        assert_refused(invoke("refresh", "clicks", "--version", 9), "Version 9 not found")

    def test_waiting_ends_when_the_endpoint_is_no_longer_materialized(self, known: Catalog) -> None:
        before = known.endpoints.get(1, "clicks")
        off = replace(before, version=replace(before.version, materialization=None, snapshot=None))

        with pytest.raises(RefreshFailed, match="no longer materialized"):
            wait_for_snapshot(lambda: off, before, 60)

    def test_a_refresh_that_is_slow_is_said_to_be_under_way(self, known: Catalog) -> None:
        before = known.endpoints.get(1, "clicks")
        known.refreshes.begin(before.version.id, reason="test", dagster_run_id="run", now=utc_now())
        times = iter([0.0, 1.0, 2.0, 3.0])
        slept: list[float] = []

        with pytest.raises(DagsterUnavailable, match="within 3 s: it is still under way"):
            wait_for_snapshot(
                lambda: known.endpoints.get(1, "clicks"), before, 3, monotonic=lambda: next(times), sleep=slept.append
            )

        assert len(slept) == 2


class _when_requested:
    """Plays Dagster: does its work on a thread as soon as a refresh is requested."""

    def __init__(self, catalog: Catalog, work: Callable[[], None]) -> None:
        self._catalog = catalog
        self._work = work
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(0.05):
            if self._catalog.refreshes.waiting_requests():
                return self._work()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
