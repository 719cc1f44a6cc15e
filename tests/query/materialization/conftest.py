from __future__ import annotations

from collections.abc import Iterator

import pytest

from endpoints_pipeline.engine import Engine
from tests.query.materialization.home import DATABASE, Home


@pytest.fixture(scope="session")
def plans(embedded_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The engine, with a database for tables of the test's own."""
    home = Home(embedded_engine, tmp_path_factory.mktemp("stored"))
    home.run(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
    yield home
    home.run(f"DROP DATABASE {DATABASE}")
