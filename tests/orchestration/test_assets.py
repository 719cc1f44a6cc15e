"""The asset of an endpoint, run by Dagster with the real engine and S3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.records import Endpoint, RefreshStatus
from endpoints_pipeline.errors import EngineUnavailable
from endpoints_pipeline.orchestration import assets
from endpoints_pipeline.orchestration.metadata import EndpointMetadataSet
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.decision import Path
from endpoints_pipeline.serving.request import RunRequest
from tests.catalog.builders import PROJECT, checked
from tests.fixtures.catalog import FakeClock
from tests.fixtures.engine import EVENTS
from tests.orchestration.conftest import CodeLocation, SetSetting

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3Server

SQL = "SELECT id, name, score, tags, amount FROM events ORDER BY id DESC"
#: Accepted when it is published, and a failure of its own when it runs.
BROKEN_SQL = "SELECT throwIf(id > 100, 'rows are broken') AS n FROM events"

LoadLocation = Callable[[], CodeLocation]


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "_RETRY_DELAY_SECONDS", 0.05)


def events(result: dg.ExecuteInProcessResult, kind: dg.DagsterEventType, name: str) -> list[dg.DagsterEvent]:
    return [
        event
        for event in result.all_events
        if event.event_type is kind and (event.step_key or "").startswith(f"refresh_{name}_")
    ]


def materializations(result: dg.ExecuteInProcessResult, name: str) -> list[Mapping[str, Any]]:
    found = events(result, dg.DagsterEventType.ASSET_MATERIALIZATION, name)
    return [event.materialization.metadata for event in found]


def status(app: Application, name: str) -> RefreshStatus:
    materialization = app.catalog.endpoints.get(PROJECT, name).version.materialization
    assert materialization is not None
    return materialization.status


def test_the_materialization_tells_everything_about_the_snapshot(
    app: Application, endpoint: Callable[..., Endpoint], load_location: LoadLocation, brief_instance: dg.DagsterInstance
) -> None:
    made = endpoint("daily", sql=SQL)

    result = load_location().materialize(brief_instance, "daily", **{"endpoints/reason": "schedule"})

    assert result.success
    [metadata] = materializations(result, "daily")
    values = {key: value.value for key, value in metadata.items()}
    ours = EndpointMetadataSet.extract(metadata)
    snapshot = app.catalog.endpoints.get(PROJECT, "daily").version.snapshot
    assert snapshot is not None
    assert values["dagster/row_count"] == EVENTS == snapshot.rows
    assert (ours.endpoint_id, ours.version, ours.version_id) == (made.id, 1, made.version.id)
    assert (ours.snapshot_id, ours.snapshot_sequence, ours.bytes) == (snapshot.id, 1, snapshot.bytes)
    assert (ours.parts, ours.row_groups, ours.reason) == (1, 1, "schedule")
    assert ours.engine_read_rows == EVENTS
    assert ours.began_at == snapshot.data_at.timestamp()
    assert ours.total_seconds is not None
    assert ours.export_seconds is not None
    assert ours.total_seconds >= ours.export_seconds > 0
    assert values["endpoints/sql"].startswith("```sql\nSELECT id, name")
    assert {key for key in EndpointMetadataSet.model_fields if f"endpoints/{key}" not in metadata} == {
        "project",
        "sync_frequency",
        "freshness_seconds",
    }
    [event] = events(result, dg.DagsterEventType.ASSET_MATERIALIZATION, "daily")
    assert event.materialization.tags is not None
    assert event.materialization.tags["dagster/data_version"] == snapshot.id


def test_the_uri_is_parquet_that_others_can_read(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: LoadLocation,
    brief_instance: dg.DagsterInstance,
    s3_server: S3Server,
) -> None:
    endpoint("daily", sql=SQL)

    [metadata] = materializations(load_location().materialize(brief_instance, "daily"), "daily")

    scheme, _, bucket, key = metadata["dagster/uri"].value.split("/", 3)
    assert (scheme, bucket) == ("s3:", s3_server.bucket)
    body = s3_server.client().get_object(Bucket=bucket, Key=key)["Body"].read()
    table = pq.read_table(pa.BufferReader(body))
    schema = [(column.name, column.type) for column in metadata["dagster/column_schema"].value.columns]
    assert table.column_names == ["id", "name", "score", "tags", "amount"] == [name for name, _ in schema]
    assert table.num_rows == EVENTS
    assert table["id"].to_pylist() == list(reversed(range(EVENTS)))
    assert len(body) == metadata["endpoints/bytes"].value
    assert schema[0] == ("id", "Nullable(UInt64)")
    manifest = metadata["endpoints/manifest"].value.removeprefix(f"s3://{bucket}/")
    assert s3_server.client().head_object(Bucket=bucket, Key=manifest)["ContentLength"] > 0


def test_the_preview_shows_the_first_rows(
    app: Application, endpoint: Callable[..., Endpoint], load_location: LoadLocation, brief_instance: dg.DagsterInstance
) -> None:
    endpoint("daily", sql=SQL)

    [metadata] = materializations(load_location().materialize(brief_instance, "daily"), "daily")

    rows = [row.data for row in metadata["endpoints/preview"].value.records]
    assert len(rows) == 10
    assert rows[0] == {
        "id": 299,
        "name": "click",
        "score": pytest.approx(299 / 7),
        "tags": '["t4", "all"]',
        "amount": "2.99",
    }
    assert rows[5]["score"] is None


def test_an_empty_result_is_a_snapshot_like_any_other(
    app: Application, endpoint: Callable[..., Endpoint], load_location: LoadLocation, brief_instance: dg.DagsterInstance
) -> None:
    endpoint("empty", sql="SELECT id FROM events WHERE id > 1000000")

    [metadata] = materializations(load_location().materialize(brief_instance, "empty"), "empty")

    assert metadata["dagster/row_count"].value == 0
    assert metadata["endpoints/preview"].value.records == []
    assert app.runner.run(PROJECT, "empty", RunRequest()).rows.count == 0


def test_a_preview_that_can_not_be_read_does_not_undo_the_refresh(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: LoadLocation,
    brief_instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint("daily", sql=SQL)

    def fail(*_: object, **__: object) -> None:
        raise EngineUnavailable("S3 went away")

    monkeypatch.setattr(type(app.reader), "json_rows", fail)

    result = load_location().materialize(brief_instance, "daily")

    assert result.success
    [metadata] = materializations(result, "daily")
    assert "endpoints/preview" not in metadata
    assert metadata["dagster/row_count"].value == EVENTS


def test_a_failure_that_needs_a_person_is_not_retried(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: LoadLocation,
    brief_instance: dg.DagsterInstance,
    set_setting: SetSetting,
) -> None:
    made = endpoint("broken", sql=BROKEN_SQL)

    result = load_location().materialize(brief_instance, "broken")

    assert not result.success
    assert events(result, dg.DagsterEventType.STEP_UP_FOR_RETRY, "broken") == []
    [failed] = events(result, dg.DagsterEventType.STEP_FAILURE, "broken")
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    assert "rows are broken" in (failure.description or "")
    told = EndpointMetadataSet.extract(failure.metadata)
    assert (told.endpoint_id, told.version, told.version_id) == (made.id, 1, made.version.id)
    assert told.began_at is not None
    assert status(app, "broken") is RefreshStatus.FAILED


def test_other_endpoints_of_the_run_go_on_when_one_fails(
    app: Application, endpoint: Callable[..., Endpoint], load_location: LoadLocation, brief_instance: dg.DagsterInstance
) -> None:
    for name in ("a", "b", "c"):
        endpoint(name, sql=BROKEN_SQL if name == "b" else SQL)

    result = load_location().materialize(brief_instance)

    assert not result.success
    assert {name: len(materializations(result, name)) for name in ("a", "b", "c")} == {"a": 1, "b": 0, "c": 1}
    assert app.runner.run(PROJECT, "a", RunRequest()).served.path is Path.MATERIALIZED
    assert app.runner.run(PROJECT, "c", RunRequest()).served.path is Path.MATERIALIZED


def test_a_failure_that_may_pass_is_retried(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: LoadLocation,
    brief_instance: dg.DagsterInstance,
    s3_server: S3Server,
    set_setting: SetSetting,
) -> None:
    set_setting("refresh_retries", 1)
    set_setting("s3_timeout", 1)
    endpoint("daily", sql=SQL)

    with s3_server.stopped():
        result = load_location().materialize(brief_instance, "daily")

    assert not result.success
    assert len(events(result, dg.DagsterEventType.STEP_UP_FOR_RETRY, "daily")) == 1
    assert len(events(result, dg.DagsterEventType.STEP_RESTARTED, "daily")) == 1
    [failed] = events(result, dg.DagsterEventType.STEP_FAILURE, "daily")
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None, "the recorder needs the metadata of the last failure"
    assert EndpointMetadataSet.extract(failure.metadata).endpoint_id is not None
    assert status(app, "daily") is RefreshStatus.FAILED

    assert load_location().materialize(brief_instance, "daily").success


def test_a_retry_that_succeeds_is_a_success(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: LoadLocation,
    brief_instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint("daily", sql=SQL)
    refresh, calls = type(app.refresher).refresh, []

    def refresh_at_second_try(*args: Any, **more: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise EngineUnavailable("not yet")
        return refresh(*args, **more)

    monkeypatch.setattr(type(app.refresher), "refresh", refresh_at_second_try)

    result = load_location().materialize(brief_instance, "daily")

    assert result.success
    assert len(materializations(result, "daily")) == 1


def test_each_retry_waits_longer_and_their_number_is_a_setting(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: LoadLocation,
    brief_instance: dg.DagsterInstance,
    set_setting: SetSetting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise EngineUnavailable("away")

    set_setting("refresh_retries", 3)
    endpoint("daily", sql=SQL)
    monkeypatch.setattr(type(app.refresher), "refresh", fail)

    result = load_location().materialize(brief_instance, "daily")

    retries = events(result, dg.DagsterEventType.STEP_UP_FOR_RETRY, "daily")
    assert [retry.step_retry_data.seconds_to_wait for retry in retries] == [0.05, 0.1, 0.2]


def test_a_refresh_that_another_overtook_ends_without_failure(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: LoadLocation,
    brief_instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = endpoint("daily", sql=SQL)
    describe, busy = type(app.engine).describe, []

    def describe_and_be_overtaken(*args: Any, **more: Any) -> tuple[Column, ...]:
        if not busy:
            busy.append(True)
            app.refresher.refresh(made.version.id, reason="faster", dagster_run_id="another")
        return describe(*args, **more)

    monkeypatch.setattr(type(app.engine), "describe", describe_and_be_overtaken)

    result = load_location().materialize(brief_instance, "daily")

    assert result.success
    assert materializations(result, "daily") == []
    assert events(result, dg.DagsterEventType.STEP_FAILURE, "daily") == []
    snapshot = app.catalog.endpoints.get(PROJECT, "daily").version.snapshot
    assert snapshot is not None
    assert snapshot.dagster_run_id == "another"


def test_an_endpoint_that_was_switched_off_meanwhile_ends_without_failure(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: LoadLocation,
    brief_instance: dg.DagsterInstance,
    clock: FakeClock,
) -> None:
    endpoint("daily", sql=SQL)
    location = load_location()
    app.catalog.endpoints.update(PROJECT, "daily", EndpointChange(is_materialized=False), clock())

    result = location.materialize(brief_instance, "daily")

    assert result.success
    assert materializations(result, "daily") == []


def test_an_asset_refreshes_the_version_it_was_built_for(
    app: Application,
    endpoint: Callable[..., Endpoint],
    load_location: LoadLocation,
    brief_instance: dg.DagsterInstance,
    clock: FakeClock,
) -> None:
    endpoint("daily", sql="SELECT id FROM events")
    location = load_location()
    app.catalog.endpoints.update(
        PROJECT,
        "daily",
        EndpointChange(query=checked("SELECT name FROM events", columns=(Column("name", "String"),))),
        clock(),
    )

    assert location.materialize(brief_instance, "daily").success

    first, second = (app.catalog.endpoints.get(PROJECT, "daily", version).version for version in (1, 2))
    assert first.snapshot is not None
    assert [column.name for column in first.snapshot.columns] == ["id"]
    assert second.snapshot is None
