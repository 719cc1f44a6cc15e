"""The API over a real application: chDB, a folder of Parquet, SQLite, a real S3. Each test has a project of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

from endpoints_pipeline.api.app import create_app
from endpoints_pipeline.catalog.records import KeyKind
from endpoints_pipeline.serving.application import Application, open_application
from endpoints_pipeline.settings import Settings
from tests.api.callers import Caller, TestClient
from tests.fixtures.catalog import FakeClock

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3Server

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Variant = Callable[..., Caller]
_PROJECTS = count(100)


@pytest.fixture(scope="session")
def api_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``api_events``: 20 rows over five days; ``api_changing``, which tests rewrite."""
    folder = tmp_path_factory.mktemp("api-warehouse")
    numbers = range(20)
    table = {
        "day": [date(2026, 1, 1) + timedelta(days=number % 5) for number in numbers],
        "amount": pa.array(numbers, pa.int64()),
        "name": [f"é{number % 3}" for number in numbers],
    }
    pq.write_table(pa.table(table), folder / "api_events.parquet")
    _write_changing(folder, [])
    return folder


@pytest.fixture
def change_source(api_warehouse: Path) -> Callable[[list[int]], None]:
    """Gives ``api_changing`` other rows."""
    return lambda values: _write_changing(api_warehouse, values)


@pytest.fixture(scope="session")
def api_settings(tmp_path_factory: pytest.TempPathFactory, api_warehouse: Path, s3_server: S3Server) -> Settings:
    return Settings(
        _env_file=None,
        home=tmp_path_factory.mktemp("api-home"),
        warehouse=str(api_warehouse),
        s3_endpoint_url=s3_server.endpoint_url,
        s3_bucket=s3_server.bucket,
        s3_access_key=s3_server.access_key,
        s3_secret_key=s3_server.secret_key,
        s3_prefix="api-tests",
        public_url="https://endpoints.example/",
        dagster_url="https://dagster.example",
        inline_max_rows=50,
        rate_limit_inline="off",  # tests ask more than people do
        rate_limit_materialized="off",
        engine_handles=4,
    )


@pytest.fixture(scope="session")
def session_clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture(scope="session")
def api_application(api_settings: Settings, session_clock: FakeClock) -> Iterator[Application]:
    """One for the session: the engine takes a second to open, and projects keep the tests apart."""
    application = open_application(api_settings, clock=session_clock)
    yield application
    application.close()


@pytest.fixture(scope="session")
def web(api_application: Application) -> FastAPI:
    return create_app(api_application)


@pytest.fixture
def api_clock(session_clock: FakeClock) -> FakeClock:
    """The application's clock, at ``NOW`` when the test begins."""
    session_clock.now = NOW
    return session_clock


@pytest.fixture
def client(web: FastAPI) -> TestClient:
    """Someone without a key."""
    return TestClient(web, raise_server_exceptions=False)


@pytest.fixture
def api(web: FastAPI, api_application: Application, api_clock: FakeClock) -> Caller:
    """A caller with a new project, and a key that may do everything in it."""
    return _caller(web, api_application, api_clock)


@pytest.fixture
def stranger(web: FastAPI, api_application: Application, api_clock: FakeClock) -> Caller:
    """A caller with another new project, and a key for that one."""
    return _caller(web, api_application, api_clock)


@pytest.fixture
def variant(api: Caller, api_settings: Settings, api_clock: FakeClock) -> Iterator[Variant]:
    """Makes a caller of ``api``'s project in a process with other settings; the catalog is the same."""
    opened = []

    def make(**changes: Any) -> Caller:
        settings = api_settings.model_copy(update=changes)
        opened.append(open_application(settings, clock=api_clock))
        return Caller(create_app(opened[-1]), opened[-1], api_clock, api.project, api.user, api.secret)

    yield make
    for application in opened:
        application.close()


def _caller(web: FastAPI, application: Application, clock: FakeClock) -> Caller:
    project = next(_PROJECTS)
    application.catalog.projects.ensure(project, f"project {project}", clock())
    user = application.catalog.keys.ensure_user(
        f"ada{project}@example.com", first_name="Ada", last_name="Lovelace", now=clock()
    )
    _, secret = application.catalog.keys.create(
        kind=KeyKind.PERSONAL,
        label=f"key of project {project}",
        project_id=project,
        scopes=["*"],
        user_id=user.id,
        now=clock(),
    )
    return Caller(web, application, clock, project, user, secret)


def _write_changing(folder: Path, values: list[int]) -> None:
    pq.write_table(pa.table({"n": pa.array(values, pa.int64())}), folder / "api_changing.parquet")
