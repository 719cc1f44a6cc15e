"""The parts of one process, put together: what the API, the CLI and Dagster's runs all work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from endpoints_pipeline.catalog import Catalog, open_catalog
from endpoints_pipeline.clock import Clock, utc_now
from endpoints_pipeline.engine import Engine
from endpoints_pipeline.serving.run import Runner
from endpoints_pipeline.serving.tracked import TrackedRuns
from endpoints_pipeline.settings import Settings
from endpoints_pipeline.snapshots.objects import Bucket, make_s3_client
from endpoints_pipeline.snapshots.read import SnapshotReader
from endpoints_pipeline.snapshots.refresh import Refresher
from endpoints_pipeline.snapshots.sources import Sources

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Application:
    settings: Settings
    clock: Clock
    catalog: Catalog
    engine: Engine
    bucket: Bucket
    reader: SnapshotReader
    sources: Sources
    runner: Runner
    tracked_runs: TrackedRuns
    refresher: Refresher

    def close(self) -> None:
        self.tracked_runs.close()
        self.runner.close()
        self.engine.close()
        self.catalog.close()


def open_application(
    settings: Settings, *, clock: Clock = utc_now, s3_client: S3Client | None = None, caching: bool = False
) -> Application:
    """Put the parts together. Opens the catalog; the engine opens on first use and S3 is not touched.

    Args:
        settings: The deployment's settings.
        clock: The time, in UTC.
        s3_client: A client to use instead of one made from the settings (Dagster's ``S3Resource``).
        caching: Keep what is read of snapshots on the local disk (``Settings.snapshot_cache``): for answering runs.

    Raises:
        CatalogError: The catalog can't be used.
    """
    catalog = open_catalog(
        settings.resolved_catalog_dsn, timeout=settings.catalog_timeout, auto_migrate=settings.catalog_auto_migrate
    )
    catalog.projects.ensure(settings.project_id, "default", clock())
    client = s3_client or make_s3_client(settings)
    engine = Engine(settings, make_s3_client=lambda: client, caching=caching)
    bucket = Bucket(client, settings.s3_bucket)
    reader = SnapshotReader(engine=engine, bucket=bucket)
    sources = Sources(catalog=catalog, engine=engine, bucket=bucket)
    runner = Runner(settings=settings, catalog=catalog, engine=engine, reader=reader, sources=sources, clock=clock)
    return Application(
        settings=settings,
        clock=clock,
        catalog=catalog,
        engine=engine,
        bucket=bucket,
        reader=reader,
        sources=sources,
        runner=runner,
        tracked_runs=TrackedRuns(
            settings=settings, catalog=catalog, engine=engine, bucket=bucket, runner=runner, clock=clock
        ),
        refresher=Refresher(settings=settings, catalog=catalog, engine=engine, bucket=bucket, clock=clock),
    )
