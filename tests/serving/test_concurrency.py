"""How many runs a project may have under way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from endpoints_pipeline.errors import TooManyRuns
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.concurrency import Concurrency
from endpoints_pipeline.serving.decision import Path
from endpoints_pipeline.serving.request import Refresh, RunRequest
from tests.fixtures.engine import MakeApplication
from tests.snapshots.builders import NAME, PROJECT, create, refresh

LIMITS = {Path.INLINE: 2, Path.MATERIALIZED: 1}


def test_one_too_many_is_refused() -> None:
    concurrency = Concurrency(LIMITS)
    with concurrency.slot(1, Path.INLINE), concurrency.slot(1, Path.INLINE):
        with pytest.raises(TooManyRuns, match=r"^Too many concurrent requests\. Please try again later\.$"):
            concurrency.slot(1, Path.INLINE).__enter__()
        with concurrency.slot(2, Path.INLINE), concurrency.slot(1, Path.MATERIALIZED):
            pass
    with concurrency.slot(1, Path.INLINE), concurrency.slot(1, Path.INLINE):
        pass


def test_a_failure_gives_its_slot_back() -> None:
    concurrency = Concurrency(LIMITS)
    for _ in range(5):
        with pytest.raises(ValueError, match="x"), concurrency.slot(1, Path.MATERIALIZED):
            raise ValueError("x")
    assert not concurrency._running


def test_many_threads() -> None:
    concurrency, inside, most = Concurrency({Path.INLINE: 5}), [0], [0]
    lock = threading.Lock()

    def enter(_number: int) -> bool:
        try:
            with concurrency.slot(1, Path.INLINE):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                with lock:
                    inside[0] -= 1
        except TooManyRuns:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert any(pool.map(enter, range(500)))
    assert most[0] <= 5
    assert not concurrency._running


@pytest.fixture
def busy(make_application: MakeApplication) -> Application:
    application = make_application(concurrent_inline_runs=1, concurrent_materialized_runs=1)
    refresh(application, create(application, "SELECT id FROM events"))
    return application


@pytest.mark.parametrize("path", [Path.INLINE, Path.MATERIALIZED])
def test_runs_take_slots(busy: Application, path: Path) -> None:
    word = Refresh.DIRECT if path is Path.INLINE else Refresh.FORCE
    with ExitStack() as stack:
        stack.enter_context(busy.runner._concurrency.slot(PROJECT, path))
        with pytest.raises(TooManyRuns):
            busy.runner.run(PROJECT, NAME, RunRequest(refresh=word))
    assert busy.runner.run(PROJECT, NAME, RunRequest(refresh=word)).rows
    assert not busy.runner._concurrency._running


def test_the_cache_needs_none(busy: Application) -> None:
    busy.runner.run(PROJECT, NAME, RunRequest())
    with busy.runner._concurrency.slot(PROJECT, Path.MATERIALIZED):
        assert busy.runner.run(PROJECT, NAME, RunRequest()).cached
