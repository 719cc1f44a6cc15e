"""Runs that die or are cancelled in the middle of an export: nothing of them is seen, and they are recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.catalog.records import Endpoint, ExecutionKind, Outcome, RefreshStatus, Snapshot
from endpoints_pipeline.orchestration import state as state_file
from endpoints_pipeline.orchestration.recorder import REASON_KILLED, build_recorder_sensor
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.decision import Path as ServedPath
from endpoints_pipeline.serving.request import RunRequest
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
    """An endpoint with a snapshot of 100 rows, whose next refresh would export 100 million."""

    app: Application
    endpoint: Endpoint
    served: Snapshot
    location: CodeLocation
    instance: dg.DagsterInstance
    s3: S3Server
    tag: str = field(default_factory=lambda: str(uuid.uuid4()))

    @contextmanager
    def worker(self, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
        """The refresh in a process of its own; inside the block it is in the middle of its export."""
        log_path = folder / "worker.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.orchestration.run_worker", str(folder / "state.json"), self.tag],
                env={**os.environ, "DAGSTER_HOME": str(DAGSTER_HOME), "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        try:
            assert self.is_exporting(lambda: process.poll() is None), log_path.read_text()
            yield process
        finally:
            process.kill()
            process.wait()

    def is_exporting(self, goes_on: Callable[[], bool]) -> bool:
        """Wait until the first megabytes are on S3; False if that doesn't happen."""
        deadline = time.monotonic() + PATIENCE
        while not self.uploads():
            if not goes_on() or time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def uploads(self) -> list[str]:
        found = self.s3.client().list_multipart_uploads(Bucket=self.s3.bucket, Prefix=f"{self.app.settings.s3_prefix}/")
        return [upload["Key"] for upload in found.get("Uploads", [])]

    def objects(self) -> set[str]:
        prefix = f"{self.app.settings.s3_prefix}/"
        found = self.s3.client().list_objects_v2(Bucket=self.s3.bucket, Prefix=prefix)
        return {item["Key"] for item in found.get("Contents", [])}

    def dagster_run(self) -> dg.DagsterRun:
        [run] = self.instance.get_runs(dg.RunsFilter(tags={"test": self.tag}))
        return run

    def record(self) -> None:
        sensor = build_recorder_sensor(state_file.read_catalog(self.app.catalog), load_settings())
        sensor.evaluate_tick(dg.build_sensor_context(instance=self.instance))

    def failures(self) -> list[str | None]:
        """What the catalog recorded of the run."""
        executions = self.app.catalog.executions.list(self.endpoint.id)
        run_id = self.dagster_run().run_id
        mine = [one for one in executions if one.dagster_run_id == run_id]
        assert all((one.kind, one.outcome) == (ExecutionKind.REFRESH, Outcome.ERROR) for one in mine)
        return [one.error for one in mine]

    def status(self) -> RefreshStatus:
        materialization = self.app.catalog.endpoints.get(PROJECT, "daily").version.materialization
        assert materialization is not None
        return materialization.status

    def assert_nothing_changed(self, before: set[str]) -> None:
        """The snapshot from before is served, and S3 has no object that it hadn't."""
        answer = self.app.runner.run(PROJECT, "daily", RunRequest())
        assert (answer.served.path, answer.served.snapshot_id) == (ServedPath.MATERIALIZED, self.served.id)
        assert answer.rows.count == 100 * SMALL
        assert self.objects() == before


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
def scene(
    app: Application,
    large_warehouse: Path,
    endpoint: Callable[..., Endpoint],
    load_location: Callable[[], CodeLocation],
    instance: dg.DagsterInstance,
    s3_server: S3Server,
) -> Scene:
    made = endpoint("daily", sql=SQL)
    location = load_location()
    assert location.materialize(instance, "daily").success
    snapshot = app.catalog.endpoints.get(PROJECT, "daily").version.snapshot
    assert snapshot is not None
    set_size(large_warehouse, LARGE)
    return Scene(app, made, snapshot, location, instance, s3_server)


def test_a_killed_run_leaves_the_snapshot_before_it(scene: Scene, large_warehouse: Path, tmp_path: Path) -> None:
    before = scene.objects()
    with scene.worker(tmp_path) as process:
        process.kill()
        process.wait()

    # at once, before anyone noticed
    scene.assert_nothing_changed(before)
    assert scene.status() is RefreshStatus.RUNNING
    assert scene.dagster_run().status is dg.DagsterRunStatus.STARTED

    # Dagster's daemon finds that the process is gone
    scene.instance.report_run_failed(scene.dagster_run())
    scene.record()
    scene.record()
    assert scene.failures() == ["The Dagster run ended before the refresh did."]
    assert scene.status() is RefreshStatus.FAILED
    scene.assert_nothing_changed(before)
    asked = [request.reason for request in scene.app.catalog.refreshes.waiting_requests()]
    assert asked == [REASON_KILLED]

    # the next refresh
    set_size(large_warehouse, SMALL + 1)
    assert scene.location.materialize(scene.instance, "daily").success
    answer = scene.app.runner.run(PROJECT, "daily", RunRequest())
    assert answer.served.path is ServedPath.MATERIALIZED
    assert answer.served.snapshot_id not in (None, scene.served.id)
    assert answer.rows.count == 100 * (SMALL + 1)
    scene.record()
    assert len(scene.failures()) == 1


def test_a_cancelled_run_stops_its_query_and_is_recorded(scene: Scene) -> None:
    """In this process: a signal is all that Dagster sends, and starting another process takes its time."""
    before = scene.objects()
    sent = []

    def cancel_in_the_middle() -> None:
        if scene.is_exporting(lambda: True):
            scene.instance.report_run_canceling(scene.dagster_run())
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    canceller = threading.Thread(target=cancel_in_the_middle)
    canceller.start()
    scene.location.materialize(scene.instance, "daily", test=scene.tag)
    canceller.join()

    assert sent
    assert time.monotonic() - sent[0] < 15  # the whole export takes minutes
    assert scene.dagster_run().status is dg.DagsterRunStatus.CANCELED
    assert scene.status() is RefreshStatus.CANCELLED
    scene.record()
    assert scene.failures() == ["The Dagster run was cancelled."]
    scene.assert_nothing_changed(before)
