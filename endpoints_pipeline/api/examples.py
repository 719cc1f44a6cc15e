"""Examples for the OpenAPI document, by model; a test proves that each fits."""

from __future__ import annotations

from typing import Any

_ABSENT = ("explain", "filters", "modifiers", "name", "response", "tags", "values", "variables", "version")

USER: dict[str, Any] = {
    "id": 1,
    "uuid": "6a5f8f5e-2f0e-4b55-9d0f-3a1b1f0a7c11",
    "distinct_id": "6a5f8f5e-2f0e-4b55-9d0f-3a1b1f0a7c11",
    "first_name": "Ada",
    "last_name": "Example",
    "email": "ada@example.com",
    "is_email_verified": None,
    "hedgehog_config": None,
    "role_at_organization": None,
}

MATERIALIZATION: dict[str, Any] = {
    "status": "Completed",
    "last_materialized_at": "2026-03-01T11:30:00Z",
    "error": "",
    "saved_query_id": "018f7f0e-6f57-4a3d-9f1c-7a8e5a8d8f10",
    "can_materialize": True,
    "enabled": True,
    "ready": True,
    "hibernated": False,
    "sync_frequency": "1hour",
}

ENDPOINT: dict[str, Any] = {
    "id": "5f0c5b0e-3a0f-4a6e-b7cf-0f6e6a3e2f11",
    "name": "daily_counts",
    "display_name": "",
    "description": "Events of each day",
    "query": {
        "kind": "HogQLQuery",
        "query": "SELECT day, count() AS n FROM events GROUP BY day",
        **dict.fromkeys(_ABSENT),
    },
    "is_active": True,
    "data_freshness_seconds": 3600,
    "cache_age_seconds": None,
    "endpoint_path": "/api/projects/1/endpoints/daily_counts/run",
    "url": "https://endpoints.example/api/projects/1/endpoints/daily_counts/run",
    "ui_url": "https://dagster.example/assets/endpoints/1/daily_counts",
    "created_at": "2026-03-01T09:00:00Z",
    "updated_at": "2026-03-01T11:00:00Z",
    "created_by": USER,
    "is_materialized": True,
    "current_version": 2,
    "current_version_id": "018f7f0e-6f57-4a3d-9f1c-7a8e5a8d8f10",
    "versions_count": 2,
    "derived_from_insight": None,
    "last_executed_at": "2026-03-01T11:59:00Z",
    "materialization": MATERIALIZATION,
    "bucket_overrides": None,
    "columns": [{"name": "day", "type": "date"}, {"name": "n", "type": "integer"}],
    "tags": ["growth"],
    "optional_breakdown_properties": [],
}

VERSION: dict[str, Any] = {
    **ENDPOINT,
    "url": None,
    "ui_url": None,
    "version": 2,
    "version_id": "018f7f0e-6f57-4a3d-9f1c-7a8e5a8d8f10",
    "endpoint_is_active": True,
    "version_created_at": "2026-03-01T11:00:00Z",
    "version_updated_at": "2026-03-01T11:00:00Z",
    "version_created_by": USER,
}

VARIABLE: dict[str, Any] = {
    "id": "0c2b4f8e-8d5c-4d0e-9a55-6f1f4b1d2c3a",
    "name": "Event name",
    "type": "String",
    "default_value": "$pageview",
    "created_by": 1,
    "created_at": "2026-03-01T12:00:00Z",
    "code_name": "event_name",
    "values": None,
    "is_multi": False,
    "values_query": None,
    "values_query_connection_id": None,
}

LOG_ENTRY: dict[str, Any] = {
    "log_source_id": "5f0c5b0e-3a0f-4a6e-b7cf-0f6e6a3e2f11",
    "instance_id": "0f0c6f5e-97d4-4c55-9a7e-0b8f4a5c3e77",
    "timestamp": "2026-03-01T12:00:00Z",
    "level": "INFO",
    "message": "Endpoint executed · path=inline cache=miss duration_ms=12 rows=5 version=1",
}

ACTIVITY: dict[str, Any] = {
    "id": "3f7f0a52-6f57-4a3d-9f1c-7a8e5a8d8f10",
    "user": USER,
    "activity": "updated",
    "item_id": "5f0c5b0e-3a0f-4a6e-b7cf-0f6e6a3e2f11",
    "scope": "Endpoint",
    "detail": {
        "name": "daily_counts",
        "changes": [{"type": "Endpoint", "action": "changed", "field": "is_active", "before": True, "after": False}],
        "context": {},
    },
    "is_system": False,
    "created_at": "2026-03-01T12:00:00Z",
}

PREVIEW: dict[str, Any] = {
    "can_materialize": True,
    "reason": None,
    "transformed_query": "SELECT day, count() AS n FROM events GROUP BY day ORDER BY day",
    "execution_query": "SELECT day, n FROM daily_counts_v1",
    "display_execution_query": "SELECT day, n FROM daily_counts_v1",
    "range_pairs": [],
    "aggregates": [],
}

BY_MODEL: dict[str, dict[str, Any]] = {
    "EndpointObject": ENDPOINT,
    "VersionObject": VERSION,
    "MaterializationObject": MATERIALIZATION,
    "StatusObject": {"name": "daily_counts", **MATERIALIZATION},
    "PreviewObject": PREVIEW,
    "UserObject": USER,
    "VariableObject": VARIABLE,
    "LogObject": LOG_ENTRY,
    "ActivityObject": ACTIVITY,
    "VersionErrorObject": {"error": "Version 9 not found"},
    "SuccessObject": {"success": True},
}
