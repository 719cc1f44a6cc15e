"""ClickHouse, embedded or a server, under one contract: describe, read as JSON, export to Parquet, cancel."""

from __future__ import annotations

from endpoints_pipeline.engine.clickhouse import Engine, Export
from endpoints_pipeline.engine.handles import Role

__all__ = ["Engine", "Export", "Role"]
