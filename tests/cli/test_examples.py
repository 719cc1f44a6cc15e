"""The examples that we ship: each gives the same bytes each time, from its query and from its snapshot."""

from __future__ import annotations

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
from endpoints_pipeline.frequency import PERIODS
from endpoints_pipeline.serving.application import Application, open_application
from endpoints_pipeline.serving.request import Refresh, RunRequest
from endpoints_pipeline.settings import Settings
from tests.api.callers import TestClient

_FOLDER = Path(__file__).parent.parent.parent / "examples"
_EXAMPLES = load([_FOLDER])
_ROWS = {
    "aircraft-utilisation": 3_322,
    "all_flights": 336_776,
    "busiest_airports": 101,
    "carrier_punctuality": 16,
    "daily_cancellations": 1_095,
    "delay_percentiles": 36,
    "february_blizzard": 15,
    "fleet_age": 16,
    "hourly_departures": 392,
    "longest_delays": 100,
    "route-punctuality": 201,
    "weather_and_delays": 37,
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
    plans = [(file, plan(application, file)) for file in _EXAMPLES]
    assert [apply(application, file, planned)[1] for file, planned in plans] == ["created"] * len(_EXAMPLES)
    yield application
    application.close()


def each(*, materialized: bool | None = None) -> pytest.MarkDecorator:
    chosen = [file for file in _EXAMPLES if materialized is None or file.is_materialized is materialized]
    return pytest.mark.parametrize("example", chosen, ids=lambda file: file.name)


def test_the_examples_show_the_variety() -> None:
    frequencies = {file.sync_frequency for file in _EXAMPLES if file.is_materialized}

    assert {file.name for file in _EXAMPLES} == _ROWS.keys()
    assert {"5min", "15min", "1hour", "6hour", "24hour", "7day", "never"} <= frequencies <= {*PERIODS, "never"}
    assert [file.name for file in _EXAMPLES if not file.is_active] == ["february_blizzard"]
    assert [file.name for file in _EXAMPLES if file.is_active and not file.is_materialized] == ["longest_delays"]


@each()
def test_a_file_is_named_for_its_endpoint_and_describes_it(example: DefinitionFile) -> None:
    assert example.path.stem == example.name
    assert len(example.description) > 60


@each()
def test_an_example_gives_the_same_bytes_each_time(flights: Application, example: DefinitionFile) -> None:
    canonical = flights.engine.canonical(example.query)

    first, second = (flights.engine.json_rows(canonical) for _ in range(2))

    assert first.data == second.data
    assert first.count == _ROWS[example.name]


@each()
def test_publishing_an_example_again_changes_nothing(flights: Application, example: DefinitionFile) -> None:
    assert apply(flights, example, plan(flights, example))[1] == "unchanged"


@each()
def test_the_api_makes_the_same_endpoint_of_an_example(flights: Application, example: DefinitionFile) -> None:
    """``endpoints up`` publishes over HTTP: by POST where there is none, by PATCH where there is one."""
    project = "/api/projects/1/endpoints"
    with own_key(flights.settings) as key:
        client = TestClient(create_app(flights), headers={"Authorization": f"Bearer {key}"})

        changed = client.patch(f"{project}/{example.name}", json=example.to_body())
        assert (changed.status_code, changed.json()["current_version"]) == (200, 1)
        assert apply(flights, example, plan(flights, example))[1] == "unchanged"

        assert client.delete(f"{project}/{example.name}").status_code == 204
        assert client.post(project, json=example.to_body()).status_code == 201
    assert apply(flights, example, plan(flights, example))[1] == "unchanged"


@each(materialized=True)
def test_a_snapshot_is_served_as_the_query_itself(flights: Application, example: DefinitionFile) -> None:
    version = flights.catalog.endpoints.get(1, example.name).version
    flights.refresher.refresh(version.id, reason="test", dagster_run_id="run")

    served = flights.runner.run(1, example.name, RunRequest())
    direct = flights.runner.run(1, example.name, RunRequest(refresh=Refresh.DIRECT))

    assert (served.served.path, direct.served.path) == ("materialized", "inline")
    assert served.columns == direct.columns
    assert b"".join(served.chunks()) == b"".join(direct.chunks())
    assert served.rows is not None
    assert served.rows.count == _ROWS[example.name]
