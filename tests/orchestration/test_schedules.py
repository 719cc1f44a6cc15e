"""The schedules: at each tick, what is due and not being refreshed yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.errors import ScheduleExecutionError

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.records import Endpoint
from endpoints_pipeline.errors import CatalogUnavailable
from endpoints_pipeline.frequency import PERIODS
from tests.catalog.builders import PROJECT, checked, refresh
from tests.fixtures.catalog import FakeClock
from tests.orchestration.conftest import CodeLocation, SetSetting

TICK = datetime(2026, 3, 1, 13, 0, tzinfo=UTC)


def key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["endpoints", "1", name])


def evaluate(
    location: CodeLocation, instance: dg.DagsterInstance, frequency: str = "1hour", tick: datetime = TICK
) -> tuple[list[dg.RunRequest], str | None]:
    """The run requests and the skip message of one tick."""
    schedule = location.defs.resolve_schedule_def(f"refresh_{frequency}")
    result = schedule.evaluate_tick(dg.build_schedule_context(instance=instance, scheduled_execution_time=tick))
    for request in result.run_requests or ():  # Dagster must be able to launch each
        location.subset(schedule.job_name, request.asset_selection or ())
    return list(result.run_requests or ()), result.skip_message


def chosen(requests: Sequence[dg.RunRequest]) -> set[str]:
    return {key.path[-1] for request in requests for key in request.asset_selection or ()}


def test_there_is_one_running_schedule_for_each_frequency_in_use(
    endpoint: Callable[..., Endpoint], load_location: Callable[[], CodeLocation]
) -> None:
    for number, frequency in enumerate(["5min", "1hour", "1hour", "30day", "never"]):
        endpoint(f"e{number}", sync_frequency=frequency)

    schedules = load_location().defs.schedules or ()

    assert [schedule.name for schedule in schedules] == ["refresh_5min", "refresh_1hour", "refresh_30day"]
    for schedule in schedules:
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        assert schedule.execution_timezone == "UTC"


def test_every_word_has_a_schedule_that_dagster_loads(
    endpoint: Callable[..., Endpoint], load_location: Callable[[], CodeLocation], instance: dg.DagsterInstance
) -> None:
    for word in PERIODS:
        endpoint(f"e-{word}", sync_frequency=word)
    location = load_location()

    dg.Definitions.validate_loadable(location.defs)

    for word in PERIODS:
        requests, _ = evaluate(location, instance, word)
        assert chosen(requests) == {f"e-{word}"}


def test_what_is_due_is_refreshed(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    instance: dg.DagsterInstance,
    clock: FakeClock,
) -> None:
    endpoint("never-refreshed", sync_frequency="1hour")
    due = endpoint("due", sync_frequency="1hour")
    fresh = endpoint("fresh", sync_frequency="1hour")
    endpoint("other", sync_frequency="24hour")
    refresh(own_catalog, due.version.id, TICK - timedelta(seconds=1))
    refresh(own_catalog, fresh.version.id, TICK + timedelta(seconds=1))

    requests, _ = evaluate(load_location(), instance)

    [request] = requests
    assert set(request.asset_selection or ()) == {key("never-refreshed"), key("due")}
    assert request.tags["endpoints/reason"] == "schedule"
    assert request.tags["endpoints/sync_frequency"] == "1hour"


def test_a_tick_makes_few_runs(
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    instance: dg.DagsterInstance,
    set_setting: SetSetting,
) -> None:
    set_setting("endpoints_per_run", 3)
    for number in range(7):
        endpoint(f"e{number}", sync_frequency="1hour")

    requests, _ = evaluate(load_location(), instance)

    assert sorted(len(request.asset_selection or ()) for request in requests) == [1, 3, 3]
    assert len({request.run_key for request in requests}) == 3


def test_the_same_tick_again_asks_for_the_same_runs_and_the_next_for_others(
    endpoint: Callable[..., Endpoint], load_location: Callable[[], CodeLocation], instance: dg.DagsterInstance
) -> None:
    endpoint("daily", sync_frequency="1hour")
    location = load_location()

    def run_keys(tick: datetime) -> list[str | None]:
        return [request.run_key for request in evaluate(location, instance, tick=tick)[0]]

    assert run_keys(TICK) == run_keys(TICK)
    assert run_keys(TICK) != run_keys(TICK + timedelta(hours=1))


def test_what_a_run_will_refresh_already_is_left_out(
    endpoint: Callable[..., Endpoint], load_location: Callable[[], CodeLocation], instance: dg.DagsterInstance
) -> None:
    busy = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
    ended = ["SUCCESS", "FAILURE", "CANCELED"]
    for name in [*busy, *ended, "idle"]:
        endpoint(name, sync_frequency="1hour")
    location = load_location()
    for name in [*busy, *ended]:
        location.launch(instance, None, [key(name)], dg.DagsterRunStatus[name])

    requests, _ = evaluate(location, instance)

    assert chosen(requests) == {*ended, "idle"}


def test_a_tick_without_work_says_why(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    instance: dg.DagsterInstance,
) -> None:
    daily = endpoint("daily", sync_frequency="1hour")
    location = load_location()
    location.launch(instance, None, [key("daily")])

    assert evaluate(location, instance) == ([], "Each of the 1 endpoints that are due is being refreshed already.")

    refresh(own_catalog, daily.version.id, TICK)

    assert evaluate(location, instance) == ([], "No endpoint is due.")


def test_an_older_version_that_is_still_materialized_is_refreshed_as_well(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    instance: dg.DagsterInstance,
    clock: FakeClock,
) -> None:
    endpoint("daily", sync_frequency="1hour")
    own_catalog.endpoints.update(PROJECT, "daily", EndpointChange(query=checked("SELECT 2 AS n")), clock())

    requests, _ = evaluate(load_location(), instance)

    assert chosen(requests) == {"daily", "v1"}


def test_what_the_definitions_do_not_know_yet_waits(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    instance: dg.DagsterInstance,
    clock: FakeClock,
) -> None:
    """Between a change and the watcher's reload, a tick must neither fail nor hold back what didn't change."""
    endpoint("same", sync_frequency="1hour")
    endpoint("moved", sync_frequency="24hour")
    location = load_location()
    endpoint("new", sync_frequency="1hour")
    own_catalog.endpoints.update(PROJECT, "moved", EndpointChange(sync_frequency="1hour"), clock())

    requests, _ = evaluate(location, instance)

    assert chosen(requests) == {"same"}
    assert chosen(evaluate(load_location(), instance)[0]) == {"same", "moved", "new"}


def test_what_was_switched_off_is_not_refreshed_by_old_definitions(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    instance: dg.DagsterInstance,
    clock: FakeClock,
) -> None:
    endpoint("daily", sync_frequency="1hour")
    location = load_location()
    own_catalog.endpoints.update(PROJECT, "daily", EndpointChange(is_materialized=False), clock())

    assert evaluate(location, instance) == ([], "No endpoint is due.")


def test_a_catalog_that_is_down_makes_the_tick_fail_visibly(
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    instance: dg.DagsterInstance,
    set_setting: SetSetting,
) -> None:
    endpoint("daily", sync_frequency="1hour")
    location = load_location()
    set_setting("catalog_dsn", "postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(ScheduleExecutionError) as raised:
        evaluate(location, instance)

    assert isinstance(raised.value.user_exception, CatalogUnavailable)
