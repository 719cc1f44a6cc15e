"""The examples that take variables, over a year of real flights: one snapshot answers each value as the source does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from endpoints_pipeline.cli.definition_files import DefinitionFile, load
from endpoints_pipeline.cli.example_data import load_example_data
from endpoints_pipeline.cli.publish import apply, plan
from endpoints_pipeline.serving.application import Application, open_application
from endpoints_pipeline.serving.decision import Path as ServedFrom
from endpoints_pipeline.serving.decision import Reason
from endpoints_pipeline.serving.request import Refresh, RunRequest
from endpoints_pipeline.settings import Settings
from tests.fixtures.catalog import FakeClock
from tests.snapshots.builders import PROJECT, current, refresh

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3Server

EXAMPLES = Path(__file__).parents[2] / "examples"
CARRIERS, AIRPORTS = ["UA", "9E", "HA", "XX", ""], ["EWR", "LGA", "JFK", "ORD"]

#: Values of each example's variables; every combination that is listed is run.
VALUES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "carrier-months": [{"carrier": carrier, "origin": origin} for carrier in CARRIERS for origin in AIRPORTS],
    "delays_between": [
        {"since": since, "until": until}
        for since in ("2013-01-01", "2013-02-08", "2013-02-08 05:00", "2013-03-10 02:00", "2013-11-03 06:00:00")
        for until in ("2013-02-09", "2013-02-08 06:00", "2014-01-01", "2013-11-03 07:00")
    ],
    "flights_of_plane": [
        {"tail_number": pattern} for pattern in ("N14228", "N142%", "%AA", "N___UA", "", "%", "n14228", "N1\\_%", "'")
    ],
    "best_days": [{"origin": origin} for origin in (*AIRPORTS, "' OR 1=1 --")],
    "airline_fleet": [{"airline": text} for text in ("united air lines", "AMERICA", "jet", "%", "nobody")],
    "airport_board": [
        {"airport": airport, "day": day, "carriers": carriers}
        for airport in ("JFK", "BOS")
        for day in ("2013-02-08", "2013-07-04", "2012-12-31")
        for carriers in ([], ["B6"], ["UA", "DL", "B6"], ["XX"])
    ],
    "airports-on-day": [
        {"day": day, "origins": origins}
        for day in ("2013-02-08", "2013-12-31", "1999-01-01")
        for origins in (["EWR", "JFK", "LGA"], ["LGA"], [])
    ],
    "calm_hours": [
        {"least_visibility": miles, "only": only} for miles in (0, 0.25, 5, 9.99, 10, 11) for only in ("", "JFK", "ORD")
    ],
}


@pytest.fixture(scope="module")
def flights(
    s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Application, Mapping[str, DefinitionFile]]]:
    folder = tmp_path_factory.mktemp("flights")
    load_example_data(folder / "warehouse")
    settings = Settings(
        _env_file=None,
        home=folder,
        warehouse=str(folder / "warehouse"),
        s3_endpoint_url=s3_server.endpoint_url,
        s3_bucket=s3_server.bucket,
        s3_access_key=s3_server.access_key,
        s3_secret_key=s3_server.secret_key,
        s3_prefix="flights-with-variables",
    )
    application = open_application(settings, clock=FakeClock())
    files = {file.name: file for file in load([EXAMPLES]) if file.name in VALUES}
    for published in apply(application, plan(application, list(files.values()))):
        refresh(application, published.endpoint)
    yield application, files
    application.close()


def test_every_example_that_can_be_materialized_is_tried() -> None:
    assert {file.name for file in load([EXAMPLES]) if file.variables and file.is_materialized} == VALUES.keys()


@pytest.mark.parametrize("name", VALUES)
def test_a_snapshot_answers_as_the_source_does(
    flights: tuple[Application, Mapping[str, DefinitionFile]], name: str
) -> None:
    application, _ = flights
    answered = 0
    for values in VALUES[name]:
        direct = _run(application, name, values, refresh=Refresh.DIRECT)
        assert direct[:2] == (ServedFrom.INLINE, Reason.DIRECT_REQUESTED)

        assert _run(application, name, values) == (ServedFrom.MATERIALIZED, Reason.FRESH_SNAPSHOT, direct[2]), values
        answered += len(direct[2]) > 0

    assert answered >= min(3, len(VALUES[name]) // 2), "values that find nothing prove nothing"


@pytest.mark.parametrize("name", ["airport_board", "flights_of_plane", "best_days"])
def test_pages_are_those_of_the_source(flights: tuple[Application, Mapping[str, DefinitionFile]], name: str) -> None:
    application, _ = flights
    values = VALUES[name][0]
    whole = _run(application, name, values)[2]
    pages = [_run(application, name, values, limit=7, offset=offset) for offset in range(0, len(whole) + 7, 7)]

    assert {page[0] for page in pages} == {ServedFrom.MATERIALIZED}
    assert [row for page in pages for row in page[2]] == whole


def test_a_moment_inside_of_a_bucket_is_asked_of_the_source(
    flights: tuple[Application, Mapping[str, DefinitionFile]],
) -> None:
    application, _ = flights
    values = {"since": "2013-02-08 05:30", "until": "2013-02-09"}

    path, reason, rows = _run(application, "delays_between", values)

    assert (path, reason) == (ServedFrom.INLINE, Reason.VALUES_NOT_STORED)
    assert rows == _run(application, "delays_between", values, refresh=Refresh.DIRECT)[2]


def test_snapshots_are_sorted_by_what_runs_filter_by(
    flights: tuple[Application, Mapping[str, DefinitionFile]],
) -> None:
    application, _ = flights
    snapshot = current(application, "flights_of_plane").version.snapshot
    assert snapshot is not None
    stored = orjson.loads(b"[" + application.reader.json_rows(snapshot).data + b"]")
    tail_numbers = [row[[column.name for column in snapshot.columns].index("tailnum")] for row in stored]

    assert [one for one in tail_numbers if one] == sorted(one for one in tail_numbers if one)


def _run(
    application: Application, name: str, values: Mapping[str, Any], **request: Any
) -> tuple[ServedFrom, Reason, list[Any]]:
    answer = application.runner.run(PROJECT, name, RunRequest(variables=dict(values), **request))
    rows = orjson.loads(b"[" + b"".join(answer.chunks()) + b"]")
    return answer.served.path, answer.served.reason, rows
