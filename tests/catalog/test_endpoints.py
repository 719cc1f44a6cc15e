"""What people publish: endpoints, versions, and the wish to materialize them (contract 1.1 to 1.5, 2.5, 2.7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.records import Endpoint, RefreshStatus, Snapshot, Version
from endpoints_pipeline.errors import InvalidInput, NotFound, RefreshSuperseded, VersionNotFound
from endpoints_pipeline.query.columns import Column
from tests.catalog.builders import PROJECT, at_once, checked, execution, materialized, new, publish, refresh
from tests.fixtures.catalog import FakeClock

MINUTE = timedelta(minutes=1)


def _update(catalog: Catalog, clock: FakeClock, name: str = "daily", **change: Any) -> Endpoint:
    return catalog.endpoints.update(PROJECT, name, EndpointChange(**change), clock.advance(MINUTE))


def _version(catalog: Catalog, version: int | None = None, name: str = "daily") -> Version:
    return catalog.endpoints.get(PROJECT, name, version).version


def _enabled(catalog: Catalog) -> list[tuple[str, int]]:
    return [(found.name, found.version) for found in catalog.refreshes.materialized_versions()]


def _waiting(catalog: Catalog) -> list[str]:
    return [request.version_id for request in catalog.refreshes.waiting_requests()]


class TestCreate:
    def test_starts_at_version_1_with_the_contracts_defaults(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = catalog.endpoints.create(PROJECT, new(), clock())

        assert (endpoint.name, endpoint.project_id, endpoint.is_active) == ("daily", PROJECT, True)
        assert (endpoint.current_version, endpoint.version.version) == (1, 1)
        assert (endpoint.created_at, endpoint.updated_at) == (clock(), clock())
        assert endpoint.derived_from_insight is None
        assert endpoint.last_executed_at is None
        version = endpoint.version
        assert (version.description, version.data_freshness_seconds, version.cache_age_seconds) == ("", 86400, None)
        assert version.is_active
        assert not version.is_materialized
        assert version.materialization is None
        assert version.snapshot is None

    def test_answers_what_a_later_get_answers(self, catalog: Catalog, clock: FakeClock) -> None:
        created = catalog.endpoints.create(
            PROJECT,
            replace(
                new(
                    description="Søl 日本 🚀",
                    data_freshness_seconds=900,
                    cache_age_seconds=300,
                    derived_from_insight="abc123",
                    is_materialized=True,
                ),
                query=checked(
                    "SELECT 'é\\n' AS s",
                    columns=[
                        Column("s", "LowCardinality(Nullable(String))"),
                        Column("à", "Array(Tuple(a UInt8, b Enum8('x' = 1)))"),
                    ],
                    variables={"b": {"value": [1, 2.5, None, True]}, "a": {}},
                ),
            ),
            clock(),
        )

        assert catalog.endpoints.get(PROJECT, "daily") == created
        assert created.version.query["variables"]["b"]["value"] == [1, 2.5, None, True]
        assert created.version.columns[1].type == "Array(Tuple(a UInt8, b Enum8('x' = 1)))"

    def test_a_materialized_one_asks_for_its_first_refresh(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = materialized(catalog, clock())

        assert endpoint.version.is_materialized
        assert endpoint.version.snapshot is None
        assert endpoint.version.materialization is not None
        assert endpoint.version.materialization.status is RefreshStatus.UNKNOWN
        assert _enabled(catalog) == [("daily", 1)]
        assert _waiting(catalog) == [endpoint.version.id]

    @pytest.mark.parametrize(
        ("fields", "frequency"),
        [
            ({}, "24hour"),
            ({"data_freshness_seconds": 900}, "15min"),
            ({"data_freshness_seconds": 604800}, "7day"),
            ({"sync_frequency": "5min"}, "5min"),
            ({"data_freshness_seconds": 900, "sync_frequency": "never"}, "never"),
        ],
    )
    def test_the_schedule_is_the_word_sent_or_follows_from_the_freshness(
        self, sqlite_catalog: Catalog, clock: FakeClock, fields: dict[str, Any], frequency: str
    ) -> None:
        version = materialized(sqlite_catalog, clock(), **fields).version

        assert version.materialization is not None
        assert version.materialization.sync_frequency == frequency

    def test_an_inactive_one_is_allowed_but_not_with_a_materialization(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        with pytest.raises(InvalidInput, match="Cannot enable materialization on inactive endpoint") as refused:
            materialized(catalog, clock(), is_active=False)

        assert refused.value.attr == "is_materialized"
        assert catalog.endpoints.list(PROJECT) == ([], 0)
        assert _waiting(catalog) == []
        assert not catalog.endpoints.create(PROJECT, new(is_active=False), clock()).is_active

    def test_a_live_name_is_refused_and_its_endpoint_untouched(self, catalog: Catalog, clock: FakeClock) -> None:
        first = catalog.endpoints.create(PROJECT, new(), clock())

        with pytest.raises(InvalidInput) as refused:
            materialized(catalog, clock.advance(MINUTE), sql="SELECT 2")

        assert str(refused.value) == "An endpoint with this name already exists for this team."
        assert refused.value.attr == "name"
        assert catalog.endpoints.get(PROJECT, "daily") == first
        assert _enabled(catalog) == []
        assert _waiting(catalog) == []

    def test_names_that_look_alike_are_different_names(self, catalog: Catalog, clock: FakeClock) -> None:
        names = {"daily", "Daily", "a-b", "a_b"}
        for name in names:
            catalog.endpoints.create(PROJECT, new(name), clock())

        assert {endpoint.name for endpoint in catalog.endpoints.list(PROJECT)[0]} == names

    def test_a_deleted_name_starts_anew(self, catalog: Catalog, clock: FakeClock) -> None:
        old = materialized(catalog, clock())
        _update(catalog, clock, query=checked("SELECT 2"))
        refresh(catalog, old.version.id, clock())
        catalog.executions.record([execution(old, clock())])
        catalog.endpoints.delete(PROJECT, "daily", clock())

        reborn = catalog.endpoints.create(PROJECT, new(sql="SELECT 3"), clock.advance(MINUTE))

        assert reborn.id != old.id
        assert (reborn.current_version, reborn.version.sql) == (1, "SELECT 3")
        assert reborn.last_executed_at is None
        assert reborn.version.materialization is None
        assert catalog.endpoints.get(PROJECT, "daily") == reborn
        with pytest.raises(VersionNotFound):
            catalog.endpoints.get(PROJECT, "daily", 2)

    def test_of_one_name_at_the_same_time_exactly_one_wins(self, catalog: Catalog, clock: FakeClock) -> None:
        answers = at_once(
            [partial(catalog.endpoints.create, PROJECT, new(sql=f"SELECT {n}"), clock()) for n in range(8)]
        )

        winners = [answer for answer in answers if isinstance(answer, Endpoint)]
        assert [type(answer) for answer in answers].count(InvalidInput) == 7
        assert [catalog.endpoints.get(PROJECT, "daily")] == winners


class TestProjects:
    def test_the_same_name_in_two_projects_is_two_endpoints(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.projects.ensure(2, "Other", clock())
        mine = materialized(catalog, clock())
        theirs = catalog.endpoints.create(2, new(is_materialized=True), clock())

        _update(catalog, clock, query=checked("SELECT 2"))
        catalog.endpoints.delete(PROJECT, "daily", clock())

        assert mine.id != theirs.id
        assert catalog.endpoints.get(2, "daily") == theirs
        assert catalog.endpoints.list(2) == ([theirs], 1)
        assert _waiting(catalog) == [theirs.version.id]

    def test_a_name_of_another_project_does_not_exist_here(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.projects.ensure(2, "Other", clock())
        catalog.endpoints.create(PROJECT, new(), clock())

        with pytest.raises(NotFound):
            catalog.endpoints.get(2, "daily")
        with pytest.raises(NotFound):
            catalog.endpoints.update(2, "daily", EndpointChange(description="mine now"), clock())
        with pytest.raises(NotFound):
            catalog.endpoints.delete(2, "daily", clock())
        assert catalog.endpoints.list(2) == ([], 0)
        assert _version(catalog).description == ""

    def test_an_unknown_project_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        for project in (7, -1):
            with pytest.raises(NotFound):
                catalog.endpoints.create(project, new(), clock())
            with pytest.raises(NotFound):
                catalog.endpoints.list(project)
            with pytest.raises(NotFound):
                catalog.endpoints.get(project, "daily")

    def test_ensuring_a_project_again_changes_nothing(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = catalog.endpoints.create(PROJECT, new(), clock())

        catalog.projects.ensure(PROJECT, "Another name", clock.advance(MINUTE))

        assert catalog.endpoints.list(PROJECT) == ([endpoint], 1)

    def test_may_be_ensured_by_many_at_the_same_time(self, catalog: Catalog, clock: FakeClock) -> None:
        assert at_once([partial(catalog.projects.ensure, 2, "Other", clock())] * 8) == [None] * 8
        assert catalog.endpoints.list(2) == ([], 0)


class TestGet:
    def test_unknown_names_and_versions_are_told_apart(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(), clock())
        _update(catalog, clock, query=checked("SELECT 2"))

        with pytest.raises(NotFound) as unknown_name:
            catalog.endpoints.get(PROJECT, "weekly")
        with pytest.raises(VersionNotFound) as unknown_version:
            catalog.endpoints.get(PROJECT, "daily", 9)

        assert not isinstance(unknown_name.value, VersionNotFound)
        assert str(unknown_version.value) == "Version 9 not found for endpoint 'daily'"
        assert (unknown_version.value.version, unknown_version.value.current_version) == (9, 2)

    def test_any_number_that_is_no_version_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(), clock())

        for version in (0, -1, 2, 2**63, 10**30):
            with pytest.raises(VersionNotFound):
                catalog.endpoints.get(PROJECT, "daily", version)

    def test_works_for_an_inactive_endpoint(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(is_active=False), clock())

        assert catalog.endpoints.get(PROJECT, "daily").is_active is False

    def test_current_is_the_highest_version_even_if_inactive(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(), clock())
        _update(catalog, clock, query=checked("SELECT 2"))
        _update(catalog, clock, version=2, is_active=False)

        assert (_version(catalog).version, _version(catalog).is_active) == (2, False)


class TestList:
    def test_pages_through_live_endpoints_by_name(self, catalog: Catalog, clock: FakeClock) -> None:
        for name in ("cc", "aa", "ee", "bb", "dd"):
            catalog.endpoints.create(PROJECT, new(name), clock())
        catalog.endpoints.delete(PROJECT, "cc", clock())

        def page(**window: Any) -> tuple[list[str], int]:
            endpoints, total = catalog.endpoints.list(PROJECT, **window)
            return [endpoint.name for endpoint in endpoints], total

        assert page() == (["aa", "bb", "dd", "ee"], 4)
        assert page(limit=2) == (["aa", "bb"], 4)
        assert page(limit=2, offset=1) == (["bb", "dd"], 4)
        assert page(offset=3) == (["ee"], 4)
        assert page(limit=2, offset=9) == ([], 4)

    def test_filters_by_the_endpoints_flag_not_the_versions(self, catalog: Catalog, clock: FakeClock) -> None:
        for name in ("on", "off", "half"):
            catalog.endpoints.create(PROJECT, new(name), clock())
        _update(catalog, clock, "off", is_active=False)
        _update(catalog, clock, "half", version=1, is_active=False)

        assert [found.name for found in catalog.endpoints.list(PROJECT)[0]] == ["half", "off", "on"]
        active, total = catalog.endpoints.list(PROJECT, is_active=True)
        assert ([found.name for found in active], total) == (["half", "on"], 2)
        assert [found.name for found in catalog.endpoints.list(PROJECT, is_active=False)[0]] == ["off"]

    def test_items_are_what_get_answers(self, catalog: Catalog, clock: FakeClock) -> None:
        first = materialized(catalog, clock(), "aa")
        catalog.endpoints.create(PROJECT, new("bb"), clock())
        _update(catalog, clock, "bb", query=checked("SELECT 2"))
        refresh(catalog, first.version.id, clock())
        catalog.executions.record([execution(first, clock())])

        listed = catalog.endpoints.list(PROJECT)[0]

        assert list(listed) == [catalog.endpoints.get(PROJECT, name) for name in ("aa", "bb")]
        assert listed[0].version.snapshot is not None
        assert listed[0].last_executed_at == clock()
        assert listed[1].version.sql == "SELECT 2"


class TestQueryChange:
    @pytest.mark.parametrize(
        "same",
        [
            checked("SELECT 1", variables={"a": 1, "b": {"x": 1, "y": [1]}}),
            replace(
                checked(),
                query={"variables": {"b": {"y": [1], "x": 1}, "a": 1}, "query": "SELECT 1", "kind": "HogQLQuery"},
            ),
        ],
        ids=["as it was", "keys in another order"],
    )
    def test_the_same_query_makes_no_version(self, catalog: Catalog, clock: FakeClock, same: Any) -> None:
        query = checked("SELECT 1", variables={"a": 1, "b": {"x": 1, "y": [1]}})
        before = catalog.endpoints.create(PROJECT, replace(new(), query=query), clock()).version

        after = _update(catalog, clock, query=same)

        assert (after.current_version, after.version.id) == (1, before.id)
        with pytest.raises(VersionNotFound):
            catalog.endpoints.get(PROJECT, "daily", 2)

    @pytest.mark.parametrize(
        "other",
        [
            checked("SELECT  1", variables={"a": 1}),
            checked("SELECT 1", variables={"a": 2}),
            checked("SELECT 1", variables={"a": True}),
            checked("SELECT 1", variables={"a": "1"}),
            checked("SELECT 1", variables={"a": None}),
            checked("SELECT 1", variables={}),
            checked("SELECT 1"),
        ],
        ids=["a space more", "another value", "true for 1", "text for a number", "null", "no variable", "a key less"],
    )
    def test_any_other_query_makes_one(self, catalog: Catalog, clock: FakeClock, other: Any) -> None:
        catalog.endpoints.create(PROJECT, replace(new(), query=checked("SELECT 1", variables={"a": 1})), clock())

        after = _update(catalog, clock, query=other)

        assert (after.current_version, after.version.version) == (2, 2)
        assert (dict(after.version.query), after.version.sql) == (dict(other.query), other.sql)
        assert after.version.created_at == clock()

    def test_compares_with_the_current_version_only(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(sql="SELECT 1"), clock())
        _update(catalog, clock, query=checked("SELECT 2"))

        assert _update(catalog, clock, query=checked("SELECT 1")).current_version == 3

    def test_the_new_version_inherits_settings_and_the_old_keeps_its_text(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        old = catalog.endpoints.create(
            PROJECT, new(description="mine", data_freshness_seconds=3600, cache_age_seconds=600), clock()
        ).version

        version = _update(catalog, clock, query=checked("SELECT 2", columns=[Column("m", "String")])).version

        assert version.id != old.id
        assert (version.description, version.data_freshness_seconds, version.cache_age_seconds) == ("mine", 3600, 600)
        assert version.columns == (Column("m", "String"),)
        assert not version.is_materialized
        assert _version(catalog, 1) == old

    def test_settings_sent_along_belong_to_the_new_version(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(description="old"), clock())

        _update(catalog, clock, query=checked("SELECT 2"), description="new", data_freshness_seconds=900)

        assert (_version(catalog, 1).description, _version(catalog, 1).data_freshness_seconds) == ("old", 86400)
        assert (_version(catalog, 2).description, _version(catalog, 2).data_freshness_seconds) == ("new", 900)

    def test_carries_the_materialization_on_while_the_old_version_keeps_its_own(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        old = materialized(catalog, clock(), sync_frequency="5min").version
        snapshot = refresh(catalog, old.id, clock())

        version = _update(catalog, clock, query=checked("SELECT 2")).version

        assert version.is_materialized
        assert version.snapshot is None
        assert version.materialization is not None
        assert version.materialization.sync_frequency == "5min"
        assert _waiting(catalog) == [version.id]
        kept = _version(catalog, 1)
        assert kept.snapshot == snapshot
        assert kept.materialization is not None
        assert kept.materialization.sync_frequency == "5min"
        assert [(found.version, found.is_current) for found in catalog.refreshes.materialized_versions()] == [
            (1, False),
            (2, True),
        ]

    def test_a_freshness_sent_along_sets_the_new_versions_schedule_only(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        materialized(catalog, clock(), sync_frequency="5min")

        _update(catalog, clock, query=checked("SELECT 2"), data_freshness_seconds=3600)

        frequencies = {found.version: found.sync_frequency for found in catalog.refreshes.materialized_versions()}
        assert frequencies == {1: "5min", 2: "1hour"}

    def test_can_leave_the_materialization_behind(self, catalog: Catalog, clock: FakeClock) -> None:
        snapshot = refresh(catalog, materialized(catalog, clock()).version.id, clock())

        version = _update(catalog, clock, query=checked("SELECT 2"), is_materialized=False).version

        assert not version.is_materialized
        assert _enabled(catalog) == [("daily", 1)]
        assert _version(catalog, 1).snapshot == snapshot

    def test_starts_active_and_may_be_materialized_though_the_old_version_was_inactive(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        catalog.endpoints.create(PROJECT, new(), clock())
        _update(catalog, clock, version=1, is_active=False)

        version = _update(catalog, clock, query=checked("SELECT 2"), is_materialized=True).version

        assert version.is_active
        assert version.is_materialized
        assert _version(catalog, 1).is_active is False

    def test_eight_at_the_same_time_get_eight_versions(self, catalog: Catalog, clock: FakeClock) -> None:
        materialized(catalog, clock())
        texts = {f"SELECT {n}" for n in range(100, 108)}

        answers = at_once(
            [
                partial(catalog.endpoints.update, PROJECT, "daily", EndpointChange(query=checked(text)), clock())
                for text in texts
            ]
        )

        assert all(isinstance(answer, Endpoint) for answer in answers), answers
        numbers = sorted(answer.version.version for answer in answers if isinstance(answer, Endpoint))
        assert numbers == list(range(2, 10))
        assert {_version(catalog, number).sql for number in numbers} == texts
        assert catalog.endpoints.get(PROJECT, "daily").current_version == 9
        assert len(_enabled(catalog)) == len(_waiting(catalog)) == 9


class TestUpdate:
    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"description": "words"},
            {"is_active": False},
            {"is_materialized": True},
            {"data_freshness_seconds": 900},
            {"cache_age_seconds": 300},
            {"version": 1, "is_active": False},
        ],
    )
    def test_only_a_query_makes_a_version(
        self, sqlite_catalog: Catalog, clock: FakeClock, change: dict[str, Any]
    ) -> None:
        before = sqlite_catalog.endpoints.create(PROJECT, new(), clock())

        after = _update(sqlite_catalog, clock, **change)

        assert (after.current_version, after.version.id) == (1, before.version.id)

    def test_leaves_out_fields_as_they_were(self, catalog: Catalog, clock: FakeClock) -> None:
        before = materialized(
            catalog, clock(), description="words", data_freshness_seconds=900, cache_age_seconds=300
        ).version

        after = _update(catalog, clock, cache_age_seconds=600).version

        assert replace(after, updated_at=before.updated_at) == replace(before, cache_age_seconds=600)

    def test_answers_what_a_later_get_answers(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = materialized(catalog, clock())
        refresh(catalog, endpoint.version.id, clock())

        changed = _update(catalog, clock, description="words")

        assert catalog.endpoints.get(PROJECT, "daily") == changed
        assert (changed.created_at, changed.updated_at) == (endpoint.created_at, clock())

    def test_aimed_at_a_version_changes_and_answers_that_version_only(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(), clock())
        current = _update(catalog, clock, query=checked("SELECT 2")).version

        after = _update(
            catalog, clock, version=1, description="old one", data_freshness_seconds=900, is_materialized=True
        )

        assert (after.current_version, after.version.version, after.version.description) == (2, 1, "old one")
        assert after.version.data_freshness_seconds == 900
        assert _version(catalog, 2) == current
        assert _enabled(catalog) == [("daily", 1)]

    @pytest.mark.parametrize(
        ("change", "attr", "message"),
        [
            ({"version": 999, "description": "x"}, "version", "Version 999 not found for this endpoint."),
            (
                {"version": 1, "query": checked("SELECT 2"), "description": "x"},
                "query",
                "Cannot change query when targeting a specific version. Query changes create a new version.",
            ),
            (
                {"is_active": False, "is_materialized": True, "description": "x"},
                "is_materialized",
                "Cannot enable materialization on inactive endpoint.",
            ),
            (
                {"version": 1, "is_active": False, "is_materialized": True},
                "is_materialized",
                "Cannot enable materialization on inactive endpoint.",
            ),
            (
                {"is_active": False, "is_materialized": True, "query": checked("SELECT 2")},
                "is_materialized",
                "Cannot enable materialization on inactive endpoint.",
            ),
        ],
        ids=["unknown version", "query of a version", "endpoint to inactive", "version to inactive", "with a query"],
    )
    def test_a_refused_one_changes_nothing(
        self, catalog: Catalog, clock: FakeClock, change: dict[str, Any], attr: str, message: str
    ) -> None:
        before = catalog.endpoints.create(PROJECT, new(), clock())
        revision = catalog.refreshes.revision()

        with pytest.raises(InvalidInput) as refused:
            _update(catalog, clock, **change)

        assert (refused.value.attr, str(refused.value)) == (attr, message)
        assert catalog.endpoints.get(PROJECT, "daily") == before
        assert catalog.refreshes.revision() == revision
        assert _waiting(catalog) == []

    def test_an_unknown_endpoint_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        with pytest.raises(NotFound):
            _update(catalog, clock, "weekly", description="x")


class TestMaterialize:
    def test_an_inactive_endpoint_or_version_is_refused(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new("off", is_active=False), clock())
        catalog.endpoints.create(PROJECT, new("half"), clock())
        _update(catalog, clock, "half", version=1, is_active=False)

        for name in ("off", "half"):
            with pytest.raises(InvalidInput, match="Cannot enable materialization on inactive endpoint"):
                _update(catalog, clock, name, is_materialized=True)
        assert _enabled(catalog) == []

    def test_may_come_together_with_activation(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(is_active=False), clock())

        assert _update(catalog, clock, is_active=True, is_materialized=True).version.is_materialized

    def test_asking_twice_keeps_the_snapshot_and_requests_once(self, catalog: Catalog, clock: FakeClock) -> None:
        version = materialized(catalog, clock()).version
        snapshot = refresh(catalog, version.id, clock())

        again = _update(catalog, clock, is_materialized=True).version

        assert again.snapshot == snapshot
        assert _waiting(catalog) == []

    @pytest.mark.parametrize(
        ("change", "frequency"),
        [
            ({"data_freshness_seconds": 900}, "15min"),
            ({"sync_frequency": "30day"}, "30day"),
            ({"sync_frequency": "5min", "data_freshness_seconds": 3600}, "5min"),
            ({"description": "words"}, "never"),
            ({"is_materialized": True}, "never"),
        ],
    )
    def test_the_schedule_follows_the_word_then_the_freshness_then_stays(
        self, sqlite_catalog: Catalog, clock: FakeClock, change: dict[str, Any], frequency: str
    ) -> None:
        materialized(sqlite_catalog, clock(), sync_frequency="never")

        _update(sqlite_catalog, clock, **change)

        assert [found.sync_frequency for found in sqlite_catalog.refreshes.materialized_versions()] == [frequency]

    def test_switching_off_forgets_snapshot_schedule_and_request(self, catalog: Catalog, clock: FakeClock) -> None:
        version = materialized(catalog, clock()).version
        refresh(catalog, version.id, clock())

        off = _update(catalog, clock, is_materialized=False).version

        assert not off.is_materialized
        assert off.snapshot is None
        assert _enabled(catalog) == []
        assert _waiting(catalog) == []
        assert catalog.refreshes.materializations("24hour") == []
        assert _update(catalog, clock, description="words").version.is_materialized is False

    def test_switching_on_again_starts_without_a_snapshot(self, catalog: Catalog, clock: FakeClock) -> None:
        version = materialized(catalog, clock()).version
        first = refresh(catalog, version.id, clock())
        _update(catalog, clock, is_materialized=False)

        again = _update(catalog, clock, is_materialized=True).version

        assert again.is_materialized
        assert again.snapshot is None
        assert again.materialization is not None
        assert again.materialization.status is RefreshStatus.UNKNOWN
        assert _waiting(catalog) == [version.id]
        assert refresh(catalog, version.id, clock()).sequence > first.sequence


class TestActivation:
    def test_deactivating_the_endpoint_tears_down_every_version(self, catalog: Catalog, clock: FakeClock) -> None:
        first = materialized(catalog, clock()).version
        refresh(catalog, first.id, clock())
        _update(catalog, clock, query=checked("SELECT 2"))
        materialized(catalog, clock(), "other")

        off = _update(catalog, clock, is_active=False)

        assert off.is_active is False
        assert off.version.is_active
        assert [_version(catalog, number).is_materialized for number in (1, 2)] == [False, False]
        assert _version(catalog, 1).snapshot is None
        assert _enabled(catalog) == [("other", 1)]
        assert _waiting(catalog) == [_version(catalog, name="other").id]

    def test_deactivating_a_version_tears_down_that_version_only(self, catalog: Catalog, clock: FakeClock) -> None:
        first = materialized(catalog, clock()).version
        _update(catalog, clock, query=checked("SELECT 2"))
        refresh(catalog, _version(catalog, 2).id, clock())
        kept = _version(catalog, 2)

        off = _update(catalog, clock, version=1, is_active=False)

        assert (off.is_active, off.version.is_active) == (True, False)
        assert off.version.is_materialized is False
        assert _version(catalog, 2) == kept
        assert _enabled(catalog) == [("daily", 2)]
        assert first.id not in _waiting(catalog)

    def test_reactivating_brings_no_materialization_back(self, catalog: Catalog, clock: FakeClock) -> None:
        materialized(catalog, clock())
        _update(catalog, clock, query=checked("SELECT 2"))
        _update(catalog, clock, version=1, is_active=False)
        _update(catalog, clock, is_active=False)

        _update(catalog, clock, is_active=True)
        _update(catalog, clock, version=1, is_active=True)

        assert [_version(catalog, number).is_active for number in (1, 2)] == [True, True]
        assert _enabled(catalog) == []
        assert _waiting(catalog) == []

    def test_a_new_query_for_an_inactive_endpoint_stays_unmaterialized(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        materialized(catalog, clock())
        _update(catalog, clock, is_active=False)

        assert _update(catalog, clock, query=checked("SELECT 2")).version.is_materialized is False

    def test_deactivating_with_a_new_query_tears_down_both_versions(self, catalog: Catalog, clock: FakeClock) -> None:
        materialized(catalog, clock())

        after = _update(catalog, clock, is_active=False, query=checked("SELECT 2"))

        assert after.current_version == 2
        assert _enabled(catalog) == []
        assert _waiting(catalog) == []


class TestDelete:
    def test_ends_everything_of_the_endpoint_and_nothing_else(self, catalog: Catalog, clock: FakeClock) -> None:
        first = materialized(catalog, clock()).version
        refresh(catalog, first.id, clock())
        _update(catalog, clock, query=checked("SELECT 2"))
        other = materialized(catalog, clock(), "other")

        catalog.endpoints.delete(PROJECT, "daily", clock())

        for version in (None, 1, 2):
            with pytest.raises(NotFound):
                catalog.endpoints.get(PROJECT, "daily", version)
        assert catalog.endpoints.list(PROJECT) == ([other], 1)
        assert _enabled(catalog) == [("other", 1)]
        assert _waiting(catalog) == [other.version.id]
        with pytest.raises(NotFound):
            catalog.refreshes.begin(first.id, reason="late", dagster_run_id=None, now=clock())
        with pytest.raises(InvalidInput):
            catalog.refreshes.request(first.id, "late", clock())

    def test_twice_is_not_found_and_so_is_an_update_after(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.endpoints.create(PROJECT, new(), clock())
        catalog.endpoints.delete(PROJECT, "daily", clock())

        with pytest.raises(NotFound):
            catalog.endpoints.delete(PROJECT, "daily", clock())
        with pytest.raises(NotFound):
            _update(catalog, clock, description="x")

    def test_never_leaves_a_version_materialized_by_an_update_at_the_same_time(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        materialized(catalog, clock())
        updates = [
            partial(_change, catalog, EndpointChange(query=checked(f"SELECT {n}"), is_materialized=True), clock)
            for n in range(4)
        ]

        answers = at_once([*updates, partial(catalog.endpoints.delete, PROJECT, "daily", clock())])

        assert answers[-1] is None
        assert all(isinstance(answer, Endpoint | NotFound) for answer in answers[:-1]), answers
        assert _enabled(catalog) == []
        assert _waiting(catalog) == []

    def test_a_refresh_under_way_at_the_same_time_leaves_nothing_served(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        version = materialized(catalog, clock()).version
        attempt = catalog.refreshes.begin(version.id, reason="test", dagster_run_id=None, now=clock())

        answers = at_once(
            [partial(publish, catalog, attempt, clock()), partial(catalog.endpoints.delete, PROJECT, "daily", clock())]
        )

        assert answers[1] is None
        assert isinstance(answers[0], Snapshot | RefreshSuperseded)
        assert _enabled(catalog) == []
        assert catalog.refreshes.materializations("24hour") == []


class TestRevision:
    def test_grows_with_what_dagster_must_know(self, catalog: Catalog, clock: FakeClock) -> None:
        seen = [catalog.refreshes.revision()]
        materialized(catalog, clock())
        seen.append(catalog.refreshes.revision())
        for change in (
            {"query": checked("SELECT 2")},
            {"data_freshness_seconds": 900},
            {"description": "words"},
            {"version": 1, "is_active": False},
            {"is_materialized": False},
            {"is_materialized": True},
        ):
            _update(catalog, clock, **change)
            seen.append(catalog.refreshes.revision())
        catalog.endpoints.delete(PROJECT, "daily", clock())
        seen.append(catalog.refreshes.revision())

        assert seen == sorted(set(seen)), "it must grow with every step"

    def test_stays_while_only_rows_change_or_what_is_not_materialized(self, catalog: Catalog, clock: FakeClock) -> None:
        """Each step of the number makes Dagster load its definitions anew, which takes seconds."""
        endpoint = materialized(catalog, clock())
        revision = catalog.refreshes.revision()

        refresh(catalog, endpoint.version.id, clock())
        catalog.refreshes.request(endpoint.version.id, "again", clock())
        catalog.executions.record([execution(endpoint, clock())])
        catalog.endpoints.create(PROJECT, new("inline"), clock())
        for change in ({"query": checked("SELECT 2")}, {"description": "words"}, {"is_active": False}):
            _update(catalog, clock, "inline", **change)
        catalog.endpoints.delete(PROJECT, "inline", clock())

        assert catalog.refreshes.revision() == revision


def _change(catalog: Catalog, change: EndpointChange, clock: FakeClock) -> Endpoint:
    return catalog.endpoints.update(PROJECT, "daily", change, clock())
