"""What one snapshot for every value is worth: runs over 10,000,000 rows with an equality variable of 10,000 values.

The same query is asked for the same values, one after the other in each round: of its snapshot (on a SeaweedFS started
for it), of its source (Parquet on the local disk, in no order of that column), and of the snapshot's own Parquet copied
to the local disk, by DuckDB and by pyarrow.dataset. A run is all that a caller waits for: validation, the catalog, the
rows as JSON and the record of the execution; nothing comes from the result cache. The last line is JSON.

    python benchmarks/serve.py [--quick] [--rows N] [--rounds N]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.dataset as ds
import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from endpoints_pipeline.catalog.endpoints import NewEndpoint
from endpoints_pipeline.catalog.records import KeyKind, Snapshot
from endpoints_pipeline.cli.local_s3 import prepare
from endpoints_pipeline.cli.ports import find_free
from endpoints_pipeline.query.variables import VariableType
from endpoints_pipeline.serving.application import Application, open_application
from endpoints_pipeline.serving.publish import check_query
from endpoints_pipeline.serving.request import Refresh, RunRequest
from endpoints_pipeline.settings import Settings

CUSTOMERS = 10_000
SOURCE = f"""
SELECT number AS id, concat('customer-', leftPad(toString(cityHash64(number) % {CUSTOMERS}), 5, '0')) AS customer,
       toDateTime('2026-01-01 00:00:00', 'UTC') + number * 3 AS at, toUInt32(cityHash64(number, 1) % 1000) AS quantity,
       toFloat64(cityHash64(number, 2) % 1000000) / 100 AS amount,
       ['open', 'paid', 'sent', 'lost', 'held'][cityHash64(number, 3) % 5 + 1] AS status
FROM numbers({{rows}})
"""
QUERY = "SELECT id, at, quantity, amount, status FROM orders WHERE customer = {variables.customer} ORDER BY at"
WARM_UP = 100  # runs before the first that counts: an API process answers for months
CLIENTS = (1, 4, 8)


@dataclass(frozen=True)
class Published:
    """The endpoint's key to the API, and a local copy of its snapshot."""

    secret: str
    copy: Path
    refresh_s: float
    snapshot: Snapshot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer rounds")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    rounds = min(arguments.rounds, 40) if arguments.quick else arguments.rounds
    with tempfile.TemporaryDirectory() as folder:
        s3_port, api_port = find_free(2)
        settings = Settings(
            _env_file=None,
            home=Path(folder),
            warehouse=f"{folder}/warehouse",
            s3_endpoint_url=f"http://127.0.0.1:{s3_port}",
            api_port=api_port,
            rate_limit_materialized="off",
            cache_memory=0,
        )
        s3 = prepare(settings)
        with running(list(s3.command.argv), env=s3.command.env, cwd=s3.command.cwd):
            s3.wait_until_ready()
            application = open_application(settings, caching=True)
            published = publish(application, arguments.rows)
            seconds = latencies(application, published.copy, rounds)
            throughput = {clients: runs_per_second(application, clients, rounds) for clients in CLIENTS}
            application.close()
            seconds["over HTTP"] = http_latencies(settings, published.secret, rounds)
        s3.remove_sockets()
    report(arguments.rows, published, seconds, throughput)


def publish(application: Application, rows: int) -> Published:
    """Write the source, and make the endpoint with its snapshot."""
    settings = application.settings
    warehouse = Path(settings.resolved_warehouse)
    warehouse.mkdir(parents=True)
    application.engine.query(
        f"INSERT INTO FUNCTION file('{warehouse}/orders.parquet', 'Parquet') {SOURCE.format(rows=rows)} "
        "SETTINGS output_format_parquet_row_group_size = 122880"
    )
    application.catalog.variables.create(
        1, name="customer", type=VariableType.STRING, default_value=None, by=None, now=application.clock()
    )
    query = {"kind": "HogQLQuery", "query": QUERY}
    checked = check_query(application.catalog, application.sources, 1, query, materialized=True)
    new = NewEndpoint(name="bench", query=checked, is_materialized=True)
    endpoint = application.catalog.endpoints.create(1, new, application.clock())
    refreshed = application.refresher.refresh(endpoint.version.id, reason="benchmark", dagster_run_id="benchmark")
    copy = settings.home / "copy.parquet"
    with copy.open("wb") as file:
        file.writelines(application.bucket.chunks(refreshed.snapshot.parts[0].key))
    user = application.catalog.keys.ensure_user("bench@localhost", now=application.clock())
    _, secret = application.catalog.keys.create(
        kind=KeyKind.PERSONAL, label="benchmark", project_id=1, scopes=["*"], user_id=user.id, now=application.clock()
    )
    return Published(secret, copy, refreshed.total_seconds, refreshed.snapshot)


