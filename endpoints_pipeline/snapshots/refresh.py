"""A refresh: the engine writes Parquet to S3, the parts are verified, the catalog publishes, the manifest follows.

Whatever fails on the way, the snapshot published before stays in place: only ``RefreshStore.publish`` makes the new
one visible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from endpoints_pipeline.catalog import Catalog
from endpoints_pipeline.catalog.records import Attempt, Part, Snapshot
from endpoints_pipeline.clock import Clock
from endpoints_pipeline.engine import Engine, Statistics
from endpoints_pipeline.engine.types import identifier, stored_columns
from endpoints_pipeline.errors import (
    EndpointsError,
    QueryError,
    RefreshSuperseded,
    SnapshotInvalid,
    StorageError,
)
from endpoints_pipeline.query.columns import Column
from endpoints_pipeline.settings import Settings
from endpoints_pipeline.snapshots.layout import VersionLayout
from endpoints_pipeline.snapshots.manifest import write_manifest
from endpoints_pipeline.snapshots.objects import Bucket
from endpoints_pipeline.snapshots.read import SnapshotReader
from endpoints_pipeline.snapshots.sources import Sources
from endpoints_pipeline.snapshots.stored_query import StoredQuery, stored_query

_log = structlog.get_logger(__name__)

# A run looks for few rows of a sorted file. The page index leads to their pages, so these are small; and a dictionary,
# which must be read for any row of its group, stays small, too. At 10,000,000 rows a look takes a quarter of the time,
# and the file two thirds of the bytes (docs/decisions/0004).
_FOR_LOOKUPS = "output_format_parquet_data_page_size = 8192, output_format_parquet_max_dictionary_size = 16384, "


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A published snapshot and what making it took (seconds)."""

    attempt: Attempt
    snapshot: Snapshot
    canonical_sql: str
    manifest_key: str
    statistics: Statistics
    export_seconds: float
    total_seconds: float


