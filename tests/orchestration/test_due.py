"""Which endpoints are due at a tick, and the Dagster runs that a tick makes."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any

import dagster as dg
import pytest
from dagster._utils.schedules import cron_string_iterator, is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st

from endpoints_pipeline.catalog.records import Materialization, RefreshStatus
from endpoints_pipeline.frequency import PERIODS
from endpoints_pipeline.orchestration.due import cron_of, is_due, newest_slot, run_requests

HOUR = timedelta(hours=1)
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)

WORDS = st.sampled_from(list(PERIODS))
VERSION_IDS = st.uuids(version=4).map(str)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
KEYS = st.lists(
    st.builds(dg.AssetKey, st.lists(st.text("ab-_", min_size=1), min_size=1, max_size=3)), unique=True, max_size=60
)


def ticks(word: str, *, spread: bool, begin: datetime = BEGIN, count: int = 1000) -> list[datetime]:
    """The first ticks of a frequency's schedule, as Dagster's daemon finds them."""
    return list(islice(cron_string_iterator(begin.timestamp(), cron_of(word, spread=spread), "UTC"), count))


def materialization(version_id: str, attempt_at: datetime | None) -> Materialization:
    return Materialization(
        version_id=version_id,
        enabled=True,
        sync_frequency=None,
        snapshot_id=None,
        status=RefreshStatus.COMPLETED,
        error="",
        attempt_id=None,
        attempt_at=attempt_at,
        attempt_dagster_run_id=None,
    )


@pytest.mark.parametrize("spread", [True, False])
@pytest.mark.parametrize("word", PERIODS)
def test_schedules_tick_as_often_as_their_slots_come(word: str, spread: bool) -> None:
    assert is_valid_cron_string(cron_of(word, spread=spread))
    gaps = {later - earlier for earlier, later in pairwise(ticks(word, spread=spread))}

    [gap] = gaps
    assert gap <= PERIODS[word]
    assert PERIODS[word] % gap == timedelta()
    if spread and PERIODS[word] > HOUR:
        assert gap == HOUR  # the grain of the spread


@pytest.mark.parametrize("spread", [True, False])
@pytest.mark.parametrize("word", [word for word in PERIODS if PERIODS[word] <= timedelta(days=7)])
def test_an_endpoint_is_refreshed_once_in_each_period(word: str, spread: bool) -> None:
    period, version_id = PERIODS[word], str(uuid.uuid4())
    attempts: list[datetime] = []
    for tick in ticks(word, spread=spread, count=math.ceil(period * 4 / _grain(word, spread=spread))):
        if is_due(materialization(version_id, attempts[-1] if attempts else None), word, tick, spread=spread):
            attempts.append(tick + timedelta(seconds=7))  # the run takes a moment to come up

    assert 4 <= len(attempts) <= 5
    assert {later - earlier for earlier, later in pairwise(attempts[1:])} == {period}


def _grain(word: str, *, spread: bool) -> timedelta:
    first, second = ticks(word, spread=spread, count=2)
    return second - first


@given(VERSION_IDS, WORDS, TIMES, st.booleans())
def test_the_newest_slot_is_within_a_period_before_the_tick(
    version_id: str, word: str, tick: datetime, spread: bool
) -> None:
    slot = newest_slot(version_id, word, tick, spread=spread)

    assert slot <= tick
    assert tick - slot < PERIODS[word]
    assert newest_slot(version_id, word, slot, spread=spread) == slot
    assert slot.second == slot.microsecond == 0


@given(VERSION_IDS, WORDS, TIMES, st.booleans())
def test_slots_of_an_endpoint_are_one_period_apart(version_id: str, word: str, tick: datetime, spread: bool) -> None:
    slot = newest_slot(version_id, word, tick, spread=spread)

    assert newest_slot(version_id, word, slot + PERIODS[word], spread=spread) == slot + PERIODS[word]
    assert newest_slot(version_id, word, slot - timedelta(seconds=1), spread=spread) == slot - PERIODS[word]


@given(WORDS, TIMES, VERSION_IDS, VERSION_IDS)
def test_without_the_spread_all_endpoints_share_their_slots(word: str, tick: datetime, one: str, other: str) -> None:
    assert newest_slot(one, word, tick, spread=False) == newest_slot(other, word, tick, spread=False)


@pytest.mark.parametrize("word", ["2hour", "6hour", "24hour", "7day"])
def test_the_spread_is_even(word: str) -> None:
    hours, endpoints = PERIODS[word] // HOUR, 200
    slots = Counter(
        newest_slot(str(uuid.UUID(int=number)), word, BEGIN, spread=True) for number in range(endpoints * hours)
    )

    assert len(slots) == hours
    assert min(slots.values()) > 0.7 * endpoints
    assert max(slots.values()) < 1.3 * endpoints


def test_the_spread_never_changes() -> None:
    """Another hash would refresh every daily endpoint once more, or a day late, on an upgrade."""
    slot = newest_slot("5a1c0000-aaaa-4000-8000-000000000000", "24hour", BEGIN, spread=True)

    assert slot == datetime(2026, 2, 28, 3, tzinfo=UTC)


@given(VERSION_IDS, WORDS, TIMES, st.booleans())
def test_an_endpoint_never_refreshed_is_due(version_id: str, word: str, tick: datetime, spread: bool) -> None:
    assert is_due(materialization(version_id, None), word, tick, spread=spread)


@given(VERSION_IDS, WORDS, TIMES, st.booleans(), st.timedeltas(timedelta(0), timedelta(days=60)))
def test_an_endpoint_whose_slot_fell_into_a_pause_is_due_after_it(
    version_id: str, word: str, slot_or_so: datetime, spread: bool, pause: timedelta
) -> None:
    slot = newest_slot(version_id, word, slot_or_so, spread=spread)
    before_the_slot = materialization(version_id, slot - timedelta(seconds=1))

    assert is_due(before_the_slot, word, slot + pause, spread=spread)


@given(VERSION_IDS, WORDS, TIMES, st.booleans(), st.data())
def test_an_endpoint_is_never_due_twice_in_a_period(
    version_id: str, word: str, tick: datetime, spread: bool, data: st.DataObject
) -> None:
    slot = newest_slot(version_id, word, tick, spread=spread)
    almost = PERIODS[word] - timedelta(microseconds=1)
    attempt_at = slot + data.draw(st.timedeltas(timedelta(0), almost))

    assert not is_due(materialization(version_id, attempt_at), word, slot + almost, spread=spread)
    assert is_due(materialization(version_id, attempt_at), word, slot + PERIODS[word], spread=spread)


def requests(keys: Sequence[dg.AssetKey], endpoints_per_run: int, **changes: Any) -> list[dg.RunRequest]:
    arguments = {"upstream": {}, "run_key": "tick", "reason": "schedule", "tags": {"a": "b"}} | changes
    return list(run_requests(keys, endpoints_per_run=endpoints_per_run, **arguments))


@given(KEYS, st.integers(1, 30))
def test_runs_refresh_every_endpoint_once_and_are_few(keys: Sequence[dg.AssetKey], endpoints_per_run: int) -> None:
    made = requests(keys, endpoints_per_run)
    chosen = [key for request in made for key in request.asset_selection or ()]

    assert len(chosen) == len(keys)
    assert set(chosen) == set(keys)
    assert len(made) == math.ceil(len(keys) / endpoints_per_run)
    assert all(len(request.asset_selection or ()) <= endpoints_per_run for request in made)


@given(KEYS, st.integers(1, 30))
def test_run_keys_are_unique_and_stable(keys: Sequence[dg.AssetKey], endpoints_per_run: int) -> None:
    run_keys = [request.run_key for request in requests(keys, endpoints_per_run)]

    assert len(set(run_keys)) == len(run_keys)
    assert [request.run_key for request in requests(keys, endpoints_per_run)] == run_keys
    assert not set(run_keys) & {request.run_key for request in requests(keys, endpoints_per_run, run_key="next")}


def test_runs_say_why_they_run() -> None:
    [request] = requests([dg.AssetKey("one")], 25)

    assert request.tags == {"endpoints/reason": "schedule", "a": "b"}


@given(KEYS, st.integers(1, 30), st.data())
def test_endpoints_that_read_each_other_share_a_run(
    keys: Sequence[dg.AssetKey], endpoints_per_run: int, data: st.DataObject
) -> None:
    # each reads some of those before it, and one that isn't refreshed
    upstream = {
        key: [*data.draw(st.lists(st.sampled_from(keys[:number]), max_size=2)), dg.AssetKey("not due")]
        for number, key in enumerate(keys)
        if number
    }
    made = requests(keys, endpoints_per_run, upstream=upstream)
    runs = [set(request.asset_selection or ()) for request in made]

    assert sorted(key for run in runs for key in run) == sorted(keys)
    for run in runs:
        for key in run:
            assert {read for read in upstream.get(key, ()) if read in keys} <= run
    assert requests(keys, endpoints_per_run, upstream=upstream) == made


def test_endpoints_share_a_run_only_if_they_must_or_there_is_room() -> None:
    keys = [dg.AssetKey(letter) for letter in "abcdefg"]
    upstream = {keys[4]: [keys[0]], keys[6]: [keys[4]]}

    made = [
        "".join(key.path[0] for key in request.asset_selection or ())
        for request in requests(keys, 2, upstream=upstream)
    ]

    assert made == ["aeg", "bc", "df"]
