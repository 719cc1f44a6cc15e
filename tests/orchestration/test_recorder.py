"""The sensor that records executions: it loses nothing, and records nothing twice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, StepMaterializationData

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint, Execution, ExecutionKind, LogEntry, LogLevel, Outcome
from endpoints_pipeline.errors import CatalogUnavailable
from endpoints_pipeline.orchestration import naming, recorder
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.metadata import EndpointMetadataSet
from endpoints_pipeline.orchestration.recorder import build_recorder_sensor
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.request import RunRequest
from endpoints_pipeline.settings import load_settings
from tests.catalog.builders import PROJECT
from tests.fixtures.engine import EVENTS
from tests.orchestration.conftest import CodeLocation, record

SQL = "SELECT id, name FROM events"
BROKEN_SQL = "SELECT throwIf(id > 100, 'rows are broken') AS n FROM events"


class Recording:
    """The sensor of definitions built from the catalog of now, ticked as Dagster's daemon does."""

    def __init__(self, catalog: Catalog, instance: dg.DagsterInstance) -> None:
        self.catalog = catalog
        self.cursor: str | None = None
        self.now = datetime.now(UTC)
        self._instance = instance
        self._sensor = build_recorder_sensor(state_file.read_catalog(catalog), load_settings(), clock=lambda: self.now)

    def tick(self) -> str | None:
        result = self._sensor.evaluate_tick(dg.build_sensor_context(instance=self._instance, cursor=self.cursor))
        self.cursor = result.cursor
        return result.skip_message

    def executions(self, endpoint: Endpoint) -> list[Execution]:
        return list(self.catalog.executions.list(endpoint.id, limit=10_000))


@pytest.fixture
def recording(own_catalog: Catalog, brief_instance: dg.DagsterInstance) -> Callable[[], Recording]:
    return lambda: Recording(own_catalog, brief_instance)