class Refresher:
    """Makes snapshots; safe to share between threads."""

    def __init__(self, *, settings: Settings, catalog: Catalog, engine: Engine, bucket: Bucket, clock: Clock) -> None:
        self._settings = settings
        self._catalog = catalog
        self._engine = engine
        self._bucket = bucket
        self._reader = SnapshotReader(engine=engine, bucket=bucket)
        self._sources = Sources(catalog=catalog, engine=engine, bucket=bucket)
        self._clock = clock

    def refresh(
        self,
        version_id: str,
        *,
        reason: str,
        dagster_run_id: str,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> Refreshed:
        """Make and publish a new snapshot of a version.

        Args:
            version_id: The version; it must be materialized.
            reason: Why: ``schedule``, ``first materialization``, ...
            dagster_run_id: The Dagster run that does it.
            on_step: Told before each step: ``describe``, ``export``, ``verify``, ``publish``, ``manifest``.

        Raises:
            NotFound: The version is gone or no longer materialized.
            RefreshSuperseded: Another refresh published first; nothing of this one is left.
            EndpointsError: Anything else that failed; the snapshot published before is still served.
        """
        attempt = self._catalog.refreshes.begin(
            version_id, reason=reason, dagster_run_id=dagster_run_id, now=self._clock()
        )
        try:
            return self._run(attempt, on_step)
        except RefreshSuperseded:
            raise
        except BaseException as error:
            self._note_failure(attempt, error)
            raise

    def _run(self, attempt: Attempt, on_step: Callable[[str], None]) -> Refreshed:
        layout = VersionLayout(self._settings.s3_prefix, attempt.project_id, attempt.name, attempt.version)
        on_step("describe")
        # made anew for each refresh: what the query reads may have changed, and so may we
        stored = stored_query(
            self._sources,
            attempt.project_id,
            attempt.sql,
            attempt.variables,
            attempt.bucket_overrides,
            saved=attempt.reads,
        )
        on_step("export")
        export_began = self._clock()
        key = layout.part(attempt.id, 0)
        try:
            statistics = self._export(attempt, stored, key)
            export_seconds = (self._clock() - export_began).total_seconds()
            on_step("verify")
            parts = [self._verify(key, stored.columns, statistics.written_rows)]
            engine_version = self._engine.version
            on_step("publish")
        except BaseException:
            self._drop(layout.parts_folder(attempt.id))
            raise
        try:
            snapshot = self._catalog.refreshes.publish(
                attempt,
                columns=stored.columns,
                parts=parts,
                engine_version=engine_version,
                now=self._clock(),
                read_plan=stored.plan.read if stored.plan else None,
            )
        except RefreshSuperseded:
            # any other failure may come after the commit: then the parts are a snapshot's, and only gc may judge them
            self._drop(layout.parts_folder(attempt.id))
            raise
        on_step("manifest")
        manifest_key = write_manifest(self._bucket, layout, attempt, snapshot)
        return Refreshed(
            attempt=attempt,
            snapshot=snapshot,
            canonical_sql=stored.sql,
            manifest_key=manifest_key,
            statistics=statistics,
            export_seconds=export_seconds,
            total_seconds=(self._clock() - attempt.began_at).total_seconds(),
        )

    def _export(self, attempt: Attempt, stored: StoredQuery, key: str) -> Statistics:
        resolved = self._sources.resolve(attempt.project_id, stored.sql, saved=attempt.reads)
        order_by, settings = "", ""
        if stored.sort_columns:
            order_by = f" ORDER BY {', '.join(identifier(name) for name in stored.sort_columns)}"
            settings = _FOR_LOOKUPS
        statement = (
            "INSERT INTO FUNCTION s3({s3_url:String}, {s3_key:String}, {s3_secret:String}, 'Parquet') "
            f"SELECT {stored_columns(stored.columns)} FROM ({resolved.sql}){order_by} SETTINGS {settings}"
            "output_format_parquet_write_bloom_filter = 0, output_format_parquet_compression_method = 'zstd', "
            f"output_format_parquet_row_group_size = {self._settings.parquet_row_group_rows}, "
            f"max_execution_time = {self._settings.refresh_timeout:g}, max_insert_threads = 1"
        )
        parameters = {
            **resolved.parameters,
            "s3_url": self._engine.s3.url(self._bucket.name, key),
            "s3_key": self._engine.s3.access_key,
            "s3_secret": self._engine.s3.secret_key,
        }
        return self._engine.export(statement, parameters, tag=query_tag(attempt))

    def _verify(self, key: str, columns: Sequence[Column], written_rows: int | None) -> Part:
        footer = self._bucket.footer(key)
        if written_rows is not None and footer.rows != written_rows:
            raise SnapshotInvalid(
                f"{key} holds {footer.rows} rows, but ClickHouse wrote {written_rows}; it was not published."
            )
        expected = tuple(column.name for column in columns)
        if footer.columns != expected:
            raise SnapshotInvalid(f"{key} holds the columns {footer.columns}, not {expected}; it was not published.")
        try:
            self._reader.check(columns, key)
        except QueryError as error:
            raise SnapshotInvalid(f"{key} can't be read back: {error}. It was not published.") from error
        return Part(key=key, rows=footer.rows, bytes=footer.bytes, row_groups=footer.row_groups, etag=footer.etag)

    def _drop(self, folder: str) -> None:
        """Delete what an unpublished attempt wrote. A failure here must not hide the one that brought us here."""
        try:
            self._bucket.delete_folder(folder)
        except StorageError as error:
            _log.warning("unpublished parts stay on S3 until gc", folder=folder, error=str(error))

    def _note_failure(self, attempt: Attempt, error: BaseException) -> None:
        cancelled = not isinstance(error, Exception)
        try:
            self._catalog.refreshes.fail(
                attempt.version_id,
                attempt.dagster_run_id or "",
                error=str(error) or type(error).__name__,
                cancelled=cancelled,
                now=self._clock(),
            )
        except EndpointsError as unnoted:
            _log.warning("a failed refresh could not be noted", version_id=attempt.version_id, error=str(unnoted))


def query_tag(attempt: Attempt) -> str:
    """Names the attempt in the engine, so that a cancelled Dagster run's query can be found and killed."""
    return f"endpoints:{attempt.project_id}/{attempt.name}/v{attempt.version}:{attempt.id}:{attempt.dagster_run_id}"
