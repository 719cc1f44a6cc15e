"""What a caller asks for when running an endpoint, in the words of every generation (contract 1.6, 3.6, 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Refresh(StrEnum):
    """How much to rely on what was computed before."""

    CACHE = "cache"
    FORCE = "force"
    DIRECT = "direct"
    BLOCKING = "blocking"
    ASYNC = "async"
    LAZY_ASYNC = "lazy_async"
    FORCE_BLOCKING = "force_blocking"
    FORCE_ASYNC = "force_async"
    FORCE_CACHE = "force_cache"

    @property
    def is_direct(self) -> bool:
        """The source is to be asked, whatever snapshots there are."""
        return self is Refresh.DIRECT

    @property
    def is_async(self) -> bool:
        """The caller doesn't wait for rows that have to be computed."""
        return self in (Refresh.ASYNC, Refresh.LAZY_ASYNC, Refresh.FORCE_ASYNC)

    @property
    def takes_cached(self) -> bool:
        return self in (Refresh.CACHE, Refresh.BLOCKING, Refresh.ASYNC, Refresh.LAZY_ASYNC, Refresh.FORCE_CACHE)

    @property
    def never_computes(self) -> bool:
        return self is Refresh.FORCE_CACHE


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a caller asks for.

    Attributes:
        version: The version to run; None: the current one.
        refresh: How much to rely on what was computed before.
        limit: Rows at most, of those that the SQL itself leaves.
        offset: Rows to skip; only with ``limit``.
        variables: Values by code name; None is SQL's NULL.
        variable_texts: Values as a query string spells them; ``variables`` wins.
        variables_override: Definitions with values by id or code name, as the seed sends them; ``variables`` wins.
        filters_override: Not for SQL; anything in it is refused.
        client_query_id: The caller's own id of the run, by which it can be followed and cancelled.
        debug: Whether to tell how the answer was made.
    """

    version: int | None = None
    refresh: Refresh = Refresh.CACHE
    limit: int | None = None
    offset: int = 0
    variables: Mapping[str, Any] = field(default_factory=dict)
    variable_texts: Mapping[str, str] = field(default_factory=dict)
    variables_override: Mapping[str, Any] = field(default_factory=dict)
    filters_override: Mapping[str, Any] | None = None
    client_query_id: str | None = None
    debug: bool = False
