"""Rows on their way to a caller: order, memory, failures, and callers who leave."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.errors import QueryError
from endpoints_pipeline.serving.spool import OpenRows, Spool


@pytest.fixture(scope="module")
def readers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def blocks(*found: JsonRows | Exception | Callable[[], None], closed: threading.Event | None = None) -> OpenRows:
    @contextmanager
    def open_rows() -> Iterator[Iterator[JsonRows]]:
        def give() -> Iterator[JsonRows]:
            for one in found:
                if isinstance(one, Exception):
                    raise one
                if isinstance(one, JsonRows):
                    yield one
                else:
                    one()

        try:
            yield give()
        finally:
            if closed:
                closed.set()

    return open_rows


def block(*values: int, more: bool = False) -> JsonRows:
    return JsonRows(b",".join(b"[%d]" % value for value in values), len(values), more)


def started(readers: ThreadPoolExecutor, open_rows: OpenRows, memory: int = 1000) -> Spool:
    spool = Spool(memory)
    spool.start(readers, open_rows)
    return spool


def test_a_small_answer_is_whole_at_once(readers: ThreadPoolExecutor) -> None:
    spool = started(readers, blocks(block(1, 2), block(), block(3, more=True)))
    assert spool.wait()
    assert (spool.whole(), spool.count, spool.size, spool.more) == (b"[1],[2],[3]", 3, 11, True)
    spool.close()


def test_no_rows(readers: ThreadPoolExecutor) -> None:
    spool = started(readers, blocks())
    assert spool.wait()
    assert (spool.whole(), spool.count, spool.more) == (b"", 0, False)


def test_a_large_answer_is_given_while_it_is_read(readers: ThreadPoolExecutor) -> None:
    go_on = threading.Event()
    spool = started(readers, blocks(block(*range(100)), go_on.wait, block(5)), memory=50)
    assert not spool.wait()
    chunks = spool.chunks()
    first = next(chunks)
    assert first == block(*range(100)).data
    assert not spool.finished
    go_on.set()
    assert b"".join(chunks) == b",[5]"
    assert spool.count == 101


def test_a_slow_caller_holds_nobody_up(readers: ThreadPoolExecutor) -> None:
    closed = threading.Event()
    spool = started(readers, blocks(*[block(*range(1000))] * 50, closed=closed), memory=50)
    assert not spool.wait() or spool.finished
    assert closed.wait(10), "the rows are read whether or not the caller takes them"
    assert len(b"".join(spool.chunks())) == spool.size


def test_an_early_failure_is_the_callers(readers: ThreadPoolExecutor) -> None:
    spool = started(readers, blocks(block(1), QueryError("broken")))
    with pytest.raises(QueryError, match="broken"):
        spool.wait()


def test_a_late_failure_cuts_the_answer(readers: ThreadPoolExecutor) -> None:
    go_on = threading.Event()
    spool = started(readers, blocks(block(*range(100)), go_on.wait, QueryError("broken")), memory=50)
    assert not spool.wait()
    chunks = spool.chunks()
    next(chunks)
    go_on.set()
    with pytest.raises(QueryError, match="broken"):
        next(chunks)


def test_a_caller_who_leaves_ends_the_reading(readers: ThreadPoolExecutor) -> None:
    closed, read = threading.Event(), []
    slowly = [lambda: (read.append(1), time.sleep(0.01))[1], block(*range(100))] * 1000
    spool = started(readers, blocks(*slowly, closed=closed), memory=50)
    assert not spool.wait()
    chunks = spool.chunks()
    next(chunks)
    chunks.close()
    assert closed.wait(10)
    assert len(read) < 1000


def test_the_end_is_told_once_it_is_there(readers: ThreadPoolExecutor) -> None:
    go_on, told = threading.Event(), threading.Event()
    spool = started(readers, blocks(go_on.wait, block(1)))
    spool.at_end(told.set)
    assert not told.is_set()
    go_on.set()
    assert told.wait(10)
    late = threading.Event()
    spool.at_end(late.set)
    assert late.is_set()


@given(sizes=st.lists(st.integers(0, 300), max_size=20), memory=st.integers(1, 5000))
def test_every_byte_arrives_in_order(sizes: list[int], memory: int) -> None:
    given_blocks = [block(*range(size)) for size in sizes]
    with ThreadPoolExecutor(1) as pool:
        spool = started(pool, blocks(*given_blocks), memory=memory)
        spool.wait()
        assert b"".join(spool.chunks()) == b",".join(one.data for one in given_blocks if one.count)
    assert spool.count == sum(sizes)