class Log:
    """Writes events of ended runs, as Dagster does, without running anything."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def run(self, endpoint: Endpoint, *, ended: str = "RUN_SUCCESS", **metadata: Any) -> str:
        """A run that materialized one endpoint; returns its id."""
        run_id = str(uuid.uuid4())
        self._instance.add_run(dg.DagsterRun(job_name="job", run_id=run_id, status=dg.DagsterRunStatus.STARTED))
        values = EndpointMetadataSet(
            endpoint_id=endpoint.id, version=1, version_id=endpoint.version.id, began_at=time.time() - 1
        )
        materialization = dg.AssetMaterialization("any", metadata={**values, "dagster/row_count": 3, **metadata})
        self._write(run_id, "ASSET_MATERIALIZATION", StepMaterializationData(materialization))
        self._write(run_id, dg.DagsterEventType[ended].value)
        return run_id

    def killed_run(self, endpoint: Endpoint, *, ended: str = "RUN_FAILURE", reason: str = "schedule") -> str:
        """A run that died while it refreshed one endpoint; returns its id."""
        run_id = str(uuid.uuid4())
        self._instance.add_run(
            dg.DagsterRun(
                job_name="job",
                run_id=run_id,
                status=dg.DagsterRunStatus.STARTED,
                tags={naming.TAG_REASON: reason},
            )
        )
        step = naming.step_name(record(name=endpoint.name, version_id=endpoint.version.id))
        self._write(run_id, "STEP_START", step=step)
        self._write(run_id, dg.DagsterEventType[ended].value)
        return run_id

    def _write(self, run_id: str, kind: str, data: Any = None, step: str | None = None) -> None:
        event = DagsterEvent(kind, "job", step_key="step" if data else step, event_specific_data=data)
        self._instance.report_dagster_event(event, run_id)


@pytest.fixture
def log(brief_instance: dg.DagsterInstance) -> Log:
    return Log(brief_instance)


@dg.asset
def fine() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"dagster/row_count": 5, "endpoints/version": "not a number"})


@dg.asset
def failing() -> None:
    raise dg.Failure("not ours", metadata={"endpoints/endpoint_id": 7})


def test_a_refresh_that_succeeded_is_recorded(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    brief_instance: dg.DagsterInstance,
    recording: Callable[[], Recording],
) -> None:
    daily = endpoint("daily", sql=SQL)
    before = datetime.now(UTC)
    result = load_location().materialize(brief_instance, "daily")
    sensor = recording()

    assert sensor.tick() == "Looked at 1 ended runs, with 1 refreshes."

    [execution] = sensor.executions(daily)
    snapshot = app.catalog.endpoints.get(PROJECT, "daily").version.snapshot
    assert snapshot is not None
    assert (execution.kind, execution.outcome, execution.version) == (ExecutionKind.REFRESH, Outcome.SUCCESS, 1)
    assert (execution.rows, execution.bytes, execution.snapshot_id) == (EVENTS, snapshot.bytes, snapshot.id)
    assert execution.dagster_run_id == result.run_id
    assert execution.error is None
    assert before <= execution.started_at == snapshot.data_at
    assert execution.duration_ms is not None
    assert 0 < execution.duration_ms < 60_000
    [last] = app.catalog.executions.last(PROJECT, ["daily"], before - timedelta(days=1))
    assert (last.name, last.started_at, last.kind) == ("daily", execution.started_at, ExecutionKind.REFRESH)


def test_a_refresh_that_failed_is_recorded_with_its_reason(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    brief_instance: dg.DagsterInstance,
    recording: Callable[[], Recording],
) -> None:
    broken = endpoint("broken", sql=BROKEN_SQL)
    before = datetime.now(UTC)
    result = load_location().materialize(brief_instance, "broken")
    sensor = recording()

    sensor.tick()

    [execution] = sensor.executions(broken)
    assert (execution.kind, execution.outcome) == (ExecutionKind.REFRESH, Outcome.ERROR)
    assert "rows are broken" in (execution.error or "")
    assert (execution.rows, execution.snapshot_id) == (None, None)
    assert execution.dagster_run_id == result.run_id
    assert before <= execution.started_at <= datetime.now(UTC)
    [last] = app.catalog.executions.last(PROJECT, ["broken"], before - timedelta(days=1))
    assert last.kind is ExecutionKind.REFRESH


def test_all_that_a_run_did_is_recorded_and_nothing_of_others(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    brief_instance: dg.DagsterInstance,
    recording: Callable[[], Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Successes, failures, a bug, one that gave way, and foreign assets, in one Dagster run."""
    made = {
        name: endpoint(name, sql=BROKEN_SQL if name == "broken" else SQL) for name in ("broken", "bug", "good", "late")
    }
    refresh = app.refresher.refresh

    def with_incidents(self: Any, version_id: str, **more: Any) -> Any:
        if version_id == made["bug"].version.id:
            raise KeyError("a bug of ours")
        if version_id == made["late"].version.id:
            app.catalog.endpoints.delete(PROJECT, "late", datetime.now(UTC))
        return refresh(version_id, **more)

    monkeypatch.setattr("endpoints_pipeline.orchestration.assets._RETRY_DELAY_SECONDS", 0.01)
    location, sensor = load_location(), recording()
    monkeypatch.setattr(type(app.refresher), "refresh", with_incidents)
    location.materialize(brief_instance, more=[fine, failing])

    assert sensor.tick() == "Looked at 1 ended runs, with 3 refreshes."

    found = {name: [one.outcome for one in sensor.executions(made[name])] for name in made}
    assert found == {"broken": [Outcome.ERROR], "bug": [Outcome.ERROR], "good": [Outcome.SUCCESS], "late": []}
    [bug] = sensor.executions(made["bug"])
    assert "a bug of ours" in (bug.error or "")


def test_recording_again_adds_nothing(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    brief_instance: dg.DagsterInstance,
    recording: Callable[[], Recording],
) -> None:
    made = [endpoint("daily", sql=SQL), endpoint("broken", sql=BROKEN_SQL)]
    load_location().materialize(brief_instance)
    sensor = recording()
    sensor.tick()
    before = [sensor.executions(one) for one in made]

    sensor.cursor = ""  # reset in the UI
    assert sensor.tick() == "Looked at 1 ended runs, with 2 refreshes."

    assert [sensor.executions(one) for one in made] == before


def test_runs_and_refreshes_are_told_apart(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    brief_instance: dg.DagsterInstance,
    recording: Callable[[], Recording],
) -> None:
    daily = endpoint("daily", sql=SQL)
    load_location().materialize(brief_instance, "daily")
    app.runner.run(PROJECT, "daily", RunRequest())
    sensor = recording()

    sensor.tick()

    assert [one.kind for one in sensor.executions(daily)] == [ExecutionKind.RUN, ExecutionKind.REFRESH]
    [last] = app.catalog.executions.last(PROJECT, ["daily"], datetime.now(UTC) - timedelta(days=1))
    assert last.kind is ExecutionKind.RUN


