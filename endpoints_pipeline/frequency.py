"""The ``sync_frequency`` words, their periods, and the seven freshness buckets (contract 2.6, 9)."""

from __future__ import annotations

from datetime import timedelta

PERIODS: dict[str, timedelta] = {
    "5min": timedelta(minutes=5),
    "15min": timedelta(minutes=15),
    "30min": timedelta(minutes=30),
    "1hour": timedelta(hours=1),
    "2hour": timedelta(hours=2),
    "4hour": timedelta(hours=4),
    "6hour": timedelta(hours=6),
    "12hour": timedelta(hours=12),
    "24hour": timedelta(hours=24),
    "7day": timedelta(days=7),
    "30day": timedelta(days=30),
}

#: Every word a caller may send; ``never`` keeps the materialization without a schedule.
NEVER = "never"
WORDS: tuple[str, ...] = (*PERIODS, NEVER)

FRESHNESS_BUCKETS: dict[int, str] = {
    900: "15min",
    1800: "30min",
    3600: "1hour",
    21600: "6hour",
    43200: "12hour",
    86400: "24hour",
    604800: "7day",
}
DEFAULT_FRESHNESS_SECONDS = 86400


def frequency_of(freshness_seconds: int) -> str:
    """The schedule that keeps data within ``freshness_seconds``: the longest period that isn't longer."""
    fitting = [word for word, period in PERIODS.items() if period.total_seconds() <= freshness_seconds]
    return fitting[-1] if fitting else next(iter(PERIODS))


def period_of(word: str | None) -> timedelta | None:
    """The period of a ``sync_frequency`` word; None for ``never`` and for no word."""
    return PERIODS.get(word) if word else None
