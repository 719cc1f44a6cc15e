"""A read of stored rows, under the values of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """A query over stored rows; ``parameters`` are bound by the engine and never become part of its text."""

    sql: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NotServable:
    """The stored rows can't answer for these values exactly; the source must be asked."""

    reason: str
