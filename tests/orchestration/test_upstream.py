"""Endpoints that read other endpoints are refreshed after them: by Dagster's own evaluation, over real snapshots."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

from endpoints_pipeline.catalog.records import Endpoint, RefreshStatus
from endpoints_pipeline.orchestration import assets, naming
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.recorder import build_recorder_sensor
from endpoints_pipeline.orchestration.requests_sensor import build_requests_sensor
from endpoints_pipeline.orchestration.schedules import build_schedules
from endpoints_pipeline.orchestration.translator import EndpointsTranslator, upstream_refreshed
from endpoints_pipeline.orchestration.upstream import build_upstream_sensor
from endpoints_pipeline.query.lineage import Reads
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.settings import Settings, load_settings
from tests.fixtures.engine import EVENTS
from tests.orchestration.conftest import CodeLocation, SetSetting, record
from tests.snapshots.builders import create, served, status

LoadLocation = Callable[[], CodeLocation]

DAILY = "SELECT toDate(at) AS day, count() AS events FROM events GROUP BY day"
WEEKLY = "SELECT toStartOfWeek(day) AS week, sum(events) AS events FROM daily GROUP BY week"
BEST = "SELECT max(events) AS events FROM weekly"
#: Accepted when it is saved, and a failure when it runs.
BROKEN = "SELECT throwIf(id > 100, 'rows are broken') AS n FROM events"


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "_RETRY_DELAY_SECONDS", 0.05)


@pytest.fixture
def chain(app: Application) -> list[Endpoint]:
    """``best`` reads ``weekly``, which reads ``daily``, which reads a table."""
    return [create(app, sql, name) for name, sql in [("daily", DAILY), ("weekly", WEEKLY), ("best", BEST)]]


class Automation:
    """Ticks of Dagster's automation over a code location."""

    def __init__(self, location: CodeLocation, instance: dg.DagsterInstance) -> None:
        self._location = location
        self._instance = instance
        self._cursor: Any = None

    def tick(self) -> list[str]:
        """The names of the endpoints that it asks for."""
        result = dg.evaluate_automation_conditions(self._location.defs, self._instance, cursor=self._cursor)
        self._cursor = result.cursor
        requested = [one.key for one in result.results if one.true_subset.size]
        return sorted(key.path[-1] for key in requested if isinstance(key, dg.AssetKey))


def key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["endpoints", "1", name])


def run_of(
    location: CodeLocation, instance: dg.DagsterInstance, *names: str, reason: str | None = "schedule"
) -> dg.ExecuteInProcessResult:
    """A run of these endpoints as Dagster's daemon would launch it."""
    return location.defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[key(name) for name in names],
        raise_on_error=False,
        tags={naming.TAG_REASON: reason} if reason else {},
    )


def reported(instance: dg.DagsterInstance, asset_key: dg.AssetKey) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(asset_key))


