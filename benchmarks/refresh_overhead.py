"""What a refresh costs over the bare push-down, the same INSERT INTO FUNCTION s3 typed by hand.

Interleaved rounds in one process over generated rows, against a SeaweedFS started for it. The last line is JSON.

    python benchmarks/refresh_overhead.py [--quick] [--rows N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from endpoints_pipeline.catalog.endpoints import NewEndpoint
from endpoints_pipeline.cli.local_s3 import prepare
from endpoints_pipeline.cli.ports import find_free
from endpoints_pipeline.serving.application import Application, open_application
from endpoints_pipeline.serving.publish import check_query
from endpoints_pipeline.settings import Settings

QUERY = """
SELECT number AS id, number % 10000 AS customer, toDateTime64('2026-01-01', 3, 'UTC') + number AS at,
       toString(cityHash64(number)) AS token, ['a', 'b', 'c'][number % 3 + 1] AS kind, number * 1.5 AS amount,
       toDecimal64(number % 100000, 4) AS price, number % 7 = 0 AS flag,
       toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS ref,
       if(number % 5 = 0, NULL, number % 1000) AS maybe
FROM numbers({rows})
"""


@contextmanager
def application(folder: Path) -> Iterator[Application]:
    settings = Settings(_env_file=None, home=folder, s3_endpoint_url=f"http://127.0.0.1:{find_free()[0]}")
    s3 = prepare(settings)
    process = subprocess.Popen(
        s3.command.argv, env=s3.command.env, cwd=s3.command.cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        s3.wait_until_ready()
        opened = open_application(settings)
        yield opened
        opened.close()
    finally:
        process.kill()
        process.wait()
        s3.remove_sockets()


def bare(app: Application, sql: str) -> float:
    began = time.perf_counter()
    app.engine.export(
        "INSERT INTO FUNCTION s3({url:String}, {key:String}, {secret:String}, 'Parquet') "
        f"{sql} SETTINGS output_format_parquet_write_bloom_filter = 0, output_format_parquet_row_group_size = 122880",
        {
            "url": app.engine.s3.url(app.bucket.name, f"bare/{uuid4()}.parquet"),
            "key": app.engine.s3.access_key,
            "secret": app.engine.s3.secret_key,
        },
        tag="bare",
    )
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows, rounds = (500_000, 3) if arguments.quick else (arguments.rows, arguments.rounds)
    sql = QUERY.format(rows=rows)
    with tempfile.TemporaryDirectory() as folder, application(Path(folder)) as app:
        query = check_query(app.catalog, app.engine, 1, {"kind": "HogQLQuery", "query": sql}, materialized=True)
        endpoint = app.catalog.endpoints.create(
            1, NewEndpoint(name="bench", query=query, is_materialized=True), app.clock()
        )
        bare(app, sql)
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(bare(app, sql))
            began = time.perf_counter()
            app.refresher.refresh(endpoint.version.id, reason="benchmark", dagster_run_id="benchmark")
            ours.append(time.perf_counter() - began)
    ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
    print(f"{'':16}{'median s':>10}{'best s':>10}")
    print(f"{'bare push-down':16}{statistics.median(theirs):10.2f}{min(theirs):10.2f}")
    print(f"{'refresh':16}{statistics.median(ours):10.2f}{min(ours):10.2f}")
    figures = {"rows": rows, "refresh_s": statistics.median(ours), "bare_s": statistics.median(theirs)}
    print(json.dumps({"benchmark": "refresh_overhead", "ratios": {"over_bare_push_down": ratio}, "figures": figures}))


if __name__ == "__main__":
    main()
