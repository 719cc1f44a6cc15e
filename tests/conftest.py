"""Fixtures by theme live in ``tests/fixtures``; every test may ask for any of them."""

pytest_plugins = ["tests.fixtures.catalog", "tests.fixtures.s3", "tests.fixtures.engine"]
