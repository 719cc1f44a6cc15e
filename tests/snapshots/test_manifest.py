"""What outside readers find on S3: a manifest for each snapshot, and current.json, which only moves forward."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest

from endpoints_pipeline.catalog.records import Snapshot
from endpoints_pipeline.query.materialization import ReadPlan
from endpoints_pipeline.query.variables import VariableType
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.snapshots.manifest import write_manifest
from endpoints_pipeline.snapshots.objects import Bucket, PreconditionFailed
from endpoints_pipeline.snapshots.refresh import Refreshed
from tests.snapshots.builders import NAME, PROJECT, create, keys, layout_of, read_json, refresh

SQL = "SELECT id, CAST('12:00:00' AS Time) AS noon, toInt128(id) AS wide FROM events LIMIT 7"


@pytest.fixture
def refreshed(application: Application) -> Refreshed:
    return refresh(application, create(application, SQL))


class TestContent:
    def test_the_manifest_says_all_of_the_snapshot(self, application: Application, refreshed: Refreshed) -> None:
        attempt, snapshot = refreshed.attempt, refreshed.snapshot
        [part] = snapshot.parts
        manifest = read_json(application, refreshed.manifest_key)
        assert datetime.fromisoformat(manifest.pop("data_at")) == snapshot.data_at
        assert datetime.fromisoformat(manifest.pop("published_at")) == snapshot.published_at
        assert manifest == {
            "format_version": 1,
            "snapshot_id": snapshot.id,
            "project_id": PROJECT,
            "endpoint": NAME,
            "version": 1,
            "version_id": snapshot.version_id,
            "sequence": 1,
            "rows": 7,
            "bytes": part.bytes,
            "columns": [
                {"name": "id", "type": "Nullable(UInt64)", "stored_as": "Nullable(UInt64)"},
                {"name": "noon", "type": "Time", "stored_as": "String"},
                {"name": "wide", "type": "Nullable(Int128)", "stored_as": "Nullable(Int128)"},
            ],
            "read_plan": None,
            "parts": [{"key": part.key, "rows": 7, "bytes": part.bytes, "row_groups": 1, "etag": part.etag}],
            "query": SQL,
            "query_hash": attempt.query_hash,
            "engine_version": application.engine.version,
            "dagster_run_id": attempt.dagster_run_id,
            "reason": "test",
        }

    def test_it_says_how_a_query_with_variables_is_read(self, application: Application) -> None:
        application.catalog.variables.create(
            PROJECT, name="least", type=VariableType.NUMBER, default_value=0, by=None, now=application.clock()
        )
        sql = "SELECT id FROM events WHERE amount >= {variables.least} ORDER BY id"
        endpoint = create(application, sql, name="large")
        refreshed = refresh(application, endpoint)
        manifest = read_json(application, refreshed.manifest_key)

        assert [column["name"] for column in manifest["columns"]] == ["id", "__var_least"]
        assert refreshed.snapshot.read_plan == ReadPlan.from_json(manifest["read_plan"])
        assert refreshed.snapshot.read_plan is not None

    def test_current_points_at_it(self, application: Application, refreshed: Refreshed) -> None:
        snapshot = refreshed.snapshot
        assert read_json(application, keys(application)[0]) == {
            "snapshot_id": snapshot.id,
            "version_id": snapshot.version_id,
            "sequence": 1,
            "manifest": refreshed.manifest_key,
            "published_at": snapshot.published_at.isoformat(),
        }

    def test_the_keys_are_where_the_layout_says(self, application: Application, refreshed: Refreshed) -> None:
        root = f"{application.settings.s3_prefix}/projects/1/endpoints/daily/v1"
        assert keys(application) == [
            f"{root}/current.json",
            f"{root}/manifests/{refreshed.snapshot.id}.json",
            f"{root}/parts/{refreshed.snapshot.id}/part-00000.parquet",
        ]

    def test_a_reader_finds_the_rows_without_us(self, application: Application, refreshed: Refreshed) -> None:
        current = read_json(application, keys(application)[0])
        manifest = read_json(application, current["manifest"])
        footers = [application.bucket.footer(part["key"]) for part in manifest["parts"]]
        assert sum(footer.rows for footer in footers) == manifest["rows"]
        assert [footer.etag for footer in footers] == [part["etag"] for part in manifest["parts"]]


class TestMovingForward:
    def pointer(self, application: Application) -> str:
        found: str = read_json(application, keys(application)[0])["snapshot_id"]
        return found

    def test_each_snapshot_takes_it(self, application: Application) -> None:
        endpoint = create(application, SQL)
        for _ in range(3):
            snapshot = refresh(application, endpoint).snapshot
            assert self.pointer(application) == snapshot.id
        assert len(keys(application, "manifests")) == 3

    def test_a_late_writer_does_not_take_it_back(self, application: Application) -> None:
        """A refresh that published first, and writes its manifest last."""
        endpoint = create(application, SQL)
        later: list[Refreshed] = []

        def overtake(step: str) -> None:
            if step == "manifest":
                later.append(refresh(application, endpoint))

        earlier = refresh(application, endpoint, overtake)
        assert (earlier.snapshot.sequence, later[0].snapshot.sequence) == (1, 2)
        assert self.pointer(application) == later[0].snapshot.id
        assert set(keys(application, "manifests")) == {earlier.manifest_key, later[0].manifest_key}

    def test_many_writers_at_once_leave_the_newest(self, application: Application, refreshed: Refreshed) -> None:
        endpoint = application.catalog.endpoints.get(PROJECT, NAME)
        where = layout_of(application, endpoint)
        snapshots = [replace(refreshed.snapshot, id=f"s{n}", sequence=n) for n in range(2, 10)]

        def write(snapshot: Snapshot) -> None:
            write_manifest(application.bucket, where, refreshed.attempt, snapshot)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, snapshots))
        assert self.pointer(application) == "s9"

    def test_one_that_loses_the_race_looks_again(
        self, application: Application, refreshed: Refreshed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between reading the pointer and writing it, another writer moves it."""
        where = layout_of(application, application.catalog.endpoints.get(PROJECT, NAME))
        older, newer = (replace(refreshed.snapshot, id=f"s{n}", sequence=n) for n in (2, 3))
        write = Bucket.write
        lost: list[str] = []

        def write_after_another(bucket: Bucket, key: str, body: bytes, *, replacing: str | None) -> None:
            if key == where.current and not lost:
                lost.append(key)
                write_manifest(bucket, where, refreshed.attempt, newer)
            write(bucket, key, body, replacing=replacing)

        monkeypatch.setattr(Bucket, "write", write_after_another)
        write_manifest(application.bucket, where, refreshed.attempt, older)
        assert lost
        assert self.pointer(application) == "s3"

    def test_a_name_used_again_takes_it_over(self, application: Application) -> None:
        endpoint = create(application, SQL)
        for _ in range(3):
            refresh(application, endpoint)
        application.catalog.endpoints.delete(PROJECT, NAME, application.clock())
        again = create(application, "SELECT 1 AS other")
        snapshot = refresh(application, again).snapshot
        assert snapshot.sequence == 1
        assert self.pointer(application) == snapshot.id

    def test_a_manifest_is_written_once(self, application: Application, refreshed: Refreshed) -> None:
        where = layout_of(application, application.catalog.endpoints.get(PROJECT, NAME))
        with pytest.raises(PreconditionFailed):
            write_manifest(application.bucket, where, refreshed.attempt, replace(refreshed.snapshot, rows=0))
        assert read_json(application, refreshed.manifest_key)["rows"] == 7
