"""Failures as answers (contract 0.2, 1.6): the engine's own words reach the caller, secrets and tracebacks don't."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from endpoints_pipeline.api.app import create_app
from endpoints_pipeline.api.errors import scrubber, translate
from endpoints_pipeline.cli.ports import find_free
from endpoints_pipeline.errors import (
    CatalogError,
    CatalogUnavailable,
    EngineBusy,
    EngineError,
    EngineUnavailable,
    InvalidInput,
    QueryError,
    RunCancelled,
    SnapshotInvalid,
    StorageError,
    StorageUnavailable,
)
from endpoints_pipeline.settings import Settings
from tests.api.callers import Caller, TestClient, flat, says

Variant = Callable[..., Caller]
ENDLESS = "SELECT count() AS n FROM numbers(9000000000) WHERE sipHash64(number) = 1"


@pytest.mark.parametrize(
    ("sql", "settings", "code", "advice"),
    [
        (ENDLESS, {"query_timeout": 0.2}, "query_timeout", "Narrow what the query reads, or materialize the endpoint."),
        (
            "SELECT groupArray(number) AS a FROM numbers(10000000)",
            {"query_max_memory": 10_000_000},
            "query_memory_limit",
            "Narrow what the query reads or groups by, or materialize the endpoint.",
        ),
        (
            "SELECT sum(number) AS n FROM numbers(100000)",
            {"query_max_rows_to_read": 10},
            "query_too_large",
            "Narrow what the query reads, or materialize the endpoint.",
        ),
    ],
)
def test_a_query_that_runs_into_a_limit_is_a_400_with_advice(
    api: Caller, variant: Variant, sql: str, settings: dict[str, Any], code: str, advice: str
) -> None:
    api.created("slow", sql)
    status, body = says(variant(**settings).run("slow"))
    assert (status, body["type"], body["code"], body["attr"]) == (400, "server_error", code, None)
    assert body["detail"].endswith(advice)


def refused_beside_a_slow_run(caller: Caller) -> Any:
    """What a run is told while another one goes on that leaves no room for it."""

    def run_slowly() -> None:
        while caller.run("slow").status_code in (429, 503):  # the other one was there first
            pass

    slow = threading.Thread(target=run_slowly)
    slow.start()
    try:
        refused = caller.run(body={"refresh": "force"})
        while refused.status_code == 200 and slow.is_alive():
            refused = caller.run(body={"refresh": "force"})
    finally:
        slow.join()
    assert caller.run(body={"refresh": "force"}).status_code == 200
    return refused


def test_too_many_runs_of_a_project_at_once_are_a_429_that_says_when_to_come_back(
    api: Caller, variant: Variant
) -> None:
    api.created("slow", ENDLESS)
    api.created()
    refused = refused_beside_a_slow_run(variant(concurrent_inline_runs=1, query_timeout=1.5))
    detail = "Too many concurrent requests. Please try again later."
    assert says(refused) == (429, flat("throttled_error", "throttled", detail))
    assert int(refused.headers["retry-after"]) > 0


def test_an_engine_at_capacity_is_a_503_that_says_when_to_come_back(api: Caller, variant: Variant) -> None:
    api.created("slow", ENDLESS)
    api.created()
    refused = refused_beside_a_slow_run(variant(engine_handles=1, engine_handle_timeout=0.1, query_timeout=1.5))
    detail = "Too many queries at once. Please try again later."
    assert says(refused) == (503, flat("server_error", "query_capacity", detail))
    assert int(refused.headers["retry-after"]) > 0


def test_an_engine_that_is_away_is_a_503_without_its_password(api: Caller, variant: Variant) -> None:
    api.created()
    (port,) = find_free()
    away = variant(engine_dsn=SecretStr(f"clickhouse://caller:pa55w0rd@127.0.0.1:{port}/default"))
    answer = away.run()
    status, body = says(answer)
    assert (status, body["type"], body["code"], body["attr"]) == (503, "server_error", "engine_unavailable", None)
    assert "pa55w0rd" not in answer.text
    assert away.get("/daily").status_code == 200


def test_a_locked_catalog_is_a_503(api: Caller, variant: Variant, api_settings: Settings) -> None:
    api.created()
    impatient = variant(catalog_timeout=0.1)
    lock = sqlite3.connect(api_settings.home_path / "catalog.db", isolation_level=None)
    try:
        lock.execute("BEGIN IMMEDIATE")
        status, body = says(impatient.patch("/daily", {"description": "x"}))
        assert (status, body["type"], body["code"]) == (503, "server_error", "catalog_unavailable")
        # a run is answered all the same: that it couldn't be recorded is not the caller's trouble
        assert impatient.run().status_code == 200
    finally:
        lock.close()
    assert impatient.patch("/daily", {"description": "x"}).status_code == 200


def test_a_broken_warehouse_is_a_500_that_says_what_to_do(api: Caller, variant: Variant, tmp_path: Path) -> None:
    (tmp_path / "bad-name.parquet").write_bytes(b"")
    answer = variant(warehouse=str(tmp_path)).create("n", "SELECT 1 AS n")
    detail = "The warehouse holds 'bad-name', which can't be a table's name: rename it to letters, digits and '_'."
    assert says(answer) == (500, flat("server_error", "error", detail))


def test_a_bug_is_a_500_with_fixed_words_and_its_traceback_goes_to_the_servers_log(api: Caller) -> None:
    broken = create_app(dataclasses.replace(api.application, runner=None))  # type: ignore[arg-type]
    header = {"Authorization": f"Bearer {api.secret}"}
    answer = TestClient(broken, raise_server_exceptions=False, headers=header).post(f"{api.base}/daily/run")
    assert says(answer) == (500, flat("server_error", "error", "A server error occurred."))
    with pytest.raises(AttributeError):  # what the server logs
        TestClient(broken, headers=header).post(f"{api.base}/daily/run")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InvalidInput("no", attr="name"), (400, "validation_error", "invalid_input", "name")),
        (InvalidInput("no", code="UNKNOWN_TABLE"), (400, "validation_error", "UNKNOWN_TABLE", None)),
        (QueryError("no", engine_name="UNKNOWN_TABLE"), (400, "validation_error", "UNKNOWN_TABLE", None)),
        (QueryError("no"), (400, "validation_error", "invalid_input", None)),
        (EngineUnavailable("no", engine_name="S3_ERROR"), (503, "server_error", "engine_unavailable", None)),
        (EngineError("no", engine_name="WRONG_PASSWORD"), (500, "server_error", "WRONG_PASSWORD", None)),
        (EngineBusy("no"), (503, "server_error", "query_capacity", None)),
        (RunCancelled("no"), (400, "validation_error", "query_was_cancelled", None)),
        (StorageUnavailable("no"), (503, "server_error", "storage_unavailable", None)),
        (StorageError("no"), (500, "server_error", "error", None)),
        (CatalogUnavailable("no"), (503, "server_error", "catalog_unavailable", None)),
        (CatalogError("no"), (500, "server_error", "error", None)),
        (SnapshotInvalid("no"), (500, "server_error", "error", None)),
    ],
)
def test_every_error_of_ours_has_its_answer(error: Exception, said: Any) -> None:
    told = translate(error, str)
    assert (told.status, told.type, told.code, told.attr, told.detail) == (*said, "no")


def test_no_secret_of_the_settings_leaves_in_an_error() -> None:
    settings = Settings(
        _env_file=None,
        catalog_dsn=SecretStr("postgresql://user:cat%40log@db.example/endpoints"),
        engine_dsn=SecretStr("clickhouse://user:engine-password@ch.example:8123/default"),
        s3_endpoint_url="https://s3.example",
        s3_secret_key=SecretStr("s3-secret"),
        api_key=SecretStr("phx_key"),
        rate_limit_storage=SecretStr("redis://:redis-password@redis.example"),
    )
    message = "s3-secret, engine-password, phx_key, redis-password, cat%40log and cat@log were refused by db.example"
    told = translate(EngineUnavailable(message), scrubber(settings))
    assert told.detail == "***, ***, ***, ***, *** and *** were refused by db.example"


def test_an_embedded_engine_has_no_password_to_hide() -> None:
    assert scrubber(Settings(_env_file=None))("chdb and memory stay") == "chdb and memory stay"
