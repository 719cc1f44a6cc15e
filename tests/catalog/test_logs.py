"""Log entries: what each execution says of itself, found again (contract 1.14)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint, LogEntry, LogLevel
from tests.catalog.builders import PROJECT, at_once, entry, execution, new
from tests.fixtures.catalog import FakeClock

SECOND = timedelta(seconds=1)


@pytest.fixture
def endpoint(catalog: Catalog, clock: FakeClock) -> Endpoint:
    return catalog.endpoints.create(PROJECT, new(), clock())


def _messages(catalog: Catalog, endpoint: Endpoint, **wanted: Any) -> list[str]:
    return [found.message for found in catalog.logs.list(endpoint.id, **wanted)[0]]


class TestAdd:
    def test_keeps_every_field(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        full = LogEntry(endpoint.id, "instance", clock() + timedelta(microseconds=1), LogLevel.ERROR, "Søl · 日 🚀\n%")

        catalog.logs.add([full])

        assert catalog.logs.list(endpoint.id) == ([full], 1)

    def test_takes_any_text(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        catalog.logs.add([entry(endpoint, clock(), "bad \x00 byte, \ud800, 日")])

        assert _messages(catalog, endpoint) == ["bad \ufffd byte, \ufffd, 日"]

    def test_entries_of_unknown_endpoints_do_not_hold_up_the_others(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        mine = entry(endpoint, clock())

        catalog.logs.add([entry("from another catalog", clock()), mine])
        catalog.logs.add([entry("from another catalog", clock())])
        catalog.logs.add([])

        assert catalog.logs.list(endpoint.id) == ([mine], 1)
        assert catalog.logs.list("from another catalog") == ([], 0)

    def test_in_parallel_loses_nothing(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoints = [catalog.endpoints.create(PROJECT, new(f"e{n}"), clock()) for n in range(4)]
        batches = [[entry(one, clock(), f"{n}") for one in endpoints[:: 1 if n % 2 else -1]] for n in range(12)]

        assert at_once([partial(catalog.logs.add, batch) for batch in batches]) == [None] * 12
        for one in endpoints:
            assert sorted(map(int, _messages(catalog, one))) == list(range(12))


class TestRecordedWithExecutions:
    def test_both_are_kept_or_neither(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        happened, said = execution(endpoint, clock()), entry(endpoint, clock())
        impossible = entry(endpoint, clock(), instance_id=None)

        with pytest.raises(sa.exc.IntegrityError):
            catalog.executions.record([happened], [said, impossible])
        assert (catalog.executions.list(endpoint.id), catalog.logs.list(endpoint.id)) == ([], ([], 0))

        catalog.executions.record([happened], [said])
        assert (catalog.executions.list(endpoint.id), catalog.logs.list(endpoint.id)) == ([happened], ([said], 1))

    def test_entries_may_come_alone_or_with_executions_of_unknown_endpoints(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        catalog.executions.record([], [entry(endpoint, clock(), "alone")])
        catalog.executions.record([execution("unknown", clock())], [entry(endpoint, clock(), "beside")])

        assert _messages(catalog, endpoint) == ["beside", "alone"]


class TestList:
    def test_newest_first_and_the_last_written_first_among_equals(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        other = catalog.endpoints.create(PROJECT, new("other"), clock())
        times = (1, 0, 2, 1)
        catalog.logs.add([entry(endpoint, clock() + n * SECOND, f"{position}") for position, n in enumerate(times)])
        catalog.logs.add([entry(other, clock(), "theirs")])

        assert _messages(catalog, endpoint) == ["2", "3", "0", "1"]

    def test_pages_and_counts_all_that_fit(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        catalog.logs.add([entry(endpoint, clock() + n * SECOND, f"{n}") for n in range(5)])

        assert _messages(catalog, endpoint, limit=2, offset=1) == ["3", "2"]
        assert catalog.logs.list(endpoint.id, limit=2, offset=1)[1] == 5
        assert catalog.logs.list(endpoint.id, offset=9) == ([], 5)
        assert catalog.logs.list(endpoint.id, search="3", limit=1, offset=1) == ([], 1)

    def test_between_two_times_neither_of_which_is_meant(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        catalog.logs.add([entry(endpoint, clock() + n * SECOND, f"{n}") for n in range(5)])
        first, last = clock() + SECOND, clock() + 3 * SECOND

        assert _messages(catalog, endpoint, after=first) == ["4", "3", "2"]
        assert _messages(catalog, endpoint, before=last) == ["2", "1", "0"]
        assert _messages(catalog, endpoint, after=first, before=last) == ["2"]
        assert _messages(catalog, endpoint, after=last, before=first) == []

    @pytest.mark.parametrize(
        ("levels", "found"),
        [
            ((), ["ERROR", "WARN", "INFO", "LOG", "DEBUG"]),
            ([LogLevel.WARN], ["WARN"]),
            ({LogLevel.DEBUG, LogLevel.ERROR}, ["ERROR", "DEBUG"]),
        ],
    )
    def test_of_some_levels(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock, levels: Sequence[LogLevel], found: list[str]
    ) -> None:
        catalog.logs.add(
            [entry(endpoint, clock() + n * SECOND, level.value, level=level) for n, level in enumerate(LogLevel)]
        )

        assert _messages(catalog, endpoint, levels=levels) == found

    def test_of_one_execution(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        catalog.logs.add([entry(endpoint, clock(), name, instance_id=name) for name in ("one", "two")])

        assert _messages(catalog, endpoint, instance_id="one") == ["one"]
        assert _messages(catalog, endpoint, instance_id="o%") == []


class TestSearch:
    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("EXECUTED", ["b", "a"]),
            ("50%", ["b"]),
            ("0%", ["b"]),
            ("a_b", ["a"]),
            ("%", ["b"]),
            ("_", ["a"]),
            ("\\", ["c"]),
            ("'", ["c"]),
            ("· rows", ["a"]),
            ("rows=7 ", ["a"]),
            ("rows  ", []),
            ("", ["c", "b", "a"]),
        ],
    )
    def test_is_for_a_plain_text_in_any_case(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock, search: str, found: list[str]
    ) -> None:
        messages = {"a": "Executed · rows=7 a_b", "b": "executed 50% axb", "c": "it's C:\\x"}
        catalog.logs.add([entry(endpoint, clock(), text, instance_id=name) for name, text in messages.items()])

        assert [one.instance_id for one in catalog.logs.list(endpoint.id, search=search)[0]] == found

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        messages=st.lists(st.text("aAbB%_\\/'\" 日", max_size=12), min_size=1, max_size=4),
        search=st.text("aAbB%_\\/'\" 日", min_size=1, max_size=3),
    )
    @example(messages=["100%", "100 "], search="0%")
    @example(messages=["a_b", "a\\_b", "axb"], search="\\_")
    def test_finds_exactly_the_messages_that_contain_it(
        self, catalog: Catalog, clock: FakeClock, messages: list[str], search: str
    ) -> None:
        name = f"e{catalog.endpoints.list(PROJECT, limit=1)[1]}"
        endpoint = catalog.endpoints.create(PROJECT, new(name), clock())
        catalog.logs.add([entry(endpoint, clock(), message) for message in messages])

        found, total = catalog.logs.list(endpoint.id, search=search)

        assert sorted(one.message for one in found) == sorted(m for m in messages if search.lower() in m.lower())
        assert total == len(found)

    def test_may_be_for_any_text_of_any_length(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        long = "%_" * 100_000
        catalog.logs.add([entry(endpoint, clock(), "a \x00 byte"), entry(endpoint, clock(), long)])

        assert _messages(catalog, endpoint, search=long) == [long]
        assert _messages(catalog, endpoint, search=f"{long}x") == []
        assert _messages(catalog, endpoint, search="\x00") == ["a \ufffd byte"]
        assert _messages(catalog, endpoint, search="\ud800 b") == ["a \ufffd byte"]


class TestDropBefore:
    def test_forgets_older_entries_of_all_endpoints_and_says_how_many(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        other = catalog.endpoints.create(PROJECT, new("other"), clock())
        for one in (endpoint, other):
            catalog.logs.add([entry(one, clock() + n * SECOND, f"{n}") for n in range(4)])

        assert catalog.logs.drop_before(clock() + 2 * SECOND) == 4
        assert catalog.logs.drop_before(clock() + 2 * SECOND) == 0
        assert _messages(catalog, endpoint) == _messages(catalog, other) == ["3", "2"]
