"""The examples that we ship: each gives the same bytes each time, from its query and from its snapshot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from endpoints_pipeline.api.app import create_app
from endpoints_pipeline.cli.definition_files import DefinitionFile, load
from endpoints_pipeline.cli.example_data import load_example_data
from endpoints_pipeline.cli.keys import own_key
from endpoints_pipeline.cli.publish import apply, plan
from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.frequency import PERIODS
from endpoints_pipeline.query.variables import bind
from endpoints_pipeline.serving.application import Application, open_application
from endpoints_pipeline.serving.request import Refresh, RunRequest
from endpoints_pipeline.serving.source import prepare
from endpoints_pipeline.settings import Settings
from tests.api.callers import TestClient

_FOLDER = Path(__file__).parent.parent.parent / "examples"
_EXAMPLES = load([_FOLDER])
_ROWS = {
    "aircraft-utilisation": 3_322,
    "airline_fleet": 40,
    "airport_board": 304,
    "airports-on-day": 53,
    "all_flights": 336_776,
    "best_days": 20,
    "busiest_airports": 101,
    "calm_hours": 27,
    "carrier-months": 12,
    "carrier_punctuality": 16,
    "daily_cancellations": 1_095,
    "delay_percentiles": 36,
    "delays_between": 3,
    "february_blizzard": 15,
    "fleet_age": 16,
    "flights-of-carrier": 35,
    "flights_of_plane": 100,
    "hourly_departures": 392,
    "longest_delays": 100,
    "route-punctuality": 201,
    "weather_and_delays": 37,
    "worst_routes": 10,
}


@pytest.fixture(scope="module")
def flights(
    tmp_path_factory: pytest.TempPathFactory, engine_settings: dict[str, Any], sqlite_template: Path
) -> Iterator[Application]:
    """An application over the example data, with every example published and no limit on inline rows."""
    home = tmp_path_factory.mktemp("examples")
    load_example_data(home / "warehouse")
    shutil.copy(sqlite_template, home / "catalog.db")
    own = {
        "home": home,
        "warehouse": str(home / "warehouse"),
        "catalog_dsn": f"sqlite:///{home}/catalog.db",
        "s3_prefix": "examples",
        "inline_max_rows": 1_000_000,
    }
    application = open_application(Settings(**(engine_settings | own)))
    assert outcomes(application, *_EXAMPLES) == ["created"] * len(_EXAMPLES)
    read_by_name = application.catalog.endpoints.get(1, "route-punctuality").version.id
    application.refresher.refresh(read_by_name, reason="test", dagster_run_id="run")
    yield application
    application.close()


def outcomes(application: Application, *files: DefinitionFile) -> list[str]:
    """Publish the files as ``endpoints publish`` does."""
    return [done.outcome for done in apply(application, plan(application, files))]


def each(*, materialized: bool | None = None) -> pytest.MarkDecorator:
    chosen = [file for file in _EXAMPLES if materialized is None or file.is_materialized is materialized]
    return pytest.mark.parametrize("example", chosen, ids=lambda file: file.name)


def test_the_examples_show_the_variety() -> None:
    frequencies = {file.sync_frequency for file in _EXAMPLES if file.is_materialized}

    assert {file.name for file in _EXAMPLES} == _ROWS.keys()
    assert {"5min", "15min", "1hour", "6hour", "24hour", "7day", "never"} <= frequencies <= {*PERIODS, "never"}
    assert [file.name for file in _EXAMPLES if not file.is_active] == ["february_blizzard"]
    assert [file.name for file in _EXAMPLES if file.is_active and not file.is_materialized] == [
        "flights-of-carrier",
        "longest_delays",
    ]
    assert {variable.type.value for file in _EXAMPLES for variable in file.variables} >= {
        "String",
        "Number",
        "Date",
        "List",
    }


@each()
def test_a_file_is_named_for_its_endpoint_and_describes_it(example: DefinitionFile) -> None:
    assert example.path.stem == example.name
    assert len(example.description) > 60


@each()
def test_an_example_gives_the_same_bytes_each_time(flights: Application, example: DefinitionFile) -> None:
    bounds = {one.name: bind(one.name, one.type, one.default) for one in example.variables}
    prepared = prepare(flights.sources, 1, example.query, bounds)
    resolved = flights.sources.resolve(1, prepared.sql, prepared.parameters)

    first, second = (flights.engine.json_rows(resolved.sql, resolved.parameters, role=resolved.role) for _ in range(2))

    assert first.data == second.data
    assert first.count == _ROWS[example.name]


@each()
def test_publishing_an_example_again_changes_nothing(flights: Application, example: DefinitionFile) -> None:
    assert outcomes(flights, example) == ["unchanged"]


@each()
def test_the_api_makes_the_same_endpoint_of_an_example(flights: Application, example: DefinitionFile) -> None:
    """``endpoints up`` publishes over HTTP: by POST where there is none, by PATCH where there is one."""
    project = "/api/projects/1/endpoints"
    with own_key(flights.settings) as key:
        client = TestClient(create_app(flights), headers={"Authorization": f"Bearer {key}"})

        changed = client.patch(f"{project}/{example.name}", json=example.to_body())
        assert (changed.status_code, changed.json()["current_version"]) == (200, 1)
        assert outcomes(flights, example) == ["unchanged"]

        assert client.delete(f"{project}/{example.name}").status_code == 204
        assert client.post(project, json=example.to_body()).status_code == 201
    assert outcomes(flights, example) == ["unchanged"]


@each(materialized=True)
def test_a_snapshot_is_served_as_the_query_itself(flights: Application, example: DefinitionFile) -> None:
    version = flights.catalog.endpoints.get(1, example.name).version
    flights.refresher.refresh(version.id, reason="test", dagster_run_id="run")

    served = flights.runner.run(1, example.name, RunRequest(variables=defaults(example)))
    direct = flights.runner.run(1, example.name, RunRequest(variables=defaults(example), refresh=Refresh.DIRECT))

    assert (served.served.path, direct.served.path) == ("materialized", "inline")
    assert served.columns == direct.columns
    assert b"".join(served.chunks()) == b"".join(direct.chunks())
    assert served.rows is not None
    assert served.rows.count == _ROWS[example.name]


def test_examples_that_read_others_may_come_first(
    engine_settings: dict[str, Any], tmp_path: Path, sqlite_template: Path, flights: Application
) -> None:
    shutil.copy(sqlite_template, tmp_path / "catalog.db")
    own = {"home": tmp_path, "warehouse": flights.settings.warehouse, "catalog_dsn": f"sqlite:///{tmp_path}/catalog.db"}
    application = open_application(Settings(**(engine_settings | own)))
    by_name = {file.name: file for file in _EXAMPLES}
    reader, read = by_name["worst_routes"], by_name["route-punctuality"]

    with pytest.raises(InvalidInput, match=r"worst_routes.yaml: .*Unknown table 'route-punctuality'"):
        outcomes(application, reader)
    assert [done.file.name for done in apply(application, plan(application, [reader, read]))] == [
        read.name,
        reader.name,
    ]
    assert application.catalog.endpoints.get(1, reader.name).version.reads.endpoints == (read.name,)
    application.close()


def answered(flights: Application, name: str, **variables: Any) -> list[list[Any]]:
    answer = flights.runner.run(1, name, RunRequest(variables=variables))
    rows: list[list[Any]] = json.loads(b"[" + b"".join(answer.chunks()) + b"]")
    return rows


def defaults(example: DefinitionFile) -> dict[str, Any]:
    """Said aloud: what has a snapshot wants a value for each variable."""
    return {variable.name: variable.default for variable in example.variables}


@each()
def test_variables_have_defaults_that_show_something(flights: Application, example: DefinitionFile) -> None:
    if example.variables:
        assert len(answered(flights, example.name, **defaults(example))) == _ROWS[example.name] > 2


def test_a_carriers_routes_are_its_own(flights: Application) -> None:
    assert answered(flights, "flights-of-carrier", carrier="HA") == [["JFK", "HNL", 342, 0, -6.92]]
    assert answered(flights, "flights-of-carrier", carrier="HA", least_flights=343) == []
    assert sum(row[2] for row in answered(flights, "flights-of-carrier", least_flights=1)) == 58_665


def test_a_day_and_its_airports_are_the_callers(flights: Application) -> None:
    rows = answered(flights, "airports-on-day", day="2013-07-04", origins=["LGA"])

    assert {row[0] for row in rows} == {"LGA"}
    assert sum(row[2] for row in rows) == sum(
        row[2] for row in answered(flights, "daily_cancellations") if row[:2] == ["2013-07-04", "LGA"]
    )
    assert answered(flights, "airports-on-day", day="2013-07-04", origins=[]) == []
