"""The sensor that refreshes endpoints after the endpoints that they read, by Dagster's declarative automation.

To repair: nothing has to be reset; an update that a reset cursor forgets is made up for by the endpoint's own schedule.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.settings import Settings

#: Why such a run refreshes.
REASON_UPSTREAM = "upstream refreshed"


def build_upstream_sensor(
    automated: Sequence[dg.AssetKey], settings: Settings
) -> dg.AutomationConditionSensorDefinition:
    """The sensor over the assets that have a condition; the others cost it nothing."""
    return dg.AutomationConditionSensorDefinition(
        name="upstream_refreshed",
        target=dg.AssetSelection.assets(*automated),
        run_tags={naming.TAG_REASON: REASON_UPSTREAM},
        minimum_interval_seconds=settings.sensor_interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes endpoints that read other endpoints, after those were refreshed.",
        emit_backfills=False,
    )