def test_a_killed_run_is_recorded_although_another_refresh_began_since(
    own_catalog: Catalog, endpoint: Callable[..., Endpoint], recording: Callable[[], Recording], log: Log
) -> None:
    """The catalog remembers the newest attempt alone, and the sensor may come late."""
    daily = endpoint("daily")
    run_id = log.killed_run(daily)
    own_catalog.refreshes.begin(daily.version.id, reason="test", dagster_run_id="another", now=datetime.now(UTC))
    sensor = recording()

    sensor.tick()

    [execution] = sensor.executions(daily)
    assert (execution.dagster_run_id, execution.outcome) == (run_id, Outcome.ERROR)
    assert execution.error == "The Dagster run ended before the refresh did."
    [attempt] = own_catalog.refreshes.running_of("another")
    assert attempt.version_id == daily.version.id


@pytest.mark.parametrize("ended", ["RUN_SUCCESS", "RUN_FAILURE", "RUN_CANCELED"])
def test_however_a_run_ended_its_snapshots_are_recorded(
    endpoint: Callable[..., Endpoint], recording: Callable[[], Recording], log: Log, ended: str
) -> None:
    daily = endpoint("daily")
    run_id = log.run(daily, ended=ended)
    sensor = recording()

    sensor.tick()

    assert [(one.dagster_run_id, one.outcome) for one in sensor.executions(daily)] == [(run_id, Outcome.SUCCESS)]


