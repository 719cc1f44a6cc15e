"""Parquet objects on S3 as tables of the embedded engine, for reads that have to be quick.

``s3()`` makes an S3 client anew in each query, which takes 6 ms of CPU; a table keeps its own. The tables are in
memory, in a database that no query of people's can name, and hold the S3 key. They are few: the least recently used go.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from clickhouse_connect.driver.binding import quote_identifier

from endpoints_pipeline.engine import disk_cache as cache
from endpoints_pipeline.engine.disk_cache import DiskCache
from endpoints_pipeline.engine.failures import translated_errors
from endpoints_pipeline.engine.handles import HandlePool, Role
from endpoints_pipeline.engine.warehouse import S3Access, literal

#: How Parquet of ours is read. ClickHouse decodes a file ahead of who reads it, up to 4 GB, in blocks of 65,409 rows:
#: for rows that leave for a caller that is memory for nothing. Measured: 1,000,000 rows take 70 MB in place of 190, and
#: no more time.
PARQUET_READING: Mapping[str, int] = {
    "input_format_parquet_preserve_order": 1,
    "input_format_parquet_memory_high_watermark": 33_554_432,
    "input_format_parquet_max_block_size": 8192,
}
#: No warehouse has tables in it, so the guard knows none of them.
DATABASE = "snapshot_parts"
_KEPT = 64
# With a cache, many small reads are better than few that read what lies between them, too.
_CACHED: Mapping[str, int | str] = {
    "filesystem_cache_name": cache.NAME,
    "enable_filesystem_cache": 1,
    "remote_read_min_bytes_for_seek": 8192,
}


class PartTables:
    """Safe to share between threads."""

    def __init__(
        self,
        handles: HandlePool,
        s3: S3Access,
        *,
        secrets: tuple[str, ...],
        disk_cache: DiskCache | None = None,
        kept: int = _KEPT,
    ) -> None:
        """Prepare; nothing is made yet.

        Args:
            handles: To make and drop tables with.
            s3: The way to S3.
            secrets: What must not be in an error's message.
            disk_cache: What the engine was opened with.
            kept: Tables at most, but for those that are being read.
        """
        self._handles = handles
        self._s3 = s3
        self._disk_cache = disk_cache
        self._secrets = secrets
        self._kept = kept
        self._lock = threading.Lock()
        self._readers: OrderedDict[str, int] = OrderedDict()

    @property
    def reading(self) -> Mapping[str, int | str]:
        """The settings of a query over the tables."""
        return _CACHED if self._disk_cache is not None and self._disk_cache.is_usable else {}

    @contextmanager
    def leased(self, bucket: str, keys: Sequence[str], structure: str) -> Iterator[Sequence[str]]:
        """Tables over objects, one for each key, that stay for the length of the block.

        Args:
            bucket: Where the objects are.
            keys: Their keys; an object never changes.
            structure: Names and types of the columns to read.

        Raises:
            EngineError: A table can't be made.
        """
        names: list[str] = []
        try:
            names.extend(self._lease(self._s3.url(bucket, key), structure) for key in keys)
            yield [f"{DATABASE}.{quote_identifier(name)}" for name in names]
        finally:
            self._return(names)

    def _lease(self, url: str, structure: str) -> str:
        # not the key itself: for a name that ends in .parquet chDB looks for a file first
        name = hashlib.sha256(f"{url}\n{structure}".encode()).hexdigest()[:40]
        with self._lock:
            if name not in self._readers:
                self._make(name, url, structure)
            self._readers[name] = self._readers.get(name, 0) + 1
            self._readers.move_to_end(name)
        return name

    def _make(self, name: str, url: str, structure: str) -> None:
        # a table keeps the format's settings of its making: a query's own don't count
        settings = ", ".join(f"{setting} = {value}" for setting, value in PARQUET_READING.items())
        engine = ", ".join(map(literal, (url, self._s3.access_key, self._s3.secret_key, "Parquet")))
        with translated_errors(self._secrets), self._handles.borrow(Role.WRITER, urgent=True) as handle:
            handle.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Memory")
            handle.command(
                f"CREATE TABLE IF NOT EXISTS {DATABASE}.{quote_identifier(name)} ({structure}) "
                f"ENGINE = S3({engine}) SETTINGS {settings}"
            )

    def _return(self, names: Sequence[str]) -> None:
        with self._lock:
            for name in names:
                self._readers[name] -= 1
            idle = [name for name, readers in self._readers.items() if readers == 0]
            for name in idle[: max(0, len(self._readers) - self._kept)]:
                with translated_errors(self._secrets), self._handles.borrow(Role.WRITER, urgent=True) as handle:
                    handle.command(f"DROP TABLE IF EXISTS {DATABASE}.{quote_identifier(name)}")
                del self._readers[name]
