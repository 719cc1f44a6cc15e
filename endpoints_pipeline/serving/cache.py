"""Results that were computed before, in memory and bounded by bytes (contract 3.7)."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson
from cachetools import LRUCache

from endpoints_pipeline.query.columns import Column

_OVERHEAD = 2048  # bytes of an entry besides its rows, roughly


@dataclass(frozen=True, slots=True)
class CachedResult:
    """``data`` is the inside of a JSON array of ``count`` rows, computed at ``computed_at``."""

    data: bytes
    count: int
    more: bool
    columns: Sequence[Column]
    computed_at: datetime


def cache_key(
    version_id: str, snapshot_id: str | None, variables: Mapping[str, tuple[str, Any]], limit: int | None, offset: int
) -> str:
    """Identifies a result. Snapshots are immutable and so are versions: neither can change under a key.

    Args:
        version_id: The version, and with it the query.
        snapshot_id: The snapshot that answers; None: the source.
        variables: Type and value of each variable.
        limit: The page's size.
        offset: The page's begin.
    """
    parts = [version_id, snapshot_id, sorted(variables.items()), limit, offset]
    return sha256(orjson.dumps(parts, option=orjson.OPT_NON_STR_KEYS)).hexdigest()


class ResultCache:
    """Safe to share between threads. How old a result may be is the reader's to say."""

    def __init__(self, memory: int) -> None:
        """Keep at most ``memory`` bytes of results; 0 keeps none."""
        self._entries: LRUCache[str, CachedResult] = LRUCache(
            max(memory, 1), getsizeof=lambda entry: len(entry.data) + _OVERHEAD
        )
        self._lock = threading.Lock()

    def get(self, key: str, *, computed_after: datetime | None = None) -> CachedResult | None:
        """The result, unless it was computed at ``computed_after`` or before."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None and computed_after is not None and found.computed_at <= computed_after:
                del self._entries[key]
                return None
            return found

    def put(self, key: str, result: CachedResult) -> None:
        """Keep a result, if it isn't larger than all of the memory; the least recently used ones make room."""
        with self._lock:
            if len(result.data) + _OVERHEAD <= self._entries.maxsize:
                self._entries[key] = result
