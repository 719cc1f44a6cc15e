"""``endpoints up`` as a user lives with it: one stack, and what happens to an endpoint in it from birth to death."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from tests.e2e.stack import Stack, environment_of, running, until

pytestmark = pytest.mark.timeout(600)

BODY: dict[str, Any] = {
    "name": "sums-by-kind",
    "query": {
        "kind": "HogQLQuery",
        "query": "SELECT kind, sum(amount) AS total FROM sales GROUP BY kind ORDER BY kind",
    },
    "is_materialized": True,
    "sync_frequency": "1hour",
}
# quick while the table ``steps`` says 1, and long enough to be killed in the middle of its export when it says 90,000
STEPS_QUERY = """
SELECT a.number % 10 AS digit, sum(cityHash64(a.number, b.number)) AS hash
FROM numbers(100000) AS a CROSS JOIN numbers(100000) AS b
WHERE b.number < (SELECT max(n) FROM steps) GROUP BY digit ORDER BY digit
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("up")
    warehouse = folder / ".endpoints" / "warehouse"
    warehouse.mkdir(parents=True)
    pq.write_table(pa.table({"kind": ["a", "b", "a"], "amount": [1, 2, 3]}), warehouse / "sales.parquet")
    write_steps(folder, 1)
    with running(folder) as started:
        yield started


def write_steps(folder: Path, steps: int) -> None:
    pq.write_table(pa.table({"n": [steps]}), folder / ".endpoints" / "warehouse" / "steps.parquet")


def status(stack: Stack, name: str) -> str:
    listed = json.loads(stack.command("list", "--json").stdout)
    return str(next(endpoint["status"] for endpoint in listed if endpoint["name"] == name))


