"""The example data: its types, and that a file is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from endpoints_pipeline.cli import example_data
from endpoints_pipeline.cli.example_data import load_example_data, load_flights
from endpoints_pipeline.errors import LocalStackError, SettingsError
from endpoints_pipeline.settings import Settings

_ROWS = {"flights": 336_776, "weather": 26_115, "planes": 3_322, "airports": 1_458, "airlines": 16}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all five tables; not to be written to."""
    folder = tmp_path_factory.mktemp("examples") / "not" / "there" / "yet"
    assert load_example_data(folder) == _ROWS
    return folder


def test_only_whole_tables_are_left(loaded: Path) -> None:
    assert {path.name for path in loaded.iterdir()} == {f"{name}.parquet" for name in _ROWS}


def test_flights_come_in_a_few_row_groups(loaded: Path) -> None:
    assert pq.read_metadata(loaded / "flights.parquet").num_row_groups == 3


def test_whole_numbers_are_integers_and_gaps_are_null(loaded: Path) -> None:
    flights = pq.read_table(loaded / "flights.parquet")

    assert flights.schema.field("dep_delay") == pa.field("dep_delay", pa.int16())
    assert flights.schema.field("flight") == pa.field("flight", pa.int16(), nullable=False)
    assert flights.schema.field("tailnum") == pa.field("tailnum", pa.string())
    nulls = {name: flights.column(name).null_count for name in ("dep_time", "arr_delay", "air_time", "tailnum")}
    assert nulls == {"dep_time": 8_255, "arr_delay": 9_430, "air_time": 9_430, "tailnum": 2_512}
    assert flights.slice(0, 1).select(["dep_time", "dep_delay", "tailnum"]).to_pylist() == [
        {"dep_time": 517, "dep_delay": 2, "tailnum": "N14228"}
    ]
    assert pc.sum(flights.column("dep_delay")).as_py() == 4_152_200


def test_hours_are_times_in_utc(loaded: Path) -> None:
    hours = pq.read_table(loaded / "flights.parquet", columns=["time_hour"]).column("time_hour")

    assert hours.type == pa.timestamp("ms", tz="UTC")
    assert pc.min(hours).as_py().isoformat() == "2013-01-01T10:00:00+00:00"


def test_measurements_stay_floats_with_gaps(loaded: Path) -> None:
    weather = pq.read_table(loaded / "weather.parquet")

    assert weather.schema.field("temp") == pa.field("temp", pa.float64())
    assert (weather.column("wind_gust").null_count, weather.column("wind_dir").null_count) == (20_778, 460)
    assert not pc.any(pc.is_nan(weather.column("pressure"))).as_py()


def test_what_is_there_is_left_alone(loaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in loaded.iterdir()}
    monkeypatch.setattr(example_data, "_converted", None)  # would be called to write a table

    assert load_example_data(loaded) == _ROWS
    assert {path.name: path.stat().st_mtime_ns for path in loaded.iterdir()} == before


@pytest.mark.parametrize("broken", [b"", b"PAR1 a file that a crash cut short"])
def test_what_isnt_whole_is_written_again(tmp_path: Path, broken: bytes) -> None:
    load_example_data(tmp_path)
    (tmp_path / "airlines.parquet").write_bytes(broken)

    assert load_example_data(tmp_path) == _ROWS
    assert pq.read_table(tmp_path / "airlines.parquet").num_rows == 16


def test_a_table_with_other_columns_is_written_again(tmp_path: Path) -> None:
    pq.write_table(pa.table({"carrier": ["AA"], "name": ["American"]}), tmp_path / "airlines.parquet")

    assert load_example_data(tmp_path) == _ROWS


def test_a_failure_leaves_the_old_table_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "airlines.parquet"
    pq.write_table(pa.table({"carrier": ["AA"]}), old)

    def fail_half_way(_table: pa.Table, path: Path, **_options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail_half_way)
    with pytest.raises(LocalStackError, match="No space left"):
        load_example_data(tmp_path)

    assert list(tmp_path.iterdir()) == [old]
    assert pq.read_table(old).num_rows == 1


def test_other_tables_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "mine.parquet")

    load_example_data(tmp_path)

    assert pq.read_table(tmp_path / "mine.parquet").num_rows == 1


def test_a_folder_that_cant_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LocalStackError, match=f"written to {tmp_path}/file/warehouse"):
        load_example_data(tmp_path / "file" / "warehouse")


def test_flights_go_to_the_warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_settings(monkeypatch)

    assert load_flights(Settings(_env_file=None, home=tmp_path)) == _ROWS
    assert (tmp_path / "warehouse" / "flights.parquet").exists()


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"engine_dsn": "clickhouse://someone:hush@host:8123/shop"}, "ENDPOINTS_ENGINE_DSN"),
        ({"warehouse": "s3://bucket/prefix"}, "ENDPOINTS_WAREHOUSE"),
    ],
)
def test_flights_are_for_a_folder_of_the_embedded_engine(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], variable: str
) -> None:
    _without_settings(monkeypatch)

    with pytest.raises(SettingsError, match=variable) as refused:
        load_flights(Settings(_env_file=None, **settings))

    assert "hush" not in str(refused.value)


def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("ENDPOINTS_"):
            monkeypatch.delenv(name)