def latencies(application: Application, copy: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, each round with another customer. All of them must find the same rows."""
    connection = duckdb.connect()
    connection.execute("SET enable_object_cache = true")
    dataset = ds.dataset(copy)

    def ask_duckdb(customer: str) -> int:
        found = connection.execute(
            f'SELECT id, "at", quantity, amount, status FROM \'{copy}\' WHERE __var_customer = ? ORDER BY "at"',
            [customer],
        )
        return len(found.fetchall())

    def ask_pyarrow(customer: str) -> int:
        found = dataset.to_table(
            columns=["id", "at", "quantity", "amount", "status"], filter=ds.field("__var_customer") == customer
        )
        return len(found.sort_by("at").to_pylist())

    ways: Mapping[str, Callable[[str], int]] = {
        "materialized": lambda customer: run(application, customer, Refresh.FORCE),
        "direct": lambda customer: run(application, customer, Refresh.DIRECT),
        "DuckDB, local copy": ask_duckdb,
        "pyarrow.dataset, local copy": ask_pyarrow,
    }
    for customer in customers(WARM_UP, seed=1):
        run(application, customer, Refresh.FORCE)
    for way in ways.values():
        way("customer-00000")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number, customer in enumerate(customers(rounds, seed=2)):
        counts = set()
        for name, way in ways.items():
            if name != "materialized" and number >= rounds // 4:
                continue  # a quarter of the rounds tells enough of what takes a second each
            gc.collect()
            began = time.perf_counter()
            counts.add(way(customer))
            seconds[name].append(time.perf_counter() - began)
        assert len(counts) == 1, counts
    return seconds


def run(application: Application, customer: str, refresh: Refresh) -> int:
    """One run to its last byte; how many rows it gave."""
    request = RunRequest(variables={"customer": customer}, refresh=refresh)
    answer = application.runner.run(1, "bench", request)
    for _ in answer.chunks():
        pass
    assert answer.served.path == ("inline" if refresh is Refresh.DIRECT else "materialized"), answer.served
    assert answer.rows is not None
    return answer.rows.count


def customers(count: int, *, seed: int) -> list[str]:
    pick = random.Random(seed)
    return [f"customer-{pick.randrange(CUSTOMERS):05d}" for _ in range(count)]


def runs_per_second(application: Application, clients: int, rounds: int) -> float:
    asked = customers(rounds * 2, seed=3 + clients)
    with ThreadPoolExecutor(clients) as threads:
        began = time.perf_counter()
        list(threads.map(lambda customer: run(application, customer, Refresh.FORCE), asked))
        return len(asked) / (time.perf_counter() - began)


def http_latencies(settings: Settings, secret: str, rounds: int) -> list[float]:
    """Seconds of runs over HTTP, of a live API process."""
    url = f"http://127.0.0.1:{settings.api_port}/api/projects/1/endpoints/bench/run"
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {secret}"
    seconds = []
    with api(settings):
        for number, customer in enumerate(customers(WARM_UP + rounds, seed=9)):
            began = time.perf_counter()
            answer = session.post(url, json={"variables": {"customer": customer}, "refresh": "force"}, timeout=60)
            if number >= WARM_UP:
                seconds.append(time.perf_counter() - began)
            assert b'"path":"materialized"' in answer.content[-2000:], answer.content[-2000:]
    return seconds


@contextmanager
def api(settings: Settings) -> Iterator[None]:
    """A live API process."""
    environment = {
        **os.environ,
        "ENDPOINTS_HOME": str(settings.home),
        "ENDPOINTS_WAREHOUSE": settings.warehouse,
        "ENDPOINTS_S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "ENDPOINTS_RATE_LIMIT_MATERIALIZED": "off",
    }
    factory = ["--factory", "endpoints_pipeline.api.app:main_app", "--port", str(settings.api_port)]
    with running([sys.executable, "-m", "uvicorn", *factory, "--no-access-log"], env=environment):
        for attempt in Retrying(
            retry=retry_if_exception_type(requests.ConnectionError), stop=stop_after_delay(60), wait=wait_fixed(0.1)
        ):
            with attempt:
                requests.get(f"http://127.0.0.1:{settings.api_port}/livez", timeout=5).raise_for_status()
        yield


@contextmanager
def running(argv: list[str], **more: object) -> Iterator[None]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)  # type: ignore[call-overload]
    try:
        yield
    finally:
        process.kill()
        process.wait()


def report(
    rows: int, published: Published, seconds: Mapping[str, list[float]], throughput: Mapping[int, float]
) -> None:
    print(
        f"{rows:,} rows, {published.snapshot.bytes / 1e6:.0f} MB in {published.snapshot.parts[0].row_groups} row "
        f"groups; refreshed in {published.refresh_s:.1f} s\n"
    )
    print(f"{'':32}{'runs':>6}{'p50 ms':>10}{'p95 ms':>10}{'x':>8}")
    p50 = {name: statistics.median(taken) * 1000 for name, taken in seconds.items()}
    p95 = {name: statistics.quantiles(taken, n=20)[-1] * 1000 for name, taken in seconds.items()}
    for name, taken in seconds.items():
        ratio = p50[name] / p50["materialized"]
        print(f"{name:32}{len(taken):6}{p50[name]:10.1f}{p95[name]:10.1f}{ratio:8.1f}")
    print()
    for clients, rate in throughput.items():
        print(f"{f'{clients} clients':32}{rate:10.0f} runs/s")
    ratios = {
        "direct_over_materialized_p50": round(p50["direct"] / p50["materialized"], 1),
        "duckdb_over_materialized_p50": round(p50["DuckDB, local copy"] / p50["materialized"], 1),
        "pyarrow_over_materialized_p50": round(p50["pyarrow.dataset, local copy"] / p50["materialized"], 1),
    }
    figures = {
        "rows": rows,
        "p50_ms": round(p50["materialized"], 2),
        "p95_ms": round(p95["materialized"], 2),
        "http_p50_ms": round(p50["over HTTP"], 2),
        "http_p95_ms": round(p95["over HTTP"], 2),
        "direct_p50_ms": round(p50["direct"], 1),
        "refresh_s": round(published.refresh_s, 1),
        **{f"runs_per_second_{clients}": round(rate) for clients, rate in throughput.items()},
    }
    print(json.dumps({"benchmark": "serve", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
