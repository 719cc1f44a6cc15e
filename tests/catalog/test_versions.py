"""Fields of endpoints and versions: what is set, inherited, cleared and kept (contract 1.4, 2.5, 2.6, 2.8, 8)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.records import Endpoint, ExecutionKind, Version
from endpoints_pipeline.errors import NotFound
from endpoints_pipeline.query.variables import VariableType
from tests.catalog.builders import PROJECT, checked, execution, materialized, new, person, refresh
from tests.fixtures.catalog import FakeClock

MINUTE = timedelta(minutes=1)
HOURLY, WEEKLY = {"day": "hour"}, {"day": "week", "properties.price": "hour"}


def _update(catalog: Catalog, clock: FakeClock, name: str = "daily", **change: Any) -> Endpoint:
    by = change.pop("by", None)
    return catalog.endpoints.update(PROJECT, name, EndpointChange(**change), clock.advance(MINUTE), by=by)


def _version(catalog: Catalog, number: int | None = None) -> Version:
    return catalog.endpoints.get(PROJECT, "daily", number).version


def _waiting(catalog: Catalog) -> list[tuple[str, str]]:
    return [(request.version_id, request.reason) for request in catalog.refreshes.waiting_requests()]


def _frequencies(version: Version) -> tuple[str | None, str | None]:
    """The word as it was given, and the one that the schedule goes by."""
    return version.sync_frequency, version.materialization.sync_frequency if version.materialization else None


@contextmanager
def _statements(catalog: Catalog) -> Iterator[list[str]]:
    """What is asked of the database meanwhile."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            asked.append(statement)

    sa.event.listen(catalog.database.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(catalog.database.engine, "before_cursor_execute", note)


class TestNewFields:
    def test_start_empty(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = catalog.endpoints.create(PROJECT, new(), clock())

        assert (endpoint.display_name, endpoint.tags, endpoint.created_by) == ("", (), None)
        version = endpoint.version
        assert (version.sync_frequency, version.bucket_overrides) == (None, None)
        assert (version.optional_breakdown_properties, version.created_by) == ((), None)
        assert version.last_executed_at is None

    def test_come_back_as_they_were_given(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = materialized(
            catalog,
            clock(),
            display_name="Tägliche Zahlen 日",
            sync_frequency="30day",
            bucket_overrides=WEEKLY,
            optional_breakdown_properties=["b", "a"],
        )

        assert catalog.endpoints.get(PROJECT, "daily") == endpoint
        assert endpoint.display_name == "Tägliche Zahlen 日"
        assert endpoint.version.bucket_overrides == WEEKLY
        assert endpoint.version.optional_breakdown_properties == ("b", "a")
        assert _frequencies(endpoint.version) == ("30day", "30day")

    def test_tags_are_sorted_and_unique_and_replaced_as_a_whole(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = catalog.endpoints.create(PROJECT, new(tags=["b", "a", "b", "É"]), clock())
        assert endpoint.tags == ("a", "b", "É")

        assert _update(catalog, clock, description="x").tags == ("a", "b", "É")
        assert _update(catalog, clock, tags=["d", "c"]).tags == ("c", "d")
        assert _update(catalog, clock, tags=[]).tags == ()

    def test_a_display_name_can_be_changed_and_cleared(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(), clock())

        assert _update(catalog, clock, display_name="words").display_name == "words"
        assert _update(catalog, clock, tags=["a"]).display_name == "words"
        assert _update(catalog, clock, display_name="").display_name == ""

    def test_those_of_the_endpoint_leave_the_versions_time_alone(self, catalog: Catalog, clock: FakeClock) -> None:
        before = catalog.endpoints.create(PROJECT, new(), clock())

        after = _update(catalog, clock, tags=["a"], display_name="words")

        assert (after.updated_at, after.version.updated_at) == (clock(), before.version.updated_at)
        assert _update(catalog, clock, description="words").version.updated_at == clock()
        assert _update(catalog, clock, is_materialized=True).version.updated_at == clock()


class TestAuthors:
    def test_an_endpoint_and_each_version_have_their_own(self, catalog: Catalog, clock: FakeClock) -> None:
        ann, bob = person(catalog, clock()), person(catalog, clock(), "bob@example.com")
        catalog.endpoints.create(PROJECT, new(), clock(), by=ann.id)
        _update(catalog, clock, query=checked("SELECT 2"), by=bob.id)
        _update(catalog, clock, description="the system's", query=checked("SELECT 3"))
        _update(catalog, clock, description="words", by=bob.id)

        versions, _ = catalog.endpoints.versions(PROJECT, "daily")

        assert [one.version.created_by for one in versions] == [None, bob, ann]
        assert {one.created_by for one in versions} == {ann}
        assert catalog.endpoints.get(PROJECT, "daily", 2) == versions[1]

    def test_a_list_can_be_of_one_persons_endpoints(self, catalog: Catalog, clock: FakeClock) -> None:
        ann, bob = person(catalog, clock()), person(catalog, clock(), "bob@example.com")
        for name, by in [("a", ann.id), ("b", bob.id), ("c", None), ("d", ann.id)]:
            catalog.endpoints.create(PROJECT, new(name), clock(), by=by)
        _update(catalog, clock, "d", is_active=False, by=bob.id)
        _update(catalog, clock, "b", query=checked("SELECT 2"), by=ann.id)

        def names(**wanted: Any) -> tuple[list[str], int]:
            found, total = catalog.endpoints.list(PROJECT, **wanted)
            return [one.name for one in found], total

        assert names(created_by=ann.id) == (["a", "d"], 2)
        assert names(created_by=ann.id, is_active=True) == (["a"], 1)
        assert names(created_by=bob.id) == (["b"], 1)
        assert names(created_by=99) == ([], 0)


class TestVersions:
    def test_newest_first_each_as_get_answers_it(self, catalog: Catalog, clock: FakeClock) -> None:
        materialized(catalog, clock(), tags=["a"])
        for number in (2, 3):
            _update(catalog, clock, query=checked(f"SELECT {number}"))
        refresh(catalog, _version(catalog, 2).id, clock())
        catalog.endpoints.create(PROJECT, new("other"), clock())

        versions, total = catalog.endpoints.versions(PROJECT, "daily")

        assert total == 3
        assert list(versions) == [catalog.endpoints.get(PROJECT, "daily", number) for number in (3, 2, 1)]

    def test_pages_and_filters_by_the_versions_own_flag_and_author(self, catalog: Catalog, clock: FakeClock) -> None:
        ann = person(catalog, clock())
        catalog.endpoints.create(PROJECT, new(), clock(), by=ann.id)
        for number in (2, 3, 4):
            _update(catalog, clock, query=checked(f"SELECT {number}"), by=ann.id if number == 3 else None)
        _update(catalog, clock, version=3, is_active=False)

        def numbers(**wanted: Any) -> tuple[list[int], int]:
            found, total = catalog.endpoints.versions(PROJECT, "daily", **wanted)
            return [one.version.version for one in found], total

        assert numbers(limit=2, offset=1) == ([3, 2], 4)
        assert numbers(offset=9) == ([], 4)
        assert numbers(is_active=True) == ([4, 2, 1], 3)
        assert numbers(is_active=False) == ([3], 1)
        assert numbers(created_by=ann.id) == ([3, 1], 2)
        assert numbers(created_by=ann.id, is_active=True, limit=1) == ([1], 1)

    def test_of_an_inactive_endpoint_can_be_listed_of_an_unknown_one_not(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        catalog.endpoints.create(PROJECT, new(is_active=False), clock())

        assert catalog.endpoints.versions(PROJECT, "daily")[1] == 1
        with pytest.raises(NotFound):
            catalog.endpoints.versions(PROJECT, "weekly")
        catalog.endpoints.delete(PROJECT, "daily", clock())
        with pytest.raises(NotFound):
            catalog.endpoints.versions(PROJECT, "daily")


class TestInheritance:
    def test_a_new_version_goes_on_with_all_settings(self, catalog: Catalog, clock: FakeClock) -> None:
        before = materialized(
            catalog,
            clock(),
            description="words",
            data_freshness_seconds=21600,
            cache_age_seconds=300,
            sync_frequency="2hour",
            bucket_overrides=HOURLY,
            optional_breakdown_properties=["a"],
        ).version

        after = _update(catalog, clock, query=checked("SELECT 2")).version

        for field in (
            "description",
            "data_freshness_seconds",
            "cache_age_seconds",
            "sync_frequency",
            "bucket_overrides",
            "optional_breakdown_properties",
        ):
            assert getattr(after, field) == getattr(before, field), field
        assert _frequencies(after) == ("2hour", "2hour")
        assert _version(catalog, 1) == before

    def test_what_comes_with_the_query_is_the_new_versions_only(self, catalog: Catalog, clock: FakeClock) -> None:
        before = materialized(catalog, clock(), sync_frequency="2hour", bucket_overrides=HOURLY).version

        after = _update(
            catalog,
            clock,
            query=checked("SELECT 2"),
            sync_frequency="5min",
            cache_age_seconds=600,
            bucket_overrides=WEEKLY,
            optional_breakdown_properties=["x"],
        ).version

        assert (after.sync_frequency, after.cache_age_seconds, after.bucket_overrides) == ("5min", 600, WEEKLY)
        assert after.optional_breakdown_properties == ("x",)
        assert _version(catalog, 1) == before

    def test_bucket_overrides_go_on_only_with_the_materialization(self, catalog: Catalog, clock: FakeClock) -> None:
        materialized(catalog, clock(), bucket_overrides=HOURLY)

        second = _update(catalog, clock, query=checked("SELECT 2"), is_materialized=False).version
        assert second.bucket_overrides is None

        third = _update(catalog, clock, query=checked("SELECT 3"), is_materialized=True).version
        assert third.bucket_overrides is None
        assert _version(catalog, 1).bucket_overrides == HOURLY


class TestBucketOverrides:
    def test_are_kept_with_a_materialization_only(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = catalog.endpoints.create(PROJECT, new(bucket_overrides=HOURLY), clock())
        assert endpoint.version.bucket_overrides is None

        assert _update(catalog, clock, bucket_overrides=HOURLY).version.bucket_overrides is None
        on = _update(catalog, clock, bucket_overrides=HOURLY, is_materialized=True).version
        assert on.bucket_overrides == HOURLY

    def test_stay_through_any_patch_without_them(self, catalog: Catalog, clock: FakeClock) -> None:
        materialized(catalog, clock(), bucket_overrides=HOURLY)

        for change in (
            {"description": "x"},
            {"is_materialized": True},
            {"data_freshness_seconds": 900},
            {"is_materialized": False},
            {"is_materialized": True},
            {"is_active": False},
        ):
            assert _update(catalog, clock, **change).version.bucket_overrides == HOURLY

    def test_are_cleared_by_null(self, catalog: Catalog, clock: FakeClock) -> None:
        materialized(catalog, clock(), bucket_overrides=HOURLY)
        assert _update(catalog, clock, bucket_overrides=None).version.bucket_overrides is None

        _update(catalog, clock, bucket_overrides=WEEKLY)
        _update(catalog, clock, is_materialized=False)
        assert _update(catalog, clock, bucket_overrides=None).version.bucket_overrides is None

    def test_changed_ones_of_a_materialized_version_ask_for_a_refresh_at_once(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        version = materialized(catalog, clock(), bucket_overrides=HOURLY).version
        refresh(catalog, version.id, clock())

        _update(catalog, clock, bucket_overrides=HOURLY, description="new")
        assert _waiting(catalog) == []

        _update(catalog, clock, bucket_overrides=WEEKLY)
        assert _waiting(catalog) == [(version.id, "bucket overrides changed")]
        _update(catalog, clock, bucket_overrides=None)
        assert _waiting(catalog) == [(version.id, "bucket overrides changed")]

    def test_of_a_version_that_is_just_materialized_one_refresh_is_enough(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        endpoint = catalog.endpoints.create(PROJECT, new(), clock())

        _update(catalog, clock, is_materialized=True, bucket_overrides=HOURLY)
        assert _waiting(catalog) == [(endpoint.version.id, "first materialization")]

        second = _update(catalog, clock, query=checked("SELECT 2"), bucket_overrides=WEEKLY).version
        assert _waiting(catalog)[1:] == [(second.id, "first materialization")]


class TestSyncFrequency:
    def test_the_word_is_kept_while_nothing_is_materialized(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = catalog.endpoints.create(PROJECT, new(sync_frequency="never"), clock())
        assert _frequencies(endpoint.version) == ("never", None)

        assert _frequencies(_update(catalog, clock, is_materialized=True).version) == ("never", "never")
        assert _update(catalog, clock, is_materialized=False).version.sync_frequency == "never"
        assert _frequencies(_update(catalog, clock, is_materialized=True).version) == ("never", "never")

    @pytest.mark.parametrize(
        ("change", "frequencies"),
        [
            ({"data_freshness_seconds": 900}, (None, "15min")),
            ({"data_freshness_seconds": 86400}, (None, "24hour")),
            ({"cache_age_seconds": 300}, (None, "24hour")),
            ({"cache_age_seconds": 300, "data_freshness_seconds": 3600}, (None, "1hour")),
            ({"cache_age_seconds": None}, ("2hour", "2hour")),
            ({"sync_frequency": None}, (None, "24hour")),
            ({"sync_frequency": "5min"}, ("5min", "5min")),
            ({"sync_frequency": "never", "data_freshness_seconds": 900, "cache_age_seconds": 300}, ("never", "never")),
            ({"sync_frequency": None, "data_freshness_seconds": 900}, (None, "15min")),
            ({"description": "words", "tags": ["a"], "is_materialized": True}, ("2hour", "2hour")),
        ],
    )
    def test_the_last_one_written_wins(
        self,
        sqlite_catalog: Catalog,
        clock: FakeClock,
        change: dict[str, Any],
        frequencies: tuple[str | None, str | None],
    ) -> None:
        materialized(sqlite_catalog, clock(), sync_frequency="2hour")

        assert _frequencies(_update(sqlite_catalog, clock, **change).version) == frequencies
        assert [one.sync_frequency for one in sqlite_catalog.refreshes.materialized_versions()] == [frequencies[1]]

    @pytest.mark.parametrize("value", [None, 600])
    def test_a_cache_age_can_be_changed_and_cleared(
        self, catalog: Catalog, clock: FakeClock, value: int | None
    ) -> None:
        catalog.endpoints.create(PROJECT, new(cache_age_seconds=300), clock())

        assert _update(catalog, clock, description="x").version.cache_age_seconds == 300
        assert _update(catalog, clock, cache_age_seconds=value).version.cache_age_seconds == value


class TestLastExecuted:
    def test_each_version_has_its_own_and_the_endpoint_the_newest(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = materialized(catalog, clock())
        for number in (2, 3):
            _update(catalog, clock, query=checked(f"SELECT {number}"))
        start = clock()
        catalog.executions.record(
            [
                execution(endpoint, start + 9 * MINUTE, version=1, kind=ExecutionKind.REFRESH),
                execution(endpoint, start + 5 * MINUTE, version=1),
                execution(endpoint, start + 7 * MINUTE, version=2),
                execution(endpoint, start + 6 * MINUTE, version=2),
            ]
        )
        catalog.executions.record([execution(endpoint, start + 8 * MINUTE, version=1)])

        versions, _ = catalog.endpoints.versions(PROJECT, "daily")

        assert [one.version.last_executed_at for one in versions] == [None, start + 7 * MINUTE, start + 9 * MINUTE]
        assert {one.last_executed_at for one in versions} == {start + 9 * MINUTE}
        assert catalog.executions.last(PROJECT, ["daily"], start)[0].kind is ExecutionKind.REFRESH


class TestCost:
    """These reads are part of every run and every page; how many statements they take must not depend on the rows."""

    @pytest.mark.parametrize(("snapshots", "most"), [(False, 4), (True, 6)])
    def test_of_a_get(self, catalog: Catalog, clock: FakeClock, snapshots: bool, most: int) -> None:
        ann, bob = person(catalog, clock()), person(catalog, clock(), "bob@example.com")
        catalog.endpoints.create(PROJECT, new(is_materialized=snapshots), clock(), by=ann.id)
        _update(catalog, clock, query=checked("SELECT 2"), by=bob.id)
        if snapshots:
            refresh(catalog, _version(catalog).id, clock())

        with _statements(catalog) as asked:
            found = catalog.endpoints.get(PROJECT, "daily")

        assert (found.created_by, found.version.created_by) == (ann, bob)
        assert len(asked) <= most, asked

    def test_of_a_page(self, catalog: Catalog, clock: FakeClock) -> None:
        for number in range(6):
            by = person(catalog, clock(), f"{number}@example.com").id
            endpoint = catalog.endpoints.create(PROJECT, new(f"e{number}", is_materialized=True), clock(), by=by)
            refresh(catalog, endpoint.version.id, clock())
            _update(catalog, clock, "e0", query=checked(f"SELECT {number} AS n"), by=by)
            catalog.variables.create(
                PROJECT,
                name=f"v{number}",
                type=VariableType.STRING,
                default_value=1,
                by=by,
                now=clock(),
            )

        with _statements(catalog) as asked:
            assert len(catalog.endpoints.list(PROJECT)[0]) == 6
        assert len(asked) <= 7, asked
        with _statements(catalog) as asked:
            assert len(catalog.endpoints.versions(PROJECT, "e0")[0]) == 7
        assert len(asked) <= 7, asked
        with _statements(catalog) as asked:
            assert len(catalog.activities.list(PROJECT)[0]) > 12
            assert len(catalog.variables.list(PROJECT)[0]) == 6
        assert len(asked) <= 6, asked
