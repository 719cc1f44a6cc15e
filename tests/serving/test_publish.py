"""What is checked before the catalog keeps a query."""

from __future__ import annotations

from typing import Any

import pytest

from endpoints_pipeline.errors import InvalidInput
from endpoints_pipeline.frequency import FRESHNESS_BUCKETS, WORDS
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.publish import check_frequency, check_freshness, check_name, check_query, freshness_of
from tests.snapshots.builders import PROJECT


def check(application: Application, sql: object, *, materialized: bool = False, **fields: Any) -> Any:
    query = {"kind": "HogQLQuery", "query": sql, **fields}
    return check_query(application.catalog, application.sources, PROJECT, query, materialized=materialized)


class TestQuery:
    def test_a_good_one_is_kept_as_it_was_written(self, application: Application) -> None:
        sql = "select  id from events -- mine"
        found = check(application, sql, name="x")
        assert found.sql == sql
        assert found.columns == (Column("id", "Nullable(UInt64)"),)
        assert found.query["query"] == sql
        assert found.query["name"] == "x"
        assert found.query["filters"] is None

    @pytest.mark.parametrize(
        ("sql", "code", "words"),
        [
            ("SELECT FROM", "UNKNOWN_IDENTIFIER", "FROM"),
            ("SELECT )", "SYNTAX_ERROR", "Syntax error"),
            ("SELECT nothing FROM events", "UNKNOWN_IDENTIFIER", "nothing"),
            ("SELECT * FROM nothing", "UNKNOWN_TABLE", "Unknown table 'nothing'"),
            ("SELECT upper(1)", "ILLEGAL_TYPE_OF_ARGUMENT", "upper"),
            ("DROP TABLE events", "invalid_input", "Only a single SELECT"),
            ("", "invalid_input", "empty"),
            ("  \n", "invalid_input", "empty"),
            (None, "invalid_input", "empty"),
            (5, "invalid_input", "empty"),
        ],
    )
    def test_a_bad_one_is_explained(self, application: Application, sql: object, code: str, words: str) -> None:
        with pytest.raises(InvalidInput, match=words) as refusal:
            check(application, sql)
        assert (refusal.value.attr, refusal.value.code) == ("query", code)

    @pytest.mark.parametrize("kind", [None, "", "EventsQuery", 5])
    def test_another_kind_is_refused(self, application: Application, kind: object) -> None:
        with pytest.raises(InvalidInput, match="only HogQLQuery"):
            check(application, "SELECT 1", kind=kind)

    @pytest.mark.parametrize(
        "sql", ["SELECT 1, 1", "SELECT id, id FROM events", "SELECT sumState(id) FROM events", "SELECT tuple()"]
    )
    def test_what_parquet_cant_hold_can_be_published_but_not_materialized(
        self, application: Application, sql: str
    ) -> None:
        assert check(application, sql).columns
        with pytest.raises(InvalidInput, match=r"^Cannot materialize endpoint\. Reason: ") as refusal:
            check(application, sql, materialized=True)
        assert refusal.value.attr == "query"


class TestWords:
    @pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 128])
    def test_names(self, name: str) -> None:
        assert check_name(name) == name

    @pytest.mark.parametrize("name", ["", "1a", "-a", "_a", "a b", "a.b", "a/b", "é", "a\n", "x" * 129])
    def test_no_names(self, name: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            check_name(name)
        assert refusal.value.attr == "name"

    def test_frequencies(self) -> None:
        assert [check_frequency(word) for word in WORDS] == list(WORDS)
        with pytest.raises(InvalidInput) as refusal:
            check_frequency("hourly")
        assert refusal.value.attr == "sync_frequency"

    def test_freshness(self) -> None:
        assert [check_freshness(seconds) for seconds in FRESHNESS_BUCKETS] == list(FRESHNESS_BUCKETS)
        with pytest.raises(InvalidInput) as refusal:
            check_freshness(60)
        assert refusal.value.attr == "data_freshness_seconds"

    @pytest.mark.parametrize(
        ("word", "seconds"),
        [("5min", 900), ("15min", 900), ("1hour", 3600), ("2hour", 21600), ("24hour", 86400), ("7day", 604800)]
        + [("30day", 2592000), ("never", None)],
    )
    def test_the_freshness_of_a_frequency(self, word: str, seconds: int | None) -> None:
        assert freshness_of(word) == seconds
