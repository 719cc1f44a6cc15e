"""Results that were computed before: when they are taken, when they aren't, and what they may cost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from endpoints_pipeline.catalog.records import LogLevel
from endpoints_pipeline.serving.answer import Answer
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.cache import CachedResult, ResultCache, cache_key
from endpoints_pipeline.serving.decision import Path
from endpoints_pipeline.serving.request import Refresh, RunRequest
from tests.fixtures.catalog import FakeClock
from tests.fixtures.engine import MakeApplication
from tests.snapshots.builders import NAME, PROJECT, change, checked, create, refresh

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RANDOM = "SELECT rand64() AS n, number FROM numbers(20)"
DAY = timedelta(days=1)


def run(application: Application, **request: object) -> Answer:
    return application.runner.run(PROJECT, NAME, RunRequest(**request))  # type: ignore[arg-type]


def rows(answer: Answer) -> list[list[int]]:
    found: list[list[int]] = json.loads(b"[%b]" % b"".join(answer.chunks()))
    return found


def result(size: int = 10, computed_at: datetime = NOW) -> CachedResult:
    return CachedResult(b"x" * size, 1, False, (), computed_at)


class TestMemory:
    def test_it_is_bounded(self) -> None:
        cache = ResultCache(100_000)
        for number in range(100):
            cache.put(str(number), result(10_000))
        kept = [number for number in range(100) if cache.get(str(number))]
        assert kept == list(range(92, 100))

    def test_what_was_asked_for_last_stays(self) -> None:
        cache = ResultCache(30_000)
        cache.put("a", result(10_000))
        cache.put("b", result(10_000))
        assert cache.get("a")
        cache.put("c", result(10_000))
        assert (cache.get("a") is None, cache.get("b") is None) == (False, True)

    def test_what_is_larger_than_all_of_it_is_not_kept(self) -> None:
        cache = ResultCache(10_000)
        cache.put("a", result(10))
        cache.put("b", result(10_000))
        assert (cache.get("a") is None, cache.get("b") is None) == (False, True)

    def test_none_at_all(self) -> None:
        cache = ResultCache(0)
        cache.put("a", result(0))
        assert cache.get("a") is None

    def test_age(self) -> None:
        cache = ResultCache(100_000)
        cache.put("a", result())
        assert cache.get("a", computed_after=NOW - timedelta(microseconds=1))
        assert cache.get("a", computed_after=NOW) is None
        assert cache.get("a") is None


class TestKey:
    def test_everything_that_changes_rows_is_in_it(self) -> None:
        keys = [
            cache_key("v", "s", {}, None, 0),
            cache_key("w", "s", {}, None, 0),
            cache_key("v", "t", {}, None, 0),
            cache_key("v", None, {}, None, 0),
            cache_key("v", "s", {"a": ("String", "1")}, None, 0),
            cache_key("v", "s", {"b": ("String", "1")}, None, 0),
            cache_key("v", "s", {"a": ("UInt64", 1)}, None, 0),
            cache_key("v", "s", {"a": ("Float64", 1.0)}, None, 0),
            cache_key("v", "s", {"a": ("Bool", True)}, None, 0),
            cache_key("v", "s", {"a": ("Nullable(String)", None)}, None, 0),
            cache_key("v", "s", {}, 1, 0),
            cache_key("v", "s", {}, 1, 1),
            cache_key("v", "s", {}, 11, 0),
        ]
        assert len(set(keys)) == len(keys)

    def test_the_order_of_variables_isnt(self) -> None:
        one = {"a": ("String", "1"), "b": ("String", "2")}
        assert cache_key("v", "s", one, None, 0) == cache_key("v", "s", dict(reversed(one.items())), None, 0)


class TestInline:
    """Contract 3.7: the source's rows are kept for ``data_freshness_seconds``."""

    @pytest.fixture(autouse=True)
    def _endpoint(self, application: Application) -> None:
        create(application, RANDOM, is_materialized=False, data_freshness_seconds=900)

    def test_the_second_run_takes_the_firsts_rows(self, application: Application, clock: FakeClock) -> None:
        first = run(application)
        computed_at = clock()
        clock.advance(timedelta(seconds=899))
        second = run(application)
        assert rows(first) == rows(second)
        assert (first.cached, second.cached) == (False, True)
        assert (first.served.cached, second.served.cached) == (False, True)
        assert second.computed_at == computed_at
        assert second.fresh_until == computed_at + timedelta(seconds=900)
        assert first.execution_id != second.execution_id
        assert second.columns == first.columns

    def test_until_they_are_too_old(self, application: Application, clock: FakeClock) -> None:
        first = run(application)
        clock.advance(timedelta(seconds=900))
        second = run(application)
        assert not second.cached
        assert rows(first) != rows(second)

    def test_a_shorter_freshness_counts_at_once(self, application: Application, clock: FakeClock) -> None:
        change(application, data_freshness_seconds=86400)
        first = run(application)
        clock.advance(timedelta(hours=2))
        assert run(application).cached
        change(application, data_freshness_seconds=3600)
        assert rows(run(application)) != rows(first)

    @pytest.mark.parametrize("word", [Refresh.FORCE, Refresh.FORCE_BLOCKING])
    def test_force_computes_anew_and_is_kept(self, application: Application, word: Refresh) -> None:
        first, forced, third = run(application), run(application, refresh=word), run(application)
        assert rows(first) != rows(forced) == rows(third)
        assert (forced.cached, third.cached) == (False, True)

    @pytest.mark.parametrize("word", [Refresh.CACHE, Refresh.BLOCKING, Refresh.ASYNC, Refresh.LAZY_ASYNC])
    def test_these_take_what_is_there(self, application: Application, word: Refresh) -> None:
        first = run(application)
        assert rows(run(application, refresh=word)) == rows(first)

    def test_force_cache_never_computes(self, application: Application) -> None:
        missed = run(application, refresh=Refresh.FORCE_CACHE)
        assert (missed.rows, missed.cached, missed.has_more) == (None, False, False)
        assert missed.served.detail.endswith("Nothing is cached, and refresh=force_cache computes nothing.")
        first = run(application)
        assert rows(run(application, refresh=Refresh.FORCE_CACHE)) == rows(first)

    def test_pages_are_kept_apart(self, application: Application) -> None:
        assert len(rows(run(application, limit=5))) == 5
        assert len(rows(run(application, limit=6))) == 6
        assert run(application, limit=5).cached
        assert run(application, limit=5).has_more
        assert not run(application, limit=5, offset=1).cached

    def test_a_new_version_has_rows_of_its_own(self, application: Application) -> None:
        run(application)
        change(application, query=checked(application, RANDOM.replace("20", "30")))
        assert len(rows(run(application))) == 30
        assert run(application, version=1).cached

    def test_a_deleted_endpoints_rows_are_not_its_successors(self, application: Application, clock: FakeClock) -> None:
        first = run(application)
        application.catalog.endpoints.delete(PROJECT, NAME, clock())
        create(application, RANDOM, is_materialized=False)
        assert rows(run(application)) != rows(first)

    def test_each_hit_is_an_execution(self, application: Application) -> None:
        endpoint = application.catalog.endpoints.get(PROJECT, NAME)
        run(application)
        run(application)
        logged, _ = application.catalog.logs.list(endpoint.id, limit=10, offset=0)
        assert len(application.catalog.executions.list(endpoint.id)) == 2
        assert sorted(entry.message for entry in logged) == [
            "Endpoint executed · path=inline cache=hit duration_ms=0 rows=20 version=1",
            "Endpoint executed · path=inline cache=miss duration_ms=0 rows=20 version=1",
        ]
        assert {entry.level for entry in logged} == {LogLevel.INFO}

    def test_the_cut_is_told_again(self, make_application: MakeApplication) -> None:
        capped = make_application(inline_max_rows=10)
        first, second = run(capped), run(capped)
        assert second.cached
        assert (second.has_more, second.served.detail) == (True, first.served.detail)


