"""Statistics that the engine didn't give are unknown, not nought."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.summary import QuerySummary

from endpoints_pipeline.engine.progress import Statistics, collecting_statistics


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"written_rows": "3", "read_rows": "4", "read_bytes": "5"}, Statistics(3, 4, 5)),
        ({"written_rows": "0"}, Statistics(written_rows=0)),
        ({"read_rows": "4"}, Statistics(read_rows=4)),
        ({}, Statistics()),
    ],
)
def test_a_servers_summary(summary: dict[str, str], expected: Statistics) -> None:
    not_embedded = object()
    with collecting_statistics(not_embedded) as collect:  # type: ignore[arg-type]
        pass
    assert collect(QuerySummary(summary)) == expected
