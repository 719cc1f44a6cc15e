"""Fixtures by theme live in ``tests/fixtures``; every test may ask for any of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

pytest_plugins = ["tests.fixtures.catalog", "tests.fixtures.s3", "tests.fixtures.engine"]


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A command that a test runs in its process sends the log to a stream that ends with the test."""
    yield
    structlog.reset_defaults()
