"""Answers that are larger than what is held in memory: whole over the wire, or visibly cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.errors import EngineUnavailable
from tests.clients.server import Project

ROWS = 120_000
SQL = f"SELECT number AS n, repeat('x', 60) AS filler, toString(number % 7) AS s FROM numbers({ROWS}) ORDER BY n"


@pytest.fixture
def large(project: Project) -> Project:
    """A project with a snapshot of 10 MB, ``large``."""
    project.create("large", SQL, is_materialized=True)
    project.materialize("large")
    return project


def test_every_row_arrives_in_order(large: Project) -> None:
    answer = large.call("POST", "/large/run", {})
    assert answer.headers.get("transfer-encoding") == "chunked"
    assert len(answer.content) > 8_000_000
    body = answer.json()
    assert [row[0] for row in body["results"]] == list(range(ROWS))
    assert (body["hasMore"], body["columns"], body["served"]["path"]) == (False, ["n", "filler", "s"], "materialized")
    executions = large.server.application.catalog.executions.list(
        large.server.application.catalog.endpoints.get(large.id, "large").id
    )
    assert (executions[0].rows, executions[0].id) == (ROWS, body["execution_id"])


def test_a_large_page_says_whether_there_are_more(large: Project) -> None:
    body = large.ok("POST", "/large/run", {"limit": 100_000})
    assert (len(body["results"]), body["hasMore"]) == (100_000, True)
    body = large.ok("POST", "/large/run", {"limit": 100_000, "offset": 100_000})
    assert (len(body["results"]), body["hasMore"]) == (20_000, False)


def test_a_large_answer_is_not_cached(large: Project) -> None:
    assert large.ok("POST", "/large/run", {})["is_cached"] is False
    assert large.ok("POST", "/large/run", {})["is_cached"] is False


def test_an_asynchronous_one_arrives_too(large: Project) -> None:
    status = large.ok("POST", "/large/run", {"refresh": "force_async"})["query_status"]
    headers = {"Authorization": f"Bearer {large.secret}"}
    url = f"{large.server.url}/api/projects/{large.id}/query/{status['id']}"
    deadline = time.monotonic() + 60
    while not status["complete"] and time.monotonic() < deadline:
        time.sleep(0.1)
        status = requests.get(url, headers=headers, timeout=60).json()["query_status"]
    assert [row[0] for row in status["results"]["results"]] == list(range(ROWS))


def test_what_fails_half_way_is_cut_and_recorded(large: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    application = large.server.application
    reader, real = application.reader, application.reader.stream

    @contextmanager
    def failing(*given: Any, **more: Any) -> Iterator[Iterator[JsonRows]]:
        def blocks(found: Iterator[JsonRows]) -> Iterator[JsonRows]:
            size = 0
            for block in found:
                size += len(block.data)
                yield block
                if size > 5_000_000:
                    raise EngineUnavailable("S3 went away")

        with real(*given, **more) as found:
            yield blocks(found)

    monkeypatch.setattr(type(reader), "stream", lambda _self, *given, **more: failing(*given, **more))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        large.call("POST", "/large/run", {})
    monkeypatch.undo()
    endpoint = application.catalog.endpoints.get(large.id, "large")
    newest = application.catalog.executions.list(endpoint.id)[0]
    assert (newest.outcome, newest.error) == ("error", "S3 went away")
    assert len(large.ok("POST", "/large/run", {})["results"]) == ROWS


def test_a_caller_who_leaves_frees_everything(large: Project) -> None:
    headers = {"Authorization": f"Bearer {large.secret}"}
    for _ in range(15):  # more than a project may have under way at once
        with requests.post(f"{large.base}/large/run", headers=headers, stream=True, timeout=60) as answer:
            assert answer.status_code == 200
            assert answer.raw.read(10) == b'{"results"'
    assert len(large.ok("POST", "/large/run", {})["results"]) == ROWS
    assert not large.server.application.runner._concurrency._running
