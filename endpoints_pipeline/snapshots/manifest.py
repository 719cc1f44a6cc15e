"""Manifests: what outside readers find on S3 after a snapshot was published (``docs/layout.md`` describes them)."""

from __future__ import annotations

import json
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from endpoints_pipeline.catalog.records import Attempt, Snapshot
from endpoints_pipeline.engine.types import storage_type
from endpoints_pipeline.snapshots.layout import VersionLayout
from endpoints_pipeline.snapshots.objects import Bucket, PreconditionFailed

FORMAT_VERSION = 1


def write_manifest(bucket: Bucket, layout: VersionLayout, attempt: Attempt, snapshot: Snapshot) -> str:
    """Write the snapshot's manifest, then point ``current.json`` at it unless a newer snapshot is there already.

    Returns:
        The manifest's key.

    Raises:
        StorageError: S3 refused or can't be reached; the snapshot is published all the same.
    """
    key = layout.manifest(snapshot.id)
    bucket.write(key, _dump(_manifest(attempt, snapshot)), replacing=None)
    pointer = {
        "snapshot_id": snapshot.id,
        "version_id": snapshot.version_id,
        "sequence": snapshot.sequence,
        "manifest": key,
        "published_at": snapshot.published_at.isoformat(),
    }
    for attempt_number in Retrying(
        retry=retry_if_exception_type(PreconditionFailed),
        stop=stop_after_attempt(10),
        wait=wait_random_exponential(max=1),
        reraise=True,
    ):
        with attempt_number:
            found = bucket.read(layout.current)
            if found is None or not _is_newer(json.loads(found[0]), snapshot):
                bucket.write(layout.current, _dump(pointer), replacing=found[1] if found else None)
    return key


def _is_newer(pointer: dict[str, Any], snapshot: Snapshot) -> bool:
    """A deleted endpoint's name may be used again: the old one's pointer never counts as newer."""
    return bool(pointer["version_id"] == snapshot.version_id and pointer["sequence"] > snapshot.sequence)


def _manifest(attempt: Attempt, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "snapshot_id": snapshot.id,
        "project_id": attempt.project_id,
        "endpoint": attempt.name,
        "version": attempt.version,
        "version_id": snapshot.version_id,
        "sequence": snapshot.sequence,
        "data_at": snapshot.data_at.isoformat(),
        "published_at": snapshot.published_at.isoformat(),
        "rows": snapshot.rows,
        "bytes": snapshot.bytes,
        "columns": [
            {"name": column.name, "type": column.type, "stored_as": storage_type(column)} for column in snapshot.columns
        ],
        "read_plan": snapshot.read_plan.to_json() if snapshot.read_plan else None,
        "parts": [
            {
                "key": part.key,
                "rows": part.rows,
                "bytes": part.bytes,
                "row_groups": part.row_groups,
                "etag": part.etag,
            }
            for part in snapshot.parts
        ],
        "query": attempt.sql,
        "query_hash": snapshot.query_hash,
        "engine_version": snapshot.engine_version,
        "dagster_run_id": snapshot.dagster_run_id,
        "reason": snapshot.reason,
    }


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode()
