"""The pool of handles: how many there are, which are thrown away, and what stays when all are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from endpoints_pipeline.engine import Engine, Role
from endpoints_pipeline.errors import EngineBusy, QueryError
from tests.fixtures.engine import EVENTS

MakeEngine = Callable[..., Engine]


def test_handles_are_used_again(make_engine: MakeEngine) -> None:
    pool = make_engine()._handles
    with pool.borrow(Role.READER) as first:
        pass
    with pool.borrow(Role.READER) as second:
        assert second is first
    with pool.borrow(Role.WRITER) as other:
        assert other is not first


def test_a_handle_is_thrown_away_after_any_error(make_engine: MakeEngine) -> None:
    pool = make_engine()._handles
    with pytest.raises(KeyboardInterrupt), pool.borrow(Role.READER) as first:
        raise KeyboardInterrupt
    with pool.borrow(Role.READER) as second:
        assert second is not first


def test_when_all_are_taken_callers_wait_and_then_are_sent_away(make_engine: MakeEngine) -> None:
    engine = make_engine(engine_handles=2, engine_handle_timeout=0.3)
    with ExitStack() as taken:
        for _ in range(2):
            taken.enter_context(engine._handles.borrow(Role.READER))
        began = time.monotonic()
        with pytest.raises(EngineBusy, match=r"^Too many queries at once\. Please try again later\.$") as busy:
            engine.json_rows("SELECT 1")
        assert busy.value.transient
        assert 0.2 < time.monotonic() - began < 5
    assert engine.json_rows("SELECT 1").data == b"[1]"


def test_a_waiting_caller_gets_the_handle_that_becomes_free(make_engine: MakeEngine) -> None:
    engine = make_engine(engine_handles=1, engine_handle_timeout=20)
    with ThreadPoolExecutor() as threads:
        with engine._handles.borrow(Role.READER):
            waiting = threads.submit(engine.json_rows, "SELECT 1")
            time.sleep(0.2)
            assert not waiting.done()
        assert waiting.result(timeout=10).data == b"[1]"


def test_killing_needs_no_free_handle(make_engine: MakeEngine) -> None:
    engine = make_engine(engine_handles=1, engine_handle_timeout=0.1)
    with engine._handles.borrow(Role.WRITER):
        engine.kill("nothing")


def test_errors_give_their_place_back(make_engine: MakeEngine) -> None:
    engine = make_engine(engine_handles=1, engine_handle_timeout=0.1)
    for _ in range(5):
        with pytest.raises(QueryError):
            engine.json_rows("SELECT throwIf(1)")
    assert engine.json_rows("SELECT 1").data == b"[1]"


def test_the_warehouse_outlives_every_handle(make_engine: MakeEngine) -> None:
    """chDB forgets an in-memory database when its last connection closes."""
    engine = make_engine(engine_handles=2)
    assert engine.canonical("SELECT * FROM events")
    for _ in range(6):
        for role in Role:
            with pytest.raises(QueryError):
                engine.json_rows("SELECT throwIf(1)", role=role)
    assert engine.json_rows("SELECT count() FROM events").data == b"[%d]" % EVENTS


def test_a_server_is_asked_for_whole_answers(server_engine: Engine) -> None:
    """Or else a query that fails half-way ends its rows with the text of the error, under status 200."""
    for role in Role:
        with server_engine._handles.borrow(role) as handle:
            assert handle.get_client_setting("wait_end_of_query") == 1
            assert handle.get_client_setting("readonly") == {Role.READER: 1, Role.SNAPSHOT_READER: 2}.get(role)


def test_a_closed_engine_opens_again(make_engine: MakeEngine) -> None:
    engine = make_engine()
    assert engine.json_rows("SELECT 1").data == b"[1]"
    engine.close()
    assert engine.json_rows("SELECT 2").data == b"[2]"


def test_the_first_callers_may_come_at_once(make_engine: MakeEngine) -> None:
    engine = make_engine(engine_handles=8)
    start = threading.Barrier(8)

    def ask(number: int) -> bool:
        start.wait(timeout=20)
        return engine.canonical(f"SELECT {number} FROM events") == f"SELECT {number} FROM events"

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))
