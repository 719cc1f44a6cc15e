"""The names that endpoints have in Dagster: asset keys, step names, groups, tags. They never collide."""

from __future__ import annotations

import hashlib
import re

import dagster as dg

from endpoints_pipeline.catalog.records import MaterializedVersion

TAG_NAME = "endpoints/name"
TAG_VERSION = "endpoints/version"
TAG_PROJECT = "endpoints/project"
TAG_SYNC_FREQUENCY = "endpoints/sync_frequency"
#: On a Dagster run: why it refreshes.
TAG_REASON = "endpoints/reason"
GROUP_TABLES = "tables"

_TAG_LENGTH = 63  # Dagster's limit for a tag's value; a name may have 128 characters


def asset_key(record: MaterializedVersion) -> dg.AssetKey:
    """``endpoints/<project>/<name>`` for the current version, with ``/v<n>`` behind it for an older one."""
    return endpoint_asset_key(record.project_id, record.name, None if record.is_current else record.version)


def endpoint_asset_key(project_id: int, name: str, version: int | None = None) -> dg.AssetKey:
    """The asset key of an endpoint, for assets of your own that depend on it.

    Args:
        project_id: The endpoint's project.
        name: The endpoint's name.
        version: An older version's number; None for the current version.
    """
    path = ["endpoints", str(project_id), name]
    return dg.AssetKey(path if version is None else [*path, f"v{version}"])


def upstream_keys(record: MaterializedVersion) -> list[dg.AssetKey]:
    """The assets of the endpoints that a version reads by their names."""
    return [endpoint_asset_key(record.project_id, name) for name in record.reads.endpoints]


def table_asset_key(table: str) -> dg.AssetKey:
    """``tables/<name>``, or ``tables/<database>/<name>`` for a table outside of the default database."""
    return dg.AssetKey(["tables", *table.split(".")])


def step_name(record: MaterializedVersion) -> str:
    """A name that Dagster takes for the step: ``a-b`` and ``a_b`` are two endpoints, so the version's id is in it."""
    readable = re.sub(r"[^A-Za-z0-9_]", "_", record.name)
    return f"refresh_{readable}_{record.version_id.replace('-', '')[:12]}"


def group_name(project_id: int) -> str:
    return f"project_{project_id}"


def tags(record: MaterializedVersion) -> dict[str, str]:
    values = {
        TAG_NAME: tag_value(record.name),
        TAG_VERSION: str(record.version),
        TAG_PROJECT: str(record.project_id),
    }
    return {**values, TAG_SYNC_FREQUENCY: record.sync_frequency} if record.sync_frequency else values


def tag_value(name: str) -> str:
    """A name as a tag's value; a long one is cut and made unique by its hash."""
    if len(name) <= _TAG_LENGTH:
        return name
    return f"{name[: _TAG_LENGTH - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
