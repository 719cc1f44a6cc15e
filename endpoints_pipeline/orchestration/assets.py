"""The asset of a materialized endpoint: one step that refreshes its snapshot.

Dagster reads the step's annotations, so this module can't postpone their evaluation.
"""

import time
from collections.abc import Iterator

import dagster as dg

from endpoints_pipeline.catalog.records import MaterializedVersion
from endpoints_pipeline.errors import EndpointsError, NotFound, RefreshSuperseded
from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.orchestration.metadata import failure_metadata, materialization_metadata
from endpoints_pipeline.orchestration.resources import EndpointsResource
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.snapshots.refresh import Refreshed

_PREVIEW_ROWS = 10


def build_asset(spec: dg.AssetSpec, record: MaterializedVersion, *, retries: int) -> dg.AssetsDefinition:
    """The asset that keeps ``record`` as a snapshot.

    A transient failure (S3 away, catalog locked) is retried up to ``retries`` times; one that needs a person isn't. A
    refresh that another one overtook ends without a materialization, and without a failure.
    """

    @dg.multi_asset(
        name=naming.step_name(record),
        specs=[spec],
        retry_policy=dg.RetryPolicy(max_retries=retries, delay=5, backoff=dg.Backoff.EXPONENTIAL),
        op_tags={"dagster/priority": "0"},
    )
    def refresh(
        context: dg.AssetExecutionContext, endpoints: EndpointsResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        began_at = time.time()
        reason = context.run.tags.get(naming.TAG_REASON, "manual")
        try:
            application = endpoints.application()
            refreshed = application.refresher.refresh(
                record.version_id,
                reason=reason,
                dagster_run_id=context.run_id,
                on_step=lambda step: context.log.info(f"{record.name} v{record.version}: {step}"),
            )
        except (RefreshSuperseded, NotFound) as gave_way:
            context.log.warning(str(gave_way))
            return
        except EndpointsError as error:
            raise dg.Failure(
                description=str(error),
                allow_retries=error.transient,
                metadata=failure_metadata(record, began_at),
            ) from error
        yield _result(spec.key, refreshed, application)

    return refresh


def _result(key: dg.AssetKey, refreshed: Refreshed, application: Application) -> dg.MaterializeResult[None]:
    preview = application.reader.json_rows(refreshed.snapshot, limit=_PREVIEW_ROWS)
    return dg.MaterializeResult(
        asset_key=key,
        metadata=materialization_metadata(refreshed, preview, application.bucket.name),
        data_version=dg.DataVersion(refreshed.snapshot.id),
    )
