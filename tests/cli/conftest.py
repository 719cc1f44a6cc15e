"""Commands as a person or a program calls them, in surroundings of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from endpoints_pipeline.catalog import Catalog, open_catalog
from endpoints_pipeline.cli.main import app
from endpoints_pipeline.settings import load_settings

Invoke = Callable[..., Result]


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sqlite_dsn: str, warehouse: Path) -> Path:
    """The environment of a project with an empty catalog, source tables, and an S3 that doesn't answer."""
    for name in list(os.environ):
        if name.upper().startswith("ENDPOINTS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ENDPOINTS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ENDPOINTS_CATALOG_DSN", sqlite_dsn)
    monkeypatch.setenv("ENDPOINTS_WAREHOUSE", str(warehouse))
    monkeypatch.setenv("ENDPOINTS_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ENDPOINTS_ENGINE_HANDLES", "2")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def invoke(surroundings: Path) -> Invoke:
    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def known(surroundings: Path) -> Iterator[Catalog]:
    """The catalog that the commands use."""
    catalog = open_catalog(load_settings().resolved_catalog_dsn, timeout=10, auto_migrate=True)
    yield catalog
    catalog.close()


def assert_refused(result: Result, *words: str) -> None:
    """The command failed as it should: code 1, one line on stderr, nothing on stdout."""
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not [word for word in words if word not in result.stderr], result.stderr
