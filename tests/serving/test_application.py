from __future__ import annotations

from tests.fixtures.engine import MakeApplication
from tests.snapshots.builders import PROJECT


def test_opening_touches_neither_the_engine_nor_s3(make_application: MakeApplication) -> None:
    application = make_application(
        engine_dsn="clickhouse://user:password@127.0.0.1:1/x", s3_endpoint_url="http://127.0.0.1:1"
    )
    assert application.catalog.endpoints.list(PROJECT) == ([], 0)


def test_the_projects_row_is_made_once(make_application: MakeApplication) -> None:
    make_application()
    assert make_application().catalog.endpoints.list(PROJECT) == ([], 0)
