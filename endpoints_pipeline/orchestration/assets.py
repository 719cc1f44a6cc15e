"""The asset of a materialized endpoint: one step that refreshes its snapshot.

Dagster reads the step's annotations, so this module can't postpone their evaluation.
"""

from collections.abc import Iterator

import dagster as dg

from endpoints_pipeline.catalog.records import MaterializedVersion
from endpoints_pipeline.clock import utc_now
from endpoints_pipeline.engine.rows import JsonRows
from endpoints_pipeline.errors import EndpointsError, NotFound, RefreshSuperseded
from endpoints_pipeline.orchestration import naming
from endpoints_pipeline.orchestration.metadata import failure_metadata, materialization_metadata
from endpoints_pipeline.orchestration.resources import EndpointsResource
from endpoints_pipeline.serving.application import Application
from endpoints_pipeline.snapshots.refresh import Refreshed

_PREVIEW_ROWS = 10
_RETRY_DELAY_SECONDS = 5.0  # before the first retry; it doubles with each


def build_asset(spec: dg.AssetSpec, record: MaterializedVersion, *, retries: int) -> dg.AssetsDefinition:
    """The asset that keeps ``record`` as a snapshot.

    A transient failure (S3 away, catalog locked) is retried up to ``retries`` times; one that needs a person isn't. A
    refresh that another one overtook ends without a materialization, and without a failure.
    """

    # No RetryPolicy: Dagster applies it to a run's termination, too, and begins the cancelled step anew.
    @dg.multi_asset(name=naming.step_name(record), specs=[spec])
    def refresh(
        context: dg.AssetExecutionContext, endpoints: EndpointsResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        began_at = utc_now().timestamp()
        reason = context.run.tags.get(naming.TAG_REASON, "manual")
        try:
            application = endpoints.application()
            refreshed = application.refresher.refresh(
                record.version_id,
                reason=reason,
                dagster_run_id=context.run.run_id,
                on_step=lambda step: context.log.info(f"{record.name} v{record.version}: {step}"),
            )
        except (RefreshSuperseded, NotFound) as gave_way:
            context.log.warning(str(gave_way))
            return
        except EndpointsError as error:
            failure = dg.Failure(description=str(error), metadata=failure_metadata(record, began_at))
            failure.__cause__ = error
            if error.transient:
                delay = _RETRY_DELAY_SECONDS * 2**context.retry_number
                raise dg.RetryRequested(max_retries=retries, seconds_to_wait=delay) from failure
            raise failure from error
        yield dg.MaterializeResult(
            asset_key=spec.key,
            metadata=materialization_metadata(
                refreshed, _preview(context, application, refreshed), application.bucket.name
            ),
            data_version=dg.DataVersion(refreshed.snapshot.id),
        )

    return refresh


def _preview(context: dg.AssetExecutionContext, application: Application, refreshed: Refreshed) -> JsonRows | None:
    """The snapshot's first rows; None if they can't be read, as the snapshot is published and served all the same."""
    try:
        return application.reader.json_rows(refreshed.snapshot, limit=_PREVIEW_ROWS)
    except EndpointsError as error:
        context.log.warning(f"The snapshot is published, but a preview of it could not be read: {error}")
        return None