class TestLooks:
    @pytest.fixture
    def translator(self) -> EndpointsTranslator:
        return EndpointsTranslator(Settings(_env_file=None))

    def test_an_asset_depends_on_what_its_query_reads(self, translator: EndpointsTranslator) -> None:
        spec = translator.get_asset_spec(record(reads=Reads(("flights", "other.planes"), ("daily", "a-b"))))

        assert {dep.asset_key for dep in spec.deps} == {
            dg.AssetKey(["tables", "flights"]),
            dg.AssetKey(["tables", "other", "planes"]),
            key("daily"),
            key("a-b"),
        }

    def test_only_what_reads_endpoints_is_looked_at_by_the_automation(self, translator: EndpointsTranslator) -> None:
        assert translator.get_asset_spec(record(reads=Reads(("flights",)))).automation_condition is None
        assert translator.get_asset_spec(record(reads=Reads((), ("daily",)))).automation_condition is not None

    @pytest.mark.parametrize(("dsn", "kind"), [("chdb://memory", "parquet"), ("clickhouse://u:p@h/d", "clickhouse")])
    def test_a_table_is_an_external_asset(self, dsn: str, kind: str) -> None:
        spec = EndpointsTranslator(Settings(_env_file=None, engine_dsn=dsn)).get_table_spec("flights")

        assert spec is not None
        assert (spec.key, spec.group_name, spec.kinds) == (dg.AssetKey(["tables", "flights"]), "tables", {kind})

    def test_the_definitions_hold_each_table_once(
        self, chain: Sequence[Endpoint], app: Application, load_location: LoadLocation
    ) -> None:
        create(app, "SELECT name FROM events JOIN users USING user_id", "names")

        defs = load_location().defs

        specs = [asset for asset in defs.assets or () if isinstance(asset, dg.AssetSpec)]
        assert [spec.key.path for spec in specs] == [["tables", "events"], ["tables", "users"]]
        dg.Definitions.validate_loadable(defs)
        graph = defs.resolve_asset_graph()
        assert graph.get(key("best")).parent_keys == {key("weekly")}
        assert graph.get(key("names")).parent_keys == {spec.key for spec in specs}
        assert graph.get(dg.AssetKey(["tables", "events"])).is_external

    def test_the_sensor_is_there_for_readers_only(
        self, app: Application, load_location: LoadLocation, set_setting: SetSetting
    ) -> None:
        create(app, DAILY, "daily")
        assert "upstream_refreshed" not in {sensor.name for sensor in load_location().defs.sensors or ()}
        create(app, WEEKLY, "weekly")

        location = load_location()

        [sensor] = [
            one for one in location.defs.sensors or () if isinstance(one, dg.AutomationConditionSensorDefinition)
        ]
        assert sensor.name == "upstream_refreshed"
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        assert sensor.run_tags == {"endpoints/reason": "upstream refreshed"}
        assert sensor.asset_selection.resolve(location.defs.resolve_asset_graph()) == {key("weekly")}
        repository = location.defs.get_repository_def()
        assert not repository.has_sensor_def("default_automation_condition_sensor")


def test_many_readers_are_looked_at_less_often() -> None:
    settings = Settings(_env_file=None, sensor_interval=5)
    intervals = [
        build_upstream_sensor([key(f"e{number}") for number in range(count)], settings).minimum_interval_seconds
        for count in (1, 250, 1000)
    ]
    assert intervals == [5, 5, 20]


