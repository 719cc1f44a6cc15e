"""How often a caller may come (contract 5.3): limits for each key, and for all secret keys of a project together.

Inline work and answers from snapshots have buckets of their own. The counts are kept where ``rate_limit_storage`` says:
in this process, or in a server that several processes share.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import Request
from limits import RateLimitItem, parse_many
from limits.errors import ConcurrentUpdateError, ConfigurationError, StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from endpoints_pipeline.api.errors import ApiError
from endpoints_pipeline.catalog.records import ApiKey, KeyKind
from endpoints_pipeline.clock import Clock, utc_now
from endpoints_pipeline.errors import SettingsError
from endpoints_pipeline.settings import RATE_LIMIT_OFF, Settings

if TYPE_CHECKING:
    from endpoints_pipeline.api.auth import Access

_log = structlog.get_logger(__name__)

#: How long a storage that failed is left alone: each try may cost its whole time-out.
_PAUSE = timedelta(seconds=10)
_STORAGE_TIMEOUT = 1.0
_HEADERS = "rate_limit_headers"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands after this request, in the bucket that is closest to empty.

    ``reset`` is the seconds until that bucket has more; ``retry_after`` is 0 for a request that may go on.
    """

    limit: int
    remaining: int
    reset: int
    policy: str
    retry_after: int

    def headers(self) -> Mapping[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
            "RateLimit-Policy": self.policy,
        }


class RateLimits:
    """The limits of one deployment; safe to share between threads."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        """Nothing is asked of the storage yet.

        Args:
            settings: Their ``rate_limit_…``.
            clock: The time as the storage's library sees it: the machine's own.

        Raises:
            SettingsError: The storage is of no kind that we know, or its client isn't installed.
        """
        self._limits = {False: _parsed(settings.rate_limit_inline), True: _parsed(settings.rate_limit_materialized)}
        self._limiter = MovingWindowRateLimiter(_storage(settings.rate_limit_storage.get_secret_value()))
        self._clock = clock
        self._paused_until: datetime | None = None
        self._lock = threading.Lock()

    def take(self, key: ApiKey, project_id: int, *, materialized: bool) -> Standing | None:
        """Count a request, unless it is too much: that one isn't counted.

        Returns:
            None if there is no limit, or if the storage doesn't answer: better unlimited than out of order.
        """
        buckets = list(self._buckets(key, project_id, materialized))
        now = self._clock()
        if not buckets or self._is_paused(now):
            return None
        try:
            return self._take(buckets, now.timestamp())
        except (StorageError, ConcurrentUpdateError) as error:
            cause = getattr(error, "storage_error", error)
            _log.warning("rate limits are off: their storage failed", error=type(cause).__name__)
            self._pause(now)
            return None

    def _buckets(self, key: ApiKey, project_id: int, materialized: bool) -> Iterator[tuple[RateLimitItem, str, str]]:
        served = "materialized" if materialized else "inline"
        for item in self._limits[materialized]:
            yield item, served, f"key/{key.id}"
            if key.kind is KeyKind.PROJECT_SECRET:
                yield item, served, f"project/{project_id}"

    def _take(self, buckets: list[tuple[RateLimitItem, str, str]], now: float) -> Standing:
        # Looked at first, all of them: one that has room must not be emptied by requests that another one refuses.
        seen = [(bucket, self._limiter.get_window_stats(*bucket)) for bucket in buckets]
        full = [bucket for bucket, window in seen if window.remaining < 1]
        # others may come in between: whoever finds the last place taken is refused, too
        taken = () if full else [bucket for bucket in buckets if not self._limiter.hit(*bucket)]
        refusing = [*full, *taken]
        if refusing:
            item, *names = max(refusing, key=lambda bucket: self._limiter.get_window_stats(*bucket).reset_time)
            wait = _seconds(self._limiter.get_window_stats(item, *names).reset_time - now)
            return Standing(item.amount, 0, wait, self._policy(buckets), wait)
        (item, *_), window = min(seen, key=lambda pair: (pair[1].remaining, -pair[1].reset_time))
        reset = _seconds(window.reset_time - now)
        return Standing(item.amount, window.remaining - 1, reset, self._policy(buckets), 0)

    @staticmethod
    def _policy(buckets: list[tuple[RateLimitItem, str, str]]) -> str:
        return ", ".join(dict.fromkeys(f"{item.amount};w={item.get_expiry()}" for item, *_ in buckets))

    def _is_paused(self, now: datetime) -> bool:
        with self._lock:
            return self._paused_until is not None and now < self._paused_until

    def _pause(self, now: datetime) -> None:
        with self._lock:
            self._paused_until = now + _PAUSE


class RateLimitHeaders:
    """Puts what ``throttle`` found on the answer, whatever becomes of the request after it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and _HEADERS in state:
                MutableHeaders(scope=message).update(state[_HEADERS])
            await send(message)

        await self._app(scope, receive, send_with_headers)


def throttle(request: Request, access: Access, *, materialized: bool) -> None:
    """Count the request against the caller's limits.

    Args:
        request: The request; its answer will carry the ``RateLimit-…`` headers.
        access: The caller.
        materialized: Whether it is answered from a snapshot.

    Raises:
        ApiError: 429, with ``Retry-After``: the caller came too often.
    """
    limits: RateLimits = request.app.state.rate_limits
    standing = limits.take(access.key, access.project_id, materialized=materialized)
    if standing is None:
        return
    setattr(request.state, _HEADERS, standing.headers())
    if standing.retry_after:
        raise ApiError(
            429,
            type="throttled_error",
            code="throttled",
            detail=f"Request was throttled. Expected available in {standing.retry_after} seconds.",
            headers={"Retry-After": str(standing.retry_after)},
        )


def _parsed(text: str) -> list[RateLimitItem]:
    return [] if text in RATE_LIMIT_OFF else parse_many(text)


def _storage(uri: str) -> Storage:
    network = uri.startswith(("redis", "valkey"))
    options = {"socket_timeout": _STORAGE_TIMEOUT, "socket_connect_timeout": _STORAGE_TIMEOUT} if network else {}
    try:
        storage = storage_from_string(uri, wrap_exceptions=True, **options)
        MovingWindowRateLimiter(storage)
    except (ConfigurationError, NotImplementedError, AssertionError, ValueError) as error:
        # not the library's words: they may hold the address, and the address a password
        kind = uri.partition(":")[0]
        raise SettingsError(
            f"ENDPOINTS_RATE_LIMIT_STORAGE: '{kind}' can't be used: an unknown kind of storage, or one whose client "
            "isn't installed. Give memory://, or redis://host:6379 with pip install 'endpoints-pipeline[redis]'."
        ) from error
    assert isinstance(storage, Storage)
    return storage


def _seconds(wait: float) -> int:
    """Whole seconds after which the wait is surely over."""
    return max(1, math.floor(wait) + 1)
