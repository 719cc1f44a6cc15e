"""ClickHouse, embedded or a server, under one contract: describe, read as JSON, export to Parquet, cancel."""

from __future__ import annotations

from endpoints_pipeline.engine.clickhouse import Engine, GuardedQuery
from endpoints_pipeline.engine.handles import Role
from endpoints_pipeline.engine.progress import Progress, Statistics

__all__ = ["Engine", "GuardedQuery", "Progress", "Role", "Statistics"]
