"""What a large answer costs the API: memory over that of a small one, time to the first byte, rows per second.

A live API process over a materialized endpoint, against a SeaweedFS started for it; each figure is of a fresh process,
which has answered a run of 100 rows before. The last line is JSON.

    python benchmarks/large_answers.py [--quick] [--rows N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from endpoints_pipeline.catalog.endpoints import NewEndpoint
from endpoints_pipeline.catalog.records import KeyKind
from endpoints_pipeline.cli.local_s3 import prepare
from endpoints_pipeline.cli.ports import find_free
from endpoints_pipeline.serving.application import open_application
from endpoints_pipeline.serving.publish import check_query
from endpoints_pipeline.settings import Settings

SQL = """
SELECT number AS id, number % 10000 AS customer, toDateTime64('2026-01-01', 3, 'UTC') + number AS at,
       hex(cityHash64(number)) AS token, ['a', 'b', 'c'][number % 3 + 1] AS kind, number * 1.5 AS amount,
       toDecimal64(number % 100000, 4) AS price, if(number % 5 = 0, NULL, number % 1000) AS maybe
FROM numbers({rows}) ORDER BY id
"""
MB = 1024 * 1024


@dataclass(frozen=True)
class Measured:
    """Of one process: megabytes at their peak, and the large answer's seconds and bytes."""

    small_mb: float
    large_mb: float
    first_byte_s: float
    total_s: float
    bytes: int


@contextmanager
def running(argv: list[str], **more: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def api(settings: Settings) -> Iterator[int]:
    """A fresh API process; its process id."""
    environment = {
        **os.environ,
        "ENDPOINTS_HOME": str(settings.home),
        "ENDPOINTS_S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "ENDPOINTS_CACHE_MEMORY": "0",
    }
    factory = ["--factory", "endpoints_pipeline.api.app:main_app", "--port", str(settings.api_port)]
    with running([sys.executable, "-m", "uvicorn", *factory], env=environment) as process:
        for attempt in Retrying(
            retry=retry_if_exception_type(requests.ConnectionError), stop=stop_after_delay(60), wait=wait_fixed(0.1)
        ):
            with attempt:
                requests.get(f"http://127.0.0.1:{settings.api_port}/livez", timeout=5).raise_for_status()
        yield process.pid


def peak_mb(pid: int) -> float:
    """The most memory that the process ever had, in megabytes (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def measured(settings: Settings, secret: str, rows: int) -> Measured:
    url = f"http://127.0.0.1:{settings.api_port}/api/projects/1/endpoints/bench/run"
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {secret}"
    with api(settings) as pid:
        for _ in range(5):
            small = session.post(url, json={"limit": 100}, timeout=60).json()
            assert (len(small["results"]), small["served"]["path"]) == (100, "materialized"), small
        small_mb = peak_mb(pid)
        began = time.perf_counter()
        first_byte, size, tail = 0.0, 0, b""
        with session.post(url, json={}, stream=True, timeout=300) as answer:
            for chunk in answer.iter_content(MB):
                first_byte = first_byte or time.perf_counter() - began
                size += len(chunk)
                tail = (tail + chunk)[-4096:]
        total = time.perf_counter() - began
        assert tail.endswith(b"}")
        assert b'"hasMore":false' in tail
        return Measured(small_mb, peak_mb(pid), first_byte, total, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    with tempfile.TemporaryDirectory() as folder:
        s3_port, api_port = find_free(2)
        settings = Settings(
            _env_file=None, home=Path(folder), s3_endpoint_url=f"http://127.0.0.1:{s3_port}", api_port=api_port
        )
        s3 = prepare(settings)
        with running(list(s3.command.argv), env=s3.command.env, cwd=s3.command.cwd):
            s3.wait_until_ready()
            secret = publish(settings, arguments.rows)
            found = [measured(settings, secret, arguments.rows) for _ in range(rounds)]
        s3.remove_sockets()
    report(found, arguments.rows)


def publish(settings: Settings, rows: int) -> str:
    """The endpoint with its snapshot; a key to the API."""
    application = open_application(settings)
    query = {"kind": "HogQLQuery", "query": SQL.format(rows=rows)}
    checked = check_query(application.catalog, application.sources, 1, query, materialized=True)
    new = NewEndpoint(name="bench", query=checked, is_materialized=True)
    endpoint = application.catalog.endpoints.create(1, new, application.clock())
    application.refresher.refresh(endpoint.version.id, reason="benchmark", dagster_run_id="benchmark")
    user = application.catalog.keys.ensure_user("bench@localhost", now=application.clock())
    _, secret = application.catalog.keys.create(
        kind=KeyKind.PERSONAL, label="benchmark", project_id=1, scopes=["*"], user_id=user.id, now=application.clock()
    )
    application.close()
    return secret


def report(found: list[Measured], rows: int) -> None:
    small, large = (statistics.median(getattr(one, name) for one in found) for name in ("small_mb", "large_mb"))
    first, total = (statistics.median(getattr(one, name) for one in found) for name in ("first_byte_s", "total_s"))
    extra = statistics.median(one.large_mb - one.small_mb for one in found)
    print(f"{'rows':>12}{'peak MB':>10}{'first byte ms':>16}{'total s':>10}{'MB sent':>10}")
    print(f"{100:12,}{small:10.0f}")
    print(f"{rows:12,}{large:10.0f}{first * 1000:16.0f}{total:10.2f}{found[0].bytes / MB:10.0f}")
    figures = {
        "rows": rows,
        "extra_mb": round(extra),
        "first_byte_ms": round(first * 1000),
        "total_s": round(total, 2),
        "rows_per_second": round(rows / total),
        "answer_mb": round(found[0].bytes / MB),
    }
    ratios = {"peak_memory_over_small": round(large / small, 3)}
    print(json.dumps({"benchmark": "large_answers", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
