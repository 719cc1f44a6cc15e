"""The docs name what there is: commands and options, pages and pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest
import typer
import yaml

from endpoints_pipeline.cli.definition_files import load
from endpoints_pipeline.cli.main import app
from endpoints_pipeline.frequency import FRESHNESS_BUCKETS, WORDS
from endpoints_pipeline.orchestration.assets import build_asset
from endpoints_pipeline.orchestration.resources import EndpointsResource, s3_resource
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.settings import Settings
from tests.orchestration.conftest import record

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def documented_commands() -> dict[str, set[str]]:
    """Each row of the table in docs/cli.md: the command, and the arguments and options named there."""
    rows = re.findall(r"^\| `([\w ]+)` \| ([^|]*)\|", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)
    return {command: set(re.findall(r"`([^`]+)`", parameters)) for command, parameters in rows}


def commands(group: Any = None, prefix: str = "") -> dict[str, set[str]]:
    group = group or typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    found: dict[str, set[str]] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, f"{prefix}{name} ")
            continue
        spellings = set()
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                spellings.add("PATH…" if parameter.nargs == -1 else (parameter.metavar or parameter.name.upper()))
            elif "--help" not in parameter.opts:
                spellings.add(max(parameter.opts, key=len))
        found[prefix + name] = spellings
    return found


def test_every_command_and_option_is_documented() -> None:
    assert documented_commands() == commands()


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in commands() if f"`endpoints {name}" not in readme] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_yaml_page_shows_a_file_that_loads_and_every_word(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "yaml.md").read_text()
    shown = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(shown) == 1
    file = tmp_path / "shown.yaml"
    file.write_text(shown[0])
    assert load([file])[0].name == yaml.safe_load(shown[0])["name"]
    words = re.findall(r"schedule: .*# (.*)", page)[0].split()
    assert words == list(WORDS)
    assert all(str(bucket) in page for bucket in FRESHNESS_BUCKETS)


def test_the_extensions_that_are_shown_work() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)
    assert len(shown) == 3
    names: dict[str, Any] = {}
    for block in shown:
        exec(block, names)
    endpoint = record(name="route-punctuality")
    spec = names["TeamEndpoints"]().get_translator(Settings(_env_file=None)).get_asset_spec(endpoint)
    assert spec.owners == ["team:growth"]
    assert spec.automation_condition is None
    translator = names["EndpointsWithOurTables"]().get_translator(Settings(_env_file=None))
    with_tables = translator.get_asset_spec(record(reads=Reads(("flights", "planes"))))
    assert [dep.asset_key.path for dep in with_tables.deps] == [["dbt", "flights"], ["tables", "planes"]]
    assert with_tables.automation_condition is not None
    assert (translator.get_table_spec("flights"), translator.get_table_spec("planes") is None) == (None, False)
    upstream = build_asset(spec, endpoint, retries=0)
    settings = Settings(_env_file=None)
    resource = EndpointsResource(s3=s3_resource(settings))
    definitions = dg.Definitions(assets=[upstream, names["worst_route"]], resources={"endpoints": resource})
    graph = definitions.resolve_asset_graph()
    assert graph.get(dg.AssetKey("worst_route")).parent_keys == {spec.key}
