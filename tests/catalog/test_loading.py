"""What a catalog keeps in memory never hides what another process has changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from endpoints_pipeline.catalog import Catalog, open_catalog
from endpoints_pipeline.catalog.endpoints import EndpointChange
from tests.catalog.builders import PROJECT, checked, execution, materialized, refresh
from tests.fixtures.catalog import FakeClock


@pytest.fixture
def other(catalog_dsn: str) -> Iterator[Catalog]:
    """Another process's catalog."""
    opened = open_catalog(catalog_dsn, timeout=30, auto_migrate=False)
    yield opened
    opened.close()


def test_each_change_of_another_process_is_seen(catalog: Catalog, other: Catalog, clock: FakeClock) -> None:
    made = materialized(catalog, clock())
    assert other.endpoints.get(PROJECT, "daily") == catalog.endpoints.get(PROJECT, "daily")
    changes = (
        EndpointChange(description="words", tags=["a"], display_name="Daily"),
        EndpointChange(data_freshness_seconds=900, bucket_overrides={"at": "hour"}),
        EndpointChange(query=checked("SELECT 2 AS n")),
        EndpointChange(is_active=False),
        EndpointChange(is_active=True, is_materialized=True),
    )
    for change in changes:
        changed = catalog.endpoints.update(PROJECT, "daily", change, clock.advance(timedelta(minutes=1)))
        assert other.endpoints.get(PROJECT, "daily") == changed == catalog.endpoints.get(PROJECT, "daily")

    for _ in range(2):
        snapshot = refresh(catalog, changed.version.id, clock.advance(timedelta(minutes=1)))
        assert other.endpoints.get(PROJECT, "daily").version.snapshot == snapshot
    catalog.executions.record([execution(made, clock(), version=2)], [])
    assert other.endpoints.get(PROJECT, "daily").last_executed_at == clock()

    catalog.endpoints.update(PROJECT, "daily", EndpointChange(is_materialized=False), clock())
    assert other.endpoints.get(PROJECT, "daily").version.snapshot is None


def test_a_look_at_a_known_endpoint_is_one_statement(catalog: Catalog, clock: FakeClock) -> None:
    refresh(catalog, materialized(catalog, clock()).version.id, clock())
    catalog.endpoints.get(PROJECT, "daily")
    statements: list[str] = []
    engine = catalog.database.engine

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    found = catalog.endpoints.get(PROJECT, "daily")
    sa.event.remove(engine, "before_cursor_execute", note)

    assert found.version.snapshot is not None
    assert [text.split()[0] for text in statements if text.startswith("SELECT")] == ["SELECT"]
