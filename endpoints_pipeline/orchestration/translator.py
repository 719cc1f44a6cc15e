"""How an endpoint looks in Dagster: the one place to override it (``docs/extending.md``)."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from endpoints_pipeline.catalog.records import MaterializedVersion
from endpoints_pipeline.frequency import period_of
from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.orchestration.metadata import asset_metadata
from endpoints_pipeline.settings import Settings

_SHORTEST_WARNING = timedelta(minutes=1)  # Dagster accepts no shorter window


class EndpointsTranslator:
    """Turns a materialized version into an asset spec. Subclass it to change keys' looks, tags, owners or groups.

    Keep ``key``: refresh requests and schedules find an endpoint's asset by it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def get_asset_spec(self, record: MaterializedVersion) -> dg.AssetSpec:
        return dg.AssetSpec(
            key=naming.asset_key(record),
            description=self.get_description(record),
            group_name=naming.group_name(record.project_id),
            kinds={"clickhouse", "parquet", "s3"},
            tags=naming.tags(record),
            code_version=record.query_hash[:16],
            metadata=asset_metadata(record, self.settings),
            freshness_policy=self.get_freshness_policy(record),
            skippable=True,
        )

    def get_description(self, record: MaterializedVersion) -> str:
        return record.description or f"Endpoint {record.name}, version {record.version}."

    def get_freshness_policy(self, record: MaterializedVersion) -> dg.FreshnessPolicy | None:
        """Warn when one and a quarter periods passed without a snapshot, fail at two; none without a schedule."""
        period = period_of(record.sync_frequency)
        if period is None:
            return None
        return dg.FreshnessPolicy.time_window(fail_window=2 * period, warn_window=max(1.25 * period, _SHORTEST_WARNING))
