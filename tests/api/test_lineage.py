"""Endpoints that read endpoints, over HTTP; and what ``docs/lineage.md`` says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.api.callers import DAILY_ROWS, Caller, flat, hogql, invalid, ok, says

PAGE = (Path(__file__).parents[2] / "docs" / "lineage.md").read_text()
TOTAL = "SELECT sum(total) AS total, count() AS days FROM daily"
NOT_READY = (
    "The query reads the endpoint 'daily', which has no snapshot yet. Try again after its first refresh; its "
    "materialization status tells how that goes."
)


@pytest.fixture
def daily(api: Caller) -> Caller:
    """A caller with a materialized endpoint ``daily``."""
    api.created(is_materialized=True)
    api.materialize()
    return api


def test_an_endpoint_reads_another(daily: Caller) -> None:
    daily.created("total", TOTAL)
    body = daily.answered("total")
    assert (body["results"], body["columns"]) == ([[190, 5]], ["total", "days"])
    assert "s3(" not in str(body)


def test_it_can_be_materialized_and_takes_variables(daily: Caller) -> None:
    daily.created("total", TOTAL, is_materialized=True)
    daily.materialize("total")
    body = daily.answered("total")
    assert (body["results"], body["served"]["path"]) == ([[190, 5]], "materialized")
    variables = daily.client.post(
        f"/api/projects/{daily.project}/insight_variables/",
        json={"name": "least", "type": "Number", "default_value": 40},
    )
    made = ok(variables, 201)
    query = {
        **hogql("SELECT day FROM daily WHERE total >= {variables.least} ORDER BY day"),
        "variables": {made["id"]: {"variableId": made["id"], "code_name": made["code_name"]}},
    }
    ok(daily.post("", {"name": "good-days", "query": query, "is_materialized": True}), 201)
    inline = daily.answered("good-days", {"variables": {"least": 40}})
    daily.materialize("good-days")
    kept = daily.answered("good-days", {"variables": {"least": 40}})
    assert inline["results"] == kept["results"] == [["2026-01-04"], ["2026-01-05"]]
    assert (inline["served"]["path"], kept["served"]["path"]) == ("inline", "materialized")


def test_a_new_snapshot_is_read_at_once(api: Caller, change_source: Callable[[list[int]], None]) -> None:
    change_source([1, 2])
    api.created(sql="SELECT n FROM api_changing", is_materialized=True)
    api.materialize()
    api.created("total", "SELECT sum(n) FROM daily", data_freshness_seconds=900)
    assert api.answered("total")["results"] == [[3]]
    change_source([5])
    assert api.answered("total", {"refresh": "force"})["results"] == [[3]], "the snapshot stays as it is"
    api.materialize()
    assert api.answered("total", {"refresh": "force"})["results"] == [[5]]


def test_what_can_not_be_read_is_refused(api: Caller) -> None:
    api.created()
    why = "which isn't materialized; materialize it first."
    assert says(api.create("total", TOTAL)) == invalid(
        f"Invalid HogQL query: It reads the endpoint 'daily', {why}", "query"
    )
    assert "Unknown table 'nothing'" in api.create("total", "SELECT * FROM nothing").json()["detail"]


def test_a_cycle_is_refused(daily: Caller) -> None:
    daily.created("total", TOTAL, is_materialized=True)
    daily.created("last", "SELECT * FROM total", is_materialized=True)
    for sql, way in [
        ("SELECT * FROM last", "daily -> last -> total -> daily"),
        ("SELECT * FROM daily", "daily -> daily"),
    ]:
        assert says(daily.patch("/daily", {"query": hogql(sql)})) == invalid(
            f"Invalid HogQL query: It would read itself: {way}", "query"
        )
    assert daily.record().current_version == 1


def test_a_run_before_the_first_snapshot_says_what_to_wait_for(api: Caller) -> None:
    api.created(is_materialized=True)
    api.created("total", TOTAL)
    assert says(api.run("total")) == (503, flat("server_error", "source_not_ready", NOT_READY))
    api.materialize()
    assert api.answered("total")["results"] == [[190, 5]]


def test_a_snapshot_outlives_what_it_was_made_of(daily: Caller) -> None:
    daily.created("total", TOTAL, is_materialized=True)
    daily.materialize("total")
    assert daily.delete("/daily").status_code == 204
    assert daily.answered("total")["results"] == [[190, 5]]
    answer = daily.run("total", {"refresh": "direct"})
    assert answer.status_code == 400
    assert "'daily', which was deleted; take it out of the query, or create it again." in answer.json()["detail"]


def test_other_projects_endpoints_are_not_seen(daily: Caller, stranger: Caller) -> None:
    assert "Unknown table 'daily'" in stranger.create("total", TOTAL).json()["detail"]


def test_rows_and_types_are_the_endpoints_own(daily: Caller) -> None:
    daily.created("same", "SELECT * FROM daily ORDER BY day")
    mine, own = daily.answered("same"), daily.answered("daily", {"refresh": "direct"})
    assert mine["results"] == own["results"] == DAILY_ROWS
    assert mine["types"] == own["types"]


class TestPage:
    @pytest.fixture
    def flights(self, variant: Callable[..., Caller], tmp_path: Path) -> Caller:
        numbers = range(60)
        table = {
            "year": [2013] * 60,
            "month": [1] * 60,
            "day": [number % 12 + 1 for number in numbers],
            "carrier": ["UA" if number % 2 else "B6" for number in numbers],
            "dep_time": pa.array([None if number % 12 == 3 and number < 30 else number for number in numbers]),
        }
        pq.write_table(pa.table(table), tmp_path / "flights.parquet")
        return variant(warehouse=str(tmp_path))

    def test_its_queries_work(self, flights: Caller) -> None:
        daily, worst = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
        flights.created("daily_flights", daily, is_materialized=True)
        flights.materialize("daily_flights")
        flights.created("worst_days", worst)
        rows: list[list[Any]] = flights.answered("worst_days")["results"]
        assert rows[0] == ["2013-01-04", 0.6]
        assert len(rows) == 10

    def test_its_messages_are_ours(self, flights: Caller) -> None:
        told = re.findall(r"`(Invalid HogQL query: .*?)` \|", PAGE)
        assert len(told) == 4
        daily, worst = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
        flights.created("daily_flights", daily)
        heard = [flights.create("worst_days", worst).json()["detail"]]
        flights.created("with_variables", daily)
        ok(
            flights.client.post(
                f"/api/projects/{flights.project}/insight_variables/", json={"name": "c", "type": "String"}
            ),
            201,
        )
        [variable] = flights.client.get(f"/api/projects/{flights.project}/insight_variables/").json()["results"]
        query = {
            **hogql("SELECT 1 AS n WHERE {variables.c} = ''"),
            "variables": {variable["id"]: {"variableId": variable["id"], "code_name": "c"}},
        }
        flights.patched("with_variables", query=query)
        refused = flights.create("worst_days", worst.replace("daily_flights", "with_variables")).json()["detail"]
        heard.append(refused.replace("with_variables", "daily_flights"))
        flights.patched("daily_flights", is_materialized=True)
        flights.created("worst_days", worst, is_materialized=True)
        heard.append(flights.patch("/daily_flights", {"query": hogql("SELECT * FROM worst_days")}).json()["detail"])
        heard.append(flights.create("more", "SELECT * FROM daily_flight").json()["detail"])
        for detail, wanted in zip(heard, told, strict=True):
            assert detail.startswith(wanted.removesuffix("…")), detail
