"""Time as a dependency: logic takes a ``Clock`` and never reads the machine's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

#: Returns the current time as an aware datetime in UTC.
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's clock, in UTC: the one place that reads it."""
    return datetime.now(UTC)
