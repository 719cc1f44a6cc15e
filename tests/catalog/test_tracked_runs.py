"""Tracked runs: their state is told, and their end asked for, by any process (contract 10.12)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Endpoint, Progress, RunState, TrackedRun
from endpoints_pipeline.catalog.tracked_runs import ABANDONED
from tests.catalog.builders import PROJECT, at_once, new, tracked
from tests.fixtures.catalog import FakeClock

SECOND = timedelta(seconds=1)
ENDED = [state for state in RunState if state is not RunState.RUNNING]


@pytest.fixture
def endpoint(catalog: Catalog, clock: FakeClock) -> Endpoint:
    return catalog.endpoints.create(PROJECT, new(), clock())


@pytest.fixture
def run(catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> TrackedRun:
    """A run that is going on."""
    run = tracked(endpoint, clock())
    assert catalog.tracked_runs.begin(run)
    return run


def _get(catalog: Catalog, run_id: str = "mine") -> TrackedRun:
    run = catalog.tracked_runs.get(PROJECT, run_id)
    assert run is not None
    return run


def _finish(
    catalog: Catalog,
    now: datetime,
    state: RunState = RunState.COMPLETE,
    error: str | None = None,
    key: str | None = None,
) -> bool:
    return catalog.tracked_runs.finish(PROJECT, "mine", state=state, error=error, result_key=key, now=now)


class TestBegin:
    def test_keeps_every_field(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        full = TrackedRun(
            project_id=PROJECT,
            id="Søl 日/%",
            endpoint_id=endpoint.id,
            execution_id="execution",
            is_async=True,
            state=RunState.FAILED,
            error="words",
            started_at=clock(),
            picked_up_at=clock() + SECOND,
            ended_at=clock() + 2 * SECOND,
            expires_at=clock() + 3 * SECOND,
            heartbeat_at=clock() + 4 * SECOND,
            cancel_requested=True,
            progress=Progress(2**40, 2**41, 2**42, 5, 6),
            result_key="results/1",
        )

        assert catalog.tracked_runs.begin(full)
        assert _get(catalog, full.id) == full

    def test_a_live_id_is_refused_and_its_run_untouched(
        self, catalog: Catalog, endpoint: Endpoint, run: TrackedRun, clock: FakeClock
    ) -> None:
        assert catalog.tracked_runs.begin(tracked(endpoint, clock.advance(SECOND), is_async=False)) is False
        assert _get(catalog) == run

    @pytest.mark.parametrize("state", ENDED)
    def test_an_ended_ones_id_starts_anew(
        self, catalog: Catalog, endpoint: Endpoint, run: TrackedRun, clock: FakeClock, state: RunState
    ) -> None:
        catalog.tracked_runs.beat(PROJECT, "mine", Progress(7, 7, 7, 7, 7), clock())
        catalog.tracked_runs.request_cancel(PROJECT, "mine")
        assert _finish(catalog, clock(), state, "words", "results/1")

        again = tracked(endpoint, clock.advance(SECOND))

        assert catalog.tracked_runs.begin(again) is True
        assert _get(catalog) == again

    def test_projects_do_not_share_ids(self, catalog: Catalog, run: TrackedRun, clock: FakeClock) -> None:
        catalog.projects.ensure(2, "Other", clock())
        theirs = tracked(catalog.endpoints.create(2, new(), clock()), clock())

        assert catalog.tracked_runs.get(2, "mine") is None
        assert catalog.tracked_runs.begin(theirs) is True
        assert catalog.tracked_runs.request_cancel(2, "mine") is True
        assert _finish(catalog, clock())

        assert catalog.tracked_runs.get(2, "mine") == replace(theirs, cancel_requested=True)
        assert _get(catalog).state is RunState.COMPLETE

    @pytest.mark.parametrize("after", ["nothing", "an ended one"])
    def test_of_one_id_at_the_same_time_exactly_one_begins(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock, after: str
    ) -> None:
        if after == "an ended one":
            catalog.tracked_runs.begin(tracked(endpoint, clock(), state=RunState.COMPLETE))
        runs = [tracked(endpoint, clock()) for _ in range(8)]

        answers = at_once([partial(catalog.tracked_runs.begin, run) for run in runs])

        assert sorted(answers) == [False] * 7 + [True]
        assert _get(catalog) == runs[answers.index(True)]

    def test_an_unknown_one_is_none(self, catalog: Catalog, run: TrackedRun) -> None:
        assert catalog.tracked_runs.get(PROJECT, "m%") is None
        assert catalog.tracked_runs.get(9, "mine") is None


class TestBeat:
    def test_notes_the_progress_and_that_the_process_lives(
        self, catalog: Catalog, run: TrackedRun, clock: FakeClock
    ) -> None:
        progress = Progress(rows_read=1, bytes_read=2, estimated_rows=3, cpu_ms=4, elapsed_ms=5)

        assert catalog.tracked_runs.beat(PROJECT, "mine", progress, clock.advance(SECOND)) is False
        assert _get(catalog) == replace(run, progress=progress, heartbeat_at=clock())

    def test_tells_that_a_cancellation_was_asked_for(self, catalog: Catalog, run: TrackedRun, clock: FakeClock) -> None:
        assert catalog.tracked_runs.request_cancel(PROJECT, "mine") is True

        assert catalog.tracked_runs.beat(PROJECT, "mine", Progress(), clock()) is True
        assert _get(catalog) == replace(run, cancel_requested=True)

    def test_of_an_ended_or_unknown_run_changes_nothing(
        self, catalog: Catalog, run: TrackedRun, clock: FakeClock
    ) -> None:
        _finish(catalog, clock())
        ended = _get(catalog)

        assert catalog.tracked_runs.beat(PROJECT, "mine", Progress(rows_read=1), clock.advance(SECOND)) is False
        assert catalog.tracked_runs.beat(PROJECT, "unknown", Progress(), clock()) is False
        assert _get(catalog) == ended

    def test_picking_up_is_a_sign_of_life(self, catalog: Catalog, run: TrackedRun, clock: FakeClock) -> None:
        catalog.tracked_runs.pick_up(PROJECT, "mine", clock.advance(SECOND))
        assert _get(catalog) == replace(run, picked_up_at=clock(), heartbeat_at=clock())

        _finish(catalog, clock())
        ended = _get(catalog)
        catalog.tracked_runs.pick_up(PROJECT, "mine", clock.advance(SECOND))
        assert _get(catalog) == ended


class TestFinish:
    @pytest.mark.parametrize("state", ENDED)
    def test_notes_how_it_ended_once(
        self, catalog: Catalog, run: TrackedRun, clock: FakeClock, state: RunState
    ) -> None:
        at = clock.advance(SECOND)

        assert _finish(catalog, at, state, "bad \x00 byte", "results/1") is True
        assert _finish(catalog, clock.advance(SECOND), RunState.FAILED, "late") is False

        assert _get(catalog) == replace(run, state=state, error="bad \ufffd byte", result_key="results/1", ended_at=at)

    def test_at_the_same_time_counts_once(self, catalog: Catalog, run: TrackedRun, clock: FakeClock) -> None:
        answers = at_once([partial(_finish, catalog, clock(), RunState.FAILED, f"{n}") for n in range(8)])

        assert sorted(answers) == [False] * 7 + [True]
        assert _get(catalog).error == str(answers.index(True))

    def test_of_an_unknown_run_is_nothing(self, catalog: Catalog, clock: FakeClock) -> None:
        assert _finish(catalog, clock()) is False


class TestRequestCancel:
    def test_only_what_is_going_on_can_be_cancelled(self, catalog: Catalog, run: TrackedRun, clock: FakeClock) -> None:
        assert catalog.tracked_runs.request_cancel(PROJECT, "unknown") is False
        _finish(catalog, clock())

        assert catalog.tracked_runs.request_cancel(PROJECT, "mine") is False
        assert _get(catalog).cancel_requested is False


class TestAbandon:
    def test_ends_the_silent_ones_only(
        self, catalog: Catalog, endpoint: Endpoint, run: TrackedRun, clock: FakeClock
    ) -> None:
        for number, name in enumerate(("silent", "limit", "young")):
            catalog.tracked_runs.begin(tracked(endpoint, clock() + number * SECOND, id=name))
        catalog.tracked_runs.begin(tracked(endpoint, clock(), id="ended", state=RunState.COMPLETE))
        since, now = clock() + SECOND, clock() + 9 * SECOND

        found = catalog.tracked_runs.abandon(since, now)

        assert [one.id for one in found] == ["mine", "silent"]
        assert found[0] == replace(run, state=RunState.FAILED, error=ABANDONED, ended_at=now, cancel_requested=True)
        assert [_get(catalog, one.id) for one in found] == list(found)
        assert {name: _get(catalog, name).state for name in ("limit", "young", "ended")} == {
            "limit": RunState.RUNNING,
            "young": RunState.RUNNING,
            "ended": RunState.COMPLETE,
        }
        assert catalog.tracked_runs.abandon(since, now) == []

    def test_a_process_that_was_only_asleep_is_told_to_stop_and_changes_nothing(
        self, catalog: Catalog, run: TrackedRun, clock: FakeClock
    ) -> None:
        [given_up] = catalog.tracked_runs.abandon(clock() + SECOND, clock() + SECOND)

        assert catalog.tracked_runs.beat(PROJECT, "mine", Progress(rows_read=1), clock.advance(SECOND)) is True
        assert _finish(catalog, clock()) is False
        assert _get(catalog) == given_up

    def test_by_many_at_the_same_time_gives_each_up_once(
        self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock
    ) -> None:
        names = {f"run {n}" for n in range(10)}
        for name in names:
            catalog.tracked_runs.begin(tracked(endpoint, clock(), id=name))

        answers = at_once([partial(catalog.tracked_runs.abandon, clock() + SECOND, clock())] * 6)

        assert sorted(run.id for answer in answers for run in answer) == sorted(names)


class TestExpiry:
    def test_ended_runs_are_kept_until_their_time(self, catalog: Catalog, endpoint: Endpoint, clock: FakeClock) -> None:
        for name, state, seconds in [
            ("later", RunState.COMPLETE, 3),
            ("second", RunState.FAILED, 2),
            ("first", RunState.CANCELLED, 1),
            ("running", RunState.RUNNING, 1),
        ]:
            catalog.tracked_runs.begin(
                tracked(endpoint, clock(), id=name, state=state, expires_at=clock() + seconds * SECOND)
            )

        assert [run.id for run in catalog.tracked_runs.expired(clock() + 2 * SECOND)] == ["first", "second"]
        assert catalog.tracked_runs.expired(clock()) == []

    def test_an_ended_run_can_be_dropped_one_that_goes_on_cannot(
        self, catalog: Catalog, endpoint: Endpoint, run: TrackedRun, clock: FakeClock
    ) -> None:
        """Between being found expired and being dropped, its id may have begun anew."""
        catalog.tracked_runs.begin(tracked(endpoint, clock(), id="ended", state=RunState.COMPLETE))

        for run_id in ("mine", "ended", "unknown"):
            catalog.tracked_runs.drop(PROJECT, run_id)

        assert _get(catalog) == run
        assert catalog.tracked_runs.get(PROJECT, "ended") is None
