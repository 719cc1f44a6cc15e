"""The code location as Dagster loads it: empty, with a state, and pinned to one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType
from dagster._core.definitions.repository_definition import RepositoryLoadData
from dagster._core.storage.defs_state.base import set_defs_state_storage
from dagster_shared.serdes.objects.models.defs_state_info import DefsStateInfo

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.definitions import defs
from endpoints_pipeline.errors import CatalogUnavailable
from endpoints_pipeline.orchestration.component import EndpointsComponent
from tests.orchestration.conftest import DAGSTER_HOME, ROOT, SetSetting


class Location:
    """What Dagster does with our code location, in the order that the watcher has it done."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._storage = instance.defs_state_storage
        assert self._storage is not None

    def refresh_state(self) -> DefsStateInfo:
        """Read the catalog into the state storage; returns the versions that are newest then."""
        assert self._storage is not None
        with set_defs_state_storage(self._storage):
            asyncio.run(EndpointsComponent().refresh_state(ROOT))
        newest = self._storage.get_latest_defs_state_info()
        assert newest is not None
        return newest

    def load(self, pinned: DefsStateInfo | None = None) -> set[str]:
        """The names of all endpoints' assets: of the newest state, or of the one that a run is pinned to."""
        data = RepositoryLoadData({}, defs_state_info=pinned) if pinned else None
        kind = DefinitionsLoadType.RECONSTRUCTION if pinned else DefinitionsLoadType.INITIALIZATION
        with (
            set_defs_state_storage(self._storage),
            DefinitionsLoadContext.scoped(DefinitionsLoadContext(kind, data)),
        ):
            loaded = defs()
            dg.Definitions.validate_loadable(loaded)
        return {asset.key.path[-1] for asset in loaded.assets or () if isinstance(asset, dg.AssetsDefinition)}


@pytest.fixture
def location(own_catalog: Catalog, instance: dg.DagsterInstance) -> Location:
    return Location(instance)


def test_dagster_finds_no_fault_with_an_empty_catalog(
    own_catalog: Catalog, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """In fresh interpreters, with the command that an engineer would use."""
    done = subprocess.run(
        [Path(sys.executable).with_name("dagster"), "definitions", "validate", "-w", ROOT / "workspace.yaml"],
        cwd=tmp_path,
        env={**os.environ, "DAGSTER_HOME": str(DAGSTER_HOME)},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation successful for code location endpoints_pipeline" in done.stdout + done.stderr


def test_before_any_state_there_are_no_assets(endpoint: Callable[..., Endpoint], location: Location) -> None:
    endpoint()

    assert location.load() == set()


def test_the_newest_state_is_loaded(endpoint: Callable[..., Endpoint], location: Location) -> None:
    endpoint("a-b", sync_frequency="1hour")
    location.refresh_state()
    assert location.load() == {"a-b"}

    endpoint("a_b", sync_frequency="7day")
    assert location.load() == {"a-b"}
    location.refresh_state()
    assert location.load() == {"a-b", "a_b"}


def test_a_run_sees_the_state_it_was_launched_with(
    endpoint: Callable[..., Endpoint], location: Location, set_setting: SetSetting
) -> None:
    endpoint("early")
    pinned = location.refresh_state()
    endpoint("late")
    location.refresh_state()
    set_setting("catalog_dsn", "postgresql://nobody@127.0.0.1:1/none")

    assert location.load(pinned) == {"early"}


def test_a_catalog_that_is_down_leaves_the_newest_state(
    endpoint: Callable[..., Endpoint], location: Location, set_setting: SetSetting
) -> None:
    endpoint("daily")
    location.refresh_state()
    set_setting("catalog_dsn", "postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(CatalogUnavailable):
        location.refresh_state()

    assert location.load() == {"daily"}
