"""What callers are told about how long an answer is good for, and callers who have it already (contract 3.7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.api.callers import Caller, ok

HOUR = timedelta(hours=1)


def cache_headers(answer: object) -> tuple[str | None, str | None]:
    headers = answer.headers  # type: ignore[attr-defined]
    return headers.get("cache-control"), headers.get("age")


def test_an_answer_is_taken_from_the_cache_and_says_so(api: Caller, change_source: Callable[[list[int]], None]) -> None:
    change_source([1])
    api.created("x", "SELECT n FROM api_changing")
    first = api.answered("x")
    change_source([2])
    api.clock.advance(HOUR)
    second = api.answered("x")
    assert (first["is_cached"], second["is_cached"], second["served"]["cached"]) == (False, True, True)
    assert second["results"] == [[1]]
    assert second["last_refresh"] == first["last_refresh"] == "2026-03-01T12:00:00Z"
    assert second["cache_target_age"] == "2026-03-02T12:00:00Z"
    assert second["next_allowed_client_refresh"] == "2026-03-01T12:01:00Z"
    assert second["execution_id"] != first["execution_id"]
    third = api.answered("x", {"refresh": "force"})
    assert (third["is_cached"], third["results"], third["last_refresh"]) == (False, [[2]], "2026-03-01T13:00:00Z")
    assert api.answered("x")["results"] == [[2]]


def test_force_cache_is_a_miss_until_something_is_there(api: Caller) -> None:
    api.created()
    missed = api.answered(body={"refresh": "force_cache"})
    assert (missed["results"], missed["is_cached"], missed["hasMore"]) == (None, False, False)
    assert (missed["columns"], missed["types"], missed["last_refresh"]) == ([], [], None)
    assert "computes nothing" in missed["served"]["detail"]
    computed = api.answered()
    found = ok(api.get("/daily/run", params={"refresh": "force_cache"}))
    assert (found["results"], found["is_cached"]) == (computed["results"], True)


def test_inline_answers_are_good_for_the_endpoints_freshness(api: Caller) -> None:
    api.created(data_freshness_seconds=3600)
    assert cache_headers(api.get("/daily/run")) == ("private, max-age=3600", "0")
    api.clock.advance(timedelta(minutes=10))
    assert cache_headers(api.get("/daily/run")) == ("private, max-age=3600", "600")
    assert cache_headers(api.run()) == ("private, max-age=3600", "600")


def test_snapshots_are_good_until_the_next_refresh_is_due(api: Caller) -> None:
    api.created(data_freshness_seconds=3600, is_materialized=True)
    api.materialize()
    api.clock.advance(timedelta(minutes=50))
    assert cache_headers(api.get("/daily/run")) == ("private, max-age=600", "0")
    api.clock.advance(timedelta(minutes=4))
    answer = api.get("/daily/run")
    assert (ok(answer)["is_cached"], cache_headers(answer)) == (True, ("private, max-age=600", "240"))


def test_what_waits_for_a_refresh_is_good_for_nothing(api: Caller) -> None:
    api.created(is_materialized=True)
    assert cache_headers(api.get("/daily/run")) == ("private, no-cache", None)
    api.materialize()
    assert cache_headers(api.get("/daily/run", params={"refresh": "direct"})) == ("private, no-cache", None)
    api.clock.advance(timedelta(days=2))
    assert cache_headers(api.get("/daily/run")) == ("private, no-cache", None)


def test_a_miss_is_not_to_be_stored(api: Caller) -> None:
    api.created()
    answer = api.get("/daily/run", params={"refresh": "force_cache"})
    assert (cache_headers(answer), answer.headers.get("etag")) == (("private, no-store", None), None)


class TestConditional:
    def test_a_snapshots_rows_need_not_be_sent_twice(self, api: Caller) -> None:
        api.created(is_materialized=True)
        api.materialize()
        etag = api.get("/daily/run").headers["etag"]
        again = api.get("/daily/run", headers={"If-None-Match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert cache_headers(again) == ("private, max-age=86400", "0")
        api.materialize()
        fresh = api.get("/daily/run", headers={"If-None-Match": etag})
        assert (fresh.status_code, fresh.headers["etag"] == etag) == (200, False)

    def test_nor_those_of_the_cache(self, api: Caller) -> None:
        api.created()
        etag = api.get("/daily/run").headers["etag"]
        assert api.get("/daily/run", headers={"If-None-Match": f'"x", {etag}'}).status_code == 304
        assert api.get("/daily/run", headers={"If-None-Match": "*"}).status_code == 304
        assert api.get("/daily/run", headers={"If-None-Match": '"x"'}).status_code == 200
        forced = api.get("/daily/run", params={"refresh": "force"}, headers={"If-None-Match": etag})
        assert forced.status_code == 200
        api.clock.advance(timedelta(days=1))
        assert api.get("/daily/run", headers={"If-None-Match": etag}).status_code == 200

    def test_other_pages_versions_and_values_are_other_rows(self, api: Caller) -> None:
        api.created()
        etags = {
            api.get("/daily/run", params=params).headers["etag"]
            for params in ({}, {"limit": 5}, {"limit": 4}, {"limit": 4, "offset": 1})
        }
        api.patched(query={"kind": "HogQLQuery", "query": "SELECT 1 AS n"})
        etags.add(api.get("/daily/run").headers["etag"])
        assert len(etags) == 5

    def test_it_is_an_execution(self, api: Caller) -> None:
        api.created()
        etag = api.get("/daily/run").headers["etag"]
        api.clock.advance(HOUR)
        assert api.get("/daily/run", headers={"If-None-Match": etag}).status_code == 304
        times = ok(api.post("/last_execution_times", {"names": ["daily"]}))["query_status"]["results"]
        assert times == [["daily", "2026-03-01T13:00:00Z"]]

    def test_posts_are_answered(self, api: Caller) -> None:
        api.created()
        etag = api.run().headers["etag"]
        assert api.run(headers={"If-None-Match": etag}).status_code == 200


class TestDebug:
    KEYS = (
        "calculation_trigger",
        "cache_key",
        "explain",
        "hogql",
        "modifiers",
        "resolved_date_range",
        "timings",
        "clickhouse",
    )

    def test_the_keys_are_there_for_who_asks(self, api: Caller) -> None:
        api.created("x", "select 1 as n")
        answer = api.answered("x", {"debug": True})
        assert set(self.KEYS) <= set(answer)
        assert (answer["hogql"], answer["clickhouse"]) == ("select 1 as n", "SELECT 1 AS n")
        assert answer["timings"][0]["k"] == "total"
        assert not set(self.KEYS) & set(api.answered("x", {"debug": False}))
        assert answer["cache_key"] == api.answered("x", {"debug": True})["cache_key"]


class TestPagination:
    """Contract 1.7."""

    @pytest.mark.parametrize("path", ["inline", "materialized"])
    def test_the_ceiling_is_right(self, api: Caller, path: str) -> None:
        sql = "SELECT number FROM numbers(100) ORDER BY number LIMIT 7"
        api.created("x", sql, is_materialized=path == "materialized")
        if path == "materialized":
            api.materialize("x")
        expected = {
            (3, 0): ([0, 1, 2], True),
            (3, 3): ([3, 4, 5], True),
            (3, 6): ([6], False),
            (4, 3): ([3, 4, 5, 6], False),
            (7, 0): ([0, 1, 2, 3, 4, 5, 6], False),
            (100, 0): ([0, 1, 2, 3, 4, 5, 6], False),
            (1, 7): ([], False),
            (5, 700): ([], False),
        }
        for (limit, offset), (rows, more) in expected.items():
            answer = api.answered("x", {"limit": limit, "offset": offset})
            assert answer["served"]["path"] == path
            assert ([row[0] for row in answer["results"]], answer["hasMore"]) == (rows, more), (limit, offset)
            assert (answer["limit"], answer["offset"]) == (limit, offset)

    @pytest.mark.parametrize("word", ["UNION ALL", "union distinct"])
    def test_a_union_must_be_wrapped(self, api: Caller, word: str) -> None:
        sql = f"SELECT 1 AS n {word} SELECT 2 AS n"
        api.created("x", sql)
        api.created("wrapped", f"SELECT * FROM ({sql}) ORDER BY n")
        assert api.run("x").status_code == 200
        answer = api.run("x", {"limit": 1})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(
            "Pagination is not supported for UNION queries. Wrap the UNION in a subquery"
        )
        assert api.run("wrapped", {"limit": 1}).status_code == 200

    def test_the_word_alone_is_no_union(self, api: Caller) -> None:
        api.created("x", "SELECT 'union' AS word, 1 AS reunion")
        assert api.answered("x", {"limit": 1})["results"] == [["union", 1]]
