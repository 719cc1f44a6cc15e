from __future__ import annotations

from collections.abc import Iterator

import pytest

from endpoints_pipeline.engine import Engine
from tests.query.materialization.grammar import CREATE, rows
from tests.query.materialization.home import DATABASE, TABLES, Home


@pytest.fixture(scope="session")
def plans(embedded_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The engine, with databases for tables of the tests' own: ``facts`` and ``names``, each with other rows."""
    home = Home(embedded_engine, tmp_path_factory.mktemp("stored"))
    databases = [DATABASE, *(f"{DATABASE}_{number}" for number in range(TABLES))]
    for seed, database in enumerate(databases, start=5):
        home.run(f"CREATE DATABASE IF NOT EXISTS {database}")
        home.run(*(statement.replace(f"{DATABASE}.", f"{database}.") for statement in (*CREATE, *rows(seed))))
    yield home
    home.run(*(f"DROP DATABASE {database}" for database in databases))
