"""The web application as a whole: what it documents, how a server starts it, and how it ends."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from fastapi.routing import APIRoute

from endpoints_pipeline.api import (
    accounts,
    activity,
    endpoints,
    execution_times,
    health,
    logs,
    materialization,
    openapi_document,
    queries,
    refresh,
    run,
    variables,
    versions,
)
from endpoints_pipeline.api.app import create_app
from endpoints_pipeline.catalog import open_catalog
from endpoints_pipeline.cli.keys import first_key
from endpoints_pipeline.cli.ports import find_free
from endpoints_pipeline.clock import utc_now
from endpoints_pipeline.settings import Settings
from tests.api.callers import DAILY, DAILY_ROWS, Caller, TestClient, hogql

ROOT = Path(__file__).parents[2]
HANDLERS = (
    *(accounts, activity, endpoints, execution_times, health, logs, materialization),
    *(openapi_document, queries, refresh, run, variables, versions),
)


@pytest.mark.parametrize("module", HANDLERS, ids=lambda module: module.__name__.split(".")[-1])
def test_no_handler_works_in_the_event_loop(module: ModuleType) -> None:
    routes = [route for route in module.router.routes if isinstance(route, APIRoute)]
    assert routes
    assert {route.name for route in routes if inspect.iscoroutinefunction(route.endpoint)} <= {"livez"}


def test_shutting_down_closes_the_application(variant: Callable[..., Caller]) -> None:
    application = variant().application
    pool = application.catalog.database.engine.pool
    with TestClient(create_app(application)) as client:
        assert client.get("/readyz").status_code == 200
        assert application.catalog.database.engine.pool is pool
    assert application.catalog.database.engine.pool is not pool


@pytest.fixture
def server(api_settings: Settings, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process as a user starts it, configured by the environment, and its address."""
    (port,) = find_free()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENDPOINTS_")}
    environment |= {
        "ENDPOINTS_HOME": str(tmp_path / "home"),
        "ENDPOINTS_WAREHOUSE": api_settings.warehouse,
        "ENDPOINTS_S3_ENDPOINT_URL": api_settings.s3_endpoint_url,
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "uvicorn", "--factory", "endpoints_pipeline.api.app:main_app", "--port", str(port)]
    process = subprocess.Popen(
        argv, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _first_key(folder: Path) -> str:
    """What ``endpoints up`` would have printed for the server in the folder."""
    catalog = open_catalog(f"sqlite:///{folder / 'home' / 'catalog.db'}", timeout=10, auto_migrate=False)
    try:
        return first_key(catalog, utc_now()) or ""
    finally:
        catalog.close()


def test_a_server_answers_and_finishes_what_it_began_before_it_ends(
    server: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, url = server
    base = f"{url}/api/projects/1/endpoints"
    with httpx.Client(timeout=30, trust_env=False) as caller:
        deadline = time.monotonic() + 30
        while True:
            try:
                assert caller.get(f"{url}/livez").status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the server didn't come up"
                time.sleep(0.1)
        assert caller.get(f"{url}/readyz").status_code == 200
        assert caller.get(base).status_code == 401
        caller.headers["Authorization"] = f"Bearer {_first_key(tmp_path)}"
        assert caller.post(base, json={"name": "daily", "query": hogql(DAILY)}).status_code == 201
        answer = caller.get(f"{base}/daily/run/")
        assert (answer.json()["results"], answer.history) == (DAILY_ROWS, [])

        slow = "SELECT max(sipHash64(number)) > 0 AS done FROM numbers(40000000)"
        assert caller.post(base, json={"name": "slow", "query": hogql(slow)}).status_code == 201
        answers: list[httpx.Response] = []
        running = threading.Thread(target=lambda: answers.append(caller.get(f"{base}/slow/run")))
        running.start()
        time.sleep(0.2)
        assert answers == []
        process.send_signal(signal.SIGTERM)
        running.join()
    assert answers[0].json()["results"] == [[1]]
    output, _ = process.communicate(timeout=30)
    assert "Application shutdown complete" in output
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in output
