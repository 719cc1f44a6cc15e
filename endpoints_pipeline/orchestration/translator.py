"""How an endpoint looks in Dagster: the one place to override it (``docs/extending.md``)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg

from endpoints_pipeline.catalog.records import MaterializedVersion
from endpoints_pipeline.frequency import period_of
from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.orchestration.metadata import asset_metadata
from endpoints_pipeline.settings import Settings

Condition = dg.AutomationCondition[Any]

_SHORTEST_WARNING = timedelta(minutes=1)  # Dagster accepts no shorter window


def upstream_refreshed() -> Condition:
    """True once after each update of what the asset reads, unless the run that updated it refreshes the asset as well.

    It waits for refreshes of the asset, or of what it reads, that are under way. A refresh by schedule or request
    doesn't count for it: it may have begun before the update.
    """
    condition = dg.AutomationCondition
    updated = condition.any_deps_updated().since(condition.newly_requested() | condition.initial_evaluation())
    under_way = condition.any_deps_in_progress() | condition.in_progress()
    return (updated & ~under_way).with_label("upstream_refreshed")


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
            deps=[*map(self.get_table_key, record.reads.tables), *naming.upstream_keys(record)],
            automation_condition=self.get_automation_condition(record),
            skippable=True,
        )

    def get_table_key(self, table: str) -> dg.AssetKey:
        """The asset of a table that queries read: an external one of ours, or the asset of yours that fills it.

        Args:
            table: ``name``, or ``database.name`` for a table outside of the default database.
        """
        return naming.table_asset_key(table)

    def get_table_spec(self, table: str) -> dg.AssetSpec | None:
        """The external asset of a table; None where ``get_table_key`` gives another key: that asset is yours."""
        key = self.get_table_key(table)
        if key != naming.table_asset_key(table):
            return None
        return dg.AssetSpec(
            key=key,
            group_name=naming.GROUP_TABLES,
            kinds={"parquet" if self.settings.engine_is_embedded else "clickhouse"},
            description=f"The table {table}, which endpoints read.",
        )

    def get_automation_condition(self, record: MaterializedVersion) -> Condition | None:
        """When the endpoint is refreshed apart from its schedule: after what it reads, if it reads other endpoints.

        Each asset with a condition is looked at in every tick of a sensor, so those that read tables only have none.
        """
        return upstream_refreshed() if record.reads.endpoints else None

    def get_description(self, record: MaterializedVersion) -> str:
        return record.description or f"Endpoint {record.name}, version {record.version}."

    def get_freshness_policy(self, record: MaterializedVersion) -> dg.FreshnessPolicy | None:
        """Warn when one and a quarter periods passed without a snapshot, fail at two; none without a schedule."""
        period = period_of(record.sync_frequency)
        if period is None:
            return None
        return dg.FreshnessPolicy.time_window(fail_window=2 * period, warn_window=max(1.25 * period, _SHORTEST_WARNING))
