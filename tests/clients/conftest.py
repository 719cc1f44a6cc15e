"""A live server for clients that other people wrote: chDB, a folder of Parquet, SQLite, a real S3, real keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.server import LiveServer, Project, serving


@pytest.fixture(scope="session")
def live(engine_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One for the session: the engine takes a second to open, and projects keep the tests apart."""
    own = {
        "home": tmp_path_factory.mktemp("live-home"),
        "s3_prefix": "clients-tests",
        "rate_limit_inline": "off",  # tests ask more than people do
        "rate_limit_materialized": "off",
    }
    with serving(engine_settings | own) as server:
        yield server


@pytest.fixture
def project(live: LiveServer) -> Project:
    """A new project on the live server."""
    return live.project()
