"""Reading a snapshot: pages of it, and what happens when its parts aren't what was published."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from endpoints_pipeline.catalog.records import Snapshot
from endpoints_pipeline.errors import EngineError, EngineUnavailable, SnapshotInvalid
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.snapshots.read import SnapshotReader
from tests.fixtures.engine import EVENTS, MakeApplication
from tests.snapshots.builders import create, keys, refresh


@pytest.fixture
def application(make_application: MakeApplication) -> Application:
    return make_application(parquet_row_group_rows=50)


@pytest.fixture
def reader(application: Application) -> SnapshotReader:
    return SnapshotReader(engine=application.engine, bucket=application.bucket)


@pytest.fixture
def snapshot(application: Application) -> Snapshot:
    return refresh(application, create(application, "SELECT id FROM events ORDER BY id DESC")).snapshot


def ids(data: bytes) -> list[int]:
    return [row[0] for row in json.loads(b"[%b]" % data)]


ALL = list(range(EVENTS - 1, -1, -1))


PAGES = [(None, 0), (10, 0), (10, 10), (100, 250), (1, EVENTS - 1), (10, EVENTS), (10, EVENTS + 5), (None, 290), (0, 0)]
PAGES += [(EVENTS, 0), (EVENTS + 1, 0)]


def test_pages(reader: SnapshotReader, snapshot: Snapshot) -> None:
    for limit, offset in PAGES:
        found = reader.json_rows(snapshot, limit=limit, offset=offset)
        expected = ALL[offset:] if limit is None else ALL[offset : offset + limit]
        assert (limit, offset, ids(found.data)) == (limit, offset, expected)
        assert (found.count, found.more) == (len(expected), False)


def test_pages_of_a_larger_snapshot_are_in_order_and_do_not_overlap(
    application: Application, reader: SnapshotReader
) -> None:
    sql = "SELECT number AS n, toString(sipHash64(number)) AS text FROM numbers(100000) ORDER BY number DESC"
    snapshot = refresh(application, create(application, sql, name="large")).snapshot
    assert snapshot.parts[0].row_groups > 1
    seen: list[int] = []
    for offset in range(0, 100_000, 30_000):
        seen += ids(reader.json_rows(snapshot, limit=30_000, offset=offset).data)
    assert seen == list(range(99_999, -1, -1))


def test_parts_are_read_one_after_another(application: Application, reader: SnapshotReader, snapshot: Snapshot) -> None:
    [part] = snapshot.parts
    double = replace(snapshot, parts=(part, part), rows=2 * EVENTS)
    assert sorted(ids(reader.json_rows(double).data)) == sorted(ALL * 2)


def test_a_missing_part_can_not_be_read(application: Application, reader: SnapshotReader, snapshot: Snapshot) -> None:
    application.bucket.delete_folder(snapshot.parts[0].key)
    with pytest.raises(EngineError) as failure:
        reader.json_rows(snapshot)
    assert application.engine.s3.secret_key not in str(failure.value)


def test_another_number_of_rows_is_found(reader: SnapshotReader, snapshot: Snapshot) -> None:
    with pytest.raises(SnapshotInvalid, match=f"gave {EVENTS} rows of {EVENTS + 1}"):
        reader.json_rows(replace(snapshot, rows=EVENTS + 1))
    with pytest.raises(SnapshotInvalid):
        reader.json_rows(replace(snapshot, rows=EVENTS + 1), limit=10, offset=EVENTS - 5)


def test_a_dead_s3_is_said_to_be_away(
    application: Application, snapshot: Snapshot, make_application: MakeApplication
) -> None:
    away = make_application(s3_endpoint_url="http://127.0.0.1:1", s3_timeout=1)
    with pytest.raises(EngineUnavailable):
        SnapshotReader(engine=away.engine, bucket=away.bucket).json_rows(snapshot)


def test_reading_changes_nothing(application: Application, reader: SnapshotReader, snapshot: Snapshot) -> None:
    before = keys(application)
    reader.json_rows(snapshot)
    assert keys(application) == before


class TestStreams:
    def test_pages_are_those_of_one_piece(self, reader: SnapshotReader, snapshot: Snapshot) -> None:
        for limit, offset in PAGES:
            with reader.stream(snapshot, limit=limit, offset=offset) as blocks:
                found = list(blocks)
            whole = reader.json_rows(snapshot, limit=limit, offset=offset)
            assert (limit, offset, b",".join(block.data for block in found)) == (limit, offset, whole.data)
            assert sum(block.count for block in found) == whole.count

    def test_a_larger_snapshot_comes_in_order_and_in_blocks(
        self, application: Application, reader: SnapshotReader
    ) -> None:
        sql = "SELECT number AS n, toString(sipHash64(number)) AS text FROM numbers(200000) ORDER BY number DESC"
        snapshot = refresh(application, create(application, sql, name="large")).snapshot
        with reader.stream(snapshot, tag="endpoints:large") as blocks:
            found = [next(blocks)]
            assert "endpoints:large" in application.engine.progress(["endpoints:large"])
            found += blocks
        assert len(found) > 1
        assert b",".join(block.data for block in found) == reader.json_rows(snapshot).data

    def test_another_number_of_rows_is_found_behind_the_last(self, reader: SnapshotReader, snapshot: Snapshot) -> None:
        counts: list[int] = []
        wrong = replace(snapshot, rows=EVENTS + 1)
        with reader.stream(wrong) as blocks, pytest.raises(SnapshotInvalid, match=f"{EVENTS} rows of {EVENTS + 1}"):
            counts.extend(block.count for block in blocks)
        assert sum(counts) == EVENTS
        with reader.stream(wrong, limit=10) as blocks:
            assert sum(block.count for block in blocks) == 10

    def test_a_missing_part_can_not_be_read(
        self, application: Application, reader: SnapshotReader, snapshot: Snapshot
    ) -> None:
        application.bucket.delete_folder(snapshot.parts[0].key)
        with pytest.raises(EngineError) as failure, reader.stream(snapshot) as blocks:
            list(blocks)
        assert application.engine.s3.secret_key not in str(failure.value)

    def test_a_reader_may_leave(self, reader: SnapshotReader, snapshot: Snapshot) -> None:
        with reader.stream(snapshot):
            pass
        assert ids(reader.json_rows(snapshot).data) == ALL
