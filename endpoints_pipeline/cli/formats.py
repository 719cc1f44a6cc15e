"""Sizes and times for people."""

from __future__ import annotations

from datetime import timedelta


def bytes_text(size: int) -> str:
    """``1.4 MB``: decimal units, as disks and S3 count."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def duration_text(duration: timedelta) -> str:
    """``0.42 s`` or ``3 min 5 s``."""
    seconds = duration.total_seconds()
    return f"{seconds:.2f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def age_text(age: timedelta) -> str:
    """``12 s``, ``5 min``, ``3 h`` or ``2 d``: the largest whole unit."""
    seconds = max(0, int(age.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
