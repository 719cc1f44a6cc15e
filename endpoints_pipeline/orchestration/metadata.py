"""What Dagster shows of an endpoint and of each of its snapshots. ``docs/dagster.md`` lists every key."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

# Not public in Dagster 1.13, yet every integration of Dagster's own builds on it; if it moves, a plain dict of
# "endpoints/<field>" keys does the same without the types.
from dagster._core.definitions.metadata.metadata_set import NamespacedMetadataSet

from endpoints_pipeline.catalog.records import MaterializedVersion, Snapshot
from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.settings import Settings
from endpoints_pipeline.snapshots.refresh import Refreshed

_CELL_LENGTH = 200


class EndpointMetadataSet(NamespacedMetadataSet):
    """Our keys, in the namespace ``endpoints``: the first group describes the asset, the second a materialization."""

    project: int | None = None
    endpoint_id: str | None = None
    version: int | None = None
    version_id: str | None = None
    sync_frequency: str | None = None
    freshness_seconds: int | None = None

    snapshot_id: str | None = None
    snapshot_sequence: int | None = None
    began_at: float | None = None
    bytes: int | None = None
    parts: int | None = None
    row_groups: int | None = None
    export_seconds: float | None = None
    total_seconds: float | None = None
    rows_per_second: float | None = None
    engine_version: str | None = None
    engine_read_rows: int | None = None
    engine_read_bytes: int | None = None
    manifest: str | None = None
    reason: str | None = None

    @classmethod
    def namespace(cls) -> str:
        return "endpoints"


def asset_metadata(record: MaterializedVersion, settings: Settings) -> dict[str, Any]:
    """The metadata of the asset itself, known before it was ever materialized."""
    return {
        **EndpointMetadataSet(
            project=record.project_id,
            endpoint_id=record.endpoint_id,
            version=record.version,
            version_id=record.version_id,
            sync_frequency=record.sync_frequency or "never",
            freshness_seconds=record.data_freshness_seconds,
        ),
        "endpoints/sql": dg.MetadataValue.md(f"```sql\n{record.sql}\n```"),
        "endpoints/api": dg.MetadataValue.url(
            f"{settings.resolved_public_url}/api/projects/{record.project_id}/endpoints/{record.name}/run"
        ),
        "dagster/column_schema": column_schema(record.columns),
    }


def materialization_metadata(refreshed: Refreshed, preview: JsonRows | None, bucket: str) -> dict[str, Any]:
    """The metadata of one new snapshot; ``preview`` holds its first rows, if they could be read."""
    snapshot = refreshed.snapshot
    seconds = refreshed.export_seconds
    return {
        **EndpointMetadataSet(
            endpoint_id=refreshed.attempt.endpoint_id,
            version=refreshed.attempt.version,
            version_id=snapshot.version_id,
            snapshot_id=snapshot.id,
            snapshot_sequence=snapshot.sequence,
            began_at=refreshed.attempt.began_at.timestamp(),
            bytes=snapshot.bytes,
            parts=len(snapshot.parts),
            row_groups=sum(part.row_groups for part in snapshot.parts),
            export_seconds=round(seconds, 3),
            total_seconds=round(refreshed.total_seconds, 3),
            rows_per_second=round(snapshot.rows / seconds, 1) if seconds > 0 else None,
            engine_version=snapshot.engine_version,
            engine_read_rows=refreshed.statistics.read_rows,
            engine_read_bytes=refreshed.statistics.read_bytes,
            manifest=f"s3://{bucket}/{refreshed.manifest_key}",
            reason=refreshed.attempt.reason,
        ),
        "dagster/row_count": snapshot.rows,
        "dagster/uri": uri(snapshot, bucket),
        "dagster/column_schema": column_schema(snapshot.columns),
        "endpoints/sql": dg.MetadataValue.md(f"```sql\n{refreshed.canonical_sql}\n```"),
        **({"endpoints/preview": preview_table(snapshot, preview)} if preview else {}),
    }


def failure_metadata(record: MaterializedVersion, began_at: float) -> dict[str, Any]:
    """The metadata of a failed refresh, by which the recorder knows what failed and when it began."""
    return {
        **EndpointMetadataSet(
            endpoint_id=record.endpoint_id, version=record.version, version_id=record.version_id, began_at=began_at
        )
    }


def uri(snapshot: Snapshot, bucket: str) -> str:
    """Where the snapshot's Parquet lies: the part if there is one, else their folder."""
    key = snapshot.parts[0].key
    return f"s3://{bucket}/{key if len(snapshot.parts) == 1 else key.rsplit('/', 1)[0] + '/'}"


def column_schema(columns: tuple[Column, ...]) -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(name=column.name, type=column.type) for column in columns])


def preview_table(snapshot: Snapshot, preview: JsonRows) -> dg.TableMetadataValue:
    rows = json.loads(b"[" + preview.data + b"]")
    names = [column.name for column in snapshot.columns]
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(zip(names, map(_cell, row), strict=True))) for row in rows],
        schema=column_schema(snapshot.columns),
    )


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _CELL_LENGTH else text[: _CELL_LENGTH - 1] + "…"
