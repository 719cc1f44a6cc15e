"""The embedded engine's source tables: a folder or S3 prefix of Parquet, one table for each file or folder.

chDB allows one process for each path on disk, so the embedded engine lives in memory and each process registers the
same files; any number of processes can then query at once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from endpoints_pipeline.errors import EngineError, EngineUnavailable, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DATABASE = "warehouse"
_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_S3_LIST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class S3Access:
    """How the engine reaches S3 itself."""

    endpoint_url: str
    access_key: str
    secret_key: str

    def url(self, bucket: str, key: str) -> str:
        return f"{self.endpoint_url.rstrip('/')}/{bucket}/{key}"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a table's rows are, as a table engine, and the state of its files: the table is made anew if it changed."""

    engine: str
    files: frozenset[object]


class Warehouse:
    """Keeps the engine's tables in step with the files; safe to share between threads."""

    def __init__(
        self, location: str, *, s3: S3Access, make_s3_client: Callable[[], S3Client], monotonic: Callable[[], float]
    ) -> None:
        """Args:
        location: A folder's path, or ``s3://bucket/prefix``.
        s3: The engine's way to S3, for a prefix.
        make_s3_client: Our own way to S3, to list a prefix; called on first need.
        monotonic: Seconds on a clock that never goes back.
        """
        self._location = location
        self._s3 = s3
        self._make_s3_client = make_s3_client
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._registered: dict[str, _Source] = {}
        self._listed_at: float | None = None

    def register(self, handle: Client) -> frozenset[str]:
        """Create, replace and drop tables so that they are the files' of now; returns their names.

        Raises:
            SettingsError: The location isn't a folder or an S3 prefix.
            EngineError: A file isn't Parquet that the engine can read; the message names it.
            EngineUnavailable: S3 can't be reached.
        """
        with self._lock:
            now = self._monotonic()
            if self._listed_at is not None and now - self._listed_at < _S3_LIST_SECONDS:
                return frozenset(self._registered)
            found = self._scan()
            for name in self._registered.keys() - found.keys():
                handle.command(f"DROP TABLE IF EXISTS {DATABASE}.{quote_identifier(name)}")
                del self._registered[name]
            for name, source in found.items():
                if self._registered.get(name) != source:
                    self._create(handle, name, source.engine)
                    self._registered[name] = source
            if self._location.startswith("s3://"):
                self._listed_at = now
            return frozenset(self._registered)

    def _create(self, handle: Client, name: str, table_engine: str) -> None:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        from endpoints_pipeline.engine.failures import translate

        try:
            handle.command(f"CREATE OR REPLACE TABLE {DATABASE}.{quote_identifier(name)} ENGINE = {table_engine}")
        except ClickHouseError as error:
            reason = translate(error, (self._s3.secret_key,))
            kind = EngineUnavailable if reason.transient else EngineError
            raise kind(
                f"The warehouse's table '{name}' can't be read: {reason}",
                engine_code=reason.engine_code,
                engine_name=reason.engine_name,
            ) from None

    def _scan(self) -> Mapping[str, _Source]:
        if not self._location.startswith("s3://"):
            return self._scan_folder(Path(self._location))
        return self._scan_s3()

    def _scan_folder(self, folder: Path) -> Mapping[str, _Source]:
        if not folder.exists():
            return {}
        if not folder.is_dir():
            raise SettingsError(f"ENDPOINTS_WAREHOUSE must be a folder or s3://bucket/prefix, not {folder}.")
        tables: dict[str, _Source] = {}
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if files := _signatures(entry.rglob("*.parquet")):
                    tables[_table_name(entry.name)] = _Source(
                        f"File(Parquet, {literal(f'{entry}/**/*.parquet')})", files
                    )
            elif entry.suffix == ".parquet" and (files := _signatures([entry])):
                tables[_table_name(entry.stem)] = _Source(f"File(Parquet, {literal(str(entry))})", files)
        return tables

    def _scan_s3(self) -> Mapping[str, _Source]:
        parts = urlsplit(self._location)
        prefix = parts.path.strip("/")
        prefix = f"{prefix}/" if prefix else ""
        patterns: dict[str, str] = {}
        files: dict[str, set[object]] = {}
        for key, etag in self._list_s3(parts.netloc, prefix):
            first, *below = key.removeprefix(prefix).split("/")
            if key.endswith(".parquet") and not first.startswith("."):
                name = _table_name(first if below else first.removesuffix(".parquet"))
                patterns[name] = f"{prefix}{first}/**/*.parquet" if below else key
                files.setdefault(name, set()).add((key, etag))
        return {
            name: _Source(self._s3_engine(parts.netloc, pattern), frozenset(files[name]))
            for name, pattern in patterns.items()
        }

    def _list_s3(self, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            paginator = self._make_s3_client().get_paginator("list_objects_v2")
            for page in paginator.paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield item["Key"], item["ETag"]
        except ClientError as error:
            raise EngineError(f"The warehouse {self._location} can't be listed: {_reason(error)}") from error
        except BotoCoreError as error:
            raise EngineUnavailable(f"The warehouse {self._location} can't be reached: {_reason(error)}") from error

    def _s3_engine(self, bucket: str, key: str) -> str:
        arguments = (self._s3.url(bucket, key), self._s3.access_key, self._s3.secret_key)
        return f"S3({', '.join(map(literal, arguments))}, 'Parquet')"


def _reason(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."


def _signatures(files: Iterable[Path]) -> frozenset[object]:
    found = set()
    for file in files:
        with suppress(FileNotFoundError):  # removed since it was listed
            status = file.stat()
            found.add((file, status.st_mtime_ns, status.st_size))
    return frozenset(found)


def _table_name(name: str) -> str:
    if not _TABLE_NAME.fullmatch(name):
        raise EngineError(
            f"The warehouse holds '{name}', which can't be a table's name: rename it to letters, digits and '_'."
        )
    return name


def literal(text: str) -> str:
    """A text as ClickHouse reads it in a statement."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
