"""A snapshot's rows are the query's rows: every type and value, in the query's order, over several row groups."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.serving.application import Application
from tests.fixtures.engine import MakeApplication
from tests.snapshots.builders import create, direct_rows, refresh, rows
from tests.snapshots.sql_values import tables

_NUMBERS = count(1)


@pytest.fixture
def application(make_application: MakeApplication) -> Iterator[Application]:
    return make_application(parquet_row_group_rows=100)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(table=tables(), copies=st.integers(0, 120))
def test_rows_from_a_snapshot_are_the_querys(application: Application, table: str, copies: int) -> None:
    sql = f"SELECT t.* FROM ({table}) AS t CROSS JOIN numbers({copies}) AS n ORDER BY n.number DESC, t.row"
    endpoint = create(application, sql, name=f"e{next(_NUMBERS)}")
    snapshot = refresh(application, endpoint).snapshot
    assert snapshot.columns == endpoint.version.columns
    assert rows(application, snapshot) == direct_rows(application, sql)
