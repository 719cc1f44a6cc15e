"""The sensor that refreshes endpoints after the endpoints that they read, by Dagster's declarative automation.

To repair: nothing has to be reset; an update that a reset cursor forgets is made up for by the endpoint's own schedule.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.settings import Settings

# A look at one asset takes the daemon 3 to 4 ms (measured with 200 to 3,000 of them, dagster 1.13): a fifth of a core.
_SECONDS_PER_ASSET = 0.02

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
        minimum_interval_seconds=max(settings.sensor_interval, round(len(automated) * _SECONDS_PER_ASSET)),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes endpoints that read other endpoints, after those were refreshed.",
        emit_backfills=False,
    )
