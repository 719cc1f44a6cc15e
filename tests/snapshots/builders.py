"""The shortest way to an endpoint, a refresh, and what it left on S3."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from endpoints_pipeline.catalog.endpoints import CheckedQuery, EndpointChange, NewEndpoint
from endpoints_pipeline.catalog.records import Endpoint, RefreshStatus, Snapshot
from endpoints_pipeline.engine.types import json_columns
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.serving.publish import check_query
from endpoints_pipeline.snapshots.layout import VersionLayout
from endpoints_pipeline.snapshots.read import SnapshotReader
from endpoints_pipeline.snapshots.refresh import Refreshed

PROJECT = 1
NAME = "daily"
#: What a refresh tells ``on_step``, in order.
STEPS = ("describe", "export", "verify", "publish", "manifest")


def checked(application: Application, sql: str, *, materialized: bool = True) -> CheckedQuery:
    query = {"kind": "HogQLQuery", "query": sql}
    return check_query(application.catalog, application.sources, PROJECT, query, materialized=materialized)


def create(application: Application, sql: str, name: str = NAME, **fields: Any) -> Endpoint:
    """A new endpoint, materialized unless said otherwise."""
    fields = {"is_materialized": True, **fields}
    query = checked(application, sql, materialized=bool(fields["is_materialized"]))
    new = NewEndpoint(name=name, query=query, **fields)
    return application.catalog.endpoints.create(PROJECT, new, application.clock())


def change(application: Application, name: str = NAME, **fields: Any) -> Endpoint:
    return application.catalog.endpoints.update(PROJECT, name, EndpointChange(**fields), application.clock())


def current(application: Application, name: str = NAME) -> Endpoint:
    return application.catalog.endpoints.get(PROJECT, name)


def refresh(
    application: Application, endpoint: Endpoint, on_step: Callable[[str], None] = lambda _step: None
) -> Refreshed:
    return application.refresher.refresh(
        endpoint.version.id, reason="test", dagster_run_id=str(uuid.uuid4()), on_step=on_step
    )


def status(application: Application, name: str = NAME) -> tuple[RefreshStatus, str]:
    """The status of the newest refresh and its error."""
    materialization = current(application, name).version.materialization
    assert materialization is not None
    return materialization.status, materialization.error


def served(application: Application, name: str = NAME) -> Snapshot | None:
    """The snapshot that runs would be answered from."""
    return current(application, name).version.snapshot


def layout_of(application: Application, endpoint: Endpoint) -> VersionLayout:
    return VersionLayout(application.settings.s3_prefix, PROJECT, endpoint.name, endpoint.version.version)


def keys(application: Application, kind: str = "") -> list[str]:
    """The keys under the application's prefix whose path has the folder ``kind``."""
    pages = application.bucket._client.get_paginator("list_objects_v2").paginate(
        Bucket=application.bucket.name, Prefix=f"{application.settings.s3_prefix}/"
    )
    found = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return sorted(key for key in found if not kind or f"/{kind}/" in key)


def read_json(application: Application, key: str) -> Any:
    found = application.bucket.read(key)
    assert found is not None, key
    return json.loads(found[0])


def rows(application: Application, snapshot: Snapshot) -> bytes:
    return SnapshotReader(engine=application.engine, bucket=application.bucket).json_rows(snapshot).data


def direct_rows(application: Application, sql: str) -> bytes:
    canonical = application.engine.canonical(sql)
    columns = application.engine.describe(canonical)
    return application.engine.json_rows(f"SELECT {json_columns(columns)} FROM ({canonical})").data
