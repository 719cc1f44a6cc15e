"""The component: definitions from a state that was read once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.errors import CatalogUnavailable
from endpoints_pipeline.orchestration.component import EndpointsComponent
from endpoints_pipeline.orchestration.resources import process_catalog
from tests.catalog.builders import PROJECT
from tests.fixtures.catalog import FakeClock
from tests.orchestration.conftest import CodeLocation, SetSetting


def test_without_a_state_there_is_what_will_bring_one(own_settings: object) -> None:
    defs = EndpointsComponent().build_defs_from_state(None, None)  # type: ignore[arg-type]

    assert not defs.assets
    assert not defs.schedules
    assert {sensor.name for sensor in defs.sensors or ()} == {"catalog_watcher", "execution_recorder"}


def test_definitions_are_rebuilt_without_the_catalog(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], set_setting: SetSetting, tmp_path: Path
) -> None:
    """A run's process starts from the state alone."""
    endpoint("daily", sync_frequency="1hour")
    state_path = tmp_path / "state"
    EndpointsComponent().write_state_to_path(state_path)
    set_setting("catalog_dsn", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(CatalogUnavailable):
        process_catalog()

    defs = EndpointsComponent().build_defs_from_state(None, state_path)  # type: ignore[arg-type]

    [asset] = defs.assets or ()
    assert isinstance(asset, dg.AssetsDefinition)
    assert asset.key == dg.AssetKey(["endpoints", "1", "daily"])
    assert [schedule.name for schedule in defs.schedules or ()] == ["refresh_1hour"]


def test_the_state_stays_when_the_catalog_changes(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], tmp_path: Path
) -> None:
    endpoint("early")
    state_path = tmp_path / "state"
    EndpointsComponent().write_state_to_path(state_path)
    endpoint("late")

    defs = EndpointsComponent().build_defs_from_state(None, state_path)  # type: ignore[arg-type]

    assert [asset.key.path[-1] for asset in defs.assets or () if isinstance(asset, dg.AssetsDefinition)] == ["early"]


def test_only_what_changed_is_built_again(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    clock: FakeClock,
) -> None:
    """Dagster evaluates the definitions several times in a process, with thousands of assets."""
    endpoint("same")
    endpoint("changed", sync_frequency="1hour")
    before = load_location()
    own_catalog.endpoints.update(PROJECT, "changed", EndpointChange(sync_frequency="24hour"), clock())
    after = load_location()

    assert after.asset("same") is before.asset("same")
    assert after.asset("changed") is not before.asset("changed")


def test_an_endpoint_that_is_gone_has_no_asset(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    clock: FakeClock,
) -> None:
    endpoint("a")
    endpoint("b")
    endpoint("c")
    own_catalog.endpoints.delete(PROJECT, "a", clock())
    own_catalog.endpoints.update(PROJECT, "b", EndpointChange(is_active=False), clock())

    assert [asset.key.path[-1] for asset in load_location().assets()] == ["c"]


def test_sensors_run_from_the_beginning(
    endpoint: Callable[..., Endpoint], load_location: Callable[[], CodeLocation]
) -> None:
    endpoint()

    sensors = load_location().defs.sensors or ()

    assert len(list(sensors)) == 3
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}
    assert {sensor.minimum_interval_seconds for sensor in sensors} == {5}


def test_the_state_is_kept_where_every_process_finds_it() -> None:
    config = EndpointsComponent().defs_state_config

    assert config.key == "endpoints"
    assert config.management_type.value == "VERSIONED_STATE_STORAGE"
    assert not config.refresh_if_dev
