"""The main job, by the command that proves it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import ENDPOINTS, environment_of


@pytest.mark.timeout(420)
def test_every_example_is_served_from_its_snapshot_with_the_direct_querys_rows(tmp_path: Path) -> None:
    done = subprocess.run(
        [*ENDPOINTS, "demo"],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = [line for line in done.stdout.splitlines() if "as expected" in line]
    assert len(results) >= 9
    assert sum("materialized: equal to direct" in line for line in results) >= 7
    assert any("336,776" in line for line in results)
    assert any("inactive: refused" in line for line in results)
    assert any("not materialized: inline" in line for line in results)
