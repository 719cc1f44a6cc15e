"""A large answer streams through the API: what it costs is bounded, and it begins before it is complete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "large_answers.py"


def test_a_million_rows_take_less_than_200_mb_over_a_hundred() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--quick"], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert figures["rows"] == 1_000_000
    assert figures["extra_mb"] < 200
    assert figures["first_byte_ms"] < figures["total_s"] * 1000 / 2
