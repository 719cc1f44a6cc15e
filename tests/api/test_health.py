"""Health: alive is not ready, and an answer names the part that isn't."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from endpoints_pipeline.api.health import Readiness
from endpoints_pipeline.cli.ports import find_free
from tests.api.callers import Caller, TestClient, says

Variant = Callable[..., Caller]
ALIVE = (200, {"status": "ok", "checks": {}})


def unready(caller: Caller) -> dict[str, str]:
    """The parts that aren't ready; the process is alive all the same."""
    assert says(caller.client.get("/livez")) == ALIVE
    status, body = says(caller.client.get("/readyz"))
    assert (status, body["status"]) == (503, "unavailable")
    return {part: outcome for part, outcome in body["checks"].items() if outcome != "ok"}


def test_a_healthy_process_is_alive_and_ready(client: TestClient) -> None:
    ready = {"status": "ok", "checks": {"catalog": "ok", "engine": "ok", "storage": "ok"}}
    assert says(client.get("/livez")) == ALIVE
    assert says(client.get("/readyz")) == (200, ready)


def test_a_storage_that_is_away_is_named(variant: Variant) -> None:
    (port,) = find_free()
    wrong = unready(variant(s3_endpoint_url=f"http://127.0.0.1:{port}"))
    assert list(wrong) == ["storage"]
    assert wrong["storage"].startswith("S3 can't be reached")


def test_a_key_that_the_storage_refuses_is_named_and_not_told(variant: Variant) -> None:
    wrong = unready(variant(s3_secret_key=SecretStr("not-the-key")))
    assert list(wrong) == ["storage"]
    assert wrong["storage"].startswith("S3 refused our key")
    assert "not-the-key" not in wrong["storage"]


def test_a_missing_bucket_is_named(variant: Variant) -> None:
    assert list(unready(variant(s3_bucket="absent"))) == ["storage"]


def test_an_engine_that_is_away_is_named_without_its_password(variant: Variant) -> None:
    (port,) = find_free()
    wrong = unready(variant(engine_dsn=SecretStr(f"clickhouse://caller:pa55w0rd@127.0.0.1:{port}/default")))
    assert list(wrong) == ["engine"]
    assert "pa55w0rd" not in wrong["engine"]


def test_a_broken_catalog_is_named(variant: Variant, tmp_path: Path) -> None:
    caller = variant(home=tmp_path, catalog_dsn=SecretStr(f"sqlite:///{tmp_path / 'own.db'}"))
    with sqlite3.connect(tmp_path / "own.db") as database:
        database.execute("ALTER TABLE definitions_revision RENAME TO gone")
    database.close()
    assert list(unready(caller)) == ["catalog"]


def test_a_part_that_hangs_is_given_up_and_asked_once_at_a_time(variant: Variant) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.settimeout(0.2)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        readiness = Readiness(variant(s3_endpoint_url=url, s3_timeout=30).application, str, patience=0.5)
        connections: list[Any] = []
        try:
            for _ in range(3):
                outcome = readiness.look()
                assert outcome == {"catalog": "ok", "engine": "ok", "storage": "no answer in 0.5 s"}
            connections.append(deaf.accept()[0])
            with suppress(TimeoutError):
                connections.append(deaf.accept()[0])
            assert len(connections) == 1
        finally:
            for connection in connections:
                connection.close()
            readiness.close()
