"""Examples for the OpenAPI document; a test proves that each fits its model."""

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
