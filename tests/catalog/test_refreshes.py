"""Refreshes: requests, attempts, and the compare-and-swap that publishes a snapshot (contract 3.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import EndpointChange
from endpoints_pipeline.catalog.mapping import query_hash
from endpoints_pipeline.catalog.records import Attempt, Materialization, Part, RefreshStatus, Snapshot, Version
from endpoints_pipeline.catalog.tables import PartRow, SnapshotRow
from endpoints_pipeline.errors import InvalidInput, NotFound, RefreshSuperseded
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.query.lineage import Reads
from tests.catalog.builders import COLUMNS, PROJECT, at_once, checked, materialized, new, parts, publish, refresh
from tests.fixtures.catalog import FakeClock

MINUTE = timedelta(minutes=1)


@pytest.fixture
def version_id(catalog: Catalog, clock: FakeClock) -> str:
    """The version of a materialized endpoint that was never refreshed."""
    return materialized(catalog, clock()).version.id


def _begin(catalog: Catalog, version_id: str, clock: FakeClock, dagster_run_id: str | None = None) -> Attempt:
    return catalog.refreshes.begin(version_id, reason="test", dagster_run_id=dagster_run_id, now=clock.advance(MINUTE))


def _version(catalog: Catalog) -> Version:
    return catalog.endpoints.get(PROJECT, "daily").version


def _state(catalog: Catalog) -> Materialization:
    materialization = _version(catalog).materialization
    assert materialization is not None
    return materialization


def _running(catalog: Catalog, dagster_run_id: str) -> list[str]:
    return [attempt.version_id for attempt in catalog.refreshes.running_of(dagster_run_id)]


def _stored(catalog: Catalog) -> tuple[list[str], set[str]]:
    """The ids of all snapshots in the database, and of the snapshots that have parts."""
    with catalog.database.read() as session:
        return list(session.scalars(sa.select(SnapshotRow.id))), set(session.scalars(sa.select(PartRow.snapshot_id)))


def _update(catalog: Catalog, clock: FakeClock, **change: object) -> None:
    catalog.endpoints.update(PROJECT, "daily", EndpointChange(**change), clock.advance(MINUTE))  # type: ignore[arg-type]


def _delete(catalog: Catalog, clock: FakeClock) -> None:
    catalog.endpoints.delete(PROJECT, "daily", clock.advance(MINUTE))


WITHDRAWALS: dict[str, Callable[[Catalog, FakeClock], None]] = {
    "switched off": lambda catalog, clock: _update(catalog, clock, is_materialized=False),
    "endpoint deactivated": lambda catalog, clock: _update(catalog, clock, is_active=False),
    "version deactivated": lambda catalog, clock: _update(catalog, clock, version=1, is_active=False),
    "deleted": _delete,
}
withdrawn = pytest.mark.parametrize("withdraw", WITHDRAWALS.values(), ids=WITHDRAWALS.keys())


class TestWhatDagsterSees:
    def test_every_live_version_that_is_wanted_of_all_projects_in_order(
        self, catalog: Catalog, clock: FakeClock
    ) -> None:
        catalog.projects.ensure(2, "Other", clock())
        catalog.endpoints.create(2, new("aa", is_materialized=True), clock())
        for name in ("bb", "aa", "inactive", "deleted"):
            materialized(catalog, clock(), name)
        catalog.endpoints.create(PROJECT, new("inline"), clock())
        catalog.endpoints.update(PROJECT, "bb", EndpointChange(query=checked("SELECT 2")), clock())
        catalog.endpoints.update(PROJECT, "inactive", EndpointChange(is_active=False), clock())
        catalog.endpoints.delete(PROJECT, "deleted", clock())

        found = catalog.refreshes.materialized_versions()

        assert [(one.project_id, one.name, one.version, one.is_current) for one in found] == [
            (1, "aa", 1, True),
            (1, "bb", 1, False),
            (1, "bb", 2, True),
            (2, "aa", 1, True),
        ]

    def test_all_it_needs_to_build_an_asset(self, catalog: Catalog, clock: FakeClock) -> None:
        endpoint = materialized(catalog, clock(), sql="SELECT 7 AS n", description="words", data_freshness_seconds=900)

        [found] = catalog.refreshes.materialized_versions()

        assert (found.endpoint_id, found.version_id) == (endpoint.id, endpoint.version.id)
        assert (found.sql, found.description, found.columns) == ("SELECT 7 AS n", "words", COLUMNS)
        assert (found.sync_frequency, found.data_freshness_seconds) == ("15min", 900)
        assert found.query_hash == query_hash("SELECT 7 AS n") != query_hash("SELECT 8 AS n")

    def test_a_schedule_finds_its_own_versions_only(self, catalog: Catalog, clock: FakeClock) -> None:
        hourly = {materialized(catalog, clock(), name, sync_frequency="1hour").version.id for name in ("a", "b")}
        materialized(catalog, clock(), "c", sync_frequency="5min")
        materialized(catalog, clock(), "d", sync_frequency="1hour")
        catalog.endpoints.delete(PROJECT, "d", clock())

        found = catalog.refreshes.materializations("1hour")

        assert {one.version_id for one in found} == hourly
        assert [one.version_id for one in found] == sorted(hourly)
        assert catalog.refreshes.materializations("24hour") == []


class TestRequest:
    def test_asking_again_while_one_waits_is_the_same_request(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        [first] = catalog.refreshes.waiting_requests()

        catalog.refreshes.request(version_id, "refresh now", clock.advance(MINUTE))
        catalog.refreshes.request(version_id, "refresh now", clock.advance(MINUTE))

        assert catalog.refreshes.waiting_requests() == [first]
        assert (first.version_id, first.reason) == (version_id, "first materialization")

    def test_asking_after_a_refresh_began_is_a_new_request(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        """What is under way may have read the source before the caller's change."""
        [first] = catalog.refreshes.waiting_requests()
        attempt = _begin(catalog, version_id, clock)
        assert catalog.refreshes.waiting_requests() == []

        catalog.refreshes.request(version_id, "refresh now", clock.advance(MINUTE))
        publish(catalog, attempt, clock())

        [second] = catalog.refreshes.waiting_requests()
        assert second.id != first.id
        assert (second.reason, second.requested_at) == ("refresh now", clock())

    def test_asking_eight_times_at_once_is_one_request(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        _begin(catalog, version_id, clock)

        answers = at_once([partial(catalog.refreshes.request, version_id, "refresh now", clock())] * 8)

        assert answers == [None] * 8
        assert len(catalog.refreshes.waiting_requests()) == 1

    def test_wait_in_the_order_they_were_made(self, catalog: Catalog, clock: FakeClock) -> None:
        ids = [materialized(catalog, clock.advance(MINUTE), name).version.id for name in ("zz", "aa", "mm")]

        assert [one.version_id for one in catalog.refreshes.waiting_requests()] == ids

    @withdrawn
    def test_none_is_taken_or_left_for_what_is_no_longer_wanted(
        self, catalog: Catalog, version_id: str, clock: FakeClock, withdraw: Callable[[Catalog, FakeClock], None]
    ) -> None:
        withdraw(catalog, clock)

        with pytest.raises(InvalidInput) as refused:
            catalog.refreshes.request(version_id, "refresh now", clock())
        assert refused.value.attr == "is_materialized"
        assert catalog.refreshes.waiting_requests() == []

    def test_of_an_endpoint_being_deleted_at_the_same_time_none_is_left(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        _begin(catalog, version_id, clock)

        at_once(
            [*[partial(catalog.refreshes.request, version_id, "now", clock())] * 4, partial(_delete, catalog, clock)]
        )

        assert catalog.refreshes.waiting_requests() == []


class TestBegin:
    def test_tells_what_to_compute_and_shows_as_running(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        endpoint = catalog.endpoints.get(PROJECT, "daily")

        attempt = catalog.refreshes.begin(version_id, reason="scheduled", dagster_run_id="run-1", now=clock())

        assert attempt == Attempt(
            id=attempt.id,
            project_id=PROJECT,
            endpoint_id=endpoint.id,
            name="daily",
            version_id=version_id,
            version=1,
            sql="SELECT 1 AS n",
            variables={},
            bucket_overrides={},
            reads=Reads(),
            query_hash=query_hash("SELECT 1 AS n"),
            expected_snapshot_id=None,
            began_at=clock(),
            dagster_run_id="run-1",
            reason="scheduled",
        )
        state = _state(catalog)
        assert (state.status, state.attempt_id, state.attempt_at) == (RefreshStatus.RUNNING, attempt.id, clock())
        assert state.attempt_dagster_run_id == "run-1"
        assert catalog.refreshes.running_of("run-1") == [replace(attempt, reason="")]
        assert _stored(catalog) == ([], set())

    def test_expects_the_snapshot_that_is_published_now(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        snapshot = refresh(catalog, version_id, clock())

        attempt = _begin(catalog, version_id, clock)

        assert attempt.expected_snapshot_id == snapshot.id
        assert attempt.id != snapshot.id
        assert _version(catalog).snapshot == snapshot

    def test_answers_the_requests_of_its_own_version_only(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        other = materialized(catalog, clock(), "other").version.id

        _begin(catalog, version_id, clock)

        assert [one.version_id for one in catalog.refreshes.waiting_requests()] == [other]

    @withdrawn
    def test_finds_nothing_to_do_for_what_is_no_longer_wanted(
        self, catalog: Catalog, version_id: str, clock: FakeClock, withdraw: Callable[[Catalog, FakeClock], None]
    ) -> None:
        withdraw(catalog, clock)

        with pytest.raises(NotFound):
            _begin(catalog, version_id, clock)

    def test_of_an_unknown_version_is_not_found(self, catalog: Catalog, clock: FakeClock) -> None:
        with pytest.raises(NotFound):
            _begin(catalog, "unknown", clock)


class TestPublish:
    def test_makes_the_snapshot_visible_with_all_its_parts(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        attempt = catalog.refreshes.begin(version_id, reason="scheduled", dagster_run_id="run-1", now=clock())
        began_at = clock()
        columns = [Column("n", "Nullable(DateTime64(3, 'UTC'))"), Column("日", "UInt256")]
        many = [Part(f"key/{n}", rows=2**40, bytes=2**45, row_groups=n, etag=f'"{n}"') for n in range(12)]

        snapshot = catalog.refreshes.publish(
            attempt, columns=columns, parts=many, engine_version="26.9", now=clock.advance(MINUTE)
        )

        assert snapshot == Snapshot(
            id=attempt.id,
            version_id=version_id,
            sequence=1,
            data_at=began_at,
            published_at=clock(),
            rows=12 * 2**40,
            bytes=12 * 2**45,
            columns=tuple(columns),
            read_plan=None,
            parts=tuple(many),
            query_hash=attempt.query_hash,
            engine_version="26.9",
            dagster_run_id="run-1",
            reason="scheduled",
        )
        assert catalog.refreshes.snapshot(snapshot.id) == snapshot
        assert _version(catalog).snapshot == snapshot
        assert (_state(catalog).status, _state(catalog).snapshot_id) == (RefreshStatus.COMPLETED, snapshot.id)
        assert catalog.refreshes.running_of("run-1") == []

    def test_a_result_without_rows_is_a_snapshot_too(self, catalog: Catalog, version_id: str, clock: FakeClock) -> None:
        attempt = _begin(catalog, version_id, clock)

        snapshot = catalog.refreshes.publish(attempt, columns=COLUMNS, parts=[], engine_version="26.9", now=clock())

        assert (snapshot.rows, snapshot.bytes, snapshot.parts) == (0, 0, ())
        assert _version(catalog).snapshot == snapshot

    def test_one_after_the_other_each_takes_the_place_of_the_last_which_stays_readable(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        snapshots = [refresh(catalog, version_id, clock.advance(MINUTE)) for _ in range(3)]

        assert [snapshot.sequence for snapshot in snapshots] == [1, 2, 3]
        assert _version(catalog).snapshot == snapshots[-1]
        assert [catalog.refreshes.snapshot(snapshot.id) for snapshot in snapshots] == snapshots

    @pytest.mark.parametrize("first_to_publish", [0, 1], ids=["the older wins", "the newer wins"])
    @pytest.mark.parametrize("published_before", [False, True])
    def test_of_two_attempts_the_first_to_publish_wins_and_nothing_of_the_other_is_stored(
        self, catalog: Catalog, version_id: str, clock: FakeClock, first_to_publish: int, published_before: bool
    ) -> None:
        earlier = [refresh(catalog, version_id, clock()).id] if published_before else []
        attempts = [_begin(catalog, version_id, clock) for _ in range(2)]
        winner, loser = attempts[first_to_publish], attempts[1 - first_to_publish]

        snapshot = publish(catalog, winner, clock())
        before = catalog.endpoints.get(PROJECT, "daily")
        with pytest.raises(RefreshSuperseded, match="daily"):
            publish(catalog, loser, clock.advance(MINUTE))

        assert _version(catalog).snapshot == snapshot
        assert catalog.endpoints.get(PROJECT, "daily") == before
        assert sorted(_stored(catalog)[0]) == sorted([*earlier, winner.id])
        assert loser.id not in _stored(catalog)[1]
        with pytest.raises(NotFound):
            catalog.refreshes.snapshot(loser.id)

    def test_of_eight_at_the_same_time_exactly_one_wins(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        attempts = [_begin(catalog, version_id, clock) for _ in range(8)]

        answers = at_once([partial(publish, catalog, attempt, clock()) for attempt in attempts])

        assert [type(answer) for answer in answers].count(RefreshSuperseded) == 7
        [winner] = [answer for answer in answers if isinstance(answer, Snapshot)]
        assert _version(catalog).snapshot == winner
        assert _stored(catalog) == ([winner.id], {winner.id})

    def test_saying_it_again_answers_the_same_snapshot(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        """The answer may have been lost on the way: a caller who took that for defeat would delete live objects."""
        attempt = _begin(catalog, version_id, clock)
        snapshot = publish(catalog, attempt, clock())

        assert publish(catalog, attempt, clock.advance(MINUTE)) == snapshot
        refresh(catalog, version_id, clock())
        assert publish(catalog, attempt, clock.advance(MINUTE)) == snapshot
        assert _version(catalog).snapshot != snapshot

    @withdrawn
    def test_is_refused_once_the_materialization_is_gone(
        self, catalog: Catalog, version_id: str, clock: FakeClock, withdraw: Callable[[Catalog, FakeClock], None]
    ) -> None:
        attempt = _begin(catalog, version_id, clock)
        withdraw(catalog, clock)

        with pytest.raises(RefreshSuperseded, match="daily"):
            publish(catalog, attempt, clock())

        assert _stored(catalog) == ([], set())
        assert catalog.refreshes.materialized_versions() == []

    def test_is_refused_when_it_was_switched_off_and_on_again_meanwhile(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        attempt = _begin(catalog, version_id, clock)
        _update(catalog, clock, is_materialized=False)
        _update(catalog, clock, is_materialized=True)

        with pytest.raises(RefreshSuperseded):
            publish(catalog, attempt, clock())
        assert _version(catalog).snapshot is None

    def test_of_an_old_version_leaves_the_current_one_alone(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        attempt = _begin(catalog, version_id, clock)
        _update(catalog, clock, query=checked("SELECT 2"))
        current = _version(catalog)

        snapshot = publish(catalog, attempt, clock())

        assert _version(catalog) == current
        assert catalog.endpoints.get(PROJECT, "daily", 1).version.snapshot == snapshot

    def test_stores_nothing_when_one_part_cannot_be_stored(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        attempt = _begin(catalog, version_id, clock)
        good = parts(attempt, 1, 2)

        with pytest.raises(sa.exc.IntegrityError):
            catalog.refreshes.publish(
                attempt, columns=COLUMNS, parts=[*good, replace(good[0], rows=9)], engine_version="26.9", now=clock()
            )

        assert _stored(catalog) == ([], set())
        assert _state(catalog).status is RefreshStatus.RUNNING


class TestFail:
    def test_shows_the_error_and_keeps_what_is_published(
        self, catalog: Catalog, version_id: str, clock: FakeClock
    ) -> None:
        snapshot = refresh(catalog, version_id, clock())
        _begin(catalog, version_id, clock, "run-1")

        catalog.refreshes.fail(version_id, "run-1", error="UNKNOWN_TABLE", cancelled=False, now=clock())

        assert (_state(catalog).status, _state(catalog).error) == (RefreshStatus.FAILED, "UNKNOWN_TABLE")
        assert _version(catalog).snapshot == snapshot
        assert catalog.refreshes.running_of("run-1") == []

    def test_tells_a_cancellation_apart(self, catalog: Catalog, version_id: str, clock: FakeClock) -> None:
        _begin(catalog, version_id, clock, "run-1")

        catalog.refreshes.fail(version_id, "run-1", error="cancelled", cancelled=True, now=clock())

        assert _state(catalog).status is RefreshStatus.CANCELLED

    def test_the_next_success_clears_the_error(self, catalog: Catalog, version_id: str, clock: FakeClock) -> None:
        _begin(catalog, version_id, clock, "run-1")
        catalog.refreshes.fail(version_id, "run-1", error="UNKNOWN_TABLE", cancelled=False, now=clock())

        refresh(catalog, version_id, clock())

        assert (_state(catalog).status, _state(catalog).error) == (RefreshStatus.COMPLETED, "")

    def test_of_another_dagster_run_touches_nothing(self, catalog: Catalog, version_id: str, clock: FakeClock) -> None:
        _begin(catalog, version_id, clock, "run-1")
        _begin(catalog, version_id, clock, "run-2")
        before = _version(catalog)

        for run in ("run-1", "run-3"):
            catalog.refreshes.fail(version_id, run, error="late news", cancelled=False, now=clock())

        assert _version(catalog) == before
        assert catalog.refreshes.running_of("run-1") == []
        assert _running(catalog, "run-2") == [version_id]

    def test_touches_one_version_of_the_run_only(self, catalog: Catalog, version_id: str, clock: FakeClock) -> None:
        other = materialized(catalog, clock(), "other").version.id
        for one in (version_id, other):
            _begin(catalog, one, clock, "run-1")
        assert sorted(_running(catalog, "run-1")) == sorted([version_id, other])

        catalog.refreshes.fail(version_id, "run-1", error="boom", cancelled=False, now=clock())

        assert _running(catalog, "run-1") == [other]

    def test_after_the_run_published_touches_nothing(self, catalog: Catalog, version_id: str, clock: FakeClock) -> None:
        refresh(catalog, version_id, clock(), "run-1")
        before = _version(catalog)

        catalog.refreshes.fail(version_id, "run-1", error="a later step failed", cancelled=False, now=clock())

        assert _version(catalog) == before

    @withdrawn
    def test_after_it_was_withdrawn_touches_nothing(
        self, catalog: Catalog, version_id: str, clock: FakeClock, withdraw: Callable[[Catalog, FakeClock], None]
    ) -> None:
        _begin(catalog, version_id, clock, "run-1")
        withdraw(catalog, clock)

        catalog.refreshes.fail(version_id, "run-1", error="boom", cancelled=False, now=clock())

        assert catalog.refreshes.running_of("run-1") == []
        if withdraw is not _delete:
            assert (_state(catalog).status, _state(catalog).error) == (RefreshStatus.UNKNOWN, "")

    def test_takes_any_error_text(self, catalog: Catalog, version_id: str, clock: FakeClock) -> None:
        """Errors quote the user's data, and PostgreSQL's text can't hold every character."""
        _begin(catalog, version_id, clock, "run-1")

        catalog.refreshes.fail(version_id, "run-1", error="bad \x00 byte, \ud800, 日", cancelled=False, now=clock())

        assert _state(catalog).status is RefreshStatus.FAILED
        assert _state(catalog).error == "bad \ufffd byte, \ufffd, 日"


class TestSnapshot:
    def test_unknown_is_not_found(self, catalog: Catalog) -> None:
        with pytest.raises(NotFound):
            catalog.refreshes.snapshot("unknown")