class TestSnapshots:
    def test_a_result_belongs_to_its_snapshot(self, application: Application, clock: FakeClock) -> None:
        endpoint = create(application, RANDOM)
        refresh(application, endpoint)
        first, second = run(application), run(application)
        assert (first.cached, second.cached, second.served.path) == (False, True, Path.MATERIALIZED)
        clock.advance(timedelta(hours=1))
        refresh(application, endpoint)
        third = run(application)
        assert not third.cached
        assert rows(third) != rows(first)

    def test_rows_of_the_source_are_not_taken_for_a_snapshots(self, application: Application) -> None:
        endpoint = create(application, RANDOM)
        source = run(application)
        refresh(application, endpoint)
        assert rows(run(application)) != rows(source)
        assert rows(run(application, refresh=Refresh.DIRECT)) != rows(source)

    def test_direct_neither_takes_nor_keeps(self, application: Application, clock: FakeClock) -> None:
        refresh(application, create(application, RANDOM))
        direct = run(application, refresh=Refresh.DIRECT)
        assert rows(run(application, refresh=Refresh.DIRECT)) != rows(direct)
        clock.advance(DAY)  # stale: the source answers
        assert not run(application).cached

    def test_a_fallback_is_not_kept(self, application: Application) -> None:
        snapshot = refresh(application, create(application, RANDOM)).snapshot
        application.bucket.delete_folder(snapshot.parts[0].key)
        first, second = run(application), run(application)
        assert first.served.path is second.served.path is Path.MATERIALIZED_FALLBACK
        assert rows(first) != rows(second)

    def test_fresh_until_the_snapshot_is_too_old(self, application: Application, clock: FakeClock) -> None:
        snapshot = refresh(application, create(application, RANDOM)).snapshot
        clock.advance(timedelta(hours=5))
        assert run(application).fresh_until == snapshot.published_at + DAY


def test_a_large_answer_is_not_kept(make_application: MakeApplication) -> None:
    application = make_application(answer_memory=200)
    create(application, RANDOM, is_materialized=False)
    assert len(rows(run(application))) == 20
    assert not run(application).cached
