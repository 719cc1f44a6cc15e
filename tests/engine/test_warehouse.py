"""The embedded engine's tables are the files of now: a folder's, or those under an S3 prefix."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.errors import EngineError, EngineUnavailable, InvalidInput, SettingsError
from endpoints_pipeline.snapshots.objects import Bucket

MakeEngine = Callable[..., Engine]


@pytest.fixture
def name() -> str:
    """A table's name that no other test uses: all engines of a process share one in-memory database."""
    return f"t_{uuid.uuid4().hex}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tables"
    path.mkdir()
    return path


@pytest.fixture
def engine(make_engine: MakeEngine, folder: Path) -> Engine:
    return make_engine(warehouse=str(folder))


def write(path: Path, **columns: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def rows(engine: Engine, sql: str) -> bytes:
    return engine.json_rows(engine.canonical(sql)).data


class TestFolder:
    def test_a_file_is_a_table(self, engine: Engine, folder: Path, name: str) -> None:
        write(folder / f"{name}.parquet", a=[1, 2])
        assert engine.tables() == {name, f"warehouse.{name}"}
        assert rows(engine, f"SELECT * FROM {name}") == b"[1],[2]"
        assert rows(engine, f"SELECT count() FROM warehouse.{name}") == b"[2]"

    def test_a_folder_is_a_table_of_all_its_files(self, engine: Engine, folder: Path, name: str) -> None:
        write(folder / name / "1.parquet", a=[1])
        write(folder / name / "deeper" / "still" / "2.parquet", a=[2])
        assert rows(engine, f"SELECT a FROM {name} ORDER BY a") == b"[1],[2]"

    def test_a_folder_that_isnt_there_holds_nothing(self, make_engine: MakeEngine, tmp_path: Path) -> None:
        engine = make_engine(warehouse=str(tmp_path / "nowhere"))
        assert engine.tables() == frozenset()
        assert rows(engine, "SELECT 1") == b"[1]"
        with pytest.raises(InvalidInput, match="Known tables: none"):
            engine.canonical("SELECT * FROM anything")

    def test_a_new_file_appears(self, engine: Engine, folder: Path, name: str) -> None:
        assert engine.tables() == frozenset()
        write(folder / f"{name}.parquet", a=[1])
        assert rows(engine, f"SELECT a FROM {name}") == b"[1]"

    def test_a_new_file_in_a_folder_appears_however_old_it_is(self, engine: Engine, folder: Path, name: str) -> None:
        write(folder / name / "1.parquet", a=[1])
        assert rows(engine, f"SELECT count() FROM {name}") == b"[1]"
        write(folder / name / "2.parquet", a=[2])
        os.utime(folder / name / "2.parquet", (0, 0))
        assert rows(engine, f"SELECT count() FROM {name}") == b"[2]"

    def test_a_file_removed_from_a_folder_is_gone(self, engine: Engine, folder: Path, name: str) -> None:
        write(folder / name / "1.parquet", a=[1])
        write(folder / name / "2.parquet", a=[2])
        os.utime(folder / name / "1.parquet", (0, 0))
        assert rows(engine, f"SELECT count() FROM {name}") == b"[2]"
        (folder / name / "1.parquet").unlink()
        assert rows(engine, f"SELECT a FROM {name}") == b"[2]"

    def test_a_replaced_file_is_seen_with_its_new_columns(self, engine: Engine, folder: Path, name: str) -> None:
        write(folder / f"{name}.parquet", a=[1])
        assert rows(engine, f"SELECT * FROM {name}") == b"[1]"
        write(folder / f"{name}.parquet", b=["x"], c=[2])
        assert [column.name for column in engine.describe(engine.canonical(f"SELECT * FROM {name}"))] == ["b", "c"]
        assert rows(engine, f"SELECT * FROM {name}") == b'["x", 2]'

    def test_a_removed_file_is_gone(self, engine: Engine, folder: Path, name: str) -> None:
        write(folder / f"{name}.parquet", a=[1])
        assert rows(engine, f"SELECT * FROM {name}") == b"[1]"
        (folder / f"{name}.parquet").unlink()
        with pytest.raises(InvalidInput, match="Unknown table"):
            engine.canonical(f"SELECT * FROM {name}")
        assert engine.query("SELECT count() FROM system.tables WHERE name = {name:String}", {"name": name}) == [(0,)]

    def test_a_file_becomes_a_folder(self, engine: Engine, folder: Path, name: str) -> None:
        write(folder / f"{name}.parquet", a=[1])
        assert rows(engine, f"SELECT * FROM {name}") == b"[1]"
        (folder / f"{name}.parquet").unlink()
        write(folder / name / "1.parquet", a=[2])
        assert rows(engine, f"SELECT * FROM {name}") == b"[2]"

    def test_other_files_are_left_alone(self, engine: Engine, folder: Path, name: str) -> None:
        write(folder / f"{name}.parquet", a=[1])
        (folder / "notes.txt").write_text("x")
        (folder / "empty").mkdir()
        (folder / ".hidden.parquet").write_text("half a file")
        (folder / ".cache").mkdir()
        (folder / f"{name}.parquet.tmp").write_text("half a file")
        assert engine.tables() == {name, f"warehouse.{name}"}

    @pytest.mark.parametrize("bad", ["my-table", "1st", "a b", "a.b", "é", "a'b"])
    def test_a_name_that_no_table_can_have_is_explained(self, engine: Engine, folder: Path, bad: str) -> None:
        write(folder / f"{bad}.parquet", a=[1])
        with pytest.raises(EngineError, match=r"can't be a table's name: rename it") as failure:
            engine.tables()
        assert f"'{bad}'" in str(failure.value)

    @pytest.mark.parametrize("content", [b"", b"not Parquet", b"PAR1" + b"\0" * 100 + b"PAR1"])
    def test_a_file_that_isnt_parquet_is_named(self, engine: Engine, folder: Path, name: str, content: bytes) -> None:
        (folder / f"{name}.parquet").write_bytes(content)
        with pytest.raises(EngineError, match=f"^The warehouse's table '{name}' can't be read: ") as failure:
            engine.tables()
        assert not failure.value.transient
        assert failure.value.engine_code
        write(folder / f"{name}.parquet", a=[1])
        assert rows(engine, f"SELECT * FROM {name}") == b"[1]"

    def test_a_file_in_place_of_the_folder_is_a_wrong_setting(self, make_engine: MakeEngine, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(SettingsError, match=r"ENDPOINTS_WAREHOUSE must be a folder or s3://bucket/prefix"):
            make_engine(warehouse=str(tmp_path / "file")).tables()

    def test_odd_characters_in_the_path(self, make_engine: MakeEngine, tmp_path: Path, name: str) -> None:
        folder = tmp_path / "it's a \\ folder é"
        write(folder / f"{name}.parquet", a=[1])
        write(folder / f"{name}_more" / "1.parquet", a=[2])
        engine = make_engine(warehouse=str(folder))
        union = f"SELECT a FROM (SELECT * FROM {name} UNION ALL SELECT * FROM {name}_more) ORDER BY a"
        assert rows(engine, union) == b"[1],[2]"


class TestS3:
    @pytest.fixture
    def put(self, bucket: Bucket, s3_prefix: str) -> Callable[..., None]:
        def put_table(key: str, **columns: list[object]) -> None:
            body = io.BytesIO()
            pq.write_table(pa.table(columns), body)
            bucket._client.put_object(Bucket=bucket.name, Key=f"{s3_prefix}/{key}", Body=body.getvalue())

        return put_table

    @pytest.fixture
    def location(self, bucket: Bucket, s3_prefix: str) -> str:
        return f"s3://{bucket.name}/{s3_prefix}"

    def test_objects_and_folders_are_tables(
        self, make_engine: MakeEngine, put: Callable[..., None], location: str, name: str
    ) -> None:
        put(f"{name}.parquet", a=[1])
        put(f"{name}_more/1.parquet", a=[2])
        put(f"{name}_more/deeper/2.parquet", a=[3])
        put("notes.txt", a=[1])
        put("no_parquet_in_here/notes.txt", a=[1])
        put(".hidden.parquet", a=[1])
        engine = make_engine(warehouse=location)
        assert engine.tables() == {name, f"warehouse.{name}", f"{name}_more", f"warehouse.{name}_more"}
        union = f"SELECT a FROM (SELECT * FROM {name} UNION ALL SELECT * FROM {name}_more) ORDER BY a"
        assert rows(engine, union) == b"[1],[2],[3]"

    def test_changes_are_seen_after_a_while(
        self,
        make_engine: MakeEngine,
        put: Callable[..., None],
        bucket: Bucket,
        s3_prefix: str,
        location: str,
        name: str,
    ) -> None:
        put(f"{name}.parquet", a=[1])
        put(f"{name}_more/1.parquet", a=[2])
        engine = make_engine(warehouse=location)
        now = [100.0]
        assert engine._warehouse is not None
        engine._warehouse._monotonic = lambda: now[0]
        assert len(engine.tables()) == 4
        put(f"{name}_more/1.parquet", b=["x"])
        put(f"{name}_new.parquet", a=[1])
        bucket._client.delete_object(Bucket=bucket.name, Key=f"{s3_prefix}/{name}.parquet")
        now[0] += 9
        assert len(engine.tables()) == 4
        assert name in engine.tables()
        now[0] += 2
        assert engine.tables() == {f"{name}_more", f"warehouse.{name}_more", f"{name}_new", f"warehouse.{name}_new"}
        assert rows(engine, f"SELECT b FROM {name}_more") == b'["x"]'

    def test_an_object_that_isnt_parquet_is_named_each_time(
        self, make_engine: MakeEngine, bucket: Bucket, s3_prefix: str, location: str, name: str
    ) -> None:
        bucket._client.put_object(Bucket=bucket.name, Key=f"{s3_prefix}/{name}.parquet", Body=b"not Parquet")
        engine = make_engine(warehouse=location)
        for _ in range(2):
            with pytest.raises(EngineError, match=f"^The warehouse's table '{name}' can't be read: ") as failure:
                engine.tables()
            assert engine.s3.secret_key not in str(failure.value)

    def test_a_bucket_that_isnt_there(self, make_engine: MakeEngine) -> None:
        with pytest.raises(EngineError, match=r"^The warehouse s3://no-such-bucket/x can't be listed: .*[^.]\.$"):
            make_engine(warehouse="s3://no-such-bucket/x").tables()

    def test_a_dead_s3_may_come_back(self, make_engine: MakeEngine) -> None:
        engine = make_engine(warehouse="s3://bucket/x", s3_endpoint_url="http://127.0.0.1:1", s3_timeout=1)
        with pytest.raises(EngineUnavailable, match=r"^The warehouse s3://bucket/x can't be reached: "):
            engine.tables()

    def test_the_tables_definition_hides_the_secret(
        self, make_engine: MakeEngine, put: Callable[..., None], location: str, name: str
    ) -> None:
        put(f"{name}.parquet", a=[1])
        engine = make_engine(warehouse=location)
        assert rows(engine, f"SELECT a FROM {name}") == b"[1]"
        [(text,)] = engine.query("SELECT engine_full FROM system.tables WHERE name = {name:String}", {"name": name})
        assert engine.s3.secret_key not in text
