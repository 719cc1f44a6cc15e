"""The activity log: what was changed, by whom, and nothing else (contract 5.5)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import UNSET, EndpointChange
from endpoints_pipeline.catalog.records import Activity, Change, Endpoint, User
from endpoints_pipeline.errors import InvalidInput, NotFound
from tests.catalog.builders import PROJECT, at_once, checked, execution, materialized, new, person, refresh
from tests.fixtures.catalog import FakeClock

MINUTE = timedelta(minutes=1)


@pytest.fixture
def ann(catalog: Catalog, clock: FakeClock) -> User:
    return person(catalog, clock())


def _create(catalog: Catalog, clock: FakeClock, by: User | None = None, name: str = "daily", **fields: Any) -> Endpoint:
    return catalog.endpoints.create(PROJECT, new(name, **fields), clock(), by=by.id if by else None)


def _update(catalog: Catalog, clock: FakeClock, by: User | None = None, **change: Any) -> Endpoint:
    return catalog.endpoints.update(
        PROJECT, "daily", EndpointChange(**change), clock.advance(MINUTE), by=by.id if by else None
    )


def _all(catalog: Catalog) -> list[Activity]:
    return list(catalog.activities.list(PROJECT)[0])


def _newer(catalog: Catalog, seen: int) -> list[tuple[str, str, str, dict[str, Any]]]:
    """What was logged after the first ``seen``, oldest first: scope, activity, item and context."""
    logged = _all(catalog)[::-1][seen:]
    return [(one.scope, one.activity, one.item_id, dict(one.context)) for one in logged]


class TestCreate:
    def test_is_logged_with_who_did_it(self, catalog: Catalog, clock: FakeClock, ann: User) -> None:
        endpoint = _create(catalog, clock, ann)

        [logged] = _all(catalog)
        assert (logged.scope, logged.activity, logged.item_id) == ("Endpoint", "created", endpoint.id)
        assert (logged.name, logged.project_id, logged.changes, logged.context) == ("daily", PROJECT, (), {})
        assert (logged.user, logged.created_at) == (ann, clock())

    def test_with_a_materialization_logs_that_too(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = materialized(catalog, clock())

        assert _newer(catalog, 0) == [
            ("Endpoint", "created", endpoint.id, {}),
            ("DataWarehouseSavedQuery", "materialization_enabled", endpoint.version.id, {"version": 1}),
        ]
        assert [one.user for one in _all(catalog)] == [None, None]

    def test_a_refused_one_is_not_logged(self, catalog: Catalog, clock: FakeClock) -> None:
        _create(catalog, clock)

        with pytest.raises(InvalidInput):
            _create(catalog, clock)
        with pytest.raises(InvalidInput):
            _create(catalog, clock, name="other", is_active=False, is_materialized=True)

        assert len(_all(catalog)) == 1


class TestUpdate:
    def test_an_endpoints_fields_are_logged_with_both_values(
        self, catalog: Catalog, clock: FakeClock, ann: User
    ) -> None:
        endpoint = _create(catalog, clock, tags=["old"])

        _update(catalog, clock, ann, is_active=False, display_name="Tägliches", tags=["b", "a"])

        logged = _all(catalog)[0]
        assert (logged.scope, logged.activity, logged.item_id) == ("Endpoint", "updated", endpoint.id)
        assert logged.changes == (
            Change("is_active", True, False),
            Change("display_name", "", "Tägliches"),
            Change("tags", ["old"], ["a", "b"]),
        )
        assert (logged.user, logged.created_at) == (ann, clock())
        assert len(_all(catalog)) == 2

    @pytest.mark.parametrize("target", [None, 1])
    def test_a_versions_fields_are_logged_as_the_versions(
        self, catalog: Catalog, clock: FakeClock, ann: User, target: int | None
    ) -> None:
        endpoint = _create(catalog, clock, sync_frequency="2hour")
        if target is not None:
            _update(catalog, clock, query=checked("SELECT 2"))
        seen = len(_all(catalog))

        _update(catalog, clock, ann, version=target, description="new", data_freshness_seconds=900)

        assert _newer(catalog, seen) == [("EndpointVersion", "version_updated", endpoint.id, {"version": 1})]
        assert _all(catalog)[0].changes == (
            Change("description", "", "new"),
            Change("data_freshness_seconds", 86400, 900),
            Change("sync_frequency", "2hour", None),
        )
        assert _all(catalog)[0].user == ann

    def test_a_new_query_is_logged_as_a_new_version(self, catalog: Catalog, clock: FakeClock, ann: User) -> None:
        endpoint = _create(catalog, clock)

        _update(catalog, clock, ann, query=checked("SELECT 'é' AS n", variables={"a": [1]}))

        assert _newer(catalog, 1) == [("Endpoint", "version_created", endpoint.id, {"version": 2})]
        assert _all(catalog)[0].changes == (
            Change(
                "query",
                {"kind": "HogQLQuery", "query": "SELECT 1 AS n"},
                {"kind": "HogQLQuery", "query": "SELECT 'é' AS n", "variables": {"a": [1]}},
            ),
        )

    def test_one_update_may_be_several_activities(self, catalog: Catalog, clock: FakeClock, ann: User) -> None:
        endpoint = materialized(catalog, clock())

        after = _update(catalog, clock, ann, query=checked("SELECT 2"), tags=["a"], description="new")

        assert _newer(catalog, 2) == [
            ("Endpoint", "updated", endpoint.id, {}),
            ("Endpoint", "version_created", endpoint.id, {"version": 2}),
            ("DataWarehouseSavedQuery", "materialization_enabled", after.version.id, {"version": 2}),
        ]
        assert {one.user for one in _all(catalog)[:3]} == {ann}
        assert [change.field for change in _all(catalog)[1].changes] == ["query", "description"]

    def test_materializations_are_logged_as_they_are_switched(self, catalog: Catalog, clock: FakeClock) -> None:
        first = _create(catalog, clock).version.id
        second = _update(catalog, clock, query=checked("SELECT 2")).version.id
        seen = len(_all(catalog))

        _update(catalog, clock, is_materialized=True)
        _update(catalog, clock, is_materialized=True)
        _update(catalog, clock, version=1, is_materialized=True)
        _update(catalog, clock, is_materialized=False)
        _update(catalog, clock, is_materialized=True)
        _update(catalog, clock, version=1, is_active=False)
        _update(catalog, clock, version=1, is_active=True, is_materialized=True)
        _update(catalog, clock, is_active=False)

        scope = "DataWarehouseSavedQuery"
        switched = [logged for logged in _newer(catalog, seen) if logged[0] == scope]
        assert switched == [
            (scope, "materialization_enabled", second, {"version": 2}),
            (scope, "materialization_enabled", first, {"version": 1}),
            (scope, "materialization_disabled", second, {"version": 2}),
            (scope, "materialization_enabled", second, {"version": 2}),
            (scope, "materialization_disabled", first, {"version": 1}),
            (scope, "materialization_enabled", first, {"version": 1}),
            (scope, "materialization_disabled", first, {"version": 1}),
            (scope, "materialization_disabled", second, {"version": 2}),
        ]

    def test_a_refused_one_is_not_logged(self, catalog: Catalog, clock: FakeClock) -> None:
        _create(catalog, clock)

        for change in ({"version": 9, "description": "x"}, {"is_active": False, "is_materialized": True}):
            with pytest.raises(InvalidInput):
                _update(catalog, clock, **change)

        assert len(_all(catalog)) == 1

    def test_parallel_ones_are_logged_each_with_its_version(self, catalog: Catalog, clock: FakeClock) -> None:
        people = [person(catalog, clock(), f"{n}@example.com") for n in range(8)]
        _create(catalog, clock)

        # none of them is the query that is there: whoever came first with that one would change nothing
        texts = {by.id: f"SELECT {by.id} AS by" for by in people}

        answers = at_once([partial(_update, catalog, clock, by, query=checked(texts[by.id])) for by in people])

        logged = {one.context["version"]: one for one in _all(catalog)[:-1]}
        assert sorted(logged) == list(range(2, 10))
        for by, answer in zip(people, answers, strict=True):
            number = answer.version.version
            found = catalog.endpoints.get(PROJECT, "daily", number).version
            assert found.sql == texts[by.id]
            assert logged[number].user == found.created_by == by
            assert logged[number].changes[0].after["query"] == found.sql
            before = catalog.endpoints.get(PROJECT, "daily", number - 1).version
            assert logged[number].changes[0].before["query"] == before.sql


class TestDelete:
    def test_is_logged_and_outlives_the_endpoint(self, catalog: Catalog, clock: FakeClock, ann: User) -> None:
        endpoint = materialized(catalog, clock())
        _update(catalog, clock, query=checked("SELECT 2"), is_materialized=False)
        seen = len(_all(catalog))

        catalog.endpoints.delete(PROJECT, "daily", clock(), by=ann.id)

        assert _newer(catalog, seen) == [
            ("DataWarehouseSavedQuery", "materialization_disabled", endpoint.version.id, {"version": 1}),
            ("Endpoint", "deleted", endpoint.id, {}),
        ]
        assert {(one.user, one.name) for one in _all(catalog)[:2]} == {(ann, "daily")}


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "version": st.sampled_from([None, 1, 2]),
        "query": st.sampled_from([checked("SELECT 1 AS n"), checked("SELECT 2 AS n")]),
        "description": st.sampled_from(["", "words"]),
        "is_active": st.booleans(),
        "is_materialized": st.booleans(),
        "data_freshness_seconds": st.sampled_from([900, 86400]),
        "cache_age_seconds": st.sampled_from([None, 300, UNSET]),
        "sync_frequency": st.sampled_from([None, "never", UNSET]),
        "bucket_overrides": st.sampled_from([None, {"day": "hour"}, {"day": "week"}, UNSET]),
        "optional_breakdown_properties": st.sampled_from([[], ["a"], UNSET]),
        "display_name": st.sampled_from(["", "words"]),
        "tags": st.sampled_from([[], ["a"], ["b", "a"], ["a", "b", "a"]]),
    },
)


class TestEveryUpdate:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(changes=st.lists(_CHANGES, min_size=1, max_size=6), start=st.booleans())
    def test_is_logged_exactly_if_it_changes_something(
        self, sqlite_catalog: Catalog, clock: FakeClock, changes: list[dict[str, Any]], start: bool
    ) -> None:
        catalog = sqlite_catalog
        catalog.endpoints.create(PROJECT, new(is_materialized=start), clock())
        try:
            for change in changes:
                before, seen = catalog.endpoints.versions(PROJECT, "daily")[0], len(_all(catalog))
                revision, waiting = catalog.refreshes.revision(), catalog.refreshes.waiting_requests()
                try:
                    answer = _update(catalog, clock, **change)
                except InvalidInput:
                    assert catalog.endpoints.versions(PROJECT, "daily")[0] == before
                    assert len(_all(catalog)) == seen
                    continue
                after = catalog.endpoints.versions(PROJECT, "daily")[0]

                assert answer in after
                assert (len(_all(catalog)) > seen) == (list(after) != list(before))
                if after == before:
                    assert catalog.refreshes.revision() == revision
                    assert catalog.refreshes.waiting_requests() == waiting
                _check_invariants(catalog, after)
        finally:
            catalog.endpoints.delete(PROJECT, "daily", clock())

    def test_that_changes_nothing_writes_nothing(self, catalog: Catalog, clock: FakeClock, ann: User) -> None:
        before = materialized(
            catalog, clock(), tags=["a", "b"], sync_frequency="never", bucket_overrides={"day": "hour"}
        )
        revision, waiting = catalog.refreshes.revision(), catalog.refreshes.waiting_requests()

        for change in (
            {},
            {"version": 1},
            {"query": checked("SELECT 1 AS n")},
            {"is_active": True, "is_materialized": True, "description": "", "tags": ["b", "a", "b"]},
            {"sync_frequency": "never", "bucket_overrides": {"day": "hour"}, "display_name": ""},
        ):
            assert _update(catalog, clock, ann, **change) == before

        assert len(_all(catalog)) == 2
        assert (catalog.refreshes.revision(), catalog.refreshes.waiting_requests()) == (revision, waiting)


def _check_invariants(catalog: Catalog, versions: Any) -> None:
    """What holds after every update, whatever came before."""
    requested = {request.version_id for request in catalog.refreshes.waiting_requests()}
    for endpoint in versions:
        version = endpoint.version
        if version.is_materialized:
            assert endpoint.is_active
            assert version.is_active
            assert version.id in requested
        else:
            assert version.id not in requested
    log = catalog.activities.list(PROJECT, scope="DataWarehouseSavedQuery", item_id=versions[-1].version.id)[0]
    assert (log[0].activity == "materialization_enabled" if log else False) == versions[-1].version.is_materialized


class TestList:
    def test_newest_first_by_scope_item_and_page(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = _create(catalog, clock)
        other = _create(catalog, clock, name="other")
        for number in range(4):
            _update(catalog, clock, description=f"{number}")

        def found(**wanted: Any) -> tuple[list[str], int]:
            activities, total = catalog.activities.list(PROJECT, **wanted)
            return [one.activity for one in activities], total

        assert found() == (["version_updated"] * 4 + ["created"] * 2, 6)
        assert found(scope="Endpoint") == (["created"] * 2, 2)
        assert found(item_id=other.id) == (["created"], 1)
        assert found(item_id=endpoint.id, scope="EndpointVersion", limit=2) == (["version_updated"] * 2, 4)
        assert found(limit=2, offset=3) == (["version_updated", "created"], 6)
        assert found(scope="endpoint") == found(item_id="%") == found(offset=9, item_id="none") == ([], 0)
        last = catalog.activities.list(PROJECT, limit=1)[0][0]
        assert (last.changes[0].before, last.changes[0].after) == ("2", "3")

    def test_a_project_sees_its_own_only(self, catalog: Catalog, clock: FakeClock) -> None:
        catalog.projects.ensure(2, "Other", clock())
        _create(catalog, clock)

        assert catalog.activities.list(2) == ([], 0)
        with pytest.raises(NotFound):
            catalog.activities.list(9)

    def test_runs_and_refreshes_are_no_activities(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = materialized(catalog, clock())
        seen = len(_all(catalog))

        refresh(catalog, endpoint.version.id, clock())
        catalog.refreshes.request(endpoint.version.id, "again", clock())
        catalog.executions.record([execution(endpoint, clock())])

        assert len(_all(catalog)) == seen
