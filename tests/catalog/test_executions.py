"""Executions: the log, and the newest of each endpoint that ``last_execution_times`` answers (contract 4)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint, Execution, ExecutionKind, LastExecution, Outcome
from endpoints_pipeline.catalog.tables import LastExecutionRow
from tests.catalog.builders import PROJECT, at_once, execution, new
from tests.fixtures.catalog import FakeClock

HOUR = timedelta(hours=1)
RUN, REFRESH = ExecutionKind.RUN, ExecutionKind.REFRESH


@pytest.fixture
def endpoint(catalog: Catalog, clock: FakeClock) -> Endpoint:
    return catalog.endpoints.create(PROJECT, new(), clock())


def _last(catalog: Catalog, since: datetime, *names: str) -> Sequence[LastExecution]:
    return catalog.executions.last(PROJECT, names or ["daily"], since)


def _summary(catalog: Catalog, endpoint_id: str) -> dict[str, tuple[datetime, str]]:
    with catalog.database.read() as session:
        rows = session.scalars(sa.select(LastExecutionRow).where(LastExecutionRow.endpoint_id == endpoint_id))
        return {row.kind: (row.started_at, row.execution_id) for row in rows}


class TestRecord:
    def test_keeps_every_field(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        full = Execution(
            id="run/asset/partition/failure",
            endpoint_id=endpoint.id,
            version=1,
            kind=REFRESH,
            outcome=Outcome.ERROR,
            started_at=clock() + timedelta(microseconds=123456),
            duration_ms=2**40,
            rows=2**40,
            bytes=2**45,
            path="materialized",
            error="Søl 日 🚀",
            snapshot_id="snapshot",
            dagster_run_id="run",
        )
        bare = execution(endpoint, clock())

        catalog.executions.record([bare, full])

        assert catalog.executions.list(endpoint.id) == [full, bare]

    def test_nothing_is_nothing(self, catalog: Catalog, endpoint: Endpoint) -> None:
        catalog.executions.record([])

        assert catalog.executions.list(endpoint.id) == []

    def test_the_same_id_again_changes_nothing(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        first = execution(endpoint, clock(), id="one", rows=1)
        later = execution(endpoint, clock() + HOUR, id="one", rows=2)

        catalog.executions.record([first, later])
        catalog.executions.record([later])
        catalog.executions.record([first])

        assert catalog.executions.list(endpoint.id) == [first]
        assert _summary(catalog, endpoint.id) == {"run": (clock(), "one")}

    def test_new_ones_beside_known_ones_are_kept(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        known = execution(endpoint, clock(), id="known")
        catalog.executions.record([known])

        fresh = execution(endpoint, clock() + HOUR, id="fresh")
        catalog.executions.record([known, fresh])

        assert catalog.executions.list(endpoint.id) == [fresh, known]

    def test_executions_of_unknown_endpoints_do_not_hold_up_the_others(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        """Dagster's event log may be older than the catalog; one such event must not stop the recorder for ever."""
        mine = execution(endpoint, clock())

        catalog.executions.record([execution("from another catalog", clock()), mine])
        catalog.executions.record([execution("from another catalog", clock())])

        assert catalog.executions.list(endpoint.id) == [mine]
        assert catalog.executions.list("from another catalog") == []

    def test_takes_any_error_text(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        catalog.executions.record([execution(endpoint, clock(), error="bad \x00 byte, \ud800, 日")])

        assert [one.error for one in catalog.executions.list(endpoint.id)] == ["bad \ufffd byte, \ufffd, 日"]

    def test_takes_thousands_at_once(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        many = [execution(endpoint, clock() + timedelta(seconds=n)) for n in range(6000)]

        catalog.executions.record(many)

        assert catalog.executions.list(endpoint.id, limit=1) == [many[-1]]
        assert len(catalog.executions.list(endpoint.id, limit=10_000)) == 6000

    def test_in_parallel_loses_nothing(self, catalog: Catalog, clock: FakeClock) -> None:
        """Batches that overlap, over the same endpoints in different orders: a recorder and several API processes."""
        endpoints = [catalog.endpoints.create(PROJECT, new(f"e{n}"), clock()) for n in range(6)]
        rng = random.Random(7)
        everything = [
            execution(endpoint, clock() + timedelta(seconds=rng.randrange(10_000)), kind=rng.choice([RUN, REFRESH]))
            for endpoint in endpoints
            for _ in range(20)
        ]
        batches = [rng.sample(everything, 40) for _ in range(24)] + [everything[n::8] for n in range(8)]
        rng.shuffle(batches)

        answers = at_once([partial(_record_all, catalog, batches[n::8]) for n in range(8)])

        assert answers == [None] * 8
        for endpoint in endpoints:
            mine = [one for one in everything if one.endpoint_id == endpoint.id]
            assert {one.id for one in catalog.executions.list(endpoint.id)} == {one.id for one in mine}
            for kind, (started_at, _) in _summary(catalog, endpoint.id).items():
                assert started_at == max(one.started_at for one in mine if one.kind == kind)

    def test_of_the_same_endpoints_in_opposite_orders_in_parallel_never_block_each_other(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        endpoints = [catalog.endpoints.create(PROJECT, new(f"e{n}"), clock()) for n in range(12)]

        def batches(order: Sequence[Endpoint]) -> list[list[Execution]]:
            return [
                [
                    execution(endpoint, clock() + timedelta(minutes=20 * round_ + position))
                    for position, endpoint in enumerate(order)
                ]
                for round_ in range(12)
            ]

        answers = at_once([partial(_record_all, catalog, batches(order)) for order in [endpoints, endpoints[::-1]] * 2])

        assert answers == [None] * 4


class TestSummary:
    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    @pytest.mark.parametrize("batched", [True, False])
    def test_keeps_the_newest_in_whatever_order_they_come(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock, order: Sequence[int], batched: bool
    ) -> None:
        recorded = [execution(endpoint, clock() + n * HOUR) for n in order]

        for batch in [recorded] if batched else [[one] for one in recorded]:
            catalog.executions.record(batch)

        assert _last(catalog, clock()) == [LastExecution("daily", clock() + 2 * HOUR, RUN)]
        assert catalog.endpoints.get(PROJECT, "daily").last_executed_at == clock() + 2 * HOUR

    def test_a_failed_execution_counts(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        catalog.executions.record([execution(endpoint, clock(), outcome=Outcome.ERROR)])

        assert _last(catalog, clock()) == [LastExecution("daily", clock(), RUN)]

    def test_says_which_kind_was_the_newest(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        catalog.executions.record([execution(endpoint, clock() + HOUR, kind=REFRESH), execution(endpoint, clock())])
        assert _last(catalog, clock()) == [LastExecution("daily", clock() + HOUR, REFRESH)]

        catalog.executions.record([execution(endpoint, clock() + 2 * HOUR)])
        assert _last(catalog, clock()) == [LastExecution("daily", clock() + 2 * HOUR, RUN)]

    def test_at_the_same_moment_the_callers_run_is_named(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        catalog.executions.record([execution(endpoint, clock()), execution(endpoint, clock(), kind=REFRESH)])

        assert _last(catalog, clock()) == [LastExecution("daily", clock(), RUN)]

    def test_compares_moments_not_wall_clocks(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        """19:00 in Tokyo is before 11:00 in London, whatever the hands say."""
        tokyo = datetime(2026, 3, 1, 19, 0, tzinfo=timezone(timedelta(hours=9)))
        later = datetime(2026, 3, 1, 11, 0, tzinfo=timezone(timedelta(0)))

        catalog.executions.record([execution(endpoint, later)])
        catalog.executions.record([execution(endpoint, tokyo)])

        assert [one.started_at for one in _last(catalog, tokyo)] == [later]
        assert [one.started_at for one in catalog.executions.list(endpoint.id)] == [later, tokyo]

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        happened=st.lists(st.tuples(st.sampled_from([RUN, REFRESH]), st.integers(0, 6)), min_size=1, max_size=8),
        data=st.data(),
    )
    def test_is_the_newest_of_each_kind_for_any_order_any_batches_any_duplicates(
        self,
        catalog: Catalog,
        clock: FakeClock,
        happened: list[tuple[ExecutionKind, int]],
        data: st.DataObject,
    ) -> None:
        name = f"e{catalog.endpoints.list(PROJECT, limit=1)[1]}"
        endpoint = catalog.endpoints.create(PROJECT, new(name), clock())
        executions = [execution(endpoint, clock() + hours * HOUR, kind=kind) for kind, hours in happened]
        again = data.draw(st.lists(st.sampled_from(executions), max_size=6), label="recorded again")
        order = data.draw(st.permutations([*executions, *again]), label="order")
        cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=3), label="cuts"))

        for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            catalog.executions.record(order[start:end])

        newest = {
            kind: max(one.started_at for one in executions if one.kind is kind)
            for kind in {kind for kind, _ in happened}
        }
        summary = _summary(catalog, endpoint.id)
        by_id = {one.id: one for one in executions}
        assert {kind: started_at for kind, (started_at, _) in summary.items()} == newest
        assert all(by_id[id_].started_at == at and by_id[id_].kind == kind for kind, (at, id_) in summary.items())
        assert [one.started_at for one in _last(catalog, clock(), name)] == [max(newest.values())]
        assert {one.id for one in catalog.executions.list(endpoint.id)} == set(by_id)


class TestLast:
    def test_answers_only_the_names_asked_for_that_have_a_time(self, catalog: Catalog, clock: FakeClock) -> None:
        for name in ("asked", "unasked", "idle"):
            endpoint = catalog.endpoints.create(PROJECT, new(name), clock())
            if name != "idle":
                catalog.executions.record([execution(endpoint, clock())])

        found = _last(catalog, clock(), "asked", "idle", "unknown", "asked")

        assert found == [LastExecution("asked", clock(), RUN)]
        assert catalog.executions.last(PROJECT, [], clock()) == []

    def test_drops_what_is_older_than_asked_for(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        catalog.executions.record([execution(endpoint, clock())])

        assert len(_last(catalog, clock())) == 1
        assert _last(catalog, clock() + timedelta(microseconds=1)) == []

    def test_drops_deleted_endpoints_and_never_shows_their_times_for_a_reused_name(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        catalog.executions.record([execution(endpoint, clock())])
        catalog.endpoints.delete(PROJECT, "daily", clock())
        assert _last(catalog, clock()) == []

        catalog.endpoints.create(PROJECT, new(), clock())
        assert _last(catalog, clock()) == []

    def test_keeps_inactive_endpoints(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = catalog.endpoints.create(PROJECT, new(is_active=False), clock())
        catalog.executions.record([execution(endpoint, clock())])

        assert len(_last(catalog, clock())) == 1

    def test_knows_its_own_project_only(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        catalog.projects.ensure(2, "Other", clock())
        theirs = catalog.endpoints.create(2, new(), clock())
        catalog.executions.record([execution(theirs, clock())])

        assert _last(catalog, clock()) == []
        assert len(catalog.executions.last(2, ["daily"], clock())) == 1


class TestList:
    def test_newest_first_up_to_the_limit_of_one_endpoint(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        other = catalog.endpoints.create(PROJECT, new("other"), clock())
        recorded = [execution(endpoint, clock() + n * HOUR) for n in range(5)]
        catalog.executions.record([*recorded, execution(other, clock())])

        assert catalog.executions.list(endpoint.id, limit=3) == recorded[:1:-1]


class TestDropBefore:
    def test_forgets_older_executions_and_says_how_many(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        recorded = [execution(endpoint, clock() + n * HOUR) for n in range(5)]
        catalog.executions.record(recorded)

        assert catalog.executions.drop_before(clock() + 2 * HOUR) == 2
        assert catalog.executions.drop_before(clock() + 2 * HOUR) == 0
        assert catalog.executions.list(endpoint.id) == recorded[:1:-1]

    def test_the_newest_stays_known(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        catalog.executions.record([execution(endpoint, clock())])

        assert catalog.executions.drop_before(clock() + HOUR) == 1
        assert _last(catalog, clock()) == [LastExecution("daily", clock(), RUN)]
        assert catalog.endpoints.get(PROJECT, "daily").last_executed_at == clock()


def _record_all(catalog: Catalog, batches: Sequence[Sequence[Execution]]) -> None:
    for batch in batches:
        catalog.executions.record(batch)
