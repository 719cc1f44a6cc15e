"""The sensor that turns refresh requests into Dagster runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import dagster as dg
import pytest

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.requests_sensor import build_requests_sensor
from endpoints_pipeline.settings import load_settings
from tests.fixtures.catalog import FakeClock
from tests.orchestration.conftest import CodeLocation, SetSetting

JOB = "__anonymous_asset_job_refresh_requests"


class Ticking:
    """The sensor over the catalog as it was when this was made, ticked as Dagster's daemon does."""

    def __init__(
        self, catalog: Catalog, location: CodeLocation, instance: dg.DagsterInstance, clock: FakeClock
    ) -> None:
        self.sensor = build_requests_sensor(state_file.read_catalog(catalog), load_settings(), clock=clock)
        self.location = location
        self.instance = instance
        self.cursor: str | None = None
        self.skipped: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        result = self.sensor.evaluate_tick(
            dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=self.location.defs)
        )
        self.cursor, self.skipped = result.cursor, result.skip_message
        return list(result.run_requests or ())

    def launch(self, request: dg.RunRequest) -> dg.DagsterRun:
        return self.location.launch(self.instance, JOB, request.asset_selection or ())


@pytest.fixture
def ticking(
    own_catalog: Catalog, load_location: Callable[[], CodeLocation], instance: dg.DagsterInstance, clock: FakeClock
) -> Callable[[], Ticking]:
    return lambda: Ticking(own_catalog, load_location(), instance, clock)


def names(request: dg.RunRequest) -> set[str]:
    return {key.path[2] for key in request.asset_selection or ()}


def refreshed(catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
    catalog.refreshes.begin(endpoint.version.id, reason="test", dagster_run_id="run", now=clock())


def test_a_new_endpoint_is_refreshed_at_once(endpoint: Callable[..., Endpoint], ticking: Callable[[], Ticking]) -> None:
    endpoint("daily", sync_frequency="30day")

    [request] = ticking().tick()

    assert request.asset_selection == [dg.AssetKey(["endpoints", "1", "daily"])]
    assert request.tags["endpoints/reason"] == "first materialization"


def test_dagster_can_launch_what_is_asked_for(
    endpoint: Callable[..., Endpoint], ticking: Callable[[], Ticking]
) -> None:
    endpoint("daily")
    sensor = ticking()

    [request] = sensor.tick()

    sensor.location.subset(JOB, request.asset_selection or ())  # raises otherwise


def test_without_requests_the_sensor_says_so(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], ticking: Callable[[], Ticking], clock: FakeClock
) -> None:
    refreshed(own_catalog, endpoint(), clock)
    sensor = ticking()

    assert sensor.tick() == []
    assert sensor.skipped == "No request waits."


def test_nothing_is_asked_for_again_while_its_run_is_queued(
    endpoint: Callable[..., Endpoint], ticking: Callable[[], Ticking], clock: FakeClock
) -> None:
    endpoint("daily")
    sensor = ticking()
    [request] = sensor.tick()
    sensor.launch(request)
    clock.advance(timedelta(hours=1))

    assert sensor.tick() == []
    assert sensor.skipped == (
        "1 requests wait: 1 for a Dagster run of their endpoint under way, 0 were tried less than a minute ago."
    )


def test_what_did_not_begin_is_asked_for_again_after_a_minute(
    endpoint: Callable[..., Endpoint], ticking: Callable[[], Ticking], clock: FakeClock
) -> None:
    """The daemon may have died before it launched the run, or the run before it began."""
    endpoint("daily")
    sensor = ticking()
    [first] = sensor.tick()

    for seconds in (1, 58):
        clock.advance(timedelta(seconds=seconds))
        assert sensor.tick() == []
    assert sensor.skipped == (
        "1 requests wait: 0 for a Dagster run of their endpoint under way, 1 were tried less than a minute ago."
    )

    clock.advance(timedelta(seconds=1))
    [again] = sensor.tick()
    assert again.asset_selection == first.asset_selection
    assert again.run_key != first.run_key  # Dagster launches a run key only once

    clock.advance(timedelta(seconds=59))
    assert sensor.tick() == []


def test_a_refresh_that_began_answers_the_request(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], ticking: Callable[[], Ticking], clock: FakeClock
) -> None:
    daily = endpoint("daily")
    sensor = ticking()
    assert sensor.tick()
    refreshed(own_catalog, daily, clock)
    clock.advance(timedelta(hours=1))

    assert sensor.tick() == []
    assert sensor.skipped == "No request waits."
    assert sensor.cursor == "{}"  # it doesn't grow for ever


def test_refresh_now_is_a_request_of_its_own(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], ticking: Callable[[], Ticking], clock: FakeClock
) -> None:
    daily = endpoint("daily")
    endpoint("other")
    refreshed(own_catalog, daily, clock)
    own_catalog.refreshes.request(daily.version.id, "requested", clock())

    requests = ticking().tick()

    assert {request.tags["endpoints/reason"]: names(request) for request in requests} == {
        "first materialization": {"other"},
        "requested": {"daily"},
    }
    assert len({request.run_key for request in requests}) == 2


def test_many_requests_share_few_runs(
    endpoint: Callable[..., Endpoint], ticking: Callable[[], Ticking], set_setting: SetSetting
) -> None:
    set_setting("endpoints_per_run", 4)
    for number in range(10):
        endpoint(f"e{number}")

    requests = ticking().tick()

    assert sorted(len(names(request)) for request in requests) == [2, 4, 4]
    assert set().union(*map(names, requests)) == {f"e{number}" for number in range(10)}


def test_requests_for_assets_that_are_not_loaded_yet_wait(
    endpoint: Callable[..., Endpoint], ticking: Callable[[], Ticking]
) -> None:
    endpoint("old")
    sensor = ticking()
    endpoint("new")

    [request] = sensor.tick()
    assert names(request) == {"old"}

    requests = ticking().tick()
    assert set().union(*map(names, requests)) == {"old", "new"}


def test_without_endpoints_there_is_no_such_sensor(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], load_location: Callable[[], CodeLocation]
) -> None:
    def sensors() -> set[str]:
        return {sensor.name for sensor in load_location().defs.sensors or ()}

    assert sensors() == {"catalog_watcher", "execution_recorder"}
    endpoint("daily")
    assert sensors() == {"catalog_watcher", "execution_recorder", "refresh_requests"}