class TestAutomation:
    def test_a_refresh_makes_those_that_read_it_due(
        self,
        chain: Sequence[Endpoint],
        app: Application,
        load_location: LoadLocation,
        brief_instance: dg.DagsterInstance,
    ) -> None:
        location = load_location()
        automation = Automation(location, brief_instance)
        assert automation.tick() == []
        assert location.materialize(brief_instance, "daily").success

        assert automation.tick() == ["best", "weekly"]

        result = run_of(location, brief_instance, "weekly", "best", reason="upstream refreshed")
        assert result.success
        order = [event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key]
        assert order == ["weekly", "best"]
        best = served(app, "best")
        assert best is not None
        assert json.loads(app.reader.json_rows(best).data) == [168]
        assert best.reason == "upstream refreshed"
        assert automation.tick() == []
        assert automation.tick() == []

    def test_each_refresh_upstream_counts_once(
        self, chain: Sequence[Endpoint], load_location: LoadLocation, brief_instance: dg.DagsterInstance
    ) -> None:
        automation = Automation(load_location(), brief_instance)
        automation.tick()
        for _ in range(3):
            reported(brief_instance, key("daily"))
            assert automation.tick() == ["best", "weekly"]
            assert automation.tick() == []

    def test_one_in_the_middle_makes_only_those_behind_it_due(
        self, chain: Sequence[Endpoint], load_location: LoadLocation, brief_instance: dg.DagsterInstance
    ) -> None:
        automation = Automation(load_location(), brief_instance)
        automation.tick()
        reported(brief_instance, key("weekly"))
        assert automation.tick() == ["best"]

    def test_a_run_that_refreshes_both_is_not_followed_by_another(
        self, chain: Sequence[Endpoint], load_location: LoadLocation, brief_instance: dg.DagsterInstance
    ) -> None:
        location = load_location()
        automation = Automation(location, brief_instance)
        automation.tick()
        assert run_of(location, brief_instance, "daily", "weekly", "best").success
        assert automation.tick() == []

    @pytest.mark.parametrize("busy", ["weekly", "daily"])
    def test_it_waits_for_a_refresh_under_way(
        self, chain: Sequence[Endpoint], load_location: LoadLocation, instance: dg.DagsterInstance, busy: str
    ) -> None:
        location = load_location()
        automation = Automation(location, instance)
        automation.tick()
        running = location.launch(instance, None, [key(busy)])
        # what Dagster writes when it launches a run
        planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        data = AssetMaterializationPlannedData(key(busy))
        instance.report_dagster_event(
            DagsterEvent(planned.value, running.job_name, event_specific_data=data), running.run_id
        )
        reported(instance, key("daily"))
        assert "weekly" not in automation.tick()
        instance.report_run_failed(running)
        assert "weekly" in automation.tick()

    def test_a_tables_update_makes_readers_of_endpoints_due_and_others_not(
        self, app: Application, load_location: LoadLocation, brief_instance: dg.DagsterInstance
    ) -> None:
        create(app, DAILY, "daily")
        create(app, "SELECT count() AS n FROM events, daily", "both")
        automation = Automation(load_location(), brief_instance)
        automation.tick()
        reported(brief_instance, dg.AssetKey(["tables", "events"]))
        assert automation.tick() == ["both"]

    def test_an_own_refresh_meanwhile_hides_no_update(
        self, chain: Sequence[Endpoint], load_location: LoadLocation, brief_instance: dg.DagsterInstance
    ) -> None:
        """It may have begun before the update, on an older snapshot."""
        automation = Automation(load_location(), brief_instance)
        automation.tick()
        reported(brief_instance, key("daily"))
        reported(brief_instance, key("weekly"))
        assert automation.tick() == ["best", "weekly"]

    def test_a_condition_of_ones_own(
        self, app: Application, load_location: LoadLocation, brief_instance: dg.DagsterInstance,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        class Eager(EndpointsTranslator):
            def get_automation_condition(self, record: object) -> Any:
                return upstream_refreshed()

        monkeypatch.setattr(
            "endpoints_pipeline.orchestration.component.EndpointsComponent.get_translator",
            lambda _self, settings: Eager(settings),
        )
        create(app, DAILY, "daily")
        automation = Automation(load_location(), brief_instance)
        automation.tick()
        reported(brief_instance, dg.AssetKey(["tables", "events"]))
        assert automation.tick() == ["daily"]


class TestOneRun:
    """A tick's run holds what reads each other, and a failure in it holds nobody up for long."""

    @pytest.fixture
    def location(self, chain: Sequence[Endpoint], load_location: LoadLocation) -> CodeLocation:
        return load_location()

    def requests(self, app: Application, instance: dg.DagsterInstance) -> list[tuple[str | None, list[str]]]:
        sensor = build_requests_sensor(state_file.read_catalog(app.catalog), load_settings())
        made = sensor.evaluate_tick(dg.build_sensor_context(instance=instance)).run_requests or ()
        return [(one.tags[naming.TAG_REASON], sorted(k.path[-1] for k in one.asset_selection or ())) for one in made]

    def record(self, app: Application, instance: dg.DagsterInstance, cursor: str | None = None) -> str | None:
        sensor = build_recorder_sensor(state_file.read_catalog(app.catalog), load_settings())
        return sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor)).cursor

    def break_daily(self, app: Application) -> None:
        with app.catalog.database.write() as session:
            session.connection().exec_driver_sql(
                f"UPDATE versions SET sql = '{BROKEN.replace(chr(39), chr(39) * 2)}' WHERE sql LIKE '%toDate(at)%'"
            )

    def test_first_materializations_come_in_their_order(
        self, app: Application, location: CodeLocation, brief_instance: dg.DagsterInstance, set_setting: SetSetting
    ) -> None:
        set_setting("endpoints_per_run", 1)
        assert self.requests(app, brief_instance) == [("first materialization", ["best", "daily", "weekly"])]

        assert run_of(location, brief_instance, "best", "daily", "weekly").success

        assert [status(app, name)[0] for name in ("daily", "weekly", "best")] == [RefreshStatus.COMPLETED] * 3

    def test_a_tick_keeps_them_together(
        self, app: Application, location: CodeLocation, instance: dg.DagsterInstance, set_setting: SetSetting
    ) -> None:
        set_setting("endpoints_per_run", 1)
        create(app, "SELECT 1 AS n", "alone")
        [schedule] = build_schedules(state_file.read_catalog(app.catalog), load_settings())
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=app.clock().replace(minute=0, second=0, microsecond=0)
        )
        made = schedule.evaluate_tick(context).run_requests or ()
        chosen = sorted(sorted(k.path[-1] for k in request.asset_selection or ()) for request in made)
        assert chosen == [["alone"], ["best", "daily", "weekly"]]

    def test_a_failure_upstream_leaves_the_others_to_a_run_of_their_own(
        self, app: Application, location: CodeLocation, brief_instance: dg.DagsterInstance
    ) -> None:
        assert run_of(location, brief_instance, "daily", "weekly", "best").success
        self.record(app, brief_instance)
        before = served(app, "best")
        self.break_daily(app)

        result = run_of(location, brief_instance, "daily", "weekly", "best")

        assert not result.success
        assert status(app, "daily")[0] is RefreshStatus.FAILED
        assert (status(app, "best")[0], served(app, "best")) == (RefreshStatus.COMPLETED, before)
        cursor = self.record(app, brief_instance)
        assert self.requests(app, brief_instance) == [("alone after a failure upstream", ["best", "weekly"])]
        again = run_of(location, brief_instance, "weekly", "best", reason="alone after a failure upstream")
        assert again.success
        assert served(app, "best") != before
        self.record(app, brief_instance, cursor)
        self.record(app, brief_instance)  # its cursor was reset: it reads everything again
        assert self.requests(app, brief_instance) == []

    def test_a_refresh_upstream_that_gave_way_holds_up_nobody_either(
        self, app: Application, location: CodeLocation, brief_instance: dg.DagsterInstance
    ) -> None:
        assert run_of(location, brief_instance, "daily", "weekly", "best").success
        app.catalog.endpoints.delete(1, "daily", app.clock())  # ends its step without a materialization
        result = run_of(location, brief_instance, "daily", "weekly")
        assert result.success
        self.record(app, brief_instance)
        assert self.requests(app, brief_instance) == [("alone after a failure upstream", ["weekly"])]

    @pytest.mark.parametrize("reason", [None, "upstream refreshed"])
    def test_what_nobody_scheduled_is_not_asked_for_again(
        self, app: Application, location: CodeLocation, brief_instance: dg.DagsterInstance, reason: str | None
    ) -> None:
        assert run_of(location, brief_instance, "daily", "weekly", "best").success
        self.break_daily(app)
        run_of(location, brief_instance, "daily", "weekly", reason=reason)
        self.record(app, brief_instance)
        assert self.requests(app, brief_instance) == []

    def test_an_endpoint_whose_upstream_has_no_snapshot_is_tried_again(
        self, app: Application, location: CodeLocation, brief_instance: dg.DagsterInstance
    ) -> None:
        result = run_of(location, brief_instance, "weekly")
        assert not result.success
        retries = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_RESTARTED]
        assert len(retries) == load_settings().refresh_retries
        assert "'daily', which has no snapshot yet" in status(app, "weekly")[1]


def test_the_rows_of_a_chain_are_exact(
    chain: Sequence[Endpoint], app: Application, load_location: LoadLocation, brief_instance: dg.DagsterInstance
) -> None:
    assert load_location().materialize(brief_instance).success
    weekly = served(app, "weekly")
    assert weekly is not None
    rows: Iterator[Any] = iter(json.loads(b"[" + app.reader.json_rows(weekly).data + b"]"))
    assert sum(events for _, events in rows) == EVENTS
