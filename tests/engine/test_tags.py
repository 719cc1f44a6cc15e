"""Tags: any handle finds a running query, whoever runs it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from endpoints_pipeline.engine import Engine, Progress, Role
from endpoints_pipeline.errors import EngineUnavailable
from tests.engine.test_clickhouse import ENDLESS, wait_until


@pytest.mark.parametrize("role", Role)
def test_a_running_query_tells_its_progress_and_is_killed(engine: Engine, role: Role) -> None:
    tag = f"endpoints:1/name/v2:{uuid.uuid4()}"
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(engine.json_rows, ENDLESS, role=role, tag=tag)
        wait_until(lambda: tag in engine.progress([tag]))
        first = engine.progress([tag])[tag]
        wait_until(lambda: engine.progress([tag])[tag].rows_read > first.rows_read)
        found = engine.progress(["other", tag])
        engine.kill(tag[:-1])  # a tag that only begins alike is another
        engine.kill("other")
        assert not running.done()
        engine.kill(tag)
        error = running.exception(20)
    assert isinstance(error, EngineUnavailable)
    assert error.engine_name == "QUERY_WAS_CANCELLED"
    assert list(found) == [tag]
    progress = found[tag]
    assert progress.bytes_read == 8 * progress.rows_read > 0
    assert progress.estimated_rows == 9_000_000_000
    assert progress.elapsed_ms > 0
    assert progress.cpu_ms > 0
    assert engine.progress([tag]) == {}


def test_what_does_not_run_has_no_progress(engine: Engine) -> None:
    assert engine.progress([]) == {}
    assert engine.progress(["nothing"]) == {}
    assert Progress() == Progress(0, 0, 0, 0, 0)


def test_progress_needs_no_free_handle(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(engine_handles=1, engine_handle_timeout=0.1)
    with engine._handles.borrow(Role.READER):
        assert engine.progress(["nothing"]) == {}


@pytest.mark.parametrize("tag", ["", "a b", "a*/ SELECT 1 /*", "it's", "a\n", "é", "a" * 301, "a\0"])
def test_what_could_end_a_comment_is_no_tag(engine: Engine, tag: str) -> None:
    for role in Role:
        with pytest.raises(ValueError, match="a query's tag is"):
            engine.json_rows("SELECT 1", role=role, tag=tag)
        with pytest.raises(ValueError, match="a query's tag is"), engine.stream("SELECT 1", role=role, tag=tag):
            pass
    with pytest.raises(ValueError, match="a query's tag is"):
        engine.kill(tag)


def test_a_tag_ends_with_its_query(make_engine: Callable[..., Engine], server_dsn: str, home: str) -> None:
    changes = {"engine_dsn": server_dsn} if home == "server" else {}
    engine = make_engine(engine_handles=1, **changes)
    sql = "SELECT getSetting('log_comment')"
    assert engine.json_rows(sql, role=Role.WRITER, tag="mine").data == b'["mine"]'
    assert engine.json_rows(sql, role=Role.WRITER).data == b'[""]'
    with engine.stream(sql, role=Role.WRITER, tag="mine") as blocks:
        assert next(blocks).data == b'["mine"]'
        assert list(blocks) == []
    assert engine.json_rows(sql, role=Role.WRITER).data == b'[""]'
