"""Runs that die or are cancelled in the middle of an export: nothing of them is seen, and they are recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.catalog.records import Endpoint, ExecutionKind, Outcome, RefreshStatus, Snapshot
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.recorder import build_recorder_sensor
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.decision import Path as ServedPath
from endpoints_pipeline.serving.run import RunRequest
from endpoints_pipeline.settings import load_settings
from tests.catalog.builders import PROJECT
from tests.orchestration.conftest import DAGSTER_HOME, ROOT, CodeLocation, SetSetting

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3Server

SQL = "SELECT n, number, hex(MD5(toString(n * 100 + number))) AS digest FROM kill_size, numbers(100) AS hundred"
SMALL, LARGE = 1, 1_000_000
PATIENCE = 60.0


@dataclass
class Scene:
    """An endpoint with a snapshot of 100 rows, and a run that is exporting 100 million."""

    app: Application
    endpoint: Endpoint
    served: Snapshot
    instance: dg.DagsterInstance
    tag: str
    worker: subprocess.Popen[bytes]
    s3: S3Server

    def objects(self) -> set[str]:
        prefix = f"{self.app.settings.s3_prefix}/"
        found = self.s3.client().list_objects_v2(Bucket=self.s3.bucket, Prefix=prefix)
        return {item["Key"] for item in found.get("Contents", [])}

    def uploads(self) -> list[str]:
        found = self.s3.client().list_multipart_uploads(Bucket=self.s3.bucket, Prefix=f"{self.app.settings.s3_prefix}/")
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def dagster_run(self) -> dg.DagsterRun:
        [run] = self.instance.get_runs(dg.RunsFilter(tags={"test": self.tag}))
        return run

    def record(self) -> None:
        sensor = build_recorder_sensor(state_file.read_catalog(self.app.catalog), load_settings())
        sensor.evaluate_tick(dg.build_sensor_context(instance=self.instance))

    def failures(self) -> list[str | None]:
        executions = self.app.catalog.executions.list(self.endpoint.id)
        assert all(one.kind is ExecutionKind.REFRESH for one in executions if one.outcome is Outcome.ERROR)
        run_id = self.dagster_run().run_id
        return [one.error for one in executions if one.outcome is Outcome.ERROR and one.dagster_run_id == run_id]

    def status(self) -> RefreshStatus:
        materialization = self.app.catalog.endpoints.get(PROJECT, "daily").version.materialization
        assert materialization is not None
        return materialization.status


def set_size(warehouse: Path, rows: int) -> None:
    pq.write_table(pa.table({"n": range(rows)}), warehouse / "kill_size.parquet")


@pytest.fixture
def large_warehouse(tmp_path: Path, app: Application, set_setting: SetSetting) -> Path:
    folder = tmp_path / "warehouse"
    folder.mkdir()
    set_size(folder, SMALL)
    set_setting("warehouse", folder)
    return folder


@pytest.fixture
def exporting(
    app: Application,
    large_warehouse: Path,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    instance: dg.DagsterInstance,
    s3_server: S3Server,
    tmp_path: Path,
) -> Iterator[Scene]:
    made = endpoint("daily", sql=SQL)
    location = load_location()
    assert location.materialize(instance, "daily").success
    snapshot = app.catalog.endpoints.get(PROJECT, "daily").version.snapshot
    assert snapshot is not None
    set_size(large_warehouse, LARGE)
    tag = str(uuid.uuid4())
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.orchestration.run_worker", str(tmp_path / "state.json"), tag],
            env={**os.environ, "DAGSTER_HOME": str(DAGSTER_HOME), "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    scene = Scene(app, made, snapshot, instance, tag, worker, s3_server)
    try:
        deadline = time.monotonic() + PATIENCE
        while not scene.uploads():
            assert worker.poll() is None, (tmp_path / "worker.log").read_text()
            assert time.monotonic() < deadline, "no export began"
            time.sleep(0.05)
        yield scene
    finally:
        worker.kill()
        worker.wait()


def test_a_killed_run_leaves_the_snapshot_before_it(
    exporting: Scene, large_warehouse: Path, load_location: Callable[[], CodeLocation]
) -> None:
    scene = exporting
    before = scene.objects()
    scene.worker.kill()
    scene.worker.wait()

    # at once, before anyone noticed
    answer = scene.app.runner.run(PROJECT, "daily", RunRequest())
    assert (answer.served.path, answer.served.snapshot_id) == (ServedPath.MATERIALIZED, scene.served.id)
    assert answer.rows.count == 100 * SMALL
    assert scene.objects() == before
    assert all(scene.served.id in key or key.endswith("/current.json") for key in before)
    assert scene.status() is RefreshStatus.RUNNING
    assert scene.dagster_run().status is dg.DagsterRunStatus.STARTED

    # Dagster's daemon finds that the process is gone
    scene.instance.report_run_failed(scene.dagster_run())
    scene.record()
    scene.record()
    assert scene.failures() == ["The Dagster run ended before the refresh did."]
    assert scene.status() is RefreshStatus.FAILED

    # the next refresh
    set_size(large_warehouse, SMALL + 1)
    assert load_location().materialize(scene.instance, "daily").success
    answer = scene.app.runner.run(PROJECT, "daily", RunRequest())
    assert answer.served.path is ServedPath.MATERIALIZED
    assert answer.served.snapshot_id not in (None, scene.served.id)
    assert answer.rows.count == 100 * (SMALL + 1)
    scene.record()
    assert len(scene.failures()) == 1


def test_a_cancelled_run_stops_its_query_and_is_recorded(exporting: Scene) -> None:
    scene = exporting
    before = scene.objects()
    scene.instance.report_run_canceling(scene.dagster_run())
    scene.worker.send_signal(signal.SIGINT)
    scene.worker.wait(timeout=PATIENCE)

    scene.record()

    assert scene.dagster_run().status is dg.DagsterRunStatus.CANCELED
    assert scene.failures() == ["The Dagster run was cancelled."]
    assert scene.status() is RefreshStatus.CANCELLED
    assert scene.objects() == before
    answer = scene.app.runner.run(PROJECT, "daily", RunRequest())
    assert (answer.served.path, answer.served.snapshot_id) == (ServedPath.MATERIALIZED, scene.served.id)