def test_a_tick_that_breaks_before_its_write_loses_nothing(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    recording: Callable[[], Recording],
    brief_instance: dg.DagsterInstance,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daily, killed = endpoint("daily"), endpoint("killed")
    run_id = log.run(daily)
    own_catalog.refreshes.begin(killed.version.id, reason="test", dagster_run_id=run_id, now=datetime.now(UTC))
    sensor = recording()

    def fail(*_: object) -> None:
        raise CatalogUnavailable("gone")

    with monkeypatch.context() as broken:
        broken.setattr(type(own_catalog.executions), "record", fail)
        with pytest.raises(CatalogUnavailable):
            sensor.tick()
    assert (sensor.cursor, sensor.executions(daily), sensor.executions(killed)) == (None, [], [])

    sensor.tick()
    assert [one.outcome for one in sensor.executions(daily)] == [Outcome.SUCCESS]
    assert [one.outcome for one in sensor.executions(killed)] == [Outcome.ERROR]


def test_a_tick_that_breaks_after_its_write_records_nothing_twice(
    endpoint: Callable[..., Endpoint], recording: Callable[[], Recording], log: Log
) -> None:
    daily = endpoint("daily")
    sensor = recording()
    for _ in range(3):
        log.run(daily)
        sensor.tick()
        sensor.cursor = None  # what the daemon stored before it died

    assert len(sensor.executions(daily)) == 3


def test_more_runs_than_a_tick_reads_are_recorded_by_the_next(
    endpoint: Callable[..., Endpoint],
    recording: Callable[[], Recording],
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "_RUNS_PER_TICK", 10)
    daily = endpoint("daily")
    run_ids = {log.run(daily, ended=ended) for ended in ["RUN_SUCCESS"] * 23 + ["RUN_FAILURE"] * 5}
    sensor = recording()

    seen = []
    for _ in range(3):
        sensor.tick()
        seen.append(len(sensor.executions(daily)))

    assert seen == [15, 25, 28]
    assert {one.dagster_run_id for one in sensor.executions(daily)} == run_ids

    late = log.run(daily)
    sensor.tick()
    assert {one.dagster_run_id for one in sensor.executions(daily)} == {*run_ids, late}


def test_more_events_than_a_page_are_read_to_the_end(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    brief_instance: dg.DagsterInstance,
    recording: Callable[[], Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "_EVENTS_PER_PAGE", 2)
    made = [endpoint(f"e{number}", sql=SQL) for number in range(4)]
    load_location().materialize(brief_instance)
    sensor = recording()

    sensor.tick()

    assert [len(sensor.executions(one)) for one in made] == [1, 1, 1, 1]


def test_nothing_new_is_nothing_to_do(
    endpoint: Callable[..., Endpoint], recording: Callable[[], Recording], log: Log
) -> None:
    sensor = recording()
    assert sensor.tick() == "No run ended since."
    log.run(endpoint("daily"))
    sensor.tick()
    sensor.tick()  # reads the log's end once more

    assert sensor.tick() == "No run ended since."
    assert sensor.tick() == "No run ended since."


def test_an_event_that_became_visible_late_is_recorded(
    endpoint: Callable[..., Endpoint],
    recording: Callable[[], Recording],
    brief_instance: dg.DagsterInstance,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL numbers events when they are written and shows them when they are committed."""
    daily = endpoint("daily")
    sensor = recording()
    log.run(daily)
    sensor.tick()
    late, early = log.run(daily), log.run(daily)
    fetch = dg.DagsterInstance.fetch_run_status_changes

    def fetch_without_late(self: dg.DagsterInstance, *args: Any, **more: Any) -> Any:
        page = fetch(self, *args, **more)
        return replace_records(page, [record for record in page.records if record.run_id != late])

    with monkeypatch.context() as hidden:
        hidden.setattr(dg.DagsterInstance, "fetch_run_status_changes", fetch_without_late)
        sensor.tick()
        assert {one.dagster_run_id for one in sensor.executions(daily)} >= {early}

    sensor.tick()

    assert {one.dagster_run_id for one in sensor.executions(daily)} >= {early, late}


def replace_records(page: Any, records: list[dg.EventLogRecord]) -> Any:
    return type(page)(records=records, cursor=page.cursor, has_more=page.has_more)


def test_refreshes_of_endpoints_that_the_catalog_lost_are_left_out(
    endpoint: Callable[..., Endpoint], recording: Callable[[], Recording], log: Log
) -> None:
    daily = endpoint("daily")
    log.run(replace(daily, id=str(uuid.uuid4())))
    log.run(daily)
    sensor = recording()

    sensor.tick()

    assert len(sensor.executions(daily)) == 1


def test_old_executions_are_dropped_once_an_hour(
    recording: Callable[[], Recording], endpoint: Callable[..., Endpoint]
) -> None:
    kept = endpoint("kept")
    sensor = recording()
    retention = timedelta(days=load_settings().execution_retention_days)

    def execution(id_: str, age: timedelta) -> Execution:
        return Execution(
            id=id_,
            endpoint_id=kept.id,
            version=1,
            kind=ExecutionKind.RUN,
            outcome=Outcome.SUCCESS,
            started_at=sensor.now - age,
        )

    def logged() -> list[str]:
        return [entry.instance_id for entry in sensor.catalog.logs.list(kept.id, limit=9, offset=0)[0]]

    for id_, age in {"old": retention + timedelta(minutes=1), "younger": retention - timedelta(minutes=30)}.items():
        entry = LogEntry(kept.id, id_, sensor.now - age, LogLevel.INFO, "")
        sensor.catalog.executions.record([execution(id_, age)], [entry])
    sensor.tick()
    assert [one.id for one in sensor.executions(kept)] == logged() == ["younger"]
    sensor.now += timedelta(minutes=59)
    sensor.tick()
    assert [one.id for one in sensor.executions(kept)] == ["younger"]
    sensor.now += timedelta(minutes=1)
    sensor.tick()
    assert sensor.executions(kept) == logged() == []


@pytest.mark.parametrize(
    ("ended", "reason", "asked"),
    [
        ("RUN_FAILURE", "schedule", [recorder.REASON_KILLED]),
        ("RUN_FAILURE", recorder.REASON_KILLED, []),  # its second try: a third would be one of many
        ("RUN_CANCELED", "schedule", []),
    ],
)
def test_a_killed_refresh_is_asked_for_once_more(
    own_catalog: Catalog,
    endpoint: Callable[..., Endpoint],
    recording: Callable[[], Recording],
    log: Log,
    ended: str,
    reason: str,
    asked: list[str],
) -> None:
    daily = endpoint("daily")
    run_id = log.killed_run(daily, ended=ended, reason=reason)
    own_catalog.refreshes.begin(daily.version.id, reason=reason, dagster_run_id=run_id, now=datetime.now(UTC))
    sensor = recording()

    sensor.tick()
    sensor.tick()

    assert [request.reason for request in own_catalog.refreshes.waiting_requests()] == asked
