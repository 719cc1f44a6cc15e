"""The code location as Dagster's own tools load it, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint
from tests.orchestration.conftest import DAGSTER_HOME, ROOT

WORKSPACE = ROOT / "workspace.yaml"
#: Stores the component's state as the watcher has Dagster do it, and prints what the code location then holds.
LOAD = """
import asyncio
from pathlib import Path
import dagster as dg
from dagster._core.storage.defs_state.base import set_defs_state_storage
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from endpoints_pipeline.orchestration.component import EndpointsComponent

with dg.DagsterInstance.get() as instance:
    with set_defs_state_storage(instance.defs_state_storage):
        asyncio.run(EndpointsComponent().refresh_state(Path()))
    with WorkspaceProcessContext(instance, WorkspaceFileTarget([%r])) as process:
        context = process.create_request_context()
        [location] = context.code_locations
        [repository] = location.get_repositories().values()
        print(location.name)
        print(*sorted(key.to_user_string() for key in context.asset_graph.get_all_asset_keys()))
        print(*sorted(sensor.name for sensor in repository.get_sensors()))
        print(*sorted(schedule.name for schedule in repository.get_schedules()))
"""


@pytest.fixture
def fresh(own_catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a command in a folder and with a catalog of the test's own, and gives what it printed."""
    home = tmp_path / "dagster_home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(DAGSTER_HOME / "dagster.yaml")
    monkeypatch.setenv("DAGSTER_HOME", str(home))

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_dagster_finds_no_fault_with_an_empty_catalog(fresh: Callable[..., str]) -> None:
    dagster = str(Path(sys.executable).with_name("dagster"))

    printed = fresh(dagster, "definitions", "validate", "-w", str(WORKSPACE))

    assert "Validation successful for code location endpoints_pipeline" in printed


def test_dagster_loads_what_the_state_holds(endpoint: Callable[..., Endpoint], fresh: Callable[..., str]) -> None:
    endpoint("a-b", sync_frequency="1hour")
    endpoint("a_b", sync_frequency="7day")

    printed = fresh(sys.executable, "-c", LOAD % str(WORKSPACE)).splitlines()

    assert "endpoints/1/a-b endpoints/1/a_b" in printed
    assert "catalog_watcher execution_recorder refresh_requests" in printed
    assert "refresh_1hour refresh_7day" in printed
    assert "endpoints_pipeline" in printed
