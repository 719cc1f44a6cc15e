"""Streams 1,000,000 rows after 200,000, and prints their number, their bytes, and how far the process grew for them."""

from __future__ import annotations

import resource

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.settings import Settings


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    settings = Settings(_env_file=None, s3_access_key="unused", s3_secret_key="unused")
    engine = Engine(settings, make_s3_client=lambda: None)  # type: ignore[arg-type, return-value]
    read(engine, 200_000)
    before = peak()
    count, size = read(engine, 1_000_000)
    print(count, size, peak() - before)
    engine.close()


def read(engine: Engine, rows: int) -> tuple[int, int]:
    count = size = 0
    with engine.stream(f"SELECT number, repeat('x', 500) FROM numbers({rows})") as blocks:
        for block in blocks:
            count += block.count
            size += len(block.data)
    return count, size


if __name__ == "__main__":
    main()