def served(stack: Stack, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = stack.call("GET", f"/{name}/run").json()
    return answer


def test_a_new_endpoint_is_an_asset_and_served_from_its_snapshot_within_a_minute(stack: Stack) -> None:
    created = stack.call("POST", "", BODY)
    assert created.status_code == 201
    assert served(stack, "sums-by-kind")["served"]["reason"] == "no_snapshot_yet"
    took = until(lambda: served(stack, "sums-by-kind")["served"]["path"] == "materialized", 60, "the first snapshot")
    print(f"materialized after {took:.1f} s")
    assert "sums-by-kind" in stack.assets()
    assert stack.scheduled()["refresh_1hour"] == ["sums-by-kind"]
    assert served(stack, "sums-by-kind")["results"] == [["a", 4], ["b", 2]]


def test_nobody_comes_in_without_a_key(stack: Stack) -> None:
    url = f"{stack.api}/api/projects/1/endpoints"
    assert requests.get(url, timeout=60).status_code == 401
    secret = stack.command("keys", "create", "--project-secret").stdout.strip()
    robot = {"Authorization": f"Bearer {secret}"}
    assert requests.get(url, headers=robot, timeout=60).status_code == 403
    assert requests.get(f"{url}/sums-by-kind/run", headers=robot, timeout=60).status_code == 200
    assert stack.command("keys", "revoke", f"{secret[:4]}...{secret[-4:]}").returncode == 0
    assert requests.get(f"{url}/sums-by-kind/run", headers=robot, timeout=60).status_code == 401


def test_the_refresh_is_recorded_for_last_execution_times(stack: Stack) -> None:
    # never run by a caller, so only the sensor can have recorded it
    assert stack.call("POST", "", {**BODY, "name": "only-refreshed"}).status_code == 201
    body = {"names": ["only-refreshed", "nobody"]}

    def results() -> Any:
        return stack.call("POST", "/last_execution_times", body).json()["query_status"]["results"]

    until(results, 90, "the recorded refresh")
    assert [name for name, _ in results()] == ["only-refreshed"]
    assert stack.call("POST", "/last_execution_times", body).json()["kinds"] == {"only-refreshed": "refresh"}
    assert stack.call("DELETE", "/only-refreshed").status_code == 204


def test_new_data_is_served_after_a_requested_refresh(stack: Stack) -> None:
    table = pa.table({"kind": ["a", "c"], "amount": [10, 20]})
    pq.write_table(table, stack.folder / ".endpoints" / "warehouse" / "sales.parquet")
    assert served(stack, "sums-by-kind")["results"] == [["a", 4], ["b", 2]]
    done = stack.command("refresh", "sums-by-kind", "--wait", "60")
    assert done.returncode == 0, done.stderr
    assert served(stack, "sums-by-kind")["results"] == [["a", 10], ["c", 20]]


def test_an_endpoint_that_reads_another_is_refreshed_after_it(stack: Stack) -> None:
    """By Dagster's own daemon."""
    query = {"kind": "HogQLQuery", "query": "SELECT sum(total) AS total FROM `sums-by-kind`"}
    body = {"name": "grand-total", "query": query, "is_materialized": True, "sync_frequency": "30day"}
    assert stack.call("POST", "", body).status_code == 201
    until(lambda: served(stack, "grand-total")["served"]["path"] == "materialized", 60, "the first snapshot")
    [[before]] = served(stack, "grand-total")["results"]
    table = pa.table({"kind": ["a", "c"], "amount": [10, 50]})
    pq.write_table(table, stack.folder / ".endpoints" / "warehouse" / "sales.parquet")
    assert stack.command("refresh", "sums-by-kind").returncode == 0

    took = until(lambda: served(stack, "grand-total")["results"] == [[60]], 60, "the refresh after the refresh")

    print(f"refreshed after {took:.1f} s")
    assert before != 60
    asked = "{runsOrError(limit: 5) {... on Runs {results {tags {key value}}}}}"
    answer = requests.post(f"{stack.dagster}/graphql", json={"query": asked}, timeout=60).json()
    tags = [tag for run in answer["data"]["runsOrError"]["results"] for tag in run["tags"]]
    assert {"key": "endpoints/reason", "value": "upstream refreshed"} in tags
    assert stack.call("DELETE", "/grand-total").status_code == 204


def test_a_run_killed_in_the_middle_leaves_the_old_snapshot_and_the_next_one_makes_a_new(stack: Stack) -> None:
    query = {"kind": "HogQLQuery", "query": STEPS_QUERY}
    assert (
        stack.call("POST", "", {**BODY, "name": "slow", "query": query, "sync_frequency": "24hour"}).status_code == 201
    )
    until(lambda: served(stack, "slow")["served"]["path"] == "materialized", 90, "the first snapshot")
    before = served(stack, "slow")
    write_steps(stack.folder, 90_000)
    assert stack.command("refresh", "slow").returncode == 0
    until(lambda: status(stack, "slow") == "Running", 60, "the refresh under way")
    time.sleep(3)
    workers = stack.run_workers()
    assert workers
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    write_steps(stack.folder, 2)
    after = served(stack, "slow")
    assert after["served"]["path"] == "materialized"
    assert after["served"]["snapshot_id"] == before["served"]["snapshot_id"]
    assert after["results"] == before["results"]

    # nobody asks: the death is noticed, and the next look of the sensors makes a new snapshot
    def is_new() -> bool:
        now = served(stack, "slow")["served"]
        return bool(now["path"] == "materialized" and now["snapshot_id"] != before["served"]["snapshot_id"])

    until(is_new, 120, "the new snapshot")
    again = served(stack, "slow")
    assert again["results"] != before["results"]


def test_bad_input_changes_nothing(stack: Stack) -> None:
    def names() -> list[str]:
        return [endpoint["name"] for endpoint in json.loads(stack.command("list", "--json").stdout)]

    before = names()
    for sql, said in (
        ("SELEC 1", "Syntax error"),
        ("SELECT * FROM nowhere", "Unknown table 'nowhere'"),
        ("SELECT file('/etc/passwd')", "not allowed"),
    ):
        answer = stack.call("POST", "", {"name": "bad", "query": {"kind": "HogQLQuery", "query": sql}})
        assert answer.status_code == 400
        assert answer.json()["attr"] == "query"
        assert said in answer.json()["detail"]
    assert stack.call("GET", "/bad").status_code == 404
    assert names() == before


def test_a_deactivated_endpoint_leaves_the_schedule(stack: Stack) -> None:
    assert stack.call("PATCH", "/sums-by-kind", {"is_active": False}).status_code == 200
    assert stack.call("GET", "/sums-by-kind/run").status_code == 404
    until(lambda: "sums-by-kind" not in stack.assets(), 60, "Dagster without the asset")
    assert "refresh_1hour" not in stack.scheduled()


def test_a_deleted_endpoint_is_not_served(stack: Stack) -> None:
    assert stack.call("DELETE", "/slow").status_code == 204
    assert stack.call("GET", "/slow/run").status_code == 404
    assert stack.call("GET", "/slow").status_code == 404


def test_a_taken_port_is_named_before_anything_starts(stack: Stack, tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = Stack(tmp_path, {**environment, "ENDPOINTS_API_PORT": port}, "", "", stack.process)
        done = other.command("up")
    assert done.returncode == 1
    assert port in done.stderr
    assert "ENDPOINTS_API_PORT" in done.stderr
    assert not other.members()


def test_a_wrong_catalog_dsn_is_said_without_its_password(stack: Stack, tmp_path: Path) -> None:
    dsn = "postgresql://me:hunter2@127.0.0.1:1/nowhere"
    other = Stack(tmp_path, {**environment_of(tmp_path), "ENDPOINTS_CATALOG_DSN": dsn}, "", "", stack.process)
    done = other.command("up")
    assert done.returncode == 1
    assert "ENDPOINTS_CATALOG_DSN" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_ctrl_c_leaves_nothing_running_or_locked(stack: Stack) -> None:
    stack.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert stack.process.wait(60) == 0
    print(f"stopped after {time.monotonic() - began:.1f} s")
    assert not stack.members()
    for name in ("ENDPOINTS_API_PORT", "ENDPOINTS_DAGSTER_PORT"):
        socket.create_server(("127.0.0.1", int(stack.environment[name]))).close()
    assert "Stopped." in (stack.folder / "up.log").read_text()
