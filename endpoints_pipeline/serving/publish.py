"""Publishing: a query is checked by the guard and described by the engine before the catalog keeps it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.endpoints import CheckedQuery
from endpoints_pipeline.errors import InvalidInput, QueryError
from endpoints_pipeline.frequency import FRESHNESS_BUCKETS, PERIODS, WORDS
from endpoints_pipeline.query.materialization import BUCKETS
from endpoints_pipeline.query.variables import Bound
from endpoints_pipeline.serving.eligibility import require_eligible, variables_obstacle
from endpoints_pipeline.serving.source import Prepared, prepare
from endpoints_pipeline.serving.variables import definitions, describing, sync_query
from endpoints_pipeline.snapshots.sources import Sources

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,127}")
# The keys of a HogQLQuery after the original's model expansion: absent ones are echoed as null (contract 1.16).
_QUERY_KEYS = ("explain", "filters", "modifiers", "name", "response", "tags", "values", "variables", "version")
_QUERY_KIND = "HogQLQuery"


def check_name(name: str) -> str:
    """An endpoint's name, if it is one (contract 2.1).

    Raises:
        InvalidInput: With ``attr="name"``.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"Invalid name '{name}'. Must start with a letter, contain only letters, digits, '_' and '-', and be at "
            "most 128 characters long.",
            attr="name",
        )
    return name


def check_query(
    catalog: Catalog, sources: Sources, project_id: int, query: Mapping[str, Any], *, materialized: bool
) -> CheckedQuery:
    """Check a query before it is kept: one SELECT over known tables that the engine can describe (contract 2.2, 10.14).

    Its variables are brought in step with its SQL (contract 2.3).

    Raises:
        InvalidInput: With ``attr="query"``; ``code`` is the engine's name of the error if it has one.
    """
    kind = query.get("kind")
    if kind != _QUERY_KIND:
        raise InvalidInput(f"Query kind {kind!r} is not supported: only {_QUERY_KIND} (SQL) is.", attr="query")
    if query.get("connectionId"):
        raise InvalidInput("Direct connections to other databases are not supported.", attr="query")
    sql = query.get("query")
    if not isinstance(sql, str) or not sql.strip():
        raise InvalidInput("Query is empty or invalid.", attr="query")
    synced = sync_query(catalog, project_id, query, sql)
    defined = definitions(catalog, project_id, synced)
    prepared = _prepared(sources, project_id, sql, describing(defined.values()))
    types = {name: one.type for name, one in defined.items()}
    checked = CheckedQuery(
        query={**dict.fromkeys(_QUERY_KEYS), **synced},
        sql=sql,
        columns=prepared.columns,
        reads=prepared.reads,
        variables_obstacle=variables_obstacle(sources, project_id, sql, types),
    )
    if materialized:
        require_eligible(checked)
    return checked


def _prepared(sources: Sources, project_id: int, sql: str, bounds: Mapping[str, Bound]) -> Prepared:
    try:
        return prepare(sources, project_id, sql, bounds)
    except InvalidInput:
        raise
    except QueryError as error:
        raise InvalidInput(
            f"Invalid HogQL query: {error}", attr="query", code=error.engine_name or "invalid_input"
        ) from error


def check_buckets(overrides: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """``bucket_overrides`` as it is kept: None for none (contract 2.8).

    Raises:
        InvalidInput: A word that is no bucket (``attr="bucket_overrides"``).
    """
    if wrong := {column: bucket for column, bucket in (overrides or {}).items() if bucket not in BUCKETS}:
        raise InvalidInput(
            f"Invalid bucket override values: {wrong}. Valid options: {list(BUCKETS)}", attr="bucket_overrides"
        )
    if any("\0" in column for column in overrides or ()):
        raise InvalidInput("Null characters are not allowed.", attr="bucket_overrides")
    return overrides or None


def check_frequency(word: str) -> str:
    """A ``sync_frequency`` word (contract 9).

    Raises:
        InvalidInput: With ``attr="sync_frequency"``.
    """
    if word not in WORDS:
        raise InvalidInput(f"Sync frequency must be one of: {', '.join(WORDS)}.", attr="sync_frequency")
    return word


def check_freshness(seconds: int) -> int:
    """A ``data_freshness_seconds`` bucket (contract 2.6).

    Raises:
        InvalidInput: With ``attr="data_freshness_seconds"``.
    """
    if seconds not in FRESHNESS_BUCKETS:
        raise InvalidInput(
            f"Data freshness must be one of: {', '.join(map(str, FRESHNESS_BUCKETS))}.", attr="data_freshness_seconds"
        )
    return seconds


def freshness_of(word: str) -> int | None:
    """The freshness that a ``sync_frequency`` word stands for: the smallest bucket that isn't shorter than its period.

    None for ``never``. A period longer than every bucket stands for itself.
    """
    period = PERIODS.get(word)
    if period is None:
        return None
    seconds = int(period.total_seconds())
    return min((bucket for bucket in FRESHNESS_BUCKETS if bucket >= seconds), default=seconds)
